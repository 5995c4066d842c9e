"""The load generator: raw HTTP/1.1 on one event loop, as little Python per request as possible.

Its own ceiling is measured against a server that does nothing (`bench.ceiling`) and reported, so
that nobody takes the generator's limit for the product's.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import httptools

# What a worker does over and over: send one request, and say whether it was answered well.
Send = Callable[[], Awaitable[bool]]

GRACE_SECONDS = 15.0


class Connection(asyncio.Protocol):
    """One keep-alive connection that has at most one request under way."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        self._waiting: asyncio.Future[int] | None = None
        self._body: list[bytes] | None = None
        self._heard = False

    @classmethod
    def to(cls, url: str) -> Connection:
        """A connection, not yet open, to the host of a URL."""
        parts = urlsplit(url)
        return cls(parts.hostname or "127.0.0.1", parts.port or 80)

    async def send(self, request: bytes, body: list[bytes] | None = None) -> int:
        """Send a request and return the status of its answer; 0 when the connection was lost.

        A server may end an idle connection just as we send; like a browser, we then send again.
        """
        while True:
            reused = self._transport is not None and not self._transport.is_closing()
            self._heard = False
            status = await self._send(request, body)
            if status or self._heard or not reused:
                return status

    async def _send(self, request: bytes, body: list[bytes] | None) -> int:
        loop = asyncio.get_running_loop()
        if self._transport is None or self._transport.is_closing():
            try:
                await loop.create_connection(lambda: self, *self._address)
            except OSError:
                return 0
        assert self._transport is not None
        self._body = body
        self._waiting = loop.create_future()
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        self._heard = True
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._finish(0)

    def _finish(self, status: int) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(status)

    # httptools

    def on_body(self, data: bytes) -> None:
        if self._body is not None:
            self._body.append(data)

    def on_message_complete(self) -> None:
        self._finish(self._parser.get_status_code())


@dataclass
class Window:
    """What one window of load gave."""

    latencies: list[float] = field(default_factory=list)
    failures: int = 0
    seconds: float = 0.0
    # Open loop: how late the generator itself was in sending to a learner who was free.
    lags: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0


async def closed_loop(workers: Sequence[Send], seconds: float) -> Window:
    """Every worker sends its next request as soon as it has the answer to the last."""
    window = Window()
    began = perf_counter()
    until = began + seconds

    async def work(send: Send) -> None:
        while (sent := perf_counter()) < until:
            if await send():
                window.latencies.append(perf_counter() - sent)
            else:
                window.failures += 1

    await asyncio.wait_for(_all(work(send) for send in workers), seconds + GRACE_SECONDS)
    window.seconds = perf_counter() - began
    return window


async def open_loop(
    workers: Sequence[Send], per_second: float, seconds: float, seed: int
) -> Window:
    """Requests leave at random (Poisson) instants, whatever the answers do.

    Every request has a learner, and a learner has one request under way; latency counts from the
    instant at which the request was meant to leave, so that waiting behind a slow answer shows.
    """
    window = Window()
    choice = random.Random(seed)
    queues: list[asyncio.Queue[float]] = [asyncio.Queue() for _ in workers]

    async def work(send: Send, queue: asyncio.Queue[float]) -> None:
        while (intended := await queue.get()) >= 0:
            if await send():
                window.latencies.append(perf_counter() - intended)
            else:
                window.failures += 1

    async def schedule() -> None:
        at = perf_counter()
        until = at + seconds
        while (at := at + choice.expovariate(per_second)) < until:
            if (ahead := at - perf_counter()) > 0:
                await asyncio.sleep(ahead)
            window.lags.append(max(0.0, perf_counter() - at))
            queues[choice.randrange(len(queues))].put_nowait(at)
        for queue in queues:
            queue.put_nowait(-1.0)

    began = perf_counter()
    jobs = [work(send, queue) for send, queue in zip(workers, queues, strict=True)]
    await asyncio.wait_for(_all([*jobs, schedule()]), seconds + GRACE_SECONDS)
    window.seconds = perf_counter() - began
    return window


async def _all(jobs: Any) -> None:
    # A group, so that the first unexpected error ends the rest.
    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(job)
