"""The operator, learners and servers of the database tests."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from tests.database.actors import Actor, make_users
from tests.stack import Stack


@pytest.fixture
def actors(stack: Stack) -> Iterator[Callable[..., Actor]]:
    """Make actors that hang up at the end of the test."""
    made: list[Actor] = []

    def make(role: str | None = None, user: uuid.UUID | None = None) -> Actor:
        made.append(Actor(stack, role, user))
        return made[-1]

    yield make
    for actor in made:
        actor.close()


@pytest.fixture
def operator(actors: Callable[..., Actor]) -> Actor:
    """The migrating role on its own connection: sets the scene and looks behind it."""
    return actors()


@pytest.fixture
def server(actors: Callable[..., Actor]) -> Actor:
    """A server with the service role: raw edits of tables, and the RPCs of admins."""
    return actors("service_role")


@pytest.fixture
def learner(actors: Callable[..., Actor], operator: Actor) -> Callable[[], Actor]:
    """Sign up a learner and connect as them."""

    def make() -> Actor:
        (user,) = make_users(operator)
        return actors("authenticated", user)

    return make
