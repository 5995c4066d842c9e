"""The one pooled HTTP session of a process: PostgREST calls and signing keys go through it.

It holds connections and nothing about users: no cookies, no default credentials.
"""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

import aiohttp

# The longest statement a learner may run is 8 s; what takes longer has lost its database.
_TIMEOUT = aiohttp.ClientTimeout(total=10, connect=5, sock_connect=2)
_CONNECTIONS = 64

_sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession] = WeakKeyDictionary()


def session() -> aiohttp.ClientSession:
    """The running event loop's session, made on first use (never at import: servers fork)."""
    loop = asyncio.get_running_loop()
    found = _sessions.get(loop)
    if found is None or found.closed:
        found = _sessions[loop] = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=30),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=_TIMEOUT,
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
        )
    return found


async def close() -> None:
    """Close the running loop's session (tests; a server just ends)."""
    found = _sessions.pop(asyncio.get_running_loop(), None)
    if found is not None:
        await found.close()
