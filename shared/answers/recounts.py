"""Progress counted again."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from shared.answers.kinds import Percent, Time, Uuid

# What made the counters differ: they had drifted, or an edit of the course was not counted yet.
Cause = Literal["recalculation", "catalog"]


class Counters(TypedDict):
    """The counters of an enrolment."""

    completed_lessons: int
    total_lessons: int
    completed_weight: int
    total_weight: int
    score_sum: int
    """Of the best scores, in hundredths."""
    scored_lessons: int
    progress_percent: Percent
    completed_at: Time | None


class ModuleCounters(TypedDict):
    """The counters of a module."""

    completed_lessons: int
    total_lessons: int
    completed_quizzes: int
    total_quizzes: int


class ModuleDrift(TypedDict):
    """A module that was counted wrongly."""

    module_id: Uuid
    before: ModuleCounters | None
    after: ModuleCounters


class Drift(TypedDict):
    """What counting again has found in one enrolment; null where only modules differ."""

    enrollment_id: Uuid
    course_id: int
    by: Cause
    before: Counters | None
    after: Counters | None
    modules: list[ModuleDrift]


class Uncounted(TypedDict):
    """An enrolment that could not be counted, in the database's words."""

    enrollment_id: Uuid
    message: str


class Slice(TypedDict):
    """A slice of enrolments was counted again."""

    checked: int
    changed: int
    cursor: Uuid | None
    """There is more: go on with it."""
    drift: list[Drift]
    failed: list[Uncounted]


class Recalculated(Slice):
    """One enrolment was counted again."""

    enrollment_id: Uuid
    old_percent: Percent
    progress_percent: Percent
    completed_at: Time | None


# By what was asked for.
Recount = Recalculated | Slice
