"""The signing keys: held, refreshed, refetched when rotated, never fetched at a stranger's pace."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from shared import jwks
from shared.errors import Problem
from shared.jwks import KeySet
from tests.support import keys

OLD, NEW = keys.ec_key("old"), keys.ec_key("new")


class Endpoint:
    """What the address serves, and how often it was asked."""

    def __init__(self) -> None:
        self.document: str | Exception = keys.jwks(OLD)
        self.asked = 0
        self.now = 1000.0

    async def download(self, _: str) -> bytes:
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.document, Exception):
            raise self.document
        return self.document.encode()

    def set(self) -> KeySet:
        return KeySet("https://x", download=self.download, clock=lambda: self.now)


def run(check: Callable[[Endpoint, KeySet], Awaitable[None]]) -> None:
    async def main() -> None:
        endpoint = Endpoint()
        await check(endpoint, endpoint.set())

    asyncio.run(main())


def test_keys_are_fetched_once_and_held() -> None:
    async def check(endpoint: Endpoint, held: KeySet) -> None:
        for _ in range(5):
            assert await held.find("old", "ES256")
        assert await held.find("old", "RS256") == []
        assert endpoint.asked == 1

    run(check)


def test_callers_who_arrive_together_share_one_fetch() -> None:
    async def check(endpoint: Endpoint, held: KeySet) -> None:
        found = await asyncio.gather(*(held.find("old", "ES256") for _ in range(50)))
        assert all(found)
        assert endpoint.asked == 1

    run(check)


def test_an_unknown_key_id_fetches_once_more_but_not_again_and_again() -> None:
    async def check(endpoint: Endpoint, held: KeySet) -> None:
        assert await held.find("old", "ES256")
        endpoint.document = keys.jwks(OLD, NEW)
        endpoint.now += jwks.MIN_INTERVAL
        assert await held.find("new", "ES256")
        assert endpoint.asked == 2
        for junk in range(1000):
            assert await held.find(f"junk-{junk}", "ES256") == []
        endpoint.now += jwks.MIN_INTERVAL - 1
        assert await held.find("junk", "ES256") == []
        assert endpoint.asked == 2
        endpoint.now += 1
        await asyncio.gather(*(held.find(f"junk-{n}", "ES256") for n in range(100)))
        assert endpoint.asked == 3

    run(check)


def test_a_key_that_is_gone_stops_working_within_ten_minutes() -> None:
    async def check(endpoint: Endpoint, held: KeySet) -> None:
        assert await held.find("old", "ES256")
        before = held.generation
        endpoint.document = keys.jwks(NEW)
        endpoint.now += jwks.MAX_AGE + 1
        assert await held.find("old", "ES256") == []
        assert held.generation > before

    run(check)


def test_keys_are_refreshed_ahead_without_making_anyone_wait() -> None:
    async def check(endpoint: Endpoint, held: KeySet) -> None:
        assert await held.find("old", "ES256")
        endpoint.now += jwks.REFRESH_AGE + 1
        endpoint.document = ValueError("away")
        assert await held.find("old", "ES256")
        await asyncio.sleep(0.01)
        assert endpoint.asked == 2
        assert await held.find("old", "ES256")  # the refresh failed: what is held is still fresh

    run(check)


@pytest.mark.parametrize("document", [OSError("refused"), "<html>", "[]", '{"keys": 5}'], ids=str)
def test_without_any_keys_it_is_503_and_not_401(document: str | Exception) -> None:
    async def check(endpoint: Endpoint, held: KeySet) -> None:
        endpoint.document = document
        for _ in range(20):
            with pytest.raises(Problem, match="auth_unavailable") as caught:
                await held.find("old", "ES256")
            assert caught.value.status == 503
            assert caught.value.headers["Retry-After"]
        assert endpoint.asked == 1
        endpoint.now += jwks.RETRY_INTERVAL
        endpoint.document = keys.jwks(OLD)
        assert await held.find("old", "ES256")

    run(check)


def test_stale_keys_are_not_trusted_while_the_address_is_down() -> None:
    async def check(endpoint: Endpoint, held: KeySet) -> None:
        assert await held.find("old", "ES256")
        endpoint.document = OSError("refused")
        endpoint.now += jwks.MAX_AGE + 1
        with pytest.raises(Problem, match="auth_unavailable"):
            await held.find("old", "ES256")

    run(check)


def test_a_fetch_that_was_cut_short_holds_nobody_up() -> None:
    endpoint = Endpoint()
    held = endpoint.set()

    async def start_and_leave() -> None:
        held._start()

    asyncio.run(start_and_leave())
    endpoint.now += jwks.RETRY_INTERVAL
    assert asyncio.run(held.find("old", "ES256"))


def test_entries_that_cannot_be_used_are_passed_over() -> None:
    good = OLD.jwk()
    entries = [
        None,
        5,
        {},
        {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"},
        {**good, "use": "enc"},
        {**good, "alg": "ES384"},
        {**good, "crv": "P-384"},
        {**good, "x": "!!"},
        good,
    ]
    found = jwks.parse(json.dumps({"keys": entries}))
    assert [(key.kid, key.algorithm) for key in found] == [("old", "ES256")]
