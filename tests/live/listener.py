"""Somebody who listens, by the bare protocol, and may say what no client library would say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import aiohttp

from tests.stack import Stack

SECONDS = 10.0


class Listener:
    """A websocket of Realtime's protocol, version 1.0.0 or 2.0.0."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, version: str) -> None:
        self._socket = socket
        self._version = version
        self._refs = 0
        # Everything that came, as (topic, event, payload).
        self.heard: list[tuple[str, str, dict[str, Any]]] = []

    async def send(self, topic: str, event: str, payload: Any) -> str:
        """Send a message and return its reference."""
        self._refs += 1
        ref = str(self._refs)
        if self._version == "2.0.0":
            await self._socket.send_json([ref, ref, topic, event, payload])
        else:
            message = {"topic": topic, "event": event, "payload": payload, "ref": ref}
            await self._socket.send_json(message | {"join_ref": ref})
        return ref

    async def ask(self, topic: str, event: str, payload: Any) -> dict[str, Any]:
        """Send a message and wait for its reply: {status, response}."""
        ref = await self.send(topic, event, payload)
        while True:
            _, kind, told, answered = await self._next()
            if kind == "phx_reply" and answered == ref:
                return told

    async def join(
        self, channel: str, token: str | None = None, private: bool = True, **config: Any
    ) -> str:
        """Ask to join a channel; "ok", or the reason why not."""
        payload: dict[str, Any] = {"config": {"private": private, **config}}
        if token is not None:
            payload["access_token"] = token
        reply = await self.ask(f"realtime:{channel}", "phx_join", payload)
        return "ok" if reply["status"] == "ok" else str(reply["response"]["reason"])

    async def until(self, event: str) -> dict[str, Any]:
        """Wait for an event of the protocol and return its payload."""
        while True:
            _, kind, payload, _ = await self._next()
            if kind == event:
                return payload

    async def news(self) -> dict[str, Any]:
        """Wait for a broadcast: {event, payload, meta}."""
        return await self.until("broadcast")

    async def drain(self) -> list[dict[str, Any]]:
        """All broadcasts so far: what was sent before a heartbeat is answered has come then."""
        await self.ask("phoenix", "heartbeat", {})
        return [payload for _, event, payload in self.heard if event == "broadcast"]

    async def _next(self) -> tuple[str, str, dict[str, Any], str | None]:
        frame = await self._socket.receive(timeout=SECONDS)
        if frame.type is aiohttp.WSMsgType.BINARY:
            topic, event, payload = _user_broadcast(frame.data)
            ref = None
        else:
            assert frame.type is aiohttp.WSMsgType.TEXT, frame
            data = json.loads(frame.data)
            if self._version == "2.0.0":
                _, ref, topic, event, payload = data
            else:
                ref, topic, event, payload = (
                    data[name] for name in ("ref", "topic", "event", "payload")
                )
        self.heard.append((topic, event, payload))
        return topic, event, payload, ref


def _user_broadcast(data: bytes) -> tuple[str, str, dict[str, Any]]:
    """A broadcast as version 2.0.0 packs it, in the form of version 1.0.0."""
    kind, topic_size, event_size, meta_size, encoding = data[:5]
    assert (kind, encoding) == (4, 1)
    ends = [5, 5 + topic_size, 5 + topic_size + event_size]
    ends.append(ends[-1] + meta_size)
    topic, event, meta = (data[a:b].decode() for a, b in pairwise(ends))
    told = {"type": "broadcast", "event": event, "payload": json.loads(data[ends[3] :])}
    return topic, "broadcast", told | {"meta": json.loads(meta)}


@asynccontextmanager
async def listening(
    stack: Stack, version: str = "2.0.0", key: str | None = None
) -> AsyncIterator[Listener]:
    """Open a connection with the publishable key, or another."""
    url = f"{stack.api_url.replace('http', 'ws', 1)}/realtime/v1/websocket"
    query = {"apikey": key or stack.publishable_key, "vsn": version}
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, params=query) as socket,
    ):
        yield Listener(socket, version)


async def quiet(seconds: float = 0.5) -> None:
    """Give what should not come the time to come."""
    await asyncio.sleep(seconds)
