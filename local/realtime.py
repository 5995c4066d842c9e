"""LOCAL ONLY: stands in for Supabase Realtime where its server cannot be had.

It speaks Realtime's websocket protocol (Phoenix channels, versions 1.0.0 and 2.0.0) to unchanged
clients, as far as broadcasts from the database go: who may join a private channel is asked of the
policies on `realtime.messages`, as the subscriber; what is inserted there comes by logical
replication. It knows no presence, no changes of tables and no messages from clients, and says so.
Never deploy it.

It runs as a process of its own: `python -m local.realtime <stack>`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
import psycopg
import uvloop
from aiohttp import WSMsgType, web

from local import database, keys
from local.ports import HOST
from local.replication import Row, inserted
from local.stack import Stack

PUBLICATION = "supabase_realtime_messages_publication"
PREFIX = "realtime:"
# A client that does not read is let go rather than waited for.
WAITING_MESSAGES = 1000
CHANNELS = 100
PAUSE_SECONDS = 0.5
UPKEEP_SECONDS = 3600.0
ROLES = frozenset(["anon", "authenticated", "service_role"])
USER_BROADCAST = 4
# The protocol has a byte for the length, the prefix included.
LONGEST_NAME = 240

Claims = Mapping[str, Any]


class Refusal(Exception):
    """A token or a channel that is refused, with Realtime's own code and words."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Tokens:
    """Verifies tokens as the stack's other parts do."""

    def __init__(self, secret: str, signing_key: str) -> None:
        key = keys.public_jwk(signing_key)
        self._known = {"HS256": secret, "ES256": jwt.PyJWK(key).key}

    def claims(self, token: str) -> Claims:
        """Return a token's claims. Raises Refusal for one that is forged, expired or of no role."""
        signature = Refusal("JwtSignatureError", "Failed to validate JWT signature")
        try:
            algorithm = jwt.get_unverified_header(token).get("alg", "")
            if algorithm not in self._known:
                raise signature
            claims: Claims = jwt.decode(
                token,
                self._known[algorithm],
                algorithms=[algorithm],
                options={"verify_aud": False, "require": ["exp", "role"]},
            )
        except jwt.ExpiredSignatureError as problem:
            raise Refusal("InvalidJWTToken", "Token has expired") from problem
        except jwt.MissingRequiredClaimError as problem:
            text = "Fields `role` and `exp` are required in JWT"
            raise Refusal("InvalidJWTToken", text) from problem
        except jwt.InvalidSignatureError as problem:
            raise signature from problem
        except jwt.InvalidTokenError as problem:
            text = "The token provided is not a valid JWT"
            raise Refusal("MalformedJWT", text) from problem
        if claims["role"] not in ROLES:
            raise Refusal("Unauthorized", "The token's role may not listen")
        return claims


class Policies:
    """Asks the database, as the subscriber, whether a private channel may be heard."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._turn = asyncio.Lock()

    async def let(self, claims: Claims, topic: str) -> bool:
        """Say whether the policies on realtime.messages let these claims read this topic.

        As Realtime does: write a message, look whether the subscriber sees it, and take it back.
        """
        probe = uuid.uuid4()
        async with self._turn:
            try:
                connection = await self._connected()
                async with connection.transaction(force_rollback=True):
                    await connection.execute(
                        "insert into realtime.messages (id, topic, extension)"
                        " values (%s, %s, 'broadcast')",
                        [probe, topic],
                    )
                    await connection.execute(
                        "select set_config('role', %s, true),"
                        " set_config('realtime.topic', %s, true),"
                        " set_config('request.jwt.claims', %s, true),"
                        " set_config('request.jwt.claim.sub', %s, true),"
                        " set_config('request.jwt.claim.role', %s, true)",
                        [
                            claims["role"],
                            topic,
                            json.dumps(claims),
                            str(claims.get("sub", "")),
                            claims["role"],
                        ],
                    )
                    cursor = await connection.execute(
                        "select from realtime.messages where id = %s", [probe]
                    )
                    return cursor.rowcount == 1
            except psycopg.Error as problem:
                # A policy that fails lets nobody in.
                say(f"{topic}: {problem}")
                return False

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = await psycopg.AsyncConnection.connect(
                self._url, autocommit=True, application_name="waymark realtime", connect_timeout=5
            )
        return self._connection

    async def close(self) -> None:
        """End the connection."""
        if self._connection:
            await self._connection.close()


@dataclass(eq=False)
class Channel:
    """One client's membership in one topic."""

    socket: Socket
    topic: str
    join_ref: str | None
    is_private: bool
    token: str
    end: asyncio.TimerHandle | None = None

    @property
    def name(self) -> str:
        """The topic as the application knows it."""
        return self.topic.removeprefix(PREFIX)


@dataclass(eq=False)
class Socket:
    """One client's connection."""

    ws: web.WebSocketResponse
    version: str
    token: str
    channels: dict[str, Channel] = field(default_factory=dict)
    waiting: asyncio.Queue[str | bytes] = field(
        default_factory=lambda: asyncio.Queue(WAITING_MESSAGES)
    )
    writer: asyncio.Task[None] | None = None

    def push(
        self, topic: str, event: str, payload: Any, ref: str | None, join_ref: str | None = None
    ) -> None:
        """Queue a message in the client's version of the protocol."""
        if self.version == "2.0.0":
            self.put(json.dumps([join_ref, ref, topic, event, payload]))
            return
        message = {"topic": topic, "event": event, "payload": payload, "ref": ref}
        self.put(json.dumps(message | ({"join_ref": join_ref} if join_ref else {})))

    def reply(self, message: Message, status: str, response: Any) -> None:
        """Answer a client's message."""
        payload = {"status": status, "response": response}
        self.push(message.topic, "phx_reply", payload, message.ref, message.join_ref)

    def put(self, data: str | bytes) -> None:
        """Queue what is encoded already."""
        try:
            self.waiting.put_nowait(data)
        except asyncio.QueueFull:
            say("a client does not read; letting it go")
            if self.writer:
                self.writer.cancel()

    async def write(self) -> None:
        """Send what is queued, until the connection ends."""
        try:
            while True:
                data = await self.waiting.get()
                if isinstance(data, bytes):
                    await self.ws.send_bytes(data)
                else:
                    await self.ws.send_str(data)
        except ConnectionError:
            pass
        finally:
            await self.ws.close()


@dataclass(frozen=True)
class Message:
    """What a client sends."""

    topic: str
    event: str
    payload: Mapping[str, Any]
    ref: str | None
    join_ref: str | None

    @classmethod
    def read(cls, text: str, version: str) -> Message:
        """Decode a message of either version. Raises ValueError when it is none."""
        data = json.loads(text)
        try:
            if version == "2.0.0":
                join_ref, ref, topic, event, payload = data
            else:
                topic, event = data["topic"], data["event"]
                payload, ref, join_ref = (data.get(name) for name in ("payload", "ref", "join_ref"))
        except (TypeError, KeyError) as problem:
            raise ValueError("no message of this protocol") from problem
        if not isinstance(topic, str) or not isinstance(event, str):
            raise ValueError("no message of this protocol")
        return cls(topic, event, payload if isinstance(payload, dict) else {}, ref, join_ref)


class Realtime:
    """The server: sockets, their channels, and the messages that go to them."""

    def __init__(self, tokens: Tokens, policies: Policies) -> None:
        self._tokens = tokens
        self._policies = policies
        # A private and a public channel of one name have nothing to do with each other.
        self._members: dict[tuple[str, bool], set[Channel]] = defaultdict(set)
        self._sockets: set[Socket] = set()
        self.is_streaming = False

    async def health(self, request: web.Request) -> web.Response:
        """200 while messages flow."""
        return web.Response(status=200 if self.is_streaming else 503)

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Serve one client for as long as it stays. The gateway has turned its key into a token."""
        token = request.headers.get("X-Api-Key", "")
        try:
            self._tokens.claims(token)
        except Refusal as refusal:
            return web.json_response({"error": str(refusal)}, status=401)
        ws = web.WebSocketResponse(max_msg_size=2**20)
        await ws.prepare(request)
        socket = Socket(ws, request.query.get("vsn", "1.0.0"), token)
        socket.writer = asyncio.create_task(socket.write())
        self._sockets.add(socket)
        try:
            async for frame in ws:
                if frame.type == WSMsgType.TEXT:
                    await self._hear(socket, Message.read(frame.data, socket.version))
                # Binary frames carry what clients send to channels, which is not passed on here.
        except ValueError as problem:
            say(f"a client speaks something else: {problem}")
        finally:
            self._sockets.discard(socket)
            for channel in list(socket.channels.values()):
                self._leave(channel)
            socket.writer.cancel()
            await asyncio.gather(socket.writer, return_exceptions=True)
        return ws

    async def close(self) -> None:
        """Let all clients go."""
        for socket in list(self._sockets):
            await socket.ws.close(code=1001)
        await self._policies.close()

    # What clients say

    async def _hear(self, socket: Socket, message: Message) -> None:
        if message.topic == "phoenix":
            socket.reply(message, "ok", {})
        elif message.event == "phx_join":
            await self._join(socket, message)
        elif channel := socket.channels.get(message.topic):
            if message.event == "access_token":
                await self._renew(channel, message.payload.get("access_token"))
            elif message.event == "phx_leave":
                self._leave(channel)
                socket.reply(message, "ok", {})
                socket.push(channel.topic, "phx_close", {}, channel.join_ref, channel.join_ref)
            elif message.ref is not None:
                reason = "The local stand-in passes no messages of clients on"
                socket.reply(message, "error", {"reason": reason})
        else:
            socket.reply(message, "error", {"reason": "unmatched topic"})

    async def _join(self, socket: Socket, message: Message) -> None:
        if former := socket.channels.get(message.topic):
            self._leave(former)
        config = message.payload.get("config")
        config = config if isinstance(config, dict) else {}
        given = message.payload.get("access_token") or message.payload.get("user_token")
        token = given if isinstance(given, str) and not given.startswith("sb_") else socket.token
        is_private = config.get("private") in (True, "true")
        join_ref = message.join_ref or message.ref
        channel = Channel(socket, message.topic, join_ref, is_private, token)
        changes = config.get("postgres_changes")
        changes = changes if isinstance(changes, list) else []
        try:
            if not channel.topic.startswith(PREFIX) or not channel.name:
                raise Refusal("TopicNameRequired", "You must provide a topic name")
            if len(socket.channels) >= CHANNELS:
                raise Refusal("ChannelRateLimitReached", "Too many channels")
            claims = await self._admit(channel)
        except Refusal as refusal:
            socket.reply(message, "error", {"reason": f"{refusal.code}: {refusal}"})
            return
        socket.channels[channel.topic] = channel
        self._members[channel.name, channel.is_private].add(channel)
        self._end_at(channel, claims["exp"])
        known = [
            {"id": n, **change} for n, change in enumerate(changes) if isinstance(change, dict)
        ]
        socket.reply(message, "ok", {"postgres_changes": known})
        if known:
            reason = "The local stand-in knows no changes of tables"
            self._system(channel, reason, "postgres_changes")

    async def _admit(self, channel: Channel) -> Claims:
        """Check a channel's token and what it may hear. Raises Refusal."""
        claims = self._tokens.claims(channel.token)
        if channel.is_private and not await self._policies.let(claims, channel.name):
            raise Refusal(
                "Unauthorized",
                f"You do not have permissions to read from this Channel topic: {channel.name}",
            )
        return claims

    async def _renew(self, channel: Channel, token: Any) -> None:
        if not isinstance(token, str) or token.startswith("sb_") or token == channel.token:
            return
        channel.token = token
        try:
            claims = await self._admit(channel)
        except Refusal as refusal:
            self._shut(channel, str(refusal))
        else:
            self._end_at(channel, claims["exp"])

    def _end_at(self, channel: Channel, time_out: float) -> None:
        """Have the channel end with its token."""
        if channel.end:
            channel.end.cancel()
        seconds = max(0.0, time_out - time.time())
        loop = asyncio.get_running_loop()
        channel.end = loop.call_later(seconds, self._shut, channel, "Token has expired")

    def _shut(self, channel: Channel, reason: str) -> None:
        self._system(channel, reason, "system")
        self._leave(channel)
        channel.socket.push(channel.topic, "phx_close", {}, channel.join_ref, channel.join_ref)

    def _system(self, channel: Channel, text: str, extension: str) -> None:
        payload = {
            "extension": extension,
            "status": "error",
            "message": text,
            "channel": channel.name,
        }
        channel.socket.push(channel.topic, "system", payload, None, channel.join_ref)

    def _leave(self, channel: Channel) -> None:
        if channel.end:
            channel.end.cancel()
        members = self._members[channel.name, channel.is_private]
        members.discard(channel)
        if not members:
            del self._members[channel.name, channel.is_private]
        if channel.socket.channels.get(channel.topic) is channel:
            del channel.socket.channels[channel.topic]

    # What the database says

    async def stream(self, url: str) -> None:
        """Pass on what is inserted into realtime.messages, for ever."""
        while True:
            try:
                async with inserted(url, PUBLICATION) as rows:
                    self.is_streaming = True
                    async for row in rows:
                        self._pass_on(row)
            except psycopg.OperationalError as problem:
                say(str(problem))
            self.is_streaming = False
            await asyncio.sleep(PAUSE_SECONDS)

    def _pass_on(self, row: Row) -> None:
        name, event, payload = row["topic"], row["event"], row["payload"]
        if name is None or event is None or payload is None:
            return
        if max(len(name.encode()), len(event.encode())) > LONGEST_NAME:
            say(f"a name is too long for the protocol: {name[:80]} {event[:80]}")
            return
        members = self._members.get((name, row["private"] == "t"), ())
        topic, meta = PREFIX + name, {"id": row["id"]}
        for channel in members:
            if channel.socket.version == "2.0.0":
                channel.socket.put(user_broadcast(topic, event, json.dumps(meta), payload))
            else:
                told = {"type": "broadcast", "event": event, "payload": json.loads(payload)}
                channel.socket.push(topic, "broadcast", told | {"meta": meta}, None)


def user_broadcast(topic: str, event: str, meta: str, payload: str) -> bytes:
    """Encode a broadcast as version 2.0.0 has it: lengths, names, and the payload as JSON."""
    parts = [text.encode() for text in (topic, event, meta)]
    head = bytes([USER_BROADCAST, *map(len, parts), 1])
    return b"".join([head, *parts, payload.encode()])


async def keep_days(stack: Stack) -> None:
    """Make days of messages ahead, and drop old ones, while the stack stays up."""
    while True:
        await asyncio.sleep(UPKEEP_SECONDS)
        try:
            await database.prepare_realtime(stack)
        except (psycopg.Error, TimeoutError) as problem:
            say(str(problem))


def say(text: str) -> None:
    """Write a line to the part's log."""
    print(text, flush=True)


async def serve(stack: Stack) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    url = stack.database_url("supabase_admin")
    realtime = Realtime(Tokens(stack.secrets.jwt, stack.secrets.signing_key), Policies(url))
    app = web.Application()
    app.router.add_get("/health", realtime.health)
    app.router.add_get("/websocket", realtime.connect)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, stack.ports["realtime"]).start()
    tasks = [asyncio.create_task(realtime.stream(url)), asyncio.create_task(keep_days(stack))]
    await stop.wait()
    for task in tasks:
        task.cancel()
    await realtime.close()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks)
    await runner.cleanup()


def main() -> None:
    """Serve the stack named by the first argument."""
    stack = Stack(sys.argv[1])
    stack.load()
    uvloop.run(serve(stack))


if __name__ == "__main__":
    main()
