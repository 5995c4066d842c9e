"""Heartbeats and batches through the functions and straight at /rest/v1."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.stack import Stack
from tests.support.catalog import make_course
from tests.support.learners import Learner, make_learner
from tests.support.shape import assert_refusal


@pytest.fixture
def learner(stack: Stack) -> Learner:
    return make_learner(stack)


@pytest.fixture
def calls(learner: Learner) -> Iterator[httpx.Client]:
    with httpx.Client(headers=learner.headers(), timeout=30, trust_env=False) as client:
        yield client


def test_a_learner_watches_with_the_typed_client(stack: Stack, learner: Learner) -> None:
    course = make_course(stack, [{"type": "video", "duration_seconds": 60}, {}])
    lesson, other = course.lessons
    session = uuid.uuid4()
    with learner.client() as me:
        me.enroll(course.id)
        answer = me.view_lesson(lesson, session, 0, position_seconds=0, section="intro")
        assert (answer["changed"], answer["credited_seconds"]) == (True, 0)
        answer = me.view_lesson(lesson, session, 20, position_seconds=20, watched=[(0, 20)])
        # Enrolled this very moment: what is credited is the tolerance and the seconds since.
        assert answer["credited_seconds"] == answer["progress"]["view_time_seconds"] == 20
        assert answer["progress"]["position_seconds"] == 20
        assert answer["progress"]["progress"] == 0.3333
        assert answer["enrollment"]["current_section"] == "intro"
        assert answer["missing"] is None
        assert not me.view_lesson(lesson, session, 20, position_seconds=20)["changed"]

        now = datetime.now(UTC)
        events = [
            {
                "id": str(uuid.uuid4()),
                "kind": "complete",
                "lesson_id": other,
                "at": (now + timedelta(minutes=5)).isoformat(),
            },
            {"id": str(uuid.uuid4()), "kind": "sing", "at": now.isoformat()},
            {
                "id": str(uuid.uuid4()),
                "kind": "start",
                "lesson_id": other,
                "at": now.isoformat(),
            },
        ]
        applied = me.apply_events(events)
        assert [result["status"] for result in applied["results"]] == [
            "applied", "refused", "applied",
        ]  # fmt: skip
        assert applied["results"][0]["clamped"] == "future"
        assert applied["results"][1]["code"] == "invalid_value"
        assert [row["status"] for row in applied["progress"]] == ["completed"]
        assert applied["enrollments"][0]["completed_lessons"] == 1
        assert {x["status"] for x in me.apply_events(events)["results"]} == {"repeated", "refused"}


BAD: dict[str, tuple[Any, int, str]] = {
    "ten thousand ranges": ({"watched": [[n, n + 1] for n in range(10_000)]}, 422, "invalid_value"),
    "a negative range": ({"watched": [[-1, 5]]}, 422, "invalid_value"),
    "a reversed range": ({"watched": [[9, 5]]}, 422, "invalid_value"),
    "an absurd position": ({"position_seconds": 10**12}, 422, "invalid_value"),
    "a position beyond any lesson": ({"position_seconds": 604801}, 422, "invalid_value"),
    "seconds beyond any session": ({"seconds": 604801}, 422, "invalid_value"),
    "a session that is none": ({"session_id": "x"}, 400, "invalid_id"),
    "somebody else": ({"user_id": str(uuid.uuid4())}, 422, "unknown_field"),
    "a large body": ({"section": "x" * 2**20}, 413, "body_too_large"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_no_player_sends_is_refused_and_changes_nothing(
    stack: Stack, learner: Learner, calls: httpx.Client, name: str
) -> None:
    course = make_course(stack, 1)
    with learner.client() as client:
        client.enroll(course.id)
    more, status, code = BAD[name]
    body = {"session_id": str(uuid.uuid4()), "seconds": 30, **more}
    response = calls.post(
        f"{stack.functions_url}/progress/lessons/{course.lessons[0]}/view", json=body
    )
    assert_refusal(response, status, code)
    with stack.connect() as connection:
        rows = connection.execute(
            "select (select count(*) from public.user_progress where user_id = %(u)s),"
            " (select count(*) from private.watch_sessions where user_id = %(u)s),"
            " (select count(*) from private.watch_credit where user_id = %(u)s)",
            {"u": learner.id},
        ).fetchone()
    assert rows == (0, 0, 0)


@pytest.fixture
def slow_buckets(stack: Stack) -> Iterator[None]:
    """Tokens that do not come back while a test runs."""
    with stack.connect(autocommit=True) as connection:
        before = connection.execute(
            "select per_second, bucket from private.rate_limits where bucket in ('view', 'batch')"
        ).fetchall()
        connection.execute(
            "update private.rate_limits set per_second = 0.01 where bucket in ('view', 'batch')"
        )
        yield
        for row in before:
            connection.execute(
                "update private.rate_limits set per_second = %s where bucket = %s", row
            )


@pytest.mark.usefixtures("slow_buckets")
@pytest.mark.parametrize("bucket", ["view", "batch"])
def test_an_empty_bucket_is_429_through_both_doors(
    stack: Stack, learner: Learner, calls: httpx.Client, bucket: str
) -> None:
    course = make_course(stack, 1)
    with learner.client() as client:
        client.enroll(course.id)
    lesson, session = course.lessons[0], str(uuid.uuid4())
    with stack.connect(autocommit=True) as connection:
        connection.execute("select private.take_token(%s, %s, 1e9)", [bucket, str(learner.id)])
        route, body, rpc, arguments = {
            "view": (
                f"progress/lessons/{lesson}/view",
                {"session_id": session, "seconds": 5},
                "view_lesson",
                {"p_lesson_id": lesson, "p_session_id": session, "p_seconds": 5},
            ),
            "batch": (
                "progress/batch",
                {"events": [5] * 20},
                "apply_events",
                {"p_events": [5] * 20},
            ),
        }[bucket]
        refused = calls.post(f"{stack.functions_url}/{route}", json=body)
        answer = assert_refusal(refused, 429, "rate_limited")
        assert answer["details"] == {
            "limit": bucket,
            "retry_after_seconds": int(refused.headers["retry-after"]),
        }
        assert refused.headers["access-control-allow-origin"] == "*"
        direct = calls.post(f"{stack.api_url}/rest/v1/rpc/{rpc}", json=arguments)
        assert (direct.status_code, direct.json()["code"]) == (429, "rate_limited")
        assert 1 <= int(direct.headers["retry-after"]) <= int(refused.headers["retry-after"])
        # Somebody else is not kept waiting.
        other = make_learner(stack)
        with other.client() as client:
            client.enroll(course.id)
            assert client.view_lesson(lesson, session, 5)["changed"]
        # After those seconds the same call goes through.
        connection.execute(
            "update private.rate_buckets set full_at = full_at - make_interval(secs => %s)"
            " where bucket = %s and key = %s",
            [int(refused.headers["retry-after"]), bucket, str(learner.id)],
        )
        assert calls.post(f"{stack.functions_url}/{route}", json=body).status_code == 200


def test_another_persons_sessions_are_not_to_be_seen(
    stack: Stack, learner: Learner, calls: httpx.Client
) -> None:
    for name in ("watch_sessions", "watch_credit", "client_events", "rate_buckets"):
        for method in ("GET", "POST", "PATCH", "DELETE"):
            for profile in ({}, {"Accept-Profile": "private", "Content-Profile": "private"}):
                response = calls.request(
                    method, f"{stack.api_url}/rest/v1/{name}", headers=profile, json={}
                )
                assert response.status_code in (404, 406), (name, method)
    for name in ("record_view", "my_time", "take_token", "apply_views"):
        response = calls.post(f"{stack.api_url}/rest/v1/rpc/{name}", json={})
        assert response.status_code == 404
