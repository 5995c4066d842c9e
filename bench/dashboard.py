"""What a dashboard costs inside the database, among a million rows of progress.

Learners of different kinds share the tables, their rows scattered as they come over the months.
Every measured call is `get_my_dashboard()` under EXPLAIN ANALYZE, in a session that has settled on
its plans; kinds take turns.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from bench import seed
from bench.cost import Cost, CpuClock, become, explain
from bench.seed import Course, Db
from bench.target import say

CALL = "select public.get_my_dashboard()"
CHUNK = 250


@dataclass(frozen=True)
class Plan:
    """How much is made and measured."""

    learners: int = 5_000
    courses: int = 20
    courses_each: int = 4
    lessons: int = 50
    days_each: int = 120
    many_courses: int = 1_000
    many_days: int = 3_650
    measured: int = 40


@dataclass
class Dashboards:
    """Costs by kind of learner, and the rows of progress that they were measured among."""

    rows: int
    by_kind: dict[str, Cost]

    @property
    def ordinary(self) -> Cost:
        """The kind that most learners are of."""
        return next(iter(self.by_kind.values()))


def measure(db_url: str, tag: str, plan: Plan) -> Dashboards:
    """Make courses and learners, and measure."""
    with psycopg.connect(db_url, autocommit=True) as db:
        db.execute("set statement_timeout = 0")
        say("dashboard: making courses and learners")
        courses = [seed.make_course(db, tag, plan.lessons) for _ in range(plan.courses)]
        small = [seed.make_course(db, tag, 1).id for _ in range(plan.many_courses)]
        users = seed.make_learners(db, tag, plan.learners)
        for n in range(0, len(users), CHUNK):
            _study(db, courses, users[n : n + CHUNK], plan)
        collector, veteran = seed.make_learners(db, tag, 2)
        _collect(db, small, collector)
        _study(db, courses, [veteran], plan)
        _live(db, [veteran], plan.many_days)
        ordinary = [users[n * len(users) // plan.measured] for n in range(plan.measured)]
        lately_edited = [users[n * len(users) // plan.measured + 1] for n in range(plan.measured)]
        db.execute(
            "update public.enrollments set frontier_version = 0 where user_id = any (%s::uuid[])",
            [lately_edited],
        )
        seed.settle(db)
        say("dashboard: measuring")
        kinds: dict[str, Sequence[str]] = {
            f"{plan.courses_each} courses, {plan.days_each} days": ordinary,
            "the same, all courses edited since": lately_edited,
            f"{plan.many_courses:,} enrolments, all begun": [collector] * plan.measured,
            f"{plan.courses_each} courses, {plan.many_days:,} days": [veteran] * plan.measured,
        }
        costs = {kind: Cost() for kind in kinds}
        _run(db, kinds, costs)
        row = db.execute("select count(*) from public.user_progress").fetchone()
        assert row is not None
    return Dashboards(int(row[0]), costs)


def _run(db: Db, kinds: dict[str, Sequence[str]], costs: dict[str, Cost]) -> None:
    clock = CpuClock(db.info.backend_pid)
    shuffle = random.Random(3)
    warm = {kind: users[0] for kind, users in kinds.items()}
    for user in [user for user in warm.values() for _ in range(6)]:
        become(db, user)
        db.execute(CALL)
    for turn in range(max(map(len, kinds.values()))):
        for kind in shuffle.sample(list(kinds), len(kinds)):
            become(db, kinds[kind][turn])
            explain(db, clock, costs[kind], CALL)
    db.execute("reset role")
    db.execute("select set_config('request.jwt.claims', '', false)")


def _study(db: Db, courses: Sequence[Course], users: Sequence[str], plan: Plan) -> None:
    """Enrol users in some of the courses each, half done, and give them the days of it."""
    with db.transaction():
        db.execute(
            """
            create temp table taken on commit drop as
            select u.id as user_id, c.id as course_id
              from unnest(%(users)s::uuid[]) with ordinality as u (id, n)
              join unnest(%(courses)s::bigint[]) with ordinality as c (id, n)
                on (c.n + u.n) %% %(count)s < %(each)s
            """,
            {
                "users": list(users),
                "courses": [course.id for course in courses],
                "count": len(courses),
                "each": plan.courses_each,
            },
        )
        db.execute(
            """
            insert into public.enrollments (user_id, course_id, enrolled_at)
            select user_id, course_id, now() - interval '90 days' from taken
            """
        )
        # One lesson in two of the last two months is done; all are begun.
        db.execute(
            """
            insert into public.user_progress
              (user_id, lesson_id, course_id, status, progress, started_at, last_accessed,
               completed_at, completed_on, position_seconds)
            select t.user_id, l.id, l.course_id,
                   case when x.done then 'completed' else 'in_progress' end, x.done::integer,
                   x.at, x.at, case when x.done then x.at end,
                   case when x.done then x.at::date end, 30
              from taken t
              join public.lessons l on l.course_id = t.course_id
             cross join lateral (
               select hashtext(l.id::text || t.user_id) % 2 = 0 as done,
                      now() - make_interval(
                        hours => hashtext(t.user_id || l.id::text) & 2047) as at) x
             order by hashtext(l.id::text || t.user_id)
            """
        )
        db.execute(
            """
            insert into public.module_progress
              (user_id, module_id, course_id, completed_lessons, total_lessons, started_at,
               completed_at)
            select p.user_id, l.module_id, l.course_id, count(*) filter (where p.is_completed),
                   count(*), min(p.started_at), max(p.completed_at)
              from taken t
              join public.user_progress p on p.user_id = t.user_id and p.course_id = t.course_id
              join public.lessons l on l.id = p.lesson_id
             group by p.user_id, l.module_id, l.course_id
            """
        )
        db.execute(
            """
            insert into public.progress_events
              (occurred_at, user_id, course_id, module_id, lesson_id, enrollment_id, kind)
            select p.completed_at, p.user_id, p.course_id, l.module_id, p.lesson_id, e.id,
                   'lesson_completed'
              from taken t
              join public.user_progress p on p.user_id = t.user_id and p.course_id = t.course_id
              join public.lessons l on l.id = p.lesson_id
              join public.enrollments e on e.user_id = t.user_id and e.course_id = t.course_id
             where p.is_completed
               and p.completed_at >= date_trunc('month', now()) - interval '1 month'
            """
        )
        db.execute(
            """
            update public.enrollments e
               set completed_lessons = d.done, completed_weight = d.done,
                   progress_percent = private.percent(d.done, e.total_weight),
                   last_accessed_at = d.at,
                   frontier_version = c.catalog_version,
                   frontier_lesson_id = private.first_incomplete(e.user_id, e.course_id)
              from (
                select p.user_id, p.course_id, count(*) filter (where p.is_completed) as done,
                       max(p.last_accessed) as at
                  from taken t
                  join public.user_progress p
                    on p.user_id = t.user_id and p.course_id = t.course_id
                 group by p.user_id, p.course_id) as d
              join public.courses c on c.id = d.course_id
             where e.user_id = d.user_id and e.course_id = d.course_id
               and d.done < e.total_lessons
            """
        )
        _live(db, users, plan.days_each)


def _live(db: Db, users: Sequence[str], days: int) -> None:
    """Activity on most of the days until today."""
    db.execute(
        """
        insert into public.daily_activity (user_id, day, lessons_completed, view_seconds, first_at,
          last_at)
        select u, current_date - d, 1, 600, now() - make_interval(days => d),
               now() - make_interval(days => d)
          from unnest(%s::uuid[]) as u, generate_series(0, %s - 1) as d
         where hashtext(u::text || d) %% 8 <> 0
         order by d, u
            on conflict (user_id, day) do nothing
        """,
        [list(users), days],
    )


def _collect(db: Db, courses: Sequence[int], user: str) -> None:
    """Enrol one user in all of these courses, and begin each."""
    db.execute(
        """
        insert into public.enrollments (user_id, course_id, last_accessed_at)
        select %s, c, now() - make_interval(mins => n::integer)
          from unnest(%s::bigint[]) with ordinality as x (c, n)
        """,
        [user, list(courses)],
    )
    db.execute(
        """
        with begun as (
          insert into public.user_progress
            (user_id, lesson_id, course_id, status, started_at, last_accessed)
          select %s, l.id, l.course_id, 'in_progress', now(), now()
            from public.lessons l
           where l.course_id = any (%s)
          returning user_id, lesson_id
        )
        insert into public.module_progress
          (user_id, module_id, course_id, total_lessons, started_at)
        select b.user_id, l.module_id, l.course_id, 1, now()
          from begun b
          join public.lessons l on l.id = b.lesson_id
        """,
        [user, list(courses)],
    )
