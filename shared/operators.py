"""What all commands of bin/admin share: exit statuses, how one ends early, and the project."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.admin import Project

DONE, REFUSED, USAGE = 0, 1, 2


class Stop(Exception):
    """A command cannot go on: the exit status, and what to say."""

    def __init__(self, status: int, *lines: str) -> None:
        self.status, self.lines = status, lines
        super().__init__(*lines)


@contextlib.contextmanager
def project(doing: str | None = None, *, about: str = "bin/admin") -> Iterator[tuple[Project, str]]:
    """The project that the environment means, and how it was found.

    `doing` is told with it. What it refuses ends the command; `about` says what was refused.
    Raises Stop.
    """
    # Here, because not every command needs a client and should pay for one.
    from shared import admin

    try:
        found, place = admin.find(os.environ)
    except admin.NoProject as problem:
        raise Stop(USAGE, f"bin/admin: {problem}") from None
    if doing is not None:
        print(f"bin/admin: {doing} {place}", file=sys.stderr)
    with found:
        try:
            yield found, place
        except admin.Refused as problem:
            lines = (f"  {line}" for line in problem.details)
            raise Stop(REFUSED, f"{about}: {problem}", *lines) from None


Action = Callable[[argparse.Namespace, "Project"], int]


def on_project(action: Action) -> Callable[[argparse.Namespace], int]:
    """A command that works on the project that the environment means. It raises Stop."""

    def run(options: argparse.Namespace) -> int:
        with project("working on") as (found, _):
            return action(options, found)

    return run
