"""Bodies and ids: exact fields, exact types, refusals that name the field and repeat nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Problem
from shared.models import (
    Batch,
    Body,
    Empty,
    LessonState,
    Recalculation,
    Uncomplete,
    View,
    course_id,
    parse_body,
    uuid_id,
)

ID = "7f3c2b1a-0000-4000-8000-0123456789ab"


def refusal(model: type[Body], body: Any) -> Problem:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(Problem) as caught:
        parse_body(model, raw)
    return caught.value


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (LessonState, {}),
        (LessonState, {"status": "completed", "position_seconds": 0, "progress": 1}),
        (LessonState, {"status": None, "progress": 0.5, "position_seconds": 2147483647}),
        (LessonState, {"last_accessed": "2026-02-28T23:59:59Z"}),
        (LessonState, {"last_accessed": "2026-02-28t23:59:59.123456+05:30"}),
        (View, {"session_id": ID, "seconds": 0}),
        (View, {"session_id": ID, "seconds": 604800, "watched": [[0, 0], [5, 604800]]}),
        (View, {"session_id": ID, "seconds": 9, "section": "x", "progress": 1, "watched": None}),
        (Batch, {"events": []}),
        (Batch, {"events": [{"id": ID}, None, 5, "x", [{}]]}),
        (Uncomplete, {"reason": "opened by mistake \U0001f642"}),
        (Recalculation, {"enrollment_id": ID}),
        (Recalculation, {"enrollment_id": ID.upper(), "dry_run": True, "all": False}),
        (Recalculation, {"course_id": 1, "cursor": ID, "limit": 5000}),
        (Recalculation, {"all": True, "limit": 1}),
    ],
)
def test_good_bodies(model: type[Body], body: dict[str, Any]) -> None:
    arguments = parse_body(model, json.dumps(body).encode()).arguments()
    expected = {f"p_{name}": value for name, value in body.items() if value is not None}
    if "enrollment_id" in body:
        expected["p_enrollment_id"] = ID
    assert arguments == expected


@pytest.mark.parametrize(
    ("model", "body", "code", "field"),
    [
        (Empty, {"x": 1}, "unknown_field", "x"),
        (LessonState, {"completed_at": "2026-01-01"}, "unknown_field", "completed_at"),
        (LessonState, {"position_seconds": "5"}, "invalid_type", "position_seconds"),
        (LessonState, {"position_seconds": 5.0}, "invalid_type", "position_seconds"),
        (LessonState, {"position_seconds": True}, "invalid_type", "position_seconds"),
        (LessonState, {"position_seconds": -1}, "invalid_value", "position_seconds"),
        (LessonState, {"position_seconds": 2147483648}, "invalid_value", "position_seconds"),
        (LessonState, {"position_seconds": 10**300}, "invalid_value", "position_seconds"),
        (LessonState, {"progress": "0.5"}, "invalid_type", "progress"),
        (LessonState, {"progress": True}, "invalid_type", "progress"),
        (LessonState, {"progress": 1.01}, "invalid_value", "progress"),
        (LessonState, b'{"progress": 1e999}', "invalid_value", "progress"),
        (LessonState, {"status": "done"}, "invalid_value", "status"),
        (LessonState, {"status": 5}, "invalid_value", "status"),
        (LessonState, {"status": ["completed"]}, "invalid_value", "status"),
        (LessonState, {"last_accessed": 1767225600}, "invalid_type", "last_accessed"),
        (LessonState, {"last_accessed": "2026-01-01"}, "invalid_type", "last_accessed"),
        (LessonState, {"last_accessed": "2026-01-01T00:00:00"}, "invalid_type", "last_accessed"),
        (LessonState, {"last_accessed": "2026-02-30T00:00:00Z"}, "invalid_type", "last_accessed"),
        (LessonState, {"last_accessed": "0000-01-01T00:00:00Z"}, "invalid_type", "last_accessed"),
        (LessonState, {"last_accessed": "now"}, "invalid_type", "last_accessed"),
        (View, {"seconds": 5}, "invalid_value", "session_id"),
        (View, {"session_id": ID}, "invalid_value", "seconds"),
        (View, {"session_id": "x", "seconds": 5}, "invalid_id", "session_id"),
        (View, {"session_id": ID, "seconds": -1}, "invalid_value", "seconds"),
        (View, {"session_id": ID, "seconds": 604801}, "invalid_value", "seconds"),
        (View, {"session_id": ID, "seconds": 1.5}, "invalid_type", "seconds"),
        (View, {"session_id": ID, "seconds": 5, "watched": [[5, 4]]}, "invalid_value", None),
        (
            View,
            {"session_id": ID, "seconds": 5, "watched": [[-1, 4]]},
            "invalid_value",
            "watched.0.0",
        ),
        (View, {"session_id": ID, "seconds": 5, "watched": [[1]]}, "invalid_value", "watched.0"),
        (
            View,
            {"session_id": ID, "seconds": 5, "watched": [[0, 1]] * 201},
            "invalid_value",
            "watched",
        ),
        (View, {"session_id": ID, "seconds": 5, "watched": {"0": 1}}, "invalid_type", "watched"),
        (
            View,
            {"session_id": ID, "seconds": 5, "position_seconds": 10**9},
            "invalid_value",
            "position_seconds",
        ),
        (View, {"session_id": ID, "seconds": 5, "section": ""}, "invalid_value", "section"),
        (Batch, {}, "invalid_value", "events"),
        (Batch, {"events": {}}, "invalid_type", "events"),
        (Batch, {"events": [{}] * 501}, "invalid_value", "events"),
        (Uncomplete, {"reason": 5}, "invalid_type", "reason"),
        (Uncomplete, {"reason": "x" * 501}, "invalid_value", "reason"),
        (Uncomplete, {"reason": "a\x00b"}, "invalid_value", "reason"),
        (Recalculation, {"enrollment_id": "x"}, "invalid_id", "enrollment_id"),
        (Recalculation, {"enrollment_id": 5}, "invalid_type", "enrollment_id"),
        (Recalculation, {"course_id": 0}, "invalid_id", "course_id"),
        (Recalculation, {"course_id": 2**63}, "invalid_id", "course_id"),
        (Recalculation, {"course_id": "7"}, "invalid_type", "course_id"),
        (Recalculation, {}, "invalid_value", None),
        (Recalculation, {"all": False}, "invalid_value", None),
        (Recalculation, {"all": "true"}, "invalid_type", "all"),
        (Recalculation, {"all": True, "course_id": 7}, "invalid_value", None),
        (Recalculation, {"enrollment_id": ID, "course_id": 7}, "invalid_value", None),
        (Recalculation, {"enrollment_id": ID, "limit": 5}, "invalid_value", None),
        (Recalculation, {"all": True, "limit": 0}, "invalid_value", "limit"),
        (Recalculation, {"all": True, "limit": 5001}, "invalid_value", "limit"),
        (Recalculation, {"all": True, "cursor": "next"}, "invalid_id", "cursor"),
    ],
)
def test_bad_bodies(model: type[Body], body: Any, code: str, field: str | None) -> None:
    problem = refusal(model, body)
    assert problem.code == code
    assert [entry["field"] for entry in problem.details] == [field]
    assert all(entry["problem"] for entry in problem.details)


def test_all_faults_of_a_kind_are_named_at_once_and_form_comes_first() -> None:
    problem = refusal(
        LessonState, {"status": "x", "progress": "s3cret", "position_seconds": "s3cret", "y": 1}
    )
    assert problem.code == "invalid_type"
    assert {entry["field"] for entry in problem.details} == {"progress", "position_seconds"}
    assert "s3cret" not in json.dumps(problem.body())


def test_an_event_that_cannot_be_stored_leaves_the_others_alone() -> None:
    body = {"events": [{"id": ID, "x": "\x00"}, {"id": "\x00"}, {"id": "fine"}, ["\x00"]]}
    arguments = parse_body(Batch, json.dumps(body).encode()).arguments()
    assert arguments == {"p_events": [{"id": ID}, {}, {"id": "fine"}, {}]}


def test_a_long_name_of_an_unknown_field_comes_back_short() -> None:
    assert len(json.dumps(refusal(Empty, {"x" * 100_000: 1}).body())) < 500


REFUSALS = {"invalid_json", "invalid_id", "invalid_type", "unknown_field", "invalid_value"}


@contextmanager
def refusing() -> Iterator[set[str]]:
    """Lets refusals pass, and gives their codes."""
    codes: set[str] = set()
    try:
        yield codes
    except Problem as problem:
        codes.add(problem.code)


@pytest.mark.parametrize("text", ["1", "7", "9223372036854775807"])
def test_course_numbers(text: str) -> None:
    assert course_id(text) == int(text)


@given(st.text())
def test_any_text_is_an_id_or_refused(text: str) -> None:
    for read in (course_id, uuid_id):
        with refusing() as codes:
            read(text)
        assert codes <= {"invalid_id"}


@given(st.sampled_from([Empty, Uncomplete, LessonState, Recalculation]), st.binary())
def test_any_bytes_are_a_body_or_refused(model: type[Body], raw: bytes) -> None:
    with refusing() as codes:
        parse_body(model, raw)
    assert codes <= REFUSALS


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from(
    [
        *View.model_fields,
        "events",
        *LessonState.model_fields,
        *Recalculation.model_fields,
        "reason",
        "x",
    ]
)


@given(
    st.sampled_from([Uncomplete, LessonState, Recalculation, View, Batch]),
    st.dictionaries(names, json_values, max_size=4),
)
def test_any_json_is_a_body_or_refused(model: type[Body], body: dict[str, Any]) -> None:
    with refusing() as codes:
        arguments = parse_body(model, json.dumps(body).encode()).arguments()
        json.dumps(arguments, allow_nan=False)
    assert codes <= REFUSALS
