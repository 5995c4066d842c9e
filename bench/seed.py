"""Courses and learners for the benchmarks, made by SQL: thousands of sign-ups would prove nothing.

What a bench makes carries its tag, so that a stack that is not our own can be left as it was.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import psycopg

Db = psycopg.Connection[Any]
MODULE_SIZE = 10


@dataclass(frozen=True)
class Course:
    """A published course and its lessons in learning order."""

    id: int
    lessons: tuple[str, ...]


def make_course(db: Db, tag: str, lessons: int, module_size: int = MODULE_SIZE) -> Course:
    """A course of so many equal lessons, in modules of `module_size`."""
    row = db.execute(
        "insert into public.courses (slug, title, status) values (%s, %s, 'published') "
        "returning id",
        [f"{tag}-{uuid.uuid4().hex[:12]}", f"Bench {lessons}"],
    ).fetchone()
    assert row is not None
    course_id = int(row[0])
    db.execute(
        """
        with made as (
          insert into public.modules (course_id, position, title)
          select %(course)s, n, 'Module ' || n
            from generate_series(1, ceil(%(lessons)s / %(size)s::numeric)::integer) as n
          returning id, position
        )
        select id, position from made
        """,
        {"course": course_id, "lessons": lessons, "size": module_size},
    )
    db.execute(
        """
        insert into public.lessons (module_id, position, title, type, duration_seconds, content)
        select m.id, n, 'Lesson ' || n, 'video', 300,
               -- Some 3 kB that do not compress, as a lesson's text would be.
               (select string_agg(md5(n || ':' || word), ' ')
                  from generate_series(1, 100) as word)
          from generate_series(1, %(lessons)s) as n
          join public.modules m
            on m.course_id = %(course)s and m.position = (n - 1) / %(size)s + 1
        """,
        {"course": course_id, "lessons": lessons, "size": module_size},
    )
    rows = db.execute(
        """
        select id from public.lessons where course_id = %s
         order by module_position, module_id, position, id
        """,
        [course_id],
    ).fetchall()
    return Course(course_id, tuple(str(row[0]) for row in rows))


def make_learners(db: Db, tag: str, count: int) -> list[str]:
    """New users without any enrolment."""
    users = [str(uuid.uuid4()) for _ in range(count)]
    db.execute(
        "insert into auth.users (id, email) select u, u || '@' || %s from unnest(%s::uuid[]) as u",
        [f"{tag}.invalid", users],
    )
    return users


def enrol(db: Db, course_id: int, users: list[str]) -> dict[str, str]:
    """Enrol users as a shop's server would; the enrolment's id by user."""
    rows = db.execute(
        """
        insert into public.enrollments (user_id, course_id)
        select u, %s from unnest(%s::uuid[]) as u
        returning user_id, id
        """,
        [course_id, users],
    ).fetchall()
    return {str(user): str(enrolment) for user, enrolment in rows}


def mark_done(db: Db, course: Course, users: list[str], lessons: tuple[str, ...]) -> None:
    """Give users completed rows of these lessons in bulk, and counters that agree with them."""
    db.execute(
        """
        insert into public.user_progress
          (user_id, lesson_id, course_id, status, progress, started_at, last_accessed, completed_at,
           completed_on)
        select u, l, %s, 'completed', 1, now(), now(), now(), current_date
          from unnest(%s::uuid[]) as u, unnest(%s::uuid[]) as l
        """,
        [course.id, users, list(lessons)],
    )
    db.execute(
        """
        select public.recalculate(p_enrollment_id => e.id)
          from public.enrollments e
         where e.course_id = %s and e.user_id = any (%s::uuid[])
        """,
        [course.id, users],
    )


def settle(db: Db) -> None:
    """Statistics and hint bits, as a database that has stood for a while has them."""
    for table in (
        "user_progress",
        "module_progress",
        "enrollments",
        "daily_activity",
        "progress_events",
        "lessons",
        "modules",
        "courses",
        "profiles",
    ):
        db.execute(f"vacuum (analyze) public.{table}")


def remove(db: Db, tag: str) -> None:
    """Take away the learners and courses that carry the tag."""
    whose = [f"%@{tag}.invalid"]
    # History has no foreign key, so that it outlives its learners.
    db.execute(
        "delete from public.progress_events e using auth.users u"
        " where u.id = e.user_id and u.email like %s",
        whose,
    )
    db.execute("delete from auth.users where email like %s", whose)
    db.execute("delete from public.courses where slug like %s", [f"{tag}-%"])
