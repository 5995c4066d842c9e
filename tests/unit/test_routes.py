"""What holds for every route, taken from the tables: a new route is covered by being there."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable

import httpx
import pytest

from functions import FUNCTIONS
from shared.errors import CODES
from shared.models import Body, Empty
from shared.routing import PARAMETERS, Function, Route
from tests.support.shape import assert_headers, assert_refusal
from tests.support.upstream import Reply, Upstream

EVERY = [(function, route) for function in FUNCTIONS for route in function.routes]


def name(value: Function | Route) -> str:
    return value.name if isinstance(value, Function) else f"{value.method} {value.path}"


def routes(chosen: Callable[[Route], bool]) -> pytest.MarkDecorator:
    """A test for every route that is chosen."""
    found = [pair for pair in EVERY if chosen(pair[1])]
    return pytest.mark.parametrize(("function", "route"), found, ids=name)


every_route = routes(lambda route: True)
every_bare_route = routes(lambda route: route.handler is None)
every_command = routes(lambda route: route.method != "GET" and route.body is not None)
every_query = routes(lambda route: route.method == "GET" and route.body not in (None, Empty))
every_users_route = routes(lambda route: route.who == "user")
every_route_with_a_door = routes(lambda route: route.who != "machine")
SAMPLES = {
    **{
        name: str(uuid.uuid4())
        for name in (
            "attempt",
            "certificate",
            "cohort",
            "enrollment",
            "lesson",
            "module",
            "token",
            "user",
        )
    },
    "code": "TN3JE-GKECG-07VXQ-G7HMZ",
    "course": "7",
    "key": "kQskBC-w1hR8bVS7tvuYIot3D4f_cdhlTQaJX3nL0yc",
    "list": "3",
    "program": "7",
}
BODIES: dict[str, dict[str, object]] = {
    "Answers": {"answers": []},
    "Grades": {"grades": []},
    "Reason": {"reason": "Because"},
    "ForLearner": {"user_id": str(uuid.uuid4()), "reason": "Because"},
    "Merge": {"from": str(uuid.uuid4()), "into": str(uuid.uuid4()), "reason": "Because"},
    "ProgramDocument": {"document": {"slug": "p", "courses": [{"course": "c", "weight": 2}]}},
    "Replacement": {"new_lesson_id": str(uuid.uuid4()), "reason": "Because"},
    "Extension": {"expires_at": "2030-01-01T00:00:00Z", "reason": "Because"},
    "NewCohort": {"name": "Spring", "reason": "Because"},
    "CohortName": {"name": "Spring", "reason": "Because"},
    "CohortMembers": {"user_ids": [str(uuid.uuid4())], "reason": "Because"},
    "Learners": {"learners": ["somebody@example.org"], "reason": "Because"},
    "Submission": {"answers": [], "client_key": "key-1"},
    "Recalculation": {"all": True},
    "View": {"session_id": str(uuid.uuid4()), "seconds": 30, "watched": [[0, 30]]},
    "Batch": {"events": [{"id": "x", "anything": [1, None]}, 5]},
}


def path(function: Function, route: Route, **ids: str) -> str:
    return f"/{function.name}/{route.path.format(**{**SAMPLES, **ids})}".rstrip("/")


def body(route: Route) -> dict[str, object] | None:
    if route.method == "GET" or route.body is None:
        return None
    return BODIES.get(route.body.__name__, {})


@every_route
def test_the_table_is_sound(function: Function, route: Route) -> None:
    assert route.method in ("GET", "POST", "PUT", "PATCH", "DELETE")
    assert set(route.parameters) <= set(PARAMETERS)
    assert route.summary
    assert route.handler if route.body is None else issubclass(route.body, Body)
    assert route.rpc or route.handler
    # Who does not pass the door must be let in by somebody.
    assert route.who != "machine" or route.handler
    found, ids = function.find(route.method, route.path.format(**SAMPLES))
    assert found is route
    assert ids == {name: SAMPLES[name] for name in route.parameters}


@every_bare_route
def test_an_answer_is_passed_on_as_it_is(
    functions: httpx.Client,
    database: Upstream,
    signed_in: dict[str, str],
    function: Function,
    route: Route,
) -> None:
    answer = b'{"percent":33.33 ,  "changed":true}'
    database.script(Reply(200, answer))
    response = functions.request(
        route.method, path(function, route), headers=signed_in, json=body(route)
    )
    assert (response.status_code, response.content) == (route.status, answer)
    assert_headers(response)
    assert "auth;dur=" in response.headers["server-timing"]
    assert "db;dur=" in response.headers["server-timing"]
    (seen,) = database.seen
    assert (seen.method, seen.path) == ("POST", f"/rest/v1/rpc/{route.rpc}")
    assert seen.headers["authorization"] == signed_in["Authorization"]
    assert seen.headers["x-request-id"] == response.headers["x-request-id"]
    sent = route.arguments({name: SAMPLES[name] for name in route.parameters})
    given = {f"p_{name}": value for name, value in (body(route) or {}).items()}
    assert seen.json == {**sent, **given}


@every_users_route
def test_signed_out_is_not_authenticated(
    functions: httpx.Client, database: Upstream, function: Function, route: Route
) -> None:
    for headers in ({}, {"Authorization": "Bearer sb_publishable_for_tests"}):
        response = functions.request(
            route.method, path(function, route), headers=headers, json=body(route)
        )
        assert_refusal(response, 401, "not_authenticated")
        assert response.headers["www-authenticate"] == "Bearer"
    assert database.seen == []


@every_route_with_a_door
def test_a_bad_token_is_refused(
    functions: httpx.Client, database: Upstream, function: Function, route: Route
) -> None:
    headers = {"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."}
    response = functions.request(route.method, path(function, route), headers=headers)
    assert_refusal(response, 401, "invalid_token")
    assert "invalid_token" in response.headers["www-authenticate"]
    assert database.seen == []


@every_route
def test_another_method_is_not_allowed(
    functions: httpx.Client, signed_in: dict[str, str], function: Function, route: Route
) -> None:
    where = path(function, route)
    known = {r.method for r in function.routes if r.path == route.path}
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} - known:
        if method == "HEAD" and "GET" in known:
            continue
        response = functions.request(method, where, headers=signed_in)
        assert response.status_code == 405
        allowed = set(response.headers["allow"].split(", "))
        assert allowed - {"HEAD", "OPTIONS"} == known
        assert ("HEAD" in allowed) == ("GET" in known)
        if method != "HEAD":
            assert_refusal(response, 405, "method_not_allowed")


@every_route
def test_a_path_below_is_not_found(
    functions: httpx.Client, signed_in: dict[str, str], function: Function, route: Route
) -> None:
    response = functions.request(
        route.method, path(function, route) + "/nothing/here/at/all", headers=signed_in
    )
    assert_refusal(response, 404, "route_not_found")


@every_route
def test_a_bad_id_is_refused(
    functions: httpx.Client,
    database: Upstream,
    signed_in: dict[str, str],
    function: Function,
    route: Route,
) -> None:
    bad = {
        "course": ["0", "-1", "1.5", "x", "9223372036854775808", "1e3", "٣", "07", " 7", "null"],
        "program": ["0", "-1", "x", "9223372036854775808"],
        "attempt": ["1", "x", SAMPLES["attempt"][:-1], SAMPLES["attempt"].replace("-", ""), "%00"],
        "lesson": ["1", "x", SAMPLES["lesson"][:-1], SAMPLES["lesson"].replace("-", ""), "%00"],
        "module": ["1", "{" + SAMPLES["module"] + "}", "..%252f", "%ff", "%ed%a0%80"],
        "certificate": ["1", "x", SAMPLES["certificate"] + ".pdf", "..%252f", "%00"],
        "token": ["1", "x", SAMPLES["token"][:-1], "%00"],
    }
    # What else stands in a path is looked up, and not found: see where it is served.
    for parameter in bad.keys() & set(route.parameters):
        for value in bad[parameter]:
            response = functions.request(
                route.method,
                path(function, route, **{parameter: value}),
                headers=signed_in,
                json=body(route),
            )
            assert_refusal(response, 400, "invalid_id")
    assert database.seen == []


@every_query
def test_a_bad_query_is_refused(
    functions: httpx.Client,
    database: Upstream,
    signed_in: dict[str, str],
    function: Function,
    route: Route,
) -> None:
    where = path(function, route)
    assert route.body is not None
    number, bad = (
        ("limit", "0") if "limit" in route.body.model_fields else ("min_completions", "-1")
    )
    cases = [("nothing=1", 422, "unknown_field")]
    if number in route.body.model_fields:
        cases += [
            (f"{number}=x", 400, "invalid_type"),
            (f"{number}=1.5", 400, "invalid_type"),
            (f"{number}={bad}", 422, "invalid_value"),
            (f"{number}=100000000000", 422, "invalid_value"),
            (f"{number}=5&{number}=6", 422, "invalid_value"),
        ]
    for query, status, code in cases:
        response = functions.get(f"{where}?{query}", headers=signed_in)
        assert_refusal(response, status, code)
    assert database.seen == []
    if number in route.body.model_fields and route.handler is None:
        database.script(Reply(200, {}))
        assert functions.get(f"{where}?{number}=5", headers=signed_in).status_code == 200
        assert database.seen[0].json.items() >= {f"p_{number}": 5}.items()


@every_command
def test_a_bad_body_is_refused(
    functions: httpx.Client,
    database: Upstream,
    signed_in: dict[str, str],
    function: Function,
    route: Route,
) -> None:
    where, headers = path(function, route), {**signed_in, "Content-Type": "application/json"}
    cases: list[tuple[bytes, int, str]] = [
        (json.dumps({**(body(route) or {}), "p_user_id": "x"}).encode(), 422, "unknown_field"),
        (b"[]", 400, "invalid_type"),
        (b"null", 400, "invalid_type"),
        (b'"x"', 400, "invalid_type"),
        (b"{", 400, "invalid_json"),
        (b"\xff\xfe", 400, "invalid_json"),
        (b'{"x": NaN}', 400, "invalid_json"),
        (b'{"x": -Infinity}', 400, "invalid_json"),
        (b'{"x": "\\ud800"}', 400, "invalid_json"),
        (b"[" * 100_000, 400, "invalid_json"),
        (b'{"x":' * 100_000, 400, "invalid_json"),
        (b'{"x":' + b"9" * 5000 + b"}", 400, "invalid_json"),
        (b" " * (1024 * 1024 + 1), 413, "body_too_large"),
    ]
    for content, status, code in cases:
        response = functions.request(route.method, where, headers=headers, content=content)
        assert_refusal(response, status, code)
    form = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
    response = functions.request(route.method, where, headers=form, content=b"a=b")
    assert_refusal(response, 415, "unsupported_media_type")
    assert database.seen == []


@every_bare_route
def test_a_refusal_of_the_database_keeps_its_code_and_headers(
    functions: httpx.Client,
    database: Upstream,
    signed_in: dict[str, str],
    function: Function,
    route: Route,
) -> None:
    refusal = {"code": "lesson_locked", "message": "Locked", "details": None, "hint": "Go back"}
    database.script(Reply(409, refusal))
    response = functions.request(
        route.method, path(function, route), headers=signed_in, json=body(route)
    )
    assert_refusal(response, 409, "lesson_locked")
    assert response.json() == refusal


@every_bare_route
def test_a_database_that_is_away_is_503(
    functions: httpx.Client,
    database: Upstream,
    signed_in: dict[str, str],
    function: Function,
    route: Route,
) -> None:
    database.script(Reply(drop=True), Reply(drop=True))
    response = functions.request(
        route.method, path(function, route), headers=signed_in, json=body(route)
    )
    assert_refusal(response, 503, "database_unavailable")


@every_route
def test_preflight_comes_before_everything(
    functions: httpx.Client, function: Function, route: Route
) -> None:
    asked = {
        "Origin": "https://site.example",
        "Access-Control-Request-Method": route.method,
        "Access-Control-Request-Headers": "authorization,apikey,content-type,x-client-info",
    }
    response = functions.options(path(function, route), headers=asked)
    assert (response.status_code, response.content) == (204, b"")
    headers = response.headers
    assert headers["access-control-allow-origin"] == "*"
    assert route.method in headers["access-control-allow-methods"]
    allowed = headers["access-control-allow-headers"].split(", ")
    assert set(asked["Access-Control-Request-Headers"].split(",")) <= set(allowed)
    assert {"x-retry-count", "traceparent", "tracestate", "baggage"} <= set(allowed)
    assert int(headers["access-control-max-age"]) > 0
    assert re.fullmatch(r"[0-9a-f]{32}", headers["x-request-id"])


def test_no_route_says_so(functions: httpx.Client, signed_in: dict[str, str]) -> None:
    for where in ("/", "/functions/v1", "/nothing", "/progress", "/progress/", "/progress//"):
        assert_refusal(functions.get(where, headers=signed_in), 404, "route_not_found")
        assert functions.options(where).status_code == 204


def test_error_codes_are_whole() -> None:
    for code, registered in CODES.items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", code)
        assert 400 <= registered.status <= 503
        assert registered.message
        assert registered.meaning.endswith(".")
