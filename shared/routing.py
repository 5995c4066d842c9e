"""Routes as data: one row says method, path, body, RPC and status.

The boundary, the docs and the sweeps all read the same tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.errors import Problem
from shared.models import Body, Empty, course_id, uuid_id

PREFIX = ("functions", "v1")

# What may stand in a path, and how it is read; `{lesson}` becomes the RPC's argument p_lesson_id.
PARAMETERS: Mapping[str, Callable[[str], str | int]] = {
    "attempt": uuid_id,
    "course": course_id,
    "lesson": uuid_id,
    "module": uuid_id,
}


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth its own log line: a word for it and its facts."""

    name: str
    facts: Mapping[str, Any]


def completion(user: str | None, lesson: object, course: object, time: object) -> Event:
    """A learner has completed a lesson."""
    return Event("completion", {"user": user, "lesson": lesson, "course": course, "time": time})


# Reads events off a command's answer; gets the caller's user id, the body and the answer.
Report = Callable[[str | None, Body, Mapping[str, Any]], Iterator[Event]]


@dataclass(frozen=True, slots=True)
class Route:
    """One row of a function's table. `path` has no leading slash; "" is the function's own path.

    A query string is read where there is a model for it, and ignored elsewhere. `sign_in` is what a
    visitor is told, where an interface is to show it.
    """

    method: str
    path: str
    rpc: str
    summary: str
    body: type[Body] = Empty
    query: type[Body] | None = None
    sign_in: str | None = None
    status: int = 200
    report: Report | None = None

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names in braces, in order."""
        return tuple(re.findall(r"{(\w+)}", self.path))

    def arguments(self, parameters: Mapping[str, str]) -> dict[str, Any]:
        """The path's ids as RPC arguments. Raises Problem invalid_id."""
        return {f"p_{name}_id": PARAMETERS[name](text) for name, text in parameters.items()}


@dataclass(frozen=True, slots=True)
class Function:
    """A deployable function: its name and its routes, ready to be matched."""

    name: str
    routes: Sequence[Route]
    _patterns: Mapping[re.Pattern[str], Mapping[str, Route]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        patterns: dict[re.Pattern[str], dict[str, Route]] = {}
        for route in self.routes:
            pattern = re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", route.path))
            patterns.setdefault(pattern, {})[route.method] = route
        object.__setattr__(self, "_patterns", patterns)

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route and its raw path values; HEAD finds what GET does.

        Raises Problem route_not_found or method_not_allowed.
        """
        for pattern, methods in self._patterns.items():
            match = pattern.fullmatch(path)
            if match is None:
                continue
            route = methods.get("GET" if method == "HEAD" else method)
            if route is None:
                allowed = {*methods, "OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
                allow = ", ".join(sorted(allowed))
                raise Problem("method_not_allowed", headers={"Allow": allow})
            return route, match.groupdict()
        raise Problem("route_not_found")


def locate(functions: Sequence[Function], path: str) -> tuple[Function, str]:
    """Which of `functions` a request path means, and the rest of the path for it.

    /functions/v1/progress/x, /progress/x and, where one function has a host to itself, /x are all
    the same. Raises Problem route_not_found.
    """
    parts = path.strip("/").split("/")
    if tuple(parts[:2]) == PREFIX:
        parts = parts[2:]
    for function in functions:
        if parts and parts[0] == function.name:
            return function, "/".join(parts[1:])
    if len(functions) == 1:
        return functions[0], "/".join(parts)
    raise Problem("route_not_found")
