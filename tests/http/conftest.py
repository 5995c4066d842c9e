"""Clients of the stack under test, through its one gateway."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.stack import Stack
from tests.support.learners import Learner, make_learner


@pytest.fixture(scope="session")
def functions(stack: Stack) -> Iterator[httpx.Client]:
    """A plain HTTP client of the functions."""
    with httpx.Client(base_url=stack.functions_url, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def learner(stack: Stack) -> Learner:
    """Someone new."""
    return make_learner(stack)
