"""Functions in service before the push: callers come again, and the log says why."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString

import httpx
import pytest

from tests.stack import Stack
from tests.support.catalog import make_course
from tests.support.learners import Learner

PATIENCE = 60
SAID = "database schema is older than the functions: run supabase db push"


@contextmanager
def without(stack: Stack, statement: LiteralString, back: LiteralString) -> Iterator[None]:
    """A schema that lacks something, as before a push, and PostgREST told of it."""
    with stack.connect(autocommit=True) as connection:
        connection.execute(statement)
        connection.execute("notify pgrst, 'reload schema'")
        try:
            yield
        finally:
            connection.execute(back)
            connection.execute("notify pgrst, 'reload schema'")


def until(status: int, ask: Callable[[], httpx.Response]) -> httpx.Response:
    """The first answer with that status: PostgREST reloads when it gets to it."""
    deadline = time.monotonic() + PATIENCE
    while (answer := ask()).status_code != status and time.monotonic() < deadline:
        time.sleep(0.1)
    assert answer.status_code == status, answer.text
    return answer


@pytest.mark.parametrize(
    ("statement", "back"),
    [
        (
            "alter function public.get_course_summary(bigint) rename to get_course_summary_later",
            "alter function public.get_course_summary_later(bigint) rename to get_course_summary",
        ),
        (
            "alter table public.enrollments rename last_accessed_at to last_accessed_later",
            "alter table public.enrollments rename last_accessed_later to last_accessed_at",
        ),
    ],
    ids=["no function", "no column"],
)
def test_callers_come_again(
    stack: Stack, learner: Learner, statement: LiteralString, back: LiteralString
) -> None:
    log = Path(stack.extra("SIGNING_KEY_FILE")).parent / "logs" / "functions.log"
    course = make_course(stack, 1)
    with learner.client() as me:
        me.enroll(course.id)
        headers = me._headers

    def ask() -> httpx.Response:
        return httpx.get(
            f"{stack.functions_url}/progress/courses/{course.id}/summary",
            headers=headers,
            timeout=30,
        )

    until(200, ask)
    since = log.stat().st_size
    with without(stack, statement, back):
        answer = until(503, ask)
        assert answer.json() == {
            "code": "database_unavailable",
            "message": "The database is away",
            "details": None,
            "hint": None,
        }
        assert answer.headers["Retry-After"] == "1"
        assert "access-control-allow-origin" in answer.headers
    until(200, ask)
    lines = [json.loads(line) for line in log.read_bytes()[since:].decode().splitlines()]
    told = [line for line in lines if line["message"] == SAID]
    assert told
    assert {line["severity"] for line in told} == {"ERROR"}
