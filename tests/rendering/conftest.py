"""Certificates are made once for all tests that look at them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from shared.rendering import CertificateFacts, Paper, render, renderer

Render = Callable[..., bytes]


@cache
def _made(facts: CertificateFacts, template: str | None, paper: Paper) -> bytes:
    return render(facts, template, paper)


@pytest.fixture(scope="session")
def rendered() -> Render:
    """`render`, which makes each certificate once."""

    def made(facts: CertificateFacts, template: str | None = None, paper: Paper = "a4") -> bytes:
        return _made(facts, template, paper)

    return made


@pytest.fixture
def new_press() -> Callable[[], None]:
    """Ends the press, so that the next certificate starts another."""
    return renderer.close
