"""The project as its operator and its job worker see it: the one module that holds the service key.

Functions that learners call never import it; they act with the learner's own token.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp

from shared import pool
from shared.settings import LOOPBACK

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = aiohttp.ClientTimeout(total=60, connect=10)  # the database ends a statement long before


class NoProject(Exception):
    """It is not clear which project is meant, or with which key; the message says what to set."""


class Refused(Exception):
    """The project refused a command. `details` has one line per reason."""

    def __init__(self, message: str, details: str | None = None) -> None:
        self.details = details.splitlines() if details else []
        super().__init__(message)


class Away(Refused):
    """The project did not answer, or said that it cannot now: the same call may work later."""


class Service:
    """One Supabase project with its service key: RPCs, and files in Storage. Raises Refused."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        # A secret key is no JWT: alone it goes as apikey, and the gateway knows the role. The
        # legacy service_role key is one, and PostgREST wants to see it.
        self._headers = {"apikey": key}
        if not key.startswith("sb_secret_"):
            self._headers["Authorization"] = f"Bearer {key}"

    async def rpc(self, function: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The object that an RPC returns."""
        answer = await self._send("POST", f"/rest/v1/rpc/{function}", json=arguments)
        try:
            found = json.loads(answer)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Refused(f"{self.url} gave no answer of ours; is Waymark installed there?")
        return found

    async def upload(self, bucket: str, path: str, content: bytes, media_type: str) -> None:
        """Put a file into Storage, over the one that is there."""
        headers = {"Content-Type": media_type, "x-upsert": "true"}
        await self._send("POST", _object(bucket, path), data=content, headers=headers)

    async def remove(self, bucket: str, path: str) -> None:
        """Take a file out of Storage; gone already is as good."""
        await self._send("DELETE", f"/storage/v1/object/{bucket}", json={"prefixes": [path]})

    async def _send(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        try:
            async with pool.session().request(
                method,
                self.url + path,
                json=json,
                data=data,
                headers={**self._headers, **(headers or {})},
                timeout=TIMEOUT,
                allow_redirects=False,
            ) as response:
                answer = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise Away(f"{self.url} does not answer: {reason}") from None
        if response.status < 300:
            return answer
        raise _refusal(response.status, answer)


def _object(bucket: str, path: str) -> str:
    return f"/storage/v1/object/{bucket}/{quote(path)}"


def _refusal(status: int, answer: bytes) -> Refused:
    """PostgREST's or Storage's refusal."""
    try:
        body = json.loads(answer)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        body = {}
    code = body.get("code") or body.get("error") or status
    details = body.get("details")
    # An empty code is PostgREST's word for a database that died under the statement.
    away = status in (429, 500, 502, 503, 504) or body.get("code") == ""
    kind = Away if away else Refused
    return kind(
        f"{body.get('message') or 'refused'} ({code})",
        details if isinstance(details, str) or details is None else json.dumps(details),
    )


class Project:
    """The same for commands: each call waits for its answer."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self._service = Service(url, key)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(pool.close())
        self._runner.close()

    def import_course(self, document: Mapping[str, Any], *, dry_run: bool) -> dict[str, Any]:
        """Make a course equal to a document and return what that changed, or would change.

        Raises Refused with the database's reasons, or when there is no good answer.
        """
        return self._call("import_course", {"p_document": document, "p_dry_run": dry_run})

    def put_secret(self, name: str, secret: str) -> bool:
        """Have the database know a secret by its digest; whether that changed anything.

        Raises Refused.
        """
        digest = hashlib.sha256(secret.encode()).hexdigest()
        answer = self._call("put_secret_digest", {"p_name": name, "p_digest": digest})
        return bool(answer["changed"])

    def list_jobs(
        self, *, state: str | None = None, kind: str | None = None, cursor: int | None = None
    ) -> dict[str, Any]:
        """A page of the job queue, {jobs, cursor}. Raises Refused."""
        arguments = {"p_state": state, "p_kind": kind, "p_cursor": cursor}
        return self._call("list_jobs", arguments)

    def retry_jobs(self, **which: Any) -> int:
        """Have dead jobs start afresh: `ids`, `kind`, `reason`. How many; raises Refused."""
        return int(self._call("retry_jobs", _chosen(**which))["retried"])

    def drop_jobs(self, **which: Any) -> int:
        """Take jobs out of the queue: `ids`, `kind`, `reason`. How many; raises Refused."""
        return int(self._call("drop_jobs", _chosen(**which))["dropped"])

    def queue_health(self) -> dict[str, Any]:
        """Depth, ages and dead letters of the job queue. Raises Refused."""
        return self._call("get_queue_health", {})

    def import_progress(self, rows: list[dict[str, Any]], *, dry_run: bool) -> dict[str, Any]:
        """Take over past progress; again changes nothing. `errors` are of rows that were not taken.

        Raises Refused, and Away when the same call may work later, or with fewer rows.
        """
        return self._call("import_progress", {"p_rows": rows, "p_dry_run": dry_run})

    def recalculate(self, which: Mapping[str, Any], *, dry_run: bool) -> dict[str, Any]:
        """Count a slice of enrolments again; {checked, changed, cursor, drift, failed}.

        Raises Refused.
        """
        return self._call("recalculate", {**which, "p_limit": 5000, "p_dry_run": dry_run})

    def drift_health(self) -> dict[str, Any]:
        """What the running check for drift has found. Raises Refused."""
        return self._call("get_drift_health", {})

    def history(self, user: str) -> dict[str, Any]:
        """A learner's events and the rows they add up to, for a replay. Raises Refused."""
        return self._call("get_learner_history", {"p_user_id": user})

    def events(self, cursor: str | None, limit: int) -> dict[str, Any]:
        """Everybody's events after a cursor, {events, cursor}. Raises Refused, and Away."""
        return self._call("get_events", {"p_cursor": cursor, "p_limit": limit})

    def history_health(self) -> dict[str, Any]:
        """Which months of the history there are. Raises Refused."""
        return self._call("get_history_health", {})

    def webhook(self, command: str, **arguments: Any) -> dict[str, Any]:
        """A command about webhooks by the name of its RPC: put_webhook and its like.

        Raises Refused.
        """
        return self._call(command, {f"p_{name}": value for name, value in arguments.items()})

    def put_template(self, name: str, source: str, paper: str) -> dict[str, Any]:
        """Keep a template of certificates under a name; `changed` says whether it was new.

        Raises Refused with the database's reasons, or when there is no good answer.
        """
        arguments = {"p_name": name, "p_source": source, "p_paper": paper}
        return self._call("put_certificate_template", arguments)

    def templates(self, name: str | None = None) -> list[dict[str, Any]]:
        """Name and paper of each template of certificates; of a named one its source, too.

        Raises Refused when there is no good answer.
        """
        found: list[dict[str, Any]] = self._call("get_certificate_templates", {"p_name": name})[
            "templates"
        ]
        return found

    def _call(self, function: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return self._runner.run(self._service.rpc(function, arguments))


def _chosen(
    ids: list[int] | None = None, kind: str | None = None, reason: str | None = None
) -> dict[str, Any]:
    return {"p_job_ids": ids, "p_kind": kind, "p_reason": reason}


def find(env: Mapping[str, str]) -> tuple[Project, str]:
    """The project that the environment names, else the running local stack; and how it was found.

    Raises NoProject, naming the variable that is missing or malformed, never a value.
    """
    url = env.get("SUPABASE_URL", "").strip().rstrip("/")
    key = _key(env)
    if url:
        _check(url, key)
        return Project(url, key), url
    if key:
        raise NoProject("SUPABASE_URL is not set, though a secret key is: which project is it for?")
    local = _local_stack()
    return Project(local["API_URL"], local["SECRET_KEY"]), f"the local stack {local['API_URL']}"


def service(env: Mapping[str, str]) -> Service:
    """The project that the environment names, for the job worker. Raises NoProject."""
    url, key = env.get("SUPABASE_URL", "").strip().rstrip("/"), _key(env)
    _check(url, key)
    return Service(url, key)


def _key(env: Mapping[str, str]) -> str:
    return (env.get("SUPABASE_SECRET_KEY") or env.get("SUPABASE_SERVICE_ROLE_KEY") or "").strip()


def _check(url: str, key: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise NoProject("SUPABASE_URL is not a URL") from None
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise NoProject("SUPABASE_URL must be an https URL without query")
    # The key opens everything: it does not travel in the clear.
    if parts.scheme == "http" and host not in LOOPBACK:
        raise NoProject("SUPABASE_URL must be https unless it is on loopback")
    if not key:
        raise NoProject("SUPABASE_SECRET_KEY is not set: the project's secret key")
    if key.startswith("sb_publishable_"):
        raise NoProject("SUPABASE_SECRET_KEY holds a publishable key: it must be a secret one")


def _local_stack() -> dict[str, str]:
    status = subprocess.run(
        [sys.executable, "-m", "local.command", "status", "-o", "json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if status.returncode:
        raise NoProject(
            "SUPABASE_URL is not set, and no local stack is running here (bin/dev starts one)"
        )
    found: dict[str, str] = json.loads(status.stdout)
    return found
