"""The course file: what it accepts, and that it refuses everything else, all of it at once."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import command, courses
from tests.support.real_course import real_course

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "supabase" / "demo"

SMALL: dict[str, Any] = {
    "waymark": 1,
    "slug": "knots",
    "title": "Knots",
    "status": "published",
    "resources": [{"title": "All", "url": "https://example.com/all"}],
    "modules": [
        {
            "slug": "start",
            "title": "Start",
            "lessons": [
                {"slug": "rope", "title": "Rope", "content": "Text."},
                {
                    "slug": "bowline",
                    "title": "Bowline",
                    "type": "video",
                    "video_url": "https://example.com/b.mp4",
                },
            ],
        },
        {"slug": "more", "title": "More"},
    ],
}

VALIDATOR = jsonschema.Draft202012Validator(courses.json_schema())


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    """SMALL with another value at this path."""
    document = copy.deepcopy(SMALL)
    place: Any = document
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = to
    return document


def without(*path: str | int) -> dict[str, Any]:
    document = copy.deepcopy(SMALL)
    place: Any = document
    for part in path[:-1]:
        place = place[part]
    del place[path[-1]]
    return document


LESSON = ("modules", 0, "lessons", 0)


def faults(data: Any, folder: Path = ROOT) -> dict[str, str]:
    """Path and reason of everything that is wrong."""
    try:
        courses.check(data, folder)
    except courses.CourseError as error:
        return {courses.dotted(fault.path): fault.message for fault in error.faults}
    return {}


def file_faults(tmp_path: Path, text: str, name: str = "course.yaml") -> list[str]:
    file = tmp_path / name
    file.write_text(text, "utf-8", errors="surrogatepass")
    with pytest.raises(courses.CourseError) as caught:
        courses.load(file)
    return [line.removeprefix(f"{file}:") for line in caught.value.lines()]


# What is accepted ---------------------------------------------------------------------------------


def test_a_small_course_is_what_it_was() -> None:
    assert courses.check(SMALL, ROOT) == SMALL


def test_yaml_and_json_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(SMALL))
    (tmp_path / "a.yaml").write_text(json.dumps(SMALL))  # JSON is YAML too
    assert courses.load(tmp_path / "a.json") == courses.load(tmp_path / "a.yaml") == SMALL


def test_yaml_words_stay_words(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(
        "waymark: 1\nslug: a\nstatus: draft\ntitle: No\nauthor: 2024-01-01\ncategory: 1:30\n"
        "modules: [{slug: m, title: 'null', description: }]\n"
    )
    document = courses.load(tmp_path / "a.yml")
    assert document["title"] == "No"
    assert document["author"] == "2024-01-01"
    assert document["category"] == "1:30"
    assert document["modules"] == [{"slug": "m", "title": "null", "description": None}]


def test_the_demo_course_has_every_kind_of_lesson() -> None:
    document = courses.load(DEMO / "reading-maps.yaml")
    lessons = [lesson for module in document["modules"] for lesson in module["lessons"]]
    assert (len(document["modules"]), len(lessons)) == (4, 12)
    kinds = {lesson["type"] for lesson in lessons}
    assert kinds == {"video", "article", "download", "live", "assignment", "embed"}
    assert sum(lesson.get("is_preview", False) for lesson in lessons) == 1
    assert sum(not lesson.get("is_required", True) for lesson in lessons) == 1


def test_the_real_course_fits_the_format() -> None:
    document = courses.check(real_course(), ROOT)
    assert len(document["modules"]) == 9
    assert sum(len(module["lessons"]) for module in document["modules"]) == 25


def test_content_files_are_read_in(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "rope.md").write_text("# Rope\n")
    document = changed(*LESSON, to={"slug": "rope", "title": "R", "content_file": "text/rope.md"})
    found = courses.check(document, tmp_path)["modules"][0]["lessons"][0]
    assert found == {"slug": "rope", "title": "R", "content": "# Rope\n"}


def test_a_draft_may_lack_what_a_published_course_needs() -> None:
    lessons = [
        {"slug": kind, "title": kind, "type": kind}
        for kind in ("video", "embed", "article", "download")
    ]
    document = changed("modules", 0, "lessons", to=lessons)
    assert set(faults(document)) == {
        "modules[0].lessons[0].video_url",
        "modules[0].lessons[1].video_url",
        "modules[0].lessons[2].content",
        "modules[0].lessons[3].resources",
    }
    assert not faults({**document, "status": "draft"})


# What is refused ----------------------------------------------------------------------------------

URL = "must be a whole address that starts with http:// or https://"

REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (without("waymark"), "waymark", "is missing"),
    (changed("waymark", to=2), "waymark", "must be 1, not 2"),
    (without("status"), "status", "is missing"),
    (changed("slug", to="Big Slug"), "slug", "lower-case"),
    (changed("slug", to="a--b"), "slug", "lower-case"),
    (changed("slug", to="a" * 101), "slug", "at most 100 characters"),
    (changed("slug", to="a\n"), "slug", "lower-case"),
    (changed("title", to=""), "title", "must not be empty"),
    (changed("title", to=" "), "title", "must not be empty"),
    (changed("title", to=7), "title", "must be text, not 7"),
    (changed("title", to="a\x00b"), "title", "characters that text cannot have"),
    (changed("title", to="a\ud800"), "title", "Unicode"),
    (changed("titel", to="a"), "titel", "unknown field; did you mean title?"),
    (changed("catalog_version", to=9), "catalog_version", "unknown field"),
    (changed("status", to="live"), "status", "'draft', 'published' or 'archived'"),
    (changed("rating", to=5.1), "rating", "at most 5"),
    (changed("rating", to=float("nan")), "rating", "number"),
    (changed("image_url", to="javascript:alert(1)"), "image_url", URL),
    (changed("image_url", to="https://"), "image_url", URL),
    (changed("image_url", to="https://a b"), "image_url", URL),
    (changed("image_url", to="https://user:password@example.com/"), "image_url", URL),
    (changed("image_url", to="https://a/\nb"), "image_url", URL),
    (changed("badges", to=["a", 1]), "badges[1]", "must be text"),
    (changed("modules", to=[]), "modules", "at least 1"),
    (changed("modules", to={}), "modules", "must be a list"),
    (changed("modules", 0, to="x"), "modules[0]", "set of fields"),
    (changed("modules", 1, "slug", to="start"), "modules[1].slug", "slug of modules[0]"),
    (changed(*LESSON, "weight", to=0), "modules[0].lessons[0].weight", "at least 1, not 0"),
    (changed(*LESSON, "weight", to=1.5), "modules[0].lessons[0].weight", "whole number"),
    (changed(*LESSON, "weight", to="1"), "modules[0].lessons[0].weight", "whole number"),
    (changed(*LESSON, "weight", to=True), "modules[0].lessons[0].weight", "whole number"),
    (changed(*LESSON, "weight", to=None), "modules[0].lessons[0].weight", "whole number"),
    (changed(*LESSON, "weight", to=10**7), "modules[0].lessons[0].weight", "at most 1e+06"),
    (changed(*LESSON, "is_preview", to="yes"), "modules[0].lessons[0].is_preview", "true or false"),
    (changed(*LESSON, "archived_at", to="x"), "modules[0].lessons[0].archived_at", "unknown field"),
    (
        changed("modules", 1, "lessons", to=[{"slug": "rope", "title": "R", "content": "x"}]),
        "modules[1].lessons[0].slug",
        '"rope" is already the slug of modules[0].lessons[0]',
    ),
    (changed(*LESSON, "content_file", to="a"), "modules[0].lessons[0].content_file", "beside"),
    (changed(*LESSON, "min_view_seconds", to=9), "modules[0].lessons[0].min_view_seconds", "view"),
    (
        changed(*LESSON, "completion_rule", to="view"),
        "modules[0].lessons[0].min_view_seconds",
        "is missing",
    ),
    (
        changed(*LESSON, "completion_rule", to="watch"),
        "modules[0].lessons[0].duration_seconds",
        "is missing",
    ),
    (
        changed(*LESSON, "completion_rule", to="pass"),
        "modules[0].lessons[0].completion_rule",
        "quiz or assignment",
    ),
    (
        changed(*LESSON, "resources", to=[{"title": "a", "url": "https://a/"}] * 2),
        "modules[0].lessons[0].resources[1].url",
        "already the url of modules[0].lessons[0].resources[0]",
    ),
    (changed("resources", 0, "url", to="ftp://a/"), "resources[0].url", URL),
    (changed("resources", 0, "kind", to="zip"), "resources[0].kind", "'link' or 'file'"),
]


@pytest.mark.parametrize(("document", "path", "reason"), REFUSED)
def test_nonsense_is_refused_where_it_stands(
    document: dict[str, Any], path: str, reason: str
) -> None:
    found = faults(document)
    assert list(found) == [path]
    assert reason in found[path]


def test_all_problems_come_at_once() -> None:
    document = copy.deepcopy(SMALL)
    document["image_url"] = "data:text/html,x"
    document["extra"] = 1
    document["modules"][1]["slug"] = "start"
    rope, bowline = document["modules"][0]["lessons"]
    rope |= {"weight": 0, "slug": "bowline", "completion_rule": "view"}
    del bowline["video_url"]
    bowline["content_file"] = "../secret"
    assert set(faults(document)) == {
        "image_url",
        "extra",
        "modules[1].slug",
        "modules[0].lessons[0].weight",
        "modules[0].lessons[0].min_view_seconds",
        "modules[0].lessons[1].slug",
        "modules[0].lessons[1].video_url",
        "modules[0].lessons[1].content_file",
    }


def test_the_line_is_named(tmp_path: Path) -> None:
    text = """\
waymark: 1
slug: a
status: draft
title: A
modules:
  - slug: m
    title: M
    lessons:
      - slug: x
        title: X
        weight: 0
        tittle: Y
      - {slug: y}
"""
    assert file_faults(tmp_path, text) == [
        "11: modules[0].lessons[0].weight: must be at least 1, not 0",
        "12: modules[0].lessons[0].tittle: unknown field; did you mean title?",
        "13: modules[0].lessons[1].title: is missing",
    ]


HEAD = "waymark: 1\nslug: a\nstatus: draft\ntitle: A\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("a: [", "is not YAML"),
        ("a: b: c", "is not YAML"),
        ("\x07", "is not YAML"),
        ("just words", "must be a set of fields"),
        ("- 1", "must be a set of fields"),
        (f"{HEAD}modules: []\n---\nb: 1", "more than one YAML document"),
        (f"{HEAD}title: B\nmodules: [{{slug: m, title: M}}]", "5: title: stands here a second"),
        (f"{HEAD}author: &x B\nmodules: [{{slug: m, title: M}}]", "5: author: anchors"),
        (f"{HEAD}author: *x\nmodules: [{{slug: m, title: M}}]", "5: author: aliases"),
        (f"{HEAD}author: !!str B\nmodules: [{{slug: m, title: M}}]", "5: author: the tag"),
        (f"{HEAD}author: !!python/object:os.system x\nmodules: [{{slug: m, title: M}}]", "the tag"),
        (f"{HEAD}? [a]\n: b", "a key must be plain text"),
        (f"{HEAD}<<: {{author: B}}\nmodules: [{{slug: m, title: M}}]", "5: <<: unknown field"),
        ("[" * 100_000, "nested too deeply"),
        (f"{HEAD}duration_minutes: {'9' * 100_000}\nmodules: []", "whole number"),
    ],
)
def test_yaml_tricks_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    assert any(reason in line for line in file_faults(tmp_path, text))


def test_a_yaml_bomb_is_refused_before_it_grows(tmp_path: Path) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for n in range(1, 30):
        rows.append(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]")
    assert any("aliases" in line for line in file_faults(tmp_path, "\n".join(rows)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "1: is not JSON"),
        ("NaN", "is not JSON"),
        ("[" * 200_000, "nested too deeply"),
        ('{"waymark": 1, "waymark": 1}', 'the key "waymark" stands twice'),
        (
            json.dumps(SMALL)[:-1] + f', "duration_minutes": {"9" * 9999}}}',
            "must be a whole number",
        ),
        (json.dumps(changed("rating", to=1.5)).replace("1.5", "1e999"), "rating: must be a number"),
        (json.dumps(changed("title", to="X")).replace('"X"', '"\\ud800"'), "title: must be text"),
    ],
)
def test_json_tricks_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    assert any(reason in line for line in file_faults(tmp_path, text, "course.json"))


def test_other_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "must end in" in file_faults(tmp_path, "a", "course.txt")[0]
    for name, reason in (("gone.yaml", "cannot be read"), ("folder.yaml", "is not a file")):
        (tmp_path / "folder.yaml").mkdir(exist_ok=True)
        with pytest.raises(courses.CourseError, match=reason):
            courses.load(tmp_path / name)
    (tmp_path / "latin.yaml").write_bytes(b"title: \xe9")
    with pytest.raises(courses.CourseError, match="is not UTF-8"):
        courses.load(tmp_path / "latin.yaml")
    monkeypatch.setattr(courses, "MAX_BYTES", 100)
    assert "is larger than" in file_faults(tmp_path, "#" * 101)[0]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../outside.md", "outside the folder"),
        ("text/../../outside.md", "outside the folder"),
        ("{tmp}/outside.md", "outside the folder"),
        ("/etc/passwd", "outside the folder"),
        ("link.md", "outside the folder"),
        ("door/outside.md", "outside the folder"),
        (".", "outside the folder"),
        ("gone.md", "cannot be read"),
        ("text", "is not a file"),
        ("pipe", "is not a file"),
        ("a\0b", "is no path"),
        ("binary.md", "is not UTF-8"),
        ("bell.md", "characters that text cannot have"),
        ("long.md", "more than 1000000"),
    ],
)
def test_content_files_stay_in_their_folder(tmp_path: Path, name: str, reason: str) -> None:
    folder = tmp_path / "course"
    (folder / "text").mkdir(parents=True)
    (tmp_path / "outside.md").write_text("secret")
    (folder / "link.md").symlink_to(tmp_path / "outside.md")
    (folder / "door").symlink_to(tmp_path)
    (folder / "binary.md").write_bytes(b"\xff")
    (folder / "bell.md").write_text("\a")
    (folder / "long.md").write_text("a" * 1_000_001)
    os.mkfifo(folder / "pipe")
    name = name.replace("{tmp}", str(tmp_path))
    lesson = {"slug": "rope", "title": "R", "content_file": name}
    (message,) = faults(changed(*LESSON, to=lesson), folder).values()
    assert reason in message


def test_content_files_have_a_limit_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courses, "MAX_BYTES", 15)
    (tmp_path / "a.md").write_text("0123456789")
    lessons = [{"slug": f"l{n}", "title": "L", "content_file": "a.md"} for n in range(2)]
    found = faults(changed("modules", 0, "lessons", to=lessons), tmp_path)
    assert list(found) == ["modules[0].lessons[1].content_file"]


def test_control_characters_do_not_reach_the_terminal() -> None:
    (path,) = faults(changed("\x1b[31mred", to=1))
    assert "\x1b" not in path


# Any value at any place: never an exception of another kind, and what is accepted fits the schema.
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
PLACES: list[tuple[str | int, ...]] = [
    *((field,) for field in courses.CourseFile.model_fields),
    *(("modules", 0, field) for field in courses.Module.model_fields),
    *((*LESSON, field) for field in courses.Lesson.model_fields),
    *(("resources", 0, field) for field in courses.Resource.model_fields),
]


@given(place=st.sampled_from(PLACES), value=JSON_VALUES)
def test_any_value_is_accepted_or_refused(place: tuple[str | int, ...], value: Any) -> None:
    document = changed(*place, to=value)
    if not faults(document):
        VALIDATOR.validate(document)


# The schema ---------------------------------------------------------------------------------------


def test_the_published_schema_is_the_format() -> None:
    published = json.loads(courses.SCHEMA_FILE.read_text("utf-8"))
    assert published == courses.json_schema(), "bin/admin courses schema > the file"
    jsonschema.Draft202012Validator.check_schema(published)


def test_the_schema_accepts_what_we_accept() -> None:
    VALIDATOR.validate(SMALL)
    VALIDATOR.validate(courses.load(DEMO / "reading-maps.yaml"))
    VALIDATOR.validate(real_course())


# Duplicates are beyond a JSON Schema; and in three places Python's JSON and regular expressions
# differ from everybody's: NaN, lone surrogates, and $ before a newline at the end.
@pytest.mark.parametrize(
    "document",
    [
        document
        for document, _, reason in REFUSED
        if not any(word in reason for word in ("slug of", "url of", "Unicode"))
        and document["slug"] != "a\n"
        and document.get("rating") == document.get("rating")
    ],
)
def test_the_schema_refuses_what_we_refuse(document: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(document)


def test_the_reference_names_every_field() -> None:
    text = (ROOT / "docs" / "reference" / "course-format.md").read_text("utf-8")
    for model in (courses.CourseFile, courses.Module, courses.Lesson, courses.Resource):
        for field in model.model_fields:
            assert re.search(rf"^\| (`\w+`, )?`{field}`", text, re.MULTILINE), field


# The seed and the command -------------------------------------------------------------------------


def test_the_seed_is_the_demo_course() -> None:
    demo = courses.as_sql(courses.load(DEMO / "reading-maps.yaml"))
    learners = (DEMO / "learners.sql").read_text("utf-8")
    seed = (ROOT / "supabase" / "seed.sql").read_text("utf-8")
    assert seed == f"{demo}\n{learners}", "see the end of docs/reference/course-format.md"


def test_sql_cannot_be_ended_by_the_text_in_it() -> None:
    text = courses.as_sql(changed("title", to="$course$; drop table x; -- $course_$"))
    assert text.count("$course__$") == 2


def test_commands_end_with_their_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(SMALL))
    bad.write_text(json.dumps(changed("slug", to="B") | {"x": 1}))
    assert command.main(["courses", "validate", str(good)]) == 0
    assert command.main(["courses", "validate", str(bad)]) == 1
    assert "2 problems; nothing was imported" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        command.main(["courses", "import"])
    assert caught.value.code == 2

    def refused(**env: str) -> str:
        for name in ("SUPABASE_URL", "SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_ROLE_KEY"):
            monkeypatch.delenv(name, raising=False)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        assert command.main(["courses", "import", str(good)]) == 2
        return capsys.readouterr().err

    assert "SUPABASE_SECRET_KEY is not set" in refused(SUPABASE_URL="https://x.example")
    assert "SUPABASE_URL is not set" in refused(SUPABASE_SECRET_KEY="k")
    assert "must be https" in refused(SUPABASE_URL="http://x.example", SUPABASE_SECRET_KEY="k")
    publishable = refused(SUPABASE_URL="https://x.example", SUPABASE_SECRET_KEY="sb_publishable_x")
    assert "sb_publishable_x" not in publishable
    assert "must be a secret one" in publishable


def test_the_service_key_is_read_in_one_module() -> None:
    def holders(pattern: str) -> set[str]:
        return {
            file.name
            for folder in ("functions", "shared")
            for file in (ROOT / folder).rglob("*.py")
            if re.search(pattern, file.read_text("utf-8"))
        }

    assert holders(r"SUPABASE_(SECRET|SERVICE_ROLE)_KEY|\bSECRET_KEY\b") <= {
        "admin.py",
        "command.py",
    }
    assert holders(r"env(iron)?\b.*(SECRET_KEY|SERVICE_ROLE_KEY)") == {"admin.py"}


def test_functions_do_not_import_it() -> None:
    env = {"SUPABASE_URL": "http://127.0.0.1:1", "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_x"}
    found = subprocess.run(
        [sys.executable, "-c", "import main, sys; print(*sys.modules)"],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert "shared.errors" in found
    assert not {"shared.admin", "shared.courses", "yaml"} & set(found)
