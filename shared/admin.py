"""The project as its operator sees it: the one module that holds the service key.

Functions that learners call never import it; they act with the learner's own token.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from postgrest import APIError, SyncPostgrestClient

from shared.settings import LOOPBACK

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = httpx.Timeout(60, connect=10)  # the database ends a statement long before


class NoProject(Exception):
    """It is not clear which project is meant, or with which key; the message says what to set."""


class Refused(Exception):
    """The project refused a command, or did not answer. `details` has one line per reason."""

    def __init__(self, message: str, details: str | None = None) -> None:
        self.details = details.splitlines() if details else []
        super().__init__(message)


class Project:
    """One Supabase project, with its service key."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        # A secret key is no JWT: alone it goes as apikey, and the gateway knows the role. The
        # legacy service_role key is one, and PostgREST wants to see it.
        headers = {"apikey": key}
        if not key.startswith("sb_secret_"):
            headers["Authorization"] = f"Bearer {key}"
        self._http = httpx.Client(headers=headers, timeout=TIMEOUT, follow_redirects=False)
        self._rest = SyncPostgrestClient(f"{url}/rest/v1", http_client=self._http)

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

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

    def _call(self, function: str, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = self._rest.rpc(function, arguments).execute().data
        except APIError as error:
            raise Refused(f"{error.message} ({error.code})", _text(error.details)) from None
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise Refused(f"{self.url} does not answer: {reason}") from None
        if not isinstance(answer, dict):
            raise Refused(f"{self.url} gave no answer of ours; is Waymark installed there?")
        return answer


def _text(details: Any) -> str | None:
    return details if isinstance(details, str) or details is None else json.dumps(details)


def find(env: Mapping[str, str]) -> tuple[Project, str]:
    """The project that the environment names, else the running local stack; and how it was found.

    Raises NoProject, naming the variable that is missing or malformed, never a value.
    """
    url = env.get("SUPABASE_URL", "").strip().rstrip("/")
    key = (env.get("SUPABASE_SECRET_KEY") or env.get("SUPABASE_SERVICE_ROLE_KEY") or "").strip()
    if url:
        _check_url(url)
        if not key:
            raise NoProject("SUPABASE_SECRET_KEY is not set: the project's secret key")
        if key.startswith("sb_publishable_"):
            raise NoProject("SUPABASE_SECRET_KEY holds a publishable key: it must be a secret one")
        return Project(url, key), url
    if key:
        raise NoProject("SUPABASE_URL is not set, though a secret key is: which project is it for?")
    local = _local_stack()
    return Project(local["API_URL"], local["SECRET_KEY"]), f"the local stack {local['API_URL']}"


def _check_url(url: str) -> None:
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
