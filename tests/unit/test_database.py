"""What the database's refusals become, and when a call is tried once more."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from shared import pool
from shared.database import Database, translate
from shared.errors import CODES, Problem
from shared.settings import read
from tests.support.upstream import Reply, Upstream

SECRETS = {"message": "quotes s3cret", "details": "Key (x)=(s3cret)", "hint": "s3cret"}


def call(url: str, **arguments: Any) -> bytes:
    settings = read({"SUPABASE_URL": url, "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_x"})

    async def once() -> bytes:
        try:
            return await Database(settings).call("f", arguments, token="t", request_id="r")
        finally:
            await pool.close()

    return asyncio.run(once())


def refused(code: str | None, status: int = 400) -> Reply:
    return Reply(status, {"code": code, **SECRETS})


@pytest.mark.parametrize(
    ("code", "status", "ours"),
    [
        ("22P02", 400, "invalid_type"),
        ("22003", 400, "invalid_type"),
        ("22007", 400, "invalid_type"),
        ("42501", 403, "not_allowed"),
        ("40001", 500, "try_again"),
        ("40P01", 500, "try_again"),
        ("55P03", 500, "try_again"),
        ("57014", 500, "try_again"),
        ("57P01", 500, "database_unavailable"),
        ("57P03", 503, "database_unavailable"),
        ("08006", 503, "database_unavailable"),
        ("53100", 503, "database_unavailable"),
        ("53300", 503, "database_unavailable"),
        ("57P02", 500, "database_unavailable"),
        ("58030", 500, "database_unavailable"),
        ("25006", 405, "database_unavailable"),
        ("PGRST000", 503, "database_unavailable"),
        ("PGRST001", 503, "database_unavailable"),
        ("PGRST002", 503, "database_unavailable"),
        ("PGRST003", 504, "database_unavailable"),
        ("PGRST301", 401, "invalid_token"),
        ("PGRST302", 401, "invalid_token"),
        ("PGRST303", 401, "invalid_token"),
        ("PGRST202", 404, "database_unavailable"),
        ("PGRST204", 400, "database_unavailable"),
        ("PGRST205", 404, "database_unavailable"),
        ("42883", 404, "database_unavailable"),
        ("42P01", 404, "database_unavailable"),
        ("42703", 400, "database_unavailable"),
        ("PGRST200", 400, "internal_error"),
        ("22009", 400, "invalid_type"),
        ("23503", 409, "conflict"),
        ("23505", 409, "internal_error"),
        ("P0001", 400, "internal_error"),
        ("XX000", 500, "internal_error"),
        ("", 500, "database_unavailable"),
        ("", 400, "database_unavailable"),
        (None, 500, "database_unavailable"),
        (None, 400, "internal_error"),
    ],
)
def test_codes_of_the_database_become_ours_and_quote_nothing(
    code: str | None, status: int, ours: str
) -> None:
    problem = translate(status, refused(code).raw, {})
    assert (problem.code, problem.status) == (ours, CODES[ours].status)
    assert "s3cret" not in json.dumps(problem.body())
    assert ("Retry-After" in problem.headers) == (problem.status == 503)


def test_our_own_refusals_pass_whole() -> None:
    body = {
        "code": "rule_not_met",
        "message": "Watch first",
        "details": '{"seconds": 5}',
        "hint": "h",
    }
    problem = translate(422, json.dumps(body).encode(), {})
    assert problem.status == 422
    assert problem.body() == {**body, "details": {"seconds": 5}}


def test_a_code_newer_than_this_process_passes_with_its_status_and_headers() -> None:
    body = {"code": "rate_limited", "message": "Slowly", "details": "[broken", "hint": None}
    problem = translate(429, json.dumps(body).encode(), {"Retry-After": "30", "Server": "x"})
    assert (problem.status, problem.body()) == (429, body)
    assert problem.headers == {"Retry-After": "30"}


@pytest.mark.parametrize(("given", "told"), [("0", "1"), ("7", "7"), (None, "1")])
def test_nobody_is_told_to_come_back_at_once(given: str | None, told: str) -> None:
    headers = {"Retry-After": given} if given else {}
    problem = translate(503, refused("PGRST000").raw, headers)
    assert problem.headers["Retry-After"] == told


@pytest.mark.parametrize(
    ("status", "ours"),
    [
        (502, "database_unavailable"),
        (503, "database_unavailable"),
        (504, "database_unavailable"),
        (500, "database_unavailable"),
        (401, "invalid_token"),
        (404, "internal_error"),
        (429, "try_again"),
        (302, "internal_error"),
    ],
)
def test_a_gateways_page_is_never_passed_on(status: int, ours: str) -> None:
    problem = translate(status, b"<html>s3cret</html>", {"Retry-After": "7"})
    assert problem.code == ours
    assert "s3cret" not in json.dumps(problem.body())
    assert problem.status != 503 or problem.headers["Retry-After"] == "7"


@pytest.mark.parametrize("code", ["40001", "40P01", "55P03", "57014", "try_again"])
def test_what_clashed_is_tried_once_more(database: Upstream, code: str) -> None:
    database.script(refused(code, 503), Reply(200, {"ok": 1}))
    assert json.loads(call(database.url, p_x=1)) == {"ok": 1}
    assert [seen.json for seen in database.seen] == [{"p_x": 1}] * 2

    database.script(*[refused(code, 503)] * 5)
    with pytest.raises(Problem, match="try_again") as caught:
        call(database.url)
    assert caught.value.headers["Retry-After"]
    assert len(database.seen) == 2


@pytest.mark.parametrize(
    "code", ["not_enrolled", "42501", "22P02", "PGRST000", "XX000", "PGRST301"]
)
def test_nothing_else_is_tried_again(database: Upstream, code: str) -> None:
    database.script(*[refused(code, 403)] * 3)
    with pytest.raises(Problem):
        call(database.url)
    assert len(database.seen) == 1


def test_a_connection_that_ends_under_a_call_is_tried_once_more(database: Upstream) -> None:
    database.script(Reply(drop=True), Reply(200, 5))
    assert call(database.url) == b"5"
    database.script(*[Reply(drop=True)] * 5)
    with pytest.raises(Problem, match="database_unavailable"):
        call(database.url)
    assert len(database.seen) == 2


@pytest.mark.parametrize("secret", ["a secret of 32 bytes or a bit more", None])
def test_a_visitors_address_goes_along_with_the_secret_or_not_at_all(
    database: Upstream, secret: str | None
) -> None:
    env = {"SUPABASE_URL": database.url, "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_x"}
    settings = read({**env, **({"WAYMARK_PROXY_SECRET": secret} if secret else {})})

    async def calls() -> None:
        for visitor in ("192.0.2.1", None):
            await Database(settings).call("f", {}, token="t", request_id="r", visitor=visitor)
        await pool.close()

    asyncio.run(calls())
    told = [
        (seen.headers.get("x-waymark-client"), seen.headers.get("x-waymark-proxy-secret"))
        for seen in database.seen
    ]
    assert told == [("192.0.2.1", secret) if secret else (None, None), (None, None)]


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def test_nobody_there_is_503(nobody: str) -> None:
    with pytest.raises(Problem, match="database_unavailable") as caught:
        call(nobody)
    assert (caught.value.status, caught.value.headers["Retry-After"]) == (503, "1")


def test_silence_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    import aiohttp

    monkeypatch.setattr(pool, "_TIMEOUT", aiohttp.ClientTimeout(total=0.2))
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(Problem, match="database_unavailable"),
    ):
        call(f"http://127.0.0.1:{silent.getsockname()[1]}")
