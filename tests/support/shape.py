"""The one shape of answers and refusals, asserted wherever a route is called."""

from __future__ import annotations

import re
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
