"""Webhooks: events are posted to the endpoints that admins named, signed by Standard Webhooks.

Each learner's events go one after another; those of others go beside them. What an endpoint does
not take comes again later, with the same id: receivers see each event at least once.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import json
import socket
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from shared import admin
from shared.worker.kinds import Facts, Kind

# A job's turn, and a round's: both and one last call end within the lease, however slow calls are.
SECONDS = 15.0
ROUND_SECONDS = 40.0
PAGE = 48
LANES = 8
TIMEOUT = aiohttp.ClientTimeout(total=8, connect=4)
SENT, FAILED, HELD = "done", "failed", "held"
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class Forbidden(OSError):
    """Where no event may be sent; an OSError, so that a connection fails of it like of others."""


class _Public(AbstractResolver):
    """Resolves names, but not to addresses inside: the connection goes to what was checked."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        public = [entry for entry in found if _is_public(entry["host"])]
        if not public:
            raise Forbidden(f"{host} has no public address")
        return public

    async def close(self) -> None:
        await self._resolver.close()


def _is_public(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    # An IPv4 address may come dressed as IPv6: what counts is where it leads.
    if isinstance(found, ipaddress.IPv6Address):
        if found in _NAT64:
            return _is_public(str(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)))
        found = found.ipv4_mapped or found.sixtofour or found
    return found.is_global and not found.is_multicast


def check(url: str, *, may_be_local: bool) -> None:
    """Raises Forbidden for an address that no event may be sent to."""
    parts = urlsplit(url)
    if may_be_local:
        return
    if parts.scheme != "https":
        raise Forbidden("the address is not https")
    try:
        literal = _is_public(parts.hostname or "")
    except ValueError:
        return  # a name: the resolver looks at it
    if not literal:
        raise Forbidden("the address is a private one")


def sign(secrets: Sequence[str], message_id: str, at: int, body: bytes) -> str:
    """The webhook-signature header: one signature for each secret."""
    signed = f"{message_id}.{at}.".encode() + body
    found = []
    for secret in secrets:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        found.append("v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode())
    return " ".join(found)


def message(webhook: str, delivery: Mapping[str, Any]) -> tuple[str, bytes]:
    """A delivery's id, the same at every attempt, and its body."""
    event = delivery["event"]
    if event is None or event.get("id") is None:
        name, type_, data = f"test_{delivery['delivery_id']}", "webhook.test", {"webhook": webhook}
    else:
        name, type_, data = f"evt_{event['id']}", event["kind"].replace("_", ".", 1), event
    body = {"type": type_, "timestamp": delivery["occurred_at"], "data": data}
    return name, json.dumps(body, separators=(",", ":")).encode()


class Webhooks(Kind):
    """Sends what waits for one endpoint per job, until others have waited long enough."""

    noun = "webhook"
    done = "delivered"

    def subject(self, facts: Facts) -> dict[str, Any]:
        return {"webhook": facts["webhook_id"]}

    async def do(self, facts: Facts) -> dict[str, Any]:
        until = time.monotonic() + SECONDS
        counts = dict.fromkeys((SENT, FAILED, HELD), 0)
        while time.monotonic() < until:
            page = await self.service.rpc(
                "take_deliveries", {"p_webhook_id": facts["webhook_id"], "p_limit": PAGE}
            )
            if page["webhook"] is None or not page["deliveries"]:
                break
            if not await _Round(self.service, page, counts).run():
                break
        return counts


class _Round:
    """One page of deliveries."""

    def __init__(
        self, service: admin.Service, page: Mapping[str, Any], counts: dict[str, int]
    ) -> None:
        self._service = service
        self._page = page
        self._counts = counts
        self._webhook = page["webhook"]
        self._results: list[dict[str, Any]] = []
        self._failed = 0
        self._error = ""
        self._gone = False
        self._until = time.monotonic() + ROUND_SECONDS

    async def run(self) -> bool:
        """Send and report; whether it is worth going on."""
        lanes: dict[str, list[Mapping[str, Any]]] = {}
        for delivery in self._page["deliveries"]:
            lanes.setdefault(delivery["lane"], []).append(delivery)
        local = self._webhook["may_be_local"]
        connector = aiohttp.TCPConnector(
            limit=LANES, resolver=ThreadedResolver() if local else _Public()
        )
        async with aiohttp.ClientSession(
            connector=connector, timeout=TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            free = asyncio.Semaphore(LANES)
            async with asyncio.TaskGroup() as group:
                for lane in lanes.values():
                    group.create_task(self._lane(session, free, lane))
        return await self._report()

    def _is_down(self) -> bool:
        """Nothing new gets through: the endpoint rests, instead of each learner's by itself.

        What has failed before says nothing of the endpoint; it has its own pauses.
        """
        is_new = self._page["deliveries"][0]["delivery_id"] is None
        none_sent = not any(x["state"] == SENT for x in self._results)
        return self._gone or (is_new and self._failed >= 2 and none_sent)

    async def _lane(
        self,
        session: aiohttp.ClientSession,
        free: asyncio.Semaphore,
        deliveries: list[Mapping[str, Any]],
    ) -> None:
        async with free:
            held = False
            for delivery in deliveries:
                error = None
                state = HELD
                in_time = time.monotonic() < self._until
                if in_time and not held and not delivery.get("held") and not self._is_down():
                    error = await self._send(session, delivery)
                    state = SENT if error is None else FAILED
                    self._failed += error is not None
                held = state != SENT
                self._results.append(
                    {
                        "delivery_id": delivery["delivery_id"],
                        "event_id": delivery["event"] and delivery["event"].get("id"),
                        "occurred_at": delivery["occurred_at"],
                        "lane": delivery["lane"],
                        "state": state,
                        "error": error,
                    }
                )

    async def _send(
        self, session: aiohttp.ClientSession, delivery: Mapping[str, Any]
    ) -> str | None:
        """Post one delivery; why it failed, or None."""
        url = self._webhook["url"]
        name, body = message(self._webhook["id"], delivery)
        now = int(datetime.now(UTC).timestamp())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Waymark",
            "webhook-id": name,
            "webhook-timestamp": str(now),
            "webhook-signature": sign(self._webhook["secrets"], name, now, body),
        }
        try:
            check(url, may_be_local=self._webhook["may_be_local"])
            async with session.post(
                url, data=body, headers=headers, allow_redirects=False
            ) as response:
                # What it says beside its status is nobody's business here, and may be endless.
                status = response.status
        except TimeoutError:
            self._error = "no answer in time"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            forbidden = error if isinstance(error, Forbidden) else error.__cause__
            told = isinstance(forbidden, Forbidden)
            self._error = str(forbidden) if told else type(error).__name__
        else:
            if 200 <= status < 300:
                return None
            self._gone = self._gone or status == 410
            self._error = f"HTTP {status}"
        return self._error

    async def _report(self) -> bool:
        key = {"p_webhook_id": self._webhook["id"]}
        if self._is_down():
            self._counts[FAILED] += self._failed
            await self._service.rpc(
                "rest_webhook", {**key, "p_error": self._error, "p_gone": self._gone}
            )
            return False
        # In the order of the page: what is kept goes on in it.
        self._results.sort(key=lambda x: x["event_id"] or 0)
        for result in self._results:
            self._counts[result["state"]] += 1
        await self._service.rpc(
            "report_deliveries",
            {
                **key,
                "p_cursor": self._page["cursor"],
                "p_next": self._page["next"],
                "p_results": self._results,
            },
        )
        return True
