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
from hypothesis import example, given
from hypothesis import strategies as st

from shared import command, courses
from tests.support.real_course import FAULTY, real_course

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
    assert (len(document["modules"]), len(lessons)) == (4, 14)
    kinds = {lesson["type"] for lesson in lessons}
    assert kinds == {"video", "article", "quiz", "download", "live", "assignment", "embed"}
    asked = {
        q["kind"] for lesson in lessons for q in lesson.get("quiz", {"questions": ()})["questions"]
    }
    assert asked == set(courses.KINDS) - {"free_text"}
    # docs/tutorial/first-lesson.mjs completes the first three by hand.
    assert {lesson.get("completion_rule", "manual") for lesson in lessons[:4]} == {"manual"}
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


CHOICES = [{"text": "a", "correct": True}, {"text": "b"}]
QUESTIONS: dict[str, dict[str, Any]] = {
    "single_choice": {"options": CHOICES},
    "multiple_choice": {
        "options": [*CHOICES, {"text": "c", "correct": True}],
        "scoring": "partial",
    },
    "true_false": {"correct": False},
    "numeric": {"answer": "3.14159265358979323846", "tolerance": 0.5},
    "short_text": {"accepted": ["yes", "Yes"]},
    "ordering": {"items": ["one", "two"]},
    "matching": {"pairs": [{"left": "a", "right": "1"}, {"left": "b", "right": "2"}]},
    "free_text": {},
}


def question(kind: str = "single_choice", **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "text": f"A {kind}?", **QUESTIONS.get(kind, {}), **fields}


def quiz(*questions: dict[str, Any], lesson: dict[str, Any] | None = None, **fields: Any) -> Any:
    """SMALL, its first lesson a quiz with these questions; `fields` are the quiz's own."""
    made = {"questions": list(questions) or [question()], **fields}
    first = {"slug": "rope", "title": "R", "type": "quiz", "quiz": made, **(lesson or {})}
    return changed(*LESSON, to=first)


def test_a_quiz_of_every_kind_is_what_it_was() -> None:
    document = quiz(
        *(question(kind, id=kind.replace("_", "-"), points=1.25) for kind in QUESTIONS),
        question(pool="p", media=[{"url": "https://example.com/a.png", "alt": "A"}]),
        question("true_false", pool="p", explanation="Because."),
        pools={"p": 1},
        shuffle_options=True,
        lesson={
            "completion_rule": "pass",
            "pass_percent": 55,
            "max_attempts": 2,
            "time_limit_seconds": 60,
            "attempt_cooldown_seconds": 5,
            "quiz_available_from": "2030-01-31T08:00Z",
            "quiz_available_until": "2030-01-31T10:00:00+01:00",
            "reveal_policy": "after_last_attempt",
            "score_policy": "average",
        },
    )
    document["modules"][0]["completion_rule"] = "quiz_passed"
    assert courses.check(document, ROOT) == document
    VALIDATOR.validate(document)


def test_rules_of_access_are_what_they_were() -> None:
    document = copy.deepcopy(SMALL)
    document |= {"sequential": True, "requires": ["basics"], "enrollment_mode": "paid"}
    first, second = document["modules"][:2]
    first |= {"available_from": "2030-01-31T08:00Z"}
    second |= {"requires": [first["slug"]], "available_after_previous_days": 0}
    second["lessons"] = [
        {"slug": "last", "title": "L", "type": "live", "available_after_days": 7,
         "requires": [first["lessons"][0]["slug"]]}
    ]  # fmt: skip
    assert courses.check(document, ROOT) == document
    VALIDATOR.validate(document)


@pytest.mark.parametrize("name", ["a.json", "a.yaml"])
def test_numbers_stay_exact(tmp_path: Path, name: str) -> None:
    """Also those that no float holds, and whole ones stay whole."""
    many = "0.1234567890123456789"
    text = json.dumps(quiz(question("numeric", answer="N", tolerance=0.1, points=2)))
    (tmp_path / name).write_text(text.replace('"N"', many))
    (found,) = courses.load(tmp_path / name)["modules"][0]["lessons"][0]["quiz"]["questions"]
    assert (found["answer"], found["tolerance"]) == (many, 0.1)
    assert json.dumps(found["points"]) == "2"


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
    (changed("sequential", to="yes"), "sequential", "true or false"),
    (changed("requires", to=["Big Slug"]), "requires[0]", "lower-case"),
    (changed("requires", to=[SMALL["slug"]]), "requires[0]", "this course itself"),
    (changed("modules", 0, "requires", to=["x"]), "modules[0].requires[0]", "not in this course"),
    (
        changed(*LESSON, "requires", to=[SMALL["modules"][0]["lessons"][0]["slug"]]),
        "modules[0].lessons[0].requires[0]",
        "what requires it",
    ),
    (
        changed("modules", 0, "available_from", to="tomorrow"),
        "modules[0].available_from",
        "must be a time",
    ),
    (
        changed(*LESSON, "available_from", to="2030-02-30T08:00Z"),
        "modules[0].lessons[0].available_from",
        "no such",
    ),
    (
        changed(*LESSON, "available_after_days", to=0),
        "modules[0].lessons[0].available_after_days",
        "at least 1",
    ),
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


Q = "modules[0].lessons[0].quiz.questions[0]"
SECOND = "modules[0].lessons[0].quiz.questions[1]"
A, B = CHOICES

# Path within the quiz's questions, reason. What a JSON Schema cannot say is marked "beyond".
FAULTY_QUESTIONS: list[tuple[dict[str, Any], str, str]] = [
    (quiz({"text": "?"}), f"{Q}.kind", "is missing"),
    (quiz({"kind": "essay", "text": "?"}), f"{Q}.kind", "'free_text', not \"essay\""),
    (quiz("x"), Q, "set of fields"),  # type: ignore[arg-type]
    (quiz(question(text=" ")), f"{Q}.text", "must not be empty"),
    (quiz(question(points=0)), f"{Q}.points", "above 0"),
    (quiz(question(points=0.125)), f"{Q}.points", "at most 2 decimals"),
    (quiz(question(points=float("inf"))), f"{Q}.points", "number"),
    (quiz(question(points=True)), f"{Q}.points", "must be a number"),
    (quiz(question(points=10**400)), f"{Q}.points", ""),
    (quiz(question(id="a b")), f"{Q}.id", "letters, digits"),
    (quiz(question(answer=1)), f"{Q}.answer", "unknown field"),
    (quiz(question(option=[])), f"{Q}.option", "did you mean options?"),
    (quiz(question(options=[A])), f"{Q}.options", "at least 2 entries"),
    (quiz(question(options=[B, B])), f"{Q}.options", "no correct option"),
    (quiz(question(options=[A, A])), f"{Q}.options", "2 correct options in a single choice"),
    (quiz(question("multiple_choice", options=[B, B])), f"{Q}.options", "no correct option"),
    (quiz(question(options=[A, {"text": ""}])), f"{Q}.options[1].text", "must not be empty"),
    (quiz(question(options=[A, {"correct": False}, B])), f"{Q}.options[1].text", "is missing"),
    (
        quiz(question(options=[A | {"id": "x"}, B | {"id": "x"}])),
        f"{Q}.options[1].id",
        "already the id of",
    ),
    (quiz(question(options=[A | {"id": "o2"}, B])), f"{Q}.options[1].id", "while it has none"),
    (quiz(question("true_false", correct=1)), f"{Q}.correct", "true or false"),
    (quiz(question("numeric", answer="many")), f"{Q}.answer", "must be a number"),
    (quiz(question("numeric", answer=float("nan"))), f"{Q}.answer", "must be a number"),
    (quiz(question("numeric", answer="1e999")), f"{Q}.answer", "must be a number"),
    (quiz(question("numeric", answer=1e-90)), f"{Q}.answer", "at most 64 characters"),
    (quiz(question("numeric", tolerance=-0.5)), f"{Q}.tolerance", "at least 0"),
    (quiz(question("numeric", tolerance=True)), f"{Q}.tolerance", "must be a number"),
    (quiz(question("short_text", accepted=[])), f"{Q}.accepted", "at least 1 entry"),
    (quiz(question("short_text", accepted=["\u00a0"])), f"{Q}.accepted[0]", "must not be empty"),
    (quiz(question("ordering", items=["a"])), f"{Q}.items", "at least 2 entries"),
    (quiz(question("ordering", items=["a", "b", "a"])), f"{Q}.items[2]", "same as"),
    (
        quiz(question("matching", pairs=[{"left": "a", "right": str(n)} for n in range(2)])),
        f"{Q}.pairs[1].left",
        "same as",
    ),
    (quiz(question("matching", distractors=["x", "2"])), f"{Q}.distractors[1]", "same as"),
    (quiz(question(id="x"), question(id="x")), f"{SECOND}.id", '"x" is already the id of'),
    (quiz(question(id="q2"), question()), f"{SECOND}.id", "while it has none"),
    (quiz(question(pool="p")), f"{Q}.pool", '"p" is not among'),
    (quiz(question("ordering", scoring="most")), f"{Q}.scoring", "'partial', not"),
]
FAULTY_LESSONS: list[tuple[dict[str, Any], str, str]] = [
    (quiz(lesson={"quiz": None}), "quiz", "a published quiz lesson needs quiz"),
    (quiz(lesson={"quiz": {"pools": {}}}), "quiz.questions", "is missing"),
    (quiz(lesson={"quiz": {"questions": []}}), "quiz.questions", "at least 1"),
    (quiz(colour="red"), "quiz.colour", "unknown field"),
    (quiz(lesson={"type": "article", "content": "x"}), "quiz", "needs type"),
    (quiz(question(pool="p"), pools={"p": 2}), "quiz.pools.p", "draws 2 of 1 questions"),
    (quiz(pools={"p": 1}), "quiz.pools.p", "draws 1 of 0 questions"),
    (quiz(pools={"p": 0}), "quiz.pools.p", "at least 1"),
    (quiz(lesson={"max_attempts": 0}), "max_attempts", "at least 1"),
    (quiz(lesson={"time_limit_seconds": 4}), "time_limit_seconds", "at least 5"),
    (quiz(lesson={"reveal_policy": "after_last_attempt"}), "max_attempts", "is missing"),
    (quiz(lesson={"quiz_available_from": "tomorrow"}), "quiz_available_from", "must be a time"),
    (quiz(lesson={"quiz_available_from": "2030-02-30T08:00Z"}), "quiz_available_from", "no such"),
    (
        quiz(
            lesson={
                "quiz_available_from": "2030-01-31T08:00Z",
                "quiz_available_until": "2030-01-31T09:00+01:00",
            }
        ),
        "quiz_available_until",
        "must be after",
    ),
    (changed(*LESSON, "score_policy", to="last"), "score_policy", "goes with a quiz only"),
    (changed(*LESSON, "pass_percent", to=50), "pass_percent", "pass or a quiz only"),
    (changed("modules", 0, "completion_rule", to="some"), "", "'quiz_passed'"),
]
REFUSED += FAULTY_QUESTIONS
REFUSED += [
    (document, f"modules[0].lessons[0].{field}" if field else "modules[0].completion_rule", reason)
    for document, field, reason in FAULTY_LESSONS
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


@pytest.mark.parametrize(("document", "path", "reason"), FAULTY_QUESTIONS)
def test_a_faulty_question_is_left_out_on_demand(
    document: dict[str, Any], path: str, reason: str
) -> None:
    """With the reason; the rest of the quiz stays, and is checked once more."""
    place = document["modules"][0]["lessons"][0]["quiz"]["questions"]
    place.append(question(id="good"))
    kept = [one for n, one in enumerate(place) if not path.startswith(f"{Q[:-2]}{n}]")]
    skipped = courses.Skipped(Path("x.yaml"))
    found = courses.check(document, ROOT, skipped=skipped)
    assert found["modules"][0]["lessons"][0]["quiz"]["questions"] == kept
    (line,) = skipped.lines()
    assert line.startswith(f"x.yaml: {path}: lesson rope, question ")
    assert reason in line
    assert skipped.articles == ()
    assert len(place) == len(kept) + 1  # what was given is not touched


@pytest.mark.parametrize(
    ("document", "path", "reason"),
    [entry for entry in REFUSED if entry not in FAULTY_QUESTIONS],
)
def test_nothing_else_is_left_out(document: dict[str, Any], path: str, reason: str) -> None:
    with pytest.raises(courses.CourseError) as caught:
        courses.check(document, ROOT, skipped=courses.Skipped(Path("x.yaml")))
    assert [courses.dotted(fault.path) for fault in caught.value.faults] == [path]
    assert reason in caught.value.faults[0].message


def test_a_quiz_left_empty_makes_an_article() -> None:
    bad = question(options=[B, B])
    for rule, then in (("pass", "manual"), ("submit", "manual"), ("manual", "manual")):
        lesson = {"completion_rule": rule, "pass_percent": 50, "max_attempts": 2, "content": "T."}
        skipped = courses.Skipped(Path("x"))
        document = quiz(bad, bad, pools={}, lesson=lesson)
        found = courses.check(document, ROOT, skipped=skipped)["modules"][0]["lessons"][0]
        bare = {"slug": "rope", "title": "R", "type": "article", "content": "T."}
        assert found == {**bare, "completion_rule": then}
        assert skipped.articles == ("rope",)
        assert len(skipped.faults) == 2


def test_what_is_left_must_do_for_the_pools() -> None:
    bad = question(options=[B, B], pool="p")
    document = quiz(bad, question(pool="p"), question("true_false", pool="p"), pools={"p": 3})
    with pytest.raises(courses.CourseError, match=r"quiz\.pools\.p: lesson rope: draws 3 of 2"):
        courses.check(document, ROOT, skipped=courses.Skipped(Path("x")))


def test_a_question_that_hides_in_a_second_key_is_refused(tmp_path: Path) -> None:
    """Faults found in text that the document does not hold any more."""
    text = json.dumps(quiz()).replace('"quiz": {', '"quiz": {"questions": [1, &x 2]}, "quiz": {')
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(courses.CourseError, match="stands here a second time"):
        courses.load(tmp_path / "a.yaml", courses.Skipped(Path("x")))


def test_no_fault_tells_an_answer() -> None:
    secrets = [
        question("numeric", answer="SECRET"),
        question("short_text", accepted=["SECRET\0"]),
        question("true_false", correct="SECRET"),
        question("ordering", items=["SECRET", "SECRET"]),
        question("matching", pairs=[{"left": "SECRET", "right": "SECRET"}] * 2),
        question(options=[{"text": "SECRET", "correct": True}] * 2, explanation=["SECRET"]),
        question(options=[{"text": "SECRET", "correct": "SECRET"}, "SECRET"]),
    ]
    with pytest.raises(courses.CourseError) as caught:
        courses.check(quiz(*secrets), ROOT)
    assert len(caught.value.faults) >= len(secrets)
    assert "SECRET" not in str(caught.value)


def test_the_faulty_questions_of_the_real_course_are_named() -> None:
    document = real_course(quizzes=True)
    with pytest.raises(courses.CourseError) as caught:
        courses.check(document, ROOT)
    assert [fault.message for fault in caught.value.faults] == [reason for *_, reason in FAULTY]
    for line, (slug, number, reason) in zip(caught.value.lines(), FAULTY, strict=True):
        assert line.endswith(f": lesson {slug}, question {number}: {reason}")
    skipped = courses.Skipped(Path("x"))
    found = courses.check(document, ROOT, skipped=skipped)
    quizzes = [one["quiz"] for m in found["modules"] for one in m["lessons"] if "quiz" in one]
    assert len(quizzes) == 50
    assert sum(len(one["questions"]) for one in quizzes) == 150 - len(FAULTY)
    assert (len(skipped.faults), skipped.articles) == (len(FAULTY), ())
    VALIDATOR.validate(found)


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
        (
            json.dumps(changed("rating", to=1.5)).replace("1.5", "1e-99999999999999999999"),
            "rating: must be a number",
        ),
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
    monkeypatch.setattr("shared.courses.content_files.MAX_BYTES", 15)
    (tmp_path / "a.md").write_text("0123456789")
    lessons = [{"slug": f"l{n}", "title": "L", "content_file": "a.md"} for n in range(2)]
    found = faults(changed("modules", 0, "lessons", to=lessons), tmp_path)
    assert list(found) == ["modules[0].lessons[1].content_file"]


def test_control_characters_do_not_reach_the_terminal() -> None:
    (path,) = faults(changed("\x1b[31mred", to=1))
    assert "\x1b" not in path


# A faulty question's line, too.
def test_the_line_of_a_question_is_named(tmp_path: Path) -> None:
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
        type: quiz
        quiz:
          questions:
            - {id: one, kind: true_false, text: T?, correct: true}
            - id: two
              kind: single_choice
              text: T?
              options:
                - {text: a}
                - {text: b}
            - {kind: numeric, text: T?, answer: 1, tolerance: -1}
"""
    where = "modules[0].lessons[0].quiz.questions"
    assert file_faults(tmp_path, text) == [
        f"18: {where}[1].options: lesson x, question two: no correct option",
        f"21: {where}[2].tolerance: lesson x, question 3: must be at least 0",
    ]


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
QUIZ_PLACES: list[tuple[str | int, ...]] = [
    *((field,) for field in courses.Quiz.model_fields),
    *(
        ("questions", number, field)
        for number, kind in enumerate(QUESTIONS)
        for field in courses.KINDS[kind].model_fields
    ),
    ("questions", 0, "options", 0),
    *(("questions", 0, "options", 1, field) for field in courses.Option.model_fields),
    *(("questions", 6, "pairs", 1, field) for field in courses.Pair.model_fields),
    *(("questions", 0, "media", 0, field) for field in courses.Media.model_fields),
]


@given(place=st.sampled_from(PLACES), value=JSON_VALUES)
@example(place=("waymark",), value=True)
def test_any_value_is_accepted_or_refused(place: tuple[str | int, ...], value: Any) -> None:
    document = changed(*place, to=value)
    if not faults(document):
        VALIDATOR.validate(document)


@example(place=("questions",), value=[None])
@given(place=st.sampled_from(QUIZ_PLACES), value=JSON_VALUES | st.sampled_from([*QUESTIONS]))
def test_any_value_in_a_quiz_is_accepted_or_refused(
    place: tuple[str | int, ...], value: Any
) -> None:
    document = quiz(
        question(media=[{"url": "https://example.com/a.png"}]),
        *(question(kind) for kind in [*QUESTIONS][1:]),
        question(),  # so that one is left
    )
    document = copy.deepcopy(document)
    at: Any = document["modules"][0]["lessons"][0]["quiz"]
    for part in place[:-1]:
        at = at[part]
    at[place[-1]] = value
    if found := faults(document):
        in_question = all(path.startswith(Q[:-3]) and path != Q[:-3] for path in found)
        try:
            document = courses.check(document, ROOT, skipped=courses.Skipped(Path("x")))
        except courses.CourseError:
            assert not in_question
            return
        assert in_question
        if "quiz" not in document["modules"][0]["lessons"][0]:
            return  # Of an empty quiz an article is left, whose content is yet to come.
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
    assert not VALIDATOR.is_valid(real_course(quizzes=True))


# Duplicates, sums, decimals and dates are beyond a JSON Schema; and in three places Python's JSON
# and regular expressions differ from everybody's: NaN, lone surrogates, and $ before a newline at
# the end.
BEYOND = (
    "slug of", "url of", "id of", "while it", "same as", "Unicode", "no such", "must be after",
    "not in this course", "what requires it",
    "this course itself", "decimals", "64 characters", "not among", "questions", "at least 0",
    "must be a number",
)  # fmt: skip


@pytest.mark.parametrize(
    "document",
    [
        document
        for document, _, reason in REFUSED
        if not any(word in reason for word in BEYOND)
        and document["slug"] != "a\n"
        and document.get("rating") == document.get("rating")
    ],
)
def test_the_schema_refuses_what_we_refuse(document: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(document)


def test_the_reference_names_every_field() -> None:
    text = (ROOT / "docs" / "reference" / "course-format.md").read_text("utf-8")
    models = (courses.CourseFile, courses.Module, courses.Lesson, courses.Resource, courses.Quiz)
    for model in models:
        for field in model.model_fields:
            assert re.search(rf"^\| (`\w+`, )?`{field}`", text, re.MULTILINE), field
    for kind, question_model in courses.KINDS.items():
        assert re.search(rf"^\| `{kind}` \|", text, re.MULTILINE)
        for field in question_model.model_fields:
            assert f"`{field}`" in text or f"`{field}: true`" in text


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
    bad.write_text(json.dumps(quiz(question(options=[B, B]))))
    assert command.main(["courses", "validate", str(bad)]) == 1
    assert "1 problem; nothing was imported" in capsys.readouterr().err
    assert command.main(["courses", "validate", str(bad), "--skip-faulty"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        f"{bad}: {Q}.options: lesson rope, question 1: no correct option (left out)",
        f"{bad}: lesson rope: no question is left, so it becomes an article",
    ]
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
