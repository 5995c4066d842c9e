"""The OpenAPI description is valid, and says of every route what the table says."""

from __future__ import annotations

from typing import Any, get_args

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from functions import FUNCTIONS
from shared.answers import find
from shared.models import Empty
from tests.support import answers
from tests.unit.test_routes import BODIES, EVERY


@pytest.fixture
def described(functions: httpx.Client) -> dict[str, Any]:
    # The first call makes it.
    answer = functions.get("/openapi.json", timeout=60)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")
    found: dict[str, Any] = answer.json()
    return found


def test_the_description_is_valid_openapi(described: dict[str, Any]) -> None:
    assert described["openapi"].startswith("3.1")
    validate(described)


def test_every_route_is_described_and_no_other(described: dict[str, Any]) -> None:
    served = {
        (f"/{function.name}/{route.path}".rstrip("/"), route.method.lower()): route
        for function in FUNCTIONS
        for route in function.routes
    }
    told = {
        (path, method): operation
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    }
    assert set(told) == set(served)
    assert len({operation["operationId"] for operation in told.values()}) == len(told)
    for place, route in served.items():
        operation = told[place]
        names = {entry["name"] for entry in operation["parameters"] if entry["in"] == "path"}
        assert names == set(route.parameters)
        query = {entry["name"] for entry in operation["parameters"] if entry["in"] == "query"}
        fields = set(route.body.model_fields) if route.body and route.method == "GET" else set()
        assert query == fields
        kinds = operation["responses"][str(route.status)]["content"]
        assert set(kinds) == {*route.types}
        has_body = route.method != "GET" and route.body not in (None, Empty)
        assert ("requestBody" in operation) == has_body


def test_bodies_that_routes_take_fit_the_description(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]
    for name, body in BODIES.items():
        schema = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
        validator = Draft202012Validator(schema)
        validator.validate(body)
        assert not validator.is_valid({**body, "surplus": 1})


def test_every_json_answer_is_described(described: dict[str, Any]) -> None:
    """A route has a type exactly where it answers JSON, and its schema says what is in it."""
    for function, route in EVERY:
        assert (route.answer is not None) == ("application/json" in route.types), route
        # The description does not describe itself.
        if not route.answer or function.name == "openapi.json":
            continue
        path, method = answers.place(function, route)
        told = described["paths"][path][method]["responses"][str(route.status)]["content"]
        schema = told["application/json"]["schema"]
        kinds = schema.get("anyOf", [schema])
        null = {"type": "null"} in kinds
        assert null == (type(None) in get_args(find(route.answer))), route
        named = [kind["$ref"].rpartition("/")[2] for kind in kinds if "$ref" in kind]
        assert len(named) == len(kinds) - null, route
        for name in named:
            shape = described["components"]["schemas"][name]
            assert shape["additionalProperties"] is False, name
            assert shape["required"], name
            assert shape["description"], name


def test_the_check_of_answers_misses_nothing() -> None:
    """What every test's answers are checked by tells what is left out, surplus, null or misread."""
    where = ("/certificates/{certificate}/pdf", "get")
    right = {"url": "https://x.example/a", "expires_at": "2030-01-01T00:00:00Z"}
    assert answers.faults(where, right) == []
    for wrong in (
        {"url": right["url"]},
        {**right, "surplus": 1},
        {**right, "url": None},
        {**right, "expires_at": "soon"},
        None,
        [right],
    ):
        assert answers.faults(where, wrong) != []
    assert answers.faults(("/progress/courses/{course}", "get"), None) == []
    assert answers.faults(("/notifications/read", "post"), {"marked": 1, "unread": 0}) == [
        ': "changed" is a required property'
    ]
