"""A course with staff and learners, and everyone connected as themselves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.database.actors import Actor
from tests.database.conftest import actors, learner, operator, server
from tests.staff.scene import Scene

__all__ = ["actors", "learner", "operator", "scene", "server"]


@pytest.fixture
def scene(actors: Callable[..., Actor]) -> Scene:
    """Two modules of two lessons each; one learner enrolled in it."""
    return Scene(actors)
