"""A wire that loses, doubles and delays what goes through it: a proxy between two parts."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

FAULTS = {"lost request": 0.06, "lost answer": 0.06, "doubled request": 0.06, "late": 0.06}


class FaultyWire:
    """Passes HTTP on; counts what it did wrong."""

    def __init__(self, host: str, port: int, seed: int) -> None:
        self._upstream = (host, port)
        self._chance = random.Random(seed)
        self.url = ""
        self.faults: Counter[str] = Counter()

    async def serve(self, up: threading.Event, ended: asyncio.Event) -> None:
        """Listen on a port of its own until it is told to end."""
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        up.set()
        await ended.wait()
        server.close()

    async def _pass_on(self, ours: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError, asyncio.IncompleteReadError):
            theirs, forth = await asyncio.open_connection(*self._upstream)
            try:
                while True:
                    request = await _message(ours)
                    fault = self._fault()
                    self.faults[fault] += 1
                    if fault == "lost request":
                        break
                    if fault == "late":
                        await asyncio.sleep(self._chance.uniform(0.05, 0.4))
                    if fault == "doubled request":
                        await self._once_more(request)
                    forth.write(request)
                    answer = await _message(theirs)
                    if fault == "lost answer":
                        break
                    back.write(answer)
                    await back.drain()
            finally:
                forth.close()
        back.close()

    async def _once_more(self, request: bytes) -> None:
        theirs, forth = await asyncio.open_connection(*self._upstream)
        forth.write(request)
        await _message(theirs)
        forth.close()

    def _fault(self) -> str:
        dice = self._chance.random()
        for fault, share in FAULTS.items():
            if dice < share:
                return fault
            dice -= share
        return "none"


async def _message(stream: asyncio.StreamReader) -> bytes:
    """One whole HTTP message."""
    head = await stream.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    for line in lines:
        if line.startswith(b"content-length:"):
            return head + await stream.readexactly(int(line.partition(b":")[2]))
    if b"transfer-encoding: chunked" not in lines:
        return head
    whole = head
    while True:
        size = await stream.readuntil(b"\r\n")
        chunk = await stream.readexactly(int(size, 16) + 2)
        whole += size + chunk
        if size.strip() == b"0":
            return whole


@contextmanager
def faulty_wire(host: str, port: int, seed: int) -> Iterator[FaultyWire]:
    """A wire to (host, port), in a thread of its own."""
    wire, up, ended = FaultyWire(host, port, seed), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(wire.serve(up, ended))
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.1))
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    up.wait()
    try:
        yield wire
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
