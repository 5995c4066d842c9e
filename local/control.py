"""What the commands do to a stack from outside: find its processes, start it detached, end it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

from local.process import start_time
from local.stack import Stack, StackError

END_SECONDS = 60.0


@dataclass(frozen=True)
class Running:
    """The recorded processes of a stack that are still the ones recorded."""

    ready: bool
    processes: dict[str, int]


def running(stack: Stack) -> Running | None:
    """Return what runs of a stack, or None when nothing does."""
    try:
        data = json.loads((stack.folder / "running.json").read_text())
    except (OSError, ValueError):
        return None
    # A number whose start time differs belongs to a stranger by now.
    alive = {
        key: pid
        for key, (pid, started) in data["processes"].items()
        if started is not None and start_time(pid) == started
    }
    return Running(data["ready"], alive) if alive else None


def start_detached(stack: Stack) -> None:
    """Start a stack in the background and wait until it is ready.

    Raises StackError with the reason when it does not come up.
    """
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "local.command", "serve", "--name", stack.name]
    command += ["--report", str(writer)]
    for part, port in stack.asked_ports.items():
        command += [f"--{part.replace('_', '-')}-port", str(port)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=(writer,),
    )
    os.close(writer)
    try:
        with os.fdopen(reader) as report:
            for line in report:
                message = json.loads(line)
                if message["kind"] == "ready":
                    return
                if message["kind"] == "failed":
                    raise StackError(message["text"])
                print(f"waymark: {message['text']}", file=sys.stderr, flush=True)
        raise StackError("the supervisor ended without a word")
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        process.wait()
        raise


def end(stack: Stack) -> bool:
    """End a stack; return whether anything of it was running. Holds no lock afterwards."""
    found = running(stack)
    if found is None:
        return False
    supervisor = found.processes.get("supervisor")
    if supervisor is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(supervisor, signal.SIGTERM)
        if not _wait_gone(stack, "supervisor"):
            _signal_rest(stack, signal.SIGKILL)
    # A killed supervisor takes its parts along on Linux; elsewhere, and in case, by hand.
    _signal_rest(stack, signal.SIGINT)
    if not _wait_gone(stack):
        _signal_rest(stack, signal.SIGKILL)
    (stack.folder / "running.json").unlink(missing_ok=True)
    return True


def _wait_gone(stack: Stack, key: str | None = None) -> bool:
    deadline = time.monotonic() + END_SECONDS
    while time.monotonic() < deadline:
        found = running(stack)
        if found is None or (key is not None and key not in found.processes):
            return True
        time.sleep(0.02)
    return False


def _signal_rest(stack: Stack, number: signal.Signals) -> None:
    found = running(stack)
    for pid in found.processes.values() if found else ():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
