"""The OpenAPI description is valid, and says of every route what the table says."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from functions import FUNCTIONS
from shared.models import Empty
from tests.unit.test_routes import BODIES


@pytest.fixture
def described(functions: httpx.Client) -> dict[str, Any]:
    answer = functions.get("/openapi.json")
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
