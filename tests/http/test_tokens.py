"""Tokens through the real stack: what the door lets in, PostgREST lets in too, and as that user."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from local import keys as stack_keys
from tests.stack import Stack
from tests.support import keys
from tests.support.catalog import make_course
from tests.support.learners import Learner, make_learner
from tests.support.shape import assert_refusal


def ask(functions: httpx.Client, token: str, where: str = "progress/courses/999999999") -> Any:
    return functions.get(where, headers={"Authorization": f"Bearer {token}"})


def test_both_kinds_of_signature_reach_the_database(
    functions: httpx.Client, stack: Stack, learner: Learner
) -> None:
    for token in (stack.token(learner.id), stack.es256_token(learner.id)):
        assert_refusal(ask(functions, token), 404, "course_not_found")


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": -60},
        {"nbf": 600},
        {"aud": "other"},
        {"iss": "https://evil.example/auth/v1"},
        {"sub": "not-a-uuid"},
        {"role": "postgres"},
        {"role": "waymark_writer"},
        {"role": "anon"},
    ],
    ids=str,
)
def test_wrong_claims(
    functions: httpx.Client, stack: Stack, learner: Learner, changed: dict[str, Any]
) -> None:
    now = int(time.time())
    claims = {
        name: now + value if name in ("exp", "nbf") else value for name, value in changed.items()
    }
    for token in (
        stack.token(learner.id, **claims),
        stack.es256_token(learner.id, **claims),
    ):
        assert_refusal(ask(functions, token), 401, "invalid_token")


def test_forgeries(functions: httpx.Client, stack: Stack, learner: Learner) -> None:
    claims = stack.claims(learner.id)
    pem = Path(stack.extra("SIGNING_KEY_FILE")).read_text()
    public = stack_keys.public_jwk(pem)
    stranger = keys.ec_key(public["kid"])
    for token in (
        stranger.sign(claims),
        stranger.sign(claims, kid="unheard-of"),
        keys.hs256(claims, secret="x" * 40),
        keys.confused(claims, public["kid"], json.dumps(public).encode()),
        jwt.encode(claims, "", algorithm="none"),
    ):
        assert_refusal(ask(functions, token), 401, "invalid_token")


def test_the_secret_key_and_the_service_role(functions: httpx.Client, stack: Stack) -> None:
    course = make_course(stack, 1)
    headers = {"Authorization": f"Bearer {stack.service_role_key}", "apikey": stack.secret_key}
    response = functions.post("recalculate", headers=headers, json={"course_id": course.id})
    assert response.json() == {
        "checked": 0, "changed": 0, "cursor": None, "drift": [], "failed": []
    }  # fmt: skip
    # It is nobody in particular: a learner's commands are not for it.
    response = functions.post(f"progress/courses/{course.id}/enroll", headers=headers)
    assert_refusal(response, 403, "not_allowed")


def test_an_admins_token_may_recalculate_a_course(functions: httpx.Client, stack: Stack) -> None:
    course, admin = make_course(stack, 1), make_learner(stack)
    for claims, status in (
        ({"app_metadata": {"waymark_role": "admin"}}, 200),
        ({"user_metadata": {"waymark_role": "admin"}}, 403),
        ({"waymark_role": "admin"}, 403),
    ):
        response = functions.post(
            "recalculate", headers=admin.headers(**claims), json={"course_id": course.id}
        )
        assert response.status_code == status


def test_without_the_gateway_the_door_is_the_same(stack: Stack, learner: Learner) -> None:
    with httpx.Client(base_url=stack.extra("FUNCTIONS_DIRECT_URL"), trust_env=False) as direct:
        assert_refusal(ask(direct, stack.token(learner.id)), 404, "course_not_found")
        assert_refusal(ask(direct, stack.es256_token(learner.id)), 404, "course_not_found")
        assert_refusal(ask(direct, "x.y.z"), 401, "invalid_token")
        assert_refusal(ask(direct, stack.publishable_key), 401, "not_authenticated")
        assert_refusal(direct.get("progress/courses/7"), 401, "not_authenticated")


def test_many_junk_key_ids_do_not_slow_honest_callers(
    functions: httpx.Client, stack: Stack, learner: Learner
) -> None:
    junk = keys.ec_key("junk")
    for n in range(100):
        token = junk.sign(stack.claims(learner.id), kid=f"junk-{n}")
        assert_refusal(ask(functions, token), 401, "invalid_token")
    assert_refusal(ask(functions, stack.es256_token(learner.id)), 404, "course_not_found")
