"""The format of course files: what may be written, as models, and their JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

VERSION = 1
MAX_BYTES = 16 * 1024 * 1024  # of the file, and of its content files together
MAX_DEPTH = 12
MAX_MODULES = 500
MAX_LESSONS = 20_000
SCHEMA_FILE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "course.schema.json"

# What a published course must show: a lesson of this type needs one of these fields.
NEEDS = {
    "video": ("video_url",),
    "embed": ("video_url",),
    "article": ("content", "content_file"),
    "download": ("resources",),
    "quiz": ("quiz",),
}
# When a module or lesson opens.
MOMENTS = ("available_from", "quiz_available_from", "quiz_available_until")
# A rule's own fields: they mean nothing beside another rule.
PARAMETERS = {"min_view_seconds": "view", "watch_percent": "watch"}
GRADED = ("quiz", "assignment")
# And those of a quiz: they mean nothing without one.
QUIZ_RULES = (
    "max_attempts",
    "time_limit_seconds",
    "attempt_cooldown_seconds",
    "quiz_available_from",
    "quiz_available_until",
    "reveal_policy",
    "score_policy",
    "certificate_min_score",
)


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
            "then": _has("type", *GRADED),
        },
        *(
            {"if": {"required": [field]}, "then": _has("completion_rule", rule)}
            for field, rule in PARAMETERS.items()
        ),
        {
            "if": {"required": ["pass_percent"]},
            "then": {"anyOf": [_has("completion_rule", "pass"), _filled("quiz")]},
        },
        *({"if": {"required": [field]}, "then": _filled("quiz")} for field in QUIZ_RULES),
        {"if": _filled("quiz"), "then": _has("type", *GRADED)},
        {"if": _has("reveal_policy", "after_last_attempt"), "then": _filled("max_attempts")},
    ]
    whole = [
        {
            "if": _has("type", name) if name != "article" else _unless("type", name),
            "then": {"anyOf": [_filled(field) for field in fields]},
        }
        for name, fields in NEEDS.items()
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
