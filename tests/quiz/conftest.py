"""A course of its own for every test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.quiz.world import World
from tests.stack import Stack


@pytest.fixture
def worlds(stack: Stack) -> Iterator[Callable[..., World]]:
    """Make courses."""
    made: list[World] = []

    def make(**module: Any) -> World:
        made.append(World.make(stack, **module))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture
def world(worlds: Callable[..., World]) -> World:
    """A course."""
    return worlds()
