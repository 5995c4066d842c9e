"""A stack of which some parts see a clock that the test sets: libfaketime, preloaded into them.

The library is Debian's, from the system or fetched once into .waymark/faketime; only tests use it.
As a program this is bin/dev in the foreground, given the folder of library and offset, and the
parts: `python -m tests.support.faketime FOLDER database,functions --name x`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local import command, database, parts
from local.bootstrap import ROOT, STATE
from local.process import Program
from local.stack import Stack
from tests.local.second import OWN_NAMES, Second

PATIENCE = 180.0
# The library takes Python's sleep, until an instant of the monotonic clock, for a mistake.
SLEEP = """import select, time
time.sleep = lambda seconds: select.select([], [], [], seconds) and None
"""


def library() -> Path:
    """Where libfaketime lies; skips where there is none and none can be fetched."""
    pattern = "usr/lib/*/faketime/libfaketime.so.1"
    folder = STATE / "faketime"
    for place in (Path("/"), folder):
        for found in place.glob(pattern):
            return found
    if not sys.platform.startswith("linux") or not shutil.which("apt-get"):
        pytest.skip("no libfaketime here, and no apt-get to fetch it with")
    with tempfile.TemporaryDirectory() as fresh:
        for words in (["apt-get", "download", "libfaketime"], ["sh", "-c", "dpkg-deb -x *.deb x"]):
            done = subprocess.run(words, cwd=fresh, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"libfaketime cannot be fetched: {done.stderr.strip()}")
        shutil.copytree(Path(fresh) / "x", folder, dirs_exist_ok=True)
    return next(folder.glob(pattern))


class ShiftedStack(Second):
    """A stack whose named parts see the clock moved by `shift`."""

    def __init__(self, names: str) -> None:
        super().__init__()
        self._names = names
        self._library = library()
        # Every account must be able to read them.
        self._place = Path(tempfile.mkdtemp(prefix="waymark-clock-", dir="/var/tmp"))
        self._place.chmod(0o755)
        shutil.copy(self._library, self._place / "libfaketime.so.1")
        (self._place / "libfaketime.so.1").chmod(0o644)
        (self._place / "sitecustomize.py").write_text(SLEEP)
        self.shift("+0")

    def shift(self, offset: str) -> None:
        """Move the clock, by "+1d" or "-1h" from the real one."""
        fresh = self._place / "offset.new"
        fresh.write_text(f"{offset}\n")
        fresh.chmod(0o644)
        fresh.replace(self._place / "offset")

    def up(self) -> str:
        """Start it in the background of this process."""
        words = [sys.executable, "-P", "-m", "tests.support.faketime"]
        words += [str(self._place), self._names, "--name", self.name]
        environment = {k: v for k, v in os.environ.items() if k not in OWN_NAMES}
        running = self.folder / "running.json"
        with (self._place / "log").open("w") as log:
            self._process = subprocess.Popen(
                words,
                cwd=ROOT,
                env={**environment, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        while not (running.exists() and json.loads(running.read_text())["ready"]):
            said = (self._place / "log").read_text
            assert self._process.poll() is None, said()
            assert time.monotonic() < deadline, said()
            time.sleep(0.1)
        self.note()
        return ""

    def end(self) -> None:
        """Stop it and remove what it kept."""
        self.dev("reset", "--no-start")
        self._process.wait()
        shutil.rmtree(self._place)


@contextmanager
def shifted_stack(names: str) -> Iterator[ShiftedStack]:
    """A stack with a clock of the test's own for the parts `names`, separated by commas."""
    stack = ShiftedStack(names)
    try:
        stack.up()
        yield stack
    finally:
        stack.end()


def main() -> int:
    """Run bin/dev with the library preloaded into some parts."""
    place, names = Path(sys.argv[1]), sys.argv[2].split(",")
    more = {
        "LD_PRELOAD": str(place / "libfaketime.so.1"),
        "FAKETIME_TIMESTAMP_FILE": str(place / "offset"),
        "FAKETIME_NO_CACHE": "1",
        # What measures spans must go on: only the time of day is moved.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }

    def preloaded(make: Callable[[Stack], Program]) -> Callable[[Stack], Program]:
        def made(stack: Stack) -> Program:
            program = make(stack)
            path = f"{place}{os.pathsep}{program.environment.get('PYTHONPATH', '')}"
            environment = {**program.environment, **more, "PYTHONPATH": path}
            return dataclasses.replace(program, environment=environment)

        return made

    if "database" in names:
        database.program = preloaded(database.program)
    if "functions" in names:
        parts.functions = preloaded(parts.functions)
    return command.main(sys.argv[3:])


if __name__ == "__main__":
    sys.exit(main())
