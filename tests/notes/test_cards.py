"""Course cards and the files of a course: one call each, the same for everybody who may see it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.access.rest import Rest, code
from tests.database.actors import Actor, insert, make_course

PERSONAS = ("anon", "learner", "other", "author", "assistant", "admin")


# Resources ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("persona", PERSONAS)
@pytest.mark.parametrize("course", ["main", "open", "invite", "draft"])
def test_resources_are_those_that_the_policies_show(rest: Rest, persona: str, course: str) -> None:
    world = rest.world
    number = world.courses[course]
    for lesson in ("preview", "archived", "fresh"):
        insert_resource(world.connection, world.courses["main"], world.lessons[lesson])
    rows = rest.read(persona, f"resources?course_id=eq.{number}")
    seen = rest.read(persona, f"courses?id=eq.{number}")
    answer = rest.rpc(persona, "get_course_resources", p_course_id=number).json()
    if not seen:
        assert answer is None
        return
    archived = world.lessons["archived"]
    assert {resource["id"] for resource in answer["resources"]} == {
        row["id"] for row in rows if row["lesson_id"] is None
    }
    assert {
        (lesson["lesson_id"], resource["id"])
        for lesson in answer["lessons"]
        for resource in lesson["resources"]
    } == {
        (row["lesson_id"], row["id"])
        for row in rows
        if row["lesson_id"] is not None and row["lesson_id"] != archived
    }


def insert_resource(connection: Any, course: int, lesson: str) -> None:
    connection.execute(
        "insert into public.resources (course_id, lesson_id, title, url)"
        " values (%s, %s, 'Another', %s)",
        [course, lesson, f"https://example.org/{uuid.uuid4()}"],
    )


def test_what_each_persona_gets_of_a_course_for_the_enrolled(rest: Rest) -> None:
    """In plain words, beside the comparison above."""
    world = rest.world

    def titles(persona: str) -> tuple[list[str], list[str]]:
        answer = rest.rpc(persona, "get_course_resources", p_course_id=world.courses["main"]).json()
        return (
            [resource["title"] for resource in answer["resources"]],
            [r["title"] for lesson in answer["lessons"] for r in lesson["resources"]],
        )

    assert titles("anon") == titles("other") == ([], ["File of a preview"])
    everything = (["File of the course"], ["File of a lesson", "File of a preview"])
    assert titles("learner") == titles("assistant") == titles("admin") == everything
    answer = rest.request(
        "anon", "GET", f"/rest/v1/rpc/get_course_resources?p_course_id={world.courses['open']}"
    )
    assert [r["title"] for r in answer.json()["resources"]] == ["File of the open course"]


def test_resources_come_in_their_order(operator: Actor, learner: Callable[[], Actor]) -> None:
    course = make_course(operator, [2, 1], content_access="public")
    lessons = [course.lessons[1][0], course.lessons[0][1], course.lessons[0][0], None]
    for place, lesson in enumerate(lessons):
        for position in (1, 0):
            insert(
                operator,
                "resources",
                {
                    "course_id": course.id,
                    "lesson_id": lesson,
                    "position": position,
                    "title": f"{place}.{position}",
                    "url": f"https://example.org/{place}/{position}",
                },
            )
    answer = learner().call("get_course_resources", p_course_id=course.id)
    assert [r["title"] for r in answer["resources"]] == ["3.0", "3.1"]
    assert [[r["title"] for r in lesson["resources"]] for lesson in answer["lessons"]] == [
        ["2.0", "2.1"],
        ["1.0", "1.1"],
        ["0.0", "0.1"],
    ]


# Cards -------------------------------------------------------------------------------------------


def pages(actor: Actor, size: int = 100, **filters: Any) -> list[dict[str, Any]]:
    """All cards, page by page."""
    cards: list[dict[str, Any]] = []
    after = None
    while True:
        page = actor.call("get_course_cards", p_after=after, p_limit=size, **filters)
        assert len(page["courses"]) <= size
        cards += page["courses"]
        after = page["next"]
        if after is None:
            return cards
        assert len(page["courses"]) == size


def test_a_card_shows_the_catalogue_and_the_callers_own_state(rest: Rest) -> None:
    world = rest.world

    def card(persona: str) -> dict[str, Any]:
        cards = rest.rpc(persona, "get_course_cards", p_limit=100).json()["courses"]
        [found] = [card for card in cards if card["id"] == world.courses["main"]]
        return dict(found)

    world.connection.execute(
        "update public.courses set rating = 4.25, badges = '{New}' where id = %s",
        [world.courses["main"]],
    )
    visitor = card("anon")
    assert (visitor["rating"], visitor["badges"], visitor["language"]) == (4.25, ["New"], "english")
    assert (visitor["is_enrolled"], visitor["percent"], visitor["is_saved"]) == (False, None, False)
    mine = card("learner")
    [enrollment] = rest.read("learner", f"enrollments?course_id=eq.{world.courses['main']}")
    assert mine["percent"] == enrollment["progress_percent"] > 0
    assert (mine["is_enrolled"], mine["is_saved"]) == (True, True)
    own = ("is_enrolled", "percent", "completed_at", "last_accessed_at", "is_saved")
    assert {key: mine[key] for key in mine if key not in own} == {
        key: visitor[key] for key in visitor if key not in own
    }
    for persona in ("other", "assistant", "admin"):
        assert (card(persona)["percent"], card(persona)["is_saved"]) == (None, False)
    saved = {"course_id": world.courses["main"]}
    assert rest.table("other", "POST", "collection_items", json=saved).status_code == 201
    assert (card("other")["percent"], card("other")["is_saved"]) == (None, True)
    rest.table("learner", "DELETE", f"collection_items?course_id=eq.{world.courses['main']}")
    assert card("learner")["is_saved"] is False


def test_drafts_show_to_nobody_and_archived_courses_to_their_learners(
    operator: Actor, learner: Callable[[], Actor], actors: Any
) -> None:
    draft = make_course(operator, [1], status="draft").id
    archived = make_course(operator, [1]).id
    enrolled, withdrawn, stranger, visitor = learner(), learner(), learner(), actors("anon")
    for someone in (enrolled, withdrawn):
        someone.call("enroll", p_course_id=archived)
    operator.run(
        "update public.enrollments set status = 'withdrawn' where user_id = %s", withdrawn.user
    )
    operator.run("update public.courses set status = 'archived' where id = %s", archived)

    def ids(actor: Actor, **filters: Any) -> set[int]:
        return {card["id"] for card in pages(actor, **filters)}

    assert archived in ids(enrolled)
    for someone in (withdrawn, stranger, visitor):
        assert archived not in ids(someone)
    for someone in (enrolled, stranger, visitor):
        assert draft not in ids(someone)


def test_pages_hold_every_course_once_newest_first(
    operator: Actor, learner: Callable[[], Actor]
) -> None:
    category = f"c-{uuid.uuid4()}"
    someone = learner()
    made = [make_course(operator, [1], category=category).id for _ in range(9)]
    make_course(operator, [1], category=category, status="draft")
    for course in made[::4]:
        someone.call("enroll", p_course_id=course)
        operator.run("update public.courses set status = 'archived' where id = %s", course)
    for size in (1, 2, 3, 9, 50):
        cards = pages(someone, size, p_category=category)
        assert [card["id"] for card in cards] == made[::-1]
    # What is added meanwhile stands before the first page.
    first = someone.call("get_course_cards", p_category=category, p_limit=5)
    make_course(operator, [1], category=category)
    rest = someone.call("get_course_cards", p_category=category, p_limit=5, p_after=first["next"])
    assert [card["id"] for card in first["courses"] + rest["courses"]] == made[::-1]


def test_cards_are_searched_by_title_author_category_and_description(
    operator: Actor, learner: Callable[[], Actor]
) -> None:
    word = f"zebra{uuid.uuid4().hex[:8]}"
    made = [
        make_course(operator, [1], **{field: f"On {word}s and more"}).id
        for field in ("title", "author", "category", "description")
    ]
    hidden = make_course(operator, [1], title=word, status="draft").id
    # Lessons are for the search.
    lesson = make_course(operator, [[{"title": word}]], content_access="public").id
    kept = make_course(operator, [1], title=word).id
    someone = learner()
    someone.call("enroll", p_course_id=kept)
    operator.run("update public.courses set status = 'archived' where id = %s", kept)
    found = [card["id"] for card in pages(someone, 2, p_search=word[:-2])]
    assert found == [kept, *made[::-1]]
    assert not {hidden, lesson} & set(found)
    assert [
        card["id"] for card in pages(someone, p_search=word, p_category=f"On {word}s and more")
    ] == [made[2]]
    assert pages(someone, p_search=f"{word} -{word}") == []
    assert len(pages(someone, p_search="  ")) > 5


@pytest.mark.parametrize("persona", ["anon", "learner"])
@pytest.mark.parametrize(
    "bad", [{"p_limit": 0}, {"p_limit": 101}, {"p_limit": None}, {"p_search": "x" * 201}]
)
def test_what_is_no_page_is_refused_422(rest: Rest, bad: dict[str, Any], persona: str) -> None:
    answer = rest.rpc(persona, "get_course_cards", **bad)
    assert (answer.status_code, code(answer)) == (422, "invalid_value")


def test_cards_come_by_get_too(rest: Rest) -> None:
    answer = rest.request("anon", "GET", "/rest/v1/rpc/get_course_cards?p_limit=1")
    assert len(answer.json()["courses"]) == 1
