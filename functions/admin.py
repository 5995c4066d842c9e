"""Function `admin`: what staff and admins do: exceptions, enrolments, cohorts, cycles, programs.

Each route is one RPC, with the caller's own token: the database knows who may, and audits it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shared.http import target
from shared.models import (
    Body,
    CohortMembers,
    CohortName,
    Extension,
    ForLearner,
    Learners,
    Merge,
    NewCohort,
    ProgramDocument,
    Reason,
    Removal,
    Replacement,
)
from shared.routing import Event, Function, Route, completion


def completed(user: str | None, body: Body, answer: Mapping[str, Any]) -> Iterator[Event]:
    """The learner's completion, when this command brought it about."""
    if answer["changed"] and isinstance(body, ForLearner):
        progress = answer["progress"]
        yield completion(
            body.user_id, progress["lesson_id"], progress["course_id"], progress["completed_at"]
        )


ROUTES = (
    Route(
        "POST",
        "lessons/{lesson}/excuse",
        "excuse_lesson",
        "Waive a lesson for one learner",
        body=ForLearner,
        answer="staff.Excepted",
    ),
    Route(
        "POST",
        "lessons/{lesson}/unexcuse",
        "unexcuse_lesson",
        "Take a waiver back",
        body=ForLearner,
        answer="staff.Excepted",
    ),
    Route(
        "POST",
        "lessons/{lesson}/complete",
        "complete_lesson_for",
        "Complete a lesson for a learner",
        body=ForLearner,
        report=completed,
        answer="staff.Excepted",
    ),
    Route(
        "POST",
        "lessons/{lesson}/reopen",
        "reopen_lesson_for",
        "Take a learner's completion back",
        body=ForLearner,
        answer="staff.Excepted",
    ),
    Route(
        "POST",
        "lessons/{lesson}/replace",
        "replace_lesson",
        "Replace a lesson, progress carried over",
        body=Replacement,
        answer="staff.Replaced",
    ),
    Route(
        "POST",
        "enrollments/{enrollment}/extend",
        "extend_enrollment",
        "Move an enrolment's deadline",
        body=Extension,
        answer="enrollments.Enrolled",
    ),
    Route(
        "POST",
        "enrollments/{enrollment}/withdraw",
        "withdraw_enrollment",
        "End an enrolment",
        body=Reason,
        answer="enrollments.Enrolled",
    ),
    Route(
        "POST",
        "enrollments/{enrollment}/reinstate",
        "reinstate_enrollment",
        "Let a withdrawn enrolment go on",
        body=Reason,
        answer="enrollments.Enrolled",
    ),
    Route(
        "POST",
        "courses/{course}/enrollments",
        "bulk_enroll",
        "Enrol many learners",
        body=Learners,
        answer="staff.PerLearner",
    ),
    Route(
        "POST",
        "courses/{course}/cohorts",
        "create_cohort",
        "Make a cohort",
        body=NewCohort,
        answer="staff.CohortChanged",
    ),
    Route(
        "POST",
        "courses/{course}/cohorts/assign",
        "assign_cohort",
        "Put learners into a cohort",
        body=CohortMembers,
        answer="staff.PerLearner",
    ),
    Route(
        "POST",
        "cohorts/{cohort}/rename",
        "rename_cohort",
        "Rename a cohort",
        body=CohortName,
        answer="staff.CohortChanged",
    ),
    Route(
        "POST",
        "courses/{course}/cycles",
        "start_cycle",
        "Have a learner begin a course anew",
        body=ForLearner,
        answer="enrollments.Enrolled",
    ),
    Route(
        "POST",
        "users/merge",
        "merge_users",
        "Unite two accounts of one person",
        body=Merge,
        answer="staff.Merged",
    ),
    Route(
        "POST",
        "programs",
        "put_program",
        "Make a program, or make it equal to a document",
        body=ProgramDocument,
        answer="programs.ProgramPut",
    ),
    Route(
        "POST",
        "programs/{program}/delete",
        "delete_program",
        "Delete a program; its courses stay",
        body=Removal,
        answer="programs.ProgramDeleted",
    ),
)

FUNCTION = Function("admin", ROUTES)
admin = target("admin", FUNCTION)
