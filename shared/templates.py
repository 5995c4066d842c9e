"""The commands `bin/admin templates …`: how certificates look."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared import operators
from shared.operators import DONE, REFUSED, USAGE, Stop

if TYPE_CHECKING:
    from shared.rendering import Paper


def add_commands(topics: argparse._SubParsersAction[Any]) -> None:
    """Make the topic known to the parser of bin/admin."""
    topic = topics.add_parser("templates", help="how certificates look")
    commands = topic.add_subparsers(title="commands", metavar="", required=True)
    file = argparse.ArgumentParser(add_help=False)
    file.add_argument("file", metavar="FILE", type=Path, help="template: Typst source (.typ)")
    file.add_argument("--paper", choices=("a4", "letter"), default="a4", help="paper (a4)")

    def add(
        name: str, action: Callable[[argparse.Namespace], int], text: str, *with_file: Any
    ) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = commands.add_parser(
            name, help=text, description=text, parents=with_file
        )
        added.set_defaults(action=action)
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


def _list(options: argparse.Namespace) -> int:
    with operators.project("looking at") as (project, _):
        for template in project.templates():
            print(f"{template['name']}  {template['paper']}  changed {template['updated_at']}")
    return DONE


def _put(options: argparse.Namespace) -> int:
    source = _source(options.file)
    # Better refused here than by the job of a learner who waits for a certificate.
    _rendered(options.file, source, options.paper)
    name = options.name or options.file.stem
    with operators.project("putting into") as (project, _):
        done = project.put_template(name, source, options.paper)
    print(f"template {name}: {'kept' if done['changed'] else 'nothing to change'}")
    return DONE


def _show(options: argparse.Namespace) -> int:
    if options.name is None:
        from shared import rendering

        print(rendering.SHIPPED.read_text("utf-8"), end="")
        return DONE
    with operators.project("looking at") as (project, _):
        found = project.templates(options.name)
    if not found:
        raise Stop(REFUSED, f"bin/admin: there is no template {options.name}")
    print(found[0]["source"], end="")
    return DONE


def _preview(options: argparse.Namespace) -> int:
    if sys.stdout.isatty():
        raise Stop(USAGE, "bin/admin: a PDF is nothing for a terminal; add > certificate.pdf")
    source = _source(options.file)
    pdf = _rendered(options.file, source, options.paper, options.name, options.title)
    sys.stdout.buffer.write(pdf)
    return DONE


def _source(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except OSError as problem:
        raise Stop(REFUSED, f"{file}: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise Stop(REFUSED, f"{file}: is not UTF-8 text") from None


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
        raise Stop(REFUSED, f"{file}: {problem}") from None
