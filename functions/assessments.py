"""Function `assessments`: a learner takes quizzes, and staff grade them.

Every route is one RPC; questions are graded in the database, and no answer is ever logged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shared.http import target
from shared.models import Answers, Body, Grades, Regrade, Submission
from shared.routing import Event, Function, Route, completion


def submitted(user: str | None, body: Body, answer: Mapping[str, Any]) -> Iterator[Event]:
    """The lesson's completion, when this submit brought it about."""
    attempt, progress = answer["attempt"], answer["progress"]
    if answer["changed"] and progress["completed_at"] == attempt["submitted_at"]:
        yield _completion(user, progress)


def graded(user: str | None, body: Body, answer: Mapping[str, Any]) -> Iterator[Event]:
    """The learner's completion, when this grade brought it about."""
    attempt, progress = answer["attempt"], answer["progress"]
    if attempt["graded_at"] is not None and progress["completed_at"] == attempt["graded_at"]:
        yield _completion(attempt["user_id"], progress)


def regraded(user: str | None, body: Body, answer: Mapping[str, Any]) -> Iterator[Event]:
    """How many attempts a regrade looked at, and what it changed."""
    yield Event("regrade", dict(answer))


def _completion(user: str | None, progress: Mapping[str, Any]) -> Event:
    return completion(user, progress["lesson_id"], progress["course_id"], progress["completed_at"])


ROUTES = (
    Route(
        "POST",
        "lessons/{lesson}/attempts",
        "start_attempt",
        "Start an attempt at a quiz",
        answer="quizzes.AttemptStarted",
    ),
    Route(
        "GET",
        "lessons/{lesson}/attempts",
        "get_attempts",
        "Own attempts at a quiz",
        answer="quizzes.Attempts",
    ),
    Route(
        "POST",
        "lessons/{lesson}/submit",
        "submit_quiz",
        "Start and submit an attempt in one go",
        body=Submission,
        report=submitted,
        answer="quizzes.Submitted",
    ),
    Route(
        "POST",
        "lessons/{lesson}/regrade",
        "regrade_lesson",
        "Grade a quiz's attempts again",
        body=Regrade,
        report=regraded,
        answer="quizzes.Regraded",
    ),
    Route(
        "PATCH",
        "attempts/{attempt}",
        "save_answers",
        "Save answers of an open attempt",
        body=Answers,
        answer="quizzes.Saved",
    ),
    Route(
        "POST",
        "attempts/{attempt}/submit",
        "submit_attempt",
        "Submit an attempt",
        body=Submission,
        report=submitted,
        answer="quizzes.Submitted",
    ),
    Route(
        "POST",
        "attempts/{attempt}/grade",
        "grade_attempt",
        "Grade what a person must grade",
        body=Grades,
        report=graded,
        answer="quizzes.Graded",
    ),
)

FUNCTION = Function("assessments", ROUTES)
assessments = target("assessments", FUNCTION)
