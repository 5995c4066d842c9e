"""One child process of the stack: started in its own group, watched, and ended by its id."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local.account import Account

PR_SET_PDEATHSIG = 1
LOG_TAIL = 15


class StartError(Exception):
    """A part did not come up; the text says which, and why as far as known."""


@dataclass
class Program:
    """How to run a part: what, as whom, where its words go, and when it is ready."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    is_ready: Callable[[], Awaitable[bool]]
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    # A part that dies is seen at once; this is for one that hangs, on however slow a machine.
    start_seconds: float = 120
    stop_seconds: float = 10
    inherit: Sequence[int] = field(default_factory=tuple)


class Child:
    """A running program."""

    def __init__(self, program: Program, process: asyncio.subprocess.Process) -> None:
        self.program = program
        self.process = process

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    async def stop(self) -> None:
        """End the process and whatever it started: kindly first, then for certain."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(self.program.stop_signal)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.process.wait(), self.program.stop_seconds)
        # The group outlives its leader while any member does, so this id is not reused.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        await self.process.wait()


async def start(program: Program) -> Child:
    """Start a program and wait until it is ready.

    Raises StartError when it ends early or is not ready in time; nothing is left running then.
    """
    program.log.parent.mkdir(exist_ok=True)
    account = program.account
    try:
        with program.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *program.command,
                env=program.environment,
                cwd=program.folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=program.inherit,
                preexec_fn=end_with_parent(program.stop_signal),
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
    except OSError as problem:
        raise StartError(f"{program.name}: cannot run {program.command[0]}: {problem}") from problem
    child = Child(program, process)
    try:
        await asyncio.wait_for(_wait_ready(child), program.start_seconds)
    except BaseException as problem:
        await child.stop()
        if isinstance(problem, asyncio.TimeoutError):
            seconds = f"{program.start_seconds:.0f} s"
            raise StartError(f"{program.name}: not ready after {seconds}") from problem
        raise
    return child


async def _wait_ready(child: Child) -> None:
    delay = 0.01
    while True:
        if child.process.returncode is not None:
            raise StartError(f"{child.program.name}: ended with {_status(child)}")
        if await child.program.is_ready():
            return
        await asyncio.sleep(delay)
        delay = min(delay * 1.5, 0.1)


def _status(child: Child) -> str:
    code = child.process.returncode or 0
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"status {code}"


def end_with_parent(how: signal.Signals) -> Callable[[], None] | None:
    """Return what a Linux child runs first to end when its parent is killed; else None."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def ask_kernel() -> None:
        libc.prctl(PR_SET_PDEATHSIG, how.value)
        if os.getppid() != parent:
            os._exit(1)

    return ask_kernel


def tail(log: Path, count: int = LOG_TAIL) -> list[str]:
    """Return the last lines of a log."""
    try:
        return log.read_text(errors="replace").splitlines()[-count:]
    except OSError:
        return []


def start_time(pid: int) -> str | None:
    """Return a mark of when a process started, or None when there is none: pids are reused."""
    try:
        # The name in brackets may contain spaces; the fields after it are fixed.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # A zombie has ended; only its parent has not asked how.
        return None if fields[0] == "Z" else fields[19]
    except (OSError, IndexError):
        pass
    if not Path("/proc/self").exists():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 0)
            return "unknown"
    return None
