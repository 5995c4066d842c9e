"""What the commands do to a stack from outside: find its processes, start it detached, end it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from local.bootstrap import ROOT
from local.process import end_with_parent, start_time
from local.stack import Stack, StackError

END_SECONDS = 60.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Running:
    """The processes of a stack that still run, each with its start time."""

    ready: bool
    processes: dict[str, tuple[int, str]]


def running(stack: Stack) -> Running | None:
    """Return what runs of a stack, or None when nothing does."""
    try:
        data = json.loads((stack.folder / "running.json").read_text())
    except (OSError, ValueError):
        return None
    processes = {key: (pid, started) for key, (pid, started) in data["processes"].items()}
    alive = {key: process for key, process in processes.items() if _lives(process)}
    return Running(data["ready"], alive) if alive else None


def _lives(process: tuple[int, str]) -> bool:
    # A number whose start time differs belongs to a stranger by now.
    pid, started = process
    return started is not None and start_time(pid) == started


def launch(
    stack: Stack, say: Say, tied: bool = False, durable: bool = True
) -> subprocess.Popen[bytes]:
    """Start a stack's supervisor in the background and return it once the stack is ready.

    A tied supervisor ends with this process, however this process ends (on Linux). A stack that is
    not durable survives every killed process, but not the loss of the machine: its commits wait for
    no disk. Raises StackError with the reason when the stack does not come up; nothing is left
    running then.
    """
    reader, writer = os.pipe()
    command = [sys.executable, "-P", "-m", "local.command", "serve", "--name", stack.name]
    command += ["--report", str(writer), *([] if durable else ["--volatile"])]
    for part, port in stack.asked_ports.items():
        command += [f"--{part.replace('_', '-')}-port", str(port)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=(writer,),
        preexec_fn=end_with_parent(signal.SIGTERM) if tied else None,
    )
    os.close(writer)
    try:
        with os.fdopen(reader) as report:
            for line in report:
                message = json.loads(line)
                if message["kind"] == "ready":
                    return process
                if message["kind"] == "failed":
                    raise StackError(message["text"])
                say(message["text"])
        raise StackError("the supervisor ended without a word")
    except BaseException:
        process.terminate()
        process.wait()
        raise


def end(stack: Stack) -> bool:
    """End a stack; return whether anything of it was running."""
    found = running(stack)
    if found is None:
        return False
    supervisor = found.processes.get("supervisor")
    if supervisor is not None:
        _signal([supervisor], signal.SIGTERM)
        if not _wait_gone([supervisor]):
            _signal([supervisor], signal.SIGKILL)
    # A killed supervisor takes its parts along on Linux; elsewhere, and in case, by hand.
    rest = list(found.processes.values())
    _signal(rest, signal.SIGINT)
    if not _wait_gone(rest):
        _signal(rest, signal.SIGKILL)
    (stack.folder / "running.json").unlink(missing_ok=True)
    return True


def _wait_gone(processes: list[tuple[int, str]]) -> bool:
    deadline = time.monotonic() + END_SECONDS
    while any(_lives(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _signal(processes: list[tuple[int, str]], number: signal.Signals) -> None:
    for process in processes:
        if _lives(process):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process[0], number)
