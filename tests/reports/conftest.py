"""What the tests of reports share: real learners, played once, and courses of their own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.quiz.conftest import world, worlds
from tests.stack import Stack

__all__ = ["replayed", "world", "worlds"]


@pytest.fixture(scope="module")
def replayed(stack: Stack) -> Any:
    """The course of the Open University with its learners."""
    from tests.reports import oulad

    if not oulad.DATA.is_dir():
        pytest.skip(f"no OULAD data in {oulad.DATA}")
    return oulad.replay(stack)
