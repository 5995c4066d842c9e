"""Actors on the database, and worlds of the access tests in a transaction that is rolled back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.access.world import World, build
from tests.catalog.catalog import Catalog
from tests.database.conftest import actors, learner, operator
from tests.stack import Stack
from tests.support import sessions

__all__ = ["actors", "learner", "operator"]


@pytest.fixture
def world(stack: Stack) -> Iterator[World]:
    """A world of one test's own, which is gone afterwards."""
    with sessions.undone(stack) as connection:
        yield build(connection)


@pytest.fixture
def catalog(world: World) -> Catalog:
    """The catalogue of the world's connection."""
    return Catalog(world.connection)
