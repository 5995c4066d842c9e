"""Deleting an account: nothing is left that names it, and what happened still adds up."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.access.world import World
from tests.catalog.catalog import Catalog
from tests.database.actors import Actor, drift, make_course

Learners = Callable[[], Actor]

# Where a removed user's id may still stand, and why.
STAYS = {
    # What someone did to others as staff stays theirs to answer for.
    ("public.audit_log", "actor_id"),
    ("private.attempt_results", "graded_by"),
    # Full again within minutes, and then purged.
    ("private.rate_buckets", "key"),
}


def traces(catalog: Catalog, *needles: str) -> set[tuple[str, str]]:
    """Every table and column of the database, Supabase's own too, that holds one of these texts."""
    found = set()
    columns = catalog.connection.execute(
        """
        select format('%I.%I', n.nspname, c.relname), n.nspname || '.' || c.relname, a.attname
          from pg_class c
          join pg_namespace n on n.oid = c.relnamespace
          join pg_attribute a on a.attrelid = c.oid
         where c.relkind = 'r' and a.attnum > 0 and not a.attisdropped
           and n.nspname in ('public', 'private', 'auth', 'storage')
           and has_table_privilege(c.oid, 'select')
        """
    ).fetchall()
    for relation, name, column in columns:
        row = catalog.connection.execute(
            f'select exists (select from {relation} where "{column}"::text like any (%s))'.encode(),
            [[f"%{needle}%" for needle in needles]],
        ).fetchone()
        if row == (True,):
            name = "public.progress_events" if "progress_events_" in name else name
            found.add((name, column))
    return found


def names_of(world: World, person: str) -> list[str]:
    [(email,)] = world.connection.execute(
        "select email from auth.users where id = %s", [world.users[person]]
    ).fetchall()
    return [world.users[person], email]


def erase(world: World, person: str) -> None:
    world.connection.execute("delete from auth.users where id = %s", [world.users[person]])


def test_a_removed_learner_is_nowhere(world: World, catalog: Catalog) -> None:
    world.call(
        "learner",
        "select public.uncomplete_lesson(%s, 'I, Learner of Elm Street, was too fast')",
        world.lessons["done"],
    )
    world.call("learner", "select public.search_catalog('lesson')")
    names = [*names_of(world, "learner"), "Elm Street", "Thought of learner"]
    before = traces(catalog, *names)
    assert {table for table, _ in before} >= {
        "public.enrollments",
        "public.user_progress",
        "public.progress_events",
        "public.audit_log",
        "public.notes",
        "public.collections",
        "auth.users",
    }
    erase(world, "learner")
    assert traces(catalog, *names) <= {("private.rate_buckets", "key")}


def test_a_removed_member_of_staff_leaves_their_id_on_what_they_did(
    world: World, catalog: Catalog
) -> None:
    world.call(
        "instructor",
        "select public.grade_attempt(%s, %s, p_reason => 'late')",
        world.ids["attempt of learner"],
        json.dumps([{"question_id": "essay", "points": 1}]),
    )
    names = names_of(world, "instructor")
    assert ("public.course_staff", "user_id") in traces(catalog, *names)
    erase(world, "instructor")
    assert traces(catalog, *names) <= STAYS
    [(reason,)] = world.connection.execute(
        "select reason from public.audit_log where actor_id = %s", [world.users["instructor"]]
    ).fetchall()
    assert reason == "late"


def test_history_stays_under_the_id_of_nobody(world: World) -> None:
    connection, learner = world.connection, world.users["learner"]

    def history(condition: str, *values: Any) -> list[Any]:
        return connection.execute(
            "select id, occurred_at, course_id, lesson_id, kind, cycle, data - 'reason'"
            f"  from public.progress_events where {condition} order by id".encode(),
            values,
        ).fetchall()

    world.call("learner", "select public.uncomplete_lesson(%s, 'Mine')", world.lessons["done"])
    mine, others = history("user_id = %s", learner), history("user_id <> %s", learner)
    assert len(mine) > 5
    log = "select count(*) from public.audit_log"
    [acts] = connection.execute(log).fetchall()
    erase(world, "learner")
    [(nobody,)] = connection.execute(
        "select distinct user_id from public.progress_events where id = any (%s)",
        [[event[0] for event in mine]],
    ).fetchall()
    assert str(nobody) != learner
    assert history("user_id = %s", nobody) == mine
    assert history("user_id <> %s", nobody) == others
    assert connection.execute("select from auth.users where id = %s", [nobody]).fetchall() == []
    assert connection.execute(log).fetchall() == [acts]
    about = connection.execute(
        "select actor_id, reason from public.audit_log where user_id = %s", [nobody]
    ).fetchall()
    # What the learner did names nobody and says nothing; what was done to them keeps its reason.
    assert {(actor == nobody, reason) for actor, reason in about} == {
        (True, None),
        (False, "Finished elsewhere"),
        (False, "Done at school"),
    }


def test_two_removed_at_once_become_two_nobodies(world: World) -> None:
    people = [world.users["learner"], world.users["other"]]
    events = "select count(distinct user_id), count(*) from public.progress_events"
    before = world.connection.execute(events).fetchone()
    world.connection.execute("delete from auth.users where id = any (%s::uuid[])", [people])
    assert world.connection.execute(events).fetchone() == before


def test_everybody_elses_rows_are_untouched(world: World) -> None:
    tables = (
        "enrollments",
        "user_progress",
        "module_progress",
        "daily_activity",
        "notes",
        "collections",
        "collection_items",
        "profiles",
    )
    before = {table: world.rows(table, "other") for table in tables}
    assert all(before.values())
    erase(world, "learner")
    assert {table: world.rows(table, "other") for table in tables} == before


def test_a_course_adds_up_after_a_removal(operator: Actor, learner: Learners) -> None:
    course = make_course(operator, [2])
    leaver, stayer = learner(), learner()
    for someone in (leaver, stayer):
        someone.call("enroll", p_course_id=course.id)
        someone.call("complete_lesson", p_lesson_id=course.lessons[0][0])
    operator.run("delete from auth.users where id = %s", leaver.user)
    assert drift(operator, [course.id]) == []
    counts = operator.run(
        "select kind, count(*) from public.progress_events where course_id = %s group by 1",
        course.id,
    )
    assert {row["kind"]: row["count"] for row in counts} == {"enrolled": 2, "lesson_completed": 2}
