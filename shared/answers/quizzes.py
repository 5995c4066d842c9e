"""Attempts at quizzes, as their learners and as staff see them."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from shared.answers.certificates import Certificate
from shared.answers.enrollments import Enrollment
from shared.answers.kinds import AttemptStatus, Percent, Time, Uuid
from shared.answers.progress import Progress

# What may be answered, by kind of question: docs/explanation/quizzes.md.
Given = str | float | bool | list[str] | dict[str, str] | None


class Choice(TypedDict):
    """Something to choose, to put in order, or to match."""

    id: str
    text: str


class Question(TypedDict):
    """A question as learners see it."""

    id: str
    kind: Literal[
        "single_choice", "multiple_choice", "true_false", "numeric", "short_text", "ordering",
        "matching", "free_text",
    ]  # fmt: skip
    points: float
    text: str
    media: NotRequired[Any]
    """As its author wrote it."""
    scoring: NotRequired[Literal["all_or_nothing", "partial"]]
    options: NotRequired[list[Choice]]
    left: NotRequired[list[Choice]]
    right: NotRequired[list[Choice]]


class Key(TypedDict):
    """What is right; which of these there are depends on the kind of question."""

    correct: NotRequired[str | bool | list[str] | dict[str, str] | None]
    answer: NotRequired[str]
    tolerance: NotRequired[str]
    accepted: NotRequired[list[str]]


class QuestionResult(TypedDict):
    """What a question earned."""

    question_id: str
    points: float | None
    """Null while a person must grade it."""
    max_points: float
    correct: bool | None
    key: Key | None
    explanation: str | None


class SavedAnswer(TypedDict):
    """An answer, and the client's count of its saves."""

    answer: Given
    seq: int


class Attempt(TypedDict):
    """One try at a quiz; its rules are those of its start."""

    id: Uuid
    lesson_id: Uuid
    course_id: int
    number: int
    cycle: int
    status: AttemptStatus
    started_at: Time
    expires_at: Time | None
    server_time: Time
    submitted_at: Time | None
    graded_at: Time | None
    expired: bool
    pass_percent: int
    max_attempts: int | None
    time_limit_seconds: int | None
    total_questions: int
    score: float | None
    """In points; null until graded, as are percent, passed and correct_count."""
    max_score: float
    percent: Percent | None
    passed: bool | None
    correct_count: int | None
    feedback: str | None
    questions: list[Question]
    answers: dict[str, SavedAnswer]
    """By the id of the question."""
    results: list[QuestionResult] | None
    """Null until the lesson's reveal policy opens them."""


class AttemptStarted(TypedDict):
    """An attempt was started, or one was open already."""

    attempt: Attempt
    progress: Progress
    enrollment: Enrollment


class Attempts(TypedDict):
    """Own attempts at a quiz, and the percent that counts."""

    lesson_id: Uuid
    score_policy: Literal["best", "last", "first", "average"]
    reported_percent: Percent | None
    attempts: list[Attempt]


class Saved(TypedDict):
    """Answers were saved."""

    attempt: Attempt


class Submitted(TypedDict):
    """An attempt was submitted, and graded as far as no person must."""

    attempt: Attempt
    progress: Progress
    enrollment: Enrollment
    next_lesson_id: Uuid | None
    certificate: Certificate | None
    changed: bool


class StaffAttempt(TypedDict):
    """An attempt as staff see it: whose it is, and its results with keys."""

    id: Uuid
    user_id: Uuid
    lesson_id: Uuid
    course_id: int
    number: int
    cycle: int
    status: AttemptStatus
    expired: bool
    is_imported: bool
    started_at: Time
    submitted_at: Time | None
    graded_at: Time | None
    score: float | None
    max_score: float
    percent: Percent | None
    passed: bool | None
    total_questions: int
    correct_count: int | None
    feedback: str | None
    questions: list[Question]
    answers: dict[str, SavedAnswer]
    results: list[QuestionResult] | None


class Graded(TypedDict):
    """A person's points were entered."""

    attempt: StaffAttempt
    progress: Progress
    enrollment: Enrollment


class Regraded(TypedDict):
    """A slice of a quiz's attempts was graded again."""

    checked: int
    changed: int
    newly_passed: int
    kept_passed: int
    now_failed: int
    dry_run: bool
    cursor: Uuid | None
    """There may be more: go on with it."""
