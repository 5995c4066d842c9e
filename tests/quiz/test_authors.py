"""A quiz read back by who wrote it: everything is there, and nobody else gets it."""

from __future__ import annotations

import copy
from typing import Any

import psycopg
import pytest

from local.bootstrap import ROOT
from shared import courses
from tests.quiz.world import EVERY_KIND, Rest, World, choice

ESSAY = {"kind": "free_text", "text": "Why?", "points": "12.50", "explanation": "ZEBRA-3"}
ODD: list[dict[str, Any]] = [
    {"id": "big", "kind": "numeric", "text": "How many?", "answer": "1e99", "tolerance": "+.5e-70"},
    {"id": "small", "kind": "numeric", "text": "How much?", "answer": -0.25, "points": 0.01},
    {
        "id": "seen",
        "kind": "multiple_choice",
        "text": "Which?",
        "media": [{"url": "https://example.com/a.png", "alt": "A"}],
        "options": [
            {"id": "b", "text": "same", "correct": True},
            {"id": "a", "text": "same"},
            {"id": "c", "text": "other", "correct": True},
        ],
    },
    choice("Drawn 1?", pool="p"),
    choice("Drawn 2?", pool="p", explanation=""),
    {"kind": "matching", "text": "Pairs?", "scoring": "partial",
     "pairs": [{"left": "b", "right": "2"}, {"left": "a", "right": "1"}]},
]  # fmt: skip


def stored(world: World, lesson: str) -> list[Any]:
    """Everything that is stored of a quiz, and who wrote it last."""
    return world.run(
        "select to_jsonb(q), q.xmin::text from private.questions q where lesson_id = %(l)s"
        " union all select to_jsonb(l), l.xmin::text from public.lessons l where id = %(l)s"
        " order by 1",
        {"l": lesson},
    )


def test_what_is_read_back_changes_nothing(world: World) -> None:
    asked = [*EVERY_KIND, ESSAY, *ODD]
    lesson = world.quiz(asked, pools={"p": 1}, shuffle_options=True, max_attempts=2)
    author = world.staff("author")
    before = stored(world, lesson)
    quiz = author.call("get_quiz", lesson_id=lesson)
    assert author.call("set_quiz", lesson_id=lesson, quiz=quiz)["changed"] is False
    assert stored(world, lesson) == before
    # In another lesson it makes the same questions.
    copied = world.lesson(type="quiz")
    world.set_quiz(copied, quiz["questions"], pools=quiz["pools"], shuffle_options=True)
    assert author.call("get_quiz", lesson_id=copied) == quiz
    world.run("update public.lessons set max_attempts = 2 where id = %s", copied)
    rows = "select id, position, kind, points, pool, body, key, explanation from private.questions"
    assert world.run(f"{rows} where lesson_id = %s order by position", copied) == world.run(
        f"{rows} where lesson_id = %s order by position", lesson
    )


def test_it_is_what_was_written(world: World) -> None:
    lesson = world.quiz([*EVERY_KIND, ESSAY])
    found = world.staff("author").call("get_quiz", lesson_id=lesson)
    assert (found["shuffle_options"], found["pools"]) == (False, {})
    for number, (written, read) in enumerate(
        zip([*EVERY_KIND, ESSAY], found["questions"], strict=True), 1
    ):
        assert (read["id"], float(read["points"])) == (
            f"q{number}",
            float(written.get("points", 1)),
        )
        wanted = copy.deepcopy(written)
        for place, option in enumerate(wanted.get("options", []), 1):
            wanted["options"][place - 1] = {"id": f"o{place}", "correct": False, **option}
        wanted["points"] = read["points"]
        assert {name: read[name] for name in wanted} == wanted


def test_the_course_format_takes_it_too(world: World) -> None:
    lesson = world.quiz([*EVERY_KIND, ESSAY, *ODD], pools={"p": 1})
    quiz = world.staff("author").call("get_quiz", lesson_id=lesson)
    document = {
        "waymark": 1, "slug": "s", "title": "T", "status": "draft",
        "modules": [{"slug": "m", "title": "M", "lessons": [
            {"slug": "l", "title": "L", "type": "quiz", "quiz": quiz},
        ]}],
    }  # fmt: skip
    courses.check(document, ROOT)


def test_a_lesson_without_a_quiz_has_none_to_read(world: World) -> None:
    author = world.staff("author")
    assert author.call("get_quiz", lesson_id=world.lesson()) is None
    lesson = world.quiz([choice("Old?"), choice("Kept?")])
    world.set_quiz(lesson, [choice("Kept?")])
    read = author.call("get_quiz", lesson_id=lesson)["questions"]
    assert [one["text"] for one in read] == ["Kept?"]
    author.call("set_quiz", lesson_id=lesson, quiz=None)
    assert author.call("get_quiz", lesson_id=lesson) is None
    missing = author.refusal("get_quiz", lesson_id="00000000-0000-4000-8000-000000000000")
    assert (missing.code, missing.status) == ("lesson_not_found", 404)


def test_a_draft_and_an_archived_lesson_are_read_too(world: World) -> None:
    lesson = world.quiz(EVERY_KIND)
    world.run("update public.courses set status = 'draft' where id = %s", world.course)
    world.run("update public.lessons set archived_at = now() where id = %s", lesson)
    read = world.staff("author").call("get_quiz", lesson_id=lesson)
    assert len(read["questions"]) == len(EVERY_KIND)


def test_nobody_else_reads_keys(world: World, worlds: Any) -> None:
    lesson = world.quiz([*EVERY_KIND, ESSAY])
    elsewhere = worlds()
    passed = world.learner()
    passed.call("submit_quiz", lesson_id=lesson, answers=world.right(lesson))
    for person in (
        passed, world.learner(), world.person(world.user()), world.staff("instructor"),
        world.staff("assistant"), elsewhere.staff("author"), elsewhere.learner(),
    ):  # fmt: skip
        refused = person.refusal("get_quiz", lesson_id=lesson)
        assert (refused.code, refused.status, refused.details) == ("not_allowed", 403, None)
        over_http = Rest(world.stack, str(person.id))
        for answer in (
            over_http.rpc("get_quiz", p_lesson_id=lesson),
            over_http.get(f"/rest/v1/rpc/get_quiz?p_lesson_id={lesson}"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
            assert "ZEBRA" not in answer.text
        over_http.http.close()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        world.person(None, "anon").call("get_quiz", lesson_id=lesson)
    author = Rest(world.stack, str(world.staff("author").id))
    for answer in (
        author.rpc("get_quiz", p_lesson_id=lesson),
        author.get(f"/rest/v1/rpc/get_quiz?p_lesson_id={lesson}"),
    ):
        assert answer.status_code == 200
        assert all(f"ZEBRA-{n}" in answer.text for n in (1, 2, 3))
    author.http.close()
