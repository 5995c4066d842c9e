"""What holds for every route through the real stack, taken from the tables of routes."""

from __future__ import annotations

import uuid

import httpx
import pytest

from functions import FUNCTIONS
from shared.routing import Function, Route
from tests.stack import Stack
from tests.support.learners import Learner
from tests.support.shape import assert_refusal

EVERY = [(function, route) for function in FUNCTIONS for route in function.routes]
SAMPLES = {
    "course": "999999999",
    **{name: str(uuid.uuid4()) for name in ("lesson", "module", "attempt")},
}


def name(value: Function | Route) -> str:
    return value.name if isinstance(value, Function) else f"{value.method} {value.path}"


every_route = pytest.mark.parametrize(("function", "route"), EVERY, ids=name)


def path(function: Function, route: Route, **ids: str) -> str:
    return f"{function.name}/{route.path.format(**{**SAMPLES, **ids})}".rstrip("/")


@every_route
def test_refusals(
    functions: httpx.Client, stack: Stack, learner: Learner, function: Function, route: Route
) -> None:
    where, signed_in = path(function, route), learner.headers()

    for key in (stack.publishable_key, stack.anon_key):
        signed_out = {"apikey": key, "Authorization": f"Bearer {key}"}
        for headers in (signed_out, {"apikey": key}):
            response = functions.request(route.method, where, headers=headers)
            assert_refusal(response, 401, "not_authenticated")
    forged = {**signed_in, "Authorization": signed_in["Authorization"][:-4] + "AAAA"}
    response = functions.request(route.method, where, headers=forged)
    assert_refusal(response, 401, "invalid_token")

    response = functions.request("DELETE", where, headers=signed_in)
    assert_refusal(response, 405, "method_not_allowed")
    assert route.method in response.headers["allow"].split(", ")
    response = functions.request(route.method, f"{where}/nothing/there/x", headers=signed_in)
    assert_refusal(response, 404, "route_not_found")
    for parameter in route.parameters:
        bad = path(function, route, **{parameter: "nonsense"})
        response = functions.request(route.method, bad, headers=signed_in)
        assert_refusal(response, 400, "invalid_id")
    if route.method != "GET":
        for body, status, code in (
            ({"user_id": learner.id}, 422, "unknown_field"),
            ([], 400, "invalid_type"),
        ):
            response = functions.request(route.method, where, headers=signed_in, json=body)
            assert_refusal(response, status, code)
        raw = {**signed_in, "Content-Type": "application/json"}
        for content, status, code in (
            (b"{", 400, "invalid_json"),
            (b" " * (1024 * 1024 + 1), 413, "body_too_large"),
        ):
            response = functions.request(route.method, where, headers=raw, content=content)
            assert_refusal(response, status, code)


@every_route
def test_what_is_not_there_is_404(
    functions: httpx.Client, learner: Learner, function: Function, route: Route
) -> None:
    """Every route reaches its RPC: the refusal is the database's own."""
    body = {
        "Recalculation": {"enrollment_id": str(uuid.uuid4())},
        "Answers": {"answers": []},
    }.get(route.body.__name__)
    where, headers = path(function, route), learner.headers()
    response = functions.request(
        route.method, where, headers=headers, **({"json": body} if body else {})
    )
    subject = route.parameters[-1] if route.parameters else "enrollment"
    if route.parameters == ("course", "module"):
        subject = "course"
    assert_refusal(response, 404, f"{subject}_not_found")
    assert "db;dur=" in response.headers["server-timing"]


@every_route
def test_browsers_may_ask(functions: httpx.Client, function: Function, route: Route) -> None:
    asked = {
        "Origin": "https://site.example",
        "Access-Control-Request-Method": route.method,
        "Access-Control-Request-Headers": "authorization,apikey,content-type,x-client-info",
    }
    response = functions.options(path(function, route), headers=asked)
    assert response.status_code == 204
    assert response.headers.get_list("access-control-allow-origin") == ["*"]
    assert route.method in response.headers["access-control-allow-methods"]
    allowed = response.headers["access-control-allow-headers"].split(", ")
    assert set(asked["Access-Control-Request-Headers"].split(",")) <= set(allowed)
