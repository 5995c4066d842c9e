"""Certificates, and functions with an issuer's key of the test's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from shared import http
from shared.settings import settings
from tests.certificates_http.world import Certificates
from tests.stack import Stack
from tests.support.serving import OURS, serving

Serve = Callable[..., httpx.Client]


@pytest.fixture
def certificates(stack: Stack) -> Iterator[Certificates]:
    """Makes certificates; before it, every visitor may ask as often as any."""
    made = Certificates(stack)
    made.forget_visitors()
    yield made
    made.close()


@pytest.fixture(scope="module")
def functions(stack: Stack) -> Iterator[httpx.Client]:
    """The certificates' routes through the gateway, as someone who is signed out."""
    with httpx.Client(
        base_url=f"{stack.functions_url}/certificates", timeout=30, trust_env=False
    ) as client:
        yield client


@pytest.fixture
def serve(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Makes a client of functions in this process, on the real database, under variables given."""
    for name in list(os.environ):
        if name.startswith(OURS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SUPABASE_URL", stack.api_url)
    monkeypatch.setenv("SUPABASE_PUBLISHABLE_KEY", stack.publishable_key)
    monkeypatch.setenv("SUPABASE_JWT_SECRET", stack.jwt_secret)
    with ExitStack() as running:

        def make(**env: str) -> httpx.Client:
            for name, value in env.items():
                monkeypatch.setenv(name, value)
            return running.enter_context(serving("certificates"))

        yield make
    monkeypatch.undo()
    settings.cache_clear()
    http.app.cache_clear()
