"""The commands `bin/admin templates …`: how certificates look."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.admin import Project
    from shared.rendering import Paper

DONE, REFUSED, USAGE = 0, 1, 2


class _Stop(Exception):
    """A command cannot go on: the exit status, and what to say."""

    def __init__(self, status: int, *lines: str) -> None:
        self.status, self.lines = status, lines
        super().__init__(*lines)


def add_commands(topics: argparse._SubParsersAction[Any]) -> None:
    """Make the topic known to the parser of bin/admin."""
    topic = topics.add_parser("templates", help="how certificates look")
    commands = topic.add_subparsers(title="commands", metavar="", required=True)
    file = argparse.ArgumentParser(add_help=False)
    file.add_argument("file", metavar="FILE", type=Path, help="template: Typst source (.typ)")
    file.add_argument("--paper", choices=("a4", "letter"), default="a4", help="paper (a4)")

    def add(
        name: str, action: Callable[[argparse.Namespace], None], text: str, *with_file: Any
    ) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = commands.add_parser(
            name, help=text, description=text, parents=with_file
        )
        added.set_defaults(action=lambda options: _status(action, options))
        return added

    add("list", _list, "list the project's templates")
    putting = add("put", _put, "check a template and keep it in the project", file)
    putting.add_argument("--as", dest="name", metavar="NAME", help="its name (that of the file)")
    showing = add("show", _show, "print the source of a template")
    showing.add_argument(
        "name", metavar="NAME", nargs="?", help="the one that ships with Waymark, if left out"
    )
    previewing = add("preview", _preview, "print a certificate as PDF, without any project", file)
    previewing.add_argument("--name", default="Ada Lovelace", help="name of the learner")
    previewing.add_argument("--title", default="Reading Maps", help="title of the course")


def _status(action: Callable[[argparse.Namespace], None], options: argparse.Namespace) -> int:
    try:
        action(options)
    except _Stop as problem:
        print(*problem.lines, sep="\n", file=sys.stderr)
        return problem.status
    return DONE


def _list(_: argparse.Namespace) -> None:
    with _project("looking at") as project:
        for template in project.templates():
            print(f"{template['name']}  {template['paper']}  changed {template['updated_at']}")


def _put(options: argparse.Namespace) -> None:
    source = _source(options.file)
    # Better refused here than by the job of a learner who waits for a certificate.
    _rendered(options.file, source, options.paper)
    name = options.name or options.file.stem
    with _project("putting into") as project:
        done = project.put_template(name, source, options.paper)
    print(f"template {name}: {'kept' if done['changed'] else 'nothing to change'}")


def _show(options: argparse.Namespace) -> None:
    if options.name is None:
        from shared import rendering

        print(rendering.SHIPPED.read_text("utf-8"), end="")
        return
    with _project("looking at") as project:
        found = project.templates(options.name)
    if not found:
        raise _Stop(REFUSED, f"bin/admin: there is no template {options.name}")
    print(found[0]["source"], end="")


def _preview(options: argparse.Namespace) -> None:
    if sys.stdout.isatty():
        raise _Stop(USAGE, "bin/admin: a PDF is nothing for a terminal; add > certificate.pdf")
    source = _source(options.file)
    pdf = _rendered(options.file, source, options.paper, options.name, options.title)
    sys.stdout.buffer.write(pdf)


@contextlib.contextmanager
def _project(doing: str) -> Iterator[Project]:
    """The project to work on; what it refuses ends the command."""
    # Here, because a preview needs no client and should not pay for one.
    from shared import admin

    try:
        project, place = admin.find(os.environ)
    except admin.NoProject as problem:
        raise _Stop(USAGE, f"bin/admin: {problem}") from None
    with project:
        print(f"bin/admin: {doing} {place}", file=sys.stderr)
        try:
            yield project
        except admin.Refused as problem:
            lines = (f"  {line}" for line in problem.details)
            raise _Stop(REFUSED, f"bin/admin: {problem}", *lines) from None


def _source(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except OSError as problem:
        raise _Stop(REFUSED, f"{file}: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise _Stop(REFUSED, f"{file}: is not UTF-8 text") from None


def _rendered(
    file: Path,
    source: str,
    paper: Paper,
    name: str = "Ada Lovelace",
    title: str = "Reading Maps",
) -> bytes:
    """A certificate that never was, by this template."""
    from shared import rendering

    facts = rendering.CertificateFacts(
        learner_name=name,
        course_title=title,
        author="Inge Lehmann",
        issuer_name="The Open Cartography School",
        hours=Decimal(24),
        score=Decimal("92.5"),
        completed_on=date(2026, 11, 20),
        issued_on=date(2026, 11, 21),
        code="PREVIEW",
        verify_url="https://example.org/certificates/verify/PREVIEW",
    )
    try:
        return rendering.render(facts, source, paper)
    except rendering.RenderError as problem:
        raise _Stop(REFUSED, f"{file}: {problem}") from None
