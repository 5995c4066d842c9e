"""The limit of attempts that start, through both doors; what is open goes on."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.quiz.world import World, choice
from tests.stack import Stack
from tests.support.shape import assert_refusal


@pytest.fixture
def world(stack: Stack) -> Iterator[World]:
    """A course, and a limit whose tokens do not come back while a test runs."""
    made = World.make(stack)
    change = "update private.rate_limits set per_second = %s where bucket = 'attempts'"
    before = made.one("select per_second from private.rate_limits where bucket = 'attempts'")
    made.run(change, 0.01)
    yield made
    made.run(change, before)
    made.close()


def test_starting_attempts_is_limited_and_saving_them_is_not(stack: Stack, world: World) -> None:
    lesson = world.quiz([choice("Q?")])
    me = world.learner()
    headers = {"Authorization": f"Bearer {stack.token(me.id)}", "apikey": stack.publishable_key}
    base = f"{stack.functions_url}/assessments"
    with httpx.Client(headers=headers, timeout=30, trust_env=False) as client:
        attempt = client.post(f"{base}/lessons/{lesson}/attempts").json()["attempt"]["id"]
        # The bucket as a hundred starts would have left it.
        world.run("delete from private.rate_buckets where key = %s", me.id)
        world.run("select private.take_token('attempts', %s, 1000)", me.id)
        again = client.post(f"{base}/lessons/{lesson}/attempts")
        assert again.json()["attempt"]["id"] == attempt
        saved = client.patch(f"{base}/attempts/{attempt}", json={"answers": []})
        assert saved.status_code == 200
        assert client.post(f"{base}/attempts/{attempt}/submit", json={}).status_code == 200

        for call in ("attempts", "submit"):
            refused = client.post(f"{base}/lessons/{lesson}/{call}")
            body = assert_refusal(refused, 429, "rate_limited")
            assert body["details"]["limit"] == "attempts"
            assert body["details"]["retry_after_seconds"] == int(refused.headers["Retry-After"])
        for rpc in ("start_attempt", "submit_quiz"):
            direct = client.post(f"{stack.api_url}/rest/v1/rpc/{rpc}", json={"p_lesson_id": lesson})
            assert (direct.status_code, direct.json()["code"]) == (429, "rate_limited")
            assert int(direct.headers["Retry-After"]) >= 1

        world.run("delete from private.rate_buckets where key = %s", me.id)
        assert client.post(f"{base}/lessons/{lesson}/attempts").status_code == 200
    assert (
        world.one("select count(*) from public.user_assessment_attempts where user_id = %s", me.id)
        == 2
    )
