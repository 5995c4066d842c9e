"""A scene for every test, in a database beside the stack's, where no worker takes jobs away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.certificates.scene import Scene
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
    """Connections that hang up at the end of the test."""
    made: list[Actor] = []

    def make(*who: Any) -> Actor:
        made.append(Actor(alone, *who))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for actor in made:
        actor.close()


@pytest.fixture
def scene(actors: Callable[..., Actor]) -> Scene:
    """Courses, people, and a look behind them."""
    return Scene(actors)
