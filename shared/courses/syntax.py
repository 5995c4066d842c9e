"""From the text of a file to plain values, with the line of each where the format tells it."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from shared.courses.faults import Fault, Where
from shared.courses.format import MAX_DEPTH


class Unreadable(Exception):
    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(str(fault))


def read_text(file: Path, limit: int) -> str:
    """Raises ValueError with the reason, in words for the author."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise ValueError("is not a file")
        with file.open("rb") as opened:
            data = opened.read(limit + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or 'no such file'}") from None
    if len(data) > limit:
        raise ValueError(f"is larger than {limit // 1024} KiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 text (byte {error.start})") from None


def parse_json(text: str, faults: list[Fault]) -> Any:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in items:
            if key in found:
                faults.append(Fault((), f'the key "{key}" stands twice in one object'))
            found[key] = value
        return found

    def constant(name: str) -> Any:
        raise ValueError(f"{name} is not a JSON number")

    try:
        return json.loads(
            text,
            object_pairs_hook=pairs,
            parse_constant=constant,
            parse_int=_integer,
            parse_float=_fraction,
        )
    except json.JSONDecodeError as error:
        raise Unreadable(Fault((), f"is not JSON: {error.msg}", error.lineno)) from None
    except ValueError as error:
        raise Unreadable(Fault((), f"is not JSON: {error}")) from None
    except RecursionError:
        raise Unreadable(Fault((), "is nested too deeply")) from None


def _integer(digits: str) -> int | str:
    # Converting a million digits takes minutes; left as text it is refused as no integer.
    return int(digits) if len(digits) <= 18 else digits


def _fraction(digits: str) -> float | str:
    # Left as text where a float would be another number: the answer to a question is exact.
    value = float(digits)
    try:
        exact = len(digits) <= 100 and Decimal(digits) == Decimal(repr(value))
    except ArithmeticError:  # an exponent beyond all bounds
        exact = False
    return value if exact else digits


class YamlTree:
    """Plain values out of YAML events, and nothing else that YAML can do.

    Aliases are refused (a few lines of them can stand for gigabytes), tags too. Only true, false,
    null and decimal numbers are more than text, so that `title: No` is a title.
    """

    _NULL = ("", "~", "null", "Null", "NULL")
    _BOOL: Mapping[str, bool] = {
        "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False
    }  # fmt: skip
    _INTEGER = re.compile(r"[-+]?\d+")
    _FLOAT = re.compile(r"[-+]?\d+\.\d+")

    def __init__(self, text: str, faults: list[Fault], lines: dict[Where, int]) -> None:
        self._faults = faults
        self._lines = lines
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self._events: Iterator[Any] = yaml.parse(text, Loader=loader)
        try:
            self.value = self._document()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            raise Unreadable(
                Fault((), f"is not YAML: {error.problem}", mark.line + 1 if mark else None)
            ) from None
        except yaml.YAMLError as error:
            reason = getattr(error, "reason", None) or "unreadable"
            raise Unreadable(Fault((), f"is not YAML: {reason}")) from None

    def _document(self) -> Any:
        value: Any = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._stop(event, "holds more than one YAML document")
                value = self._node(next(self._events), ())
        if not documents:
            raise Unreadable(Fault((), "is empty"))
        return value

    def _node(self, event: Any, path: Where) -> Any:
        line = event.start_mark.line + 1
        # A key's own line, noted by the mapping, is where an author looks first.
        self._lines.setdefault(path, line)
        if len(path) > MAX_DEPTH:
            raise self._stop(event, "is nested too deeply")
        if isinstance(event, yaml.AliasEvent):
            self._faults.append(Fault(path, "aliases (*name) are not allowed: write it out", line))
            return None
        if event.anchor:
            self._faults.append(Fault(path, "anchors (&name) are not allowed", line))
        if event.tag not in (None, "!"):
            self._faults.append(Fault(path, f"the tag {event.tag} is not allowed", line))
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        return self._scalar(event)

    def _sequence(self, path: Where) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._node(event, (*path, len(values))))
        return values

    def _mapping(self, path: Where) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            line = event.start_mark.line + 1
            if not isinstance(event, yaml.ScalarEvent):
                raise self._stop(event, "a key must be plain text")
            key = event.value
            place = (*path, key)
            if key in values:
                self._faults.append(Fault(place, "stands here a second time", line))
            self._lines[place] = line
            values[key] = self._node(next(self._events), place)
        return values

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if event.style not in (None, ""):
            return text
        if text in self._NULL:
            return None
        if text in self._BOOL:
            return self._BOOL[text]
        if self._INTEGER.fullmatch(text):
            return _integer(text)
        if self._FLOAT.fullmatch(text):
            return _fraction(text)
        return text

    @staticmethod
    def _stop(event: Any, message: str) -> Unreadable:
        return Unreadable(Fault((), message, event.start_mark.line + 1))
