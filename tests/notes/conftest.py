"""Actors on the database, and a committed world whose personas speak HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.access.conftest import committed
from tests.access.rest import Rest
from tests.database.conftest import actors, learner, operator
from tests.stack import Stack

__all__ = ["actors", "learner", "operator"]


@pytest.fixture(scope="session")
def maker(stack: Stack) -> Iterator[psycopg.Connection[Any]]:
    """One connection that makes all worlds: a new one would compile every function anew."""
    with stack.connect(autocommit=True) as connection:
        yield connection


@pytest.fixture
def rest(stack: Stack, maker: psycopg.Connection[Any]) -> Iterator[Rest]:
    """A world of one test's own, and its personas' requests."""
    with committed(stack, maker) as made:
        yield made
