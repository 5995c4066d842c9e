"""The texts that lie in files of their own beside the course file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from shared.courses.faults import Fault
from shared.courses.format import MAX_BYTES
from shared.courses.shape import shown
from shared.courses.syntax import read_text
from shared.courses.tree import lessons


def contents(data: Any, folder: Path, faults: list[Fault]) -> dict[Any, str]:
    """The text of every content file, by the path of its lesson; what is wrong goes to `faults`."""
    found: dict[Any, str] = {}
    left = MAX_BYTES
    for path, lesson in lessons(data):
        name = lesson.get("content_file")
        if not isinstance(name, str) or not name:
            continue
        place = (*path, "content_file")
        try:
            text = _content(folder, name)
        except ValueError as problem:
            faults.append(Fault(place, f"{shown(name)} {problem}"))
            continue
        left -= len(text.encode())
        if left < 0:
            faults.append(Fault(place, "takes the content files together over 16 MiB"))
            break
        found[path] = text
    return found


def _content(folder: Path, name: str) -> str:
    # Resolved first: neither "..", nor an absolute path, nor a symbolic link leads out.
    root = folder.resolve()
    try:
        file = (root / name).resolve()
    except (OSError, ValueError, RuntimeError):
        raise ValueError("is no path") from None
    if not file.is_relative_to(root) or file == root:
        raise ValueError("lies outside the folder of the course file")
    text = read_text(file, 4_000_000)
    if len(text) > 1_000_000:
        raise ValueError("has more than 1000000 characters")
    if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", text):
        raise ValueError("holds characters that text cannot have")
    return text
