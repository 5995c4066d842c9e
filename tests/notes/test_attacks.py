"""Attacks on what others have written and saved: a valid JWT, straight at /rest/v1.

That it cannot be read or counted is shown in tests/access/test_reading_others.py.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.access.rest import Rest, code
from tests.access.world import World

TABLES = ("notes", "collections", "collection_items")
KIND = {"notes": "note", "collections": "collection", "collection_items": "item"}
CHANGE = {"notes": {"body": "Forged"}, "collections": {"name": "Forged"}}
MERGE = {"Prefer": "resolution=merge-duplicates"}


@contextmanager
def unchanged(world: World) -> Iterator[None]:
    """Every row of the learner is afterwards what it was before."""

    def everything() -> list[Any]:
        return [world.rows(table, "learner") for table in TABLES]

    before = everything()
    assert all(before)
    yield
    assert everything() == before


def own_row(world: World, table: str, owner: str) -> dict[str, Any]:
    return {
        "notes": {"lesson_id": world.lessons["preview"], "body": "New"},
        "collections": {"name": "New"},
        "collection_items": {
            "collection_id": world.ids[f"collection of {owner}"],
            "course_id": world.courses["open"],
        },
    }[table]


@pytest.mark.parametrize("attacker", ["other", "author", "admin"])
@pytest.mark.parametrize("table", TABLES)
def test_nobody_writes_in_anothers_name_403(rest: Rest, table: str, attacker: str) -> None:
    world = rest.world
    row = own_row(world, table, "learner")
    with unchanged(world):
        forged = {**row, "user_id": world.users["learner"]}
        for path, headers in ((table, {}), (f"{table}?on_conflict=user_id,id", MERGE)):
            answer = rest.table(attacker, "POST", path, json=forged, headers=headers)
            assert (answer.status_code, code(answer)) == (403, "42501"), answer.text
    honest = rest.table("learner", "POST", table, json=row)
    assert honest.status_code == 201, honest.text


@pytest.mark.parametrize("attacker", ["other", "author", "admin"])
@pytest.mark.parametrize("table", TABLES)
def test_nobody_changes_or_deletes_anothers_rows(rest: Rest, table: str, attacker: str) -> None:
    world = rest.world
    identifier = world.ids[f"{KIND[table]} of learner"]
    with unchanged(world):
        for path in (
            f"{table}?id=eq.{identifier}",
            f"{table}?user_id=eq.{world.users['learner']}",
            f"{table}?or=(id.eq.{identifier},id.not.is.null)",
        ):
            answer = rest.table(
                attacker, "DELETE", path, headers={"Prefer": "return=representation"}
            )
            assert answer.status_code == 200
            assert all(row["user_id"] == world.users[attacker] for row in answer.json())
            if table in CHANGE:
                answer = rest.table(attacker, "PATCH", path, json=CHANGE[table])
                assert answer.status_code == 204
        # Handing one's own over is no way in either.
        answer = rest.table(
            "other", "PATCH", f"{table}?id=not.is.null", json={"user_id": world.users["learner"]}
        )
        assert (answer.status_code, code(answer)) == (403, "42501")


@pytest.mark.parametrize("table", TABLES)
def test_visitors_write_nothing_401(rest: Rest, table: str) -> None:
    world = rest.world
    row = {**own_row(world, table, "learner"), "user_id": world.users["learner"]}
    with unchanged(world):
        for method, path in (
            ("POST", table),
            ("PATCH", f"{table}?id=not.is.null"),
            ("DELETE", f"{table}?id=not.is.null"),
        ):
            answer = rest.table("anon", method, path, json=row)
            assert (answer.status_code, code(answer)) == (401, "42501")


@pytest.mark.parametrize("table", ["notes", "collections"])
def test_an_id_taken_by_somebody_else_is_free(rest: Rest, table: str) -> None:
    """Otherwise a conflict would tell that the id is somebody's."""
    world = rest.world
    identifier = world.ids[f"{KIND[table]} of learner"]
    row = {"id": identifier, **own_row(world, table, "other")}
    with unchanged(world):
        answer = rest.table("other", "POST", table, json=row)
        assert answer.status_code == 201, answer.text
        answer = rest.table("other", "PATCH", f"{table}?id=eq.{identifier}", json=CHANGE[table])
        assert answer.status_code == 204
    [own] = rest.read("other", f"{table}?id=eq.{identifier}")
    assert own["user_id"] == world.users["other"]


def test_anothers_note_or_collection_is_as_good_as_none(rest: Rest) -> None:
    """The same refusal as for an id that nobody has: nothing is learnt from it."""
    world = rest.world
    with unchanged(world):
        said = []
        for note in (world.ids["note of learner"], str(uuid.uuid4())):
            answer = rest.table(
                "other",
                "POST",
                "collection_items",
                json={"collection_id": world.ids["collection of other"], "note_id": note},
            )
            said.append((answer.status_code, answer.text.replace(note, "…")))
        assert said[0] == said[1]
        assert said[0][0] == 409
        said = []
        for collection in (world.ids["collection of learner"], str(uuid.uuid4())):
            answer = rest.table(
                "other",
                "POST",
                "collection_items",
                json={"collection_id": collection, "course_id": world.courses["open"]},
            )
            said.append((answer.status_code, answer.text.replace(collection, "…")))
        assert said[0] == said[1]
        assert said[0][0] == 409


def test_the_default_flag_is_not_the_learners_to_write_403(rest: Rest) -> None:
    world = rest.world
    with unchanged(world):
        answer = rest.table(
            "learner", "POST", "collections", json={"name": "Mine", "is_default": True}
        )
        assert (answer.status_code, code(answer)) == (403, "42501")
        answer = rest.table(
            "learner", "PATCH", "collections?name=eq.Later", json={"is_default": True}
        )
        assert (answer.status_code, code(answer)) == (403, "42501")


def test_saving_in_anothers_name_makes_no_collection_of_theirs_403(rest: Rest) -> None:
    world = rest.world
    with unchanged(world):
        answer = rest.table(
            "other",
            "POST",
            "collection_items",
            json={"user_id": world.users["learner"], "course_id": world.courses["open"]},
        )
        assert (answer.status_code, code(answer)) == (403, "42501")


@pytest.mark.parametrize(
    "name", ["put_note", "require_visible", "personal_tables", "search_queries", "plain_text"]
)
def test_helpers_cannot_be_called(rest: Rest, name: str) -> None:
    answer = rest.rpc("learner", name)
    assert (answer.status_code, code(answer)) == (404, "PGRST202")
