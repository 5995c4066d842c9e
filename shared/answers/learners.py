"""The learners of a course, for its staff."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from shared.answers.kinds import AttemptStatus, LessonType, Percent, Share, Status, Time, Uuid


class LearnerRow(TypedDict):
    """A learner of a course, as its staff see one."""

    user_id: Uuid
    name: str | None
    enrollment_id: Uuid
    cohort_id: Uuid | None
    cohort: str | None
    status: Status
    percent: Percent
    completed_lessons: int
    total_lessons: int
    settling: bool
    score: Percent | None
    """The mean of the best scores."""
    view_time_seconds: int
    """Credited, not claimed."""
    cycle: int
    enrolled_at: Time
    expires_at: Time | None
    last_accessed_at: Time | None
    completed_at: Time | None
    current_lesson_id: Uuid | None
    needs_help: Literal["silent", "behind"] | None


class CourseLearners(TypedDict):
    """A page of the learners of a course."""

    learners: list[LearnerRow]
    cursor: str | None
    """There are more: go on with it."""


class LearnerLesson(TypedDict):
    """A lesson as one learner stands in it, for staff."""

    lesson_id: Uuid
    module_id: Uuid
    title: str
    type: LessonType
    is_countable: bool
    is_waived: bool
    status: Status
    progress: Share
    started_at: Time | None
    last_accessed: Time | None
    completed_at: Time | None
    view_time_seconds: int
    attempts: int
    best_score: Percent | None


class LearnerAttempt(TypedDict):
    """An attempt of one learner, for staff."""

    attempt_id: Uuid
    lesson_id: Uuid
    cycle: int
    number: int
    status: AttemptStatus
    started_at: Time
    submitted_at: Time | None
    percent: Percent | None
    passed: bool | None
    correct_count: int | None
    total_questions: int


class LearnerDetail(TypedDict):
    """One learner of a course."""

    learner: LearnerRow
    lessons: list[LearnerLesson]
    attempts: list[LearnerAttempt]
    """The last two hundred."""
