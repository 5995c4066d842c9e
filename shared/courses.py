"""The course file: what an author writes, checked in full before it reaches the database.

`load` reads a file and either returns the document for the import_course RPC or raises CourseError
with every fault found; told so, it leaves faulty questions out instead. The format is explained in
docs/reference/course-format.md; its JSON Schema is generated from the models below.
"""

from __future__ import annotations

import copy
import json
import math
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

VERSION = 1
MAX_BYTES = 16 * 1024 * 1024  # of the file, and of its content files together
MAX_DEPTH = 12
MAX_MODULES = 500
MAX_LESSONS = 20_000
SCHEMA_FILE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "course.schema.json"

Where = tuple[str | int, ...]

# What a published course must show: a lesson of this type needs one of these fields.
_NEEDS = {
    "video": ("video_url",),
    "embed": ("video_url",),
    "article": ("content", "content_file"),
    "download": ("resources",),
    "quiz": ("quiz",),
}
# When a module or lesson opens.
_MOMENTS = ("available_from", "quiz_available_from", "quiz_available_until")
# A rule's own fields: they mean nothing beside another rule.
_PARAMETERS = {"min_view_seconds": "view", "watch_percent": "watch"}
_GRADED = ("quiz", "assignment")
# And those of a quiz: they mean nothing without one.
_QUIZ_RULES = (
    "max_attempts",
    "time_limit_seconds",
    "attempt_cooldown_seconds",
    "quiz_available_from",
    "quiz_available_until",
    "reveal_policy",
    "score_policy",
    "certificate_min_score",
)

# The models --------------------------------------------------------------------------------------

_Text = Annotated[str, Field(pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$")]
_Slug = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$",
        max_length=100,
        description="Stable key: lower-case letters, digits and single hyphens.",
    ),
]
_Title = Annotated[
    str,
    Field(
        min_length=1,
        max_length=300,
        pattern=r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$",
    ),
]
_Description = Annotated[_Text, Field(max_length=20_000)]
_Label = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Url = Annotated[
    str,
    Field(
        # The host may not hold @: a user name there is a password leak or a disguise.
        pattern=r'^https?://[^\s<>"\\@/?#\x00-\x1f\x7f]+([/?#][^\s<>"\\\x00-\x1f\x7f]*)?$',
        max_length=2_000,
        description="Address that starts with http:// or https://.",
    ),
]
_Minutes = Annotated[int, Field(ge=0, le=1_000_000)]
_Seconds = Annotated[int, Field(ge=1, le=604_800)]
_Percent = Annotated[int, Field(ge=1, le=100)]
_Score = Annotated[float, Field(ge=0, le=100, description="Kept to two places.")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


# PostgreSQL's text search configurations; the constraint language_is_known has the same.
Language = Literal[
    "arabic",
    "armenian",
    "basque",
    "catalan",
    "danish",
    "dutch",
    "english",
    "finnish",
    "french",
    "german",
    "greek",
    "hindi",
    "hungarian",
    "indonesian",
    "irish",
    "italian",
    "lithuanian",
    "nepali",
    "norwegian",
    "portuguese",
    "romanian",
    "russian",
    "serbian",
    "simple",
    "spanish",
    "swedish",
    "tamil",
    "turkish",
    "yiddish",
]


class Resource(_Model):
    """A file or link of the course or of a lesson."""

    title: _Title
    url: _Url
    kind: Literal["link", "file"] = "link"


def _no_boolean(value: Any) -> Any:
    # To Python True is a 1; to JSON it is not.
    return str(value) if isinstance(value, bool) else value


def _decimal(value: Any) -> Any:
    """A number that the database holds exactly; as text where JSON numbers would round it."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise PydanticCustomError("decimal", "must be a number")
    text = value if isinstance(value, str) else repr(value)
    if not re.fullmatch(_DECIMAL, text):
        raise PydanticCustomError("decimal", "must be a number")
    if len(text if isinstance(value, str) else f"{Decimal(text):f}") > 64:
        raise PydanticCustomError("decimal", "must be a number of at most 64 characters")
    return value


_DECIMAL = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,2})?"
_Number = Annotated[
    Any,
    AfterValidator(_decimal),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number"},
                {"type": "string", "pattern": f"^{_DECIMAL}$", "maxLength": 64},
            ],
            "description": "Kept exactly: a number, or one in quotes when it has many digits.",
        }
    ),
]
_Words = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2_000,
        pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*[^\s\x00-\x1f\x7f]"
        r"[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$",
    ),
]
_Prose = Annotated[_Words, Field(max_length=20_000, description="Markdown.")]
_Id = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$",
        description="Stable key; without one, its text says which one it is.",
    ),
]
_Points = Annotated[
    float,
    Field(gt=0, le=100_000, description="At most 2 decimals."),
    PlainSerializer(lambda points: int(points) if points == int(points) else points),
]
_Pool = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Moment = Annotated[
    str,
    Field(
        pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})$",
        description="Time with zone, such as 2030-01-31T08:00Z.",
    ),
]


_Days = Annotated[int, Field(ge=1, le=3_650)]


class _Opening(_Model):
    """When a module or lesson opens, and after what."""

    available_from: _Moment | None = None
    available_after_days: _Days | None = Field(None, description="After the enrolment.")
    available_after_previous_days: Annotated[int, Field(ge=0, le=3_650)] | None = Field(
        None, description="After the learner completed the module before."
    )
    requires: Annotated[list[_Slug], Field(max_length=50)] = Field(
        [], description="What of its kind must be completed before."
    )


class Media(_Model):
    """A picture, sound or film that a question shows."""

    url: _Url
    kind: Literal["image", "audio", "video"] = "image"
    alt: _Description | None = Field(None, description="The same in words.")


class Option(_Model):
    """One of the answers to choose from."""

    id: _Id | None = None
    text: _Words
    correct: bool = False


class Pair(_Model):
    """Two things that belong together."""

    left: _Words
    right: _Words


class _Question(_Model):
    id: _Id | None = None
    text: _Prose
    points: _Points = 1
    pool: _Pool | None = Field(None, description="The pool that it is drawn from.")
    media: Annotated[list[Media], Field(max_length=20)] = []
    explanation: Annotated[_Text, Field(max_length=20_000)] | None = Field(
        None, description="Markdown, shown with the right answer."
    )


_Options = Annotated[list[Option], Field(min_length=2, max_length=100)]
_Scoring = Literal["all_or_nothing", "partial"]
_RIGHT = {"required": ["correct"], "properties": {"correct": {"const": True}}}


def _some_right(most: int | None) -> dict[str, Any]:
    counts = {"minContains": 1, **({"maxContains": most} if most else {})}
    return {"properties": {"options": {"contains": _RIGHT, **counts}}}


class SingleChoice(_Question):
    """One option is right."""

    model_config = ConfigDict(json_schema_extra={"allOf": [_some_right(1)]})
    kind: Literal["single_choice"]
    options: _Options


class MultipleChoice(_Question):
    """Some options are right, at least one."""

    model_config = ConfigDict(json_schema_extra={"allOf": [_some_right(None)]})
    kind: Literal["multiple_choice"]
    options: _Options
    scoring: _Scoring = "all_or_nothing"


class TrueFalse(_Question):
    """A statement that is true or false."""

    kind: Literal["true_false"]
    correct: bool


class Numeric(_Question):
    """A number, right within a tolerance."""

    kind: Literal["numeric"]
    answer: _Number
    tolerance: _Number = 0


class ShortText(_Question):
    """A few words; case, white space and Unicode form do not matter."""

    kind: Literal["short_text"]
    accepted: Annotated[list[_Words], Field(min_length=1, max_length=100)]


class Ordering(_Question):
    """Things to bring into order; `items` is the right one."""

    kind: Literal["ordering"]
    items: Annotated[list[_Words], Field(min_length=2, max_length=100)]
    scoring: _Scoring = "all_or_nothing"


class Matching(_Question):
    """Things to put together."""

    kind: Literal["matching"]
    pairs: Annotated[list[Pair], Field(min_length=2, max_length=100)]
    distractors: Annotated[list[_Words], Field(max_length=100)] = Field(
        [], description="Right sides that belong to nothing."
    )
    scoring: _Scoring = "all_or_nothing"


class FreeText(_Question):
    """Text that staff grade."""

    kind: Literal["free_text"]


KINDS: Mapping[str, type[_Question]] = {
    "single_choice": SingleChoice,
    "multiple_choice": MultipleChoice,
    "true_false": TrueFalse,
    "numeric": Numeric,
    "short_text": ShortText,
    "ordering": Ordering,
    "matching": Matching,
    "free_text": FreeText,
}
Question = Annotated[
    SingleChoice
    | MultipleChoice
    | TrueFalse
    | Numeric
    | ShortText
    | Ordering
    | Matching
    | FreeText,
    Field(discriminator="kind"),
]


class Quiz(_Model):
    """What is asked in a lesson. Right answers and explanations never show before they may."""

    questions: Annotated[list[Question], Field(min_length=1, max_length=1_000)]
    pools: dict[_Pool, Annotated[int, Field(ge=1, le=1_000)]] = Field(
        {}, description="How many questions each attempt draws from a pool, by its name."
    )
    shuffle_options: bool = Field(False, description="Options in another order in each attempt.")


class Lesson(_Opening):
    """The unit of progress."""

    slug: _Slug
    title: _Title
    type: Literal["video", "article", "quiz", "assignment", "live", "download", "embed"] = "article"
    content: Annotated[_Text, Field(max_length=1_000_000, description="Markdown.")] | None = None
    content_file: (
        Annotated[
            str,
            Field(
                min_length=1,
                max_length=500,
                description="Markdown file inside the course file's folder, instead of content.",
            ),
        ]
        | None
    ) = None
    video_url: _Url | None = Field(
        None, description="The video, the embedded page, or the room of a live lesson."
    )
    duration_seconds: _Seconds | None = None
    is_preview: bool = Field(False, description="Open to everyone; takes no progress.")
    is_required: bool = Field(True, description="Counts for percent and completion.")
    weight: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    completion_rule: Literal["manual", "view", "watch", "submit", "pass"] = "manual"
    min_view_seconds: _Seconds | None = Field(None, description="For the rule view.")
    watch_percent: _Percent = Field(90, description="For the rule watch.")
    pass_percent: _Percent = Field(70, description="For the rule pass, or a quiz.")
    quiz: Quiz | None = None
    max_attempts: Annotated[int, Field(ge=1, le=1_000)] | None = None
    time_limit_seconds: Annotated[int, Field(ge=5, le=604_800)] | None = None
    attempt_cooldown_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = Field(
        None, description="Between the end of an attempt and the start of the next."
    )
    quiz_available_from: _Moment | None = None
    quiz_available_until: _Moment | None = None
    reveal_policy: Literal["never", "after_submit", "after_pass", "after_last_attempt"] = Field(
        "after_submit", description="When a learner sees results, keys and explanations."
    )
    score_policy: Literal["best", "last", "first", "average"] = Field(
        "best", description="Which attempt's percent is reported."
    )
    certificate_min_score: _Score | None = Field(
        None, description="What the reported percent must reach for the course's certificate."
    )
    resources: Annotated[list[Resource], Field(max_length=100)] = []


class Module(_Opening):
    """A part of the course; its lessons are in learning order."""

    slug: _Slug
    title: _Title
    description: _Description | None = None
    duration_minutes: _Minutes | None = None
    completion_rule: Literal["all_lessons", "quiz_passed"] = Field(
        "all_lessons", description="quiz_passed asks for its lessons with the rule pass only."
    )
    lessons: Annotated[list[Lesson], Field(max_length=MAX_LESSONS)] = []


class Certificate(_Model):
    """Who gets the course's certificate, and what it says."""

    enabled: bool = Field(True, description="Whether the course issues certificates.")
    min_percent: Annotated[float, Field(ge=0.01, le=100)] = Field(
        100, description="Percent from which it is issued; 100 is the completion of the course."
    )
    min_score: _Score | None = Field(
        None, description="What the mean of the reported quiz scores must reach."
    )
    valid_months: Annotated[int, Field(ge=1, le=1_200)] | None = Field(
        None, description="It expires so long after the completion."
    )
    hours: Annotated[float, Field(ge=0, le=99_999)] | None = Field(
        None, description="Hours of study that it states. Kept to two places."
    )
    template: _Slug | None = Field(None, description="Name of the template.")


class Course(_Model):
    """What the course itself says. A field left out takes its default, also when it had a value."""

    slug: _Slug
    title: _Title
    status: Literal["draft", "published", "archived"] = Field(
        description="Required, so that no import unpublishes a course by leaving it out."
    )
    author: Annotated[_Text, Field(max_length=300)] | None = None
    category: Annotated[_Text, Field(max_length=100)] | None = None
    description: _Description | None = None
    language: Language = Field("english", description="Of its text, for search.")
    image_url: _Url | None = None
    duration_minutes: _Minutes | None = None
    rating: Annotated[float, Field(ge=0, le=5, description="Kept to two places.")] | None = None
    badges: Annotated[list[_Label], Field(max_length=50)] = []
    collections: Annotated[list[_Label], Field(max_length=50)] = []
    enrollment_mode: Literal["open", "invite", "paid"] = "open"
    content_access: Literal["public", "enrolled"] = "enrolled"
    sequential: bool = Field(
        False, description="Each lesson opens when those before are completed."
    )
    requires: Annotated[list[_Slug], Field(max_length=50)] = Field(
        [], description="Courses that must be completed before."
    )
    certificate: Certificate | None = None
    resources: Annotated[list[Resource], Field(max_length=100)] = []


class CourseFile(Course):
    """A Waymark course, for `bin/admin courses import`."""

    waymark: Annotated[Literal[1], BeforeValidator(_no_boolean)] = Field(
        description="Version of this format."
    )
    modules: Annotated[list[Module], Field(min_length=1, max_length=MAX_MODULES)]


def json_schema() -> dict[str, Any]:
    """The published JSON Schema (2020-12): the models, and the rules between fields."""
    schema = CourseFile.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    lesson = schema["$defs"]["Lesson"]
    lesson["not"] = {"required": ["content", "content_file"]}
    lesson["allOf"] = [
        {"if": _has("completion_rule", "view"), "then": {"required": ["min_view_seconds"]}},
        {"if": _has("completion_rule", "watch"), "then": {"required": ["duration_seconds"]}},
        {
            "if": _has("completion_rule", "submit", "pass"),
            "then": _has("type", *_GRADED),
        },
        *(
            {"if": {"required": [field]}, "then": _has("completion_rule", rule)}
            for field, rule in _PARAMETERS.items()
        ),
        {
            "if": {"required": ["pass_percent"]},
            "then": {"anyOf": [_has("completion_rule", "pass"), _filled("quiz")]},
        },
        *({"if": {"required": [field]}, "then": _filled("quiz")} for field in _QUIZ_RULES),
        {"if": _filled("quiz"), "then": _has("type", *_GRADED)},
        {"if": _has("reveal_policy", "after_last_attempt"), "then": _filled("max_attempts")},
    ]
    whole = [
        {
            "if": _has("type", name) if name != "article" else _unless("type", name),
            "then": {"anyOf": [_filled(field) for field in fields]},
        }
        for name, fields in _NEEDS.items()
    ]
    lessons = {"properties": {"lessons": {"items": {"allOf": whole}}}}
    schema["if"] = _has("status", "published")
    schema["then"] = {"properties": {"modules": {"items": lessons}}}
    return schema


def _has(field: str, *values: str) -> dict[str, Any]:
    return {"required": [field], "properties": {field: {"enum": list(values)}}}


def _unless(field: str, default: str) -> dict[str, Any]:
    """The field has its default, given or not."""
    return {"properties": {field: {"const": default}}}


def _filled(field: str) -> dict[str, Any]:
    empty: dict[str, Any] = {"maxItems": 0} if field == "resources" else {"enum": ["", None]}
    return {"required": [field], "properties": {field: {"not": empty}}}


def as_sql(document: Mapping[str, Any]) -> str:
    """The import of a document as one SQL statement, for a seed or the SQL editor."""
    text = json.dumps(document, indent=1, ensure_ascii=False)
    tag = "$course$"
    while tag in text:
        tag = f"{tag[:-1]}_$"
    note = "-- Made by `bin/admin courses sql` from a course file: edit that, not this."
    return f"{note}\nselect public.import_course({tag}{text}{tag}::jsonb);"


# Faults ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a course file; `line` is None where the format gives none (JSON)."""

    path: Where
    message: str
    line: int | None = None
    about: str = ""  # the question, in the author's words

    def __str__(self) -> str:
        return ": ".join(part for part in (dotted(self.path), self.about, self.message) if part)


@dataclass(slots=True)
class Skipped:
    """What a lenient `load` left out of a document, with the reasons."""

    file: Path
    faults: tuple[Fault, ...] = ()
    articles: tuple[str, ...] = ()  # slugs of lessons that lost their whole quiz

    def lines(self) -> list[str]:
        """One line per fault, as CourseError has them."""
        return _lines(self.file, self.faults)


class CourseError(Exception):
    """A course file that is refused, with everything that is wrong with it."""

    def __init__(self, file: Path, faults: Iterable[Fault]) -> None:
        self.file = file
        self.faults = tuple(faults)
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """One line per fault: file:line: path: reason."""
        return _lines(self.file, self.faults)


def _lines(file: Path, faults: Iterable[Fault]) -> list[str]:
    return [
        f"{file}:{fault.line}: {fault}" if fault.line else f"{file}: {fault}" for fault in faults
    ]


def dotted(path: Where) -> str:
    """A path as people write it: modules[2].lessons[0].weight."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            # A key comes from the file: it must not write control characters to a terminal.
            name = part if part.isprintable() else json.dumps(part)
            text += f".{name}" if text else name
    return text


# Reading -----------------------------------------------------------------------------------------


def load(file: Path, skipped: Skipped | None = None) -> dict[str, Any]:
    """The document of a course file, its content files read in, ready for the RPC.

    Raises CourseError with all faults: of the syntax alone when it cannot be read at all. With
    `skipped`, faulty questions are left out and noted there; a quiz left empty makes its lesson an
    article.
    """
    source = _Source(file)
    text = source.text()
    try:
        data = source.parse(text)
    except _Unreadable as problem:
        raise CourseError(file, [*source.faults, problem.fault]) from None
    return _checked(source, data, file.parent, skipped)


def check(
    data: Any, folder: Path, name: str = "course", skipped: Skipped | None = None
) -> dict[str, Any]:
    """The same for a document that is in memory already; `folder` is where content files lie."""
    return _checked(_Source(Path(name)), data, folder, skipped)


def _checked(source: _Source, data: Any, folder: Path, skipped: Skipped | None) -> dict[str, Any]:
    source.faults += _shape_faults(data)
    shapes = len(source.faults)
    source.faults += _rule_faults(data, frozenset())
    if skipped is not None:
        data = _without_faulty(source, shapes, data, skipped)
    contents = _contents(data, folder, source.faults)
    if source.faults:
        raise CourseError(source.file, source.sorted_faults(data))

    document = CourseFile.model_validate(data).model_dump(exclude_unset=True, mode="json")
    for path, text in contents.items():
        lesson = document["modules"][path[1]]["lessons"][path[3]]
        del lesson["content_file"]
        lesson["content"] = text
    return document


def _without_faulty(source: _Source, shapes: int, data: Any, skipped: Skipped) -> Any:
    """The data less its faulty questions, whose faults go from the source to `skipped`."""
    out: set[Where] = set()
    told: list[Fault] = []
    while found := {place for fault in source.faults if (place := _question(fault, data))} - out:
        out |= found
        told += [fault for fault in source.faults if _question(fault, data)]
        # Faults of fields stay what they are; what a quiz as a whole lacks is to be seen again.
        rest = [fault for fault in source.faults[:shapes] if not _question(fault, data)]
        shapes = len(rest)
        source.faults = [*rest, *_rule_faults(data, frozenset(out))]
    if not out:
        return data
    reporter = _Source(source.file)
    reporter.lines, reporter.faults = source.lines, told
    skipped.faults = tuple(reporter.sorted_faults(data))

    data = copy.deepcopy(data)
    places = {path[:4] for path in out}
    for path in sorted(out, reverse=True):  # from the back, so that the other numbers stay true
        questions = _at(data, path[:-1])
        del questions[path[-1]]
    for place in sorted(places):
        lesson = _at(data, place)
        if lesson["quiz"]["questions"]:
            continue
        skipped.articles += (str(lesson.get("slug")),)
        for field in ("quiz", "pass_percent", *_QUIZ_RULES):
            lesson.pop(field, None)
        lesson["type"] = "article"
        if lesson.get("completion_rule") in ("submit", "pass"):
            lesson["completion_rule"] = "manual"
    return data


def _question(fault: Fault, data: Any) -> Where | None:
    """The path of the question that a fault lies in, if in one."""
    path = fault.path[:7]
    if (
        len(path) < 7
        or path[::2] != ("modules", "lessons", "quiz", path[6])
        or path[5] != "questions"
    ):
        return None
    try:
        _at(data, path)
    except (LookupError, TypeError):  # it stood under a key that was given a second time
        return None
    return path


def _at(data: Any, path: Where) -> Any:
    for part in path:
        data = data[part]
    return data


class _Unreadable(Exception):
    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(str(fault))


class _Source:
    """One file on its way in: its faults so far, and the line of every value in it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.faults: list[Fault] = []
        self.lines: dict[Where, int] = {}

    def text(self) -> str:
        try:
            return _read_text(self.file, MAX_BYTES)
        except ValueError as problem:
            raise CourseError(self.file, [Fault((), str(problem))]) from None

    def parse(self, text: str) -> Any:
        suffix = self.file.suffix.lower()
        if suffix == ".json":
            return _parse_json(text, self.faults)
        if suffix in (".yaml", ".yml"):
            return _YamlTree(text, self.faults, self.lines).value
        raise _Unreadable(Fault((), "must end in .yaml, .yml or .json"))

    def sorted_faults(self, data: Any) -> list[Fault]:
        """In the order of the file, with lines; of two on one value the first says enough."""
        found: dict[Any, Fault] = {}
        for number, fault in enumerate(self.faults):
            found.setdefault(fault.path or number, fault)
        placed = [
            replace(fault, line=fault.line or self._line(fault.path), about=_about(fault, data))
            for fault in found.values()
        ]
        return sorted(placed, key=lambda fault: (fault.line or 0, *map(_order, fault.path)))

    def _line(self, path: Where) -> int | None:
        for length in range(len(path), -1, -1):
            if line := self.lines.get(path[:length]):
                return line
        return None


def _about(fault: Fault, data: Any) -> str:
    """Which lesson's quiz and which question it is, in words."""
    if fault.path[4:5] != ("quiz",):
        return ""
    try:
        lesson = _at(data, fault.path[:4])
    except (LookupError, TypeError):
        return ""
    about = f"lesson {_named(lesson, 'slug', int(fault.path[3]) + 1)}"
    if place := _question(fault, data):
        about += f", question {_named(_at(data, place), 'id', int(place[-1]) + 1)}"
    return about


def _named(value: Any, key: str, otherwise: str | int) -> str | int:
    name = _mapping(value).get(key)
    return name if isinstance(name, str) and name.isprintable() else otherwise


def _order(part: str | int) -> tuple[int, str]:
    return (part, "") if isinstance(part, int) else (-1, part)


def _read_text(file: Path, limit: int) -> str:
    """Raises ValueError with the reason, in words for the author."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise ValueError("is not a file")
        with file.open("rb") as opened:
            data = opened.read(limit + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or 'no such file'}") from None
    if len(data) > limit:
        raise ValueError(f"is larger than {limit // 1024} KiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 text (byte {error.start})") from None


def _parse_json(text: str, faults: list[Fault]) -> Any:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in items:
            if key in found:
                faults.append(Fault((), f'the key "{key}" stands twice in one object'))
            found[key] = value
        return found

    def constant(name: str) -> Any:
        raise ValueError(f"{name} is not a JSON number")

    try:
        return json.loads(
            text,
            object_pairs_hook=pairs,
            parse_constant=constant,
            parse_int=_integer,
            parse_float=_fraction,
        )
    except json.JSONDecodeError as error:
        raise _Unreadable(Fault((), f"is not JSON: {error.msg}", error.lineno)) from None
    except ValueError as error:
        raise _Unreadable(Fault((), f"is not JSON: {error}")) from None
    except RecursionError:
        raise _Unreadable(Fault((), "is nested too deeply")) from None


def _integer(digits: str) -> int | str:
    # Converting a million digits takes minutes; left as text it is refused as no integer.
    return int(digits) if len(digits) <= 18 else digits


def _fraction(digits: str) -> float | str:
    # Left as text where a float would be another number: the answer to a question is exact.
    value = float(digits)
    try:
        exact = len(digits) <= 100 and Decimal(digits) == Decimal(repr(value))
    except ArithmeticError:  # an exponent beyond all bounds
        exact = False
    return value if exact else digits


class _YamlTree:
    """Plain values out of YAML events, and nothing else that YAML can do.

    Aliases are refused (a few lines of them can stand for gigabytes), tags too. Only true, false,
    null and decimal numbers are more than text, so that `title: No` is a title.
    """

    _NULL = ("", "~", "null", "Null", "NULL")
    _BOOL: Mapping[str, bool] = {
        "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False
    }  # fmt: skip
    _INTEGER = re.compile(r"[-+]?\d+")
    _FLOAT = re.compile(r"[-+]?\d+\.\d+")

    def __init__(self, text: str, faults: list[Fault], lines: dict[Where, int]) -> None:
        self._faults = faults
        self._lines = lines
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self._events: Iterator[Any] = yaml.parse(text, Loader=loader)
        try:
            self.value = self._document()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            raise _Unreadable(
                Fault((), f"is not YAML: {error.problem}", mark.line + 1 if mark else None)
            ) from None
        except yaml.YAMLError as error:
            reason = getattr(error, "reason", None) or "unreadable"
            raise _Unreadable(Fault((), f"is not YAML: {reason}")) from None

    def _document(self) -> Any:
        value: Any = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._stop(event, "holds more than one YAML document")
                value = self._node(next(self._events), ())
        if not documents:
            raise _Unreadable(Fault((), "is empty"))
        return value

    def _node(self, event: Any, path: Where) -> Any:
        line = event.start_mark.line + 1
        # A key's own line, noted by the mapping, is where an author looks first.
        self._lines.setdefault(path, line)
        if len(path) > MAX_DEPTH:
            raise self._stop(event, "is nested too deeply")
        if isinstance(event, yaml.AliasEvent):
            self._faults.append(Fault(path, "aliases (*name) are not allowed: write it out", line))
            return None
        if event.anchor:
            self._faults.append(Fault(path, "anchors (&name) are not allowed", line))
        if event.tag not in (None, "!"):
            self._faults.append(Fault(path, f"the tag {event.tag} is not allowed", line))
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        return self._scalar(event)

    def _sequence(self, path: Where) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            values.append(self._node(event, (*path, len(values))))
        return values

    def _mapping(self, path: Where) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            line = event.start_mark.line + 1
            if not isinstance(event, yaml.ScalarEvent):
                raise self._stop(event, "a key must be plain text")
            key = event.value
            place = (*path, key)
            if key in values:
                self._faults.append(Fault(place, "stands here a second time", line))
            self._lines[place] = line
            values[key] = self._node(next(self._events), place)
        return values

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if event.style not in (None, ""):
            return text
        if text in self._NULL:
            return None
        if text in self._BOOL:
            return self._BOOL[text]
        if self._INTEGER.fullmatch(text):
            return _integer(text)
        if self._FLOAT.fullmatch(text):
            return _fraction(text)
        return text

    @staticmethod
    def _stop(event: Any, message: str) -> _Unreadable:
        return _Unreadable(Fault((), message, event.start_mark.line + 1))


# Checking ----------------------------------------------------------------------------------------


def _shape_faults(data: Any) -> list[Fault]:
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
        elif field in _MOMENTS:
            reason = "must be a time with zone, such as 2030-01-31T08:00Z"
        elif not str(entry["input"]).strip():
            return "must not be empty"
        else:
            reason = "holds characters that text cannot have"
    # What a question holds may be its answer: not for a screen or a log.
    if kind == "union_tag_invalid":
        return f"{reason}, not {_shown(context['tag'])}"
    if kind in ("missing", "union_tag_not_found") or (
        entry["loc"][4:6] == ("quiz", "questions") and field not in _TELLABLE
    ):
        return reason
    return f"{reason}, not {_shown(entry['input'])}"


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


def _shown(value: Any) -> str:
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


def _rule_faults(data: Any, skipped: frozenset[Where]) -> Iterator[Fault]:
    """What no single field shows. Works on raw data, so that it is reported beside wrong types.

    `skipped` are questions to be taken for absent.
    """
    yield from _twice(_entries(data, "resources"), ("resources",), "url")
    modules = list(_entries(data, "modules"))
    yield from _twice(modules, ("modules",), "slug")
    published = _mapping(data).get("status") == "published"
    seen: dict[str, Where] = {}
    for path, lesson in _lessons(data):
        slug = lesson.get("slug")
        if isinstance(slug, str):
            if slug in seen:
                first = dotted(seen[slug])
                yield Fault((*path, "slug"), f'"{slug}" is already the slug of {first}')
            seen.setdefault(slug, path)
        yield from _lesson_faults(path, lesson, published)
        yield from _quiz_faults((*path, "quiz"), lesson.get("quiz"), skipped)
        yield from _twice(_entries(lesson, "resources"), (*path, "resources"), "url")
    slugs = {str(module.get("slug")) for _, module in modules}
    yield from _opening_faults([(("modules", m), module) for m, module in modules], slugs)
    yield from _opening_faults(_lessons(data), set(seen))
    for number, slug in _list(data, "requires"):
        if slug == _mapping(data).get("slug"):
            yield Fault(("requires", number), "is this course itself")
    if len(seen) > MAX_LESSONS:
        yield Fault(("modules",), f"a course has at most {MAX_LESSONS} lessons, not {len(seen)}")


def _opening_faults(
    entries: Iterable[tuple[Where, Mapping[str, Any]]], slugs: set[str]
) -> Iterator[Fault]:
    """Times that are none, and requirements that nothing in the file fulfils. Cycles are the
    database's to find: it knows them all."""
    for path, entry in entries:
        moment = entry.get("available_from")
        if isinstance(moment, str):
            try:
                datetime.fromisoformat(moment)
            except ValueError:
                yield Fault((*path, "available_from"), "is no such time")
        for number, slug in _list(entry, "requires"):
            if isinstance(slug, str) and slug not in slugs:
                yield Fault((*path, "requires", number), f"{_shown(slug)} is not in this course")
            elif isinstance(slug, str) and slug == entry.get("slug"):
                yield Fault((*path, "requires", number), "is what requires it")


def _lesson_faults(path: Where, lesson: Mapping[str, Any], published: bool) -> Iterator[Fault]:
    kind, rule = lesson.get("type", "article"), lesson.get("completion_rule", "manual")
    if "content" in lesson and "content_file" in lesson:
        yield Fault((*path, "content_file"), "stands beside content: give one of the two")
    if published and isinstance(kind, str):
        needs = _NEEDS.get(kind, ())
        if needs and not any(lesson.get(field) for field in needs):
            names = " or ".join(needs)
            yield Fault((*path, needs[0]), f"is missing: a published {kind} lesson needs {names}")
    for field, owner in _PARAMETERS.items():
        if field in lesson and rule != owner:
            yield Fault((*path, field), f"goes with completion_rule: {owner} only")
    if rule == "view" and lesson.get("min_view_seconds") is None:
        yield Fault((*path, "min_view_seconds"), "is missing: completion_rule: view needs it")
    if rule == "watch" and lesson.get("duration_seconds") is None:
        yield Fault((*path, "duration_seconds"), "is missing: completion_rule: watch needs it")
    if rule in ("submit", "pass") and kind not in _GRADED:
        yield Fault((*path, "completion_rule"), f"{rule} needs type: quiz or assignment")

    asks = lesson.get("quiz") is not None
    if asks and kind not in _GRADED:
        yield Fault((*path, "quiz"), "needs type: quiz or assignment")
    if "pass_percent" in lesson and rule != "pass" and not asks:
        yield Fault((*path, "pass_percent"), "goes with completion_rule: pass or a quiz only")
    for field in _QUIZ_RULES:
        if field in lesson and not asks:
            yield Fault((*path, field), "goes with a quiz only")
    if lesson.get("reveal_policy") == "after_last_attempt" and lesson.get("max_attempts") is None:
        yield Fault((*path, "max_attempts"), "is missing: after_last_attempt needs it")
    times = []
    for field in ("quiz_available_from", "quiz_available_until"):
        value = lesson.get(field)
        if isinstance(value, str):
            try:
                times.append(datetime.fromisoformat(value))
            except ValueError:
                yield Fault((*path, field), "is no such time")
    if len(times) == 2 and all(time.tzinfo for time in times) and times[1] <= times[0]:
        yield Fault((*path, "quiz_available_until"), "must be after quiz_available_from")


def _quiz_faults(path: Where, quiz: Any, skipped: frozenset[Where]) -> Iterator[Fault]:
    kept = [
        (number, question)
        for number, question in _entries(quiz, "questions")
        if (*path, "questions", number) not in skipped
    ]
    pools = _mapping(_mapping(quiz).get("pools"))
    yield from _same_ids(kept, (*path, "questions"), "q")
    drawn: dict[str, int] = {}
    for number, question in kept:
        place = (*path, "questions", number)
        yield from _question_faults(place, question)
        pool = question.get("pool")
        if isinstance(pool, str):
            drawn[pool] = drawn.get(pool, 0) + 1
            if pool not in pools:
                yield Fault((*place, "pool"), f"{_shown(pool)} is not among the quiz's pools")
    for pool, count in pools.items():
        if isinstance(count, int) and kept and count > drawn.get(pool, 0):
            yield Fault((*path, "pools", pool), f"draws {count} of {drawn.get(pool, 0)} questions")


def _question_faults(path: Where, question: Mapping[str, Any]) -> Iterator[Fault]:
    kind = question.get("kind")
    points = question.get("points")
    if isinstance(points, float) and 0 < points <= 100_000:  # whole numbers have no decimals
        exponent = Decimal(repr(points)).normalize().as_tuple().exponent
        if isinstance(exponent, int) and exponent < -2:
            yield Fault((*path, "points"), f"must have at most 2 decimals, not {_shown(points)}")
    if kind in ("single_choice", "multiple_choice"):
        options = list(_entries(question, "options"))
        right = sum(option.get("correct") is True for _, option in options)
        if options and not right:
            yield Fault((*path, "options"), "no correct option")
        if kind == "single_choice" and right > 1:
            yield Fault((*path, "options"), f"{right} correct options in a single choice")
        yield from _same_ids(options, (*path, "options"), "o")
    elif kind == "numeric":
        tolerance = question.get("tolerance")
        if re.match(r"-[0-9.]*[1-9]", str(tolerance)):
            yield Fault((*path, "tolerance"), "must be at least 0")
    elif kind == "ordering":
        yield from _repeated([((*path, "items", n), item) for n, item in _list(question, "items")])
    elif kind == "matching":
        pairs = list(_entries(question, "pairs"))
        for side in ("left", "right"):
            sides = [((*path, "pairs", n, side), pair.get(side)) for n, pair in pairs]
            if side == "right":
                others = _list(question, "distractors")
                sides += [((*path, "distractors", n), other) for n, other in others]
            yield from _repeated(sides)


def _same_ids(
    entries: Iterable[tuple[int, Mapping[str, Any]]], path: Where, letter: str
) -> Iterator[Fault]:
    """Ids that stand twice; an entry without one is known by its number at first."""
    seen: dict[str, int] = {}
    for rank, (index, entry) in enumerate(entries, 1):
        given = entry.get("id")
        name = given if isinstance(given, str) else f"{letter}{rank}"
        if name in seen:
            first = dotted((*path, seen[name]))
            which = "" if name == given else ", and this entry's while it has none"
            reason = f"{_shown(name)} is already the id of {first}{which}"
            yield Fault((*path, index, "id"), reason)
        seen.setdefault(name, index)


def _repeated(values: Iterable[tuple[Where, Any]]) -> Iterator[Fault]:
    seen: dict[str, Where] = {}
    for path, value in values:
        if isinstance(value, str):
            if value in seen:
                yield Fault(path, f"is the same as {dotted(seen[value])}")
            seen.setdefault(value, path)


def _twice(entries: Iterable[tuple[int, Any]], path: Where, field: str) -> Iterator[Fault]:
    seen: dict[str, int] = {}
    for index, entry in entries:
        value = entry.get(field)
        if not isinstance(value, str):
            continue
        if value in seen:
            first = dotted((*path, seen[value]))
            yield Fault((*path, index, field), f"{_shown(value)} is already the {field} of {first}")
        seen.setdefault(value, index)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _entries(parent: Any, field: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for index, child in _list(parent, field):
        yield index, _mapping(child)


def _list(parent: Any, field: str) -> Iterator[tuple[int, Any]]:
    children = _mapping(parent).get(field)
    return enumerate(children if isinstance(children, list) else [])


def _lessons(data: Any) -> Iterator[tuple[Where, Mapping[str, Any]]]:
    for m, module in _entries(data, "modules"):
        for n, lesson in _entries(module, "lessons"):
            yield ("modules", m, "lessons", n), lesson


def _contents(data: Any, folder: Path, faults: list[Fault]) -> dict[Any, str]:
    """The text of every content file, by the path of its lesson; what is wrong goes to `faults`."""
    found: dict[Any, str] = {}
    left = MAX_BYTES
    for path, lesson in _lessons(data):
        name = lesson.get("content_file")
        if not isinstance(name, str) or not name:
            continue
        place = (*path, "content_file")
        try:
            text = _content(folder, name)
        except ValueError as problem:
            faults.append(Fault(place, f"{_shown(name)} {problem}"))
            continue
        left -= len(text.encode())
        if left < 0:
            faults.append(Fault(place, "takes the content files together over 16 MiB"))
            break
        found[path] = text
    return found


def _content(folder: Path, name: str) -> str:
    # Resolved first: neither "..", nor an absolute path, nor a symbolic link leads out.
    root = folder.resolve()
    try:
        file = (root / name).resolve()
    except (OSError, ValueError, RuntimeError):
        raise ValueError("is no path") from None
    if not file.is_relative_to(root) or file == root:
        raise ValueError("lies outside the folder of the course file")
    text = _read_text(file, 4_000_000)
    if len(text) > 1_000_000:
        raise ValueError("has more than 1000000 characters")
    if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", text):
        raise ValueError("holds characters that text cannot have")
    return text
