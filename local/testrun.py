"""bin/test: pytest on a stack of its own, or on the one that the environment names."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from local import control
from local.bootstrap import ROOT, STATE
from local.stack import Stack, StackError

OLD_SECONDS = 24 * 3600


def main(arguments: Sequence[str]) -> int:
    """Run pytest with the arguments and return its exit status.

    After pytest nothing more is printed: its closing line is the last.
    """
    if os.environ.get("API_URL"):
        _say(f"testing the stack at {os.environ['API_URL']}")
        return _pytest(arguments, {})
    _remove_old()
    stack = Stack(f"test-{os.getpid()}-{secrets.token_hex(3)}")
    begun = time.monotonic()
    try:
        supervisor = control.launch(stack, _say, tied=True)
    except StackError as problem:
        _say(str(problem))
        return 1
    status = 1
    try:
        stack.load()
        _say(f"set-up took {time.monotonic() - begun:.1f} s; {stack.folder} stays if a test fails")
        status = _pytest(arguments, stack.environment())
    finally:
        supervisor.terminate()
        supervisor.wait()
        # The supervisor has given the lock back by ending.
        if status == 0 and stack.try_lock():
            stack.remove()
            stack.unlock()
    return status


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
