"""A learner's dashboard."""

from __future__ import annotations

from typing_extensions import TypedDict

from shared.answers.courses import NewLessons
from shared.answers.kinds import Day, LessonType, Percent, Time, Uuid
from shared.answers.locks import Lock


class Velocity(TypedDict):
    """How fast a learner is."""

    lessons_per_week: float
    trend: float | None
    """By how much that is more than four weeks ago; null: too new to say."""
    expected_finish: Day | None
    """When all is done at this pace."""


class Resume(TypedDict):
    """The lesson to go on with."""

    lesson_id: Uuid
    title: str
    type: LessonType
    module_id: Uuid
    module_title: str
    position_seconds: int
    review: bool
    """All is done, and this is the first lesson again."""
    locked: Lock | None


class DashboardCourse(TypedDict):
    """A course of the dashboard."""

    course_id: int
    slug: str
    title: str
    image_url: str | None
    enrollment_id: Uuid
    percent: Percent
    settling: bool
    """An edit of the course is not counted here yet."""
    total: int
    """Countable lessons."""
    completed: int
    completed_at: Time | None
    new_lessons: NewLessons | None
    last_accessed_at: Time | None
    expires_at: Time | None
    view_time_seconds: int
    velocity: Velocity
    resume: Resume | None


class Count(TypedDict):
    """How many there are, and how many of them are completed."""

    total: int
    completed: int


class QuizCount(TypedDict):
    """How many quizzes there are, were submitted, and were passed."""

    total: int
    submitted: int
    passed: int


class Totals(TypedDict):
    """Sums over all active enrolments."""

    courses: Count
    modules: Count
    lessons: Count
    quizzes: QuizCount


class Seconds(TypedDict):
    """Credited seconds: of today, of the week since Monday, and of all days."""

    today: int
    week: int
    all: int


class Streak(TypedDict):
    """Days in a row on which something was done."""

    current: int
    """Until now."""
    longest: int
    last_day: Day | None


class ActiveDay(TypedDict):
    """A day of the last year on which something was done."""

    day: Day
    lessons: int
    seconds: int
    attempts: int


class Dashboard(TypedDict):
    """How far a learner is, on one page."""

    today: Day
    """In the learner's time zone, as all days here."""
    timezone: str
    totals: Totals
    seconds: Seconds
    streak: Streak
    velocity: Velocity
    activity_history: bool
    activity: list[ActiveDay]
    courses: list[DashboardCourse]
    cursor: str | None
    """There are more courses: go on with it."""
