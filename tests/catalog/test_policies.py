"""Sweeps over row level security policies: who they name, and what they cost."""

from __future__ import annotations

import re
from typing import Any, LiteralString

import pytest

from tests.catalog.catalog import Catalog

POLICIES: LiteralString = """
select p.schemaname as schema, p.tablename as table, p.policyname as name, p.permissive,
       p.roles::text[] as roles, p.cmd, coalesce(p.qual, '') as qual,
       coalesce(p.with_check, '') as with_check
  from pg_policies p
 where p.schemaname in ('public', 'private')
 order by 1, 2
"""
ROLES = {"anon", "authenticated", "service_role", "waymark_writer"}


def policies(catalog: Catalog) -> list[dict[str, Any]]:
    return catalog.rows(POLICIES)


def test_every_policy_names_its_roles(catalog: Catalog) -> None:
    assert len(policies(catalog)) >= 25
    for policy in policies(catalog):
        assert set(policy["roles"]) <= ROLES, policy
        assert policy["permissive"] == "PERMISSIVE"
        assert policy["cmd"] != "ALL"


def test_one_policy_per_table_command_and_role(catalog: Catalog) -> None:
    def doubled() -> list[tuple[str, str, str]]:
        keys = [
            (policy["table"], policy["cmd"], role)
            for policy in policies(catalog)
            for role in policy["roles"]
        ]
        return sorted({key for key in keys if keys.count(key) > 1})

    assert doubled() == []
    with catalog.broken(
        'create policy "Staff too" on public.user_progress for select to authenticated'
        " using (course_id in (select private.my_course_ids()))"
    ):
        assert doubled() == [("user_progress", "SELECT", "authenticated")]


def test_every_table_has_a_policy(catalog: Catalog) -> None:
    """Closed on purpose is said with a policy, not with silence."""
    # Partitions are closed: nobody holds a grant on one.
    private = catalog.column(
        "select relname from pg_class where relnamespace = 'private'::regnamespace"
        " and relkind in ('r', 'p') and not relispartition"
    )
    told = {policy["table"] for policy in policies(catalog)}
    assert sorted(told) == sorted([*catalog.tables(), *private])


def test_updates_are_checked_on_both_sides(catalog: Catalog) -> None:
    for policy in policies(catalog):
        if policy["cmd"] == "UPDATE":
            assert policy["qual"] == policy["with_check"] != ""


CALL = re.compile(r"\b(?:auth|private)\.(\w+)\(")
ONCE = re.compile(r"\(\s*SELECT (?:auth|private)\.\w+\(\) AS \w+\)", re.IGNORECASE)


def careless(catalog: Catalog) -> list[str]:
    """Policies that call a function for each row: bare, or wrapped but with an argument."""
    found = []
    for policy in policies(catalog):
        for expression in (policy["qual"], policy["with_check"]):
            if CALL.search(ONCE.sub("", expression)):
                found.append(policy["name"])
    return found


def test_functions_in_policies_run_once(catalog: Catalog) -> None:
    assert any(CALL.search(policy["qual"]) for policy in policies(catalog))
    assert careless(catalog) == []
    with catalog.broken(
        'alter policy "Learners read their own progress" on public.user_progress'
        " using (auth.uid() = user_id)"
    ):
        assert careless(catalog) == ["Learners read their own progress"]
    with catalog.broken(
        "create function private.sees(p bigint) returns boolean return true",
        'alter policy "Learners read their own progress" on public.user_progress'
        " using ((select private.sees(course_id)))",
    ):
        assert careless(catalog) == ["Learners read their own progress"]


def test_claims_a_user_can_write_decide_nothing(catalog: Catalog) -> None:
    for policy in policies(catalog):
        assert "user_metadata" not in policy["qual"] + policy["with_check"]
        assert "auth.role" not in policy["qual"] + policy["with_check"]


OWNER = re.compile(r"\(\( SELECT auth\.uid\(\) AS uid\) = (\w+)\)")
SET = re.compile(r"\((\w+) IN \( SELECT")
LEADING: LiteralString = """
select a.attname from pg_index i
  join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
 where i.indrelid = %s::regclass and i.indpred is null
"""


def unled(catalog: Catalog) -> list[tuple[str, str]]:
    """Columns that a policy compares and no index begins with."""
    found = []
    for policy in policies(catalog):
        expression = policy["qual"] + policy["with_check"]
        columns = {*OWNER.findall(expression), *SET.findall(expression)}
        leading = set(catalog.column(LEADING, f"{policy['schema']}.{policy['table']}"))
        found += [(policy["table"], column) for column in sorted(columns - leading)]
    return found


def test_the_column_of_a_policy_leads_an_index(catalog: Catalog) -> None:
    assert unled(catalog) == []
    with catalog.broken("drop index public.course_staff_user_id_idx"):
        assert unled(catalog) == [("course_staff", "user_id")]


@pytest.mark.parametrize(
    "table",
    [
        "enrollments",
        "user_progress",
        "module_progress",
        "daily_activity",
        "progress_events",
        "user_assessment_attempts",
        "watch_sessions",
        "watch_credit",
        "client_events",
        "notifications",
        "certificates",
        "notes",
        "collections",
        "collection_items",
    ],
)
def test_learner_tables_show_their_owner_and_nobody_else(catalog: Catalog, table: str) -> None:
    """A second, "or staff" condition would turn a learner's read into a sequential scan."""
    for policy in policies(catalog):
        if policy["table"] == table:
            for expression in (policy["qual"], policy["with_check"]):
                assert not expression or OWNER.fullmatch(expression), policy
