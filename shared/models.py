"""What routes take: pydantic models that know their fields exactly, and the ids in paths.

A model says what has the right form; whether it may be done is the database's to decide. Field
names are the RPC's arguments without their `p_`.
"""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError, from_json

from shared.errors import Problem

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_COURSE = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_CODE = re.compile(r"[ -~]{1,64}", re.ASCII)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_MAX_INT, _MAX_BIGINT = 2**31 - 1, 2**63 - 1


def uuid_id(value: str) -> str:
    """A uuid in its usual form, lower case. Raises Problem invalid_id."""
    if not _UUID.fullmatch(value):
        raise Problem("invalid_id", details="not a uuid")
    return value.lower()


def course_id(value: str) -> int:
    """A course number. Raises Problem invalid_id."""
    if not _COURSE.fullmatch(value) or int(value) > _MAX_BIGINT:
        raise Problem("invalid_id", details="not a course number")
    return int(value)


def certificate_code(value: str) -> str:
    """A certificate's code as people write it; what cannot be one becomes "", which is unknown."""
    return value if _CODE.fullmatch(value) else ""


def status_list(value: str) -> int:
    """A status list's number. Raises Problem status_list_not_found."""
    if not _NUMBER.fullmatch(value):
        raise Problem("status_list_not_found")
    return int(value)


def _uuid_field(value: str) -> str:
    if not _UUID.fullmatch(value):
        raise PydanticCustomError("invalid_id", "must be a uuid")
    return value.lower()


def _course_field(value: int) -> int:
    if not 1 <= value <= _MAX_BIGINT:
        raise PydanticCustomError("invalid_id", "must be a course number")
    return value


def _time_field(value: str) -> str:
    try:
        if not _TIME.fullmatch(value):
            raise ValueError
        datetime.fromisoformat(value.upper())
    except ValueError:
        raise PydanticCustomError("time_type", "must be an RFC 3339 time with its offset") from None
    return value


def _text_field(value: str) -> str:
    # PostgreSQL's text and jsonb cannot hold NUL; a lone surrogate is no character at all.
    if "\x00" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise PydanticCustomError("text_value", "holds a character that cannot be stored")
    return value


UuidId = Annotated[str, AfterValidator(_uuid_field)]
CourseId = Annotated[int, AfterValidator(_course_field)]
Time = Annotated[str, AfterValidator(_time_field)]
Text = Annotated[str, AfterValidator(_text_field)]


class Body(BaseModel):
    """A request body: exactly these fields and types. `null` says the same as absence."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)

    def arguments(self) -> dict[str, Any]:
        """The fields that were given, as the RPC's arguments."""
        return {f"p_{name}": value for name, value in self if value is not None}


class Empty(Body):
    """No body, or `{}`."""


class Uncomplete(Body):
    """Why a completion is taken back; kept in the audit log."""

    reason: Annotated[Text, Field(max_length=500)] | None = None


class Reason(Body):
    """Why staff or an admin do something; kept in the audit log."""

    reason: Annotated[Text, Field(min_length=1, max_length=2000)]


class ForLearner(Reason):
    """An exception for one learner."""

    user_id: UuidId


class Merge(Reason):
    """Two accounts of one person: the first goes, the second stays."""

    from_: Annotated[UuidId, Field(alias="from")]
    into: UuidId

    def arguments(self) -> dict[str, Any]:
        """The accounts and the reason as the RPC's arguments."""
        return {"p_from": self.from_, "p_into": self.into, "p_reason": self.reason}


class Replacement(Reason):
    """Which lesson takes the place."""

    new_lesson_id: UuidId


class Extension(Reason):
    """A later deadline; none at all when absent."""

    expires_at: Time | None = None


class NewCohort(Reason):
    """A cohort to be made."""

    name: Annotated[Text, Field(min_length=1, max_length=200)]
    starts_at: Time | None = None
    ends_at: Time | None = None


class CohortName(Reason):
    """A cohort's new name."""

    name: Annotated[Text, Field(min_length=1, max_length=200)]


class CohortMembers(Reason):
    """Who goes into a cohort; out of theirs when it is absent."""

    user_ids: Annotated[list[UuidId], Field(min_length=1, max_length=500)]
    cohort_id: UuidId | None = None


class Learners(Reason):
    """Who is to be enrolled, by user id or e-mail address. A line is the database's to judge."""

    learners: Annotated[
        list[Annotated[Text, Field(max_length=320)]], Field(min_length=1, max_length=500)
    ]
    cohort_id: UuidId | None = None


class LessonState(Body):
    """What a client that holds state itself reports of a lesson. Empty says just "I am here"."""

    status: Literal["not_started", "in_progress", "completed"] | None = None
    position_seconds: Annotated[int, Field(ge=0, le=_MAX_INT)] | None = None
    last_accessed: Time | None = None
    progress: Annotated[float, Field(ge=0, le=1)] | None = None


Seconds = Annotated[int, Field(ge=0, le=7 * 24 * 3600)]


class View(Body):
    """A heartbeat: what a session has seen of a lesson in all, and where it stands."""

    session_id: UuidId
    seconds: Seconds
    position_seconds: Seconds | None = None
    watched: (
        Annotated[
            list[Annotated[list[Seconds], Field(min_length=2, max_length=2)]], Field(max_length=200)
        ]
        | None
    ) = None
    section: Annotated[Text, Field(min_length=1, max_length=200)] | None = None
    progress: Annotated[float, Field(ge=0, le=1)] | None = None

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if any(begin > end for begin, end in self.watched or ()):
            raise PydanticCustomError(
                "range_value", "watched holds a range that ends before it begins"
            )
        return self


class DashboardPage(Body):
    """Which of the courses: after a place that the dashboard named, and how many."""

    cursor: Annotated[Text, Field(max_length=64)] | None = None
    limit: Annotated[int, Field(ge=1, le=100)] | None = None


class ReportFilter(Body):
    """Whom a report is about: of one cohort, enrolled from a time on and before another."""

    cohort_id: UuidId | None = None
    enrolled_from: Time | None = None
    enrolled_to: Time | None = None


class LessonReportFilter(ReportFilter):
    """The same, and how many completions make a lesson comparable: more than these."""

    min_completions: Annotated[int, Field(ge=0, le=_MAX_INT)] | None = None


class ReportPage(LessonReportFilter):
    """The same, and which plot of the page, as what."""

    plot: Literal["enrollments", "percent", "funnel", "time", "scores", "hard"] | None = None
    format: Literal["svg", "png"] | None = None

    @model_validator(mode="after")
    def _of_a_plot(self) -> Self:
        if self.format is not None and self.plot is None:
            raise PydanticCustomError("format_value", "format is of a plot")
        return self

    def arguments(self) -> dict[str, Any]:
        """What the database is asked: all plots are of the same numbers."""
        found = super().arguments()
        return {name: found[name] for name in found if name not in ("p_plot", "p_format")}


class LearnersPage(Body):
    """Which learners of a course, in which order, and how many; CSV has all of them."""

    sort: Literal["name", "percent", "activity", "score", "time"] | None = None
    direction: Literal["asc", "desc"] | None = None
    cursor: Annotated[Text, Field(max_length=1000)] | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] | None = None
    cohort_id: UuidId | None = None
    status: Literal["not_started", "in_progress", "completed"] | None = None
    min_percent: Annotated[float, Field(ge=0, le=100)] | None = None
    max_percent: Annotated[float, Field(ge=0, le=100)] | None = None
    inactive_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    needs_help: bool | None = None
    enrolled_from: Time | None = None
    enrolled_to: Time | None = None


class EventsPage(Body):
    """A page of everybody's history: how many events, after which cursor."""

    cursor: Annotated[Text, Field(max_length=64)] | None = None
    limit: Annotated[int, Field(ge=1, le=5000)] | None = None


class CertificatesPage(Body):
    """A page of certificates: how many, after which one."""

    cursor: UuidId | None = None
    limit: Annotated[int, Field(ge=1, le=200)] | None = None


class NotificationsPage(Body):
    """A page of notifications: how many, after which one."""

    after: UuidId | None = None
    limit: Annotated[int, Field(ge=1, le=100)] | None = None


class NotificationsRead(Body):
    """Which notifications have been read; without ids all of them."""

    ids: Annotated[list[UuidId], Field(max_length=1000)] | None = None


def _json_field(value: Any) -> Any:
    """Any JSON that the database can hold, whatever the question makes of it."""
    if isinstance(value, str):
        return _text_field(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise PydanticCustomError("number_value", "is not a finite number")
    if isinstance(value, list):
        return [_json_field(entry) for entry in value]
    if isinstance(value, dict):
        return {_text_field(name): _json_field(entry) for name, entry in value.items()}
    return value


Json = Annotated[Any, AfterValidator(_json_field)]


class ProgramDocument(Body):
    """A program as a whole. What it may hold is the database's to judge."""

    document: dict[Annotated[Text, Field(max_length=64)], Json]


class Removal(Body):
    """Whether to remove what learners are in, too."""

    force: bool | None = None


class Batch(Body):
    """Offline events. Each is the database's to judge: a bad one is to be reported in its place."""

    events: Annotated[list[Any], Field(max_length=500)]

    def arguments(self) -> dict[str, Any]:
        """The events; one that the database cannot hold goes without its content."""
        return {"p_events": [_storable(event) for event in self.events]}


def _storable(event: Any) -> Any:
    try:
        return _json_field(event)
    except PydanticCustomError:
        given = event.get("id") if isinstance(event, dict) else None
        return {"id": given} if isinstance(given, str) and _UUID.fullmatch(given) else {}


QuestionId = Annotated[Text, Field(min_length=1, max_length=64)]


class Answer(Body):
    """One question's answer; null clears it. Of two saves, the one with the higher seq stays."""

    question_id: QuestionId
    answer: Json
    seq: Annotated[int, Field(ge=0, lt=2**53)] | None = None

    def entry(self) -> dict[str, Any]:
        """As the database reads it."""
        seq = {} if self.seq is None else {"seq": self.seq}
        return {"question_id": self.question_id, "answer": self.answer, **seq}


class Answers(Body):
    """What an autosave sends: only answers, since their worth is not for clients to say."""

    answers: list[Answer]

    def arguments(self) -> dict[str, Any]:
        """The answers as the RPC's argument."""
        return {"p_answers": [answer.entry() for answer in self.answers]}


class Submission(Answers):
    """The last answers, if any. The key makes a repeated submit answer as the first one did.

    A caller who sends none gets one for this call: our own second try then submits nothing twice.
    """

    answers: list[Answer] = Field(default_factory=list)
    client_key: Annotated[Text, Field(min_length=1, max_length=200)] = Field(
        default_factory=lambda: str(uuid.uuid4())
    )

    def arguments(self) -> dict[str, Any]:
        """The answers and the key as the RPC's arguments."""
        return {**super().arguments(), "p_client_key": self.client_key}


class Grade(Body):
    """Points for one question."""

    question_id: QuestionId
    points: Annotated[float, Field(ge=0, le=100_000)]


class Grades(Body):
    """What staff give an attempt; the reason is kept in the audit log."""

    grades: list[Grade] = Field(default_factory=list)
    feedback: Annotated[Text, Field(max_length=20_000)] | None = None
    reason: Annotated[Text, Field(max_length=500)] | None = None


class Regrade(Body):
    """Grade attempts again, in slices. Without `dry_run: false` nothing is written."""

    dry_run: bool | None = None
    allow_fail: bool | None = None
    cursor: UuidId | None = None
    limit: Annotated[int, Field(ge=1, le=5000)] | None = None
    reason: Annotated[Text, Field(max_length=500)] | None = None


class Recalculation(Body):
    """What to count again: one enrolment, one course's, or all; the latter two in slices."""

    enrollment_id: UuidId | None = None
    course_id: CourseId | None = None
    all: bool | None = None
    dry_run: bool | None = None
    cursor: UuidId | None = None
    limit: Annotated[int, Field(ge=1, le=5000)] | None = None

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        if (self.enrollment_id is not None) + (self.course_id is not None) + bool(self.all) != 1:
            raise PydanticCustomError(
                "subject_value", "needs exactly one of enrollment_id, course_id and all: true"
            )
        if self.enrollment_id is not None and (self.cursor or self.limit):
            raise PydanticCustomError("subject_value", "cursor and limit are for slices")
        return self


B = TypeVar("B", bound=Body)

# So many faults of a body are named: who sends a megabyte of them is told no megabyte.
_NAMED = 20
# pydantic's kinds of error that are about form rather than worth; all else is invalid_value.
_TYPE_ERRORS = ("_type", "_parsing", "int_from_float")


def parse_body(model: type[B], raw: bytes) -> B:
    """`raw` as `model`; an empty body counts as `{}`.

    Raises Problem invalid_json, invalid_id, invalid_type, unknown_field or invalid_value, with a
    list of {field, problem} that never repeats what was sent.
    """
    if not raw.strip():
        raw = b"{}"
    try:
        # First as plain JSON, strictly (no NaN, no lone surrogates, bounded depth): the model's own
        # reader would take NaN and complain about its value only.
        from_json(raw, allow_inf_nan=False)
    except ValueError:
        raise Problem("invalid_json") from None
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise _problem(error) from None


def parse_query(model: type[B] | None, pairs: Sequence[tuple[str, str]]) -> Body:
    """A query as `model`, numbers written as numbers; where none is expected it is not looked at.

    Raises Problem as parse_body does; a field that is given twice is invalid_value.
    """
    if model is None or model is Empty:
        return Body()
    if len({name for name, _ in pairs}) < len(pairs):
        raise Problem("invalid_value", details="a field is given twice")
    try:
        return model.model_validate_strings(dict(pairs))
    except ValidationError as error:
        raise _problem(error) from None


def _problem(error: ValidationError) -> Problem:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    codes = {_code(entry["type"]) for entry in found}
    worst = min(codes, key=("invalid_id", "invalid_type", "unknown_field", "invalid_value").index)
    details = [
        {"field": _field(entry["loc"]), "problem": _sentence(entry)}
        for entry in found
        if _code(entry["type"]) == worst
    ][:_NAMED]
    return Problem(worst, details=details)


def _code(kind: str) -> str:
    if kind == "invalid_id":
        return "invalid_id"
    if kind == "extra_forbidden":
        return "unknown_field"
    return "invalid_type" if kind.endswith(_TYPE_ERRORS) else "invalid_value"


def _sentence(entry: Mapping[str, Any]) -> str:
    if entry["type"] == "extra_forbidden":
        return "is not known here"
    return str(entry["msg"]).replace("Input should", "should", 1)


def _field(location: tuple[int | str, ...]) -> str | None:
    # A caller's own field names come back shortened: they are the only text of theirs in an answer.
    return ".".join(str(part)[:64] for part in location) or None
