"""The project's public signing keys, fetched without blocking and held for at most ten minutes.

An unknown key id has them fetched again, but never at an attacker's pace.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import jwt
from pydantic_core import from_json

from shared import logs, pool
from shared.errors import Problem

MAX_AGE = 600.0  # as long as Supabase's edge caches them, and no longer: a revoked key must die
REFRESH_AGE = 300.0  # from here on a call starts a refresh, and does not wait for it
MIN_INTERVAL = 10.0  # between fetches that only an unknown key id asks for
RETRY_INTERVAL = 1.0  # between fetches while the address does not answer

_KINDS = {"ES256": ("EC", "P-256"), "RS256": ("RSA", None)}


@dataclass(frozen=True, slots=True)
class Key:
    """One public key and the one algorithm it may be used with."""

    kid: str | None
    algorithm: str
    key: Any


def parse(document: bytes | str) -> tuple[Key, ...]:
    """The usable keys of a JWKS. Raises ValueError for what is none.

    Symmetric keys, encryption keys and unknown curves are passed over: this set is public.
    """
    data = from_json(document)
    entries = data.get("keys") if isinstance(data, dict) else None
    if not isinstance(entries, list):
        raise ValueError("not a JWKS")
    keys = []
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
            continue
        for algorithm, (kty, crv) in _KINDS.items():
            if entry.get("kty") != kty or entry.get("alg", algorithm) != algorithm:
                continue
            if crv is not None and entry.get("crv") != crv:
                continue
            public = {name: value for name, value in entry.items() if name != "d"}
            try:
                loaded = jwt.PyJWK(public, algorithm=algorithm).key
            except (jwt.PyJWTError, ValueError, TypeError):
                continue
            kid = entry.get("kid")
            keys.append(Key(kid if isinstance(kid, str) else None, algorithm, loaded))
    return tuple(keys)


async def _download(url: str) -> bytes:
    async with pool.session().get(url, allow_redirects=False) as response:
        if response.status != 200:
            raise ValueError(f"status {response.status}")
        return await response.read()


class KeySet:
    """The keys at `url`, or the fixed `document`."""

    def __init__(
        self,
        url: str,
        document: str | None = None,
        *,
        download: Callable[[str], Awaitable[bytes]] = _download,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._fixed = document is not None
        self._keys: tuple[Key, ...] | None = parse(document) if document is not None else None
        self._download = download
        self._clock = clock
        self._fetched = self._tried = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self.generation = 0  # grows whenever the keys changed: what was verified before is void

    async def find(self, kid: str | None, algorithm: str) -> list[Any]:
        """Keys that may have signed a token with this header; none when there are none.

        Raises Problem auth_unavailable when no fresh keys can be had.
        """
        keys = await self._current()
        found = _matching(keys, kid, algorithm)
        if not found and not self._fixed and self._age() >= MIN_INTERVAL:
            try:
                await self._fetch()
            except Problem:
                return []  # the keys at hand are still good, and this one is not among them
            found = _matching(self._keys or (), kid, algorithm)
        return found

    async def _current(self) -> tuple[Key, ...]:
        if self._fixed and self._keys is not None:
            return self._keys
        if self._keys is None or self._clock() - self._fetched > MAX_AGE:
            await self._fetch()
        elif self._clock() - self._fetched > REFRESH_AGE and self._age() >= MIN_INTERVAL:
            self._start()
        return self._keys or ()

    def _age(self) -> float:
        return self._clock() - self._tried

    async def _fetch(self) -> None:
        """Fetch now, together with whoever else waits for it. Raises Problem auth_unavailable."""
        before = self._fetched
        if self._task is not None or self._age() >= RETRY_INTERVAL:
            await asyncio.shield(self._start())
        if self._fetched == before:
            raise Problem("auth_unavailable")

    def _start(self) -> asyncio.Task[None]:
        if self._task is None:
            self._tried = self._clock()
            self._task = asyncio.create_task(self._load())
        return self._task

    async def _load(self) -> None:
        try:
            keys = parse(await self._download(self._url))
        except Exception as error:  # any failure means the same: no newer keys
            logs.write("ERROR", f"signing keys could not be fetched: {type(error).__name__}")
        else:
            self._keys = keys
            self._fetched = self._clock()
            self.generation += 1
        finally:
            self._task = None


def _matching(keys: tuple[Key, ...], kid: str | None, algorithm: str) -> list[Any]:
    return [k.key for k in keys if k.algorithm == algorithm and (kid is None or k.kid == kid)]
