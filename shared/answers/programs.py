"""Programs, as their learners stand in them."""

from __future__ import annotations

from typing_extensions import TypedDict

from shared.answers.kinds import CourseStatus, Percent, Time, Uuid


class ProgramCourse(TypedDict):
    """A course of a program."""

    course_id: int
    slug: str
    title: str
    status: CourseStatus
    is_required: bool
    weight: int
    is_enrolled: bool
    percent: Percent | None
    """Null unless enrolled."""
    completed_at: Time | None
    """The first time, of any cycle."""


class Program(TypedDict):
    """A program that the learner is in; percent and totals count required courses."""

    id: int
    slug: str
    title: str
    author: str | None
    image_url: str | None
    status: CourseStatus
    enrolled_at: Time
    completed_at: Time | None
    percent: Percent
    completed_courses: int
    total_courses: int
    certificate_id: Uuid | None
    courses: list[ProgramCourse]


class Programs(TypedDict):
    """Own programs, the latest hundred."""

    programs: list[Program]


class ProgramEnrolled(TypedDict):
    """A program that was enrolled in."""

    program: Program
    changed: bool


class ProgramPut(TypedDict):
    """A program was made, or made equal to a document."""

    program_id: int
    slug: str
    courses: int
    """How many it has."""
    changed: bool


class ProgramDeleted(TypedDict):
    """A program is gone; its courses stay."""

    program_id: int
    enrollments: int
    """How many learners were in it."""
