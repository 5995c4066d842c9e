"""Into which databases the migrations go, and what they leave alone: by the real Supabase CLI."""

from __future__ import annotations

import json
import re
from typing import LiteralString

import pytest

from tests.catalog.catalog import ROOT, everything, rights
from tests.stack import Stack
from tests.support.scratch import Scratch, scratch_database

MIGRATIONS = sorted((ROOT / "supabase" / "migrations").glob("*.sql"))


def test_a_second_push_is_a_no_op(pushed: Scratch) -> None:
    with pushed.connect() as connection:
        before = everything(connection)
    again = pushed.push()
    assert again.returncode == 0, again.stdout
    assert "up to date" in again.stdout
    with pushed.connect() as connection:
        assert everything(connection) == before
        versions = connection.execute(
            "select version from supabase_migrations.schema_migrations order by 1"
        ).fetchall()
    assert [version for (version,) in versions] == [path.name.split("_")[0] for path in MIGRATIONS]


def test_the_stack_is_what_a_push_makes(pushed: Scratch, stack: Stack) -> None:
    with pushed.connect() as fresh, stack.connect() as running:
        assert rights(running) == rights(fresh)


@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("create table public.notes (id int primary key)", ["public.notes"]),
        (
            "create view public.certificates as select 1 as one;"
            "create type public.collections as enum ('a');"
            "create function public.enroll(who text) returns int return 1;"
            "create schema private; create table private.audit (id int);"
            "create function private.enroll() returns int return 1;"
            "create table private.progress_events_2030_01 (id int)",
            [
                "private.audit",
                "private.enroll",
                "private.progress_events_2030_01",
                "public.certificates",
                "public.collections",
                "public.enroll",
            ],
        ),
    ],
    ids=["one table", "one of everything"],
)
def test_an_occupied_database_is_left_alone(
    stack: Stack, host: LiteralString, names: list[str]
) -> None:
    with scratch_database(stack) as project:
        project.execute(host)
        project.execute("create table public.orders (id int primary key)")
        with project.connect() as connection:
            before = everything(connection)
        refused = project.push()
        assert refused.returncode != 0
        # The CLI prints the statement after the database's own words.
        said = re.findall(r"already taken: (.*?)(?: \(SQLSTATE|\n)", refused.stdout)[0]
        assert sorted(re.findall(r"\b(?:public|private)\.\w+", said)) == names
        with project.connect() as connection:
            assert everything(connection) == before


def test_a_host_with_a_private_schema_of_its_own_keeps_it(stack: Stack) -> None:
    """Names that we do not use may stand beside ours, with their grants."""
    with scratch_database(stack) as project:
        project.execute(
            "create schema private; grant usage on schema private to authenticated;"
            "create table private.their_secrets (id int);"
            "create function private.their_helper() returns int return 1;"
            "create function public.their_rpc() returns int return 1;"
        )
        done = project.push()
        assert done.returncode == 0, done.stdout
        with project.connect() as connection:
            kept = connection.execute(
                "select has_schema_privilege('authenticated', 'private', 'usage'),"
                " has_function_privilege('anon', 'private.their_helper()', 'execute'),"
                " has_function_privilege('anon', 'public.their_rpc()', 'execute')"
            ).fetchone()
        assert kept == (True, True, True)


def test_the_guard_knows_every_name(pushed: Scratch) -> None:
    """Whatever a migration makes, the guard (or a later require_free) has looked for before."""
    guards = "".join(
        re.sub(r"--[^\n]*", "", path.read_text())
        for path in MIGRATIONS
        if path is MIGRATIONS[0] or "private.require_free(array" in path.read_text()
    )
    quoted = set(re.findall(r"'(?:public\.|private\.)?(\w+)'", guards))
    with pushed.connect() as connection:
        made = connection.execute(
            """
            select n.nspname, c.relname from pg_class c
              join pg_namespace n on n.oid = c.relnamespace
             where n.nspname in ('public', 'private') and c.relkind in ('r', 'p', 'v', 'm', 'c')
               and not c.relispartition
            union
            select n.nspname, p.proname from pg_proc p
              join pg_namespace n on n.oid = p.pronamespace
             where n.nspname in ('public', 'private')
             order by 1, 2
            """
        ).fetchall()
    assert [f"{schema}.{name}" for schema, name in made if name not in quoted] == []


LEGACY = "".join(
    f"alter default privileges in schema public grant all on {what} to anon, authenticated,"
    " service_role;"
    for what in ("tables", "sequences", "functions")
)


def test_older_projects_default_grants_reach_nothing_of_ours(stack: Stack, pushed: Scratch) -> None:
    """Projects made before 2026 grant every new object to the API roles by default."""
    with scratch_database(stack) as project:
        project.execute(LEGACY)  # type: ignore[arg-type]
        with project.connect() as connection:
            defaults = everything(connection)["defaults"]
        done = project.push()
        assert done.returncode == 0, done.stdout
        with project.connect() as ours, pushed.connect() as fresh:
            # Nor are the host's own defaults touched: its next function is granted as before.
            assert everything(ours)["defaults"] == defaults
            assert effective(ours) == effective(fresh)


def effective(connection: object) -> list[tuple[object, ...]]:
    """Grants that somebody besides the owner holds, however the catalogue spells them."""
    return connection.execute(  # type: ignore[attr-defined, no-any-return]
        """
        select c.oid::regclass::text as name, x.grantee::regrole::text, x.privilege_type
          from pg_class c cross join aclexplode(c.relacl) x
         where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
           and x.grantee <> c.relowner
        union all
        select p.oid::regprocedure::text, x.grantee::regrole::text, x.privilege_type
          from pg_proc p cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x
         where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
           and x.grantee <> p.proowner
         order by 1, 2, 3
        """
    ).fetchall()


def test_the_advisors_have_nothing_to_say(pushed: Scratch) -> None:
    assert pushed.advice() == []


def test_the_advisors_would_speak(pushed: Scratch) -> None:
    pushed.execute("create table public.careless (id int primary key)")
    try:
        pushed.execute("grant select on public.careless to anon")
        assert [lint for lint in pushed.advice() if "careless" in lint]
    finally:
        pushed.execute("drop table public.careless")


def test_without_realtime_learners_learn_all_the_same(pushed: Scratch) -> None:
    """A project may have none: nothing is told, and nothing fails."""
    with pushed.connect() as connection:
        assert connection.execute("select to_regnamespace('realtime')").fetchone() == (None,)
        found = connection.execute(
            """
            with u as (insert into auth.users (id) values (gen_random_uuid()) returning id),
            c as (insert into public.courses (slug, title, status)
              values ('quiet', 'Quiet', 'published') returning id),
            m as (insert into public.modules (course_id, position, title)
              select id, 1, 'One' from c returning id, course_id)
            insert into public.lessons (course_id, module_id, position, title)
            select course_id, id, 1, 'One' from m
            returning course_id, id, (select id::text from u)
            """
        ).fetchone()
        assert found
        claims = json.dumps({"sub": found[2], "role": "authenticated"})
        connection.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
        connection.execute("set local role authenticated")
        connection.execute("select public.enroll(%s)", (found[0],))
        done = connection.execute("select public.complete_lesson(%s)", (found[1],)).fetchone()
        connection.execute("set constraints all immediate")
        assert done
        assert done[0]["enrollment"]["progress_percent"] == 100
        connection.rollback()
