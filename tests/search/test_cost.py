"""What a search or a page of cards costs follows what it finds, not what the catalogue holds.

Measured on 200 and on 2,000 courses: buffers, never milliseconds, and no sequential scan of a
table of the catalogue.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
import pytest

from tests.support.scratch import Scratch

FEW, MANY, LESSONS = 200, 2000, 10
TABLES = ["search_entries", "lessons", "courses", "resources"]

# Courses %(first)s to %(last)s; the words of a lesson are drawn from a thousand.
CATALOG: LiteralString = """
insert into public.courses (slug, title, category, status, content_access, description)
  select 'cost-' || c, 'Course number ' || c, 'category ' || c %% 20,
         case when c %% 10 = 9 then 'draft' else 'published' end,
         case when c %% 2 = 0 then 'public' else 'enrolled' end, 'All about topic' || c %% 50
    from generate_series(%(first)s, %(last)s) c;
insert into public.modules (course_id, title)
  select c.id, 'Module' from public.courses c
   where c.slug like 'cost-%%' and not exists (
     select from public.modules m where m.course_id = c.id);
insert into public.lessons (module_id, course_id, position, title, content)
  select m.id, m.course_id, l, 'Lesson ' || l || ' word' || (m.course_id * 7 + l) %% 1000,
         'Some text that everything has. ' || (
           select string_agg('word' || (hashtext(m.id::text || l || w) & 1023), ' ')
             from generate_series(1, 60) w)
    from public.modules m, generate_series(1, %(lessons)s) l
   where not exists (select from public.lessons x where x.module_id = m.id);
insert into public.resources (course_id, lesson_id, title, url)
  select l.course_id, l.id, 'File', 'https://example.org/' || l.id
    from public.lessons l
   where l.position = 1 and not exists (select from public.resources r where r.lesson_id = l.id);
"""
NEEDLES: LiteralString = """
update public.lessons set title = 'The needle' where id in (
  select l.id from public.lessons l
    join public.courses c on c.id = l.course_id
   where c.slug in ('cost-0', 'cost-2', 'cost-4') and l.position = 5);
update public.courses set description = 'In a haystack' where slug = 'cost-4';
insert into public.enrollments (user_id, course_id)
  select %(user)s, id from public.courses
   where slug in ('cost-1', 'cost-3', 'cost-5', 'cost-7');
update public.courses set status = 'archived' where slug = 'cost-7';
insert into public.collections (user_id, name) values (%(user)s, 'Saved');
insert into public.collection_items (user_id, collection_id, course_id)
  select k.user_id, k.id, c.id from public.collections k, public.courses c
   where k.user_id = %(user)s and c.slug in ('cost-0', 'cost-2');
"""

# What is asked, and how many results it has.
STATEMENTS: dict[str, tuple[LiteralString, int]] = {
    "a rare word": ("select public.search_catalog('needle')", 3),
    "its beginning": ("select public.search_catalog('the need')", 3),
    "two words": ("select public.search_catalog('needle everything')", 3),
    "a word that nobody wrote": ("select public.search_catalog('xylophone')", 0),
    "cards": ("select public.get_course_cards()", 24),
    "cards of a category": ("select public.get_course_cards(p_category => 'category 4')", 10),
    "cards further on": ("select public.get_course_cards(p_after => {middle})", 24),
    "cards by a word": ("select public.get_course_cards(p_search => 'a hayst')", 1),
    "resources": ("select public.get_course_resources({course})", 1),
    "a note beside a lesson": (
        "insert into public.notes (lesson_id, body) values ({lesson}, 'Note') returning"
        " jsonb_build_object('notes', jsonb_build_array(id))",
        1,
    ),
    "saving a course": (
        "insert into public.collection_items (course_id) values ({course}) returning"
        " jsonb_build_object('items', jsonb_build_array(id))",
        1,
    ),
}


@dataclass
class Measured:
    """What a statement cost in one size of the catalogue."""

    results: int
    buffers: int
    sequential: dict[str, int]


def measure(session: psycopg.Connection[Any], user: str, statement: str) -> Measured:
    claims = json.dumps({"role": "authenticated", "sub": user})
    with session.transaction(force_rollback=True):
        session.execute("select set_config('request.jwt.claims', %s, true)", [claims])
        session.execute("set local role authenticated")
        session.execute(f"prepare asked as {statement}".encode())
        # After five runs PostgreSQL may choose another plan and keep it, here and in functions.
        for _ in range(7):
            session.execute("savepoint run")
            [(answer,)] = session.execute("execute asked").fetchall()
            session.execute("rollback to savepoint run")
        session.execute("reset role")
        before = scans(session)
        session.execute("set local role authenticated")
        [(explained,)] = session.execute(
            "explain (analyze, buffers, timing off, format json) execute asked"
        ).fetchall()
        session.execute("reset role")
        after = scans(session)
        session.execute("deallocate asked")
    plan = explained[0]["Plan"]
    [found] = [value for value in answer.values() if isinstance(value, list)][:1] or [[]]
    return Measured(
        results=len(found),
        buffers=plan["Shared Hit Blocks"] + plan["Shared Read Blocks"],
        sequential={
            name: count - before.get(name, 0)
            for name, count in after.items()
            if count > before.get(name, 0)
        },
    )


def scans(session: psycopg.Connection[Any]) -> dict[str, int]:
    """Rows read by sequential scans of this transaction, by table; inside functions too."""
    return dict(
        session.execute(
            "select relname, seq_tup_read from pg_stat_xact_user_tables where relname = any (%s)",
            [TABLES],
        ).fetchall()
    )


@pytest.fixture(scope="module")
def measured(pushed: Scratch) -> Iterator[dict[str, tuple[Measured, Measured]]]:
    """Every statement's cost in the small catalogue and in the large one."""
    results: list[dict[str, Measured]] = []
    user = "00000000-0000-4000-8000-00000000c057"
    with pushed.connect(autocommit=True) as connection:
        connection.execute("delete from private.rate_limits where bucket = 'search'")
        connection.execute("insert into auth.users (id) values (%s)", [user])
        for first, last in ((0, FEW - 1), (FEW, MANY - 1)):
            with connection.transaction(), psycopg.ClientCursor(connection) as cursor:
                cursor.execute(CATALOG, {"first": first, "last": last, "lessons": LESSONS})
                if first == 0:
                    cursor.execute(NEEDLES, {"user": user})
            connection.execute("vacuum analyze")
            with pushed.connect() as session:
                row = session.execute(
                    "select c.id::text, quote_literal(l.id), (c.id + %s)::text"
                    "  from public.courses c join public.lessons l on l.course_id = c.id"
                    " where c.slug = 'cost-3' and l.position = 1",
                    [last // 2],
                ).fetchone()
                assert row is not None
                ids = dict(zip(("course", "lesson", "middle"), row, strict=True))
                results.append(
                    {
                        name: measure(session, user, text.format(**ids))
                        for name, (text, _) in STATEMENTS.items()
                    }
                )
        yield {name: (results[0][name], results[1][name]) for name in STATEMENTS}
        connection.execute("delete from public.enrollments")
        connection.execute("delete from public.courses where slug like 'cost-%'")
        connection.execute("delete from auth.users")


Costs = dict[str, tuple[Measured, Measured]]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_what_grows_is_not_scanned(measured: Costs, statement: str) -> None:
    _, many = measured[statement]
    assert many.sequential == {}
    if statement != "cards of a category":
        assert many.results == STATEMENTS[statement][1]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_cost_does_not_grow_with_the_catalogue(measured: Costs, statement: str) -> None:
    few, many = measured[statement]
    # Ten times the catalogue: an index may be a level deeper, and a page fuller.
    assert many.buffers <= 1.5 * few.buffers + 40 + 8 * (many.results - few.results)


def test_a_scan_would_be_noticed(pushed: Scratch, measured: Costs) -> None:
    """The mistake that these tests are for: an index that is not used."""
    assert measured["a rare word"][1].buffers < 1000
    with pushed.connect() as session:
        session.execute("drop index private.search_entries_document_idx")
        session.execute("drop index public.courses_published_idx, public.courses_category_idx")
        user = "00000000-0000-4000-8000-00000000c057"
        careless = measure(session, user, STATEMENTS["a rare word"][0])
        session.rollback()
    assert careless.sequential["search_entries"] >= MANY * LESSONS
    assert careless.buffers > 3 * measured["a rare word"][1].buffers
