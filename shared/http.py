"""The HTTP boundary: everything that is the same for every function happens here, once.

A call passes preflight, routing, the door, the path's ids, the body's type, size, syntax and model,
then one RPC. Whatever goes wrong leaves as {code, message, details, hint} with the same headers as
success.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from time import perf_counter
from typing import Any

import functions_framework.aio
from pydantic_core import from_json, to_json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from shared import logs
from shared.auth import Caller, Door
from shared.database import Database
from shared.errors import Problem
from shared.jwks import KeySet
from shared.models import Body, parse_body, parse_query
from shared.routing import Event, Function, Route, locate
from shared.settings import Settings, settings

MAX_BODY = 1024 * 1024
ALLOW_HEADERS = (
    "authorization, apikey, content-type, accept, x-client-info, x-retry-count, x-request-id, "
    "x-region, x-supabase-api-version, traceparent, tracestate, baggage"
)
ALLOW_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
EXPOSE_HEADERS = "Retry-After, Server-Timing, X-Request-Id, Content-Disposition"
MAX_AGE = "86400"

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{7,63}")
_JSON_TYPE = re.compile(r"application/(?:[a-z0-9.!#$&^_-]+\+)?json", re.IGNORECASE)

Target = Callable[[Request], Awaitable[Response]]


class _App:
    """What calls share: settings, the door, the database. Nothing about any user."""

    def __init__(self, config: Settings) -> None:
        self.config = config
        self.door = Door(config, KeySet(config.jwks_url, config.jwks))
        self.database = Database(config)
        self.any_origin = "*" in config.allowed_origins
        logs.configure(config.log_level)


@cache
def app() -> _App:
    """This process's parts, made at the first call (or earlier, to fail early)."""
    return _App(settings())


def target(name: str, *functions: Function) -> Target:
    """A functions-framework target that serves `functions`.

    With a single function its name may be left out of the path; with several it picks the function.
    """

    async def serve(request: Request) -> Response:
        return await _Call(request).answer(functions)

    # The framework looks targets up by name, and knows asynchronous ones by their __name__.
    serve.__name__ = serve.__qualname__ = name
    registered: Target = functions_framework.aio.http(serve)  # type: ignore[assignment]
    return registered


class _Call:
    """One request on its way through the boundary, with what its log line needs."""

    def __init__(self, request: Request) -> None:
        self.began = perf_counter()
        self.request = request
        given = request.headers.get("x-request-id", "")
        self.id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
        self.function: Function | None = None
        self.route: Route | None = None
        self.ids: dict[str, Any] = {}
        self.caller: Caller | None = None
        self.error: str | None = None
        self.timings: dict[str, float] = {}

    async def answer(self, functions: tuple[Function, ...]) -> Response:
        """The response, whatever happens."""
        shared: _App | None = None
        headers: Mapping[str, str] = {}
        status, content = 204, b""
        try:
            shared = app()
            if self.request.method == "OPTIONS":
                headers = {"Allow": ALLOW_METHODS}
            else:
                status, content = await self._run(shared, functions)
        except Problem as problem:
            status, content, headers = problem.status, to_json(problem.body()), problem.headers
            self.error = problem.code
        except ClientDisconnect:
            status, self.error = 499, "client_closed"
        except Exception as error:
            fault = Problem("internal_error")
            status, content = fault.status, to_json(fault.body())
            self.error = fault.code
            logs.write("ERROR", f"unexpected: {logs.fault(error)}")
        self.timings["total"] = perf_counter() - self.began
        # For HEAD the server leaves the body out.
        response = Response(content, status, self._headers(shared, headers))
        self._log(shared, status, len(content))
        return response

    async def _run(self, shared: _App, functions: tuple[Function, ...]) -> tuple[int, bytes]:
        request = self.request
        self.function, path = locate(functions, request.scope["path"])
        self.route, raw_ids = self.function.find(request.method, path)

        started = perf_counter()
        try:
            self.caller = await shared.door.caller(
                request.headers.getlist("authorization"), request.headers.get("apikey")
            )
        finally:
            self.timings["auth"] = perf_counter() - started
        if self.caller is None:
            raise Problem("not_authenticated", self.route.sign_in)

        self.ids = self.route.arguments(raw_ids)
        query = Body()
        if self.route.query is not None:
            query = parse_query(self.route.query, request.query_params.multi_items())
        body = Body()
        if request.method not in ("GET", "HEAD"):
            body = parse_body(self.route.body, await self._read())

        started = perf_counter()
        try:
            answer = await shared.database.call(
                self.route.rpc,
                {**self.ids, **query.arguments(), **body.arguments()},
                token=self.caller.token,
                request_id=self.id,
            )
        finally:
            self.timings["db"] = perf_counter() - started
        if self.route.method != "GET":
            try:
                self._report(self.route, self.caller, body, answer)
            except Exception as error:  # the work is done: a line less is no reason to deny it
                logs.write("ERROR", f"report failed: {logs.fault(error)}")
        return self.route.status, answer

    async def _read(self) -> bytes:
        """The body's bytes. Raises Problem body_too_large or unsupported_media_type."""
        headers = self.request.headers
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > MAX_BODY:
            raise Problem("body_too_large")
        parts: list[bytes] = []
        size = 0
        # The length is only a claim, and a chunked body makes none: count what comes.
        async for part in self.request.stream():
            size += len(part)
            if size > MAX_BODY:
                raise Problem("body_too_large")
            parts.append(part)
        content_type = headers.get("content-type", "application/json").partition(";")[0].strip()
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if size and (encoding != "identity" or not _JSON_TYPE.fullmatch(content_type)):
            raise Problem("unsupported_media_type")
        return b"".join(parts)

    def _headers(self, shared: _App | None, extra: Mapping[str, str]) -> dict[str, str]:
        timing = ", ".join(f"{name};dur={took * 1000:.1f}" for name, took in self.timings.items())
        headers = {
            "Access-Control-Expose-Headers": EXPOSE_HEADERS,
            "X-Request-Id": self.id,
            "Server-Timing": timing,
        }
        origin = self.request.headers.get("origin")
        if shared is None or shared.any_origin:
            headers["Access-Control-Allow-Origin"] = "*"
        else:
            headers["Vary"] = "Origin"
            if origin in shared.config.allowed_origins:
                headers["Access-Control-Allow-Origin"] = origin
        if self.request.method == "OPTIONS":
            headers["Access-Control-Allow-Methods"] = ALLOW_METHODS
            headers["Access-Control-Allow-Headers"] = ALLOW_HEADERS
            headers["Access-Control-Max-Age"] = MAX_AGE
        else:
            headers["Content-Type"] = "application/json; charset=utf-8"
            # Answers are one caller's own, and refusals pass: neither is for a cache.
            headers["Cache-Control"] = "no-store"
        headers.update(extra)
        return headers

    def _report(self, route: Route, caller: Caller, body: Body, raw: bytes) -> None:
        """Log lines for what a command did: its events, or that it had been done already."""
        answer = from_json(raw)
        if not isinstance(answer, dict):
            return
        events: list[Event] = []
        if answer.get("changed") is False:
            events.append(Event("repeated", {"user": caller.user_id, **self._subject()}))
        if route.report is not None:
            events += route.report(caller.user_id, body, answer)
        for event in events:
            logs.write("INFO", event.name, {event.name: event.facts, **self._labels()})

    def _subject(self) -> dict[str, Any]:
        return {name[2:-3]: value for name, value in self.ids.items()}

    def _labels(self) -> dict[str, Any]:
        labels = {
            "request_id": self.id,
            "user_id": self.caller.user_id if self.caller else None,
            "function": self.function.name if self.function else None,
            "route": f"{self.route.method} {self.route.path}" if self.route else None,
        }
        return {"logging.googleapis.com/labels": {k: v for k, v in labels.items() if v}}

    def _log(self, shared: _App | None, status: int, size: int) -> None:
        if self.error == "not_enrolled" and self.caller is not None:
            facts = {"user": self.caller.user_id, **self._subject()}
            logs.write("INFO", "not_enrolled", {"not_enrolled": facts, **self._labels()})
        severity = "INFO" if status < 400 else "WARNING" if status < 500 else "ERROR"
        request = self.request
        path = logs.harmless_path(request.scope["path"])
        took = self.timings["total"]
        fields = {
            "httpRequest": {
                "requestMethod": request.method,
                "requestUrl": path,
                "status": status,
                "latency": f"{took:.6f}s",
                "responseSize": str(size),
            },
            "request_id": self.id,
            "user_id": self.caller.user_id if self.caller else None,
            "role": self.caller.role if self.caller else None,
            "function": self.function.name if self.function else None,
            "route": self.route.path if self.route else None,
            "status": status,
            "duration_ms": round(took * 1000, 3),
            "error": self.error,
            **self._labels(),
            **logs.trace_fields(request.headers, shared.config.google_project if shared else None),
        }
        logs.write(severity, f"{request.method} {path} {status}", fields)
