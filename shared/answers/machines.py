"""What monitors, schedulers and generators of clients are told."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict


class Health(TypedDict):
    """It works."""

    status: Literal["ok"]


class Worked(TypedDict):
    """What became of a batch of jobs."""

    leased: int
    done: int
    failed: int
    """They are tried again."""
    dead: int
    remaining: int
    """Due, but not in this batch."""


# OpenAPI 3.1.
Document = dict[str, Any]
