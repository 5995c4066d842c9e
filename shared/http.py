"""The HTTP boundary: everything that is the same for every function happens here, once.

A call passes preflight, routing, the door, the path's ids, the body's type, size, syntax and model,
then one RPC, or the route's handler. Whatever goes wrong leaves as {code, message, details, hint}
with the same headers as success.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache
from time import perf_counter
from typing import Any

import functions_framework.aio
from pydantic_core import from_json, to_json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from shared import logs, telemetry
from shared.auth import Caller, Door
from shared.database import Database
from shared.errors import Problem
from shared.jwks import KeySet
from shared.models import Body, parse_body, parse_query
from shared.routing import Answer, Event, Function, Route, locate
from shared.settings import Settings, settings

MAX_BODY = 1024 * 1024
BODY_SECONDS = 30.0
ALLOW_HEADERS = (
    "authorization, apikey, content-type, accept, x-client-info, x-retry-count, x-request-id, "
    "x-region, x-supabase-api-version, traceparent, tracestate, baggage"
)
ALLOW_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
EXPOSE_HEADERS = "Retry-After, Server-Timing, X-Request-Id, Content-Disposition"
MAX_AGE = "86400"

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{7,63}")
_ADDRESS = re.compile(r"[0-9A-Fa-f.:\[\]]{2,60}", re.ASCII)
_JSON_TYPE = re.compile(r"application/(?:[a-z0-9.!#$&^_-]+\+)?json", re.IGNORECASE)

Target = Callable[[Request], Awaitable[Response]]

# What every target serves beside its own functions.
_everywhere: list[Function] = []


class _App:
    """What calls share: settings, the door, the database. Nothing about any user."""

    def __init__(self, config: Settings) -> None:
        self.config = config
        self.door = Door(config, KeySet(config.jwks_url, config.jwks))
        self.database = Database(config)
        # One for the process, since servers fork before the first call.
        self.telemetry = telemetry.configure(config)
        self.any_origin = "*" in config.allowed_origins
        logs.configure(config.log_level)


@cache
def app() -> _App:
    """This process's parts, made at the first call (or earlier, to fail early)."""
    return _App(settings())


def everywhere(function: Function) -> None:
    """Serve `function` with every target, under its name."""
    _everywhere.append(function)


def target(name: str, *functions: Function) -> Target:
    """A functions-framework target that serves `functions`.

    With a single function its name may be left out of the path; with several it picks the function.
    """

    async def serve(request: Request) -> Response:
        return await Call(request).answer(functions)

    # The framework looks targets up by name, and knows asynchronous ones by their __name__.
    serve.__name__ = serve.__qualname__ = name
    registered: Target = functions_framework.aio.http(serve)  # type: ignore[assignment]
    return registered


def visitor(request: Request, trusted: int) -> str | None:
    """The address that a request came from, or None when it cannot be told.

    The last `trusted` proxies have each written down whom they saw; what stands before that in
    X-Forwarded-For is the visitor's own invention. With none, the connection's peer.
    """
    hops = [
        hop.strip()
        for line in request.headers.getlist("x-forwarded-for")
        for hop in line.split(",")
    ]
    if trusted:
        found = hops[-trusted] if len(hops) >= trusted else ""
    else:
        found = request.client.host if request.client else ""
        # The server under us (uvicorn) believes the header when the peer is on loopback.
        if any(found in hop for hop in hops):
            found = ""
    return found if _ADDRESS.fullmatch(found) else None


class Call:
    """One request on its way through the boundary, with what its log line needs.

    A handler reads `request` (its headers), `config`, `caller`, `ids` and `body`, and calls `rpc`.
    """

    config: Settings
    database: Database
    body: Body

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
        self.events: list[str] = []

    async def answer(self, functions: tuple[Function, ...]) -> Response:
        """The response, whatever happens."""
        shared: _App | None = None
        try:
            shared = app()
            if self.request.method == "OPTIONS":
                answer = Answer(b"", 204, headers={"Allow": ALLOW_METHODS})
            else:
                answer = await self._run(shared, functions)
        except Problem as problem:
            answer = Answer(to_json(problem.body()), problem.status, headers=problem.headers)
            self.error = problem.code
        except ClientDisconnect:
            answer, self.error = Answer(b"", 499), "client_closed"
        except Exception as error:
            fault = Problem("internal_error")
            answer = Answer(to_json(fault.body()), fault.status)
            self.error = fault.code
            logs.write("ERROR", f"unexpected: {logs.fault(error)}")
        self.timings["total"] = perf_counter() - self.began
        headers = self._headers(shared, answer)
        if answer.stream is not None and self.request.method != "HEAD":
            stream = self._sent(shared, answer, answer.stream)
            return StreamingResponse(stream, answer.status, headers)
        # For HEAD the server leaves the body out.
        response = Response(answer.content, answer.status, headers)
        self._ended(shared, answer.status, len(answer.content))
        return response

    async def _sent(
        self, shared: _App | None, answer: Answer, stream: AsyncIterator[bytes]
    ) -> AsyncIterator[bytes]:
        """A body that is made while it is sent; what is told of the call is told of the whole."""
        size, closed = 0, "client_closed"
        try:
            yield answer.content
            size += len(answer.content)
            async for part in stream:
                yield part
                size += len(part)
            closed = ""
        finally:
            self.error = self.error or closed or None
            self.timings["total"] = perf_counter() - self.began
            self._ended(shared, answer.status, size)

    def _ended(self, shared: _App | None, status: int, size: int) -> None:
        self._log(shared, status, size)
        if shared is not None and shared.telemetry is not None:
            shared.telemetry.call(self, status)

    async def _run(self, shared: _App, functions: tuple[Function, ...]) -> Answer:
        request = self.request
        self.config, self.database = shared.config, shared.database
        self.function, path = locate(functions, request.scope["path"], _everywhere)
        self.route, raw_ids = self.function.find(request.method, path)

        if self.route.who != "machine":
            started = perf_counter()
            try:
                self.caller = await shared.door.caller(
                    request.headers.getlist("authorization"), request.headers.get("apikey")
                )
            finally:
                self.timings["auth"] = perf_counter() - started
            if self.caller is None and self.route.who == "user":
                raise Problem("not_authenticated")

        self.ids = self.route.arguments(raw_ids)
        self.body = Body()
        if request.method in ("GET", "HEAD"):
            self.body = parse_query(self.route.body, request.query_params.multi_items())
        elif self.route.body is not None:
            self.body = parse_body(self.route.body, await self._read())

        if self.route.handler is not None:
            return await self.route.handler(self)
        answer = await self.rpc()
        if self.route.method != "GET":
            try:
                self._report(self.route, answer)
            except Exception as error:  # the work is done: a line less is no reason to deny it
                logs.write("ERROR", f"report failed: {logs.fault(error)}")
        return Answer(answer, self.route.status)

    async def rpc(self, **more: Any) -> bytes:
        """The answer of the route's RPC, called as the caller (or as nobody). Raises Problem.

        `more` are arguments beside those of path and body, or instead of them.
        """
        if self.route is None or self.route.rpc is None:
            raise TypeError("this route has no RPC")
        started = perf_counter()
        try:
            return await self.database.call(
                self.route.rpc,
                {**self.ids, **self.body.arguments(), **more},
                token=self.caller.token if self.caller else None,
                request_id=self.id,
                visitor=visitor(self.request, self.config.trusted_proxies),
            )
        finally:
            self.timings["db"] = perf_counter() - started

    def accepts(self, *types: str) -> str:
        """Which of the media types the caller likes best; the first when it does not say."""
        accepted = parse_accept_header(self.request.headers.get("accept"), MIMEAccept)
        return accepted.best_match(types, default=types[0])

    async def _read(self) -> bytes:
        """The body's bytes.

        Raises Problem body_too_large, body_too_slow or unsupported_media_type.
        """
        headers = self.request.headers
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > MAX_BODY:
            raise Problem("body_too_large")
        parts: list[bytes] = []
        size = 0
        # The length is only a claim, and a chunked body makes none: count what comes.
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in self.request.stream():
                    size += len(part)
                    if size > MAX_BODY:
                        raise Problem("body_too_large")
                    parts.append(part)
        except TimeoutError:
            raise Problem("body_too_slow", headers={"Connection": "close"}) from None
        content_type = headers.get("content-type", "application/json").partition(";")[0].strip()
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if size and (encoding != "identity" or not _JSON_TYPE.fullmatch(content_type)):
            raise Problem("unsupported_media_type")
        return b"".join(parts)

    def _headers(self, shared: _App | None, answer: Answer) -> dict[str, str]:
        timing = ", ".join(f"{name};dur={took * 1000:.1f}" for name, took in self.timings.items())
        headers = {
            "Access-Control-Expose-Headers": EXPOSE_HEADERS,
            "X-Content-Type-Options": "nosniff",
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
            headers["Content-Type"] = answer.type
            # Answers are one caller's own, and refusals pass: neither is for a cache.
            headers["Cache-Control"] = "no-store"
        vary = [value["Vary"] for value in (headers, answer.headers) if "Vary" in value]
        headers.update(answer.headers)
        if vary:
            headers["Vary"] = ", ".join(vary)
        return headers

    def _report(self, route: Route, raw: bytes) -> None:
        """Log lines for what a command did: its events, or that it had been done already."""
        answer = from_json(raw)
        if not isinstance(answer, dict):
            return
        user = self.caller.user_id if self.caller else None
        events: list[Event] = []
        if answer.get("changed") is False:
            events.append(Event("repeated", {"user": user, **self._subject()}))
        if route.report is not None:
            events += route.report(user, self.body, answer)
        for event in events:
            self.events.append(event.name)
            logs.write("INFO", event.name, {event.name: event.facts, **self._labels()})

    def _subject(self) -> dict[str, Any]:
        return {name[2:].removesuffix("_id"): value for name, value in self.ids.items()}

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
        if self.ids.keys() & {"p_code", "p_token"} and self.function and self.route:
            # Whoever knows a code may see whose certificate it is.
            path = f"/{self.function.name}/{self.route.path}"
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
