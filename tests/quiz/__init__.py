"""Quizzes: grading, attempts, staff, attacks, and real submissions replayed."""
