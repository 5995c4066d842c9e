"""Events as xAPI 1.0.3 statements: the same event is the same statement, id included.

A statement names no more of a learner than their user id, as an account of this installation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

VERSION = "1.0.3"
ADL = "http://adlnet.gov/expapi/verbs/"
ACTIVITY = "http://adlnet.gov/expapi/activities/"

# What a kind of event is called, and what it is about.
VERBS: Mapping[str, tuple[str, str]] = {
    "enrolled": (f"{ADL}registered", "course"),
    "unenrolled": (f"{ADL}exited", "course"),
    "cycle_started": (f"{ADL}attempted", "course"),
    "lesson_started": (f"{ADL}initialized", "lesson"),
    "lesson_completed": (f"{ADL}completed", "lesson"),
    "lesson_uncompleted": (f"{ADL}resumed", "lesson"),
    "lesson_waived": ("https://w3id.org/xapi/adl/verbs/waived", "lesson"),
    "lesson_carried": (f"{ADL}progressed", "lesson"),
    "module_started": (f"{ADL}initialized", "module"),
    "module_completed": (f"{ADL}completed", "module"),
    "course_completed": (f"{ADL}completed", "course"),
    "attempt_started": (f"{ADL}attempted", "assessment"),
    "attempt_submitted": (f"{ADL}answered", "assessment"),
    "late_event": (f"{ADL}experienced", "lesson"),
}
# These change how rows are kept, not what a learner did.
SILENT = frozenset({"lesson_unwaived", "accounts_merged"})


def statement(event: Mapping[str, Any], base: str, home_page: str) -> dict[str, Any] | None:
    """The statement of an event as the RPC get_events gives it; None for kinds that tell none.

    `base` is the address under which courses, modules and lessons get their ids, without a slash at
    its end; `home_page` is where accounts are. Raises KeyError for a kind it does not know.
    """
    if event["kind"] in SILENT:
        return None
    data = event["data"]
    verb, about = _verb(event)
    extensions = {f"{base}/xapi/event": event["id"], f"{base}/xapi/cycle": event["cycle"]}
    context: dict[str, Any] = {"platform": "Waymark", "extensions": extensions}
    if event["enrollment_id"] is not None:
        context["registration"] = event["enrollment_id"]
    if around := _around(event, about, base):
        context["contextActivities"] = around
    made: dict[str, Any] = {
        "id": str(uuid5(NAMESPACE_URL, f"{base}/events/{event['id']}")),
        "actor": {
            "objectType": "Agent",
            "account": {"homePage": home_page, "name": event["user_id"]},
        },
        "verb": {"id": verb, "display": {"en": verb.rpartition("/")[2]}},
        "object": _activity(event, about, base),
        "context": context,
        "timestamp": event["occurred_at"],
        "version": VERSION,
    }
    if result := _result(event, data):
        made["result"] = result
    return made


def _verb(event: Mapping[str, Any]) -> tuple[str, str]:
    if event["kind"] == "attempt_graded":
        passed = event["data"].get("passed")
        return f"{ADL}{'passed' if passed else 'failed'}", "assessment"
    return VERBS[event["kind"]]


def _address(event: Mapping[str, Any], about: str, base: str) -> str:
    if about == "course":
        return f"{base}/courses/{event['course_id']}"
    if about == "module":
        return f"{base}/modules/{event['module_id']}"
    lesson = f"{base}/lessons/{event['lesson_id']}"
    return lesson if about == "lesson" else f"{lesson}/quiz"


def _activity(event: Mapping[str, Any], about: str, base: str) -> dict[str, Any]:
    return {
        "objectType": "Activity",
        "id": _address(event, about, base),
        "definition": {"type": f"{ACTIVITY}{about}"},
    }


def _around(event: Mapping[str, Any], about: str, base: str) -> dict[str, Any]:
    """What it is part of: the next larger thing as parent, the course as grouping."""
    parts = ["course", "module", "lesson", "assessment"]
    larger = [x for x in parts[: parts.index(about)] if event[f"{x}_id"] is not None]
    if not larger:
        return {}
    around = {"parent": [_activity(event, larger[-1], base)]}
    if len(larger) > 1:
        around["grouping"] = [_activity(event, "course", base)]
    return around


def _result(event: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    kind = event["kind"]
    if kind in ("lesson_completed", "module_completed", "course_completed"):
        result["completion"] = True
    elif kind == "lesson_uncompleted":
        result["completion"] = False
    elif kind == "attempt_graded":
        percent = data["percent"]
        result["score"] = {"scaled": percent / 100, "raw": percent, "min": 0, "max": 100}
        result["success"] = bool(data["passed"])
    if "seconds" in data:
        result["duration"] = f"PT{data['seconds']}S"
    return result
