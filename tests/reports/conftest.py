"""What the tests of reports share: real learners, played once, and courses of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.quiz.world import World
from tests.stack import Stack


@pytest.fixture(scope="module")
def replayed(stack: Stack) -> Any:
    """The course of the Open University with its learners."""
    from tests.reports import oulad

    if not oulad.DATA.is_dir():
        pytest.skip(f"no OULAD data in {oulad.DATA}")
    return oulad.replay(stack)


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
