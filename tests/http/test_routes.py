"""What holds for every route through the real stack, taken from the tables of routes."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import httpx
import pytest

from functions import FUNCTIONS
from shared.models import CertificatesPage, NotificationsPage
from shared.routing import Function, Route
from tests.stack import Stack
from tests.support.learners import Learner
from tests.support.shape import assert_refusal

EVERY = [(function, route) for function in FUNCTIONS for route in function.routes]
IDS = ("attempt", "certificate", "cohort", "enrollment", "lesson", "module", "token", "user")
SAMPLES = {
    **{name: str(uuid.uuid4()) for name in IDS},
    "code": "00000-00000-00000-00000",
    "course": "999999999",
    "program": "999999999",
    "key": "none",
    "list": "999999",
}


def name(value: Function | Route) -> str:
    return value.name if isinstance(value, Function) else f"{value.method} {value.path}"


def routes(chosen: Callable[[Route], bool]) -> pytest.MarkDecorator:
    """A test for every route that is chosen."""
    found = [pair for pair in EVERY if chosen(pair[1])]
    return pytest.mark.parametrize(("function", "route"), found, ids=name)


every_route = routes(lambda route: True)


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
            if route.who == "user":
                assert_refusal(response, 401, "not_authenticated")
            elif route.who == "machine":
                assert_refusal(response, 401, "invalid_worker_secret")
            elif route.rpc == "get_my_dashboard":
                # Open to visitors, so that the database can tell them to sign in.
                assert_refusal(response, 401, "not_authenticated")
            else:
                assert response.status_code != 401
    forged = {**signed_in, "Authorization": signed_in["Authorization"][:-4] + "AAAA"}
    response = functions.request(route.method, where, headers=forged)
    wrong = "invalid_worker_secret" if route.who == "machine" else "invalid_token"
    assert_refusal(response, 401, wrong)

    response = functions.request("DELETE", where, headers=signed_in)
    assert_refusal(response, 405, "method_not_allowed")
    assert route.method in response.headers["allow"].split(", ")
    response = functions.request(route.method, f"{where}/nothing/there/x", headers=signed_in)
    assert_refusal(response, 404, "route_not_found")
    for parameter in {*IDS, "course", "program"} & set(route.parameters):
        bad = path(function, route, **{parameter: "nonsense"})
        response = functions.request(route.method, bad, headers=signed_in)
        assert_refusal(response, 400, "invalid_id")
    if route.method != "GET" and route.body is not None:
        for body, status, code in (
            ({"p_user_id": learner.id}, 422, "unknown_field"),
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


# A list of nothing is not refused.
LISTS = (CertificatesPage, NotificationsPage)
ADMINS = ("revoke", "reinstate", "reissue", "retry", "programs/{program}/delete")


# The way out of the mails says the same to every token.
@routes(
    lambda route: (
        route.rpc is not None
        and bool(route.parameters or route.path == "")
        and route.parameters != ("token",)
    )
)
def test_what_is_not_there_is_404(
    functions: httpx.Client, learner: Learner, function: Function, route: Route
) -> None:
    """Every route reaches its RPC: the refusal is the database's own."""
    body = {
        "Recalculation": {"enrollment_id": str(uuid.uuid4())},
        "Answers": {"answers": []},
        "Reason": {"reason": "Because"},
        "View": {"session_id": str(uuid.uuid4()), "seconds": 10},
        "ForLearner": {"user_id": learner.id, "reason": "Because"},
        "Replacement": {"new_lesson_id": str(uuid.uuid4()), "reason": "Because"},
        "Extension": {"reason": "Because"},
        "NewCohort": {"name": "Spring", "reason": "Because"},
        "CohortName": {"name": "Spring", "reason": "Because"},
        "CohortMembers": {"user_ids": [learner.id], "reason": "Because"},
        "Learners": {"learners": [learner.id], "reason": "Because"},
    }.get(route.body.__name__ if route.body else "")
    where, headers = path(function, route), learner.headers()
    # Who is no staff is not told whether a course is there.
    if route.path.endswith(ADMINS) or function.name == "analytics":
        headers = learner.headers(app_metadata={"waymark_role": "admin"})
    response = functions.request(
        route.method, where, headers=headers, **({"json": body} if body else {})
    )
    assert "db;dur=" in response.headers["server-timing"]
    if route.body is not None and issubclass(route.body, LISTS):
        assert response.status_code == 200
        return
    subject = route.parameters[-1] if route.parameters else "enrollment"
    if route.parameters in (("course", "module"), ("course", "user")):
        subject = "course"
    subject = {"code": "certificate", "list": "status_list"}.get(subject, subject)
    assert_refusal(response, 404, f"{subject}_not_found")


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
