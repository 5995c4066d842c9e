"""The one way to the database: an RPC posted to PostgREST with the caller's own token.

The answer passes on as bytes. Errors of PostgreSQL and PostgREST become our own codes here; what is
ours already passes through.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Mapping
from typing import Any, TypeGuard

import aiohttp
from pydantic_core import from_json, to_json
from yarl import URL

from shared import logs, pool
from shared.errors import CODES, Problem
from shared.settings import Settings

# Chosen among SQLSTATEs and PostgREST's codes, the first prefix that fits.
_TRANSLATION: tuple[tuple[str, str], ...] = (
    ("22P02", "invalid_type"),
    ("22003", "invalid_type"),
    ("22007", "invalid_type"),
    ("22008", "invalid_type"),
    ("22009", "invalid_type"),
    ("23503", "conflict"),
    ("42501", "not_allowed"),
    ("40001", "try_again"),
    ("40P01", "try_again"),
    ("55P03", "try_again"),
    ("57014", "try_again"),
    ("57P0", "database_unavailable"),
    ("08", "database_unavailable"),
    # No room, no memory, no connections; an input or output error; a server that only reads by now.
    ("53", "database_unavailable"),
    ("58", "database_unavailable"),
    ("25006", "database_unavailable"),
    ("PGRST00", "database_unavailable"),
    ("PGRST301", "invalid_token"),
    ("PGRST302", "invalid_token"),
    ("PGRST303", "invalid_token"),
)
# A function, table or column that is not there: the functions are newer than the schema, or
# PostgREST has not looked at the new one yet. Callers come again, as to a database that is away.
_OLDER = ("PGRST202", "PGRST204", "PGRST205", "42883", "42P01", "42703")
# A connection that ended under a call, most often an idle one that the other side had closed.
_LOST = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientPayloadError)
_OURS = re.compile(r"[a-z][a-z_]{2,63}")
_THEIRS = re.compile(r"[0-9A-Z]{5}|PGRST[0-9X]{3}")
_PASSED_ON = ("Retry-After", "Allow")


class Database:
    """Calls RPCs of one project."""

    def __init__(self, settings: Settings) -> None:
        self._base = settings.rest_url
        self._apikey = settings.public_keys[0]
        self._proxy_secret = settings.proxy_secret
        self._urls: dict[str, URL] = {}

    async def call(
        self,
        rpc: str,
        arguments: Mapping[str, Any],
        *,
        token: str | None,
        request_id: str,
        visitor: str | None = None,
    ) -> bytes:
        """The JSON that the function `rpc` returns to the token's owner, or to anon without one.

        `visitor` is the address that the call came from; the database believes us by the proxy
        secret, and limits signed-out callers by it. Tries once more when the first try clashed with
        others or found its connection closed: every RPC here may be repeated. Raises Problem.
        """
        url = self._urls.get(rpc)
        if url is None:
            url = self._urls[rpc] = URL(f"{self._base}/rpc/{rpc}", encoded=True)
        body = to_json(arguments)
        headers = {
            "apikey": self._apikey,
            "Content-Type": "application/json",
            "X-Request-Id": request_id,
        }
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if visitor is not None and self._proxy_secret is not None:
            headers["X-Waymark-Client"] = visitor
            headers["X-Waymark-Proxy-Secret"] = self._proxy_secret
        try:
            return await self._post(url, body, headers)
        except Problem as problem:
            if problem.code != "try_again":
                raise
        except _LOST:
            pass
        # Two that met once would meet again if both came back at once.
        await asyncio.sleep(random.uniform(0.02, 0.1))
        try:
            return await self._post(url, body, headers)
        except _LOST as error:
            raise _away(error) from None

    async def ping(self) -> None:
        """Read one row of the catalogue, if there is any, as nobody.

        Raises Problem database_unavailable.
        """
        url = URL(f"{self._base}/courses?select=id&limit=1", encoded=True)
        try:
            async with pool.session().get(
                url, headers={"apikey": self._apikey}, allow_redirects=False
            ) as response:
                answer = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _away(error) from None
        if response.status >= 300:
            logs.write("ERROR", f"database answered {response.status} to a ping")
            translate(response.status, answer, response.headers)  # for what it logs
            raise Problem("database_unavailable")

    async def _post(self, url: URL, body: bytes, headers: Mapping[str, str]) -> bytes:
        try:
            async with pool.session().post(
                url, data=body, headers=headers, allow_redirects=False
            ) as response:
                answer = await response.read()
        except aiohttp.ClientConnectorError as error:  # nobody there: trying at once is no use
            raise _away(error) from None
        except _LOST:
            raise
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _away(error) from None
        if response.status < 300:
            return answer
        raise translate(response.status, answer, response.headers)


def _away(error: Exception) -> Problem:
    logs.write("ERROR", f"database call failed: {type(error).__name__}")
    return Problem("database_unavailable")


def translate(status: int, answer: bytes, headers: Mapping[str, str]) -> Problem:
    """PostgREST's (or its gateway's) refusal as ours.

    Text of the database passes on only under a code that our own SQL chose; any other text may
    quote data and stays here.
    """
    passed = {name: headers[name] for name in _PASSED_ON if name in headers}
    if passed.get("Retry-After") == "0":  # PostgREST's first word: "at once" would be a storm
        del passed["Retry-After"]
    try:
        body = from_json(answer)
    except ValueError:
        body = None
    code = body.get("code") if isinstance(body, dict) else None
    if isinstance(body, dict) and _is_ours(code, status):
        return Problem(
            code,
            str(body.get("message") or code),
            status=status,
            details=_structured(body.get("details")),
            hint=body.get("hint"),
            headers=passed,
        )
    if code in _OLDER:
        logs.write(
            "ERROR",
            "database schema is older than the functions: run supabase db push",
            {"code": code},
        )
        return Problem("database_unavailable")
    if isinstance(code, str) and code:
        ours = next((ours for prefix, ours in _TRANSLATION if code.startswith(prefix)), None)
        if ours in (None, "database_unavailable"):
            # Whoever answers under the database's name may put anything there.
            shown = code if _THEIRS.fullmatch(code) else "an unknown code"
            logs.write("ERROR", f"database refused with {shown} (status {status})")
        if ours is None:
            return Problem("internal_error")
        return Problem(ours, headers=passed if CODES[ours].status == 503 else None)
    # Without a code: a gateway without its upstream; or, with an empty one and whatever status
    # (400 it is), PostgREST whose connection to PostgreSQL died under the statement.
    if code == "" or status in (500, 502, 503, 504):
        logs.write("ERROR", f"database answered {status} without a code")
        return Problem("database_unavailable", headers=passed)
    if status == 401:
        return Problem("invalid_token")
    if status == 429:
        return Problem("try_again", headers=passed)
    logs.write("ERROR", f"database answered {status} without a code")
    return Problem("internal_error")


def _is_ours(code: Any, status: int) -> TypeGuard[str]:
    if not isinstance(code, str) or not _OURS.fullmatch(code):
        return False
    return 400 <= status < 500 or (status < 600 and code in CODES)


def _structured(details: Any) -> Any:
    """PostgREST carries details as text; where our SQL put JSON into it, callers get the JSON."""
    if isinstance(details, str) and details[:1] in ("{", "["):
        try:
            return from_json(details)
        except ValueError:
            return details
    return details
