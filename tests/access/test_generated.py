"""Requests made from the served OpenAPI description: whatever comes, no fault, and as described.

Schemathesis makes them, right and wrong ones, with ids that exist and such that do not; many more
with bin/test --long.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from tests.access.conftest import committed
from tests.access.rest import Rest
from tests.access.world import PEOPLE
from tests.stack import Stack

SEED = int(os.environ.get("WAYMARK_TEST_SEED", "1"))


@pytest.fixture(scope="module")
def rest(stack: Stack, operator: Any) -> Iterator[Rest]:
    with committed(stack, operator) as made:
        yield made


@pytest.fixture(scope="module")
def described(rest: Rest) -> Any:
    document = rest.request("anon", "GET", "/functions/v1/openapi.json").json()
    return schemathesis.openapi.from_dict(document)


def ids(rest: Rest) -> dict[str, Any]:
    """For each name of a path an id that leads somewhere."""
    world = rest.world
    return {
        "course": world.courses["main"],
        "lesson": world.lessons["fresh"],
        "module": world.modules["first"],
        "program": world.ids["program published"],
        "certificate": world.ids["certificate of learner"],
        "cohort": world.ids["cohort"],
        "enrollment": world.ids["enrollment of learner"],
        "attempt": world.ids["open attempt of learner"],
    }


def attack(rest: Rest, described: Any, examples: int) -> int:
    """Send so many requests of each operation; the number of those that were accepted."""
    accepted, known = 0, ids(rest)
    for result in described.get_all_operations():
        operation = result.ok()
        right = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
        wrong = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

        @seed(SEED)
        @settings(
            max_examples=examples,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(
            case=st.one_of(right, right, wrong),
            persona=st.sampled_from(["anon", *PEOPLE]),
            leads=st.booleans(),
        )
        def send(case: Any, persona: str, leads: bool) -> None:
            nonlocal accepted
            if leads:
                case.path_parameters = {
                    **(case.path_parameters or {}),
                    **{n: known[n] for n in known.keys() & (case.path_parameters or {}).keys()},
                }
            case.headers = {**(case.headers or {}), **rest.headers(persona)}
            answer = case.call(base_url=rest.stack.functions_url)
            case.validate_response(answer, checks=CHECKS)
            assert answer.status_code < 500, (persona, case.as_curl_command(), answer.text)
            accepted += answer.status_code < 300

        send()
    return accepted


schemathesis.checks.load_all_checks()
CHECKS = [
    schemathesis.checks.CHECKS.get_one(name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
    )
]


def test_any_request_is_answered_as_described(rest: Rest, described: Any) -> None:
    assert attack(rest, described, 2) > 10


@pytest.mark.long
def test_any_request_is_answered_as_described_for_long(rest: Rest, described: Any) -> None:
    assert attack(rest, described, 200) > 1000


def test_every_status_that_is_described_is_reached(rest: Rest) -> None:
    """Those that the boundary gives by itself, at each route that names them."""
    document = rest.request("anon", "GET", "/functions/v1/openapi.json").json()
    base = f"{rest.stack.functions_url}"
    signed_in = rest.headers("learner")
    json = {**signed_in, "Content-Type": "application/json"}
    missing = []
    with httpx.Client(timeout=30) as http:
        for path, methods in document["paths"].items():
            for method, told in methods.items():
                names = [entry for entry in told["parameters"] if entry["in"] == "path"]
                absent = {
                    entry["name"]: "999999999"
                    if entry["schema"]["type"] == "integer"
                    else "00000000-0000-4000-8000-000000000000"
                    for entry in names
                }
                typed = any(
                    entry["schema"].get("format") == "uuid" or entry["schema"].get("minimum") == 1
                    for entry in names
                )
                where = base + path.format_map(absent)
                bad = base + path.format_map(dict.fromkeys(absent, "x")) if typed else where
                query = {"surplus": "1"} if method == "get" else None
                body = b"[" if method != "get" else None
                tries: dict[str, dict[str, Any]] = {
                    "400": {"url": bad, "headers": json, "content": b"[" if not typed else body},
                    "401": {"url": where, "headers": {**json, "Authorization": "Bearer x.y.z"}},
                    "413": {"url": where, "headers": json, "content": b" " * (2**20 + 1)},
                    "415": {
                        "url": where,
                        "headers": {**signed_in, "Content-Type": "text/plain"},
                        "content": b"{}",
                    },
                    "422": {
                        "url": where,
                        "headers": json,
                        "params": query,
                        "content": None if query else b'{"surplus":1}',
                    },
                }
                if method == "get" and not typed:
                    # A query whose field is of another type.
                    tries["400"] = {"url": where, "headers": json, "params": {"limit": "x"}}
                for status in told["responses"].keys() & tries.keys():
                    answer = http.request(method.upper(), **tries[status])
                    if str(answer.status_code) != status:
                        missing.append((method, path, status, answer.status_code))
    assert missing == []
