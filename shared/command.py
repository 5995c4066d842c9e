"""The commands of bin/admin: 0 is done, 1 refused, 2 wrong usage."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from shared import (
    courses,
    history_commands,
    operators,
    progress_commands,
    templates,
    webhook_commands,
)
from shared.operators import DONE, REFUSED, USAGE, Stop

# Each with the variable that the functions read it from too.
SECRETS = {"proxy": "WAYMARK_PROXY_SECRET"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    options = _parser().parse_args(arguments)
    action: Callable[[argparse.Namespace], int] = options.action
    try:
        return action(options)
    except Stop as problem:
        print(*problem.lines, sep="\n", file=sys.stderr)
        return problem.status
    except courses.CourseError as problem:
        print(*problem.lines(), sep="\n", file=sys.stderr)
        count = len(problem.faults)
        print(f"{count} problem{'s'[: count > 1]}; nothing was imported", file=sys.stderr)
        return REFUSED
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing more can be written to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        return 130


_Parser = argparse.ArgumentParser


def _parser() -> _Parser:
    parser = argparse.ArgumentParser(
        prog="bin/admin",
        description="Commands for admins, on the project that SUPABASE_URL and SUPABASE_SECRET_KEY "
        "name, else on the running local stack.",
    )
    topics = parser.add_subparsers(title="commands", metavar="", required=True)
    topic = topics.add_parser("courses", help="import and check course files")
    commands = topic.add_subparsers(title="commands", metavar="", required=True)

    file = argparse.ArgumentParser(add_help=False)
    file.add_argument("file", metavar="FILE", type=Path, help="course file (.yaml, .yml or .json)")

    def add(
        name: str, action: Callable[[argparse.Namespace], int], text: str, *with_file: _Parser
    ) -> _Parser:
        added = commands.add_parser(name, help=text, description=text, parents=with_file)
        added.set_defaults(action=action)
        return added

    importing = add("import", _import, "make a course equal to a file; progress stays", file)
    importing.add_argument("--dry-run", action="store_true", help="only say what would change")
    validating = add("validate", _validate, "check a file without any project", file)
    for lenient in (importing, validating):
        lenient.add_argument(
            "--skip-faulty", action="store_true", help="leave faulty questions out, and list them"
        )
    add("sql", _sql, "print the import as one SQL statement", file)
    add("schema", _schema, "print the JSON Schema of course files")

    topic = topics.add_parser("secrets", help="secrets that the functions prove themselves with")
    commands = topic.add_subparsers(title="commands", metavar="", required=True)
    setting = add("set", _set_secret, "have the database know a secret by its digest")
    setting.add_argument(
        "name",
        metavar="NAME",
        choices=SECRETS,
        help=f"{', '.join(SECRETS)}; read from its variable",
    )

    topic = topics.add_parser("jobs", help="the job queue: what waits, what failed for good")
    commands = topic.add_subparsers(title="commands", metavar="", required=True)
    listing = add("list", _list_jobs, "show the queue")
    listing.add_argument("--state", choices=("due", "leased", "waiting", "dead"))
    retrying = add("retry", _retry_jobs, "have dead jobs start afresh: all, or those chosen")
    dropping = add("drop", _drop_jobs, "take jobs out of the queue: by id, or the dead of a kind")
    for command in (listing, retrying, dropping):
        command.add_argument("--kind", help="only jobs of this kind")
    for command in (retrying, dropping):
        command.add_argument("ids", metavar="ID", type=int, nargs="*")
        command.add_argument("--reason", help="kept in the audit log")
    progress_commands.add_commands(topics)
    history_commands.add_commands(topics)
    webhook_commands.add_commands(topics)
    templates.add_commands(topics)
    return parser


def _list_jobs(options: argparse.Namespace) -> int:
    with operators.project() as (project, _):
        cursor = None
        while True:
            page = project.list_jobs(state=options.state, kind=options.kind, cursor=cursor)
            for job in page["jobs"]:
                tries = f"{job['attempts']}/{job['max_attempts']}"
                when = job["died_at"] or job["run_at"]
                line = f"{job['id']:>8}  {job['kind']:20} {job['state']:8} {tries:>6}  {when}"
                print(line, job["last_error"] or "", sep="  ")
            cursor = page["cursor"]
            if cursor is None:
                break
        health = project.queue_health()
        states = ", ".join(f"{health[name]} {name}" for name in ("due", "leased", "waiting"))
        print(f"{health['depth']} jobs ({states}), oldest {health['oldest_seconds']} s; ", end="")
        print(f"{health['dead']} dead")
    return DONE


def _retry_jobs(options: argparse.Namespace) -> int:
    with operators.project() as (project, _):
        ids = options.ids or None
        count = project.retry_jobs(ids=ids, kind=options.kind, reason=options.reason)
        print(f"{count} job{'s'[: count != 1]} will run again")
    return DONE


def _drop_jobs(options: argparse.Namespace) -> int:
    if not options.ids and options.kind is None:
        raise Stop(USAGE, "bin/admin: say which: ids, or --kind for its dead jobs")
    with operators.project() as (project, _):
        ids = options.ids or None
        count = project.drop_jobs(ids=ids, kind=options.kind, reason=options.reason)
        print(f"{count} job{'s'[: count != 1]} dropped")
    return DONE


def _set_secret(options: argparse.Namespace) -> int:
    variable = SECRETS[options.name]
    secret = os.environ.get(variable, "").rstrip("\r\n")
    if len(secret.encode()) < 32:
        raise Stop(USAGE, f"bin/admin: {variable} is not set, or shorter than 32 bytes")
    with operators.project() as (project, place):
        changed = project.put_secret(options.name, secret)
    print(f"secret {options.name}: {'set' if changed else 'nothing to change'} in {place}")
    return DONE


def _import(options: argparse.Namespace) -> int:
    document = _loaded(options)
    with operators.project("importing into", about=str(options.file)) as (project, _):
        report = project.import_course(document, dry_run=options.dry_run)
    print(*_told(report, dry_run=options.dry_run), sep="\n")
    return DONE


def _loaded(options: argparse.Namespace) -> dict[str, Any]:
    """The document, after saying what was left out of it."""
    if not options.skip_faulty:
        return courses.load(options.file)
    skipped = courses.Skipped(options.file)
    try:
        return courses.load(options.file, skipped)
    finally:
        for line in skipped.lines():
            print(f"{line} (left out)", file=sys.stderr)
        for slug in skipped.articles:
            print(
                f"{options.file}: lesson {slug}: no question is left, so it becomes an article",
                file=sys.stderr,
            )


def _validate(options: argparse.Namespace) -> int:
    document = _loaded(options)
    modules = document["modules"]
    lessons = sum(len(module.get("lessons", [])) for module in modules)
    print(f"{options.file}: valid; {document['slug']}, {len(modules)} modules, {lessons} lessons")
    return DONE


def _sql(options: argparse.Namespace) -> int:
    print(courses.as_sql(courses.load(options.file)))
    return DONE


def _schema(_: argparse.Namespace) -> int:
    print(json.dumps(courses.json_schema(), indent=2))
    return DONE


def _told(report: Mapping[str, Any], *, dry_run: bool) -> list[str]:
    """The report of an import, one line per thing done."""
    name = f"course {report['slug']}"
    if report["course_id"] is not None:
        name += f" (id {report['course_id']})"
    if not report["changed"]:
        return [f"{name}: nothing to change"]
    lines = [f"{name}: {'would change' if dry_run else 'changed'}"]

    def tell(what: str, kind: str, slug: str, more: str = "") -> None:
        lines.append(f"  {what:8} {kind:7} {slug}{more and f'  {more}'}")

    created, updated = report["created"], report["updated"]
    if created["course"]:
        tell("create", "course", report["slug"])
    elif updated["course"]:
        tell("update", "course", report["slug"], ", ".join(updated["course"]))
    for kind in ("module", "lesson"):
        for slug in created[f"{kind}s"]:
            tell("create", kind, slug)
        for slug, fields in sorted(updated[f"{kind}s"].items()):
            tell("update", kind, slug, ", ".join(fields))
    for slug, way in sorted(report["moved"]["lessons"].items()):
        tell("move", "lesson", slug, f"from {way['from']} to {way['to']}")
    for what, past in (("archive", "archived"), ("restore", "restored")):
        for slug in report[past]["lessons"]:
            tell(what, "lesson", slug)
    for slug in report["deleted"]["modules"]:
        tell("delete", "module", slug)
    for kind, count in sorted(report["renumbered"].items()):
        if count:
            lines.append(f"  renumber {count} {kind[:-1] if count == 1 else kind}, order kept")
    return lines


if __name__ == "__main__":
    sys.exit(main())
