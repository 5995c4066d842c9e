"""What a learner's events say that the tables must hold: status, times, attempts, scores, percent.

It knows nothing of the SQL that wrote either: events in order, and the course as it is now (which
lessons count, and where they are, is the catalogue's to say, not the learner's). Seconds watched,
positions and places are no events, so they are not rebuilt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

Row = Mapping[str, Any]


@dataclass
class Lesson:
    """Progress in one lesson."""

    status: str
    started_at: datetime
    completed_at: datetime | None = None
    attempts: int = 0
    best_score: Decimal | None = None


@dataclass
class Module:
    """When a module was begun, and first complete; None is not yet."""

    started_at: datetime | None = None
    completed_at: datetime | None = None


@dataclass
class Enrollment:
    """One learner in one course."""

    cycle: int
    enrolled_at: datetime
    status: str = "active"
    completed_at: datetime | None = None


@dataclass
class State:
    """All that a learner's events add up to."""

    enrollments: dict[int, Enrollment] = field(default_factory=dict)
    lessons: dict[str, Lesson] = field(default_factory=dict)
    modules: dict[str, Module] = field(default_factory=dict)
    waived: set[str] = field(default_factory=set)
    # Of cycles that are over: by course, cycle and lesson.
    past: dict[tuple[int, int, str], Lesson] = field(default_factory=dict)


def replay(events: Sequence[Row]) -> State:
    """Apply one learner's events, in order of id. Raises KeyError for an unknown kind."""
    state = State()
    # Before it are the events of two people; it tells what became of both.
    merged = [n for n, x in enumerate(events) if x["kind"] == "accounts_merged"]
    begin = max((n for n in merged if events[n]["data"]["part"] == 1), default=0)
    for event in events[begin:]:
        _KINDS[event["kind"]](state, event, event["data"], _time(event["occurred_at"]))
    return state


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _maybe(text: str | None) -> datetime | None:
    return None if text is None else _time(text)


def _number(value: Any) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _earlier(one: datetime | None, other: datetime) -> datetime:
    return other if one is None else min(one, other)


def _enrolled(state: State, event: Row, data: Row, at: datetime) -> None:
    course = event["course_id"]
    since = _time(data["enrolled_at"]) if "enrolled_at" in data else at
    if data.get("earlier"):
        state.enrollments[course].enrolled_at = since
    elif data.get("again"):
        state.enrollments[course].status = "active"
    else:
        completed = _maybe(data.get("completed_at"))
        state.enrollments[course] = Enrollment(event["cycle"], since, completed_at=completed)


def _unenrolled(state: State, event: Row, data: Row, _: datetime) -> None:
    if data["status"] == "deleted":
        del state.enrollments[event["course_id"]]
    else:
        state.enrollments[event["course_id"]].status = data["status"]


def _cycle_started(state: State, event: Row, data: Row, _: datetime) -> None:
    course, cycle = event["course_id"], event["cycle"]
    for lesson in data["lessons"]:
        state.past[course, cycle - 1, lesson] = state.lessons.pop(lesson)
    for module in data["modules"]:
        state.modules.pop(module, None)
    enrollment = state.enrollments[course]
    enrollment.cycle, enrollment.completed_at = cycle, None


def _lesson_started(state: State, event: Row, data: Row, at: datetime) -> None:
    began = _time(data["started_at"]) if "started_at" in data else at
    lesson = state.lessons.setdefault(event["lesson_id"], Lesson("in_progress", began))
    lesson.started_at = min(lesson.started_at, began)
    _begin_module(state, event, data, began)


def _lesson_completed(state: State, event: Row, data: Row, at: datetime) -> None:
    _lesson_started(state, event, data, at)
    lesson = state.lessons[event["lesson_id"]]
    lesson.status, lesson.completed_at = "completed", at


def _begin_module(state: State, event: Row, data: Row, at: datetime) -> None:
    # An import counts modules afterwards, and tells of them itself.
    if data.get("by") != "import":
        module = state.modules.setdefault(event["module_id"], Module())
        module.started_at = _earlier(module.started_at, at)


def _lesson_uncompleted(state: State, event: Row, _: Row, __: datetime) -> None:
    lesson = state.lessons[event["lesson_id"]]
    lesson.status, lesson.completed_at = "in_progress", None


def _lesson_carried(state: State, event: Row, data: Row, _: datetime) -> None:
    began = _time(data["started_at"])
    lesson = state.lessons.setdefault(event["lesson_id"], Lesson(data["status"], began))
    lesson.status, lesson.started_at = data["status"], began
    lesson.completed_at = _maybe(data.get("completed_at"))


def _lesson_waived(state: State, event: Row, _: Row, __: datetime) -> None:
    state.waived.add(event["lesson_id"])


def _lesson_unwaived(state: State, event: Row, _: Row, __: datetime) -> None:
    state.waived.discard(event["lesson_id"])


def _module_started(state: State, event: Row, data: Row, _: datetime) -> None:
    module = state.modules.setdefault(event["module_id"], Module())
    module.started_at = _earlier(module.started_at, _time(data["started_at"]))


def _module_completed(state: State, event: Row, _: Row, at: datetime) -> None:
    module = state.modules.setdefault(event["module_id"], Module())
    module.completed_at = module.completed_at or at


def _course_completed(state: State, event: Row, data: Row, at: datetime) -> None:
    enrollment = state.enrollments[event["course_id"]]
    enrollment.completed_at = _maybe(data.get("completed_at")) or at


def _attempt_submitted(state: State, event: Row, _: Row, __: datetime) -> None:
    state.lessons[event["lesson_id"]].attempts += 1


def _attempt_graded(state: State, event: Row, data: Row, __: datetime) -> None:
    lesson = state.lessons[event["lesson_id"]]
    lesson.attempts += bool(data.get("imported"))
    score = _number(data["percent"])
    if score is not None:
        lesson.best_score = score if lesson.best_score is None else max(lesson.best_score, score)


def _accounts_merged(state: State, event: Row, data: Row, _: datetime) -> None:
    course = event["course_id"]
    if data["enrollment"] is not None:
        given = data["enrollment"]
        state.enrollments[course] = Enrollment(
            event["cycle"],
            _time(given["enrolled_at"]),
            given["status"],
            _maybe(given["completed_at"]),
        )
    for key, row in data["lessons"].items():
        state.lessons[key] = _lesson(row)
    for key, row in data["modules"].items():
        state.modules[key] = Module(_maybe(row["started_at"]), _maybe(row["completed_at"]))
    state.waived.update(data["waived"])
    for row in data["past"]:
        state.past[course, row["cycle"], row["lesson_id"]] = _lesson(row)


def _nothing(_: State, __: Row, ___: Row, ____: datetime) -> None:
    """It is told for its own sake, and changes no row."""


_KINDS = {
    "enrolled": _enrolled,
    "unenrolled": _unenrolled,
    "cycle_started": _cycle_started,
    "lesson_started": _lesson_started,
    "lesson_completed": _lesson_completed,
    "lesson_uncompleted": _lesson_uncompleted,
    "lesson_waived": _lesson_waived,
    "lesson_unwaived": _lesson_unwaived,
    "lesson_carried": _lesson_carried,
    "module_started": _module_started,
    "module_completed": _module_completed,
    "course_completed": _course_completed,
    "attempt_started": _nothing,
    "attempt_submitted": _attempt_submitted,
    "attempt_graded": _attempt_graded,
    "late_event": _nothing,
    "accounts_merged": _accounts_merged,
}


# Rows as they should be ---------------------------------------------------------------------------


def _lesson(row: Row) -> Lesson:
    return Lesson(
        row["status"],
        _time(row["started_at"]),
        _maybe(row["completed_at"]),
        row["attempts"],
        _number(row["best_score"]),
    )


def percent(earned: int, possible: int) -> Decimal:
    """Earned of possible weight, half up to two places, and 100 only when all is earned."""
    if possible <= 0:
        return Decimal(0)
    if earned >= possible:
        return Decimal(100)
    exact = Decimal(100 * earned) / possible
    return min(Decimal("99.99"), exact.quantize(Decimal("0.01"), ROUND_HALF_UP))


def differences(history: Row) -> Iterator[str]:
    """Where a learner's tables are not what their events say; nothing when all agree.

    `history` is what the RPC get_learner_history returns. A course that is settling is compared
    but for its counters; modules are compared where the learner is enrolled.
    """
    state = replay(history["events"])
    catalogue = {row["id"]: row for row in history["lessons"]}
    modules = {row["id"]: row for row in history["modules"]}
    tables = history["tables"]
    yield from _compare(
        "lesson",
        {(x["lesson_id"],): _lesson(x) for x in tables["user_progress"]},
        {(key,): value for key, value in state.lessons.items() if key in catalogue},
    )
    yield from _compare(
        "past lesson",
        {(x["course_id"], x["cycle"], x["lesson_id"]): _lesson(x) for x in tables["past_progress"]},
        state.past,
    )
    waived = {x["lesson_id"] for x in tables["lesson_waivers"]}
    for lesson in sorted(waived ^ (state.waived & catalogue.keys())):
        yield f"waiver of {lesson}: {lesson in waived} in the tables, not so in the history"
    yield from _compare(
        "enrolment",
        {
            (x["course_id"],): Enrollment(
                x["cycle"], _time(x["enrolled_at"]), x["status"], _maybe(x["completed_at"])
            )
            for x in tables["enrollments"]
        },
        {(course,): x for course, x in state.enrollments.items() if course in history["courses"]},
    )
    rows = {x["course_id"]: x for x in tables["enrollments"]}
    begun = {x["module_id"]: x for x in tables["module_progress"]}
    for course, row in rows.items():
        if row["settling"]:
            continue
        counted = [
            x
            for x in catalogue.values()
            if x["course_id"] == course and x["is_countable"] and x["id"] not in state.waived
        ]
        done = [x for x in counted if _is_done(state, x["id"])]
        weights = [sum(x["weight"] for x in y) for y in (done, counted)]
        expected = [len(done), len(counted), *weights, percent(*weights)]
        names = ["completed_lessons", "total_lessons", "completed_weight", "total_weight"]
        found = [*(row[name] for name in names), _number(row["progress_percent"])]
        if expected != found:
            yield f"counters of course {course}: {found}, by the history {expected}"
        for key in sorted(x for x, module in modules.items() if module["course_id"] == course):
            yield from _module(key, modules[key], state, counted, begun.get(key))


def _is_done(state: State, lesson: str) -> bool:
    return lesson in state.lessons and state.lessons[lesson].status == "completed"


def _module(
    key: str, module: Row, state: State, counted: Sequence[Row], row: Row | None
) -> Iterator[str]:
    """A module's status follows from its counts, its times from its events."""
    mine = [x for x in counted if x["module_id"] == key]
    gates = [x for x in mine if x["is_gate"]]
    decisive = gates if module["completion_rule"] == "quiz_passed" and gates else mine
    complete = bool(decisive) and all(_is_done(state, x["id"]) for x in decisive)
    told = state.modules.get(key, Module())
    begun = "not_started" if told.started_at is None else "in_progress"
    expected = ("completed" if complete else begun, told.started_at, told.completed_at)
    found: tuple[Any, ...] = ("not_started", None, None)
    if row is not None:
        found = (row["status"], _maybe(row["started_at"]), _maybe(row["completed_at"]))
    if expected != found:
        yield f"module {key}: {found}, by the history {expected}"


def _compare(
    what: str, found: Mapping[tuple[Any, ...], Any], expected: Mapping[tuple[Any, ...], Any]
) -> Iterator[str]:
    for key in sorted(found.keys() | expected.keys()):
        if found.get(key) != expected.get(key):
            name = " ".join(str(part) for part in key)
            yield f"{what} {name}: {found.get(key)}, by the history {expected.get(key)}"
