"""Nobody hears of another learner, whatever they ask for; nobody speaks on another's channel."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import jwt
import psycopg
import pytest

from tests.live.conftest import rpc
from tests.live.listener import Listener, listening, quiet
from tests.stack import Stack
from tests.support.catalog import Course
from tests.support.learners import Learner, make_learner

DENIED = "Unauthorized: You do not have permissions to read"


def test_no_subscriber_hears_of_another_learner(
    stack: Stack, learner: Learner, course: Course
) -> None:
    """All attackers at once, and the victim's own window, to prove that there is something."""
    attacker = make_learner(stack)
    own, mine = f"waymark:{learner.id}", attacker.token()
    elsewhere = jwt.encode(stack.claims(learner.id), "x" * 40, algorithm="HS256")
    unsigned = jwt.encode(stack.claims(learner.id), None, algorithm="none")
    superuser = stack.token(learner.id, role="supabase_admin")
    filters = [
        {"event": "*", "schema": "public", "table": table, **more}
        for table in ("enrollments", "user_progress", "notifications", "certificates")
        for more in ({}, {"filter": f"user_id=eq.{learner.id}"}, {"filter": "user_id=neq.x"})
    ]
    messages = [{"event": "*", "schema": "realtime", "table": "messages"}]
    # What is asked for, and what the answer begins with.
    attacks: dict[str, tuple[dict[str, Any], str]] = {
        "wrong topic": ({"channel": own, "token": mine}, DENIED),
        "no token": ({"channel": own}, DENIED),
        "public channel of that name": (
            {"channel": own, "token": mine, "private": False},
            "ok",
        ),
        "public channel, signed out": ({"channel": own, "private": False}, "ok"),
        "private, said oddly": ({"channel": own, "token": mine, "private": "true"}, DENIED),
        "neither": ({"channel": own, "token": mine, "private": 1.5}, "ok"),
        "expired token": (
            {"channel": own, "token": learner.token(exp=int(time.time()) - 1)},
            "InvalidJWTToken: Token has expired",
        ),
        "token without end": (
            {"channel": own, "token": learner.token(exp=None)},
            "InvalidJWTToken: Fields `role` and `exp`",
        ),
        "signed by another": ({"channel": own, "token": elsewhere}, "JwtSignatureError"),
        "unsigned": ({"channel": own, "token": unsigned}, "JwtSignatureError"),
        "role of a superuser": ({"channel": own, "token": superuser}, "Unauthorized"),
        "no token at all": ({"channel": own, "token": "nonsense"}, "MalformedJWT"),
        "everybody's topic": ({"channel": "waymark:*", "token": mine}, DENIED),
        "like": ({"channel": "waymark:%", "token": mine}, DENIED),
        "capitals": ({"channel": own.upper(), "token": mine}, DENIED),
        "a space": ({"channel": f"{own} ", "token": mine}, DENIED),
        "another prefix": ({"channel": f"user:{learner.id}", "token": mine}, DENIED),
        "changes of tables": (
            {"channel": "tables", "token": mine, "private": False, "postgres_changes": filters},
            "ok",
        ),
        "changes of messages": (
            {"channel": "all", "token": mine, "private": False, "postgres_changes": messages},
            "ok",
        ),
        "own channel, another's filter": (
            {"channel": f"waymark:{attacker.id}", "token": mine, "postgres_changes": filters},
            "ok",
        ),
        "what was told before": (
            {"channel": own, "token": mine, "broadcast": {"replay": {"since": 0}}},
            DENIED,
        ),
    }

    async def attack() -> tuple[dict[str, str], dict[str, list[Any]], dict[str, Any]]:
        async with AsyncExitStack() as opened:
            victim = await opened.enter_async_context(listening(stack))
            assert await victim.join(own, learner.token()) == "ok"
            listeners: dict[str, Listener] = {}
            answers = {}
            for number, (name, (asked, _)) in enumerate(attacks.items()):
                version = ("1.0.0", "2.0.0")[number % 2]
                listener = await opened.enter_async_context(listening(stack, version))
                listeners[name] = listener
                answers[name] = await listener.join(**asked)
            rpc(learner, "complete_lesson", p_lesson_id=course.lessons[0])
            heard = await victim.news()
            await quiet()
            leaked = {name: await listener.drain() for name, listener in listeners.items()}
        return answers, leaked, heard

    answers, leaked, heard = asyncio.run(attack())
    assert heard["event"] == "progress"
    wrong = {
        name: answers[name]
        for name, (_, expected) in attacks.items()
        if not answers[name].startswith(expected)
    }
    assert wrong == {}
    assert {name: news for name, news in leaked.items() if news} == {}


def test_a_channel_ends_with_its_token_and_with_another_ones(
    stack: Stack, learner: Learner, course: Course
) -> None:
    own = f"waymark:{learner.id}"
    attacker = make_learner(stack)

    async def hear() -> tuple[Any, Any, Any, list[Any], list[Any]]:
        async with (
            listening(stack) as short,
            listening(stack) as changed,
            listening(stack) as renewed,
        ):
            soon = learner.token(exp=int(time.time()) + 2)
            assert await short.join(own, soon) == "ok"
            assert await renewed.join(own, soon) == "ok"
            assert await changed.join(own, learner.token()) == "ok"
            topic = f"realtime:{own}"
            await renewed.send(topic, "access_token", {"access_token": learner.token(jti="new")})
            await changed.send(topic, "access_token", {"access_token": attacker.token()})
            other = await changed.until("system")
            await changed.until("phx_close")
            over = await short.until("system")
            await short.until("phx_close")
            rpc(learner, "complete_lesson", p_lesson_id=course.lessons[0])
            kept = await renewed.news()
            await quiet()
            return over, other, kept, await short.drain(), await changed.drain()

    over, other, kept, short, changed = asyncio.run(hear())
    assert over["status"] == "error"
    assert over["message"].startswith("Token has expired")
    assert other["status"] == "error"
    assert other["message"].startswith("You do not have permissions to read")
    assert kept["event"] == "progress"
    assert short == changed == []


def test_only_those_with_a_key_connect(stack: Stack) -> None:
    async def connect(key: str, **headers: str) -> int:
        url = f"{stack.api_url}/realtime/v1/websocket?vsn=2.0.0&apikey={key}"
        async with aiohttp.ClientSession(headers=headers) as session:
            try:
                async with session.ws_connect(url):
                    return 101
            except aiohttp.WSServerHandshakeError as problem:
                return problem.status

    forged = jwt.encode(stack.claims("x", role="service_role"), "y" * 40, algorithm="HS256")
    assert asyncio.run(connect("")) == 401
    assert asyncio.run(connect("sb_publishable_nobody")) == 401
    assert asyncio.run(connect(forged)) == 401
    assert asyncio.run(connect(stack.secret_key, **{"User-Agent": "Mozilla/5.0"})) == 401
    assert asyncio.run(connect(stack.anon_key)) == 101
    assert asyncio.run(connect(stack.secret_key)) == 101


def test_learners_do_not_speak(stack: Stack, learner: Learner, course: Course) -> None:
    """Neither over the websocket nor by writing where the messages pass through."""
    own = f"waymark:{learner.id}"

    async def speak() -> list[Any]:
        async with listening(stack, "1.0.0") as listener, listening(stack, "1.0.0") as speaker:
            assert await listener.join(own, learner.token()) == "ok"
            assert await speaker.join(own, learner.token()) == "ok"
            said = {"type": "broadcast", "event": "certificate", "payload": {"id": "x"}}
            reply = await speaker.ask(f"realtime:{own}", "broadcast", said)
            assert reply["status"] == "error"
            await quiet(0.2)
            return await listener.drain()

    assert asyncio.run(speak()) == []
    with stack.connect() as connection:
        become(connection, learner, own)
        # It says so by a warning alone.
        connection.execute("select realtime.send('{}', 'forged', %s, true)", (own,))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(
                "insert into realtime.messages (topic, extension, event, payload, private)"
                " values (%s, 'broadcast', 'forged', '{}', true)",
                (own,),
            )


def test_the_table_itself_shows_nobody_elses_messages(
    stack: Stack, learner: Learner, course: Course
) -> None:
    """Even to somebody who could read it, and name a topic: the rows themselves are asked, too."""
    attacker = make_learner(stack)
    rpc(learner, "complete_lesson", p_lesson_id=course.lessons[0])
    with stack.connect() as connection:
        for who, topic, count in (
            (learner, learner.id, 2),
            (attacker, learner.id, 0),
            (attacker, attacker.id, 0),
            (learner, attacker.id, 0),
        ):
            become(connection, who, f"waymark:{topic}")
            row = connection.execute("select count(*) from realtime.messages").fetchone()
            assert row == (count,)
            connection.rollback()


def become(connection: psycopg.Connection[Any], learner: Learner, topic: str) -> None:
    """From here on this transaction is the learner's, as Realtime would make it."""
    connection.execute(
        "select set_config('request.jwt.claims', %s, true), set_config('realtime.topic', %s, true)",
        (json.dumps({"sub": learner.id, "role": "authenticated"}), topic),
    )
    connection.execute("set local role authenticated")


def test_no_table_of_ours_is_published(stack: Stack) -> None:
    """Published tables are Realtime's to filter, change by change and subscriber by subscriber."""
    with stack.connect() as connection:
        rows = connection.execute(
            "select schemaname || '.' || tablename from pg_publication_tables"
            " where schemaname in ('public', 'private')"
        ).fetchall()
        everything = connection.execute(
            "select pubname from pg_publication where puballtables"
        ).fetchall()
    assert rows == everything == []
