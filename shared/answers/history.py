"""Everybody's history."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict

from shared.answers.kinds import Time, Uuid


class HistoryEvent(TypedDict):
    """One transition; docs/reference/events.md tells the kinds and their data."""

    id: int
    kind: str
    occurred_at: Time
    user_id: Uuid
    course_id: int
    module_id: Uuid | None
    lesson_id: Uuid | None
    enrollment_id: Uuid | None
    cycle: int
    data: dict[str, Any]


class Events(TypedDict):
    """A page of everybody's history."""

    events: list[HistoryEvent]
    cursor: str
    """Where the next page begins."""
