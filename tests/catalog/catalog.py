"""Questions to pg_catalog that several sweeps ask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"

# Everything of ours, not of extensions.
OURS: LiteralString = """
  n.nspname in ('public', 'private')
  and not exists (select from pg_depend d where d.objid = {oid} and d.deptype = 'e')
"""


class Catalog:
    """A connection that asks about the schemas public and private."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    def rows(self, query: LiteralString, *arguments: Any) -> list[dict[str, Any]]:
        """The answer's rows, by column name."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, arguments).fetchall()

    def column(self, query: LiteralString, *arguments: Any) -> list[Any]:
        """The answer's first column."""
        return [row[0] for row in self.connection.execute(query, arguments)]

    @contextmanager
    def broken(self, *statements: LiteralString) -> Iterator[None]:
        """Break something on purpose, and mend it."""
        self.connection.execute("savepoint broken")
        try:
            for statement in statements:
                self.connection.execute(statement)
            yield
        finally:
            self.connection.execute("rollback to savepoint broken")

    def tables(self) -> list[str]:
        """The tables of schema public."""
        return self.column(
            """
            select c.relname from pg_class c
             where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
             order by 1
            """
        )


def rights(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """Who may do what, as the catalogue has it: grants, row level security and policies."""
    queries: dict[str, LiteralString] = {
        "tables": """
            select c.oid::regclass::text, c.relrowsecurity, c.relforcerowsecurity,
                   (select array_agg(a::text order by a::text) from unnest(c.relacl) as a)
              from pg_class c
             where c.relnamespace in ('public'::regnamespace, to_regnamespace('private'))
               and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
               -- Months come by imports of tests too; that they are closed, another test says.
               and not c.relispartition
             order by 1""",
        "columns": """
            select a.attrelid::regclass::text, a.attname,
                   (select array_agg(x::text order by x::text) from unnest(a.attacl) as x)
              from pg_attribute a
              join pg_class c on c.oid = a.attrelid
             where c.relnamespace in ('public'::regnamespace, to_regnamespace('private'))
               and cardinality(a.attacl) > 0
             order by 1, 2""",
        "policies": "select * from pg_policies where schemaname in ('public', 'private')"
        " order by schemaname, tablename, policyname",
        "functions": """
            select p.oid::regprocedure::text,
                   (select array_agg(a::text order by a::text) from unnest(p.proacl) as a)
              from pg_proc p
             where p.pronamespace in ('public'::regnamespace, to_regnamespace('private'))
             order by 1""",
        # What stands on public belongs to the host.
        "private": "select nspacl::text from pg_namespace where nspname = 'private'",
    }
    return {name: connection.execute(query).fetchall() for name, query in queries.items()}


def everything(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """All that a migration could change, besides the CLI's own schema."""
    outside = "('pg_catalog', 'information_schema', 'pg_toast', 'supabase_migrations')"
    queries: dict[str, LiteralString] = {
        "schemas": "select nspname, nspacl::text from pg_namespace"
        " where nspname !~ '^pg_' and nspname <> 'supabase_migrations' order by 1",
        "relations": f"""
            select n.nspname, c.relname, c.relkind, c.relacl::text, c.relrowsecurity
              from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where n.nspname not in {outside} order by 1, 2""",
        "columns": f"""
            select n.nspname, c.relname, a.attname, a.atttypid::regtype::text, a.attnotnull
              from pg_attribute a join pg_class c on c.oid = a.attrelid
              join pg_namespace n on n.oid = c.relnamespace
             where n.nspname not in {outside} and a.attnum > 0 order by 1, 2, 3""",
        "functions": f"""
            select p.oid::regprocedure::text, p.proacl::text, md5(p.prosrc)
              from pg_proc p join pg_namespace n on n.oid = p.pronamespace
             where n.nspname not in {outside} order by 1""",
        "types": f"""
            select n.nspname, t.typname from pg_type t join pg_namespace n on n.oid = t.typnamespace
             where n.nspname not in {outside} order by 1, 2""",
        "policies": "select * from pg_policies order by schemaname, tablename, policyname",
        "triggers": "select tgrelid::regclass::text, tgname, tgenabled from pg_trigger"
        " where not tgisinternal order by 1, 2",
        "defaults": "select defaclrole::regrole::text, defaclnamespace::regnamespace::text,"
        " defaclobjtype, defaclacl::text from pg_default_acl order by 1, 2, 3",
    }
    return {name: connection.execute(query).fetchall() for name, query in queries.items()}
