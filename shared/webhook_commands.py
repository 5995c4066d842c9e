"""The commands `bin/admin webhooks …`: who is told of events, and what did not get through."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from shared.operators import DONE, Action, on_project

if TYPE_CHECKING:
    from shared.admin import Project


def add_commands(topics: argparse._SubParsersAction[Any]) -> None:
    """Make the topic known to the parser of bin/admin."""
    topic = topics.add_parser("webhooks", help="servers that are told of events")
    commands = topic.add_subparsers(title="commands", metavar="", required=True)

    def add(name: str, action: Action, text: str, *, one: bool = True) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
        added.set_defaults(action=on_project(action))
        if one:
            added.add_argument("id", metavar="ID", help="the endpoint's id")
        return added

    putting = add("put", _put, "make an endpoint, or change one", one=False)
    putting.add_argument("url", metavar="URL")
    putting.add_argument("--id", help="change this one")
    putting.add_argument("--description")
    putting.add_argument("--kind", action="append", help="only events of this kind; more than once")
    putting.add_argument("--course", action="append", type=int, help="only events of this course")
    putting.add_argument("--disabled", action="store_true", help="send nothing for now")
    add("list", _list, "show all endpoints and how they do", one=False)
    add("delete", _delete, "take an endpoint away, with what waits for it")
    rotating = add("rotate", _rotate, "make a new secret")
    rotating.add_argument("--hours", type=int, default=24, help="the former one signs too (24)")
    add("test", _test, "send a message that tells of nothing")
    add("deliveries", _deliveries, "show what an endpoint has not taken")
    retrying = add("retry", _retry, "try again now what was given up or waits")
    retrying.add_argument("--drop", action="store_true", help="drop what was given up instead")


def _put(options: argparse.Namespace, project: Project) -> int:
    answer = project.webhook(
        "put_webhook",
        url=options.url,
        webhook_id=options.id,
        description=options.description,
        kinds=options.kind,
        course_ids=options.course,
        is_enabled=not options.disabled,
    )
    print(f"webhook {answer['webhook']['id']}: {answer['webhook']['url']}")
    if answer["secret"]:
        print(f"secret, told this once: {answer['secret']}")
    return DONE


def _list(_: argparse.Namespace, project: Project) -> int:
    for row in project.webhook("list_webhooks")["webhooks"]:
        counts = f"{row['held']} waiting, {row['dead']} dead"
        print(f"{row['id']}  {row['state']:8}  {counts}  {row['url']}")
        if row["last_error"]:
            print(f"  last error: {row['last_error']}")
    return DONE


def _delete(options: argparse.Namespace, project: Project) -> int:
    project.webhook("delete_webhook", webhook_id=options.id)
    print(f"webhook {options.id}: deleted")
    return DONE


def _rotate(options: argparse.Namespace, project: Project) -> int:
    answer = project.webhook("rotate_webhook_secret", webhook_id=options.id, hours=options.hours)
    print(f"new secret, told this once: {answer['secret']}")
    print(f"the former one signs beside it until {answer['webhook']['former_until']}")
    return DONE


def _test(options: argparse.Namespace, project: Project) -> int:
    answer = project.webhook("test_webhook", webhook_id=options.id)
    print(f"test_{answer['delivery_id']} is on its way")
    return DONE


def _deliveries(options: argparse.Namespace, project: Project) -> int:
    cursor = None
    while True:
        page = project.webhook("get_webhook_deliveries", webhook_id=options.id, cursor=cursor)
        for row in page["deliveries"]:
            state = "dead" if row["died_at"] else f"next {row['run_at']}"
            error = row["last_error"] or "waits behind another"
            print(f"event {row['event_id']}  {row['attempts']} tries  {state}  {error}")
        cursor = page["cursor"]
        if cursor is None:
            return DONE


def _retry(options: argparse.Namespace, project: Project) -> int:
    answer = project.webhook("retry_webhook", webhook_id=options.id, drop=options.drop)
    print(f"{answer['deliveries']} {'dropped' if options.drop else 'will be tried again'}")
    return DONE
