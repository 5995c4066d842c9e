"""Real supabase-js under Node: signed out, signed up, signed in, at work, and signed out again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.stack import REQUIRED, Stack
from tests.support.catalog import Course, make_course

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def course(stack: Stack) -> Course:
    return make_course(stack, 2, [{}, {}, {"is_preview": True}])


@pytest.fixture(scope="module")
def seen(stack: Stack, course: Course) -> Any:
    """What the learner saw."""
    node = shutil.which("node")
    assert node, "node is needed: the stack itself runs on it"
    task = {"course": course.id, "lessons": course.lessons, "preview": course.lessons[-1]}
    done = subprocess.run(
        [node, str(HERE / "js" / "learner.mjs"), json.dumps(task)],
        env={name: os.environ[name] for name in (*REQUIRED, "PATH")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("key", ["publishable", "anon"])
def test_a_visitor_is_signed_out_and_no_error(seen: Any, key: str) -> None:
    visitor = seen[key]
    assert visitor["enroll"]["kind"] == "FunctionsHttpError"
    assert visitor["enroll"]["status"] == 401
    assert visitor["enroll"]["body"] == {
        "code": "not_authenticated",
        "message": "Not authenticated",
        "details": None,
        "hint": None,
    }
    assert visitor["enroll"]["requestId"]
    # Tables of learners are closed to visitors, or empty; the outline is open.
    assert not visitor["rows"]["data"]
    assert visitor["outline"] is None


def test_a_learner_at_work(seen: Any, course: Course) -> None:
    assert seen["before"] == {"data": None}
    assert seen["notEnrolled"]["status"] == 403
    assert seen["notEnrolled"]["body"]["message"] == "Not enrolled in this course"
    assert seen["enrolled"]["data"]["enrollment"]["progress_percent"] == 0
    assert seen["next"]["data"]["lesson_id"] == course.lessons[0]
    percents = [one["data"]["enrollment"]["progress_percent"] for one in seen["completed"]]
    assert percents == [25, 50]
    assert seen["again"]["data"]["changed"] is False
    assert seen["put"]["data"]["progress"]["status"] == "in_progress"
    assert seen["preview"]["body"]["code"] == "preview_lesson"
    assert (seen["unknown"]["status"], seen["unknown"]["body"]["code"]) == (422, "unknown_field")
    assert seen["elsewhere"]["data"]["percent"] == 50


def test_own_rows_under_rls(seen: Any, course: Course) -> None:
    rows = seen["rows"]["data"]
    assert {row["user_id"] for row in rows} == {seen["user"]}
    states = {row["lesson_id"]: row["status"] for row in rows}
    first, second, third = course.lessons[:3]
    assert states == {first: "completed", second: "completed", third: "in_progress"}
    assert seen["enrollments"]["data"] == [{"user_id": seen["user"], "progress_percent": 50}]
    assert seen["forged"]["error"]["code"] == "42501"
    assert seen["rpc"]["data"]["percent"] == 50


def test_signing_out_and_in_keeps_everything(seen: Any) -> None:
    assert seen["signedOut"]["body"]["code"] == "not_authenticated"
    assert seen["after"]["data"]["percent"] == 50
