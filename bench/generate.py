"""A database of a realistic shape: bin/bench generate --rows 10000000.

Few courses are large and many are small (Zipf), learners come in bursts, most drop out on the way,
and what they did stands in the order of time, as a site would have written it. Everything follows
from the seed and the day, by hashes of row numbers: the same call makes the same rows.

Rows are made by INSERT … SELECT with triggers off and indexes built afterwards; counters are
counted from the rows, and recalculation finds nothing to mend. History (progress_events) covers the
last months only, as where older months have been archived. The catalogue is written as an author
would, triggers and all.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

Db = psycopg.Connection[Any]
Say = Callable[[str, float], None]

# How many progress rows an enrolment of this shape has, on average.
ROWS_EACH = 13.36
CHUNK = 250_000
ANALYZED = (
    "enrollments", "user_progress", "module_progress", "daily_activity", "progress_events",
    "user_assessment_attempts", "certificates", "profiles", "courses", "modules", "lessons",
    "cohorts", "course_staff",
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """How much is made."""

    rows: int
    seed: int = 1
    days: int = 365
    history_months: int = 2

    @property
    def courses(self) -> int:
        """A thousand, fewer for small databases."""
        return min(1_000, max(20, self.rows // 1_000))

    @property
    def largest(self) -> int:
        """Learners of the largest course; the n-th has an n-th of that."""
        return round(self.rows / ROWS_EACH / sum(1 / n for n in range(1, self.courses + 1)))

    @property
    def users(self) -> int:
        """Everybody; two and a half courses each."""
        return 3 * self.largest


@dataclass(frozen=True)
class Made:
    """What there is now."""

    tag: str
    course_ids: tuple[int, ...]  # The largest first.
    rows: int
    seconds: float


def make(db: Db, plan: Plan, say: Say = lambda what, share: None) -> Made:
    """Fill the database; the caller's session may commit at each step, or hold it all back.

    Needs a role that may set session_replication_role: the stack's postgres, as on hosted.
    """
    began = time.monotonic()
    tag = f"generated-{plan.seed}"
    known = {
        "tag": tag, "seed": 100 * plan.seed, "days": plan.days, "courses": plan.courses,
        "largest": plan.largest, "users": plan.users, "months": plan.history_months,
    }  # fmt: skip

    # Values are put in on this side: some steps are several statements.
    cursor = psycopg.ClientCursor(db)

    def run(what: str, *statements: LiteralString) -> None:
        say(what, math.nan)
        for statement in statements:
            cursor.execute(statement, known if "%(" in statement else None)

    db.execute("set statement_timeout = 0")
    db.execute("set timezone = 'UTC'")
    db.execute("set synchronous_commit = off")
    db.execute("set work_mem = '256MB'")
    db.execute("set maintenance_work_mem = '512MB'")
    run("the catalogue", CHANCE, CATALOGUE_COURSES, CATALOGUE_MODULES, CATALOGUE_LESSONS)
    run("lessons", LESSONS)
    db.execute("set session_replication_role = replica")
    try:
        run("learners", USERS, *WRITE_USERS)
        run("enrolments", STAFF, COHORTS, ENROLMENTS)
        run("what they did", STEPS, "analyze made_steps")
        rows = _count(db, "select count(*) from made_steps")
        run("attempts", ATTEMPTS, "analyze made_attempts")
        with _without_indexes(db, "user_progress", say):
            for first in range(1, rows + 1, CHUNK):
                say("progress", (first - 1) / rows)
                db.execute(PROGRESS, {"first": first, "last": first + CHUNK - 1})
            say("progress", 1.0)
        with _without_indexes(db, "user_assessment_attempts", say):
            run("attempts", WRITE_ATTEMPTS)
        with _without_indexes(db, "module_progress", say):
            run("modules' counters", MODULES)
        with _without_indexes(db, "daily_activity", say):
            run("days", DAYS)
        # Last of what counters hold: the upkeep, which looks at enrolments, finds all of it there.
        with _without_indexes(db, "enrollments", say):
            run("enrolments' counters", COUNTERS)
        run("certificates", CERTIFICATES)
        _make_months(db, plan)
        run("history", EVENTS)
    finally:
        # A failed transaction takes the setting back by itself.
        if db.info.transaction_status != psycopg.pq.TransactionStatus.INERROR:
            db.execute("set session_replication_role = origin")
    ids = db.execute("select id from made_courses order by n").fetchall()
    run("clean", CLEAN)
    say("statistics", math.nan)
    db.execute("analyze " + ", ".join(f"public.{table}" for table in ANALYZED))
    return Made(tag, tuple(int(row[0]) for row in ids), rows, time.monotonic() - began)


@contextmanager
def _without_indexes(db: Db, table: str, say: Say) -> Iterator[None]:
    """Take a table's indexes away and build them again at once: keys come in no order here.

    A key that others refer to stays.
    """
    named = {"table": f"public.{table}"}
    constraints = db.execute(
        "select quote_ident(conname), pg_get_constraintdef(oid) from pg_constraint c"
        " where conrelid = %(table)s::regclass and contype in ('p', 'u') and not exists"
        " (select from pg_constraint f where f.contype = 'f' and f.conindid = c.conindid)",
        named,
    ).fetchall()
    indexes = db.execute(
        "select i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) from pg_index i"
        " where i.indrelid = %(table)s::regclass"
        " and not exists (select from pg_constraint c where c.conindid = i.indexrelid)",
        named,
    ).fetchall()
    for name, _ in constraints:
        db.execute(f"alter table public.{table} drop constraint {name}")
    for name, _ in indexes:
        db.execute(f"drop index {name}")
    yield
    say(f"indexes of {table}", math.nan)
    for name, definition in constraints:
        db.execute(f"alter table public.{table} add constraint {name} {definition}")
    for _, definition in indexes:
        db.execute(definition)


def _count(db: Db, statement: LiteralString) -> int:
    row = db.execute(statement).fetchone()
    assert row is not None
    return int(row[0])


def _make_months(db: Db, plan: Plan) -> None:
    for back in range(plan.history_months + 1):
        db.execute(
            "select private.make_event_partition("
            " (date_trunc('month', now()) - make_interval(months => %s))::date)",
            [back],
        )


# A fraction from 0 to 1 that belongs to a number and a purpose. Inlined by the planner.
CHANCE: LiteralString = """
create or replace function pg_temp.chance(n bigint, purpose bigint) returns double precision
language sql immutable parallel safe
return (hashint8extended(n, purpose) & 4503599627370495)::double precision / 4503599627370496
"""

CATALOGUE_COURSES: LiteralString = """
create temp table made_courses as
with made as (
  insert into public.courses (slug, title, status)
  select %(tag)s || '-' || n, 'Course ' || n, 'published'
    from generate_series(1, %(courses)s) as n
  returning id, slug
)
select made.id, split_part(made.slug, '-', 3)::integer as n,
       -- Modules of six lessons, three to six of them, more where many learn.
       3 + floor(pg_temp.chance(split_part(made.slug, '-', 3)::bigint, %(seed)s + 1) * 4)::integer
         as modules,
       greatest(1, round(%(largest)s / split_part(made.slug, '-', 3)::numeric))::integer as learners
  from made
"""
CATALOGUE_MODULES: LiteralString = """
insert into public.modules (course_id, position, title)
select c.id, p, 'Module ' || p
  from made_courses c, generate_series(1, c.modules) as p
"""
# In each module the sixth lesson is a quiz; a course begins with a preview; a few are optional.
CATALOGUE_LESSONS: LiteralString = """
insert into public.lessons
  (module_id, position, title, type, completion_rule, duration_seconds, is_preview, is_required,
   weight, archived_at, content)
select m.id, p, 'Lesson ' || m.position || '.' || p,
       case when p = 6 then 'quiz' when p % 2 = 1 then 'video' else 'article' end,
       case when p = 6 then 'pass' else 'manual' end,
       case when p <> 6 and p % 2 = 1 then 300 + 60 * (p + m.position) end,
       m.position = 1 and p = 1,
       not (m.position = 2 and p = 4),
       case when p = 6 then 2 else 1 end,
       case when m.position = 3 and p = 5 and c.n % 4 = 0 then now() - interval '20 days' end,
       repeat('Waymark ', 20)
  from made_courses c
  join public.modules m on m.course_id = c.id
 cross join generate_series(1, 6) as p
"""
# Lessons that take progress, numbered in learning order; done is what counts, up to and with each.
LESSONS: LiteralString = """
create temp table made_lessons as
select l.id, l.module_id, l.course_id, l.type, l.duration_seconds, l.weight, l.is_countable,
       l.is_gate, row_number() over w as place,
       count(*) over (partition by l.course_id) as places
  from public.lessons l
  join made_courses c on c.id = l.course_id
 where not l.is_preview
window w as (partition by l.course_id order by l.module_position, l.module_id, l.position, l.id);
create unique index on made_lessons (course_id, place);
analyze made_lessons
"""

USERS: LiteralString = """
create temp table made_users as
select n, md5(%(tag)s || ':user:' || n)::uuid as id,
       case when pg_temp.chance(n, %(seed)s + 2) < 0.01 then null else
         (array['Ada', 'Bela', 'Çiğdem', 'Dmitri', 'Émile', 'Fatou', 'Grace', 'Hana', 'Ivo', 'Jana',
                'Kofi', 'Lena', 'Mio', 'Noor', 'Ömer', 'Priya', 'Quang', 'Rosa', 'Sami', 'Tove'])
           [1 + floor(pg_temp.chance(n, %(seed)s + 3) * 20)::integer] || ' '
         || (array['Abe', 'Berg', 'Costa', 'Diaz', 'Eder', 'Fofana', 'García', 'Haddad', 'Ito',
                   'Jung', 'Kaya', 'Lopez', 'Meyer', 'Novák', 'Okafor', 'Petrov', 'Qureshi',
                   'Rossi', 'Silva', 'Tan'])
           [1 + floor(pg_temp.chance(n, %(seed)s + 4) * 20)::integer] || ' ' || n end as name,
       (array['UTC', 'UTC', 'Europe/Berlin', 'America/Sao_Paulo', 'Asia/Kolkata'])
         [1 + floor(pg_temp.chance(n, %(seed)s + 5) * 5)::integer] as timezone
  from generate_series(1, %(users)s) as n;
create unique index on made_users (n);
analyze made_users
"""
WRITE_USERS: tuple[LiteralString, ...] = (
    "insert into auth.users (id, email) select u.id, u.n || '@' || %(tag)s || '.invalid'"
    "  from made_users u",
    "insert into public.profiles (id, display_name, timezone)"
    " select u.id, u.name, u.timezone from made_users u",
)

# Learner i of course c is user 1 + (stride * i + c's place) % users: nobody twice, as the stride
# has no divisor in common with the number of users.
STAFF: LiteralString = """
create temp table made_places as
select c.id as course_id, c.n, c.learners, s.stride,
       (pg_temp.chance(c.n, %(seed)s + 6) * %(users)s)::bigint as first
  from made_courses c
 cross join lateral (
   select x as stride
     from generate_series(1 + (pg_temp.chance(c.n, %(seed)s + 7) * %(users)s)::bigint,
       3 * %(users)s) as x
    where gcd(x, %(users)s::bigint) = 1
    limit 1
 ) as s;
-- An author and an instructor from outside; the assistant learns in the course too.
insert into public.course_staff (course_id, user_id, role)
select p.course_id, u.id, r.role
  from made_places p
 cross join (values ('author', 0), ('instructor', 1), ('assistant', 2)) as r (role, k)
  join made_users u on u.n = 1 + (p.stride * (p.learners + 3 - 2 * r.k) + p.first) %% %(users)s
    on conflict do nothing
"""
COHORTS: LiteralString = """
create temp table made_cohorts as
select md5(%(tag)s || ':cohort:' || c.id || ':' || k)::uuid as id, c.id as course_id, k
  from made_courses c, generate_series(1, 4) as k
 where c.learners >= 20;
create unique index on made_cohorts (course_id, k);
insert into public.cohorts (id, course_id, name, starts_at, ends_at)
select g.id, g.course_id, 'Cohort ' || g.k,
       date_trunc('day', now()) - make_interval(days => %(days)s * g.k / 4),
       date_trunc('day', now()) - make_interval(days => %(days)s * g.k / 4) + interval '120 days'
  from made_cohorts g
"""
# Three of five enrol in one of six bursts, a launch or a term, and fewer by the day after it. A
# twelfth never begin; a fifth stay to the end; of the others most leave early.
ENROLMENTS: LiteralString = """
create temp table made_enrolments as
select e.*, u.id as user_id, u.timezone,
       private.sort_name(u.name) as sort_name,
       md5(%(tag)s || ':enrolment:' || e.n)::uuid as id
  from (
    select row_number() over (order by p.n, i) as n, p.course_id, p.n as course_n, i,
           1 + (p.stride * i + p.first) %% %(users)s as user_n,
           date_trunc('day', now()) - interval '1 hour'
             - make_interval(secs => 86400 * %(days)s * case
               when pg_temp.chance(p.n * 1000000 + i, %(seed)s + 8) < 0.6 then
                 greatest(0.0,
                   (1 + floor(pg_temp.chance(p.n * 1000000 + i, %(seed)s + 9) * 6)) / 6.0
                   + ln(1 - pg_temp.chance(p.n * 1000000 + i, %(seed)s + 10)) * 0.02)
               else pg_temp.chance(p.n * 1000000 + i, %(seed)s + 9) end) as enrolled_at,
           0.05 + 2.5 * pg_temp.chance(p.n * 1000000 + i, %(seed)s + 11) ^ 2 as pace,
           case
             when pg_temp.chance(p.n * 1000000 + i, %(seed)s + 12) < 0.08 then 0
             when pg_temp.chance(p.n * 1000000 + i, %(seed)s + 12) < 0.28 then 1
             else pg_temp.chance(p.n * 1000000 + i, %(seed)s + 13) ^ 1.3 end as share
      from made_places p, generate_series(0, p.learners - 1) as i
  ) as e
  join made_users u on u.n = e.user_n;
analyze made_enrolments
"""
# A row for each lesson that was opened, in order of time: a learner's next lesson follows the last
# by their pace. The last one of who left is often not done.
STEPS: LiteralString = """
create temp table made_steps as
select row_number() over (order by s.started_at, s.enrolment_n, s.place) as n, s.*
  from (
    select e.n as enrolment_n, e.user_id, e.timezone, e.course_id, l.id as lesson_id, l.module_id,
           l.type, l.weight, l.is_countable, l.is_gate, l.place, x.started_at,
           x.started_at + interval '3 minutes'
             + make_interval(secs => 1800 * pg_temp.chance(e.n * 64 + l.place, %(seed)s + 15))
             as ended_at,
           e.share = 1 or l.place < ceil(e.share * l.places)
             or pg_temp.chance(e.n, %(seed)s + 16) < 0.4 as is_completed,
           (coalesce(l.duration_seconds, 240)
             * (0.3 + 0.7 * pg_temp.chance(e.n * 64 + l.place, %(seed)s + 17)))::integer as seconds,
           l.duration_seconds
      from made_enrolments e
      join made_lessons l on l.course_id = e.course_id and l.place <= ceil(e.share * l.places)
     cross join lateral (
       select e.enrolled_at + make_interval(secs => 86400 * e.pace
         * (l.place - 1 + 0.8 * pg_temp.chance(e.n * 64 + l.place, %(seed)s + 14))) as started_at
     ) as x
     where x.started_at < date_trunc('day', now()) - interval '1 hour'
  ) as s
 order by n;
create unique index on made_steps (n)
"""
# One attempt, or two, or three; the last one passes where the lesson is done.
ATTEMPTS: LiteralString = """
create temp table made_attempts as
select s.n as step_n, k as number, tries.count, s.user_id, s.lesson_id, s.course_id,
       s.started_at + (s.ended_at - s.started_at) * ((k - 0.5) / tries.count) as started_at,
       s.started_at + (s.ended_at - s.started_at) * (k / tries.count::float) as submitted_at,
       s.is_completed and k = tries.count as passed,
       round((case when s.is_completed and k = tries.count
         then 70 + 30 * pg_temp.chance(s.n * 4 + k, %(seed)s + 19)
         else 15 + 54 * pg_temp.chance(s.n * 4 + k, %(seed)s + 19) end)::numeric, 2) as percent
  from made_steps s
 cross join lateral (
   select case when pg_temp.chance(s.n, %(seed)s + 18) < 0.7 then 1
     when pg_temp.chance(s.n, %(seed)s + 18) < 0.93 then 2 else 3 end as count
 ) as tries
 cross join lateral generate_series(1, tries.count) as k
 where s.type = 'quiz'
 order by 7;
create index on made_attempts (step_n)
"""
PROGRESS: LiteralString = """
insert into public.user_progress
  (user_id, lesson_id, course_id, status, progress, started_at, last_accessed, completed_at,
   completed_on, view_time_seconds, position_seconds, watched, attempts, best_score, created_at,
   updated_at)
select s.user_id, s.lesson_id, s.course_id,
       case when s.is_completed then 'completed' else 'in_progress' end,
       case when s.is_completed then 1 else 0.5 end,
       s.started_at, s.ended_at,
       case when s.is_completed then s.ended_at end,
       case when s.is_completed then (s.ended_at at time zone s.timezone)::date end,
       s.seconds,
       case when s.type = 'video' then s.seconds else 0 end,
       case when s.type = 'video' then int4multirange(int4range(0, s.seconds)) else '{}' end,
       coalesce(a.count, 0), a.best, s.started_at, s.ended_at
  from made_steps s
  left join lateral (
    select count(*) as count, max(x.percent) as best
      from made_attempts x
     where x.step_n = s.n and s.type = 'quiz'
  ) as a on true
 where s.n between %(first)s and %(last)s
 order by s.n
"""
WRITE_ATTEMPTS: LiteralString = """
insert into public.user_assessment_attempts
  (user_id, lesson_id, course_id, number, status, is_imported, started_at, submitted_at, graded_at,
   pass_percent, questions, total_questions, max_score, score, percent, passed, correct_count)
select a.user_id, a.lesson_id, a.course_id, a.number, 'graded', true, a.started_at, a.submitted_at,
       a.submitted_at, 70, '[]', 0, 100, a.percent, a.percent, a.passed, 0
  from made_attempts a
 order by a.submitted_at
"""
# Counters, counted. Two in a hundred have left, one was withdrawn; one in ten has a deadline.
COUNTERS: LiteralString = """
create temp table made_totals as
select l.course_id, count(*) as lessons, sum(l.weight) as weight
  from made_lessons l where l.is_countable group by l.course_id;
create temp table made_done as
select s.enrolment_n,
       count(*) filter (where s.is_completed and s.is_countable) as lessons,
       coalesce(sum(s.weight) filter (where s.is_completed and s.is_countable), 0) as weight,
       max(s.ended_at) as last_at, max(s.ended_at) filter (where s.is_completed) as done_at,
       sum(s.seconds) as seconds,
       (array_agg(s.lesson_id order by s.place desc))[1] as lesson_id,
       (array_agg(s.module_id order by s.place desc))[1] as module_id
  from made_steps s group by s.enrolment_n;
create temp table made_scores as
select s.enrolment_n, sum(b.best) as score, count(*) as lessons
  from made_steps s
  join (
    select a.step_n, (max(a.percent) * 100)::bigint as best from made_attempts a group by a.step_n
  ) as b on b.step_n = s.n
 where s.is_countable
 group by s.enrolment_n;
insert into public.enrollments
  (id, user_id, course_id, cohort_id, status, enrolled_at, expires_at, completed_lessons,
   total_lessons, completed_weight, total_weight, progress_percent, completed_at,
   completion_snapshot, last_accessed_at, current_module_id, current_lesson_id, view_time_seconds,
   score_sum, scored_lessons, sort_name, created_at, updated_at)
select e.id, e.user_id, e.course_id, g.id,
       case when pg_temp.chance(e.n, %(seed)s + 20) < 0.02 then 'left'
         when pg_temp.chance(e.n, %(seed)s + 20) < 0.03 then 'withdrawn' else 'active' end,
       e.enrolled_at,
       case when pg_temp.chance(e.n, %(seed)s + 21) < 0.1
         then e.enrolled_at + interval '180 days' end,
       coalesce(d.lessons, 0), t.lessons, coalesce(d.weight, 0), t.weight,
       private.percent(coalesce(d.weight, 0), t.weight::bigint),
       case when d.weight = t.weight then d.done_at end,
       case when d.weight = t.weight then jsonb_build_object(
         'lessons', t.lessons, 'weight', t.weight, 'catalog_version', 1) end,
       d.last_at, d.module_id, d.lesson_id, coalesce(d.seconds, 0),
       coalesce(x.score, 0), coalesce(x.lessons, 0), coalesce(e.sort_name, ''), e.enrolled_at,
       coalesce(d.last_at, e.enrolled_at)
  from made_enrolments e
  join made_totals t on t.course_id = e.course_id
  left join made_done d on d.enrolment_n = e.n
  left join made_scores x on x.enrolment_n = e.n
  left join made_cohorts g on g.course_id = e.course_id
    and g.k = 1 + floor(pg_temp.chance(e.n, %(seed)s + 22) * 12)
 order by e.enrolled_at
"""
MODULES: LiteralString = """
insert into public.module_progress
  (user_id, module_id, course_id, completion_rule, completed_lessons, total_lessons,
   completed_quizzes, total_quizzes, started_at, completed_at, created_at, updated_at)
select s.user_id, m.id, m.course_id, m.completion_rule, s.lessons, m.total_lessons, s.quizzes,
       m.total_quizzes, s.started_at, case when s.lessons = m.total_lessons then s.done_at end,
       s.started_at, coalesce(s.done_at, s.started_at)
  from (
    select s.user_id, s.module_id, min(s.started_at) as started_at,
           count(*) filter (where s.is_completed and s.is_countable) as lessons,
           count(*) filter (where s.is_completed and s.is_gate) as quizzes,
           max(s.ended_at) filter (where s.is_completed) as done_at
      from made_steps s
     group by s.user_id, s.module_id
  ) as s
  join public.modules m on m.id = s.module_id
 order by s.started_at
"""
DAYS: LiteralString = """
insert into public.daily_activity
  (user_id, day, lessons_completed, view_seconds, attempts, first_at, last_at)
select s.user_id, s.day, count(*) filter (where s.is_completed), least(sum(s.seconds), 86400),
       coalesce(sum(a.count), 0), min(s.ended_at), max(s.ended_at)
  from (
    select x.*, (x.ended_at at time zone x.timezone)::date as day from made_steps x
  ) as s
  left join (
    select a.step_n, count(*) as count from made_attempts a group by a.step_n
  ) as a on a.step_n = s.n
 group by s.user_id, s.day
 order by 2
"""
CERTIFICATES: LiteralString = """
insert into public.certificates
  (id, user_id, course_id, enrollment_id, cycle, code, learner_name, course_title, completed_at,
   completed_on, issued_at, issued_on)
select md5(%(tag)s || ':certificate:' || e.id)::uuid, e.user_id, e.course_id, e.id, 1,
       regexp_replace(
         upper(left(md5(%(tag)s || ':code:' || e.id), 20)), '(.{5})(?=.)', '\\1-', 'g'),
       p.display_name, c.title, e.completed_at, e.completed_at::date, e.completed_at,
       e.completed_at::date
  from public.enrollments e
  join made_courses m on m.id = e.course_id
  join public.courses c on c.id = m.id
  join public.profiles p on p.id = e.user_id
 where e.completed_at is not null and e.status = 'active'
 order by e.completed_at
"""
EVENTS: LiteralString = """
insert into public.progress_events
  (occurred_at, user_id, course_id, module_id, lesson_id, enrollment_id, kind, data)
select v.at, v.user_id, v.course_id, v.module_id, v.lesson_id, e.id, v.kind, v.data
  from (
    select s.enrolment_n, s.started_at as at, s.user_id, s.course_id, s.module_id, s.lesson_id,
           'lesson_started' as kind, '{}'::jsonb as data
      from made_steps s
    union all
    select s.enrolment_n, s.ended_at, s.user_id, s.course_id, s.module_id, s.lesson_id,
           'lesson_completed', '{}' from made_steps s where s.is_completed
    union all
    select s.enrolment_n, a.submitted_at, s.user_id, s.course_id, s.module_id, s.lesson_id,
           'attempt_graded', jsonb_build_object('number', a.number, 'percent', a.percent,
             'passed', a.passed, 'imported', true)
      from made_attempts a join made_steps s on s.n = a.step_n
    union all
    select e.n, e.enrolled_at, e.user_id, e.course_id, null, null, 'enrolled', '{}'
      from made_enrolments e
  ) as v
  join made_enrolments e on e.n = v.enrolment_n
 where v.at >= date_trunc('month', now()) - make_interval(months => %(months)s)
 order by v.at
"""
CLEAN: LiteralString = """
drop table made_courses, made_lessons, made_users, made_places, made_cohorts, made_enrolments,
  made_steps, made_attempts, made_totals, made_done, made_scores
"""


# The command -------------------------------------------------------------------------------------


def main(arguments: Sequence[str]) -> int:
    """Fill the database that DB_URL names, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="bin/bench generate",
        description="Fill the database that DB_URL names (see `bin/dev status -o env`) with "
        "courses, learners and their progress. Meant for a stack of its own: nothing takes it back "
        "but `bin/dev reset`.",
    )
    parser.add_argument("--rows", type=int, required=True, help="rows of user_progress, about")
    parser.add_argument("--seed", type=int, default=1, help="other people, other days (1)")
    options = parser.parse_args(arguments)
    url = os.environ.get("DB_URL")
    if not url:
        print("bench: DB_URL is not set: see `bin/dev status -o env`", file=sys.stderr)
        return 2
    bar = Bar()
    with psycopg.connect(url, autocommit=True) as db:
        made = make(db, Plan(options.rows, options.seed), bar)
        bar("vacuum", math.nan)
        db.execute("vacuum (analyze)")
    bar.end()
    print(
        f"{made.rows:,} rows of user_progress in {len(made.course_ids):,} courses, "
        f"{made.seconds:.0f} s; the largest course is {made.course_ids[0]}"
    )
    return 0


class Bar:
    """A line on stderr that says what is being made, and how far that is."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._is_terminal = sys.stderr.isatty()
        self._last = ""

    def __call__(self, what: str, share: float) -> None:
        """Show a step, and which part of it is done (NaN where that is not known)."""
        line = f"bench: {time.monotonic() - self._began:5.0f} s  {what}"
        if not math.isnan(share):
            done = round(share * 30)
            line += f" [{'#' * done}{'.' * (30 - done)}] {share:.0%}"
        if self._is_terminal:
            print(f"\r{line:<79}", end="", file=sys.stderr, flush=True)
        elif what != self._last:
            print(line, file=sys.stderr, flush=True)
        self._last = what

    def end(self) -> None:
        """Leave the line."""
        if self._is_terminal:
            print(file=sys.stderr)
