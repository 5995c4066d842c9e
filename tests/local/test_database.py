"""The database that migrations meet: hosted's roles, limits, owners and grants."""

from __future__ import annotations

import pytest
from psycopg import errors

from tests.local.second import Second


def test_roles_are_as_hosted(second: Second) -> None:
    with second.connect() as connection:
        rows = connection.execute(
            "select rolname, rolsuper, rolcreaterole, rolbypassrls, rolcanlogin, rolinherit"
            " from pg_roles where rolname = any(%s)",
            (["postgres", "anon", "authenticated", "service_role", "authenticator"],),
        ).fetchall()
    assert {row[0]: row[1:] for row in rows} == {
        "postgres": (False, True, True, True, True),
        "anon": (False, False, False, False, True),
        "authenticated": (False, False, False, False, True),
        "service_role": (False, False, True, False, True),
        "authenticator": (False, False, False, True, False),
    }


@pytest.mark.parametrize(
    ("role", "setting", "value"),
    [
        ("anon", "statement_timeout", "3s"),
        ("authenticated", "statement_timeout", "8s"),
        ("authenticator", "statement_timeout", "8s"),
        ("authenticator", "lock_timeout", "8s"),
    ],
)
def test_limits_are_as_hosted(second: Second, role: str, setting: str, value: str) -> None:
    with second.connect() as connection:
        row = connection.execute(
            "select %s = any(setconfig) from pg_db_role_setting s"
            " join pg_roles r on r.oid = s.setrole where rolname = %s",
            (f"{setting}={value}", role),
        ).fetchone()
    assert row == (True,)


def test_new_objects_are_granted_to_nobody(second: Second) -> None:
    with second.connect() as connection, connection.transaction(force_rollback=True):
        connection.execute("create table public.fresh (id bigint generated always as identity)")
        for role in ("anon", "authenticated", "service_role"):
            row = connection.execute(
                "select has_table_privilege(%s, 'public.fresh',"
                " 'select, insert, update, delete, truncate, references, trigger')",
                (role,),
            ).fetchone()
            assert row == (False,)


def test_auth_and_storage_are_not_owned_by_the_role_of_migrations(second: Second) -> None:
    with second.connect() as connection:
        rows = connection.execute(
            "select distinct relnamespace::regnamespace::text, pg_get_userbyid(relowner)"
            " from pg_class where relkind = 'r'"
            " and relnamespace in ('auth'::regnamespace, 'storage'::regnamespace)"
        ).fetchall()
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("alter table auth.users add column mine text")
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("create table auth.mine ()")
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("alter role anon superuser")
    assert set(rows) == {("auth", "supabase_auth_admin"), ("storage", "supabase_storage_admin")}


def test_a_migration_may_refer_to_users_watch_them_and_delete_them(second: Second) -> None:
    with second.connect() as connection, connection.transaction(force_rollback=True):
        connection.execute(
            "create table public.linked (id uuid references auth.users (id) on delete cascade)"
        )
        connection.execute(
            "create function public.watch() returns trigger language plpgsql as"
            " $$ begin insert into public.linked values (new.id); return new; end $$"
        )
        connection.execute(
            "create trigger watch after insert on auth.users"
            " for each row execute function public.watch()"
        )
        connection.execute("insert into auth.users (id, email) values (gen_random_uuid(), 'x@y.z')")
        row = connection.execute("select count(*) from public.linked").fetchone()
        assert row == (1,)
        connection.execute("delete from auth.users where email = 'x@y.z'")
        row = connection.execute("select count(*) from public.linked").fetchone()
        assert row == (0,)


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
def test_the_role_of_migrations_can_act_as_the_api_roles(second: Second, role: str) -> None:
    claims = '{"sub": "11111111-1111-4111-8111-111111111111", "role": "x", "email": "a@b.c"}'
    with second.connect() as connection, connection.transaction(force_rollback=True):
        connection.execute(f"set local role {role}")
        connection.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
        row = connection.execute(
            "select auth.uid()::text, auth.role(), auth.email(), auth.jwt() ->> 'role'"
        ).fetchone()
        assert row == ("11111111-1111-4111-8111-111111111111", "x", "a@b.c", "x")
        connection.execute("select set_config('request.jwt.claims', '', true)")
        row = connection.execute("select auth.uid(), auth.role(), auth.jwt()").fetchone()
        assert row == (None, None, None)


def test_search_path_and_extensions(second: Second) -> None:
    with second.connect() as connection:
        row = connection.execute("show search_path").fetchone()
        assert row == ('"$user", public, extensions',)
        rows = connection.execute(
            "select extname from pg_extension where extnamespace = 'extensions'::regnamespace"
        ).fetchall()
        assert {"pgcrypto", "pg_stat_statements"} <= {row[0] for row in rows}
        with connection.transaction(force_rollback=True):
            connection.execute("create extension citext schema extensions")
