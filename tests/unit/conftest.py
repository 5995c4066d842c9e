"""The functions as functions-framework makes them, under uvicorn, before a stand-in upstream."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from shared import http
from shared.settings import settings
from tests.support import keys
from tests.support.serving import OURS, serving
from tests.support.upstream import Reply, Upstream, upstream

PUBLISHABLE = "sb_publishable_for_tests"

Serve = Callable[..., httpx.Client]


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
