"""Function `progress`: a learner enrols, opens and completes lessons, and reads how far they are.

Every route is one RPC; the rules are in the database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shared.http import target
from shared.models import Batch, Body, LessonState, Uncomplete, View
from shared.routing import Event, Function, Route, completion


def completed_lesson(user: str | None, body: Body, answer: Mapping[str, Any]) -> Iterator[Event]:
    """The completion, unless it was there before."""
    progress = answer["progress"]
    new = answer["changed"] and progress["is_completed"]
    if isinstance(body, (LessonState, View)):
        # A report can change a completed row too, but only one that completes it stamps both times.
        new = new and progress["completed_at"] == progress["last_accessed"]
    if isinstance(body, LessonState):
        new = new and body.status == "completed"
    if new:
        yield completion(
            user, progress["lesson_id"], progress["course_id"], progress["completed_at"]
        )


def completed_module(user: str | None, body: Body, answer: Mapping[str, Any]) -> Iterator[Event]:
    """One completion per lesson that the call completed."""
    enrollment = answer["enrollment"]
    for lesson in answer["completed_lesson_ids"]:
        yield completion(user, lesson, enrollment["course_id"], enrollment["last_accessed_at"])


def applied(user: str | None, body: Body, answer: Mapping[str, Any]) -> Iterator[Event]:
    """What became of a batch, and one completion per lesson that it completed."""
    results = answer["results"]
    statuses = ("applied", "unchanged", "recorded", "repeated", "refused")
    counts = {word: sum(result["status"] == word for result in results) for word in statuses}
    yield Event("batch", {"user": user, **counts})
    completed = {result["lesson_id"] for result in results if result["completed"]}
    for row in answer["progress"]:
        if row["lesson_id"] in completed:
            yield completion(user, row["lesson_id"], row["course_id"], row["completed_at"])


ROUTES = (
    Route(
        "POST",
        "courses/{course}/enroll",
        "enroll",
        "Enrol in an open course",
        answer="enrollments.Enrolled",
    ),
    Route(
        "POST",
        "courses/{course}/leave",
        "leave_course",
        "Leave a course; enrolling comes back",
        answer="enrollments.Enrolled",
    ),
    Route(
        "POST",
        "courses/{course}/retake",
        "retake_course",
        "Take a completed course again",
        answer="enrollments.Enrolled",
    ),
    Route(
        "GET",
        "courses/{course}/cycles",
        "get_my_cycles",
        "Earlier runs through a course",
        answer="enrollments.OwnCycles",
    ),
    Route(
        "POST", "lessons/{lesson}/start", "start_lesson", "Open a lesson", answer="progress.Started"
    ),
    Route(
        "POST",
        "lessons/{lesson}/complete",
        "complete_lesson",
        "Mark a lesson complete",
        report=completed_lesson,
        answer="progress.Completed",
    ),
    Route(
        "POST",
        "lessons/{lesson}/view",
        "view_lesson",
        "Heartbeat of a lesson that is being watched or read",
        body=View,
        report=completed_lesson,
        answer="progress.Viewed",
    ),
    Route(
        "POST",
        "batch",
        "apply_events",
        "Apply events that happened offline",
        body=Batch,
        report=applied,
        answer="progress.Applied",
    ),
    Route(
        "POST",
        "lessons/{lesson}/uncomplete",
        "uncomplete_lesson",
        "Take a completion back",
        body=Uncomplete,
        answer="progress.Reopened",
    ),
    Route(
        "PUT",
        "lessons/{lesson}",
        "put_lesson_progress",
        "Report the state that a client holds",
        body=LessonState,
        report=completed_lesson,
        answer="progress.Completed",
    ),
    Route(
        "GET",
        "lessons/{lesson}",
        "get_lesson_progress",
        "One lesson's progress",
        answer="progress.Progress",
    ),
    Route(
        "POST",
        "modules/{module}/start",
        "start_module",
        "Open a module's first open lesson",
        answer="courses.ModuleStarted",
    ),
    Route(
        "POST",
        "modules/{module}/complete",
        "complete_module",
        "Complete every lesson of a module that may be",
        report=completed_module,
        answer="courses.ModuleCompleted",
    ),
    Route(
        "GET",
        "courses/{course}",
        "get_course_progress",
        "Progress in a course",
        answer="courses.OwnCourse",
    ),
    Route(
        "GET",
        "courses/{course}/summary",
        "get_course_summary",
        "A course's totals",
        answer="courses.OwnSummary",
    ),
    Route(
        "GET",
        "courses/{course}/modules/{module}",
        "get_module_progress",
        "Progress in one module",
        answer="courses.OwnModule",
    ),
    Route(
        "GET",
        "programs",
        "get_my_programs",
        "Programs that the learner is in",
        answer="programs.Programs",
    ),
    Route(
        "POST",
        "programs/{program}/enroll",
        "enroll_program",
        "Enrol in an open program",
        answer="programs.ProgramEnrolled",
    ),
    Route(
        "GET",
        "courses/{course}/next",
        "get_next_lesson",
        "Where to go on",
        answer="courses.OwnNextLesson",
    ),
)

FUNCTION = Function("progress", ROUTES)
progress = target("progress", FUNCTION)
