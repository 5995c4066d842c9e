"""What one completion, its next lesson included, costs inside the database.

Each measured call is a real first completion in a transaction of its own, run under EXPLAIN
ANALYZE: that gives time without the client, pages touched and WAL written, all of the same call.
Where the server runs on this machine its CPU time is taken as well, which other work lengthens
less. Sizes take turns, so that whatever disturbs the machine disturbs all of them alike.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from bench import seed
from bench.seed import Course, Db
from bench.stats import median, percentile
from bench.target import say

POSITIONS = ("start", "half", "end")
PER_LEARNER = 3


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    sizes: tuple[int, ...] = (10, 50, 100, 200, 1_000, 10_000)
    learners: int = 20
    enrolments: tuple[int, ...] = (1, 1_000)
    detour_learners: int = 6


@dataclass
class Cost:
    """Measured calls of one kind."""

    times: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)
    pages: list[int] = field(default_factory=list)
    wal: list[int] = field(default_factory=list)

    def add(self, plan: dict[str, Any], cpu: float) -> None:
        """Take the figures of one EXPLAIN, and the CPU milliseconds of its whole transaction."""
        top = plan["Plan"]
        self.cpus.append(cpu)
        self.times.append(float(plan["Execution Time"]))
        self.pages.append(top["Shared Hit Blocks"] + top["Shared Read Blocks"])
        # Whole pages after a checkpoint belong to the checkpoint, not to the call.
        if not top.get("WAL FPI"):
            self.wal.append(top["WAL Bytes"])

    @property
    def time(self) -> float:
        """Median milliseconds."""
        return median(self.times)

    @property
    def cpu(self) -> float:
        """Median milliseconds of CPU, the statement's own frame included; NaN when not known."""
        return median(self.cpus)

    @property
    def spread(self) -> tuple[float, float]:
        """Lower and upper quartile of the milliseconds."""
        return percentile(self.times, 25), percentile(self.times, 75)

    @property
    def page_count(self) -> float:
        """Median of pages touched, counted every time one is touched."""
        return median(self.pages)

    @property
    def wal_bytes(self) -> float:
        """Median of WAL bytes, calls with full page images left out."""
        return median(self.wal)


@dataclass
class Costs:
    """The figures of a run; keys say size and position, or what else was varied."""

    by_place: dict[tuple[int, str], Cost]
    by_enrolments: dict[int, Cost]
    detours: dict[tuple[str, int], Cost]
    least: Cost
    # A call that does nothing: the frame that is in every other call's CPU time.
    nothing: Cost

    def cpu(self, cost: Cost) -> float:
        """CPU milliseconds of a call without its frame; NaN when not known."""
        return cost.cpu - self.nothing.cpu

    def ratio(self, cost: Cost, base: Cost) -> float:
        """What a call costs to another."""
        return ratio(cost, base, self.nothing)


def ratio(cost: Cost, base: Cost, nothing: Cost) -> float:
    """What a call costs to another: by CPU without its frame where known, else by the clock."""
    if math.isnan(cost.cpu):
        return cost.time / base.time
    return (cost.cpu - nothing.cpu) / (base.cpu - nothing.cpu)


@dataclass(frozen=True)
class _Unit:
    """One learner's share of a cell: steps before, then the lessons that are measured."""

    cost: Cost
    user_id: str
    before: tuple[str, ...]
    measured: tuple[str, ...]
    call: str = "select public.complete_lesson(%s)"
    reset: bool = False


def measure(db_url: str, tag: str, plan: Plan) -> Costs:
    """Make courses and learners, and measure."""
    costs = Costs({}, {}, {}, Cost(), Cost())
    with psycopg.connect(db_url, autocommit=True) as db:
        db.execute("set statement_timeout = 0")
        say("cost: making courses and learners")
        courses = {size: seed.make_course(db, tag, size) for size in plan.sizes}
        queues: list[list[_Unit]] = []
        for size, course in courses.items():
            for position in POSITIONS:
                cost = costs.by_place[size, position] = Cost()
                queues.append(_place(db, tag, course, position, plan.learners, cost))
        small = seed.make_course(db, tag, seed.MODULE_SIZE)
        others = [seed.make_course(db, tag, 1) for _ in range(max(plan.enrolments) - 1)]
        for count in plan.enrolments:
            cost = costs.by_enrolments[count] = Cost()
            queues.append(_enrolled(db, tag, small, others[: count - 1], plan.learners, cost))
        for size in (plan.sizes[0], plan.sizes[-1]):
            for name, make in _DETOURS.items():
                cost = costs.detours[name, size] = Cost()
                queues.append(make(db, tag, courses[size], plan.detour_learners, cost))
        queues.append(_nothing(db, tag, small, plan.learners, costs.nothing))
        queues.append(_least(db, tag, courses[plan.sizes[0]], plan.learners, costs.least))
        seed.settle(db)
        _warm_up(db, tag, list(courses.values()))
        say("cost: measuring")
        _run(db, queues)
        db.execute("reset role")
        db.execute("drop schema bench_least cascade")
    return costs


def _run(db: Db, queues: Sequence[Sequence[_Unit]]) -> None:
    clock = CpuClock(db.info.backend_pid)
    shuffle = random.Random(2)
    for turn in range(max(map(len, queues))):
        for queue in shuffle.sample(list(queues), len(queues)):
            if turn < len(queue):
                _run_one(db, queue[turn], clock)


def _run_one(db: Db, unit: _Unit, clock: CpuClock) -> None:
    become(db, unit.user_id)
    for lesson in unit.before:
        db.execute("select public.complete_lesson(%s)", [lesson])
    for lesson in unit.measured:
        if unit.reset:
            # As after an edit of the course, or after taking a completion back.
            db.execute("reset role")
            db.execute(
                "update public.enrollments set frontier_version = null where user_id = %s",
                [unit.user_id],
            )
            db.execute("set role authenticated")
        explain(db, clock, unit.cost, unit.call, lesson)


class CpuClock:
    """CPU milliseconds that a server process of this machine has burnt; NaN for any other."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")
        try:
            name = (self._folder / "comm").read_text()
        except OSError:
            name = ""
        self._is_here = name.startswith("postgres")

    def read(self) -> float:
        """The reading once the process waits for us again: while it runs, the kernel's lags."""
        if not self._is_here:
            return math.nan
        while (self._folder / "stat").read_text().rpartition(")")[2].split()[0] != "S":
            time.sleep(0)
        return int((self._folder / "schedstat").read_text().split()[0]) / 1e6


def explain(db: Db, clock: CpuClock, cost: Cost, call: str, *values: Any) -> None:
    """Make a call under EXPLAIN ANALYZE, in a transaction of its own, and add what it cost."""
    before = clock.read()
    row = db.execute(
        "explain (analyze, buffers, wal, timing off, format json) " + call, values
    ).fetchone()
    assert row is not None
    cost.add(row[0][0], clock.read() - before)


def become(db: Db, user_id: str) -> None:
    """From here on the session is this learner's, as PostgREST would make it."""
    claims = json.dumps({"sub": user_id, "role": "authenticated"})
    db.execute("select set_config('request.jwt.claims', %s, false)", [claims])
    db.execute("set role authenticated")


def _warm_up(db: Db, tag: str, courses: Sequence[Course]) -> None:
    """Let the session plan what it will run, and settle on it."""
    for course in courses:
        users = seed.make_learners(db, tag, 1)
        seed.enrol(db, course.id, users)
        become(db, users[0])
        for lesson in course.lessons[:10]:
            db.execute("select public.complete_lesson(%s)", [lesson])
        db.execute("reset role")
        db.execute("select set_config('request.jwt.claims', '', false)")


# What is varied -----------------------------------------------------------------------------------


def _place(
    db: Db, tag: str, course: Course, position: str, learners: int, cost: Cost
) -> list[_Unit]:
    """Learners who stand at the start, in the middle of the module half-way, or at the end.

    The one completion before the measured ones is made as a learner makes it, so that what the
    write path remembers of the last step is there.
    """
    size = len(course.lessons)
    half = size // (2 * seed.MODULE_SIZE) * seed.MODULE_SIZE + seed.MODULE_SIZE // 2 - 1
    done = {"start": 0, "half": half, "end": size - PER_LEARNER - 1}[position]
    users = seed.make_learners(db, tag, learners)
    seed.enrol(db, course.id, users)
    if done:
        seed.mark_done(db, course, users, course.lessons[:done])
    before = course.lessons[done : done + 1]
    measured = course.lessons[done + 1 : done + 1 + PER_LEARNER]
    return [_Unit(cost, user, before, measured) for user in users]


def _enrolled(
    db: Db, tag: str, course: Course, others: Sequence[Course], learners: int, cost: Cost
) -> list[_Unit]:
    """Learners of a ten-lesson course who are enrolled in others too, and have begun each."""
    users = seed.make_learners(db, tag, learners)
    seed.enrol(db, course.id, users)
    ids = [other.id for other in others]
    db.execute(
        "insert into public.enrollments (user_id, course_id) "
        "select u, c from unnest(%s::uuid[]) as u, unnest(%s::bigint[]) as c",
        [users, ids],
    )
    db.execute(
        """
        insert into public.user_progress
          (user_id, lesson_id, course_id, status, started_at, last_accessed)
        select u, l.id, l.course_id, 'in_progress', now(), now()
          from unnest(%s::uuid[]) as u, public.lessons l
         where l.course_id = any (%s)
        """,
        [users, ids],
    )
    return [_Unit(cost, user, course.lessons[:1], course.lessons[1:-1]) for user in users]


def _after_edit(db: Db, tag: str, course: Course, learners: int, cost: Cost) -> list[_Unit]:
    """At the end of the course, when what is remembered of the next lesson no longer holds."""
    units = _place(db, tag, course, "end", learners, cost)
    return [_Unit(cost, unit.user_id, unit.before, unit.measured, reset=True) for unit in units]


def _first_last(db: Db, tag: str, course: Course, learners: int, cost: Cost) -> list[_Unit]:
    """All but the first and the last lesson are done, and now the first."""
    users = seed.make_learners(db, tag, learners)
    seed.enrol(db, course.id, users)
    seed.mark_done(db, course, users, course.lessons[1:-2])
    return [_Unit(cost, user, course.lessons[-2:-1], course.lessons[:1]) for user in users]


_DETOURS: dict[str, Callable[[Db, str, Course, int, Cost], list[_Unit]]] = {
    "first completion after an edit of the course, at the end": _after_edit,
    "the first lesson last, all others but one done": _first_last,
}


def _nothing(db: Db, tag: str, course: Course, learners: int, cost: Cost) -> list[_Unit]:
    """A call that only reads its argument."""
    users = seed.make_learners(db, tag, learners)
    call = "select %s::uuid"
    return [_Unit(cost, user, (), course.lessons[:PER_LEARNER], call=call) for user in users]


def _least(db: Db, tag: str, course: Course, learners: int, cost: Cost) -> list[_Unit]:
    """The least SQL that keeps a counter: one upsert, one counter, one event; no checks at all."""
    db.execute(
        """
        create schema bench_least;
        create table bench_least.progress (
          user_id uuid, lesson_id uuid, completed_at timestamptz, primary key (user_id, lesson_id));
        create table bench_least.enrollments (
          user_id uuid, course_id bigint, completed integer, primary key (user_id, course_id));
        create table bench_least.events (
          id bigint generated always as identity primary key, user_id uuid, lesson_id uuid,
          occurred_at timestamptz);
        create function bench_least.complete(p_user uuid, p_course bigint, p_lesson uuid)
        returns integer language plpgsql as $$
        declare
          v_completed integer;
        begin
          insert into bench_least.progress values (p_user, p_lesson, now())
              on conflict (user_id, lesson_id) do update set completed_at = excluded.completed_at;
          update bench_least.enrollments set completed = completed + 1
           where user_id = p_user and course_id = p_course
          returning completed into v_completed;
          insert into bench_least.events (user_id, lesson_id, occurred_at)
          values (p_user, p_lesson, now());
          return v_completed;
        end $$;
        grant usage on schema bench_least to authenticated;
        grant all on all tables in schema bench_least to authenticated;
        """
    )
    users = seed.make_learners(db, tag, learners)
    db.execute(
        "insert into bench_least.enrollments select u, %s, 0 from unnest(%s::uuid[]) as u",
        [course.id, users],
    )
    return [
        _Unit(
            cost,
            user,
            (),
            course.lessons[1:-1],
            call=f"select bench_least.complete('{user}', {course.id}, %s)",
        )
        for user in users
    ]
