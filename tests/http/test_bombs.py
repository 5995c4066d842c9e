"""What is meant to exhaust: bodies that never come or nest without end, floods of headers.

Straight at the functions, where no gateway helps. Honest callers are served meanwhile and after.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import httpx
import pytest

from functions import FUNCTIONS
from shared.routing import Function, Route
from tests.http.test_routes import path, routes
from tests.stack import Stack
from tests.support.learners import Learner

BOMBS = {
    "depth": b'{"events":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "open depth": b"[" * 1_000_000,
    "objects": b'{"a":' * 150_000 + b"1" + b"}" * 150_000,
    "one number": b'{"seconds":' + b"9" * 1_000_000 + b"}",
    "an exponent": b'{"seconds":1e999999999}',
    "one name": b'{"' + b"a" * 1_000_000 + b'":1}',
    "many names": b"{" + b",".join(b'"k%d":1' % n for n in range(60_000)) + b"}",
    "one name many times": b"{" + b",".join([b'"reason":"x"'] * 60_000) + b"}",
    "NUL": b'{"reason":"a\\u0000b"}',
    "a lone surrogate": b'{"reason":"\\ud800"}',
    "half a character": b'{"reason":"\xff\xfe"}',
    "right to left": '{"reason":"\u202eabc\u2066"}'.encode(),
}


@pytest.fixture(scope="module")
def direct(stack: Stack) -> Iterator[httpx.Client]:
    url = stack.extra("FUNCTIONS_DIRECT_URL")
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        yield client


def first_of_its_body(route: Route) -> bool:
    """One route for each model of a body; what is before the model is the same for all."""
    same = [other for function in FUNCTIONS for other in function.routes if takes(other)]
    return takes(route) and next(o for o in same if o.body is route.body) is route


def takes(route: Route) -> bool:
    return route.method != "GET" and route.body is not None


@routes(first_of_its_body)
def test_a_bomb_is_refused_and_costs_little(
    direct: httpx.Client, learner: Learner, function: Function, route: Route
) -> None:
    explode(direct, learner, function, route)


@pytest.mark.long
@routes(lambda route: takes(route) and not first_of_its_body(route))
def test_a_bomb_is_refused_by_every_route(
    direct: httpx.Client, learner: Learner, function: Function, route: Route
) -> None:
    explode(direct, learner, function, route)


def explode(direct: httpx.Client, learner: Learner, function: Function, route: Route) -> None:
    headers = {**learner.headers(), "Content-Type": "application/json"}
    for name, bomb in BOMBS.items():
        answer = direct.request(route.method, path(function, route), headers=headers, content=bomb)
        assert 400 <= answer.status_code < 500, (name, answer.text)
        assert answer.headers["content-type"].startswith("application/json")
        # It names what is wrong and repeats nothing of it.
        assert len(answer.content) < 20_000, name


def connection(stack: Stack) -> socket.socket:
    url = urlsplit(stack.extra("FUNCTIONS_DIRECT_URL"))
    return socket.create_connection((url.hostname, url.port), timeout=30)


def test_many_slow_bodies_keep_nobody_waiting(
    stack: Stack, direct: httpx.Client, learner: Learner
) -> None:
    head = (
        "POST /progress/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: {learner.headers()['Authorization']}\r\nContent-Length: 1000\r\n\r\n{{"
    )
    with ExitStack() as ends:
        slow = [ends.enter_context(connection(stack)) for _ in range(100)]
        for each in slow:
            each.sendall(head.encode())
        for _ in range(5):
            for each in slow:
                each.sendall(b" ")
            answer = direct.get("/progress/programs", headers=learner.headers())
            assert answer.status_code == 200


@pytest.mark.parametrize("flood", ["one header", "many headers", "path"])
def test_a_flood_of_headers_is_cut(stack: Stack, direct: httpx.Client, flood: str) -> None:
    """The server hangs up long before it has taken 16 MB."""
    block = b"x" * 65536
    begin, more = {
        "one header": (b"GET /health HTTP/1.1\r\nHost: x\r\nX-Flood: ", block),
        "many headers": (b"GET /health HTTP/1.1\r\nHost: x\r\n", b"X-Flood: 1\r\n" * 5000),
        "path": (b"GET /", block),
    }[flood]
    sent = 0
    with connection(stack) as flooding:
        flooding.sendall(begin)
        flooding.settimeout(5)
        try:
            while sent < 16 * 2**20:
                flooding.sendall(more)
                sent += len(more)
        except OSError:
            pass
    assert sent < 8 * 2**20
    assert direct.get("/health").status_code == 200


def test_a_connection_may_idle_longer_than_front_ends_let_it(stack: Stack) -> None:
    """Gunicorn's own limit is 2 s: a front end's next call could meet the end of its connection."""
    url = urlsplit(stack.extra("FUNCTIONS_DIRECT_URL"))
    assert url.hostname is not None
    with closing(HTTPConnection(url.hostname, url.port, timeout=10)) as connection:
        connection.request("GET", "/health")
        assert connection.getresponse().read()
        kept = connection.sock
        time.sleep(2.5)
        connection.request("GET", "/health")
        assert connection.getresponse().status == 200
        assert connection.sock is kept


RPC_BOMBS = {
    "string": ("\x00", "\ud800", "\u202e" * 1000, "x" * 300_000),
    "integer": (10**30, -(10**30), 1.5, "x"),
    "number": (10**400, "x"),
    "boolean": ("maybe",),
    "array": (["\x00"], [[[]]], "x"),
    None: ({"a": "\x00"}, {"a": "\ud800"}, [10**400]),
}
DEEP = b'{"a":' * 30_000 + b"1" + b"}" * 30_000


def test_no_rpc_has_a_fault_of_its_own(stack: Stack, learner: Learner) -> None:
    """Straight at PostgREST's door, each argument of each RPC with what it cannot be."""
    headers = {**learner.headers(), "Content-Type": "application/json"}
    faults = []
    secret = {"apikey": stack.secret_key}
    with httpx.Client(base_url=f"{stack.api_url}/rest/v1", timeout=60) as rest:
        paths = rest.get("/", headers=secret).json()["paths"]
        for path, methods in paths.items():
            if not path.startswith("/rpc/"):
                continue
            [body] = [
                entry["schema"]
                for entry in methods["post"]["parameters"]
                if entry.get("in") == "body"
            ]
            kinds = {name: told.get("type") for name, told in body.get("properties", {}).items()}
            for turn in range(3):
                given = {
                    name: RPC_BOMBS[kind][turn % len(RPC_BOMBS[kind])]
                    for name, kind in kinds.items()
                }
                answer = rest.post(path, headers=headers, content=json.dumps(given))
                if answer.status_code >= 500:
                    faults.append((path, turn, answer.text[:200]))
            for name in [name for name, kind in kinds.items() if kind is None][:1]:
                deep = b'{"%s":%s}' % (name.encode(), DEEP)
                answer = rest.post(path, headers=headers, content=deep)
                if answer.status_code >= 500:
                    faults.append((path, name, answer.text[:200]))
    assert faults == []
