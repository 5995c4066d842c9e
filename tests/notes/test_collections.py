"""Collections: what a learner has saved, and the default one that is made when it is needed."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from psycopg import errors

from tests.access.rest import Rest, code
from tests.database.actors import Actor, Refused, insert, make_course
from tests.database.storm import together

BACK = {"Prefer": "return=representation"}
Learners = Callable[[], Actor]


def save(rest: Rest, persona: str, **item: Any) -> Any:
    return rest.table(persona, "POST", "collection_items", json=item, headers=BACK)


def test_saving_makes_the_default_collection(rest: Rest) -> None:
    world = rest.world
    assert rest.read("author", "collections") == []
    [first] = save(rest, "author", course_id=world.courses["open"]).json()
    [second] = save(rest, "author", course_id=world.courses["main"]).json()
    [saved] = rest.read("author", "collections?select=*,collection_items(course_id)")
    assert (saved["name"], saved["is_default"]) == ("Saved", True)
    assert saved["user_id"] == world.users["author"]
    assert {first["collection_id"], second["collection_id"]} == {saved["id"]}
    assert {item["course_id"] for item in saved["collection_items"]} == {
        world.courses["open"],
        world.courses["main"],
    }


def test_a_collection_called_saved_becomes_the_default(rest: Rest) -> None:
    """The learner had the same idea; and a renamed default stays the default."""
    [own] = rest.table("author", "POST", "collections", json={"name": "Saved"}, headers=BACK).json()
    [item] = save(rest, "author", course_id=rest.world.courses["open"]).json()
    assert item["collection_id"] == own["id"]
    rest.table("author", "PATCH", f"collections?id=eq.{own['id']}", json={"name": "Gemerkt"})
    [item] = save(rest, "author", course_id=rest.world.courses["main"]).json()
    assert item["collection_id"] == own["id"]
    assert len(rest.read("author", "collections")) == 1


def test_saving_into_a_named_collection(rest: Rest) -> None:
    world = rest.world
    [item] = save(
        rest,
        "learner",
        collection_id=world.ids["collection of learner"],
        note_id=world.ids["note of learner"],
    ).json()
    assert (item["course_id"], item["note_id"]) == (None, world.ids["note of learner"])
    [found] = rest.read(
        "learner",
        f"collection_items?id=eq.{item['id']}&select=notes(body),collections(name)",
    )
    assert found == {"notes": {"body": "Thought of learner"}, "collections": {"name": "Later"}}


def test_saving_twice_is_a_conflict_409(rest: Rest) -> None:
    course = rest.world.courses["main"]
    assert save(rest, "author", course_id=course).status_code == 201
    again = save(rest, "author", course_id=course)
    assert (again.status_code, code(again)) == (409, "23505")
    # In another collection it may stand as well.
    [other] = rest.table("author", "POST", "collections", json={"name": "B"}, headers=BACK).json()
    assert save(rest, "author", course_id=course, collection_id=other["id"]).status_code == 201
    assert len(rest.read("author", "collection_items")) == 2


@pytest.mark.parametrize("course", ["draft", "nowhere"])
def test_a_course_out_of_sight_cannot_be_saved_404(rest: Rest, course: str) -> None:
    answer = save(rest, "learner", course_id=rest.world.courses.get(course, 2**40))
    assert (answer.status_code, code(answer)) == (404, "course_not_found")
    assert save(rest, "author", course_id=rest.world.courses["draft"]).status_code == 201


@pytest.mark.parametrize("both", [True, False])
def test_an_item_is_a_course_or_a_note(rest: Rest, both: bool) -> None:
    world = rest.world
    item = (
        {"course_id": world.courses["open"], "note_id": world.ids["note of learner"]}
        if both
        else {"course_id": None}
    )
    before = world.rows("collection_items", "learner")
    answer = save(rest, "learner", **item)
    assert (answer.status_code, code(answer)) == (400, "23514")
    assert world.rows("collection_items", "learner") == before


@pytest.mark.parametrize("name", ["", "x" * 101, None])
def test_a_collection_has_a_name(rest: Rest, name: str | None) -> None:
    answer = rest.table("learner", "POST", "collections", json={"name": name})
    assert answer.status_code == 400


def test_what_is_saved_goes_with_what_it_is_in_or_is(
    operator: Actor, learner: Callable[[], Actor]
) -> None:
    course, someone = make_course(operator, [1]), learner()
    note = insert(someone, "notes", {"course_id": course.id, "body": "Note"})["id"]

    def fill() -> Any:
        insert(someone, "collection_items", {"course_id": course.id})
        return insert(someone, "collection_items", {"note_id": note})["collection_id"]

    collection = fill()
    assert someone.one("select count(*) from public.collection_items") == 2
    someone.run("delete from public.collections where id = %s", collection)
    assert someone.one("select count(*) from public.collection_items") == 0
    fill()
    someone.run("delete from public.notes where id = %s", note)
    operator.call("delete_course", p_course_id=course.id)
    assert someone.one("select count(*) from public.collection_items") == 0
    assert someone.one("select count(*) from public.collections") == 1


def test_two_tabs_make_one_default_collection(
    operator: Actor, learner: Callable[[], Actor], actors: Any
) -> None:
    courses = [make_course(operator, [1]).id for _ in range(6)]
    someone = learner()
    tabs = [actors("authenticated", someone.user) for _ in courses]
    answers = together(
        [
            lambda tab=tab, course=course: insert(tab, "collection_items", {"course_id": course})
            for tab, course in zip(tabs, courses, strict=True)
        ]
    )
    assert len({answer["collection_id"] for answer in answers}) == 1
    assert someone.one("select count(*) from public.collections where is_default") == 1


@pytest.mark.parametrize(("table", "limit"), [("collections", 100), ("collection_items", 5000)])
def test_what_is_saved_is_limited_409(
    operator: Actor, learner: Callable[[], Actor], table: str, limit: int
) -> None:
    someone = learner()
    if table == "collections":
        fill = "insert into public.collections (name) select 'C' || n from generate_series(1, %s) n"
        row: dict[str, Any] = {"name": "One more"}
    else:
        course = make_course(operator, [1]).id
        operator.run(
            "insert into public.notes (user_id, course_id, body)"
            " select %s, %s, 'N' from generate_series(1, 5000)",
            someone.user,
            course,
        )
        insert(someone, "collections", {"name": "Saved"})
        fill = (
            "insert into public.collection_items (collection_id, note_id)"
            " select c.id, n.id from public.collections c, public.notes n limit %s"
        )
        row = {"course_id": course}
    someone.run(fill, limit)
    with pytest.raises(errors.DatabaseError) as caught:
        insert(someone, table, row)
    assert Refused.of(caught.value).code == "limit_reached"
    assert someone.one(f"select count(*) from public.{table}") == limit
    assert (
        someone.run(
            f"delete from public.{table} where ctid in (select ctid from public.{table} limit 2)"
        )
        == []
    )
    insert(someone, table, row)


def test_an_unknown_collection_is_refused(rest: Rest) -> None:
    answer = save(
        rest, "learner", course_id=rest.world.courses["open"], collection_id=str(uuid.uuid4())
    )
    assert (answer.status_code, code(answer)) == (409, "23503")
