"""What calls cost among one and ten million rows of progress, and what the rows themselves cost.

The smaller database is measured, the larger one generated beside it, and all is measured again. So
one course, the largest of the first, stands unchanged in a table that has become eleven times as
large: what its calls cost then tells whether cost grows with the course or with the table.

Calls are made as their callers make them, under EXPLAIN ANALYZE. By the clock a busy machine is
slow; CPU is less so, and buffers are exact.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

from bench import generate
from bench.cost import Cost, CpuClock, become, explain
from bench.seed import Db
from bench.stats import median
from bench.target import say

SORTS = ("name", "percent", "activity", "score", "time")
REPORTS = ("get_course_report", "get_lesson_report")
PARTS = 16
INSTRUCTOR = (
    "select user_id::text from public.course_staff where course_id = %s and role = 'instructor'"
)
# What exists for reports and lists only: a completion is measured with and without it.
WITHOUT = (
    "drop index public.enrollments_name_idx",
    "drop trigger _500_score on public.user_progress",
    "drop trigger _200_name on public.enrollments",
)


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rows: tuple[int, ...] = (1_000_000, 10_000_000)
    repeats: int = 7
    learners: int = 30
    completions: int = 200
    # Learners who were measured before are passed over.
    skip: int = 1_000
    partitioned: int = 1_000_000


@dataclass
class Stage:
    """The figures of one size."""

    rows: int
    courses: int
    enrolments: int
    largest: int
    generated: float
    calls: dict[str, Cost] = field(default_factory=dict)
    # Bytes: of tables and of their indexes.
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    hits: dict[str, float] = field(default_factory=dict)
    slowest: list[tuple[float, int, str]] = field(default_factory=list)


@dataclass
class Writes:
    """What completions wrote: WAL bytes and rows, medians of many."""

    wal: float
    rows: float
    cpu: float
    times: float


@dataclass
class Partitions:
    """One table and the same in hash partitions: milliseconds, bytes."""

    rows: int
    plain: dict[str, float] = field(default_factory=dict)
    parts: dict[str, float] = field(default_factory=dict)


@dataclass
class Scales:
    """The figures of a run."""

    plan: Plan
    stages: list[Stage]
    with_reports: Writes
    without: Writes
    partitions: Partitions


def measure(db_url: str, plan: Plan) -> Scales:
    """Fill the database in steps, and measure at each. It is not emptied again."""
    stages: list[Stage] = []
    first_course = 0
    with psycopg.connect(db_url, autocommit=True) as db:
        db.execute("set statement_timeout = 0")
        for n, rows in enumerate(plan.rows, start=1):
            bar = generate.Bar()
            say(f"scale: generating {rows:,} rows")
            made = generate.make(db, generate.Plan(rows, seed=n), bar)
            bar("vacuum", math.nan)
            db.execute("vacuum (analyze)")
            bar.end()
            first_course = first_course or made.course_ids[0]
            say("scale: measuring")
            stages.append(_stage(db, db_url, plan, made, first_course))
            if n == 1:
                say("scale: hash partitions")
                partitions = _partitions(db, plan)
        say("scale: completions")
        with_reports = _completions(db, plan, without=False)
        without = _completions(db, plan, without=True)
    return Scales(plan, stages, with_reports, without, partitions)


# Calls -------------------------------------------------------------------------------------------


def _stage(db: Db, db_url: str, plan: Plan, made: generate.Made, first_course: int) -> Stage:
    largest = made.course_ids[0]
    stage = Stage(
        _one(db, "select count(*) from public.user_progress"),
        _one(db, "select count(*) from public.courses"),
        _one(db, "select count(*) from public.enrollments"),
        _one(db, "select count(*) from public.enrollments where course_id = %s", largest),
        made.seconds,
    )
    for table in (
        "user_progress", "enrollments", "module_progress", "daily_activity",
        "user_assessment_attempts", "certificates",
    ):  # fmt: skip
        heap, indexes = db.execute(
            "select pg_table_size(%(table)s::regclass), pg_indexes_size(%(table)s::regclass)",
            {"table": f"public.{table}"},
        ).fetchone() or (0, 0)
        stage.sizes[table] = (heap, indexes)
        stage.counts[table] = int(
            _one(db, "select reltuples from pg_class where oid = %s::regclass", f"public.{table}")
        )
    before, seen = _statements(db), _index_reads(db)
    # A session of its own, as a pooler's: plans are made, caches are warm.
    with psycopg.connect(db_url, autocommit=True) as session:
        session.execute("set statement_timeout = 0")
        clock = CpuClock(session.info.backend_pid)
        for name, course in (("largest", largest), ("same", first_course)):
            if name == "same" and course == largest:
                for call in list(stage.calls):
                    stage.calls[call.replace("largest", "same", 1)] = stage.calls[call]
                continue
            _staff_calls(session, clock, stage, plan, name, course)
        _learner_calls(session, clock, stage, plan, largest)
    after = _index_reads(db)
    for table, (hit, read) in after.items():
        hits, reads = hit - seen.get(table, (0, 0))[0], read - seen.get(table, (0, 0))[1]
        if hits + reads:
            stage.hits[table] = hits / (hits + reads)
    calls = {
        key: (
            took - before.get(key, (0.0, 0, ""))[0],
            count - before.get(key, (0.0, 0, ""))[1],
            text,
        )
        for key, (took, count, text) in _statements(db).items()
    }
    found = [(took / count, count, text) for took, count, text in calls.values() if count > 0]
    stage.slowest = sorted(found, reverse=True)[:10]
    for name, cost in stage.calls.items():
        say(f"{cost.time:8.1f} ms {cost.cpu:8.1f} CPU {cost.page_count:10,.0f} buffers  {name}")
    return stage


def _staff_calls(
    session: Db, clock: CpuClock, stage: Stage, plan: Plan, name: str, course: int
) -> None:
    staff = _one(
        session,
        INSTRUCTOR,
        course,
    )
    become(session, staff)
    for sort in SORTS:
        for direction in ("asc", "desc"):
            call = "select public.get_course_learners(%s, %s, %s, %s)"
            page = _one(
                session, "select public.get_course_learners(%s, %s, %s, null, 1000)", course, sort,
                direction,
            )  # fmt: skip
            for place, cursor in (("first page", None), ("page 21", page["cursor"])):
                what = f"{name}: learners by {sort} {direction}, {place}"
                _repeat(session, clock, stage, plan, what, call, course, sort, direction, cursor)
    for what, call in (
        ("learners who need help, by percent",
         "select public.get_course_learners(%s, 'percent', 'asc', p_needs_help => true)"),
        ("learners from 20 to 30 percent, by name",
         "select public.get_course_learners(%s, 'name', p_min_percent => 20, p_max_percent => 30)"),
        ("a page of 1,000 for CSV",
         "select public.get_course_learners(%s, 'name', 'asc', null, 1000)"),
    ):  # fmt: skip
        _repeat(session, clock, stage, plan, f"{name}: {what}", call, course)
    _compute_report(session, clock, stage, name, course)
    become(session, staff)
    for report in REPORTS:
        call = f"select public.{report}(%s)"
        _repeat(session, clock, stage, plan, f"{name}: {report}", call, course)
    session.execute("reset role")


def _compute_report(session: Db, clock: CpuClock, stage: Stage, name: str, course: int) -> None:
    """What the worker does for a large course, by slices; a small one is counted when asked."""
    wanted = "select id from private.course_reports where course_id = %s and is_wanted"
    session.execute("select public.get_course_report(%s)", [course])
    session.execute("reset role")
    cost = Cost()
    while row := session.execute(wanted, [course]).fetchone():
        explain(session, clock, cost, "select private.compute_report(%s)", row[0])
    if cost.times:
        stage.calls[f"{name}: a slice of computing its reports"] = cost


def _learner_calls(session: Db, clock: CpuClock, stage: Stage, plan: Plan, course: int) -> None:
    session.execute("select set_config('request.jwt.claims', '', false)")
    rows = session.execute(
        "select e.user_id::text from public.enrollments e"
        " where e.course_id = %s and e.status = 'active' and e.completed_lessons > 5"
        " and e.expires_at is null order by e.id limit %s",
        [course, plan.learners],
    ).fetchall()
    for what, call, values in (
        ("one learner's course view", "select public.get_course_progress(%s)", [course]),
        ("one learner's next lesson", "select public.get_next_lesson(%s)", [course]),
        ("one learner's dashboard", "select public.get_my_dashboard()", []),
    ):
        cost = stage.calls[what] = Cost()
        for (user,) in rows:
            become(session, user)
            explain(session, clock, cost, call, *values)
        session.execute("reset role")
    staff = _one(
        session,
        INSTRUCTOR,
        course,
    )
    become(session, staff)
    cost = stage.calls["one learner, for staff"] = Cost()
    for (user,) in rows:
        explain(session, clock, cost, "select public.get_course_learner(%s, %s)", course, user)
    session.execute("reset role")
    cost = stage.calls["a completion"] = Cost()
    for user, lesson in _open_lessons(session, course, plan.learners):
        become(session, user)
        explain(session, clock, cost, "select public.complete_lesson(%s)", lesson)
        session.execute("reset role")


def _repeat(
    session: Db, clock: CpuClock, stage: Stage, plan: Plan, what: str, call: str, *values: Any
) -> None:
    session.execute(call, values)  # warm
    cost = stage.calls[what] = Cost()
    for _ in range(plan.repeats):
        explain(session, clock, cost, call, *values)


def _open_lessons(db: Db, course: int, count: int, skip: int = 0) -> list[tuple[str, str]]:
    """Learners of a course who have begun it, each with a lesson that they may complete now."""
    rows = db.execute(
        """
        select e.user_id::text, (
                 select l.id::text from public.lessons l
                  where l.course_id = e.course_id and l.is_countable
                    and l.completion_rule = 'manual' and not exists (
                      select from public.user_progress p
                       where p.user_id = e.user_id and p.lesson_id = l.id)
                  order by l.module_position, l.position limit 1)
          from public.enrollments e
         where e.course_id = %s and e.status = 'active' and e.expires_at is null
           and e.completed_lessons between 3 and e.total_lessons - 8
         order by e.id offset %s limit %s
        """,
        [course, skip, count],
    ).fetchall()
    return [(user, lesson) for user, lesson in rows if lesson]


# Sizes, hits, statements -------------------------------------------------------------------------


def _one(db: Db, statement: Any, *values: Any) -> Any:
    if len(values) == 1 and isinstance(values[0], dict):
        (values,) = values
    row = db.execute(statement, values or None).fetchone()
    assert row is not None
    return row[0]


def _index_reads(db: Db) -> dict[str, tuple[int, int]]:
    return {
        table: (int(hit), int(read))
        for table, hit, read in db.execute(
            "select relname, sum(idx_blks_hit), sum(idx_blks_read)"
            "  from pg_statio_user_indexes where schemaname = 'public'"
            " and relname in ('user_progress', 'enrollments', 'module_progress', 'profiles',"
            " 'lessons')"
            " group by relname"
        )
    }


def _statements(db: Db) -> dict[int, tuple[float, int, str]]:
    if _one(db, "select to_regclass('extensions.pg_stat_statements')") is None:
        return {}
    return {
        key: (float(took), int(calls), " ".join(text.split())[:110])
        for key, took, calls, text in db.execute(
            "select queryid, total_exec_time, calls, query from extensions.pg_stat_statements"
            " where toplevel and query ~* '^(explain .*)?select (public|private)\\.'"
        )
    }


# What a completion writes ------------------------------------------------------------------------

ROWS_WRITTEN = """
select coalesce(sum(pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid)
         + pg_stat_get_xact_tuples_deleted(c.oid)), 0)::integer
  from pg_class c
 where c.relkind = 'r' and c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
"""


def _completions(db: Db, plan: Plan, *, without: bool) -> Writes:
    """First completions in transactions that are taken back: both ways meet the same rows."""
    course = _one(
        db, "select course_id from public.enrollments group by 1 order by count(*) desc limit 1"
    )
    wal: list[float] = []
    rows: list[float] = []
    times: list[float] = []
    clock = CpuClock(db.info.backend_pid)
    cpus: list[float] = []
    todo = _open_lessons(db, course, plan.completions, plan.skip)
    with _rolled_back(db):
        for statement in WITHOUT if without else ():
            db.execute(statement)
        for user, lesson in todo:
            become(db, user)
            # Once before: the first touch of a page after a checkpoint logs all of it.
            with _rolled_back(db):
                db.execute("select public.complete_lesson(%s)", [lesson])
            with _rolled_back(db):
                db.execute("reset role")
                was = _one(db, ROWS_WRITTEN)
                db.execute("set local role authenticated")
                cost = Cost()
                explain(db, clock, cost, "select public.complete_lesson(%s)", lesson)
                db.execute("reset role")
                rows.append(_one(db, ROWS_WRITTEN) - was)
            db.execute("reset role")
            wal += cost.wal
            times += cost.times
            cpus += cost.cpus
    return Writes(median(wal), median(rows), median(cpus), median(times))


@contextmanager
def _rolled_back(db: Db) -> Iterator[None]:
    with db.transaction(force_rollback=True):
        yield


# Hash partitions ---------------------------------------------------------------------------------


def _partitions(db: Db, plan: Plan) -> Partitions:
    """Copies of progress rows, in one table and in hash partitions by user."""
    found = Partitions(0)
    db.execute("drop schema if exists bench_parts cascade")
    db.execute("create schema bench_parts")
    db.execute(
        "create table bench_parts.source as select * from public.user_progress"
        " order by started_at limit " + str(int(plan.partitioned))
    )
    found.rows = _one(db, "select count(*) from bench_parts.source")
    # Columns by name: the generated one is left out.
    columns = _one(
        db,
        "select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute"
        " where attrelid = 'public.user_progress'::regclass and attnum > 0 and attgenerated = ''"
        " and not attisdropped",
    )
    for name, figures in (("plain", found.plain), ("parts", found.parts)):
        table = f"bench_parts.{name}"
        db.execute(
            f"create table {table} (like public.user_progress including defaults"
            " including generated including constraints)"
            + (" partition by hash (user_id)" if name == "parts" else "")
        )
        if name == "parts":
            for part in range(PARTS):
                db.execute(
                    f"create table bench_parts.p{part} partition of {table}"
                    f" for values with (modulus {PARTS}, remainder {part})"
                )
        db.execute(f"alter table {table} add primary key (user_id, lesson_id)")
        db.execute(f"create index on {table} (lesson_id, course_id)")
        began = time.monotonic()
        db.execute(f"insert into {table} ({columns}) select {columns} from bench_parts.source")
        figures["insert all, s"] = time.monotonic() - began
        began = time.monotonic()
        db.execute(f"vacuum (analyze) {table if name == 'plain' else 'bench_parts.p0'}")
        figures["vacuum of one table or partition, s"] = time.monotonic() - began
        db.execute(f"analyze {table}")
        figures["bytes a row"] = (
            _one(
                db,
                "select sum(pg_total_relation_size(c.oid)) from pg_class c"
                " where c.oid = %(table)s::regclass or c.oid in"
                " (select i.inhrelid from pg_inherits i where i.inhparent = %(table)s::regclass)",
                {"table": table},
            )
            / found.rows
        )
    chance = random.Random(3)
    users = [
        r[0] for r in db.execute("select distinct user_id::text from bench_parts.p0 limit 2000")
    ]
    keys = [
        (str(user), str(lesson))
        for user, lesson in db.execute("select user_id, lesson_id from bench_parts.p1 limit 2000")
    ]
    lessons = [
        str(row[0])
        for row in db.execute(
            "select lesson_id from bench_parts.source group by 1 order by count(*) limit 300"
        )
    ]
    for name, figures in (("plain", found.plain), ("parts", found.parts)):
        table = f"bench_parts.{name}"
        for what, call, values in (
            (
                "one row by its key, planned once",
                f"select * from {table} where user_id = $1 and lesson_id = $2",
                keys,
            ),
            (
                "one learner's rows",
                f"select count(progress) from {table} where user_id = $1",
                [(user,) for user in users],
            ),
            (
                "a small lesson's rows",
                f"select count(progress) from {table} where lesson_id = $1",
                [(lesson,) for lesson in lessons],
            ),
        ):
            figures[f"{what}, ms"] = _prepared(db, call, values, "force_generic_plan")
            if "row by" in what:
                figures["one row by its key, planned each time, ms"] = _prepared(
                    db, call, values, "force_custom_plan"
                )
        figures["one row's update, ms"] = _prepared(
            db,
            f"update {table} set last_accessed = now() where user_id = $1 and lesson_id = $2",
            chance.sample(keys, len(keys)),
            "force_generic_plan",
        )
    db.execute("drop schema bench_parts cascade")
    return found


def _prepared(db: Db, call: str, values: Sequence[tuple[str, ...]], mode: str) -> float:
    """Milliseconds of CPU of one execution, by batches; of the clock where CPU is not known."""
    clock = CpuClock(db.info.backend_pid)
    db.execute(f"set plan_cache_mode = {mode}")
    types = ", ".join("uuid" for _ in values[0])
    db.execute(f"prepare bench_call ({types}) as {call}")
    took = []
    for first in range(0, len(values), 100):
        some = values[first : first + 100]
        calls = "; ".join(
            f"execute bench_call ({', '.join(repr(value) for value in one)})" for one in some
        )
        before, began = clock.read(), time.perf_counter()
        db.execute(calls)
        burnt = clock.read() - before
        took.append(
            (burnt if not math.isnan(burnt) else 1000 * (time.perf_counter() - began)) / len(some)
        )
    db.execute("deallocate bench_call")
    db.execute("reset plan_cache_mode")
    return median(took)


# The report --------------------------------------------------------------------------------------


def summary(found: Scales) -> list[list[str]]:
    """Rows of the table of targets."""
    last = found.stages[-1]
    pages = [cost for name, cost in last.calls.items() if name.startswith("largest: learners by")]
    reports = [last.calls[f"largest: {report}"] for report in REPORTS]
    heap, indexes = last.sizes["user_progress"]
    view = last.calls["one learner's course view"]
    return [
        [f"slowest page and sort of {last.largest:,} learners among {last.rows:,} rows, the median",
         f"{max(cost.time for cost in pages):.0f} ms "
         f"({max(cost.cpu for cost in pages):.0f} of CPU)",
         "below 50 ms"],
        ["the slower report of that course, as staff read it, the median",
         f"{max(cost.time for cost in reports):.0f} ms", "below 100 ms"],
        ["one learner's course view", f"{view.time:.1f} ms",
         "below 5 ms"],
        ["storage of a progress row, indexes included",
         f"{(heap + indexes) / last.rows:.0f} bytes", "350, at most 1,000"],
        ["WAL of a completion, with what reports need to without",
         f"{found.with_reports.wal / found.without.wal:.2f}", "at most 1.1"],
        ["rows that a completion writes, likewise",
         f"{found.with_reports.rows / found.without.rows:.2f}", "at most 1.1"],
    ]  # fmt: skip


def sections(found: Scales) -> Iterator[tuple[str, str, list[str], list[list[str]]]]:
    """Title, text, head and rows of each table."""
    first, last = found.stages[0], found.stages[-1]
    yield (
        "The databases",
        "Made by `bin/bench generate`; the second beside the first.",
        ["rows of progress", "courses", "enrolments", "largest course", "generated in, s"],
        [
            [f"{s.rows:,}", f"{s.courses:,}", f"{s.enrolments:,}", f"{s.largest:,}",
             f"{s.generated:.0f}"]
            for s in found.stages
        ],
    )  # fmt: skip
    yield (
        f"Calls among {last.rows:,} rows",
        f"largest: the course of {last.largest:,} learners. same: the course of {first.largest:,} "
        "learners that both databases hold; the ratio says what it costs in the larger one to the "
        "smaller. Medians; CPU holds the statement's own frame.",
        ["call", "ms", "ms of CPU", "buffers", f"buffers among {first.rows:,}", "ratio of CPU"],
        [
            [
                name,
                f"{cost.time:.1f}",
                f"{cost.cpu:.1f}",
                f"{cost.page_count:,.0f}",
                "-" if name.startswith("largest") or name not in first.calls
                else f"{first.calls[name].page_count:,.0f}",
                "-" if name.startswith("largest") or name not in first.calls
                else f"{cost.cpu / first.calls[name].cpu:.2f}",
            ]
            for name, cost in last.calls.items()
        ],
    )  # fmt: skip
    yield (
        "Storage",
        "Bytes a row.",
        ["table", "rows", "table", "indexes", "together"],
        [
            [
                name,
                f"{last.counts[name]:,}",
                f"{heap / last.counts[name]:.0f}",
                f"{indexes / last.counts[name]:.0f}",
                f"{(heap + indexes) / last.counts[name]:.0f}",
            ]
            for name, (heap, indexes) in last.sizes.items()
            if last.counts[name] > 0
        ],
    )
    yield (
        "Reads of indexes that shared buffers answered",
        "During the calls above.",
        ["table", *(f"among {s.rows:,} rows" for s in found.stages)],
        [
            [name, *(f"{s.hits.get(name, math.nan):.2%}" for s in found.stages)]
            for name in sorted(last.hits)
        ],
    )
    yield (
        "A completion, with and without what reports and lists need",
        "The index by name, and the triggers for scores and names; each completion taken back.",
        ["", "WAL bytes", "rows written", "ms of CPU", "ms"],
        [
            [name, f"{w.wal:,.0f}", f"{w.rows:.0f}", f"{w.cpu:.2f}", f"{w.times:.2f}"]
            for name, w in (("with", found.with_reports), ("without", found.without))
        ],
    )
    yield (
        "The slowest statements",
        "By pg_stat_statements, during the calls above.",
        ["mean ms", "calls", "statement"],
        [
            [f"{mean:.1f}", f"{calls:,}", f"`{text.replace('|', ' ')}`"]
            for mean, calls, text in last.slowest
        ],
    )
    parts = found.partitions
    yield (
        f"user_progress in {PARTS} hash partitions by user_id",
        f"A copy of {parts.rows:,} rows, without foreign keys. ms are of CPU.",
        ["", "one table", f"{PARTS} partitions", "ratio"],
        [
            [name, f"{plain:.3g}", f"{parts.parts[name]:.3g}", f"{parts.parts[name] / plain:.2f}"]
            for name, plain in parts.plain.items()
        ],
    )
