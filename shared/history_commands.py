"""The commands `bin/admin history …`: exporting it, replaying it, and which months there are."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from shared import replay, xapi
from shared.operators import DONE, REFUSED, Action, Stop, on_project

if TYPE_CHECKING:
    from shared.admin import Project

PAGE = 1000
TRIES = 5


def add_commands(topics: argparse._SubParsersAction[Any]) -> None:
    """Make the topic known to the parser of bin/admin."""
    topic = topics.add_parser("history", help="export the history of events, replay it")
    commands = topic.add_subparsers(title="commands", metavar="", required=True)

    def add(name: str, action: Action, text: str) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
        added.set_defaults(action=on_project(action))
        return added

    exporting = add("export", _export, "write events, or xAPI statements, one a line")
    exporting.add_argument("--format", choices=("jsonl", "xapi"), default="jsonl")
    where = exporting.add_mutually_exclusive_group()
    where.add_argument(
        "--to",
        metavar="FILE",
        type=Path,
        help="append to this file and keep the cursor beside it; again goes on",
    )
    where.add_argument("--cursor", help="go on from here; the last line on stderr tells the next")
    exporting.add_argument("--base", help="address that ids of activities begin with")
    exporting.add_argument("--home-page", help="address that accounts belong to (the base)")
    replaying = add("replay", _replay, "compare learners' rows with what their events say")
    replaying.add_argument("users", metavar="USER", nargs="+", help="id of a user")
    add("health", _health, "which months of the history there are")


def _export(options: argparse.Namespace, project: Project) -> int:
    base = (options.base or project.url).rstrip("/")
    home_page = options.home_page or base
    count = 0

    def lines(events: list[dict[str, Any]]) -> Iterator[str]:
        for event in events:
            told = event if options.format == "jsonl" else xapi.statement(event, base, home_page)
            if told is not None:
                yield json.dumps(told, separators=(",", ":"), ensure_ascii=False) + "\n"

    if options.to is None:
        cursor = options.cursor
        for page in _pages(project, cursor):
            cursor = page["cursor"]
            sys.stdout.writelines(lines(page["events"]))
            count += len(page["events"])
        sys.stdout.flush()
        print(f"bin/admin: {count:,} events; cursor {cursor}", file=sys.stderr)
        return DONE
    kept = options.to.with_name(options.to.name + ".cursor")
    with options.to.open("ab") as file:
        cursor = _resumed(file, kept)
        for page in _pages(project, cursor):
            file.writelines(line.encode() for line in lines(page["events"]))
            _keep(file, kept, page["cursor"])
            count += len(page["events"])
    print(f"{count:,} events added to {options.to}")
    return DONE


def _pages(project: Project, cursor: str | None) -> Iterator[dict[str, Any]]:
    """Pages up to the last that has events, each tried again for a while."""
    from shared import admin

    while True:
        for attempt in range(1, TRIES + 1):
            try:
                page = project.events(cursor, PAGE)
                break
            except admin.Away:
                if attempt == TRIES:
                    raise
                time.sleep(attempt)
        yield page
        cursor = page["cursor"]
        if not page["events"]:
            return


def _resumed(file: IO[bytes], kept: Path) -> str | None:
    """The cursor to go on from; what a killed export wrote beyond it is cut off."""
    size, cursor = 0, None
    if kept.exists():
        state = json.loads(kept.read_text("utf-8"))
        size, cursor = state["bytes"], state["cursor"]
    if file.tell() < size:
        raise Stop(REFUSED, f"bin/admin: {file.name} is shorter than an earlier export left it")
    if cursor is None and file.tell():
        raise Stop(REFUSED, f"bin/admin: {file.name} is there already, and no cursor is beside it")
    file.truncate(size)
    return cursor


def _keep(file: IO[bytes], kept: Path, cursor: str) -> None:
    """First the lines, then how far they go; the second in one step."""
    file.flush()
    os.fsync(file.fileno())
    new = kept.with_name(kept.name + ".new")
    new.write_text(json.dumps({"bytes": file.tell(), "cursor": cursor}), "utf-8")
    new.replace(kept)


def _replay(options: argparse.Namespace, project: Project) -> int:
    wrong = 0
    for user in options.users:
        history = project.history(user)
        found = list(replay.differences(history))
        wrong += bool(found)
        count = len(history["events"])
        print(f"{user}: {count:,} events, {'differs' if found else 'as the tables say'}")
        for line in found:
            print(f"  {line}")
    return REFUSED if wrong else DONE


def _health(_: argparse.Namespace, project: Project) -> int:
    for name, value in project.history_health().items():
        print(f"{name:14} {value}")
    return DONE
