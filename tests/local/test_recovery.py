"""Parts that die come back by themselves, and callers meanwhile get a clean 503."""

from __future__ import annotations

import asyncio
import os
import signal

import aiohttp
import httpx
import psycopg
import pytest

from tests.live.listener import listening
from tests.local.second import Second, lives, wait_for
from tests.stack import REQUIRED, Stack


@pytest.mark.parametrize(
    "part",
    ["postgrest", "database", "auth", "functions", "gateway", "mail", "worker", "realtime"],
)
def test_a_killed_part_comes_back(second: Second, part: str) -> None:
    pids = second.pids()
    os.kill(pids[part], signal.SIGKILL)
    refused = []

    def is_back() -> bool:
        if second.pids()[part] == pids[part]:
            return False
        try:
            answers = [
                second.get("/rest/v1/courses?select=id&limit=1", second["ANON_KEY"]),
                second.get("/auth/v1/health", second["ANON_KEY"]),
                second.get("/functions/v1/progress/nowhere"),
            ]
        except httpx.TransportError:
            return False
        refused.extend(answer for answer in answers if answer.status_code == 503)
        return [answer.status_code for answer in answers] == [200, 200, 404]

    wait_for(is_back)
    assert all(answer.headers.get("Retry-After") for answer in refused)
    # The others were left alone.
    others = {key: pid for key, pid in pids.items() if key != part}
    assert {key: pid for key, pid in second.pids().items() if key != part} == others
    assert all(lives(pid) for pid in others.values())


@pytest.mark.parametrize("part", ["realtime", "database"])
def test_live_updates_come_back(second: Second, part: str) -> None:
    stack = Stack(**{name.lower(): second[name] for name in REQUIRED})
    before = second.pids()[part]
    os.kill(before, signal.SIGKILL)

    async def heard() -> bool:
        async with listening(stack) as listener:
            assert await listener.join("news", private=False) == "ok"
            with second.connect() as connection:
                connection.execute("select realtime.send('{\"is\": 1}', 'told', 'news', false)")
            news = await asyncio.wait_for(listener.news(), 2)
            return bool(news["payload"]["is"] == 1)

    def is_back() -> bool:
        try:
            return second.pids()[part] != before and asyncio.run(heard())
        except (OSError, TimeoutError, aiohttp.ClientError, psycopg.OperationalError):
            return False

    wait_for(is_back)


def test_the_storage_process_opens_no_table(second: Second) -> None:
    """Left alone, it grants everything to everyone at its first request of a user."""
    anonymous = {"apikey": second["PUBLISHABLE_KEY"]}
    url = f"{second['API_URL']}/storage/v1/bucket"

    def opened() -> list[tuple[str, ...]]:
        with second.connect() as connection:
            return connection.execute(
                "select relname from pg_class, aclexplode(relacl) as entry"
                " where relnamespace = 'public'::regnamespace"
                " and entry.grantee in ('anon'::regrole, 'authenticated'::regrole)"
                " and entry.privilege_type = 'TRUNCATE'"
                " union all select defaclrole::regrole::text from pg_default_acl"
                " where defaclrole = 'supabase_lite'::regrole"
            ).fetchall()

    assert httpx.get(url, headers=anonymous).json() == []
    assert opened() == []
    before = second.pids()["auth"]
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: second.pids()["auth"] != before)
    # Nor does it cost whoever comes first.
    assert httpx.get(url, headers=anonymous).json() == []
    assert opened() == []


def test_while_postgrest_is_away_the_gateway_says_when_to_ask_again(second: Second) -> None:
    pid = second.pids()["postgrest"]
    os.kill(second.pids()["supervisor"], signal.SIGSTOP)
    try:
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not lives(pid))
        answer = second.get("/rest/v1/courses", second["ANON_KEY"])
    finally:
        os.kill(second.pids()["supervisor"], signal.SIGCONT)
    assert answer.status_code == 503
    assert set(answer.json()) == {"code", "message", "details", "hint"}
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    wait_for(lambda: second.get("/rest/v1/courses", second["ANON_KEY"]).status_code == 200)


def test_what_was_committed_survives_a_killed_postgresql(second: Second) -> None:
    with second.connect() as connection:
        connection.execute("create table public.numbers (n integer primary key)")
    written = 0
    try:
        with second.connect() as connection:
            for number in range(10_000):
                connection.execute("insert into public.numbers values (%s)", (number,))
                written = number + 1
                if number == 200:
                    os.kill(second.pids()["database"], signal.SIGKILL)
    except psycopg.OperationalError:
        pass
    assert 200 < written < 10_000
    before = second.pids()["database"]
    wait_for(lambda: second.pids()["database"] != before or lives(before))
    wait_for(lambda: _counts(second) is not None)
    assert written <= (_counts(second) or 0) <= written + 1
    with second.connect() as connection:
        connection.execute("drop table public.numbers")


def _counts(second: Second) -> int | None:
    try:
        with second.connect() as connection:
            row = connection.execute("select count(*) from public.numbers").fetchone()
    except psycopg.OperationalError:
        return None
    return int(row[0]) if row else None
