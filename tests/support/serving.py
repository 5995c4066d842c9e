"""The functions in this process, as functions-framework makes them, under uvicorn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import functions_framework
import httpx
import uvicorn

from shared import http, pool
from shared.settings import settings

ROOT = Path(__file__).resolve().parents[2]
# Variables of which the functions may know those only that a test sets.
OURS = ("SUPABASE_", "WAYMARK_", "POSTGREST_", "LOG_", "GOOGLE_CLOUD")


class _Server(uvicorn.Server):
    """Uvicorn in a thread of this process, with its session closed behind it."""

    async def serve(self, sockets: object = None) -> None:
        try:
            await super().serve()
        finally:
            await pool.close()


@contextmanager
def serving(target: str) -> Iterator[httpx.Client]:
    """A client of `target`, as the framework serves it under the present environment."""
    settings.cache_clear()
    http.app.cache_clear()
    app = functions_framework.create_app(target, str(ROOT / "main.py"))
    server = _Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
