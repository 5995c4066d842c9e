"""What is wrong with a course file, and where."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

Where = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a course file; `line` is None where the format gives none (JSON)."""

    path: Where
    message: str
    line: int | None = None
    about: str = ""  # the question, in the author's words

    def __str__(self) -> str:
        return ": ".join(part for part in (dotted(self.path), self.about, self.message) if part)


@dataclass(slots=True)
class Skipped:
    """What a lenient `load` left out of a document, with the reasons."""

    file: Path
    faults: tuple[Fault, ...] = ()
    articles: tuple[str, ...] = ()  # slugs of lessons that lost their whole quiz

    def lines(self) -> list[str]:
        """One line per fault, as CourseError has them."""
        return _lines(self.file, self.faults)


class CourseError(Exception):
    """A course file that is refused, with everything that is wrong with it."""

    def __init__(self, file: Path, faults: Iterable[Fault]) -> None:
        self.file = file
        self.faults = tuple(faults)
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """One line per fault: file:line: path: reason."""
        return _lines(self.file, self.faults)


def _lines(file: Path, faults: Iterable[Fault]) -> list[str]:
    return [
        f"{file}:{fault.line}: {fault}" if fault.line else f"{file}: {fault}" for fault in faults
    ]


def dotted(path: Where) -> str:
    """A path as people write it: modules[2].lessons[0].weight."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            # A key comes from the file: it must not write control characters to a terminal.
            name = part if part.isprintable() else json.dumps(part)
            text += f".{name}" if text else name
    return text
