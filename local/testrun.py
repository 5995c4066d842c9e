"""bin/test: pytest on stacks of its own, or on the one that the environment names.

The tests wait for servers half of the time, so a run of all of them takes two stacks and spreads
the files over two workers. Named paths run on one stack, in order.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from local import control
from local.bootstrap import ROOT, STATE
from local.stack import Stack, StackError

OLD_SECONDS = 24 * 3600
PARALLEL = 2


def main(arguments: Sequence[str]) -> int:
    """Run pytest with the arguments and return its exit status.

    After pytest nothing more is printed: its closing line is the last.
    """
    if os.environ.get("API_URL"):
        _say(f"testing the stack at {os.environ['API_URL']}")
        return _pytest(arguments, {})
    _remove_old()
    begun = time.monotonic()
    stacks: list[Stack] = []
    status = 1
    with ExitStack() as ends:
        for _ in range(1 if _names_paths(arguments) else PARALLEL):
            # Tests commit all the time, and waiting for the disk is none of what they test.
            stack = Stack(f"test-{os.getpid()}-{secrets.token_hex(3)}")
            try:
                supervisor = control.launch(stack, _say, tied=True, durable=False)
            except StackError as problem:
                _say(str(problem))
                return 1
            ends.callback(supervisor.wait)
            ends.callback(supervisor.terminate)
            stack.load()
            stacks.append(stack)
        folders = " and ".join(str(stack.folder) for stack in stacks)
        _say(f"set-up took {time.monotonic() - begun:.1f} s; a failed test leaves {folders}")
        environments = [stack.environment() for stack in stacks]
        if len(stacks) == 1:
            status = _pytest(arguments, environments[0])
        else:
            # Files stay whole, for the sake of their fixtures, and in order: see tests/conftest.py.
            spread = ["-n", str(len(stacks)), "--dist", "loadfile", "--no-loadscope-reorder"]
            status = _pytest(
                [*spread, *arguments], {"WAYMARK_TEST_STACKS": json.dumps(environments)}
            )
    for stack in stacks:
        # The supervisor has given the lock back by ending.
        if status == 0 and stack.try_lock():
            stack.remove()
            stack.unlock()
    return status


def _names_paths(arguments: Sequence[str]) -> bool:
    return any((ROOT / argument.split("::")[0]).exists() for argument in arguments)


def _pytest(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    # Ctrl-C reaches pytest too; it ends in its own order, and only then the stack goes.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        return process.wait()
    finally:
        signal.signal(signal.SIGINT, before)


def _remove_old() -> None:
    """Remove what failed runs of earlier days have left behind."""
    for folder in STATE.glob("test-*"):
        if time.time() - folder.stat().st_mtime > OLD_SECONDS:
            stack = Stack(folder.name)
            if stack.try_lock():
                stack.remove()
                stack.unlock()


def _say(text: str) -> None:
    print(f"waymark: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
