"""A generated database to list learners of, and a small scene to see keys follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from bench import generate
from tests.database.actors import Actor
from tests.database.conftest import actors, learner, operator, server
from tests.stack import Stack
from tests.staff.scene import Scene

__all__ = ["actors", "learner", "operator", "scene", "server"]


@pytest.fixture
def scene(actors: Callable[..., Actor]) -> Scene:
    """Two modules of two lessons each; one learner enrolled in it."""
    return Scene(actors)


@pytest.fixture(scope="module")
def generated(stack: Stack) -> Iterator[tuple[psycopg.Connection[Any], generate.Made]]:
    """Ten thousand rows of progress, in a transaction that is taken back."""
    with stack.connect(row_factory=dict_row) as db:
        with db.cursor(row_factory=psycopg.rows.tuple_row):
            db.row_factory = psycopg.rows.tuple_row
            made = generate.make(db, generate.Plan(10_000, seed=7))
            db.row_factory = dict_row
        yield db, made
        db.rollback()
