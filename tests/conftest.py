"""What every test can use: the stack, and the option for tests that take long."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.stack import Stack
from tests.support import answers, sessions

if "WAYMARK_TEST_STACKS" in os.environ and "PYTEST_XDIST_WORKER" in os.environ:
    # bin/test has started a stack for each worker: gw0, gw1, …
    os.environ.update(
        json.loads(os.environ["WAYMARK_TEST_STACKS"])[int(os.environ["PYTEST_XDIST_WORKER"][2:])]
    )


# Time is no property: a busy machine is slow, and nothing is wrong.
settings.register_profile("waymark", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("waymark")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the tests marked long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # What kills parts of the stack comes last: connections that others keep open die with it.
    items.sort(key=lambda item: item.get_closest_marker("chaos") is not None)
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="takes long: bin/test --long")
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(skip)


def pytest_sessionfinish() -> None:
    sessions.end()


@pytest.fixture(scope="session", autouse=True)
def _quiet_queue() -> Iterator[None]:
    """Nobody takes jobs from under a test: our stack's worker sleeps but where it is tested."""
    running = Path(os.environ.get("MAIL_FOLDER", "nowhere")).with_name("running.json")
    pid = json.loads(running.read_text())["processes"]["worker"][0] if running.exists() else None
    if pid:
        os.kill(pid, signal.SIGSTOP)
    yield
    if pid:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="session", autouse=True)
def _as_described() -> Iterator[None]:
    """Whatever a test asks the functions, the answer is what their description says."""
    with answers.checked():
        yield


@pytest.fixture(scope="session")
def stack() -> Stack:
    """The stack under test."""
    return Stack.from_environment()
