"""Everything that may come in place of a token, at every route and at every part of the Data API.

Routes are those that the served OpenAPI description names, the Data API's parts those that
PostgREST describes: what is new is attacked by existing. tests/policy.yaml says what each is worth.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
import yaml

from local import keys as stack_keys
from tests.access.policy import FILE, policy
from tests.access.rest import Rest, code
from tests.stack import Stack
from tests.support import keys
from tests.support.described import Operation, operations

DECLARED: Mapping[str, Mapping[str, str]] = yaml.safe_load(FILE.read_text())["credentials"]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _claims(stack: Stack, user: str, **changed: Any) -> dict[str, Any]:
    claims = {**stack.claims(user), **changed}
    return {name: value for name, value in claims.items() if value is not None}


def _hs256(stack: Stack, user: str, **changed: Any) -> dict[str, str]:
    return bearer(keys.hs256(_claims(stack, user, **changed), stack.jwt_secret))


def _public(stack: Stack) -> dict[str, Any]:
    return stack_keys.public_jwk(Path(stack.extra("SIGNING_KEY_FILE")).read_text())


def _other_project(stack: Stack, user: str) -> dict[str, str]:
    claims = _claims(stack, user, iss="https://another.supabase.co/auth/v1")
    return bearer(keys.ec_key("another").sign(claims))


# Each makes the headers that a request carries beside its apikey, in the name of a real learner.
CREDENTIALS: Mapping[str, Callable[[Stack, str], dict[str, str]]] = {
    "nothing": lambda stack, user: {},
    "the publishable key": lambda stack, user: bearer(stack.publishable_key),
    "the anon key": lambda stack, user: bearer(stack.anon_key),
    "the worker's secret": lambda stack, user: {"X-Worker-Secret": stack.extra("WORKER_SECRET")},
    "expired": lambda stack, user: _hs256(stack, user, exp=int(time.time()) - 60),
    "not yet valid": lambda stack, user: _hs256(stack, user, nbf=int(time.time()) + 600),
    "without expiry": lambda stack, user: _hs256(stack, user, exp=None),
    "of a forged key": lambda stack, user: bearer(
        keys.ec_key(_public(stack)["kid"]).sign(stack.claims(user))
    ),
    "of a forged secret": lambda stack, user: bearer(keys.hs256(stack.claims(user), "x" * 40)),
    "of a key that is not ours": lambda stack, user: bearer(
        keys.ec_key("unheard-of").sign(stack.claims(user))
    ),
    "the public key as secret": lambda stack, user: bearer(
        keys.confused(
            stack.claims(user), _public(stack)["kid"], json.dumps(_public(stack)).encode()
        )
    ),
    "alg none": lambda stack, user: bearer(jwt.encode(stack.claims(user), "", algorithm="none")),
    "for another audience": lambda stack, user: _hs256(stack, user, aud="another"),
    "of another project": _other_project,
    "of another issuer, with our key": lambda stack, user: _hs256(
        stack, user, iss="https://another.supabase.co/auth/v1"
    ),
    "of nobody": lambda stack, user: _hs256(stack, user, sub="nobody"),
    "nonsense": lambda stack, user: bearer("x.y.z"),
}


def test_every_credential_is_declared() -> None:
    assert DECLARED.keys() == CREDENTIALS.keys()
    assert all(worth.keys() == {"routes", "data"} for worth in DECLARED.values())


REFUSED = {
    door: [name for name, worth in DECLARED.items() if worth[door] == "refuse"]
    for door in ("routes", "data")
}


@pytest.fixture
def tried(request: pytest.FixtureRequest) -> Callable[[str, str, int], bool]:
    """Whether a credential is tried at the nth part of a door.

    Refusals in turn, so that each part meets one and each credential some of the parts; with
    --long all at all.
    """
    everything = request.config.getoption("--long")

    def choose(door: str, credential: str, nth: int) -> bool:
        refused = REFUSED[door]
        return (
            everything
            or credential not in refused
            or refused.index(credential) == nth % len(refused)
        )

    return choose


@pytest.fixture(scope="module")
def described(shared_rest: Rest) -> list[Operation]:
    found = operations(shared_rest.request("anon", "GET", "/functions/v1/openapi.json").json())
    assert sorted({operation.route for operation in found} ^ policy().routes.keys()) == []
    return found


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_every_route(
    shared_rest: Rest,
    described: list[Operation],
    tried: Callable[[str, str, int], bool],
    credential: str,
) -> None:
    rest, wrong = shared_rest, []
    before = rest.world.rows("user_progress", "learner")
    carried = CREDENTIALS[credential](rest.stack, rest.world.users["learner"])
    refused = DECLARED[credential]["routes"] == "refuse"
    for nth, operation in enumerate(described):
        if not tried("routes", credential, nth):
            continue
        answer = rest.request(
            "anon",
            operation.method,
            f"/functions/v1{operation.at()}",
            json={} if operation.method != "GET" else None,
            headers=carried,
        )
        got, verdict = code(answer), policy().routes[operation.route]["anon"]
        if operation.is_for_machines:
            right = got == (None if "X-Worker-Secret" in carried else "invalid_worker_secret")
        elif refused:
            right = (answer.status_code, got) == (401, "invalid_token")
        elif verdict != "allow":
            right = got == verdict
        else:
            right = answer.status_code not in (401, 403) and answer.status_code < 500
        if not right:
            wrong.append((operation.route, answer.status_code, got))
    assert wrong == []
    assert rest.world.rows("user_progress", "learner") == before


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_every_part_of_the_data_api(
    shared_rest: Rest, tried: Callable[[str, str, int], bool], credential: str
) -> None:
    rest, wrong = shared_rest, []
    before = rest.world.rows("user_progress", "learner")
    carried = CREDENTIALS[credential](rest.stack, rest.world.users["learner"])
    worth = DECLARED[credential]["data"]
    paths = rest.table("service_role", "GET", "").json()["paths"].keys() - {"/"}
    if worth != "refuse":
        # What anon and the named user may is swept elsewhere; here: who is taken for whom.
        [row] = rest.read("learner", "profiles?select=id")
        shown = rest.table("anon", "GET", "profiles?select=id", headers=carried)
        if worth == "user":
            assert shown.json() == [row]
        else:
            assert code(shown) == {"anon": "42501", "nobody": "22P02"}[worth]
        return
    for nth, path in enumerate(sorted(paths)):
        if not tried("data", credential, nth):
            continue
        method = "POST" if path.startswith("/rpc/") else "GET"
        body = {} if method == "POST" else None
        answer = rest.table("anon", method, path.lstrip("/"), json=body, headers=carried)
        if answer.status_code != 401:
            wrong.append((path, answer.status_code, answer.text))
    assert wrong == []
    assert rest.world.rows("user_progress", "learner") == before


def test_a_colleague_reads_nothing_of_a_course_that_is_not_theirs(shared_rest: Rest) -> None:
    """Staff of another course see of every table what a stranger sees, and their own."""
    world = shared_rest.world
    paths = shared_rest.table("service_role", "GET", "").json()["paths"]
    hidden = {
        world.users["learner"],
        world.lessons["draft"],
        world.lessons["fresh"],
        "Secret of fresh",
    }
    seen = set()
    for table in {path.strip("/") for path in paths if not path.startswith("/rpc/")} - {""}:
        if any(secret in told(shared_rest, "service_role", table) for secret in hidden):
            seen.add(table)
        text = told(shared_rest, "colleague", table)
        assert not [secret for secret in hidden if secret in text], table
    # There was something to hide.
    assert len(seen) > 10


def told(rest: Rest, persona: str, table: str) -> str:
    """All that a persona is shown of a table."""
    answer: httpx.Response = rest.table(persona, "GET", table, headers={"Range": "0-999"})
    return answer.text if answer.is_success else ""


def test_ids_are_taken_for_nothing_else(shared_rest: Rest, described: list[Operation]) -> None:
    """A path's id in any writing is an id or refused, and never reaches the path of another."""
    for operation in described:
        for name in operation.ids:
            for text in ("%00", "a%2fb", "\u202e", "9" * 400):
                answer = shared_rest.request(
                    "learner",
                    operation.method,
                    f"/functions/v1{operation.at({name: text})}",
                    json={} if operation.method != "GET" else None,
                )
                assert answer.status_code in (400, 401, 404, 405, 415, 422), (operation, text)
