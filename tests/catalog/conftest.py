"""The catalogue that the sweeps read: the stack's own, and a database for the rough work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.catalog.catalog import Catalog
from tests.stack import Stack
from tests.support.scratch import Scratch, scratch_database


@pytest.fixture(scope="module")
def catalog(stack: Stack) -> Iterator[Catalog]:
    """The stack's catalogue, in a transaction that is rolled back."""
    with stack.connect() as connection:
        yield Catalog(connection)
        connection.rollback()


@pytest.fixture(scope="session")
def pushed(stack: Stack) -> Iterator[Scratch]:
    """A database that the Supabase CLI has brought from nothing to Waymark."""
    with scratch_database(stack) as made:
        done = made.push()
        assert done.returncode == 0, done.stdout
        yield made
