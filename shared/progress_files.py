"""Files of past progress as other systems export them: read line by line into rows of an import.

A row is what `public.import_progress` takes. What a file means is decided here; whether a user, a
lesson or a date exists is for the database to say.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

Row = dict[str, Any]

USER = ("user_id", "user", "email", "user_email")
COURSE = ("course_id", "course", "course_slug")
LESSON = ("lesson_id", "lesson", "lesson_slug")
LIST = ("completed_lessons", "completed_lesson_ids")
STATUS = ("status", "is_completed", "completed")
SCORE = ("best_score", "score", "percent")
# Where a system kept no time of its own for what is asked.
LAST = ("updated_at", "last_accessed_at", "last_accessed", "created_at")
FIRST = ("created_at", "last_accessed_at", "last_accessed", "updated_at")
TIMES = ("enrolled_at", "started_at", "completed_at")
UNUSED = ("id", "progress")
KNOWN = frozenset((*USER, *COURSE, *LESSON, *LIST, *STATUS, *SCORE, *TIMES, *LAST, *UNUSED))

WORDS = {
    **dict.fromkeys(("completed", "complete", "done", "finished", "passed"), "completed"),
    **dict.fromkeys(("in_progress", "in progress", "in-progress", "started"), "in_progress"),
    **dict.fromkeys(("not_started", "not started", "not-started", ""), None),
    **dict.fromkeys(("true", "t", "1", "yes", "y"), "completed"),
    **dict.fromkeys(("false", "f", "0", "no", "n"), None),
}
LONGEST = 16 * 1024 * 1024  # a line: a list of every lesson there is


class Unreadable(Exception):
    """A file that is none of ours; the message says why."""


@dataclass(frozen=True)
class Fault:
    """A line that makes no row."""

    line: int
    field: str
    message: str


class ProgressFile:
    """A CSV file with a header, or JSON objects one a line (.jsonl, .ndjson).

    Iterating gives rows and faults in order, however long the file is.
    """

    def __init__(
        self, path: Path, *, ignore: Collection[str] = (), date: str | None = None
    ) -> None:
        self.path = path
        self._ignored = frozenset(ignore)
        self._date = date
        self._file: TextIO

    def __enter__(self) -> ProgressFile:
        try:
            # A wrong letter spoils its line, not the file.
            self._file = self.path.open(encoding="utf-8-sig", errors="replace", newline="")
            self.size = self.path.stat().st_size
        except OSError as problem:
            raise Unreadable(str(problem.strerror)) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def position(self) -> int:
        """How many bytes were read."""
        return self._file.buffer.tell()

    def __iter__(self) -> Iterator[Row | Fault]:
        """Raises Unreadable for a file that cannot be read on."""
        lines = self.path.suffix.lower() in (".jsonl", ".ndjson")
        for line, cells in self._objects() if lines else self._table():
            if isinstance(cells, Fault):
                yield cells
            else:
                yield from self._rows(line, cells)

    def _table(self) -> Iterator[tuple[int, Mapping[str, Any] | Fault]]:
        csv.field_size_limit(LONGEST)
        head = self._file.readline()
        delimiter = max(",;\t", key=head.count)
        columns = [
            name.strip().lower() for name in next(csv.reader([head], delimiter=delimiter), [])
        ]
        self._check(columns)
        if len(set(columns)) < len(columns):
            raise Unreadable("a column's name stands twice in the header")
        reader = csv.reader(self._file, delimiter=delimiter)
        line = 2
        try:
            for cells in reader:
                if len(cells) > len(columns):
                    yield line, Fault(line, "line", "has more cells than the header")
                elif any(cells):
                    yield line, dict(zip(columns, cells, strict=False))
                line = reader.line_num + 2
        except csv.Error as problem:
            raise Unreadable(f"line {line}: {problem}") from None

    def _objects(self) -> Iterator[tuple[int, Mapping[str, Any] | Fault]]:
        line = 0
        while text := self._file.readline(LONGEST):
            line += 1
            if not text.strip():
                continue
            try:
                found = json.loads(text)
            except ValueError:
                yield line, Fault(line, "line", "is no JSON")
                continue
            if not isinstance(found, dict):
                yield line, Fault(line, "line", "is no JSON object")
                continue
            cells = {str(name).lower(): value for name, value in found.items()}
            unknown = cells.keys() - KNOWN - self._ignored
            if unknown:
                yield line, Fault(line, min(unknown), "is an unknown column")
            else:
                yield line, cells

    def _check(self, columns: list[str]) -> None:
        for name in columns:
            if name not in KNOWN and name not in self._ignored:
                raise Unreadable(f"unknown column {name!r}; leave it out with --ignore {name}")
        if not any(name in columns for name in USER):
            raise Unreadable(f"there is no column of users ({', '.join(USER)})")

    def _rows(self, line: int, cells: Mapping[str, Any]) -> Iterator[Row | Fault]:
        def first(names: tuple[str, ...]) -> str | None:
            return next((text for name in names if (text := _text(cells.get(name)))), None)

        row: Row = {
            "line": line,
            "user": first(USER),
            "course": first(COURSE),
            "enrolled_at": first(("enrolled_at",)),
            "started_at": first(("started_at",)),
        }
        lesson = first(LESSON)
        listed = next((cells[name] for name in LIST if cells.get(name) not in (None, "")), None)
        try:
            status = _status(cells, lesson is not None)
            names = [] if listed is None else _listed(listed)
        except ValueError as problem:
            field, _, message = str(problem).partition(": ")
            yield Fault(line, field, message)
            return
        done = first(("completed_at", *LAST)) or self._date
        score = _score(first(SCORE))
        if listed is not None:
            # Each at its own time, where the list has one.
            for item in names:
                yield _clean({**row, "status": "completed", "completed_at": done, **item})
            if not names and row["course"]:
                yield _clean({**row, "started_at": None})
        elif lesson is None:
            yield _clean({**row, "status": status, "completed_at": first(("completed_at",))})
        elif status == "completed":
            row |= {"lesson": lesson, "score": score}
            yield _clean({**row, "status": status, "completed_at": done})
        elif status == "in_progress":
            row |= {"lesson": lesson, "score": score}
            started = first(("started_at", *FIRST)) or self._date
            yield _clean({**row, "status": status, "started_at": started})


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _clean(row: Row) -> Row | Fault:
    """Without what is empty. PostgreSQL keeps no zero characters."""
    for name, value in row.items():
        if isinstance(value, str) and "\0" in value:
            return Fault(row["line"], name, "holds a zero character")
    return {name: value for name, value in row.items() if value not in (None, "")}


def _status(cells: Mapping[str, Any], of_lesson: bool) -> str | None:
    """What any of the columns of states says; without one, a lesson told of is a completed one."""
    said = [name for name in STATUS if name in cells]
    states = []
    for name in said:
        word = _text(cells[name]).lower()
        if word not in WORDS:
            raise ValueError(f"{name}: must be completed, in_progress or not_started")
        states.append(WORDS[word])
    if not said:
        return "completed" if of_lesson else None
    if not of_lesson:
        return None
    return next((state for state in ("completed", "in_progress") if state in states), None)


def _score(text: str | None) -> str | None:
    """Percent, whether it is written with its sign or not."""
    return text and text.removesuffix("%").rstrip()


def _listed(value: Any) -> list[Row]:
    """Lessons of a list, with what is said of each: JSON, or an array as PostgreSQL prints it."""
    if isinstance(value, str):
        text = value.strip()
        try:
            if text.startswith("{") and text.endswith("}"):
                value = next(csv.reader([text[1:-1]]), [])
            else:
                value = json.loads(text)
        except (ValueError, csv.Error):
            value = None
    if not isinstance(value, list):
        raise ValueError("completed_lessons: is no list")
    return [_named(item) for item in value]


def _named(item: Any) -> Row:
    of = item if isinstance(item, dict) else {"lesson": item}
    name = next((of[key] for key in (*LESSON, "id", "slug") if of.get(key)), None)
    if not isinstance(name, str | int) or isinstance(name, bool) or not str(name).strip():
        raise ValueError("completed_lessons: holds what names no lesson")
    said = {
        "lesson": str(name).strip(),
        "completed_at": _text(of.get("completed_at")),
        "score": _score(next((text for key in SCORE if (text := _text(of.get(key)))), None)),
    }
    return {key: value for key, value in said.items() if value}
