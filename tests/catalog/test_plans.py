"""One learner's reads and writes are bounded by that learner's rows, however large the tables; a
report for staff by its course's.

Measured twice, on about 10,000 and on 200,000 rows of user_progress: buffers, never milliseconds,
and no sequential scan of a learner table. Each statement runs often enough first that PostgreSQL
has settled on the plan it keeps.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
import pytest

from tests.support.scratch import Scratch

MODULES, LESSONS_A_MODULE, COURSES, COURSES_A_LEARNER = 10, 5, 20, 4
LESSONS_A_COURSE = MODULES * LESSONS_A_MODULE
OWN_ROWS = LESSONS_A_COURSE * COURSES_A_LEARNER
FEW, MANY = 50, 960
LEARNER_TABLES = (
    "enrollments",
    "user_progress",
    "module_progress",
    "daily_activity",
    "progress_events",
    "watch_sessions",
    "watch_credit",
    "client_events",
    "user_assessment_attempts",
)

CATALOG: LiteralString = """
insert into public.courses (slug, title, status)
  select 'plans-' || c, 'Course ' || c, 'published' from generate_series(1, %(courses)s) c;
insert into public.modules (course_id, position, title)
  select c.id, m, 'Module ' || m from public.courses c, generate_series(1, %(modules)s) m
   where c.slug like 'plans-%%';
insert into public.lessons (module_id, course_id, position, title, content)
  select m.id, m.course_id, l, 'Lesson ' || l, repeat('text ', 100)
    from public.modules m, generate_series(1, %(lessons)s) l
    join public.courses c on c.slug like 'plans-%%'
   where m.course_id = c.id;
"""

# So many learners more; the rows of one lie scattered, as they come over the months.
LEARNERS: LiteralString = """
create temp table learner on commit drop as
  select gen_random_uuid() as id, row_number() over () as n from generate_series(1, %(count)s);
insert into auth.users (id, email) select id, id || '@example.org' from learner;
create temp table taken on commit drop as
  select l.id as user_id, c.id as course_id
    from learner l
    join (select id, row_number() over (order by id) - 1 as n
            from public.courses where slug like 'plans-%%') c
      on (c.n - l.n) %% %(courses)s between 0 and %(each)s - 1
      or (c.n - l.n + %(courses)s * 1000000) %% %(courses)s < %(each)s;
-- Before the progress, so that their trigger has little to count; the counters come below.
insert into public.enrollments (user_id, course_id) select user_id, course_id from taken;
insert into public.user_progress
  (user_id, lesson_id, course_id, status, progress, started_at, last_accessed, completed_at,
   completed_on)
  select t.user_id, l.id, l.course_id,
         case when x.done then 'completed' else 'in_progress' end, x.done::int,
         now(), now(), case when x.done then now() end, case when x.done then current_date end
    from taken t
    join public.lessons l on l.course_id = t.course_id
   cross join lateral (
     select l.position <> %(lessons)s or hashtext(t.user_id::text || l.id) %% 2 = 0 as done) x
   order by hashtext(l.id::text || t.user_id);
create temp table done on commit drop as
  select p.user_id, p.course_id, l.module_id, count(*) filter (where p.is_completed)::int as n,
         count(*)::int as total
    from public.user_progress p
    join public.lessons l on l.id = p.lesson_id
    join learner on learner.id = p.user_id
   group by 1, 2, 3;
insert into public.module_progress
  (user_id, module_id, course_id, completed_lessons, total_lessons, started_at, completed_at)
  select user_id, module_id, course_id, n, total, now(), now() from done;
update public.enrollments e
   set completed_lessons = d.n, completed_weight = d.n,
       progress_percent = private.percent(d.n, e.total_weight)
  from (select user_id, course_id, sum(n)::int as n from done group by 1, 2) d
 where e.user_id = d.user_id and e.course_id = d.course_id and d.n < e.total_lessons;
insert into public.daily_activity (user_id, day, lessons_completed, first_at, last_at)
  select l.id, current_date - d, 1, now(), now() from learner l, generate_series(1, 30) d
   order by hashtext(l.id::text || d);
insert into private.watch_sessions (user_id, session_id, lesson_id, seconds, begun, until)
  select p.user_id, gen_random_uuid(), p.lesson_id, 60, 0, 60
    from public.user_progress p join learner l on l.id = p.user_id
   order by hashtext(p.lesson_id::text || p.user_id);
insert into private.watch_credit (user_id, spent)
  select id, '{[0,60),[100,160),[10000,20000)}' from learner;
insert into private.client_events (user_id, event_id)
  select l.id, gen_random_uuid() from learner l, generate_series(1, 50) order by random();
insert into public.progress_events (occurred_at, user_id, course_id, lesson_id, kind)
  select now() + make_interval(months => (hashtext(p.lesson_id::text) & 3)), p.user_id, p.course_id,
         p.lesson_id, case when p.is_completed then 'lesson_completed' else 'lesson_started' end
    from public.user_progress p join learner l on l.id = p.user_id
   where hashtext(p.lesson_id::text || p.user_id) & 3 = 0;
insert into public.user_assessment_attempts
  (user_id, lesson_id, course_id, number, started_at, submitted_at, graded_at, status, pass_percent,
   questions, total_questions, max_score, score, percent, passed, correct_count)
  select p.user_id, p.lesson_id, p.course_id, 1, now(), now(), now(), 'graded', 70, '[]', 1, 1, 1,
         100, true, 1
    from public.user_progress p join learner l on l.id = p.user_id
   where hashtext(p.lesson_id::text || p.user_id) & 7 = 0
   order by hashtext(p.user_id::text || p.lesson_id);
"""

# What a learner asks, and how many of its rows that may touch; the bound follows from it.
STATEMENTS: dict[str, tuple[LiteralString, int]] = {
    "all my progress": ("select * from public.user_progress", OWN_ROWS),
    "my progress in a course": (
        "select * from public.user_progress where course_id = {course}",
        OWN_ROWS,
    ),
    "the same with the filter repeated": (
        "select * from public.user_progress where user_id = {user} and course_id = {course}",
        OWN_ROWS,
    ),
    "one lesson": ("select * from public.user_progress where lesson_id = {lesson}", 1),
    "count of what I completed": (
        "select count(*) from public.user_progress where is_completed",
        OWN_ROWS,
    ),
    "my enrolments": (
        "select * from public.enrollments order by last_accessed_at desc nulls last",
        COURSES_A_LEARNER,
    ),
    "my modules of a course": (
        "select * from public.module_progress where course_id = {course}",
        MODULES * COURSES_A_LEARNER,
    ),
    "my days": ("select * from public.daily_activity order by day desc limit 30", 30),
    "my profile": ("select * from public.profiles", 1),
    # Every month's partition is asked for its first rows, so the bound counts them too.
    "my latest events": (
        "select * from public.progress_events order by id desc limit 20",
        20 + 26,
    ),
    "lessons of my course": (
        "select id, title from public.lessons where course_id = {course}",
        LESSONS_A_COURSE,
    ),
    "lesson": ("select public.get_lesson_progress({lesson})", 1),
    "course": ("select public.get_course_progress({course})", 6 * LESSONS_A_COURSE),
    "summary": ("select public.get_course_summary({course})", LESSONS_A_COURSE),
    "module": ("select public.get_module_progress({course}, {module})", 4 * LESSONS_A_MODULE),
    "next": ("select public.get_next_lesson({course})", LESSONS_A_COURSE),
    "dashboard": ("select public.get_my_dashboard()", 120),
    "start": ("select public.start_lesson({lesson})", 10),
    "complete": ("select public.complete_lesson({lesson})", LESSONS_A_COURSE),
    "uncomplete": ("select public.uncomplete_lesson({lesson})", LESSONS_A_COURSE),
    "report": (
        "select public.put_lesson_progress({lesson}, p_position_seconds => 5)",
        LESSONS_A_COURSE,
    ),
    "heartbeat": (
        "select public.view_lesson({lesson}, gen_random_uuid(), 30, 30, '[[0, 30]]', 'here')",
        20,
    ),
    "batch": (
        "select public.apply_events(jsonb_build_array("
        " jsonb_build_object('id', gen_random_uuid(), 'at', to_json(now()), 'kind', 'view',"
        "   'lesson_id', {lesson}, 'session_id', gen_random_uuid(), 'seconds', 30),"
        " jsonb_build_object('id', gen_random_uuid(), 'at', to_json(now()), 'kind', 'complete',"
        "   'lesson_id', {lesson})))",
        2 * LESSONS_A_COURSE,
    ),
    "recalculate": ("select public.recalculate({enrollment})", 4 * LESSONS_A_COURSE),
}

# A course that stays as it is while the tables grow. Everyone has opened every lesson, a third of
# them are in the cohort, and have handed in half of them.
REPORTED, REPORTED_LESSONS = 60, 20
REPORTED_ROWS = REPORTED * REPORTED_LESSONS
REPORTED_COURSE: LiteralString = """
insert into public.courses (slug, title, status) values ('reported', 'Reported', 'published');
insert into public.modules (course_id, title) select id, 'M' from public.courses
 where slug = 'reported';
insert into public.lessons (module_id, course_id, position, title)
  select m.id, m.course_id, l, 'Lesson ' || l
    from public.courses c
    join public.modules m on m.course_id = c.id, generate_series(1, %(lessons)s) l
   where c.slug = 'reported';
insert into public.cohorts (course_id, name) select id, 'A' from public.courses
 where slug = 'reported';
create temp table reader on commit drop as
  select gen_random_uuid() as id, n from generate_series(1, %(learners)s) n;
insert into auth.users (id, email) select id, id || '@example.org' from reader;
insert into public.enrollments (user_id, course_id, cohort_id)
  select r.id, c.id, case when r.n %% 3 = 0 then g.id end
    from reader r, public.courses c join public.cohorts g on g.course_id = c.id
   where c.slug = 'reported';
insert into public.user_progress
  (user_id, lesson_id, course_id, status, started_at, last_accessed, view_time_seconds)
  select r.id, l.id, l.course_id, 'in_progress', now(), now(), r.n
    from reader r, public.courses c join public.lessons l on l.course_id = c.id
   where c.slug = 'reported';
insert into public.user_assessment_attempts
  (user_id, lesson_id, course_id, number, started_at, submitted_at, graded_at, status, pass_percent,
   questions, total_questions, max_score, score, percent, passed, correct_count)
  select p.user_id, p.lesson_id, p.course_id, 1, now(), now(), now(), 'graded', 70, '[]', 1, 1, 1,
         100, true, 1
    from public.user_progress p join reader r on r.id = p.user_id
    join public.lessons l on l.id = p.lesson_id
   where r.n %% 3 = 0 and l.position %% 2 = 0;
"""
# What staff ask, and of how many rows of progress that is. The last two are of a course that grows.
REPORTS: dict[str, tuple[LiteralString, int]] = {
    "course report": ("select public.get_course_report({reported})", REPORTED_ROWS),
    "lesson report": ("select public.get_lesson_report({reported})", REPORTED_ROWS),
    "report of a cohort": (
        "select public.get_lesson_report({reported}, {cohort})",
        REPORTED_ROWS // 3,
    ),
    "cohort of a large course": (
        "select public.get_lesson_report({course}, {one})",
        LESSONS_A_COURSE,
    ),
    "snapshot": ("select public.get_course_report({course}, null, '2000-01-01')", 10),
}


@dataclass
class Measured:
    """What a statement cost in one size of the tables."""

    buffers: int
    sequential: list[str]
    nodes: list[tuple[str, str]]


@pytest.fixture(scope="module")
def measured(pushed: Scratch) -> Iterator[dict[str, tuple[Measured, Measured]]]:
    """Every statement's cost with few learners and with many."""
    sizes = {
        "courses": COURSES,
        "modules": MODULES,
        "lessons": LESSONS_A_MODULE,
        "each": COURSES_A_LEARNER,
    }
    results: list[dict[str, Measured]] = []
    with pushed.connect(autocommit=True) as connection:
        with connection.transaction():
            run(connection, CATALOG, sizes)
            run(connection, REPORTED_COURSE, {"learners": REPORTED, "lessons": REPORTED_LESSONS})
        for count in (FEW, MANY):
            with connection.transaction():
                run(connection, LEARNERS, {**sizes, "count": count})
            connection.execute("vacuum analyze")
            # A session of its own, as a pooled connection after a while.
            with pushed.connect() as session:
                ids = somebody(session)
                results.append(
                    {name: measure(session, ids, text) for name, (text, _) in STATEMENTS.items()}
                )
                ids |= reporter(session, ids)
                results[-1] |= {
                    name: measure(session, ids, text) for name, (text, _) in REPORTS.items()
                }
                session.rollback()
        [(rows,)] = connection.execute("select count(*) from public.user_progress").fetchall()
        assert rows >= 200_000
        yield {name: (results[0][name], results[1][name]) for name in results[0]}
        connection.execute("delete from public.enrollments")
        connection.execute(
            "truncate public.user_progress, public.module_progress, public.daily_activity,"
            " public.progress_events, private.watch_sessions, private.watch_credit,"
            " private.client_events, public.user_assessment_attempts, private.attempt_results"
        )
        connection.execute(
            "delete from public.courses where slug like 'plans-%' or slug = 'reported'"
        )
        connection.execute("delete from auth.users")


def run(connection: psycopg.Connection[Any], script: LiteralString, values: dict[str, int]) -> None:
    with psycopg.ClientCursor(connection) as cursor:
        cursor.execute(script, values)


def somebody(session: psycopg.Connection[Any]) -> dict[str, str]:
    """A learner with open lessons, as literals."""
    row = session.execute(
        """
        select quote_literal(p.user_id), p.course_id::text, quote_literal(p.lesson_id),
               quote_literal(l.module_id), quote_literal(e.id)
          from public.user_progress p
          join public.lessons l on l.id = p.lesson_id
          join public.enrollments e on e.user_id = p.user_id and e.course_id = p.course_id
         where p.status = 'in_progress'
         order by l.module_position desc limit 1
        """
    ).fetchone()
    assert row is not None
    return dict(zip(("user", "course", "lesson", "module", "enrollment"), row, strict=True))


def reporter(session: psycopg.Connection[Any], ids: dict[str, str]) -> dict[str, str]:
    """The same learner as staff of the course that does not grow and of their own, with what staff
    ask for, as literals. The large one has a cohort of one, and a snapshot of everyone."""
    row = session.execute(
        f"""
        with large as (select {ids["course"]}::bigint as id),
        staff as (
          insert into public.course_staff (course_id, user_id, role)
          select c.id, {ids["user"]}, 'assistant' from public.courses c
           where c.slug = 'reported' or c.id = (select id from large)
        ),
        one as (
          insert into public.cohorts (course_id, name)
          select id, 'One' from large returning id
        ),
        kept as (
          insert into private.course_reports
            (course_id, enrolled_from, asked_at, as_of, learners, lessons)
          select id, '2000-01-01', now(), now(), '{{}}', '{{}}' from large
        ),
        member as (
          update public.enrollments e set cohort_id = (select id from one)
           where e.id = (
             select x.id from public.enrollments x
              where x.course_id = (select id from large) and x.user_id <> {ids["user"]} limit 1)
        )
        select c.id::text, quote_literal(g.id), quote_literal(one.id)
          from public.courses c join public.cohorts g on g.course_id = c.id, one
         where c.slug = 'reported'
        """.encode()
    ).fetchone()
    assert row is not None
    # Whoever has more rows than these in a course is answered from a snapshot.
    session.execute("update private.settings set value = '1500' where name = 'report_live_rows'")
    return dict(zip(("reported", "cohort", "one"), row, strict=True))


def measure(
    session: psycopg.Connection[Any], ids: dict[str, str], statement: LiteralString
) -> Measured:
    text = statement.format(**ids)
    claims = json.dumps({"role": "authenticated", "sub": ids["user"].strip("'")})
    with session.transaction(force_rollback=True):
        session.execute("select set_config('request.jwt.claims', %s, true)", [claims])
        session.execute("set local role authenticated")
        session.execute(f"prepare asked as {text}".encode())
        # After five runs PostgreSQL may choose another plan and keep it, here and in functions.
        for _ in range(7):
            session.execute("savepoint run")
            session.execute("execute asked")
            session.execute("rollback to savepoint run")
        session.execute("reset role")
        before = scans(session)
        session.execute("set local role authenticated")
        session.execute("savepoint run")
        [(explained,)] = session.execute(
            "explain (analyze, buffers, timing off, format json) execute asked"
        ).fetchall()
        session.execute("rollback to savepoint run")
        session.execute("reset role")
        after = scans(session)
        session.execute("deallocate asked")
    plan = explained[0]["Plan"]
    return Measured(
        buffers=plan["Shared Hit Blocks"] + plan["Shared Read Blocks"],
        sequential=sorted(name for name, count in after.items() if count > before.get(name, 0)),
        nodes=[(node["Node Type"], node.get("Relation Name", "")) for node in walk(plan)],
    )


def scans(session: psycopg.Connection[Any]) -> dict[str, int]:
    """Sequential scans of this transaction, by learner table; what is inside functions counts."""
    return dict(
        session.execute(
            """
            select s.relname, s.seq_scan from pg_stat_xact_user_tables s
              join pg_class c on c.oid = s.relid
             where (s.relname = any (%s) or s.relname like 'progress\\_events\\_%%')
               and c.relpages > 0
            """,
            [list(LEARNER_TABLES)],
        ).fetchall()
    )


def walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from walk(child)


Costs = dict[str, tuple[Measured, Measured]]


@pytest.mark.parametrize("statement", [*STATEMENTS, *REPORTS])
def test_no_learner_table_is_scanned(measured: Costs, statement: str) -> None:
    few, many = measured[statement]
    # Small tables may be scanned; that is what their size is for.
    assert many.sequential == []
    assert few is not many


@pytest.mark.parametrize("statement", [*STATEMENTS, *REPORTS])
def test_cost_follows_the_learners_own_rows(measured: Costs, statement: str) -> None:
    _, many = measured[statement]
    own = (STATEMENTS | REPORTS)[statement][1]
    # A row found by its key costs four or five buffers; the rest is for rows beside it.
    assert many.buffers <= 60 + 6 * own


@pytest.mark.parametrize("statement", [*STATEMENTS, *REPORTS])
def test_cost_does_not_grow_with_the_tables(measured: Costs, statement: str) -> None:
    few, many = measured[statement]
    # Twenty times the rows: an index may be one level deeper, and another plan no dearer than
    # reading what is the learner's own.
    own = STATEMENTS[statement][1] if statement in STATEMENTS else 3 * REPORTS[statement][1]
    assert many.buffers <= max(1.5 * few.buffers, own) + 25


def test_an_unfiltered_read_goes_through_the_key(measured: Costs) -> None:
    _, many = measured["all my progress"]
    scanned = [kind for kind, relation in many.nodes if relation == "user_progress"]
    assert scanned
    assert all(kind in ("Index Scan", "Bitmap Heap Scan") for kind in scanned)


def test_a_staff_policy_would_be_noticed(pushed: Scratch, measured: Costs) -> None:
    """The mistake that these tests are for: "own rows, or my course's"."""
    with pushed.connect() as session:
        session.execute(
            'alter policy "Learners read their own progress" on public.user_progress using ('
            " (select auth.uid()) = user_id"
            " or course_id in (select s.course_id from public.course_staff s"
            "                   where s.user_id = (select auth.uid())))"
        )
        careless = measure(session, somebody(session), STATEMENTS["all my progress"][0])
        session.rollback()
    assert careless.sequential == ["user_progress"]
    assert careless.buffers > 10 * measured["all my progress"][1].buffers
