"""The supervisor of one stack: starts the parts in order, restarts what dies, ends them all."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import os
import signal
import socket
import time
from collections.abc import Callable

from local import database, migrations, parts
from local.ports import HOST, Reservations, is_free
from local.process import Child, Program, StartError, start, start_time, tail
from local.stack import PARTS, Stack

LONGEST_PAUSE = 5.0
STEADY_SECONDS = 10.0

Say = Callable[[str], None]


class Supervisor:
    """Runs a stack whose lock the caller holds."""

    def __init__(self, stack: Stack, say: Say) -> None:
        self._stack = stack
        self._say = say
        self._children: dict[str, Child] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._listener: socket.socket | None = None
        self._reservations = Reservations()
        self.stop_asked = asyncio.Event()

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Start everything, call `on_ready`, and supervise until a stop is asked for.

        Raises StartError when the start fails; in every case nothing is left running.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.stop_asked.set)
        try:
            starting = asyncio.create_task(self._start_all())
            asked = asyncio.create_task(self.stop_asked.wait())
            await asyncio.wait([starting, asked], return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await starting
                self._record(ready=True)
                on_ready()
                await asked
            asked.cancel()
        finally:
            await self._stop_all()

    # Start

    async def _start_all(self) -> None:
        stack = self._stack
        self._choose_ports()
        self._record(ready=False)
        await self._start_part("database", lambda: database.program(stack))
        await database.prepare_roles(stack)
        await database.prepare_realtime(stack)
        # Before the migrations: it makes schema auth, which they refer to.
        await self._start_part("auth", lambda: parts.auth(stack))
        await database.prepare_services(stack)
        await migrations.push(stack)
        await database.put_secrets(stack)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._start_part("postgrest", lambda: parts.postgrest(stack)))
                group.create_task(self._start_part("functions", lambda: parts.functions(stack)))
                group.create_task(self._start_part("mail", lambda: parts.mail(stack)))
                group.create_task(self._start_part("realtime", lambda: parts.realtime(stack)))
        except ExceptionGroup as problems:
            # The group has ended the other start; the first failure is the one to tell.
            raise problems.exceptions[0] from problems
        listener = self._listener
        assert listener is not None
        await self._start_part("gateway", lambda: parts.gateway(stack, listener.fileno()))
        await self._start_part("worker", lambda: parts.worker(stack))

    def _choose_ports(self) -> None:
        """Keep asked ports, take earlier ones again where they are free, and others anew."""
        stack = self._stack
        asked, earlier = stack.asked_ports, stack.ports
        stack.ports = {}
        for part in PARTS:
            port = asked.get(part)
            if port is not None:
                if not is_free(port):
                    raise StartError(f"{part}: port {port} is taken")
            else:
                port = earlier.get(part, 0)
                if not port or port in stack.ports.values() or not is_free(port):
                    port = self._reservations.take()
            stack.ports[part] = port
        self._reservations.release(stack.ports["gateway"])
        # The supervisor keeps the socket: the port stays ours while the gateway restarts.
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, stack.ports["gateway"]))
            listener.listen(1024)
        except OSError as problem:
            raise StartError(f"gateway: port {stack.ports['gateway']}: {problem}") from problem
        self._listener = listener
        stack.save()

    async def _start_part(self, key: str, make: Callable[[], Program]) -> None:
        for port in (key, f"{key}_admin"):
            self._reservations.release(self._stack.ports.get(port, 0))
        program = make()
        try:
            child = await start(program)
        except StartError as problem:
            lines = "\n".join(f"  {line}" for line in tail(program.log))
            raise StartError(f"{problem}\nlast lines of {program.log}:\n{lines}") from problem
        self._children[key] = child
        self._record(ready=False)
        self._tasks.append(asyncio.create_task(self._keep(key, child, make)))

    # Supervision

    async def _keep(self, key: str, child: Child, make: Callable[[], Program]) -> None:
        """Restart a part whenever it ends, with longer pauses while it keeps failing."""
        pause = 0.1
        while True:
            since = time.monotonic()
            await child.process.wait()
            name = child.program.name
            self._log(f"{name} ended with {child.process.returncode}; starting it again")
            # What it started may outlive it.
            await child.stop()
            if time.monotonic() - since > STEADY_SECONDS:
                pause = 0.1
            while True:
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                try:
                    child = await start(make())
                except StartError as problem:
                    self._log(str(problem))
                else:
                    break
            self._children[key] = child
            self._record(ready=True)
            self._log(f"{name} is back as process {child.pid}")

    def _log(self, text: str) -> None:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        with (self._stack.folder / "logs" / "supervisor.log").open("a") as file:
            file.write(f"{now} {text}\n")
        self._say(text)

    def _record(self, ready: bool) -> None:
        """Write down which processes run, so that other commands find them."""
        processes = {"supervisor": os.getpid()}
        processes |= {key: child.pid for key, child in self._children.items()}
        data = {
            "ready": ready,
            "processes": {key: [pid, start_time(pid)] for key, pid in processes.items()},
        }
        self._stack.write_private("running.json", json.dumps(data))

    # End

    async def _stop_all(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # Backwards: nobody should ask a part that is already gone.
        for child in reversed(self._children.values()):
            await child.stop()
        self._reservations.release_all()
        if self._listener is not None:
            self._listener.close()
        (self._stack.folder / "running.json").unlink(missing_ok=True)
