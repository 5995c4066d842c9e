"""The commands of bin/dev."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Sequence

from local import control, types
from local.process import StartError
from local.stack import DEFAULT_NAME, PARTS, Stack, StackError
from local.supervisor import Supervisor


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    options = _parse(arguments)
    try:
        stack = Stack(options.name)
        action: Callable[[Stack, argparse.Namespace], int] = options.action
        return action(stack, options)
    except (StackError, StartError) as problem:
        print(f"waymark: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    defaults: dict[str, object] = {f"{part}_port": None for part in PARTS}
    return _parser().parse_args(arguments, argparse.Namespace(name=DEFAULT_NAME, **defaults))


def _parser() -> argparse.ArgumentParser:
    # Options may stand before or after the command: a command's own default must not undo what
    # stood before it.
    name = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    name.add_argument("--name", help="which stack; others run beside the first (dev)")
    ports = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    for part in PARTS:
        ports.add_argument(
            *(["--port"] if part == "gateway" else []),
            f"--{part.replace('_', '-')}-port",
            dest=f"{part}_port",
            type=int,
            metavar="N",
            help=f"port of the {part.replace('_', ' ')} (else a free one, kept for later starts)",
        )
    parser = argparse.ArgumentParser(
        prog="bin/dev",
        description="The local Supabase stack. Without a command: run it in the foreground.",
        parents=[name, ports],
    )
    parser.set_defaults(action=_foreground)
    commands = parser.add_subparsers(title="commands", metavar="")

    def add(command: str, action: Callable[..., int], text: str, with_ports: bool) -> _Parser:
        added = commands.add_parser(
            command, help=text, description=text, parents=[name, ports] if with_ports else [name]
        )
        added.set_defaults(action=action)
        return added

    up = add("up", _up, "start the stack and apply new migrations", True)
    up.add_argument("--detach", action="store_true", help="return once it is up")
    status = add("status", _status, "show URLs, keys and processes", False)
    status.add_argument("-o", "--output", choices=["pretty", "env", "json"], default="pretty")
    add("down", _down, "end the stack and keep its data", False)
    reset = add("reset", _reset, "drop the stack's data and keys and start it afresh", True)
    reset.add_argument("--no-start", action="store_true", help="only drop them")
    add("types", _types, "write the player's types from the running stack", False)
    add("install", _install, "only install what the stack and the checks need", False)
    serve = commands.add_parser("serve", parents=[name, ports])
    serve.add_argument("--report", type=int, required=True)
    serve.add_argument("--volatile", action="store_true")
    serve.set_defaults(action=_serve)
    return parser


_Parser = argparse.ArgumentParser


def _take_ports(stack: Stack, options: argparse.Namespace) -> None:
    for part in PARTS:
        port = getattr(options, f"{part}_port")
        if port is not None:
            stack.asked_ports[part] = port


def _foreground(stack: Stack, options: argparse.Namespace) -> int:
    if not stack.try_lock():
        return _say_up(stack)
    _prepare(stack, options)
    begun = time.monotonic()

    def on_ready() -> None:
        print(_summary(stack))
        print(f"\nUp in {time.monotonic() - begun:.1f} s. Ctrl-C ends it.", flush=True)

    asyncio.run(_supervise(stack, _say, on_ready))
    return 0


def _prepare(stack: Stack, options: argparse.Namespace) -> None:
    # A supervisor that was killed may have left parts that are still on their way out.
    control.end(stack)
    stack.create_or_load()
    stack.asked_ports = {}
    _take_ports(stack, options)


def _up(stack: Stack, options: argparse.Namespace) -> int:
    if not options.detach:
        return _foreground(stack, options)
    if not stack.try_lock():
        return _say_up(stack)
    stack.unlock()
    _take_ports(stack, options)
    begun = time.monotonic()
    control.launch(stack, _say)
    stack.load()
    print(_summary(stack))
    print(f"\nUp in {time.monotonic() - begun:.1f} s. End it with: bin/dev down{_named(stack)}")
    return 0


def _serve(stack: Stack, options: argparse.Namespace) -> int:
    """Run the stack for `up --detach`, reporting over a pipe until it is up."""
    report = os.fdopen(options.report, "w", buffering=1)

    def tell(kind: str, text: str = "") -> None:
        if not report.closed:
            report.write(json.dumps({"kind": kind, "text": text}) + "\n")

    def on_ready() -> None:
        tell("ready")
        report.close()

    try:
        if not stack.try_lock():
            raise StackError(f"stack {stack.name!r} is being started by someone else")
        stack.durable = not options.volatile
        _prepare(stack, options)
        asyncio.run(_supervise(stack, lambda text: tell("say", text), on_ready))
    except (StackError, StartError) as problem:
        tell("failed", str(problem))
        return 1
    return 0


async def _supervise(stack: Stack, say: Callable[[str], None], ready: Callable[[], None]) -> None:
    await Supervisor(stack, say).run(ready)


def _say_up(stack: Stack) -> int:
    # Someone holds the lock: it is up, or about to be.
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = control.running(stack)
        if found and found.ready:
            stack.load()
            print(_summary(stack))
            print("\nIt was up already.")
            return 0
        if stack.try_lock():
            stack.unlock()
            raise StackError(f"stack {stack.name!r} was just ended; try again")
        time.sleep(0.1)
    raise StackError(f"stack {stack.name!r} is being started by someone else")


def _status(stack: Stack, options: argparse.Namespace) -> int:
    found = control.running(stack)
    if found is None or "supervisor" not in found.processes:
        print(f"waymark: stack {stack.name!r} is not running", file=sys.stderr)
        return 1
    stack.load()
    if options.output == "env":
        print("\n".join(f'{key}="{value}"' for key, value in stack.environment().items()))
    elif options.output == "json":
        print(json.dumps(stack.environment(), indent=2))
    else:
        print(_summary(stack))
        print()
        for key, (pid, _) in found.processes.items():
            print(f"  {key:18}process {pid}")
    return 0


def _down(stack: Stack, options: argparse.Namespace) -> int:
    ended = control.end(stack)
    print(f"Stack {stack.name!r} is down." if ended else f"Stack {stack.name!r} was not running.")
    return 0


def _reset(stack: Stack, options: argparse.Namespace) -> int:
    if stack.exists():
        stack.load()
        asked = dict(stack.asked_ports)
    else:
        asked = {}
    control.end(stack)
    if not stack.try_lock():
        raise StackError(f"stack {stack.name!r} is being started by someone else")
    stack.remove()
    stack.unlock()
    if options.no_start:
        print(f"Stack {stack.name!r} is gone.")
        return 0
    for part, port in asked.items():
        if getattr(options, f"{part}_port") is None:
            setattr(options, f"{part}_port", port)
    options.detach = True
    return _up(Stack(stack.name), options)


def _types(stack: Stack, options: argparse.Namespace) -> int:
    if control.running(stack) is None:
        raise StackError(f"stack {stack.name!r} is not running")
    stack.load()
    types.write(stack.database_url(), stack.environment()["FUNCTIONS_URL"])
    print(f"Written into {types.FOLDER}.")
    return 0


def _install(stack: Stack, options: argparse.Namespace) -> int:
    # bin/dev has installed everything before it called us.
    return 0


def _say(text: str) -> None:
    print(f"waymark: {text}", file=sys.stderr, flush=True)


def _named(stack: Stack) -> str:
    return "" if stack.name == DEFAULT_NAME else f" --name {stack.name}"


def _summary(stack: Stack) -> str:
    labels = {
        "API_URL": "API URL",
        "FUNCTIONS_URL": "Functions URL",
        "DB_URL": "Database URL",
        "PUBLISHABLE_KEY": "Publishable key",
        "SECRET_KEY": "Secret key",
        "JWT_SECRET": "JWT secret",
        "ANON_KEY": "anon key",
        "SERVICE_ROLE_KEY": "service_role key",
        "MAIL_FOLDER": "Mails in",
    }
    values = stack.environment()
    lines = [f"  {'Course player':18}{values['API_URL']}/"]
    lines += [f"  {label:18}{values[key]}" for key, label in labels.items()]
    return "\n".join([f"Stack {stack.name!r}, state and logs in {stack.folder}", *lines])


if __name__ == "__main__":
    sys.exit(main())
