"""The world of the access tests: in a transaction for the sweeps, committed for HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from tests.access.rest import Rest
from tests.access.world import World, build, remove
from tests.stack import Stack


@pytest.fixture(scope="module")
def world(stack: Stack) -> Iterator[World]:
    """A world that only this module's connection ever sees."""
    with stack.connect() as connection:
        yield build(connection)
        connection.rollback()


@pytest.fixture(scope="session")
def operator(stack: Stack) -> Iterator[psycopg.Connection[Any]]:
    """One connection that makes all worlds: a new one would compile every function anew."""
    with stack.connect(autocommit=True) as connection:
        yield connection


@contextmanager
def committed(stack: Stack, connection: psycopg.Connection[Any]) -> Iterator[Rest]:
    with connection.transaction():
        world = build(connection)
    with Rest(stack, world) as rest:
        yield rest
    with connection.transaction():
        remove(connection, world)


@pytest.fixture
def rest(stack: Stack, operator: psycopg.Connection[Any]) -> Iterator[Rest]:
    """A world of one test's own, and its personas' requests."""
    with committed(stack, operator) as made:
        yield made


@pytest.fixture(scope="module")
def shared_rest(stack: Stack, operator: psycopg.Connection[Any]) -> Iterator[Rest]:
    """The same for attacks that leave no trace: one world for all of a module."""
    with committed(stack, operator) as made:
        yield made
