"""The people of the database tests, and a diary to live in at instants that a test names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dashboard.diary import Diary
from tests.database.conftest import actors, learner, operator
from tests.stack import Stack
from tests.support import sessions

__all__ = ["actors", "diary", "learner", "operator"]


@pytest.fixture
def diary(stack: Stack) -> Iterator[Diary]:
    """A new learner's; nothing of it stays."""
    with sessions.undone(stack) as connection:
        yield Diary(connection)
