"""An operator whose clock and request these tests set, and buckets of a test's own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.database.actors import Actor
from tests.stack import Stack

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Limits:
    """One bucket, two tokens a second, ten at once."""

    def __init__(self, operator: Actor) -> None:
        self.operator = operator
        self.bucket = f"t_{''.join(c for c in uuid.uuid4().hex if c.isalpha())}"
        self.set(2, 10)
        self.at(0)

    def set(self, per_second: float, burst: float) -> None:
        """Change the rates, as an operator would."""
        self.operator.run(
            "insert into private.rate_limits (bucket, per_second, burst) values (%s, %s, %s)"
            " on conflict (bucket) do update set per_second = excluded.per_second,"
            " burst = excluded.burst",
            self.bucket, per_second, burst,
        )  # fmt: skip

    def at(self, seconds: float) -> None:
        """Set the clock to so long after noon."""
        self.operator.at(NOON + timedelta(seconds=seconds))

    def take(self, key: str = "me", cost: float = 1) -> int:
        """Take tokens: 0, or seconds to wait."""
        wait: int = self.operator.one(
            "select private.take_token(%s, %s, %s::numeric)", self.bucket, key, cost
        )
        return wait

    def keys(self) -> set[str]:
        """Keys that have a row."""
        rows = self.operator.run(
            "select key from private.rate_buckets where bucket = %s", self.bucket
        )
        return {row["key"] for row in rows}


@pytest.fixture
def operator(stack: Stack) -> Iterator[Actor]:
    """The migrating role on its own connection."""
    made = Actor(stack)
    yield made
    made.close()


@pytest.fixture
def limits(operator: Actor) -> Iterator[Limits]:
    made = Limits(operator)
    yield made
    operator.at(None)
    for table in ("rate_limits", "rate_buckets"):
        operator.run(f"delete from private.{table} where bucket = %s", made.bucket)
