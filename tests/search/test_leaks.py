"""A search shows what its caller may read, and gives nothing else away: not by a result, an
excerpt, a score, a page or the offer of something similar."""

from __future__ import annotations

from typing import Any

import pytest

from tests.access.rest import Rest
from tests.access.world import World

PERSONAS = ("anon", "learner", "other", "author", "instructor", "assistant", "admin")


def everything(rest: Rest, persona: str, query: str) -> list[dict[str, Any]]:
    """All results, page by page."""
    found: list[dict[str, Any]] = []
    after = None
    while True:
        answer = rest.rpc(persona, "search_catalog", p_query=query, p_limit=3, p_after=after)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["results"]
        after = page["next"]
        if after is None:
            return found


def mark(world: World) -> str:
    """A word that stands in every course and lesson of this world alone."""
    word = "w" + "".join(sorted(world.users["learner"].replace("-", "")))[:12]
    world.connection.execute(
        "update public.courses set description = %s where id = any (%s)",
        [f"{word} of a course", list(world.courses.values())],
    )
    world.connection.execute(
        "update public.lessons set content = content || %s where course_id = any (%s)",
        [f" {word} of a lesson", list(world.courses.values())],
    )
    return word


@pytest.mark.parametrize("persona", PERSONAS)
def test_results_are_what_the_policies_show(rest: Rest, persona: str) -> None:
    world = rest.world
    word = mark(world)
    courses = ",".join(map(str, world.courses.values()))
    lessons = rest.read(persona, f"lessons?course_id=in.({courses})&archived_at=is.null&select=id")
    seen = {row["id"] for row in lessons}
    seen |= {row["id"] for row in rest.read(persona, f"courses?id=in.({courses})&select=id")}
    found = everything(rest, persona, word)
    assert {hit["lesson_id"] or hit["course_id"] for hit in found} == seen
    assert len(found) == len(seen)
    assert {hit["kind"] for hit in found} >= {"course", "lesson"}


def test_what_each_persona_finds_in_plain_words(rest: Rest) -> None:
    """Beside the comparison above: were a policy wrong, both would be."""
    world = rest.world
    word = mark(world)
    main = ["begun", "done", "fresh", "last", "preview", "quiz", "timed"]
    drafts = ["draft", "draft second"]
    found = {
        persona: sorted(
            hit["title"].removeprefix("Lesson ")
            for hit in everything(rest, persona, word)
            if hit["kind"] == "lesson"
        )
        for persona in PERSONAS
    }
    assert found["anon"] == found["other"] == ["open", "open quiz", "preview"]
    assert found["learner"] == sorted([*main, "open", "open quiz"])
    for staff in ("author", "instructor", "assistant"):
        assert found[staff] == sorted([*main, "open", "open quiz", *drafts])
    assert found["admin"] == sorted(
        [*main, "open", "open quiz", *drafts, "invite", "invite second"]
    )


def test_an_enrolment_that_ended_finds_no_more(rest: Rest) -> None:
    world = rest.world
    word = mark(world)
    before = len(everything(rest, "learner", word))
    for change in (
        "status = 'withdrawn'",
        "status = 'active', expires_at = now() - interval '1 s'",
    ):
        world.connection.execute(
            f"update public.enrollments set {change} where id = %s".encode(),
            [world.ids["enrollment of learner"]],
        )
        assert len(everything(rest, "learner", word)) == before - 6


@pytest.mark.parametrize("persona", ["anon", "other"])
@pytest.mark.parametrize("lesson", ["fresh", "invite", "draft", "archived"])
def test_a_hidden_word_is_as_good_as_none(rest: Rest, persona: str, lesson: str) -> None:
    """In whole, by its beginning, misspelt as a title, beside a word that is visible."""
    world = rest.world
    word = mark(world)
    secret = "zq" + word[1:]
    world.connection.execute(
        "update public.lessons set title = %s, content = content || %s where id = %s",
        [f"The {secret}", f" {secret}", world.lessons[lesson]],
    )
    for query in (secret, secret[:-2], secret[:-3] + secret[-2:], f"{word} {secret}", f'"{secret}'):
        answer = rest.rpc(persona, "search_catalog", p_query=query).json()
        unknown = rest.rpc(persona, "search_catalog", p_query=query.replace("zq", "zx")).json()
        assert answer == unknown
        assert secret not in str(answer)
    # And it is there for those who may.
    reader = "admin" if lesson != "archived" else None
    if reader:
        assert rest.rpc(reader, "search_catalog", p_query=secret).json()["results"]


def test_what_is_hidden_moves_no_score_and_no_page(rest: Rest) -> None:
    world = rest.world
    word = mark(world)
    before = everything(rest, "anon", word)
    world.connection.execute(
        "insert into public.lessons (module_id, position, title, content)"
        " select %s, 50 + n, %s || n, repeat(%s, 50) from generate_series(1, 30) n",
        [world.modules["first"], f"{word} ", f"{word} "],
    )
    assert everything(rest, "anon", word) == before
    assert len(everything(rest, "learner", word)) > len(before) + 30


def test_quiz_questions_are_not_searched(rest: Rest) -> None:
    answer = rest.rpc("admin", "search_catalog", p_query='"Why"').json()
    assert "essay" not in str(answer)
    assert all("Why?" not in hit["highlight"]["text"] for hit in answer["results"])


def test_the_index_itself_cannot_be_read(rest: Rest) -> None:
    for persona in PERSONAS:
        for path in ("search_entries", "search_entries?select=title"):
            assert rest.table(persona, "GET", path).status_code == 404
