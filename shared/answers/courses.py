"""How far a learner is in a course and its modules."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from shared.answers.certificates import Certificate, Eligibility
from shared.answers.enrollments import Enrollment
from shared.answers.kinds import LessonType, Percent, Share, Status, Time, Uuid
from shared.answers.locks import Lock, Missing
from shared.answers.progress import Progress


class ModuleState(TypedDict):
    """How far a learner is in a module."""

    module_id: Uuid
    course_id: int
    status: Status
    total: int
    """Countable lessons."""
    completed: int
    percent: Percent
    started_at: Time | None
    completed_at: Time | None


class TitledModule(ModuleState):
    """The same with the module's title."""

    title: str


class OpenLesson(TypedDict):
    """A lesson that completing a module could not complete, and why."""

    lesson_id: Uuid
    title: str
    code: Literal["lesson_locked", "rule_not_met"]
    message: str
    details: Lock | Missing


class ModuleStarted(TypedDict):
    """A module's first open lesson was opened."""

    module: ModuleState
    progress: Progress
    enrollment: Enrollment
    changed: bool


class ModuleCompleted(TypedDict):
    """Every lesson of a module that may be was completed."""

    module: ModuleState
    enrollment: Enrollment
    completed_lesson_ids: list[Uuid]
    """By this call."""
    open: list[OpenLesson]
    next_lesson_id: Uuid | None
    certificate: Certificate | None
    changed: bool


class CourseLesson(TypedDict):
    """A lesson of a course, with how far the learner is in it."""

    lesson_id: Uuid
    module_id: Uuid
    title: str
    type: LessonType
    is_preview: bool
    is_required: bool
    is_countable: bool
    """For this learner: what is waived does not count."""
    is_waived: bool
    status: Status
    progress: Share
    last_accessed: Time | None
    completed_at: Time | None
    position_seconds: int
    locked: Lock | None


class NewLessons(TypedDict):
    """Open lessons that were added since the learner finished."""

    count: int
    lesson_ids: list[Uuid]
    """The first 100."""


class OptionalLessons(TypedDict):
    """Lessons of a course that do not count."""

    total: int
    completed: int
    completed_lesson_ids: list[Uuid]


class CourseProgress(TypedDict):
    """A learner's progress in a course, lesson by lesson."""

    enrollment_id: Uuid
    course_id: int
    total: int
    """Countable lessons."""
    completed: int
    percent: Percent
    new_lessons: NewLessons | None
    settling: bool
    """An edit of the course is not counted here yet."""
    completed_lesson_ids: list[Uuid]
    optional: OptionalLessons
    lessons: list[CourseLesson]
    modules: list[TitledModule]
    completed_at: Time | None


class CourseSummary(TypedDict):
    """A course's totals."""

    enrollment_id: Uuid
    course_id: int
    status: Literal["active", "left", "withdrawn"]
    total: int
    """Countable lessons, of which so many are completed, in progress and not started."""
    completed: int
    in_progress: int
    not_started: int
    percent: Percent
    settling: bool
    """An edit of the course is not counted here yet."""
    current_module_id: Uuid | None
    current_lesson_id: Uuid | None
    current_section: str | None
    last_accessed_at: Time | None
    view_time_seconds: int
    enrolled_at: Time
    expires_at: Time | None
    completed_at: Time | None
    new_lessons: NewLessons | None
    cycle: int
    certificate: Eligibility


class ModuleProgress(TitledModule):
    """A learner's progress in one module, lesson by lesson."""

    completed_lesson_ids: list[Uuid]
    lessons: list[CourseLesson]


class NextLesson(TypedDict):
    """Where to go on."""

    lesson_id: Uuid
    module_id: Uuid
    review: bool
    """All is done, and this is the first lesson again."""
    locked: Lock | None
    """All that is left is locked, and this is why."""


# Null: not enrolled, or no lesson there.
OwnCourse = CourseProgress | None
OwnSummary = CourseSummary | None
OwnModule = ModuleProgress | None
OwnNextLesson = NextLesson | None
