"""How a course's learners are doing, for its staff."""

from __future__ import annotations

from typing_extensions import TypedDict

from shared.answers.kinds import Day, LessonType, Percent, Time, Uuid


class _Report(TypedDict):
    """What every report begins with: of what it is, and as of when."""

    course_id: int
    title: str
    cohort_id: Uuid | None
    cohort: str | None
    enrolled_from: str | None
    enrolled_to: str | None
    as_of: Time
    live: bool
    """Counted just now, not taken from a snapshot."""
    refreshing: bool
    """A newer snapshot is being made."""
    settling: bool


class ReportLearners(TypedDict):
    """How many learners; the rate is a percent of those enrolled."""

    enrolled: int
    started: int
    active_7_days: int
    active_30_days: int
    completed: int
    completion_rate: Percent | None
    gone: int


class ReportPercent(TypedDict):
    """How far learners have come; learners by tenths."""

    average: float | None
    distribution: list[int]


class ReportDays(TypedDict):
    """Days from the beginning to the completion of the course."""

    learners: int
    median: float | None


class ReportSeconds(TypedDict):
    """Seconds credited, of the learners who have any."""

    learners: int
    median: float | None
    p90: float | None


class ReportTime(ReportSeconds):
    """The same, and their sum."""

    total: int


class ReportVelocity(TypedDict):
    """Lessons completed in 28 days, by learners active in them."""

    lessons: int
    learners: int
    lessons_per_week: float | None


class ReportScores(TypedDict):
    """Scores, one for each learner and quiz; how many by tenths."""

    count: int
    min: float | None
    average: float | None
    max: float | None
    distribution: list[int]


class ReportCertificates(TypedDict):
    """Certificates of the present cycles."""

    issued: int
    revoked: int
    expired: int


class ReportDay(TypedDict):
    """A day, by UTC, on which learners enrolled."""

    day: Day
    learners: int


class CourseReport(_Report):
    """How a course's learners are doing."""

    learners: ReportLearners
    percent: ReportPercent
    days_to_complete: ReportDays
    seconds: ReportTime
    velocity: ReportVelocity
    scores: ReportScores
    certificates: ReportCertificates
    enrollments_per_day: list[ReportDay]


class ReportQuestion(TypedDict):
    """A question at first attempts: part of the points earned, and how it goes with the others."""

    question_id: str
    kind: str
    text: str
    asked: int
    difficulty: float
    discrimination: float | None


class ReportQuiz(TypedDict):
    """Graded attempts at a lesson's quiz."""

    attempts: int
    waiting: int
    failed: int
    fail_rate: Percent | None
    passed: int
    attempts_per_pass: float | None
    scores: ReportScores
    questions: list[ReportQuestion]


class ReportLesson(TypedDict):
    """A lesson of a report; rates are percents."""

    lesson_id: Uuid
    title: str
    type: LessonType
    module_id: Uuid
    module_title: str
    is_countable: bool
    learners: int
    started: int
    completed: int
    completion_rate: Percent | None
    drop_off: Percent | None
    stopped: int
    days_to_completion: float | None
    seconds: ReportSeconds
    quiz: ReportQuiz | None


class HardLesson(TypedDict):
    """A lesson whose quiz takes many attempts."""

    lesson_id: Uuid
    title: str
    completed: int
    attempts_per_pass: float
    fail_rate: Percent
    average_score: Percent


class LessonReport(_Report):
    """How learners fare with a course's lessons."""

    min_completions: int
    lessons: list[ReportLesson]
    """In learning order."""
    hard_lessons: list[HardLesson]
    """The hardest first."""
