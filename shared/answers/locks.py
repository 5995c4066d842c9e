"""What keeps a learner from a lesson, or from its completion."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from shared.answers.kinds import Time, Uuid


class LockCourse(TypedDict):
    """A course that blocks."""

    id: int
    title: str


class LockPart(TypedDict):
    """A module or lesson that blocks, or whose date has not come."""

    id: Uuid
    title: str


class Lock(TypedDict):
    """Why a lesson is closed: one of course, module and lesson must be done, or opens later."""

    reason: Literal["prerequisite", "sequential", "drip"]
    course: LockCourse | None
    module: LockPart | None
    lesson: LockPart | None
    available_at: Time | None
    """When it opens by its date; null when no date is known, or none is set."""


class Missing(TypedDict):
    """What a lesson's completion rule still asks for."""

    rule: Literal["view", "watch", "submit", "pass"]
    needed: int | None
    """Seconds (view, watch), attempts (submit) or percent (pass)."""
    have: float | None
    """In the same unit; null when there is nothing yet to compare."""
    why: NotRequired[str]
    """Why nothing is enough: the lesson's duration is not known."""
