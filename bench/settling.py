"""Settling: a lesson is added to a course of many learners while some of them complete lessons.

Two ways, on the same population: all enrolments in the edit's own transaction (the limit raised
above them), and by the job that the worker does in slices (the limit as it ships). Each with how
long it took until every enrolment was settled, how long the edit itself took, and how long the
slowest completion waited for its answer meanwhile.

The completions come from two threads, one connection each, as fast as they are answered, by
learners chosen at random: at that rate somebody always waits at the door when it shuts.
"""

from __future__ import annotations

import json
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import psycopg

from bench import seed
from bench.stats import percentile
from bench.target import say

LESSONS = 20
DONE = 5
WORKERS = 2
SLICE = 200


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    enrolments: int = 100_000
    quiet: float = 3.0  # seconds of completions before and after


@dataclass
class Way:
    """What one way of settling took, in seconds."""

    edit: float = 0.0
    settled: float = 0.0
    slices: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    @property
    def longest(self) -> float:
        """The slowest completion."""
        return max(self.waits, default=0.0)


@dataclass
class Settlings:
    """The figures of a run."""

    plan: Plan
    before: list[float]
    at_once: Way
    by_job: Way
    drifted: int

    @property
    def usual(self) -> float:
        """The slowest but one in a hundred while nobody edits."""
        return percentile(self.before, 99)


def measure(db_url: str, tag: str, plan: Plan) -> Settlings:
    """Make a course and its learners, edit it both ways, and count everything again."""
    with psycopg.connect(db_url, autocommit=True) as db:
        db.execute("set statement_timeout = 0")
        say(f"settling: enrolling {plan.enrolments:,} learners")
        course = seed.make_course(db, tag, LESSONS)
        users = seed.make_learners(db, tag, plan.enrolments)
        _begin(db, course, users)
        was = db.execute(
            "select value from private.settings where name = 'settle_limit'"
        ).fetchone()
        assert was is not None
        try:
            say("settling: nobody edits")
            with Crowd(db_url, course, users) as crowd:
                time.sleep(plan.quiet)
            before = crowd.waits
            say("settling: at once")
            _limit(db, str(10 * plan.enrolments))
            at_once = _edit(db, db_url, course, users, plan)
            say("settling: by the job")
            _limit(db, str(min(int(was[0]), plan.enrolments - 1)))
            by_job = _edit(db, db_url, course, users, plan)
        finally:
            _limit(db, was[0])
        say("settling: counting again")
        drifted = _drifted(db, course)
    return Settlings(plan, before, at_once, by_job, drifted)


def _limit(db: seed.Db, value: str) -> None:
    db.execute("update private.settings set value = %s where name = 'settle_limit'", [value])


def _begin(db: seed.Db, course: seed.Course, users: list[str]) -> None:
    """Everybody has done the first few lessons, most of the first module."""
    for first in range(0, len(users), 10_000):
        some = users[first : first + 10_000]
        db.execute(
            "insert into public.user_progress (user_id, lesson_id, course_id, status, progress,"
            " started_at, last_accessed, completed_at, completed_on)"
            " select u, l, %s, 'completed', 1, now(), now(), now(), current_date"
            "   from unnest(%s::uuid[]) as u, unnest(%s::uuid[]) as l",
            [course.id, some, list(course.lessons[:DONE])],
        )
        db.execute(
            "insert into public.module_progress (user_id, module_id, course_id, completed_lessons,"
            " total_lessons, started_at)"
            " select u, m.id, m.course_id, %s, m.total_lessons, now()"
            "   from unnest(%s::uuid[]) as u, public.modules m"
            "  where m.course_id = %s and m.position = 1",
            [DONE, some, course.id],
        )
        db.execute(
            "insert into public.enrollments (user_id, course_id)"
            " select u, %s from unnest(%s::uuid[]) as u",
            [course.id, some],
        )
    seed.settle(db)


def _edit(db: seed.Db, db_url: str, course: seed.Course, users: list[str], plan: Plan) -> Way:
    """Add a lesson to the first module, which everybody has begun, and work off what is left."""
    way = Way()
    with Crowd(db_url, course, users) as crowd:
        time.sleep(plan.quiet)
        begun = time.monotonic()
        with db.transaction():
            db.execute(
                'select public.create_lesson(m.id, \'{"title": "Added"}\')'
                "  from public.modules m where m.course_id = %s and m.position = 1",
                [course.id],
            )
            # The bench is the worker: nobody else is to do its work.
            db.execute(
                "delete from private.jobs"
                " where kind = 'course.settle' and payload ->> 'course_id' = %s",
                [str(course.id)],
            )
        way.edit = time.monotonic() - begun
        settling, cursor = True, None
        while settling:
            start = time.monotonic()
            answer = _slice(db, course.id, cursor)
            settling, cursor = answer["settling"], answer["cursor"]
            way.slices.append(time.monotonic() - start)
        way.settled = time.monotonic() - begun
        time.sleep(plan.quiet)
    way.waits = crowd.waits
    return way


def _slice(db: seed.Db, course_id: int, cursor: str | None) -> dict[str, Any]:
    row = db.execute(
        "select public.settle_course(%s, %s, %s)", [course_id, cursor, SLICE]
    ).fetchone()
    assert row is not None
    answer: dict[str, Any] = row[0]
    return answer


def _drifted(db: seed.Db, course: seed.Course) -> int:
    cursor, found = None, 0
    while True:
        row = db.execute(
            "select private.recalculate_slice(%s, %s, 5000, true, 60)", [course.id, cursor]
        ).fetchone()
        assert row is not None
        found += int(row[0]["changed"])
        cursor = row[0]["cursor"]
        if cursor is None:
            return found


class Crowd:
    """Learners who complete lessons, one after another, until they are sent home."""

    def __init__(self, db_url: str, course: seed.Course, users: list[str]) -> None:
        self.waits: list[float] = []
        self._over = threading.Event()
        self._problems: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._learn, args=(db_url, course, users, n))
            for n in range(WORKERS)
        ]

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self._problems:
            raise self._problems[0]

    def _learn(self, db_url: str, course: seed.Course, users: list[str], n: int) -> None:
        chance = random.Random(n)
        try:
            with psycopg.connect(db_url, autocommit=True, prepare_threshold=2) as session:
                session.execute("set role authenticated")
                while not self._over.is_set():
                    user = chance.choice(users)
                    lesson = chance.choice(course.lessons[DONE:])
                    claims = json.dumps({"sub": user, "role": "authenticated"})
                    begun = time.monotonic()
                    session.execute(
                        "with here as materialized ("
                        " select set_config('request.jwt.claims', %s, true))"
                        " select public.complete_lesson(%s) from here",
                        [claims, lesson],
                    )
                    self.waits.append(time.monotonic() - begun)
        except BaseException as problem:
            self._problems.append(problem)
