"""PostgREST and PostgreSQL killed in mid-load: 503, nothing acknowledged lost, back by itself."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.stack import Stack
from tests.support.load import PATIENCE, under_load

pytestmark = pytest.mark.chaos

LEARNERS = 10
LESSONS = 400


def process(stack: Stack, part: str) -> int:
    """The process that runs a part of the stack under test; only our own stack tells."""
    running = Path(stack.extra("SIGNING_KEY_FILE")).with_name("running.json")
    if not running.exists():
        pytest.skip("this stack does not say which processes it runs")
    return int(json.loads(running.read_text())["processes"][part][0])


@pytest.mark.parametrize("part", ["postgrest", "database"])
def test_a_part_is_killed_in_mid_load(stack: Stack, part: str) -> None:
    with under_load(stack, LEARNERS, LESSONS) as load:
        for _ in range(2):
            load.until(60)
            victim = process(stack, part)
            os.kill(victim, signal.SIGKILL)
            deadline = time.monotonic() + PATIENCE
            while process(stack, part) == victim:
                assert time.monotonic() < deadline, "nobody started it again"
                time.sleep(0.05)
            load.until(60)
    assert load.refusals
    load.assert_told_to_come_back()
    load.assert_whole()
