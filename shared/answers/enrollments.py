"""A learner in a course: the enrolment, and its cycles."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from shared.answers.kinds import Percent, Status, Time, Uuid


class Enrollment(TypedDict):
    """One learner in one course."""

    id: Uuid
    course_id: int
    status: Literal["active", "left", "withdrawn"]
    cycle: int
    enrolled_at: Time
    expires_at: Time | None
    completed_lessons: int
    total_lessons: int
    """Countable ones."""
    progress_percent: Percent
    """By weight; below 100 as long as anything countable is open."""
    settling: bool
    """An edit of the course is not counted here yet."""
    completed_at: Time | None
    last_accessed_at: Time | None
    current_module_id: Uuid | None
    current_lesson_id: Uuid | None
    current_section: str | None
    view_time_seconds: int
    """Credited, not claimed."""


class Enrolled(TypedDict):
    """An enrolment as a command left it."""

    enrollment: Enrollment
    changed: bool


class CompletionSnapshot(TypedDict):
    """What was required at completion."""

    lessons: int
    weight: int
    catalog_version: int


class PastModule(TypedDict):
    """A module as an earlier cycle left it."""

    module_id: Uuid
    status: Status
    completed_lessons: int
    total_lessons: int
    started_at: Time
    completed_at: Time | None


class PastCycle(TypedDict):
    """How an earlier run through a course ended."""

    course_id: int
    course_title: str
    cycle: int
    started_at: Time
    ended_at: Time
    completed_at: Time | None
    completion_snapshot: CompletionSnapshot | None
    completed_lessons: int
    total_lessons: int
    completed_weight: int
    total_weight: int
    progress_percent: Percent
    view_time_seconds: int
    last_accessed_at: Time | None
    modules: list[PastModule]
    certificate_id: Uuid | None


class Cycles(TypedDict):
    """The runs through a course: the present one, and those before, the latest first."""

    course_id: int
    cycle: int
    started_at: Time
    completed_at: Time | None
    completion_expires_at: Time | None
    may_retake: bool
    block: Literal["course_not_completed", "retakes_exhausted", "enrollment_closed"] | None
    """Why no other cycle may begin; null when one may."""
    past: list[PastCycle]


# Null: not enrolled.
OwnCycles = Cycles | None
