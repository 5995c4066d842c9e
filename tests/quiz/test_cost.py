"""A submit of 200 questions costs some ten plain completions, in the same run.

Ten is the aim, which `bench/quiz.py` reports on: 9.4 to 11.5 were measured since completions became
cheaper. What is held here is the order: a join of all questions with all answers cost a hundred.
"""

from __future__ import annotations

from bench import quiz
from tests.stack import Stack


def test_two_hundred_questions(stack: Stack) -> None:
    # The better of up to three runs: a busy machine makes figures worse, never better.
    ratios = []
    for _ in range(3):
        ratios.append(quiz.measure(stack.db_url, "test", learners=12).ratio)
        if ratios[-1] <= quiz.LIMIT:
            break
    assert min(ratios) <= 2 * quiz.LIMIT, ratios
