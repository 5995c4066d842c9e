"""A submit of 200 questions costs at most ten plain completions of the same run."""

from __future__ import annotations

from bench import quiz
from tests.stack import Stack


def test_two_hundred_questions(stack: Stack) -> None:
    # CPU of the server's process where it can be read; the better of up to three runs, since a busy
    # machine makes figures worse and never better.
    ratios = []
    for _ in range(3):
        ratios.append(quiz.measure(stack.db_url, "test-quiz-cost", learners=12).worst)
        if ratios[-1] <= quiz.LIMIT:
            break
    assert min(ratios) <= quiz.LIMIT, ratios
