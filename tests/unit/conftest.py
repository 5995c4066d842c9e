"""The functions as functions-framework makes them, under uvicorn, before a stand-in upstream."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import functions_framework
import httpx
import pytest
import uvicorn

from shared import http, pool
from shared.settings import settings
from tests.support import keys
from tests.support.upstream import Reply, Upstream, upstream

ROOT = Path(__file__).resolve().parents[2]
PUBLISHABLE = "sb_publishable_for_tests"
OURS = ("SUPABASE_", "WAYMARK_", "POSTGREST_", "LOG_", "GOOGLE_CLOUD")

Serve = Callable[..., httpx.Client]


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


@pytest.fixture(scope="session")
def stand_in() -> Iterator[Upstream]:
    with upstream() as server:
        yield server


@pytest.fixture(scope="session")
def _environment(stand_in: Upstream) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(OURS):
                patch.delenv(name)
        patch.setenv("SUPABASE_URL", stand_in.url)
        patch.setenv("SUPABASE_PUBLISHABLE_KEY", PUBLISHABLE)
        patch.setenv("SUPABASE_JWT_SECRET", keys.SECRET)
        patch.setenv("SUPABASE_JWT_ISSUER", keys.ISSUER)
        yield


@pytest.fixture(scope="session")
def _all_functions(_environment: None) -> Iterator[httpx.Client]:
    with serving("waymark") as client:
        yield client


@pytest.fixture
def database(stand_in: Upstream) -> Upstream:
    """The stand-in for PostgREST, with nothing scripted."""
    stand_in.script()
    stand_in.paths.clear()
    stand_in.usual = Reply()
    return stand_in


@pytest.fixture
def functions(_all_functions: httpx.Client, database: Upstream) -> httpx.Client:
    """All functions, as `--target waymark` serves them."""
    return _all_functions


@pytest.fixture
def serve(
    _environment: None, database: Upstream, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Serve]:
    """Makes a client of some target under an environment of its own."""
    with ExitStack() as stack:

        def make(target: str = "waymark", **env: str) -> httpx.Client:
            for name, value in env.items():
                monkeypatch.setenv(name, value)
            return stack.enter_context(serving(target))

        yield make
    monkeypatch.undo()
    settings.cache_clear()
    http.app.cache_clear()


@pytest.fixture
def signed_in() -> dict[str, str]:
    """Headers of a learner."""
    return {"Authorization": f"Bearer {keys.hs256(keys.claims())}", "apikey": PUBLISHABLE}
