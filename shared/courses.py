"""The course file: what an author writes, checked in full before it reaches the database.

`load` reads a file and either returns the document for the import_course RPC or raises CourseError
with every fault found. docs/reference/course-format.md explains the format; its JSON Schema is
generated from the models below.
"""

from __future__ import annotations

import json
import math
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

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
}
# A rule's own fields: they mean nothing beside another rule.
_PARAMETERS = {"min_view_seconds": "view", "watch_percent": "watch", "pass_percent": "pass"}
_GRADED = ("quiz", "assignment")

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


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Resource(_Model):
    """A file or link of the course or of a lesson."""

    title: _Title
    url: _Url
    kind: Literal["link", "file"] = "link"


class Lesson(_Model):
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
    pass_percent: _Percent = Field(70, description="For the rule pass.")
    resources: Annotated[list[Resource], Field(max_length=100)] = []


class Module(_Model):
    """A part of the course; its lessons are in learning order."""

    slug: _Slug
    title: _Title
    description: _Description | None = None
    duration_minutes: _Minutes | None = None
    lessons: Annotated[list[Lesson], Field(max_length=MAX_LESSONS)] = []


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
    image_url: _Url | None = None
    duration_minutes: _Minutes | None = None
    rating: Annotated[float, Field(ge=0, le=5, description="Kept to two places.")] | None = None
    badges: Annotated[list[_Label], Field(max_length=50)] = []
    collections: Annotated[list[_Label], Field(max_length=50)] = []
    enrollment_mode: Literal["open", "invite"] = "open"
    content_access: Literal["public", "enrolled"] = "enrolled"
    resources: Annotated[list[Resource], Field(max_length=100)] = []


class CourseFile(Course):
    """A Waymark course, for `bin/admin courses import`."""

    waymark: Literal[1] = Field(description="Version of this format.")
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

    def __str__(self) -> str:
        place = dotted(self.path)
        return f"{place}: {self.message}" if place else self.message


class CourseError(Exception):
    """A course file that is refused, with everything that is wrong with it."""

    def __init__(self, file: Path, faults: Iterable[Fault]) -> None:
        self.file = file
        self.faults = tuple(faults)
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """One line per fault: file:line: path: reason."""
        return [
            f"{self.file}:{fault.line}: {fault}" if fault.line else f"{self.file}: {fault}"
            for fault in self.faults
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


def load(file: Path) -> dict[str, Any]:
    """The document of a course file, its content files read in, ready for the RPC.

    Raises CourseError with all faults: of the syntax alone when it cannot be read at all.
    """
    source = _Source(file)
    text = source.text()
    try:
        data = source.parse(text)
    except _Unreadable as problem:
        raise CourseError(file, [*source.faults, problem.fault]) from None
    return _checked(source, data, file.parent)


def check(data: Any, folder: Path, name: str = "course") -> dict[str, Any]:
    """The same for a document that is in memory already; `folder` is where content files lie."""
    return _checked(_Source(Path(name)), data, folder)


def _checked(source: _Source, data: Any, folder: Path) -> dict[str, Any]:
    source.faults += _shape_faults(data)
    for fault in _rule_faults(data):
        source.faults.append(fault)
    contents = _contents(data, folder, source.faults)
    if source.faults:
        raise CourseError(source.file, source.sorted_faults())

    document = CourseFile.model_validate(data).model_dump(exclude_unset=True, mode="json")
    for path, text in contents.items():
        lesson = document["modules"][path[1]]["lessons"][path[3]]
        del lesson["content_file"]
        lesson["content"] = text
    return document


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

    def sorted_faults(self) -> list[Fault]:
        """In the order of the file, with lines; of two on one value the first says enough."""
        found: dict[Any, Fault] = {}
        for number, fault in enumerate(self.faults):
            found.setdefault(fault.path or number, fault)
        placed = [
            fault if fault.line else Fault(fault.path, fault.message, self._line(fault.path))
            for fault in found.values()
        ]
        return sorted(placed, key=lambda fault: (fault.line or 0, *map(_order, fault.path)))

    def _line(self, path: Where) -> int | None:
        for length in range(len(path), -1, -1):
            if line := self.lines.get(path[:length]):
                return line
        return None


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
            text, object_pairs_hook=pairs, parse_constant=constant, parse_int=_integer
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
            return float(text)
        return text

    @staticmethod
    def _stop(event: Any, message: str) -> _Unreadable:
        return _Unreadable(Fault((), message, event.start_mark.line + 1))


# Checking ----------------------------------------------------------------------------------------


def _shape_faults(data: Any) -> list[Fault]:
    try:
        CourseFile.model_validate(data)
    except ValidationError as error:
        return [
            Fault(tuple(entry["loc"]), _reason(entry)) for entry in error.errors(include_url=False)
        ]
    return []


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
        elif field == "slug":
            reason = "must be lower-case letters, digits and single hyphens"
        elif field == "title" and not str(entry["input"]).strip():
            return "must not be empty"
        else:
            reason = "holds characters that text cannot have"
    if kind == "missing":
        return reason
    return f"{reason}, not {_shown(entry['input'])}"


_REASONS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "missing": lambda _: "is missing",
    "extra_forbidden": lambda _: "unknown field",
    "string_type": lambda _: "must be text",
    "int_type": lambda _: "must be a whole number",
    "float_type": lambda _: "must be a number",
    "finite_number": lambda _: "must be a number",
    "bool_type": lambda _: "must be true or false",
    "list_type": lambda _: "must be a list",
    "model_type": lambda _: "must be a set of fields",
    "literal_error": lambda c: f"must be {c['expected']}",
    "greater_than_equal": lambda c: f"must be at least {c['ge']:g}",
    "less_than_equal": lambda c: f"must be at most {c['le']:g}",
    "string_too_long": lambda c: f"must have at most {c['max_length']} characters",
    "string_too_short": lambda _: "must not be empty",
    "too_long": lambda c: f"must have at most {c['max_length']} entries",
    "too_short": lambda c: f"must have at least {c['min_length']} entry",
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
    }
    return list(model.get(last, CourseFile).model_fields)


def _rule_faults(data: Any) -> Iterator[Fault]:
    """What no single field shows. Works on raw data, so that it is reported beside wrong types."""
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
        yield from _twice(_entries(lesson, "resources"), (*path, "resources"), "url")
    if len(seen) > MAX_LESSONS:
        yield Fault(("modules",), f"a course has at most {MAX_LESSONS} lessons, not {len(seen)}")


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
    children = _mapping(parent).get(field)
    if isinstance(children, list):
        for index, child in enumerate(children):
            yield index, _mapping(child)


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
