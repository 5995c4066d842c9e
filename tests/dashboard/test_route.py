"""The dashboard through its doors: the function, the typed client, and PostgREST itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.stack import Stack
from tests.support.catalog import make_course
from tests.support.learners import Learner, make_learner
from tests.support.shape import assert_refusal

SIGN_IN = "Sign in to track your progress"


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.api_url, timeout=30, trust_env=False) as client:
        yield client


def whole(learner: Learner, **page: Any) -> Any:
    with learner.client() as client:
        return client.dashboard(**page)


def test_a_learners_page(stack: Stack) -> None:
    course, ann = make_course(stack, 3, 2), make_learner(stack)
    assert whole(ann)["courses"] == []
    with ann.client() as client:
        client.enroll(course.id)
        client.complete_lesson(course.lessons[0])
        client.put_lesson(course.lessons[1], position_seconds=42)
    seen = whole(ann)
    assert seen["totals"]["lessons"] == {"total": 5, "completed": 1}
    assert seen["streak"]["current"] == 1
    assert [day["lessons"] for day in seen["activity"]] == [1]
    [shown] = seen["courses"]
    assert (shown["course_id"], shown["percent"]) == (course.id, 20)
    assert (shown["resume"]["lesson_id"], shown["resume"]["position_seconds"]) == (
        course.lessons[1],
        42,
    )
    assert whole(ann, limit=1) == seen
    again = make_course(stack, 1)
    with ann.client() as client:
        client.enroll(again.id)
    first = whole(ann, limit=1)
    second = whole(ann, limit=1, cursor=first["cursor"])
    assert [page["courses"][0]["course_id"] for page in (first, second)] == [course.id, again.id]
    assert second["cursor"] is None


def test_visitors_are_told_to_sign_in_at_every_door(stack: Stack, http: httpx.Client) -> None:
    for headers in (
        {},
        {"apikey": stack.publishable_key},
        {"apikey": stack.publishable_key, "Authorization": f"Bearer {stack.publishable_key}"},
        {"apikey": stack.anon_key, "Authorization": f"Bearer {stack.anon_key}"},
    ):
        response = http.get("/functions/v1/analytics/me", headers=headers)
        assert assert_refusal(response, 401, "not_authenticated")["message"] == SIGN_IN
    response = http.post("/rest/v1/rpc/get_my_dashboard", headers={"apikey": stack.publishable_key})
    assert response.status_code == 401
    assert response.json() == {
        "code": "not_authenticated",
        "message": SIGN_IN,
        "details": None,
        "hint": None,
    }
    response = http.get("/functions/v1/progress/courses/1", headers={})
    assert assert_refusal(response, 401, "not_authenticated")["message"] != SIGN_IN


def test_nobody_asks_for_anothers(stack: Stack, http: httpx.Client) -> None:
    course, ann, bob = make_course(stack, 2), make_learner(stack), make_learner(stack)
    with ann.client() as client:
        client.enroll(course.id)
        client.complete_lesson(course.lessons[0])
    headers = bob.headers()
    empty = whole(bob)
    assert (empty["courses"], empty["activity"], empty["streak"]["longest"]) == ([], [], 0)
    for name in ("user_id", "p_user_id", "user", "id", "sub"):
        response = http.get("/functions/v1/analytics/me", headers=headers, params={name: ann.id})
        assert_refusal(response, 422, "unknown_field")
        response = http.post("/rest/v1/rpc/get_my_dashboard", headers=headers, json={name: ann.id})
        assert (response.status_code, response.json()["code"]) == (404, "PGRST202")
    for path in (f"/functions/v1/analytics/{ann.id}", f"/functions/v1/analytics/me/{ann.id}"):
        assert_refusal(http.get(path, headers=headers), 404, "route_not_found")
    # A cursor is a place in one's own list, whoever it was given to.
    with ann.client() as client:
        client.enroll(make_course(stack, 1).id)
    cursor = whole(ann, limit=1)["cursor"]
    assert whole(bob, cursor=cursor)["courses"] == []


def test_the_rpc_is_a_read(stack: Stack, http: httpx.Client) -> None:
    ann = make_learner(stack)
    headers = ann.headers()
    response = http.get("/rest/v1/rpc/get_my_dashboard?p_limit=5", headers=headers)
    assert response.status_code == 200
    assert response.json() == whole(ann)


def test_past_zones_are_not_the_learners_to_write(stack: Stack, http: httpx.Client) -> None:
    ann = make_learner(stack)
    headers = ann.headers()
    forged = {"past_timezones": [{"until": "2099-01-01T00:00:00Z", "timezone": "Asia/Tokyo"}]}
    where = f"/rest/v1/profiles?id=eq.{ann.id}"
    assert http.patch(where, headers=headers, json=forged).status_code == 403
    upsert = {**headers, "Prefer": "resolution=merge-duplicates"}
    response = http.post("/rest/v1/profiles", headers=upsert, json={"id": ann.id, **forged})
    assert response.status_code == 403
    assert http.get(where, headers=headers).json()[0]["past_timezones"] == []
