"""The course file: what an author writes, checked in full before it reaches the database.

`load` reads a file and either returns the document for the import_course RPC or raises CourseError
with every fault found; told so, it leaves faulty questions out instead. The format is explained in
docs/reference/course-format.md; its JSON Schema is generated from the models (format.py).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from shared.courses.content_files import contents
from shared.courses.faults import CourseError, Fault, Skipped, Where, dotted
from shared.courses.format import (
    KINDS,
    MAX_BYTES,
    QUIZ_RULES,
    SCHEMA_FILE,
    Certificate,
    Course,
    CourseFile,
    Language,
    Lesson,
    Media,
    Module,
    Option,
    Pair,
    Quiz,
    Resource,
    json_schema,
)
from shared.courses.rules import rule_faults
from shared.courses.shape import shape_faults
from shared.courses.syntax import Unreadable, YamlTree, parse_json, read_text
from shared.courses.tree import at, mapping, question

__all__ = [
    "KINDS",
    "SCHEMA_FILE",
    "Certificate",
    "Course",
    "CourseError",
    "CourseFile",
    "Language",
    "Lesson",
    "Media",
    "Module",
    "Option",
    "Pair",
    "Quiz",
    "Resource",
    "Skipped",
    "as_sql",
    "check",
    "dotted",
    "json_schema",
    "load",
]


def load(file: Path, skipped: Skipped | None = None) -> dict[str, Any]:
    """The document of a course file, its content files read in, ready for the RPC.

    Raises CourseError with all faults: of the syntax alone when it cannot be read at all. With
    `skipped`, faulty questions are left out and noted there; a quiz left empty makes its lesson an
    article.
    """
    source = _Source(file)
    text = source.text()
    try:
        data = source.parse(text)
    except Unreadable as problem:
        raise CourseError(file, [*source.faults, problem.fault]) from None
    return _checked(source, data, file.parent, skipped)


def check(
    data: Any, folder: Path, name: str = "course", skipped: Skipped | None = None
) -> dict[str, Any]:
    """The same for a document that is in memory already; `folder` is where content files lie."""
    return _checked(_Source(Path(name)), data, folder, skipped)


def _checked(source: _Source, data: Any, folder: Path, skipped: Skipped | None) -> dict[str, Any]:
    source.faults += shape_faults(data)
    shapes = len(source.faults)
    source.faults += rule_faults(data, frozenset())
    if skipped is not None:
        data = _without_faulty(source, shapes, data, skipped)
    texts = contents(data, folder, source.faults)
    if source.faults:
        raise CourseError(source.file, source.sorted_faults(data))

    document = CourseFile.model_validate(data).model_dump(exclude_unset=True, mode="json")
    for path, text in texts.items():
        lesson = document["modules"][path[1]]["lessons"][path[3]]
        del lesson["content_file"]
        lesson["content"] = text
    return document


def _without_faulty(source: _Source, shapes: int, data: Any, skipped: Skipped) -> Any:
    """The data less its faulty questions, whose faults go from the source to `skipped`."""
    out: set[Where] = set()
    told: list[Fault] = []
    while found := {place for fault in source.faults if (place := question(fault, data))} - out:
        out |= found
        told += [fault for fault in source.faults if question(fault, data)]
        # Faults of fields stay what they are; what a quiz as a whole lacks is to be seen again.
        rest = [fault for fault in source.faults[:shapes] if not question(fault, data)]
        shapes = len(rest)
        source.faults = [*rest, *rule_faults(data, frozenset(out))]
    if not out:
        return data
    reporter = _Source(source.file)
    reporter.lines, reporter.faults = source.lines, told
    skipped.faults = tuple(reporter.sorted_faults(data))

    data = copy.deepcopy(data)
    places = {path[:4] for path in out}
    for path in sorted(out, reverse=True):  # from the back, so that the other numbers stay true
        questions = at(data, path[:-1])
        del questions[path[-1]]
    for place in sorted(places):
        lesson = at(data, place)
        if lesson["quiz"]["questions"]:
            continue
        skipped.articles += (str(lesson.get("slug")),)
        for field in ("quiz", "pass_percent", *QUIZ_RULES):
            lesson.pop(field, None)
        lesson["type"] = "article"
        if lesson.get("completion_rule") in ("submit", "pass"):
            lesson["completion_rule"] = "manual"
    return data


class _Source:
    """One file on its way in: its faults so far, and the line of every value in it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.faults: list[Fault] = []
        self.lines: dict[Where, int] = {}

    def text(self) -> str:
        try:
            return read_text(self.file, MAX_BYTES)
        except ValueError as problem:
            raise CourseError(self.file, [Fault((), str(problem))]) from None

    def parse(self, text: str) -> Any:
        suffix = self.file.suffix.lower()
        if suffix == ".json":
            return parse_json(text, self.faults)
        if suffix in (".yaml", ".yml"):
            return YamlTree(text, self.faults, self.lines).value
        raise Unreadable(Fault((), "must end in .yaml, .yml or .json"))

    def sorted_faults(self, data: Any) -> list[Fault]:
        """In the order of the file, with lines; of two on one value the first says enough."""
        found: dict[Any, Fault] = {}
        for number, fault in enumerate(self.faults):
            found.setdefault(fault.path or number, fault)
        placed = [
            replace(fault, line=fault.line or self._line(fault.path), about=_about(fault, data))
            for fault in found.values()
        ]
        return sorted(placed, key=lambda fault: (fault.line or 0, *map(_order, fault.path)))

    def _line(self, path: Where) -> int | None:
        for length in range(len(path), -1, -1):
            if line := self.lines.get(path[:length]):
                return line
        return None


def _about(fault: Fault, data: Any) -> str:
    """Which lesson's quiz and which question it is, in words."""
    if fault.path[4:5] != ("quiz",):
        return ""
    try:
        lesson = at(data, fault.path[:4])
    except (LookupError, TypeError):
        return ""
    about = f"lesson {_named(lesson, 'slug', int(fault.path[3]) + 1)}"
    if place := question(fault, data):
        about += f", question {_named(at(data, place), 'id', int(place[-1]) + 1)}"
    return about


def _named(value: Any, key: str, otherwise: str | int) -> str | int:
    name = mapping(value).get(key)
    return name if isinstance(name, str) and name.isprintable() else otherwise


def _order(part: str | int) -> tuple[int, str]:
    return (part, "") if isinstance(part, int) else (-1, part)


def as_sql(document: Mapping[str, Any]) -> str:
    """The import of a document as one SQL statement, for a seed or the SQL editor."""
    text = json.dumps(document, indent=1, ensure_ascii=False)
    tag = "$course$"
    while tag in text:
        tag = f"{tag[:-1]}_$"
    note = "-- Made by `bin/admin courses sql` from a course file: edit that, not this."
    return f"{note}\nselect public.import_course({tag}{text}{tag}::jsonb);"
