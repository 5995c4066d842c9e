"""Requests of the personas, straight to the gateway as any client may send them."""

from __future__ import annotations

from typing import Any, Self

import httpx

from tests.access.world import World
from tests.stack import Stack


class Rest:
    """HTTP as one persona of a committed world or another."""

    def __init__(self, stack: Stack, world: World) -> None:
        self.stack = stack
        self.world = world
        self._http = httpx.Client(base_url=stack.api_url, timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def headers(self, persona: str) -> dict[str, str]:
        """Keys and token as supabase-js sends them."""
        if persona == "service_role":
            return {"apikey": self.stack.secret_key}
        headers = {"apikey": self.stack.publishable_key}
        if persona != "anon":
            claims = dict(self.world.claims(persona) or {})
            headers["Authorization"] = f"Bearer {self.stack.token(claims.pop('sub'), **claims)}"
        return headers

    def request(
        self, persona: str, method: str, path: str, *, json: Any = None, **options: Any
    ) -> httpx.Response:
        """Send a request; `headers` among the options are added to the persona's own."""
        headers = {**self.headers(persona), **options.pop("headers", {})}
        if json is not None:
            options["json"] = json
        return self._http.request(method, path, headers=headers, **options)

    def table(self, persona: str, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request to a table, `user_progress?status=eq.completed` for example."""
        return self.request(persona, method, f"/rest/v1/{path}", **options)

    def rpc(self, persona: str, name: str, **arguments: Any) -> httpx.Response:
        """Call an RPC."""
        return self.request(persona, "POST", f"/rest/v1/rpc/{name}", json=arguments)

    def read(self, persona: str, path: str, **options: Any) -> list[dict[str, Any]]:
        """The rows of a GET that must succeed."""
        response = self.table(persona, "GET", path, **options)
        assert response.status_code in (200, 206), response.text
        found: list[dict[str, Any]] = response.json()
        return found


def code(response: httpx.Response) -> str | None:
    """The answer's error code; None when it is no error."""
    if response.is_success:
        return None
    found: str = response.json()["code"]
    return found
