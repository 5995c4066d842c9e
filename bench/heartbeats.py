"""Heartbeats: what one costs, whether its updates are HOT, and what the function passes on.

Three measurements on one population: learners with progress in every lesson of a course and a long
history of sessions.

- One heartbeat under EXPLAIN ANALYZE, like a completion in `bench.cost`.
- Every learner sends one every 30 seconds of a clock that the bench sets: PostgreSQL's own counters
  say how many updates were HOT, and what is left of dead rows.
- A hundred sessions send as fast as they are answered, through each door in turn.
"""

from __future__ import annotations

import json
import math
import random
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import uvloop

from bench import load, seed
from bench.client import closed_loop
from bench.cost import Cost, CpuClock, become
from bench.doors import doors
from bench.learners import PREFIX, Learner, Task
from bench.stats import median, paired_ratio, percentile
from bench.target import Target, say

LESSONS = 100
TABLES = (
    "public.user_progress",
    "public.enrollments",
    "public.daily_activity",
    "private.watch_sessions",
    "private.watch_credit",
    "private.rate_buckets",
)
PAUSE = 30


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    learners: int = 10_000
    history: int = 500  # sessions of each learner before
    beats: int = 10
    connections: int = 4
    sample: int = 300
    sessions: int = 100
    rounds: int = 5
    seconds: float = 2.0


@dataclass
class Updates:
    """What happened to one table while everybody sent heartbeats."""

    updates: int
    hot: int
    dead: int
    rows: int
    growth: int

    @property
    def share(self) -> float:
        """HOT updates in percent."""
        return 100 * self.hot / self.updates if self.updates else math.nan


@dataclass
class Through:
    """One door under load."""

    rates: list[float] = field(default_factory=list)
    latencies: list[list[float]] = field(default_factory=list)
    failures: int = 0
    waits: int = 0

    def latency(self, percent: float) -> float:
        """Milliseconds, the median over the rounds."""
        return 1000 * median([percentile(window, percent) for window in self.latencies])


@dataclass
class Heartbeats:
    """The figures of a run."""

    plan: Plan
    progress_rows: int
    sessions: int
    one: Cost
    nothing: Cost
    by_table: dict[str, Updates]
    sent: int
    doors: dict[str, Through]

    @property
    def ratio(self) -> float:
        """Throughput of the function to PostgREST's, round by round."""
        return paired_ratio(self.doors["function"].rates, self.doors["PostgREST"].rates)

    @property
    def hot(self) -> float:
        """The lowest share of HOT updates of a table, in percent."""
        return min(table.share for table in self.by_table.values())


def measure(target: Target, tag: str, plan: Plan) -> Heartbeats:
    """Make learners and measure; limits are as before afterwards."""
    with psycopg.connect(target["DB_URL"], autocommit=True) as db:
        db.execute("set statement_timeout = 0")
        limits = db.execute(
            "select per_second, burst from private.rate_limits where bucket = 'view'"
        ).fetchone()
        db.execute(
            "update private.rate_limits set per_second = 1000000, burst = 1000000000"
            " where bucket = 'view'"
        )
        try:
            say("heartbeats: making learners and their history")
            course = seed.make_course(db, tag, LESSONS)
            users = _learners(db, tag, course, plan)
            counted = db.execute(
                "select (select count(*) from public.user_progress),"
                " (select count(*) from private.watch_sessions)"
            ).fetchone()
            assert counted is not None
            say("heartbeats: one at a time")
            one, nothing = _one(db, course, users, plan)
            say("heartbeats: from everybody")
            by_table, sent = _everybody(db, target["DB_URL"], course, users, plan)
            say("heartbeats: through the doors")
            through = uvloop.run(_doors(target, db, course, users, plan))
        finally:
            db.execute("reset role")
            db.execute("select set_config('waymark.now', '', false)")
            if limits is not None:
                db.execute(
                    "update private.rate_limits set per_second = %s, burst = %s"
                    " where bucket = 'view'",
                    limits,
                )
    return Heartbeats(plan, counted[0], counted[1], one, nothing, by_table, sent, through)


def _learners(db: seed.Db, tag: str, course: seed.Course, plan: Plan) -> list[str]:
    users = seed.make_learners(db, tag, plan.learners)
    seed.enrol(db, course.id, users)
    # Long enough ago that the clock bounds nobody.
    db.execute(
        "update public.enrollments set enrolled_at = now() - interval '20 days'"
        " where course_id = %s",
        [course.id],
    )
    lessons = list(course.lessons)
    db.execute(
        """
        insert into public.user_progress
          (user_id, lesson_id, course_id, status, started_at, last_accessed)
        select u, l, %s, 'in_progress', now() - interval '1 day', now() - interval '1 day'
          from unnest(%s::uuid[]) as u, unnest(%s::uuid[]) as l
         order by hashtext(u::text || l::text)
        """,
        [course.id, users, lessons],
    )
    for first in range(0, len(users), 500):
        db.execute(
            """
            insert into private.watch_sessions
              (user_id, session_id, lesson_id, seconds, begun, until)
            select u, gen_random_uuid(), (%s::uuid[])[1 + n %% %s], 60, 0, 60
              from unnest(%s::uuid[]) as u, generate_series(1, %s) as n
            """,
            [lessons, len(lessons), users[first : first + 500], plan.history],
        )
    db.execute(
        "insert into private.watch_credit (user_id, spent)"
        " select u, '{[0,60),[1000,1060),[5000,9000)}' from unnest(%s::uuid[]) as u",
        [users],
    )
    seed.settle(db)
    for table in ("private.watch_sessions", "private.watch_credit"):
        db.execute(f"vacuum (analyze) {table}".encode())
    return users


def _call(seconds: int, lesson: str, session: str) -> str:
    return (
        f"select public.view_lesson('{lesson}', '{session}', {seconds}, {seconds % 300},"
        f" '[[0, {min(seconds, 300)}]]', 'chapter')"
    )


def _one(db: seed.Db, course: seed.Course, users: list[str], plan: Plan) -> tuple[Cost, Cost]:
    """Second heartbeats of sessions, which is what most are, and calls that do nothing."""
    one, nothing = Cost(), Cost()
    clock = CpuClock(db.info.backend_pid)
    chance = random.Random(3)
    begin = datetime.now(UTC) - timedelta(days=1)
    for n in range(plan.sample + 20):
        become(db, chance.choice(users))
        lesson, session = chance.choice(course.lessons), str(uuid.uuid4())
        for seconds in (PAUSE, 2 * PAUSE):
            now = begin + timedelta(seconds=seconds)
            db.execute("select set_config('waymark.now', %s, false)", [now.isoformat()])
            for cost, call in ((nothing, "select 1"), (one, _call(seconds, lesson, session))):
                before = clock.read()
                row = db.execute(
                    ("explain (analyze, buffers, wal, timing off, format json) " + call).encode()
                ).fetchone()
                assert row is not None
                burnt = clock.read() - before
                if n >= 20 and seconds > PAUSE:
                    cost.add(row[0][0], burnt)
        db.execute("reset role")
    return one, nothing


def _counts(db: seed.Db) -> dict[str, dict[str, Any]]:
    rows = db.execute(
        """
        select schemaname || '.' || relname, n_tup_upd, n_tup_hot_upd, n_dead_tup,
               pg_total_relation_size(relid), n_live_tup
          from pg_stat_user_tables where schemaname || '.' || relname = any (%s)
        """,
        [list(TABLES)],
    ).fetchall()
    names = ("updates", "hot", "dead", "bytes", "rows")
    return {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}


def _everybody(
    db: seed.Db, db_url: str, course: seed.Course, users: list[str], plan: Plan
) -> tuple[dict[str, Updates], int]:
    """All learners watch at once, each one lesson, for so many heartbeats."""
    sessions = {
        user: (course.lessons[n % LESSONS], str(uuid.uuid4())) for n, user in enumerate(users)
    }
    # In the past, so that what comes after it is newer.
    begin = datetime.now(UTC) - timedelta(hours=6)
    problems: list[BaseException] = []

    def play(share: list[str], beats: range) -> None:
        try:
            with psycopg.connect(db_url, autocommit=True, prepare_threshold=2) as session:
                session.execute("set role authenticated")
                for n in beats:
                    now = (begin + timedelta(seconds=PAUSE * n)).isoformat()
                    for user in share:
                        lesson, name = sessions[user]
                        seconds = PAUSE * n
                        session.execute(
                            "with here as materialized ("
                            " select set_config('request.jwt.claims', %s, true),"
                            "  set_config('waymark.now', %s, true))"
                            " select public.view_lesson(%s, %s, %s, %s, %s, 'chapter') from here",
                            [
                                json.dumps({"sub": user, "role": "authenticated"}), now, lesson,
                                name, seconds, seconds % 300, json.dumps([[0, min(seconds, 300)]]),
                            ],
                        )  # fmt: skip
                session.execute("select pg_stat_force_next_flush()")
                session.execute("select 1")
        except BaseException as problem:
            problems.append(problem)

    def turn(beats: range) -> None:
        shares = [users[n :: plan.connections] for n in range(plan.connections)]
        threads = [threading.Thread(target=play, args=(share, beats)) for share in shares]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if problems:
            raise problems[0]

    # The first one opens sessions and days: those are inserts.
    turn(range(1, 2))
    before = _counts(db)
    turn(range(2, plan.beats + 2))
    after = _counts(db)
    found = {
        name: Updates(
            updates=after[name]["updates"] - before[name]["updates"],
            hot=after[name]["hot"] - before[name]["hot"],
            dead=after[name]["dead"],
            rows=after[name]["rows"],
            growth=after[name]["bytes"] - before[name]["bytes"],
        )
        for name in TABLES
    }
    return found, plan.beats * len(users)


class Beats:
    """A heartbeat as an operation of the doors: each worker is one learner with one session.

    Their sessions began days ago, so that every heartbeat is paid in full although no time passes.
    """

    name = "view"
    rpc = "view_lesson"

    def __init__(self, learners: list[Learner], lesson: str) -> None:
        self._learners = learners
        self._lesson = lesson
        self._sessions = [str(uuid.uuid4()) for _ in learners]
        self._seconds = [0] * len(learners)

    def prepare(self, db: seed.Db) -> None:
        """Open the sessions, days ago."""
        db.execute(
            """
            insert into private.watch_sessions
              (user_id, session_id, lesson_id, seconds, begun, until)
            select u, s, %s, 0, b, b
              from unnest(%s::uuid[], %s::uuid[]) as x (u, s),
                   private.tick(now() - interval '15 days') as b
            """,
            [self._lesson, [one.user_id for one in self._learners], self._sessions],
        )

    def work(self, number: int) -> Iterator[Task]:
        """Endless heartbeats of one learner; the second place says which."""
        while True:
            self._seconds[number] += 10
            yield self._learners[number], str(number)

    def arguments(self, learner: Learner, which: str | None) -> dict[str, Any]:
        """The RPC's arguments."""
        return {f"p_{name}": value for name, value in self._body(which).items()} | {
            "p_lesson_id": self._lesson
        }

    def route(self, learner: Learner, which: str | None) -> tuple[str, str, dict[str, Any] | None]:
        """Method, path and body at the function."""
        return "POST", f"{PREFIX}/progress/lessons/{self._lesson}/view", self._body(which)

    def _body(self, which: str | None) -> dict[str, Any]:
        number = int(which or 0)
        seconds = self._seconds[number]
        return {
            "session_id": self._sessions[number],
            "seconds": seconds,
            "position_seconds": seconds % 300,
            "section": "chapter",
        }


async def _doors(
    target: Target, db: seed.Db, course: seed.Course, users: list[str], plan: Plan
) -> dict[str, Through]:
    ways = [door for door in doors(target, with_gateway=False) if door.name != "SQL"]
    found = {door.name: Through() for door in ways}
    learners = [Learner(target, user, "", course.id) for user in users[: plan.sessions]]
    for learner in learners:
        _ = learner.token
    db.execute("reset role")
    operation = Beats(learners, course.lessons[0])
    operation.prepare(db)
    for door in ways:
        await door.open(plan.sessions)
    shuffle = random.Random(4)
    try:
        for number in range(plan.rounds + 1):
            for door in shuffle.sample(ways, len(ways)):
                workers = [door.worker(n, operation) for n in range(plan.sessions)]  # type: ignore[arg-type]
                with _Waits(target["DB_URL"]) as waits, load.Quiet(target):
                    window = await closed_loop(workers, plan.seconds)
                cell = found[door.name]
                cell.failures += window.failures
                cell.waits += waits.seen
                if number:
                    cell.rates.append(window.rate)
                    cell.latencies.append(window.latencies)
    finally:
        for door in ways:
            await door.close()
    return found


class _Waits:
    """Counts sessions that are found waiting for a lock, ten times a second."""

    def __init__(self, db_url: str) -> None:
        self._db_url = db_url
        self._stop = threading.Event()
        self.seen = 0

    def __enter__(self) -> _Waits:
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        with psycopg.connect(self._db_url, autocommit=True) as db:
            while not self._stop.wait(0.1):
                row = db.execute(
                    "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
                ).fetchone()
                self.seen += row[0] if row else 0
