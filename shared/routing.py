"""Routes as data: one row says method, path, body, RPC and status.

The boundary, the docs and the sweeps all read the same tables.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from shared.errors import Problem
from shared.models import Body, Empty, certificate_code, course_id, status_list, uuid_id

if TYPE_CHECKING:
    from shared.http import Call

PREFIX = ("functions", "v1")
JSON = "application/json; charset=utf-8"

# What may stand in a path: the RPC's argument that it becomes, and how it is read.
PARAMETERS: Mapping[str, tuple[str, Callable[[str], str | int]]] = {
    "attempt": ("p_attempt_id", uuid_id),
    "certificate": ("p_certificate_id", uuid_id),
    "code": ("p_code", certificate_code),
    "cohort": ("p_cohort_id", uuid_id),
    "course": ("p_course_id", course_id),
    "enrollment": ("p_enrollment_id", uuid_id),
    "key": ("key", str),
    "lesson": ("p_lesson_id", uuid_id),
    "list": ("p_list", status_list),
    "module": ("p_module_id", uuid_id),
    "program": ("p_program_id", course_id),
    "token": ("p_token", uuid_id),
    "user": ("p_user_id", uuid_id),
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
class Answer:
    """What a handler answers; its headers win over those of every answer."""

    content: bytes
    status: int = 200
    type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    # What follows the content, made while it is sent; it must end by itself and raise nothing.
    stream: AsyncIterator[bytes] | None = None


# For what is not the bare answer of an RPC; raises Problem.
Handler = Callable[["Call"], Awaitable[Answer]]
# Whom a route serves: signed-in users; anyone (a token is optional, but a bad one is refused);
# machines, whose Authorization is not looked at: their handler has a secret of its own to check.
Who = Literal["user", "anyone", "machine"]


@dataclass(frozen=True, slots=True)
class Route:
    """One row of a function's table. `path` has no leading slash; "" is the function's own path.

    The answer is the RPC's, or what `handler` makes of it. `body` is what comes as JSON, or as the
    query of a GET; None is for handlers who do not mind what comes. `types` are the media types
    that the answer may have; `redirects` says that it may also be a 303. `answer` is what JSON
    there is, by its name in shared.answers: "progress.Started".
    """

    method: str
    path: str
    rpc: str | None
    summary: str
    body: type[Body] | None = Empty
    status: int = 200
    report: Report | None = None
    who: Who = "user"
    handler: Handler | None = None
    types: Sequence[str] = ("application/json",)
    redirects: bool = False
    answer: str | None = None

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names in braces, in order."""
        return tuple(re.findall(r"{(\w+)}", self.path))

    def arguments(self, parameters: Mapping[str, str]) -> dict[str, Any]:
        """The path's ids as RPC arguments. Raises Problem invalid_id."""
        found = {}
        for name, text in parameters.items():
            argument, read = PARAMETERS[name]
            found[argument] = read(text)
        return found


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


def locate(
    functions: Sequence[Function], path: str, others: Sequence[Function] = ()
) -> tuple[Function, str]:
    """Which of `functions` a request path means, and the rest of the path for it.

    /functions/v1/progress/x, /progress/x and, where one function has a host to itself, /x are all
    the same. `others` are found by their name only. Raises Problem route_not_found.
    """
    parts = path.strip("/").split("/")
    if tuple(parts[:2]) == PREFIX:
        parts = parts[2:]
    for function in (*functions, *others):
        if parts and parts[0] == function.name:
            return function, "/".join(parts[1:])
    if len(functions) == 1:
        return functions[0], "/".join(parts)
    raise Problem("route_not_found")
