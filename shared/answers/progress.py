"""One learner's lessons: their rows, and what commands on them answer."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict

from shared.answers.certificates import Certificate
from shared.answers.enrollments import Enrollment
from shared.answers.kinds import AttemptStatus, Percent, Share, Status, Time, Uuid
from shared.answers.locks import Missing


class Progress(TypedDict):
    """One learner's row for one lesson; a lesson never opened has status not_started."""

    lesson_id: Uuid
    module_id: Uuid
    course_id: int
    status: Status
    is_completed: bool
    progress: Share
    started_at: Time | None
    last_accessed: Time | None
    completed_at: Time | None
    view_time_seconds: int
    """Credited, not claimed."""
    position_seconds: int
    attempts: int
    """Submitted in this cycle."""
    best_score: Percent | None


class Started(TypedDict):
    """A lesson was opened."""

    progress: Progress
    enrollment: Enrollment
    changed: bool


class Completed(TypedDict):
    """A lesson was completed, or its state reported."""

    progress: Progress
    enrollment: Enrollment
    next_lesson_id: Uuid | None
    certificate: Certificate | None
    """The one that is held now."""
    changed: bool


class Viewed(Completed):
    """A heartbeat was credited."""

    credited_seconds: int
    """By this heartbeat."""
    missing: Missing | None
    """What the completion rule still asks for."""


class Reopened(TypedDict):
    """A completion was taken back."""

    progress: Progress
    enrollment: Enrollment
    next_lesson_id: Uuid | None
    changed: bool


class EventAttempt(TypedDict):
    """What an event of a batch made of an attempt."""

    id: Uuid
    status: AttemptStatus
    percent: Percent | None
    passed: bool | None


class EventResult(TypedDict):
    """What became of one event of a batch."""

    id: str | None
    """As it came, at most 36 characters of it."""
    lesson_id: str | None
    status: Literal["applied", "unchanged", "recorded", "repeated", "refused"]
    at: Time | None
    """The time that it was given."""
    clamped: Literal["future", "past"] | None
    completed: bool
    attempt: EventAttempt | None
    code: str | None
    message: str | None
    details: Any


class Applied(TypedDict):
    """Results in the order of the events, and the rows that they are about."""

    results: list[EventResult]
    progress: list[Progress]
    enrollments: list[Enrollment]
