"""What a page costs, by buffers and scans: bounded by the course, among 200,000 enrolments."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, LiteralString

import psycopg
import pytest

from tests.stack import Stack

SIZES = (20_000, 2_000)
OTHERS = 20
# Two courses of interest among twenty others; rows lie scattered, as they come over the months.
ROWS: LiteralString = """
create temp table course on commit drop as
  with made as (
    insert into public.courses (slug, title, status)
    select 'many-' || c, 'Many', 'published' from generate_series(1, %(others)s + 2) as c
    returning id, slug)
  select id, split_part(slug, '-', 2)::integer as n from made;
create temp table who on commit drop as
  select gen_random_uuid() as id, n from generate_series(1, %(large)s) as n;
set local session_replication_role = replica;
set local work_mem = '64MB';
-- What the rows are not looked up by, and what is true of them anyway: made in half the time.
alter table public.enrollments drop constraint percent_follows_weights,
  drop constraint completed_within_total, drop constraint full_percent_has_completed_at,
  drop constraint one_enrollment_per_user_and_course;
insert into auth.users (id, email) select id, id || '@many.test' from who;
insert into public.profiles (id, display_name) select id, 'Learner ' || n from who;
insert into public.course_staff (course_id, user_id, role)
  select c.id, w.id, 'assistant' from course c, who w where w.n <= 3;
insert into public.enrollments
  (user_id, course_id, completed_lessons, total_lessons, completed_weight, total_weight,
   progress_percent, enrolled_at, last_accessed_at, current_lesson_id, view_time_seconds, score_sum,
   scored_lessons, sort_name)
select w.id, c.id, w.n %% 97, 100, w.n %% 97, 100, w.n %% 97,
       now() - make_interval(mins => w.n), now() - make_interval(mins => w.n * 7 %% 1000), w.id,
       w.n * 31 %% 10007, w.n * 17 %% 10001, 1, 'learner ' || w.n
  from who w
  join course c on c.n <= 1 or c.n = 2 and w.n <= %(small)s or c.n > 2 and w.n %% 2 = c.n %% 2
 order by hashint8(w.n), c.n;
set local session_replication_role = origin;
analyze public.enrollments;
analyze public.profiles;
analyze public.course_staff
"""


@pytest.fixture(scope="module")
def crowd(stack: Stack) -> Iterator[tuple[psycopg.Connection[Any], list[int]]]:
    """A transaction that holds the rows, and the two courses, the large one first."""
    with stack.connect() as db:
        db.execute("set local statement_timeout = 0")
        with psycopg.ClientCursor(db) as cursor:
            cursor.execute(ROWS, {"others": OTHERS, "large": SIZES[0], "small": SIZES[1]})
        [(rows,)] = db.execute("select count(*) from public.enrollments")
        assert rows >= 200_000
        courses = [row[0] for row in db.execute("select id from course where n <= 2 order by n")]
        yield db, courses
        db.rollback()


def cost(db: psycopg.Connection[Any], call: str, *values: Any) -> tuple[int, list[str]]:
    """Buffers that a call has touched, and the tables that it has scanned."""

    def scans() -> dict[str, int]:
        return dict(
            db.execute(
                "select relname, seq_scan from pg_stat_xact_user_tables"
                " where relname in ('enrollments', 'profiles', 'user_progress')"
            ).fetchall()
        )

    before = scans()
    [(explained,)] = db.execute(
        f"explain (analyze, buffers, timing off, format json) select {call}", values
    )
    plan = explained[0]["Plan"]
    scanned = [name for name, count in scans().items() if count > before[name]]
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], scanned


def page(db: psycopg.Connection[Any], course: int, sort: str, **more: Any) -> dict[str, Any]:
    [(answer,)] = db.execute(
        "select public.get_course_learners(%s, %s, p_limit => 50, p_cursor => %s)",
        [course, sort, more.get("cursor")],
    )
    found: dict[str, Any] = answer
    return found


def test_a_page_by_name_costs_the_same_in_any_course(
    crowd: tuple[psycopg.Connection[Any], list[int]],
) -> None:
    db, (large, small) = crowd
    far = f"name.{b'learner 19000'.hex()}.{'0' * 8}-0000-0000-0000-{'0' * 12}"
    call = "public.get_course_learners(%s, 'name', p_limit => 50, p_cursor => %s)"
    cost(db, call, small, None)
    few, _ = cost(db, call, small, None)
    for cursor in (None, far):
        many, scanned = cost(db, call, large, cursor)
        assert scanned == []
        # Fifty learners, each found by name, looked up by key, with profile and staff.
        assert many <= 1.2 * few + 50
        assert many <= 50 * 16 + 100


@pytest.mark.parametrize("sort", ["percent", "activity", "score", "time"])
def test_a_page_by_another_key_costs_what_the_course_is(
    crowd: tuple[psycopg.Connection[Any], list[int]], sort: str
) -> None:
    db, courses = crowd
    call = "public.get_course_learners(%s, %s, p_limit => 50, p_cursor => %s)"
    for course, size in zip(courses, SIZES, strict=True):
        cursor = page(db, course, sort)["cursor"]
        for place in (None, cursor):
            buffers, scanned = cost(db, call, course, sort, place)
            assert scanned == []
            # At most a page of the table for each enrolment of the course, and the index.
            assert buffers <= 1.1 * size + 50 * 16 + 100


def test_filters_cost_no_more(crowd: tuple[psycopg.Connection[Any], list[int]]) -> None:
    """Not even where nobody fits: no walk in order of names that looks up one row after another."""
    db, (large, _) = crowd
    for filters in (
        "p_needs_help => true",
        "p_status => 'completed'",
        "p_min_percent => 99",
        "p_inactive_days => 300",
    ):
        buffers, scanned = cost(
            db, f"public.get_course_learners(%s, 'name', p_limit => 50, {filters})", large
        )
        assert scanned == []
        assert buffers <= 1.1 * SIZES[0] + 50 * 16 + 100


def test_an_index_would_be_missed(crowd: tuple[psycopg.Connection[Any], list[int]]) -> None:
    db, (large, _) = crowd
    call = "public.get_course_learners(%s, 'name', p_limit => 50)"
    with db.transaction(force_rollback=True):
        db.execute("drop index public.enrollments_name_idx")
        buffers, _ = cost(db, call, large)
        assert buffers > 3_000


def test_what_learners_write_leaves_the_keys_indexes_alone(
    crowd: tuple[psycopg.Connection[Any], list[int]],
) -> None:
    """Percent, activity, score and time are in no index: updates stay on the row's own page."""
    db, _ = crowd
    [(columns,)] = db.execute(
        """
        select array_agg(distinct a.attname::text)
          from pg_index i
          join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
         where i.indrelid = 'public.enrollments'::regclass
        """
    )
    assert not {
        "progress_percent", "completed_lessons", "last_accessed_at", "view_time_seconds",
        "score_sum", "scored_lessons",
    } & set(columns)  # fmt: skip
    assert json.dumps(sorted(columns)).count("sort_name") == 1
