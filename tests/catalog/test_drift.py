"""supabase/policies/<table>.sql is the readable truth; the migrations must agree with it."""

from __future__ import annotations

import re

import pytest

from tests.catalog.catalog import ROOT, Catalog, rights

FOLDER = ROOT / "supabase" / "policies"
FILES = sorted(path.stem for path in FOLDER.glob("*.sql"))


def test_every_table_has_its_file(catalog: Catalog) -> None:
    assert catalog.tables() == FILES


@pytest.mark.parametrize("table", FILES)
def test_running_a_file_changes_nothing(catalog: Catalog, table: str) -> None:
    before = rights(catalog.connection)
    with catalog.broken():
        catalog.connection.execute((FOLDER / f"{table}.sql").read_bytes())
        assert rights(catalog.connection) == before


@pytest.mark.parametrize("table", FILES)
def test_a_file_is_the_whole_truth(catalog: Catalog, table: str) -> None:
    """From a table without any rights, its file alone brings back what the migrations made."""
    before = rights(catalog.connection)
    policies = catalog.column(
        "select policyname from pg_policies where schemaname = 'public' and tablename = %s", table
    )
    with catalog.broken():
        execute = catalog.connection.execute
        execute(
            f"revoke all on public.{table} from public, anon, authenticated, service_role,"
            " waymark_writer".encode()
        )
        execute(f"alter table public.{table} disable row level security".encode())
        for policy in policies:
            execute(f'drop policy "{policy}" on public.{table}'.encode())
        assert rights(catalog.connection) != before
        execute((FOLDER / f"{table}.sql").read_bytes())
        assert rights(catalog.connection) == before


@pytest.mark.parametrize("table", FILES)
def test_a_file_speaks_of_its_table_only(table: str) -> None:
    text = (FOLDER / f"{table}.sql").read_text()
    touched = set(
        re.findall(r"(?:on table|alter table|policy (?:if exists )?\"[^\"]+\" on) (\S+?);?\s", text)
    )
    assert touched == {f"public.{table}"}


@pytest.mark.parametrize(
    "drift",
    [
        "grant update (progress) on public.user_progress to authenticated",
        "revoke select on public.user_progress from authenticated",
        'drop policy "Learners read their own progress" on public.user_progress',
        'alter policy "Learners read their own progress" on public.user_progress using (true)',
        "alter table public.user_progress disable row level security",
    ],
)
def test_drift_is_noticed(catalog: Catalog, drift: str) -> None:
    with catalog.broken():
        catalog.connection.execute(drift.encode())
        drifted = rights(catalog.connection)
        catalog.connection.execute((FOLDER / "user_progress.sql").read_bytes())
        assert rights(catalog.connection) != drifted
