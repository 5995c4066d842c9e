"""Every JSON answer that a test gets from the stack, held against the OpenAPI description.

No test asks for it: whatever goes through httpx is checked, the typed client's calls included. What
a route answers as its RPC made it, that RPC answers at the Data API too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import httpx
import jsonschema_rs
import pytest

from functions import FUNCTIONS
from shared.errors import Problem
from shared.openapi import document
from shared.routing import Function, Route, locate

Place = tuple[str, str]

# The path and the method of each operation of which this process has checked an answer.
seen: set[Place] = set()


def place(function: Function, route: Route) -> Place:
    """The path and the method by which the description knows a route."""
    return f"/{function.name}/{route.path}".rstrip("/"), route.method.lower()


def json_places() -> set[Place]:
    """The operations that answer JSON."""
    return {
        place(function, route)
        for function in FUNCTIONS
        for route in function.routes
        if "application/json" in route.types
    }


def faults(where: Place, answer: Any, status: str = "200") -> list[str]:
    """What an answer of this operation lacks, and what it has that is not described."""
    errors = _validator(where, status).iter_errors(answer)
    return [f"{'.'.join(map(str, error.instance_path))}: {error.message}" for error in errors]


def check(response: httpx.Response) -> None:
    """Fail unless the answer is as described; whatever is no route's success passes."""
    if not response.is_success or not response.content:
        return
    if not response.headers.get("content-type", "").startswith("application/json"):
        return
    where = _place(response.request)
    if where:
        found = faults(where, response.json(), str(response.status_code))
        assert not found, f"{where[1].upper()} {where[0]} is not as described: {found[:5]}"
        seen.add(where)


@contextmanager
def checked() -> Iterator[None]:
    """Check what comes through httpx while this is open."""
    send, send_async = httpx.Client.send, httpx.AsyncClient.send

    def sending(client: Any, request: Any, *, stream: bool = False, **options: Any) -> Any:
        response = send(client, request, stream=stream, **options)
        if not stream:
            check(response)
        return response

    async def sending_async(
        client: Any, request: Any, *, stream: bool = False, **options: Any
    ) -> Any:
        response = await send_async(client, request, stream=stream, **options)
        if not stream:
            check(response)
        return response

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx.Client, "send", sending)
        patch.setattr(httpx.AsyncClient, "send", sending_async)
        yield


def _place(request: httpx.Request) -> Place | None:
    """The operation of the stack under test that a request asks for, if any."""
    url, method = str(request.url.copy_with(query=None)), request.method
    for name in ("FUNCTIONS_URL", "FUNCTIONS_DIRECT_URL"):
        base = os.environ.get(name)
        if base and url.startswith(base):
            try:
                function, rest = locate(FUNCTIONS, url.removeprefix(base))
                return place(function, function.find(method, rest)[0])
            except Problem:
                return None
    base = f"{os.environ.get('API_URL', 'no stack')}/rest/v1/rpc/"
    return _rpcs().get(url.removeprefix(base)) if url.startswith(base) else None


@cache
def _rpcs() -> dict[str, Place]:
    return {
        route.rpc: place(function, route)
        for function in FUNCTIONS
        for route in function.routes
        if route.rpc and not route.handler
    }


@cache
def _description() -> dict[str, Any]:
    return document(FUNCTIONS, "")


@cache
def _validator(where: Place, status: str) -> Any:
    path, method = where
    told = _description()["paths"][path][method]["responses"][status]["content"]
    schema = told["application/json"]["schema"]
    components = _description()["components"]
    return jsonschema_rs.validator_for({**schema, "components": components}, validate_formats=True)
