"""The doors to one and the same operation: the function, PostgREST, the database, the gateway.

Each door turns a learner's operation into the bytes, or the statement, that a client would send.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Protocol

import psycopg
from psycopg import sql

from bench.client import Connection, Send
from bench.learners import Learner, Operation
from bench.target import Target

# As many sessions as PostgREST keeps.
SESSIONS = 20


class Door(Protocol):
    """A way in. Opened for a number of learners who act at the same time."""

    name: str

    async def open(self, learners: int) -> None:
        """Make connections for so many."""

    def worker(self, number: int, operation: Operation) -> Send:
        """What learner number so-and-so does over and over."""

    async def close(self) -> None:
        """End the connections."""


class Http:
    """A door that speaks HTTP; one connection per learner."""

    def __init__(self, name: str, url: str, headers: Mapping[str, str], rpc: bool) -> None:
        self.name = name
        self._url = url
        self._headers = headers
        self._rpc = rpc
        self._connections: list[Connection] = []

    async def open(self, learners: int) -> None:
        while len(self._connections) < learners:
            self._connections.append(Connection.to(self._url))

    async def close(self) -> None:
        for connection in self._connections:
            connection.close()

    def request(self, learner: Learner, operation: Operation, lesson: str | None) -> bytes:
        """The whole request in bytes."""
        if self._rpc:
            method, path = "POST", f"/rpc/{operation.rpc}"
            body = json.dumps(operation.arguments(learner, lesson)).encode()
        else:
            method, path, fields = operation.route(learner, lesson)
            body = json.dumps(fields).encode() if fields is not None else b""
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {self._url.partition('://')[2]}",
            f"Authorization: Bearer {learner.token}",
            *(f"{name}: {value}" for name, value in self._headers.items()),
        ]
        if method == "POST":
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def worker(self, number: int, operation: Operation) -> Send:
        connection = self._connections[number]
        work = operation.work(number)

        async def send() -> bool:
            learner, lesson = next(work)
            return await connection.send(self.request(learner, operation, lesson)) == 200

        return send


class Sql:
    """Straight into the database, as the role and with the claims that PostgREST would set."""

    name = "SQL"

    def __init__(self, db_url: str) -> None:
        self._db_url = db_url
        self._opened: list[psycopg.AsyncConnection[Any]] = []
        # Locks hand a session on in the order in which learners ask for it.
        self._locks: list[asyncio.Lock] = []

    async def open(self, learners: int) -> None:
        while len(self._opened) < min(learners, SESSIONS):
            session = await psycopg.AsyncConnection.connect(self._db_url, autocommit=True)
            await session.execute("set role authenticated")
            self._opened.append(session)
            self._locks.append(asyncio.Lock())

    async def close(self) -> None:
        for session in self._opened:
            await session.close()

    def worker(self, number: int, operation: Operation) -> Send:
        work = operation.work(number)
        session = self._opened[number % len(self._opened)]
        lock = self._locks[number % len(self._locks)]
        statement: sql.Composed | None = None

        async def send() -> bool:
            nonlocal statement
            learner, lesson = next(work)
            arguments = operation.arguments(learner, lesson)
            if statement is None:
                statement = _statement(operation.rpc, arguments)
            try:
                async with lock:
                    await session.execute(statement, [learner.claims, *arguments.values()])
            except psycopg.Error:
                return False
            return True

        return send


def _statement(rpc: str, arguments: Mapping[str, Any]) -> sql.Composed:
    # Materialized, so that the claims stand before the call begins; one statement, one round trip.
    return sql.SQL(
        "with claims as materialized (select set_config('request.jwt.claims', %s, true)) "
        "select public.{}({}) from claims"
    ).format(
        sql.Identifier(rpc),
        sql.SQL(", ").join(sql.SQL("{} => %s").format(sql.Identifier(name)) for name in arguments),
    )


def doors(target: Target, with_gateway: bool) -> list[Door]:
    """The doors of a stack."""
    headers = {"apikey": target["PUBLISHABLE_KEY"]}
    found: list[Door] = [
        Http("function", target["FUNCTIONS_DIRECT_URL"], headers, rpc=False),
        Http("PostgREST", target["POSTGREST_URL"], headers, rpc=True),
        Sql(target["DB_URL"]),
    ]
    if with_gateway:
        found.append(Http("gateway", target["API_URL"], headers, rpc=False))
    return found
