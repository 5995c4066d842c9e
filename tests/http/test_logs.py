"""The log of the served functions: whole lines of JSON, an event for what happened, no secret."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.stack import Stack
from tests.support.catalog import make_course
from tests.support.learners import Learner


@pytest.fixture
def log(stack: Stack) -> Path:
    """The file that the functions' output goes to; only our own stack has it."""
    path = Path(stack.extra("SIGNING_KEY_FILE")).parent / "logs" / "functions.log"
    if not path.exists():
        pytest.skip("the functions' log is not at hand")
    return path


def written(log: Path, since: int, calls: int) -> tuple[list[dict[str, Any]], str]:
    deadline = time.monotonic() + 5
    while True:
        text = log.read_bytes()[since:].decode()
        if text.count('"httpRequest"') >= calls or time.monotonic() > deadline:
            return [json.loads(line) for line in text.splitlines()], text
        time.sleep(0.05)


def test_a_learners_work_is_told(stack: Stack, log: Path, learner: Learner) -> None:
    course = make_course(stack, 2)
    lesson = course.lessons[0]
    since = log.stat().st_size
    with learner.client() as me:
        with pytest.raises(Exception, match="not_enrolled"):
            me.complete_lesson(lesson)
        enrollment = me.enroll(course.id)["enrollment"]["id"]
        done = me.complete_lesson(lesson)
        me.complete_lesson(lesson)
        me.put_lesson(lesson, status="completed")
        me.recalculate(enrollment)
        token = me._headers["Authorization"].removeprefix("Bearer ")
    lines, text = written(log, since, calls=6)

    events = [line["message"] for line in lines if "httpRequest" not in line]
    assert [name for name in events if name != "repeated"] == [
        "not_enrolled",
        "completion",
        "recalculation",
    ]
    assert "repeated" in events
    found = {line["message"]: line for line in lines}
    assert found["not_enrolled"]["not_enrolled"] == {"user": learner.id, "lesson": lesson}
    assert found["completion"]["completion"] == {
        "user": learner.id,
        "lesson": lesson,
        "course": course.id,
        "time": done["progress"]["completed_at"],
    }
    assert found["recalculation"]["recalculation"] == {
        "enrollment": enrollment,
        "old_percent": 50,
        "new_percent": 50,
    }
    calls = [line for line in lines if "httpRequest" in line]
    assert {call["user_id"] for call in calls} == {learner.id}
    assert all(call["request_id"] and call["duration_ms"] > 0 for call in calls)
    for secret in (token, token.split(".")[2], stack.publishable_key, stack.anon_key):
        assert secret not in text
