"""Ways through a document that may be anything: what is missing or of another type is empty."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shared.courses.faults import Fault, Where


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def entries(parent: Any, field: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for index, child in listed(parent, field):
        yield index, mapping(child)


def listed(parent: Any, field: str) -> Iterator[tuple[int, Any]]:
    children = mapping(parent).get(field)
    return enumerate(children if isinstance(children, list) else [])


def lessons(data: Any) -> Iterator[tuple[Where, Mapping[str, Any]]]:
    for m, module in entries(data, "modules"):
        for n, lesson in entries(module, "lessons"):
            yield ("modules", m, "lessons", n), lesson


def question(fault: Fault, data: Any) -> Where | None:
    """The path of the question that a fault lies in, if in one."""
    path = fault.path[:7]
    if (
        len(path) < 7
        or path[::2] != ("modules", "lessons", "quiz", path[6])
        or path[5] != "questions"
    ):
        return None
    try:
        at(data, path)
    except (LookupError, TypeError):  # it stood under a key that was given a second time
        return None
    return path


def at(data: Any, path: Where) -> Any:
    for part in path:
        data = data[part]
    return data
