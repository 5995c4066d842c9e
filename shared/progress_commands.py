"""The commands `bin/admin progress …`: past progress from another system, and counting again."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.operators import DONE, REFUSED, Action, Stop, on_project
from shared.progress_files import Fault, ProgressFile, Row, Unreadable

if TYPE_CHECKING:
    from shared.admin import Project

# One call: well below the eight seconds that a hosted database gives it.
BATCH = 1000
SMALLEST = 100
TRIES = 5


def add_commands(topics: argparse._SubParsersAction[Any]) -> None:
    """Make the topic known to the parser of bin/admin."""
    topic = topics.add_parser("progress", help="import past progress, recalculate, look for drift")
    commands = topic.add_subparsers(title="commands", metavar="", required=True)

    def add(name: str, action: Action, text: str) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
        added.set_defaults(action=on_project(action))
        return added

    importing = add("import", _import, "take over enrolments and completions with their dates")
    importing.add_argument("file", metavar="FILE", type=Path, help=".csv with a header, or .jsonl")
    importing.add_argument("--dry-run", action="store_true", help="only say what would change")
    importing.add_argument(
        "--ignore", metavar="COLUMN", action="append", default=[], help="leave a column out"
    )
    importing.add_argument(
        "--date", metavar="DATE", help="of completions that the file has no date for"
    )
    counting = add("recalculate", _recalculate, "count again, tell what had drifted, and mend it")
    which = counting.add_mutually_exclusive_group(required=True)
    which.add_argument("--enrollment", metavar="ID", help="one enrolment")
    which.add_argument("--course", metavar="ID", type=int, help="one course")
    which.add_argument("--all", action="store_true", help="every enrolment")
    counting.add_argument("--dry-run", action="store_true", help="only tell")
    add("health", _health, "what the running check for drift has found")


class _Bar:
    """How far a file is read, on a terminal; nothing elsewhere."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._shown = sys.stderr.isatty()
        self._begun = time.monotonic()
        self.rows = 0

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / max(time.monotonic() - self._begun, 0.001)

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._begun

    def show(self, position: int) -> None:
        """Draw the bar anew."""
        if self._shown:
            share = min(position / self._size, 1) if self._size else 1
            bar = "#" * round(30 * share)
            text = f"\r[{bar:30}] {share:4.0%}  {self.rows:,} rows  {self.rate:,.0f}/s "
            print(text, end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Make room for a line."""
        if self._shown:
            print("\r" + " " * 70 + "\r", end="", file=sys.stderr, flush=True)


def _import(options: argparse.Namespace, project: Project) -> int:
    try:
        return _imported(options, project)
    except Unreadable as problem:
        raise Stop(REFUSED, f"{options.file}: {problem}") from None


def _imported(options: argparse.Namespace, project: Project) -> int:
    counts = dict.fromkeys(("enrolled", "completed", "started", "scored"), 0)
    refused = 0
    with ProgressFile(options.file, ignore=options.ignore, date=options.date) as file:
        bar = _Bar(file.size)
        items = iter(file)
        while batch := list(islice(items, BATCH)):
            faults = [item for item in batch if isinstance(item, Fault)]
            rows = [item for item in batch if not isinstance(item, Fault)]
            for answer in _sent(project, rows, dry_run=options.dry_run):
                faults += (Fault(**error) for error in answer["errors"])
                for name in counts:
                    counts[name] += answer[name]
            bar.rows += len(batch)
            refused += len(faults)
            if faults:
                bar.clear()
            for fault in sorted(faults, key=lambda fault: fault.line):
                where = f"{options.file}:{fault.line}"
                print(f"{where}: {fault.field}: {fault.message}", file=sys.stderr)
            bar.show(file.position)
        bar.clear()
    would = "would be " if options.dry_run else ""
    told = ", ".join(f"{count:,} {would}{name}" for name, count in counts.items())
    print(f"{bar.rows:,} rows: {told}; {refused:,} refused")
    print(f"{bar.seconds:.1f} s, {bar.rate:,.0f} rows a second")
    return REFUSED if refused else DONE


def _sent(project: Project, rows: list[Row], *, dry_run: bool) -> Iterator[dict[str, Any]]:
    """The answers to a batch: smaller when it takes too long, later when nobody answers."""
    from shared import admin

    if not rows:
        return
    for attempt in range(1, TRIES + 1):
        try:
            yield project.import_progress(rows, dry_run=dry_run)
            return
        except admin.Away:
            if attempt == TRIES:
                raise
        if len(rows) > SMALLEST:
            half = len(rows) // 2
            yield from _sent(project, rows[:half], dry_run=dry_run)
            yield from _sent(project, rows[half:], dry_run=dry_run)
            return
        time.sleep(attempt)


def _recalculate(options: argparse.Namespace, project: Project) -> int:
    which = (
        {"p_enrollment_id": options.enrollment}
        if options.enrollment
        else {"p_all": True}
        if options.all
        else {"p_course_id": options.course}
    )
    checked = changed = failed = 0
    cursor = None
    while True:
        part = project.recalculate({**which, "p_cursor": cursor}, dry_run=options.dry_run)
        for drift in part["drift"]:
            print(f"enrolment {drift['enrollment_id']} (course {drift['course_id']})", _why(drift))
            for line in _differences(drift):
                print(f"  {line}")
        for failure in part["failed"]:
            print(f"enrolment {failure['enrollment_id']}: {failure['message']}", file=sys.stderr)
        checked += part["checked"]
        changed += part["changed"]
        failed += len(part["failed"])
        cursor = part["cursor"]
        if cursor is None:
            break
    done = "differ" if options.dry_run else "mended"
    print(f"{checked:,} enrolments counted, {changed:,} {done}, {failed:,} failed")
    return REFUSED if failed else DONE


def _why(drift: dict[str, Any]) -> str:
    return "had not been settled yet" if drift["by"] == "catalog" else "had drifted"


def _differences(drift: dict[str, Any]) -> Iterator[str]:
    for name in drift["before"] or ():
        before, after = drift["before"][name], drift["after"][name]
        if before != after:
            yield f"{name}: {before} -> {after}"
    for module in drift["modules"]:
        for name, after in module["after"].items():
            before = (module["before"] or {}).get(name)
            if before != after:
                yield f"module {module['module_id']}: {name}: {before} -> {after}"


def _health(_: argparse.Namespace, project: Project) -> int:
    for name, value in project.drift_health().items():
        print(f"{name:14} {'never' if value is None else value}")
    return DONE
