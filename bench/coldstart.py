"""How much CPU a fresh function process burns until it has given its first answer."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path
from time import perf_counter

from bench import machine
from bench.client import Connection
from bench.stats import median
from bench.target import Target
from local.bootstrap import ROOT

LIMIT_SECONDS = 30.0
_REQUEST = b"GET /progress/courses/1/next HTTP/1.1\r\nHost: x\r\n\r\n"


def measure(target: Target, times: int) -> tuple[float, float]:
    """Medians of CPU seconds and of seconds by the clock."""
    runs = [asyncio.run(_once(target)) for _ in range(times)]
    return median([run[0] for run in runs]), median([run[1] for run in runs])


async def _once(target: Target) -> tuple[float, float]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    began = perf_counter()
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("functions-framework")),
        "--target=progress",
        f"--source={ROOT / 'main.py'}",
        "--host=127.0.0.1",
        f"--port={port}",
        "--asgi",
        env={
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": str(ROOT),
            "WORKERS": "1",
            "SUPABASE_URL": target["API_URL"],
            "SUPABASE_PUBLISHABLE_KEY": target["PUBLISHABLE_KEY"],
            "SUPABASE_JWT_SECRET": target["JWT_SECRET"],
            "POSTGREST_URL": target["POSTGREST_URL"],
        },
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        connection = Connection("127.0.0.1", port)
        # Without a token the answer is 401: the whole boundary has been through.
        while await connection.send(_REQUEST) != 401:
            if process.returncode is not None or perf_counter() - began > LIMIT_SECONDS:
                raise RuntimeError("the function process gave no answer")
            await asyncio.sleep(0.01)
        clock = perf_counter() - began
        burnt = machine.cpu_seconds({"functions": process.pid})["functions"]
        connection.close()
        return burnt, clock
    finally:
        process.terminate()
        await process.wait()
