"""What staff and admins do for learners."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from shared.answers.certificates import Certificate
from shared.answers.enrollments import Enrollment
from shared.answers.kinds import LessonType, Percent, Time, Uuid
from shared.answers.progress import Progress


class Excepted(TypedDict):
    """One learner's lesson, as staff left it."""

    progress: Progress
    enrollment: Enrollment
    is_waived: bool
    certificate: Certificate | None
    changed: bool


class LessonSettings(TypedDict):
    """A lesson's row without its content; docs/reference/tables.md tells the columns."""

    id: Uuid
    module_id: Uuid
    course_id: int
    slug: str | None
    position: int
    title: str
    type: LessonType
    video_url: str | None
    quiz_data: dict[str, Any] | None
    duration_seconds: int | None
    is_preview: bool
    is_required: bool
    weight: int
    completion_rule: Literal["manual", "view", "watch", "submit", "pass"]
    min_view_seconds: int | None
    watch_percent: int
    pass_percent: int
    certificate_min_score: Percent | None
    available_from: Time | None
    available_after_days: int | None
    available_after_previous_days: int | None
    archived_at: Time | None
    counts_from: int
    is_countable: bool
    is_gate: bool
    is_quiz: bool
    created_at: Time
    updated_at: Time
    max_attempts: int | None
    time_limit_seconds: int | None
    attempt_cooldown_seconds: int | None
    quiz_available_from: Time | None
    quiz_available_until: Time | None
    reveal_policy: Literal["never", "after_submit", "after_pass", "after_last_attempt"]
    score_policy: Literal["best", "last", "first", "average"]
    shuffle_options: bool
    question_pools: dict[str, int]
    """How many questions are drawn from each pool."""


class Replaced(TypedDict):
    """A lesson took another's place."""

    lesson: LessonSettings
    replaced_lesson_id: Uuid
    learners: int
    """How many took their progress along."""


class Cohort(TypedDict):
    """A group of learners who take a course together."""

    id: Uuid
    course_id: int
    name: str
    starts_at: Time | None
    ends_at: Time | None


class CohortChanged(TypedDict):
    """A cohort was made or renamed."""

    cohort: Cohort
    changed: bool


class LearnerResult(TypedDict):
    """What became of one line of a command about many learners."""

    line: int
    """From 1."""
    status: Literal["enrolled", "assigned", "unchanged", "refused"]
    user_id: NotRequired[Uuid]
    enrollment_id: NotRequired[Uuid]
    code: NotRequired[str]
    """Why it was refused."""


class PerLearner(TypedDict):
    """One result for each learner, in order."""

    results: list[LearnerResult]
    changed: bool


class Merged(TypedDict):
    """Two accounts became one: who stayed, and what came along."""

    user_id: Uuid
    course_ids: list[int]
    attempts: int
    certificates: int
    changed: bool
