"""The kinds of events: documented, replayed, and told as xAPI, one and all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from ralph.models.xapi.base.statements import BaseXapiStatement

from shared import replay, xapi
from tests.database.actors import Actor

ROOT = Path(__file__).resolve().parents[2]
BASE = "https://learn.example.org"
IDS = {
    "user_id": "7f0c1d0e-8c1f-4f0b-9b4e-0d7a6c9b1a11",
    "module_id": "7f0c1d0e-8c1f-4f0b-9b4e-0d7a6c9b1a12",
    "lesson_id": "7f0c1d0e-8c1f-4f0b-9b4e-0d7a6c9b1a13",
    "enrollment_id": "7f0c1d0e-8c1f-4f0b-9b4e-0d7a6c9b1a14",
}
DATA: dict[str, dict[str, Any]] = {
    "attempt_graded": {"attempt_id": "x", "number": 1, "percent": 66.67, "passed": False},
    "attempt_submitted": {"attempt_id": "x", "number": 1, "expired": False, "seconds": 75},
    "lesson_completed": {"seconds": 130},
}
COURSE = {"enrolled", "unenrolled", "cycle_started", "course_completed", "accounts_merged"}
MODULE = {"module_started", "module_completed"}


def event(kind: str, **columns: Any) -> dict[str, Any]:
    """One of this kind, with the ids that such have."""
    made = {"id": 12, "kind": kind, "occurred_at": "2026-11-21T09:00:00.25+00:00", "course_id": 3,
            **IDS, "cycle": 1, "data": DATA.get(kind, {}), **columns}  # fmt: skip
    if kind in COURSE | MODULE:
        made["lesson_id"] = None
    if kind in COURSE:
        made["module_id"] = None
    return made


def told(kind: str, **columns: Any) -> dict[str, Any]:
    made = xapi.statement(event(kind, **columns), BASE, BASE)
    assert made is not None
    return made


@pytest.fixture
def kinds(operator: Actor) -> set[str]:
    text = operator.one(
        "select pg_get_constraintdef(oid) from pg_constraint where conname = 'kind_is_valid'"
        " and conrelid = 'public.progress_events'::regclass"
    )
    found = set(re.findall(r"'(\w+)'", text))
    assert len(found) > 10
    return found


def test_every_kind_is_documented_and_known_everywhere(kinds: set[str]) -> None:
    page = (ROOT / "docs" / "reference" / "events.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.M)) == kinds
    assert set(replay._KINDS) == kinds
    assert set(xapi.VERBS) | xapi.SILENT | {"attempt_graded"} == kinds
    page = (ROOT / "docs" / "how-to" / "xapi.md").read_text("utf-8")
    assert {kind for kind in kinds if f"`{kind}`" not in page} == set()


def test_every_kind_is_a_valid_statement(kinds: set[str]) -> None:
    for kind in sorted(kinds - xapi.SILENT):
        for enrollment in (IDS["enrollment_id"], None):
            statement = told(kind, enrollment_id=enrollment)
            BaseXapiStatement.model_validate(statement)
            assert statement["version"] == "1.0.3"
            assert ("registration" in statement["context"]) == (enrollment is not None)
    for kind in xapi.SILENT:
        assert xapi.statement(event(kind), BASE, BASE) is None


def test_the_library_refuses_what_is_none() -> None:
    for change in ({"verb": {"id": "completed"}}, {"id": "12"}, {"actor": {"account": {}}}):
        with pytest.raises(ValueError, match="validation error"):
            BaseXapiStatement.model_validate({**told("enrolled"), **change})


def test_the_same_event_is_the_same_statement() -> None:
    first = told("lesson_completed")
    assert first == told("lesson_completed")
    assert UUID(first["id"]).version == 5
    assert first["id"] != told("lesson_completed", id=13)["id"]
    other = xapi.statement(event("lesson_completed"), "https://other.example.org", BASE)
    assert other is not None
    assert other["id"] != first["id"]


def test_a_statement_says_who_did_what_where_and_how_well() -> None:
    statement = told("attempt_graded")
    assert statement["actor"]["account"] == {"homePage": BASE, "name": IDS["user_id"]}
    assert statement["verb"]["id"].endswith("/verbs/failed")
    assert statement["result"]["score"]["scaled"] == pytest.approx(0.6667)
    assert statement["object"]["id"] == f"{BASE}/lessons/{IDS['lesson_id']}/quiz"
    around = statement["context"]["contextActivities"]
    assert around["parent"][0]["id"] == f"{BASE}/lessons/{IDS['lesson_id']}"
    assert around["grouping"][0]["id"] == f"{BASE}/courses/3"
    passed = {**DATA["attempt_graded"], "passed": True}
    assert told("attempt_graded", data=passed)["verb"]["id"].endswith("/verbs/passed")
    completed = told("lesson_completed")
    assert completed["result"] == {"completion": True, "duration": "PT130S"}
    assert "@" not in str(completed)
