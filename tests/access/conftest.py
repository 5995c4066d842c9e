"""The world of the access tests: in a transaction for the sweeps, committed for HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.access.world import World, build, remove
from tests.stack import Stack


@pytest.fixture(scope="module")
def world(stack: Stack) -> Iterator[World]:
    """A world that only this module's connection ever sees."""
    with stack.connect() as connection:
        yield build(connection)
        connection.rollback()


@pytest.fixture
def live(stack: Stack) -> Iterator[World]:
    """A world of one test's own that requests over HTTP see."""
    with stack.connect() as connection:
        with connection.transaction():
            world = build(connection)
        connection.autocommit = True
        yield world
        with connection.transaction():
            remove(connection, world)
