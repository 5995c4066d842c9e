"""Apply supabase/migrations and the seed with the real Supabase CLI, as role postgres."""

from __future__ import annotations

import asyncio

from local.bootstrap import NODE_MODULES, ROOT
from local.parts import base_environment, node
from local.process import StartError
from local.stack import Stack


async def push(stack: Stack) -> None:
    """Run `supabase db push --include-seed`. Raises StartError with the CLI's words."""
    process = await asyncio.create_subprocess_exec(
        node(),
        str(NODE_MODULES / "supabase" / "dist" / "supabase.js"),
        "db",
        "push",
        f"--remote={stack.database_url()}",
        "--include-seed",
        "--yes",
        f"--workdir={ROOT}",
        env={
            **base_environment(),
            # Its settings stay in the stack's folder, so that it acts alike on every machine.
            "SUPABASE_HOME": str(stack.folder / "cli"),
            "SUPABASE_TELEMETRY_DISABLED": "1",
            "DO_NOT_TRACK": "1",
            "PGSSLMODE": "disable",
            "CI": "1",
        },
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output = (await process.communicate())[0].decode(errors="replace")
    except asyncio.CancelledError:
        process.kill()
        raise
    (stack.folder / "logs" / "migrations.log").write_text(output)
    if process.returncode:
        raise StartError(
            f"migrations: supabase db push failed\n{output.strip()}\n"
            "While a migration is still being written, `bin/dev reset` starts afresh."
        )
