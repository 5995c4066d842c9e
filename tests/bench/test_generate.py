"""What the generator makes is sound: counters are a recount, every reference leads somewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from bench import generate, scale
from tests.database.actors import DRIFT
from tests.stack import Stack
from tests.support.scratch import scratch_database

Db = psycopg.Connection[Any]
PLAN = generate.Plan(10_000, seed=5)
REFERENCES = """
select c.conname, c.conrelid::regclass::text, c.confrelid::regclass::text,
       array(select quote_ident(a.attname) from unnest(c.conkey) with ordinality k (n, i)
               join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k.n order by k.i),
       array(select quote_ident(a.attname) from unnest(c.confkey) with ordinality k (n, i)
               join pg_attribute a on a.attrelid = c.confrelid and a.attnum = k.n order by k.i)
  from pg_constraint c
 where c.contype = 'f' and c.connamespace = 'public'::regnamespace and c.conparentid = 0
"""
# The same rows again, but for what the catalogue numbers itself.
DIGEST = """
select count(*), md5(string_agg(row(p.user_id, p.status, p.started_at, p.completed_at,
         p.view_time_seconds, p.best_score, l.module_position, l.position)::text, ','
         order by p.user_id, p.started_at, l.module_position, l.position))
  from public.user_progress p
  join public.lessons l on l.id = p.lesson_id
  join public.courses c on c.id = p.course_id
 where c.slug like 'generated-5-%'
"""


@pytest.fixture(scope="module")
def made(stack: Stack) -> Iterator[tuple[Db, generate.Made]]:
    """Ten thousand rows, in a transaction that is taken back."""
    with stack.connect() as db:
        steps: list[tuple[str, float]] = []
        made = generate.make(db, PLAN, lambda what, share: steps.append((what, share)))
        assert ("progress", 1.0) in steps
        yield db, made
        db.rollback()


def test_counters_are_a_recount(made: tuple[Db, generate.Made]) -> None:
    db, found = made
    assert db.execute(DRIFT, {"courses": list(found.course_ids)}).fetchall() == []
    [(answer,)] = db.execute("select private.recalculate_slice(null, null, 5000, true, 60)")
    # Other tests may have left drift of theirs.
    assert [one for one in answer["drift"] if one["course_id"] in found.course_ids] == []
    assert answer["checked"] > 500
    # A fault would be found.
    with db.transaction(force_rollback=True):
        db.execute("set local session_replication_role = replica")
        db.execute(
            "update public.user_progress set status = 'in_progress', completed_at = null,"
            " completed_on = null where (user_id, lesson_id) = (select p.user_id, p.lesson_id"
            " from public.user_progress p join public.lessons l on l.id = p.lesson_id"
            " where p.is_completed and l.is_countable and p.course_id = %s limit 1)",
            [found.course_ids[0]],
        )
        assert len(db.execute(DRIFT, {"courses": list(found.course_ids)}).fetchall()) == 2


def test_every_reference_leads_somewhere(made: tuple[Db, generate.Made]) -> None:
    db, _ = made
    references = db.execute(REFERENCES).fetchall()
    assert len(references) > 20
    for name, table, target, columns, keys in references:
        on = " and ".join(
            f"t.{key} = x.{column}" for column, key in zip(columns, keys, strict=True)
        )
        given = " and ".join(f"x.{column} is not null" for column in columns)
        [(orphans,)] = db.execute(
            f"select count(*) from {table} x where {given}"
            f" and not exists (select from {target} t where {on})"
        )
        assert orphans == 0, name


def test_days_are_those_of_the_progress(made: tuple[Db, generate.Made]) -> None:
    db, found = made
    differing = db.execute(
        """
        select * from (
          select p.user_id, p.completed_on as day, count(*) as lessons from public.user_progress p
            join public.courses c on c.id = p.course_id and c.id = any (%(courses)s)
           where p.is_completed group by 1, 2) as x
          full join (
            select d.* from public.daily_activity d join auth.users u on u.id = d.user_id
             where d.lessons_completed > 0 and u.email like %(who)s) as d
            using (user_id, day)
         where x.lessons is distinct from d.lessons_completed
        """,
        {"courses": list(found.course_ids), "who": f"%@{found.tag}.invalid"},
    ).fetchall()
    assert differing == []


def test_the_shape(made: tuple[Db, generate.Made]) -> None:
    db, found = made
    assert 0.8 * PLAN.rows < found.rows < 1.25 * PLAN.rows
    sizes = [
        row[0]
        for row in db.execute(
            "select count(*) from public.enrollments where course_id = any (%s)"
            " group by course_id order by 1 desc",
            [list(found.course_ids)],
        )
    ]
    assert sizes[0] == PLAN.largest
    # By Zipf the fourth course has a quarter of the first.
    assert sizes[3] == round(sizes[0] / 4)
    [(dropouts, finished, idle)] = db.execute(
        "select avg((progress_percent between 1 and 99)::int), avg((progress_percent = 100)::int),"
        " avg((progress_percent = 0)::int) from public.enrollments where course_id = any (%s)",
        [list(found.course_ids)],
    )
    assert dropouts > finished > idle > 0
    for table in ("certificates", "cohorts", "course_staff", "user_assessment_attempts"):
        [(rows,)] = db.execute(f"select count(*) from public.{table} where course_id = any (%s)",
                               [list(found.course_ids)])  # fmt: skip
        assert rows > 0, table
    [(events,)] = db.execute(
        "select count(*) from public.progress_events where course_id = any (%s)",
        [list(found.course_ids)],
    )
    assert events > 1_000


def test_the_same_seed_makes_the_same(made: tuple[Db, generate.Made]) -> None:
    db, _ = made
    [first] = db.execute(DIGEST).fetchall()
    with db.transaction(force_rollback=True):
        db.execute("set local session_replication_role = replica")
        db.execute(
            "update public.courses set slug = 'before-' || slug where slug like 'generated-%'"
        )
        db.execute("delete from auth.users where email like '%.invalid'")
        for table in (
            "profiles", "enrollments", "user_progress", "module_progress", "daily_activity",
            "user_assessment_attempts", "certificates", "cohorts",
        ):  # fmt: skip
            db.execute(f"delete from public.{table}")
        db.execute("set local session_replication_role = origin")
        generate.make(db, PLAN)
        [again] = db.execute(DIGEST).fetchall()
    assert again == first
    assert first[0] > 5_000


@pytest.mark.long
def test_the_scale_bench_measures(stack: Stack) -> None:
    """On a database of its own, small: what it finds means nothing, but every figure is there."""
    with scratch_database(stack) as database:
        done = database.push()
        assert done.returncode == 0, done.stdout
        plan = scale.Plan(rows=(20_000, 40_000), repeats=1, learners=3, completions=3, skip=10)
        found = scale.measure(database.url, plan)
    assert [len(stage.calls) for stage in found.stages] == [len(found.stages[0].calls)] * 2
    assert found.with_reports.rows > 0
    for title, _, head, rows in scale.sections(found):
        # A scratch database has no pg_stat_statements.
        assert rows or title == "The slowest statements", title
        assert {len(row) for row in rows} == {len(head)}, title
    assert len(scale.summary(found)) == 6
