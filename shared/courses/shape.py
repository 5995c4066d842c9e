"""Faults of single fields, by the models, said in the words of authors."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import (
    BaseModel,
    ValidationError,
)

from shared.courses.faults import Fault, Where
from shared.courses.format import (
    KINDS,
    MOMENTS,
    CourseFile,
    Lesson,
    Media,
    Module,
    Option,
    Pair,
    Quiz,
    Resource,
)


def shape_faults(data: Any) -> list[Fault]:
    try:
        CourseFile.model_validate(data)
    except ValidationError as error:
        return [Fault(_place(entry), _reason(entry)) for entry in error.errors(include_url=False)]
    return []


def _place(entry: Mapping[str, Any]) -> Where:
    """The path of a fault: its place without what pydantic puts there of its own."""
    path: Where = tuple(entry["loc"])
    if path[-1:] == ("[key]",):
        path = path[:-1]
    if path[4:6] == ("quiz", "questions"):
        path = path[:7] + path[8:]  # the kind, which says how it was read
    return (*path, "kind") if entry["type"].startswith("union_tag") else path


def _reason(entry: Mapping[str, Any]) -> str:
    kind, field = entry["type"], str(entry["loc"][-1]) if entry["loc"] else ""
    context = entry.get("ctx", {})
    known = _REASONS.get(kind)
    reason = known(context) if known else str(entry["msg"])
    if kind == "extra_forbidden":
        names = _fields_at(entry["loc"][:-1])
        close = get_close_matches(field, names, 1)
        return f"unknown field; did you mean {close[0]}?" if close else "unknown field"
    if kind == "string_pattern_mismatch":
        if field.endswith("url"):
            reason = "must be a whole address that starts with http:// or https://"
        elif field == "slug" or "requires" in entry["loc"]:
            reason = "must be lower-case letters, digits and single hyphens"
        elif field == "id":
            reason = "must be 1 to 64 letters, digits, hyphens and underscores"
        elif field in MOMENTS:
            reason = "must be a time with zone, such as 2030-01-31T08:00Z"
        elif not str(entry["input"]).strip():
            return "must not be empty"
        else:
            reason = "holds characters that text cannot have"
    # What a question holds may be its answer: not for a screen or a log.
    if kind == "union_tag_invalid":
        return f"{reason}, not {shown(context['tag'])}"
    if kind in ("missing", "union_tag_not_found") or (
        entry["loc"][4:6] == ("quiz", "questions") and field not in _TELLABLE
    ):
        return reason
    return f"{reason}, not {shown(entry['input'])}"


_TELLABLE = ("id", "kind", "points", "pool", "scoring")


_REASONS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "missing": lambda _: "is missing",
    "extra_forbidden": lambda _: "unknown field",
    "string_type": lambda _: "must be text",
    "int_type": lambda _: "must be a whole number",
    "float_type": lambda _: "must be a number",
    "finite_number": lambda _: "must be a number",
    "bool_type": lambda _: "must be true or false",
    "list_type": lambda _: "must be a list",
    "dict_type": lambda _: "must be a set of fields",
    "model_type": lambda _: "must be a set of fields",
    "model_attributes_type": lambda _: "must be a set of fields",
    "union_tag_not_found": lambda _: "is missing",
    "union_tag_invalid": lambda _: f"must be {', '.join(map(repr, [*KINDS][:-1]))} or 'free_text'",
    "greater_than": lambda c: f"must be above {c['gt']:g}",
    "literal_error": lambda c: f"must be {c['expected']}",
    "greater_than_equal": lambda c: f"must be at least {c['ge']:g}",
    "less_than_equal": lambda c: f"must be at most {c['le']:g}",
    "string_too_long": lambda c: f"must have at most {c['max_length']} characters",
    "string_too_short": lambda _: "must not be empty",
    "too_long": lambda c: f"must have at most {c['max_length']} entries",
    "too_short": lambda c: (
        f"must have at least {c['min_length']} entr{'y' if c['min_length'] == 1 else 'ies'}"
    ),
    "string_unicode": lambda _: "must be text in Unicode",
}


def shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a set of fields"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if value is None:
        return "empty"
    text = json.dumps(value) if not isinstance(value, float) or math.isfinite(value) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _fields_at(path: Where) -> list[str]:
    names = [part for part in path if isinstance(part, str)]
    last = names[-1] if names else ""
    model: Mapping[str, type[BaseModel]] = {
        "modules": Module,
        "lessons": Lesson,
        "resources": Resource,
        "quiz": Quiz,
        "options": Option,
        "pairs": Pair,
        "media": Media,
        **KINDS,
    }
    return list(model.get(last, CourseFile).model_fields)
