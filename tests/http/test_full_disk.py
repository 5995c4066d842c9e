"""The database's volume fills up in mid-load: 503, nothing acknowledged lost, back by itself.

A data file that cannot grow is an error of one statement. Where WAL cannot be written PostgreSQL
stops, and does not come up before there is room: its supervisor tries again until then.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import psycopg
import pytest

from local.stack import Stack as LocalStack
from tests.local.second import Second, lives, wait_for
from tests.stack import REQUIRED, Stack
from tests.support.load import PATIENCE, under_load
from tests.support.volume import Volume, small_volume

LEARNERS = 6
LESSONS = 400
SPARE = 96 << 20  # six files of WAL
# Segments that PostgreSQL keeps for later would be room that no filler can take.
SETTINGS = "min_wal_size=32MB max_wal_size=64MB"


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> Iterator[Second]:
    monkeypatch.setenv("WAYMARK_POSTGRES", SETTINGS)
    stack = Second()
    stack.up()
    try:
        yield stack
    finally:
        stack.dev("reset", "--no-start")


def switch_segment(second: Second) -> None:
    """Have PostgreSQL begin a new file of WAL, as it does after each 16 MiB."""
    stack = LocalStack(second.name)
    stack.load()
    with suppress(psycopg.Error), psycopg.connect(stack.database_url("supabase_admin")) as admin:
        admin.execute("select pg_switch_wal()")


@contextmanager
def without_database(second: Second) -> Iterator[None]:
    """PostgreSQL is down during the block, and started again by its supervisor."""
    before = second.pids()
    os.kill(before["supervisor"], signal.SIGSTOP)
    try:
        os.kill(before["database"], signal.SIGINT)
        wait_for(lambda: not lives(before["database"]))
        yield
    finally:
        os.kill(before["supervisor"], signal.SIGCONT)
    wait_for(lambda: second.pids()["database"] != before["database"])


@pytest.mark.long
@pytest.mark.parametrize(
    ("part", "words"),
    [(".", "could not extend file"), ("pg_wal", "PANIC")],
    ids=["data", "wal"],
)
def test_the_volume_fills_up(second: Second, part: str, words: str) -> None:
    database = Path(json.loads((second.folder / "state.json").read_text())["database_folder"])
    with ExitStack() as ends:
        with without_database(second):
            volume = ends.enter_context(small_volume((database / "data" / part).resolve(), SPARE))
            ends.callback(second.dev, "down")
        fill_up_twice(second, volume, second.folder / "logs" / "database.log", words)


def fill_up_twice(second: Second, volume: Volume, log: Path, words: str) -> None:
    stack = Stack(**{name.lower(): second[name] for name in REQUIRED})
    with under_load(stack, LEARNERS, LESSONS) as load:
        for _ in range(2):
            load.until(60)
            told, said = len(load.refusals), len(log.read_text())
            deadline = time.monotonic() + PATIENCE
            while len(load.refusals) < told + 20 or words not in log.read_text()[said:]:
                assert time.monotonic() < deadline, "it does not get full"
                volume.fill()
                if words == "PANIC":
                    switch_segment(second)
                time.sleep(0.1)
            time.sleep(2)  # of a disk that stays full
            assert httpx.get(f"{stack.functions_url}/health").status_code == 200
            volume.make_room()
            load.until(60)
    load.assert_told_to_come_back()
    load.assert_whole()
    said = log.read_text()
    assert "No space left on device" in said
    print(
        f"{load.count} completions acknowledged, {len(load.refusals)} refused,"
        f" {len(re.findall('PANIC', said))} panics"
    )
