"""The one shape of answers and refusals, asserted wherever a route is called."""

from __future__ import annotations

import re
import types
import typing
from typing import Any

import httpx


def assert_refusal(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """A refusal of this status and code, with the headers of every answer; gives its body."""
    assert response.status_code == status, response.text
    assert_headers(response)
    answer: dict[str, Any] = response.json()
    assert list(answer) == ["code", "message", "details", "hint"]
    assert answer["code"] == code
    assert answer["message"]
    return answer


def assert_headers(response: httpx.Response) -> None:
    """What every answer carries, preflights aside."""
    headers = response.headers
    assert headers.get_list("access-control-allow-origin") == ["*"]
    assert "access-control-allow-credentials" not in headers
    exposed = headers["access-control-expose-headers"].split(", ")
    assert {"Retry-After", "Server-Timing", "X-Request-Id"} <= set(exposed)
    assert headers["cache-control"] == "no-store"
    assert headers["content-type"].startswith("application/json")
    assert headers["x-content-type-options"] == "nosniff"
    assert re.fullmatch(r"[0-9a-f]{32}", headers["x-request-id"])
    assert "total;dur=" in headers["server-timing"]
    # On 429 and 503 it says when; elsewhere there is nothing to wait for.
    assert (int(headers.get("retry-after", "0")) > 0) == (response.status_code in (429, 503))


def assert_typed(value: Any, kind: Any, where: str = "answer") -> None:
    """`value` is exactly what the type says: its keys, no others, and their types, all the way."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return
    if origin in (typing.Union, types.UnionType):
        if value is None:
            assert type(None) in arguments, f"{where} is null"
            return
        (kind,) = (argument for argument in arguments if argument is not type(None))
        assert_typed(value, kind, where)
    elif origin is typing.Literal:
        assert value in arguments, f"{where} is {value!r}"
    elif origin is list:
        assert isinstance(value, list), where
        for entry in value:
            assert_typed(entry, arguments[0], f"{where}[]")
    elif origin is dict:
        assert isinstance(value, dict), where
    elif typing.is_typeddict(kind):
        hints = typing.get_type_hints(kind)
        assert set(value) == set(hints), f"{where}: {set(value) ^ set(hints)}"
        for name, inner in hints.items():
            assert_typed(value[name], inner, f"{where}.{name}")
    elif kind is float:
        assert type(value) in (int, float), where
    else:
        assert type(value) is kind, f"{where} is {value!r}, not {kind.__name__}"
