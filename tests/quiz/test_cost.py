"""A submit of 200 questions costs at most ten plain completions, in the same run."""

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
    assert min(ratios) <= quiz.LIMIT, ratios
