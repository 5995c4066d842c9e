"""A database beside the stack's, where no worker takes what a test has put into the queue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.database.actors import Actor
from tests.stack import Stack
from tests.support.scratch import Scratch, scratch_database


@pytest.fixture(scope="session")
def alone(stack: Stack) -> Iterator[Scratch]:
    """A database with all migrations."""
    with scratch_database(stack) as project:
        done = project.push()
        assert done.returncode == 0, done.stdout
        yield project


@pytest.fixture
def actors(alone: Scratch) -> Iterator[Callable[..., Actor]]:
    """Connections that hang up at the end of the test; the queue is empty at its start."""
    alone.execute("delete from private.jobs")
    made: list[Actor] = []

    def make(*who: Any) -> Actor:
        made.append(Actor(alone, *who))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for actor in made:
        actor.close()


@pytest.fixture
def operator(actors: Callable[..., Actor]) -> Actor:
    """The migrating role, on its own connection."""
    return actors()


@pytest.fixture
def worker(actors: Callable[..., Actor]) -> Actor:
    """The service role, as the worker calls."""
    return actors("service_role")
