"""Databases of a test's own beside the stack's, as an existing project would have them, and the
Supabase CLI on them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tests.stack import Stack

ROOT = Path(__file__).parent.parent.parent
CLI = ROOT / "node_modules" / "supabase" / "dist" / "supabase.js"

# What Waymark's migrations need of Supabase Auth. The roles belong to the cluster.
AUTH: LiteralString = """
create schema auth;
grant usage on schema auth to anon, authenticated, service_role;
create table auth.users (
  id uuid primary key, email text unique, raw_user_meta_data jsonb, raw_app_meta_data jsonb,
  created_at timestamptz default now());
alter table auth.users enable row level security;
create function auth.jwt() returns jsonb language sql stable as
  $$ select nullif(current_setting('request.jwt.claims', true), '')::jsonb $$;
create function auth.uid() returns uuid language sql stable as
  $$ select (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid $$;
"""


@dataclass(frozen=True)
class Scratch:
    """A database in the stack's cluster."""

    url: str

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """Open a connection as postgres, the role of migrations."""
        return psycopg.connect(self.url, **options)

    def execute(self, statements: LiteralString) -> None:
        """Run SQL and commit it."""
        with self.connect() as connection:
            connection.execute(statements)

    def cli(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `supabase db …` on this database; errors and output come together in stdout."""
        node = shutil.which("node")
        assert node, "the Supabase CLI needs node on PATH"
        with tempfile.TemporaryDirectory(prefix="waymark-cli-") as home:
            return subprocess.run(
                [node, str(CLI), "db", *words, f"--remote={self.url}", f"--workdir={ROOT}"],
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": home,
                    "SUPABASE_HOME": home,
                    "SUPABASE_TELEMETRY_DISABLED": "1",
                    "DO_NOT_TRACK": "1",
                    "PGSSLMODE": "disable",
                    "CI": "1",
                    **environment,
                },
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=120,
                check=False,
            )

    def push(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """Apply supabase/migrations with `supabase db push`."""
        return self.cli("push", "--yes", **environment)

    def advice(self) -> list[str]:
        """What `supabase db advisors` says at level warn and above."""
        # The lints about exposure are silent in a session that does not know what is exposed.
        exposed = Scratch(f"{self.url}?options=-c%20pgrst.db_schemas%3Dpublic")
        done = exposed.cli("advisors", "--level", "warn", "--output", "json")
        output = done.stdout
        if "[" not in output:
            assert done.returncode == 0, output
            return []
        found = json.loads(output[output.index("[") : output.rindex("]") + 1])
        return [f"{lint['name']}: {lint['detail']}" for lint in found]


@contextmanager
def scratch_database(stack: Stack) -> Iterator[Scratch]:
    """A new database with an empty schema public and a stand-in for Auth, dropped afterwards."""
    name = f"waymark_test_{uuid.uuid4().hex[:12]}"
    identifier = sql.Identifier(name)
    with stack.connect(autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(identifier))
    try:
        made = Scratch(urlunsplit(urlsplit(stack.db_url)._replace(path=f"/{name}")))
        made.execute(AUTH)
        made.execute("grant usage on schema public to anon, authenticated, service_role")
        yield made
    finally:
        with stack.connect(autocommit=True) as connection:
            connection.execute(sql.SQL("drop database {} with (force)").format(identifier))
