"""Notes: written through /rest/v1 by their owner, and by the offline batch; searched; exported."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import errors

from tests.access.rest import Rest, code
from tests.database.actors import Actor, Course, Refused, insert, make_course
from tests.database.storm import together

LIMIT = 5000
BACK = {"Prefer": "return=representation"}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
Learners = Callable[[], Actor]


def write(rest: Rest, persona: str, **note: Any) -> Any:
    return rest.table(persona, "POST", "notes", json=note, headers=BACK)


def notes_of(operator: Actor, learner: Actor) -> list[dict[str, Any]]:
    return operator.run(
        "select id, course_id, lesson_id, position_seconds, body, edited_at from public.notes"
        " where user_id = %s order by id",
        learner.user,
    )


# Through the table -------------------------------------------------------------------------------


def test_a_note_stands_beside_a_lesson_and_its_course_follows(rest: Rest) -> None:
    world = rest.world
    answer = write(
        rest, "learner", lesson_id=world.lessons["fresh"], position_seconds=754, body="*Here*"
    )
    assert answer.status_code == 201, answer.text
    [note] = answer.json()
    assert note["user_id"] == world.users["learner"]
    assert note["course_id"] == world.courses["main"]
    assert (note["position_seconds"], note["body"]) == (754, "*Here*")
    [read] = rest.read("learner", f"notes?lesson_id=eq.{world.lessons['fresh']}")
    assert read == note


def test_a_note_may_stand_beside_the_course_alone(rest: Rest) -> None:
    [note] = write(rest, "other", course_id=rest.world.courses["main"], body="Take this?").json()
    assert note["lesson_id"] is None


def test_sending_a_note_again_keeps_the_first(rest: Rest) -> None:
    note = {
        "id": str(uuid.uuid4()),
        "lesson_id": rest.world.lessons["fresh"],
        "body": "Once",
    }
    for body in ("Once", "Twice"):
        answer = rest.table(
            "learner",
            "POST",
            "notes?on_conflict=user_id,id",
            json={**note, "body": body},
            headers={"Prefer": "resolution=ignore-duplicates"},
        )
        assert answer.status_code in (200, 201), answer.text
    [read] = rest.read("learner", f"notes?id=eq.{note['id']}")
    assert read["body"] == "Once"


@pytest.mark.parametrize(
    ("persona", "lesson"),
    [
        ("other", "fresh"),
        ("other", "archived"),
        ("learner", "draft"),
        ("learner", "invite"),
        ("other", "nowhere"),
    ],
)
def test_no_note_beside_a_lesson_that_one_may_not_see_404(
    rest: Rest, persona: str, lesson: str
) -> None:
    """Hidden and absent are the same answer, so that nobody learns what there is."""
    before = rest.world.rows("notes", persona)
    answer = write(
        rest, persona, lesson_id=rest.world.lessons.get(lesson, str(uuid.uuid4())), body="?"
    )
    assert (answer.status_code, code(answer)) == (404, "lesson_not_found")
    assert answer.json()["message"] == "Lesson not found"
    assert rest.world.rows("notes", persona) == before


@pytest.mark.parametrize("course", ["draft", "nowhere"])
def test_no_note_beside_a_course_that_one_may_not_see_404(rest: Rest, course: str) -> None:
    answer = write(rest, "learner", course_id=rest.world.courses.get(course, 2**40), body="?")
    assert (answer.status_code, code(answer)) == (404, "course_not_found")


def test_a_note_cannot_name_another_course_than_its_lessons_404(rest: Rest) -> None:
    world = rest.world
    answer = write(
        rest, "learner", lesson_id=world.lessons["fresh"], course_id=world.courses["open"], body="?"
    )
    assert (answer.status_code, code(answer)) == (404, "lesson_not_found")


def test_previews_and_staff_take_notes_too(rest: Rest) -> None:
    world = rest.world
    for persona, lesson in (
        ("other", "preview"),
        ("assistant", "draft"),
        ("author", "archived"),
        ("admin", "invite"),
    ):
        answer = write(rest, persona, lesson_id=world.lessons[lesson], body="Noted")
        assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(
    "bad",
    [
        {"body": ""},
        {"body": "x" * 20_001},
        {"body": None},
        {"position_seconds": -1},
        {"position_seconds": 604_801},
        {"position_seconds": "soon"},
        {"position_seconds": 2**40},
        {"edited_at": "2000-01-01"},
        {"words": "'mine'"},
    ],
)
def test_what_is_no_note_is_refused_and_nothing_changes(rest: Rest, bad: dict[str, Any]) -> None:
    before = rest.world.rows("notes", "learner")
    note = {"lesson_id": rest.world.lessons["fresh"], "body": "Fine", **bad}
    answer = write(rest, "learner", **note)
    assert 400 <= answer.status_code < 500, answer.text
    [own] = before
    for column, value in bad.items():
        answer = rest.table("learner", "PATCH", f"notes?id=eq.{own['id']}", json={column: value})
        assert 400 <= answer.status_code < 500, answer.text
    assert rest.world.rows("notes", "learner") == before


def test_the_longest_note_fits(rest: Rest) -> None:
    body = "\U0001f9ed" * 19_999 + "é"
    [note] = write(rest, "learner", lesson_id=rest.world.lessons["fresh"], body=body).json()
    assert note["body"] == body


def test_editing_dates_the_note_and_its_place_stays(rest: Rest) -> None:
    world = rest.world
    [before] = world.rows("notes", "learner")
    path = f"notes?id=eq.{before['id']}"
    assert rest.table("learner", "PATCH", path, json={"body": "Better"}).status_code == 204
    [after] = world.rows("notes", "learner")
    assert after["body"] == "Better"
    assert after["edited_at"] > before["edited_at"]
    # The same again is no edit.
    assert rest.table("learner", "PATCH", path, json={"body": "Better"}).status_code == 204
    [same] = world.rows("notes", "learner")
    assert same["edited_at"] == after["edited_at"]
    for column, value in (
        ("lesson_id", world.lessons["fresh"]),
        ("course_id", world.courses["open"]),
        ("user_id", world.users["other"]),
        ("id", str(uuid.uuid4())),
    ):
        answer = rest.table("learner", "PATCH", path, json={column: value})
        assert (answer.status_code, code(answer)) == (403, "42501")
    assert rest.table("learner", "DELETE", path).status_code == 204
    assert world.rows("notes", "learner") == []


# Searching ---------------------------------------------------------------------------------------


def test_own_notes_are_searched_by_their_words(rest: Rest) -> None:
    lesson = rest.world.lessons["fresh"]
    for body in ("The **bowline** holds", "A granny knot slips", "bowline or granny?"):
        assert write(rest, "learner", lesson_id=lesson, body=body).status_code == 201
    write(rest, "other", course_id=rest.world.courses["main"], body="My bowline")

    def found(query: str) -> list[str]:
        rows = rest.read(
            "learner",
            "notes",
            params={"words": f"wfts(simple).{query}", "select": "body", "order": "body"},
        )
        return [row["body"] for row in rows]

    assert found("bowline") == ["The **bowline** holds", "bowline or granny?"]
    assert found("BOWLINE -granny") == ["The **bowline** holds"]
    assert found('"granny knot"') == ["A granny knot slips"]
    # What would be syntax elsewhere is words here.
    for nasty in ("'", "bowline'; drop table notes", "%", "a:*", "!!", "<->", "((", "\\"):
        found(nasty)
    assert found("%") == []


# What happens to the lesson ----------------------------------------------------------------------


def test_a_note_goes_where_its_lesson_goes(operator: Actor, learner: Learners) -> None:
    one, two = make_course(operator, [2], content_access="public"), make_course(operator, [1])
    someone = learner()
    for lesson in one.lessons[0]:
        insert(someone, "notes", {"lesson_id": lesson, "body": "Note"})
    insert(someone, "notes", {"course_id": one.id, "body": "Of the course"})
    operator.call(
        "move_lesson", p_lesson_id=one.lessons[0][0], p_module_id=two.modules[0], p_position=0
    )
    by_lesson = {row["lesson_id"]: row["course_id"] for row in notes_of(operator, someone)}
    assert by_lesson == {one.lessons[0][0]: two.id, one.lessons[0][1]: one.id, None: one.id}
    operator.call("delete_lesson", p_lesson_id=one.lessons[0][0])
    operator.call("delete_course", p_course_id=one.id)
    assert notes_of(operator, someone) == []


def test_own_notes_stay_when_the_lesson_is_out_of_sight(operator: Actor, learner: Learners) -> None:
    course = make_course(operator, [1], content_access="public")
    someone = learner()
    insert(someone, "notes", {"lesson_id": course.lessons[0][0], "body": "Mine"})
    operator.run("update public.courses set status = 'draft' where id = %s", course.id)
    assert someone.one("select body from public.notes") == "Mine"
    assert someone.run("update public.notes set body = 'Still mine' returning body")
    with pytest.raises(errors.DatabaseError, match="lesson_not_found"):
        insert(someone, "notes", {"lesson_id": course.lessons[0][0], "body": "More"})


# From the batch ----------------------------------------------------------------------------------


def put(operator: Actor, learner: Actor, user: Any = None, **note: Any) -> bool:
    """private.put_note as the role of the write path, with the learner's claims."""
    connection = operator.connection
    with connection.transaction():
        connection.execute(
            "select set_config('request.jwt.claims', json_build_object("
            "'role', 'authenticated', 'sub', %s::text)::text, true)",
            [learner.user],
        )
        connection.execute("set local role waymark_writer")
        return bool(
            operator.one(
                "select private.put_note(%s, %s, %s, %s, %s, %s, %s)",
                user or learner.user,
                note["id"],
                note.get("course_id"),
                note.get("lesson_id"),
                note.get("position_seconds"),
                note.get("body", "Note"),
                note.get("at", NOON),
            )
        )


def test_putting_a_note_twice_writes_once(operator: Actor, learner: Learners) -> None:
    course, someone, note = (
        make_course(operator, [1], content_access="public"),
        learner(),
        uuid.uuid4(),
    )
    lesson = course.lessons[0][0]
    assert put(operator, someone, id=note, lesson_id=lesson, body="One")
    [before] = operator.run("select *, xmin from public.notes where user_id = %s", someone.user)
    assert not put(operator, someone, id=note, lesson_id=lesson, body="One")
    assert [before] == operator.run(
        "select *, xmin from public.notes where user_id = %s", someone.user
    )
    assert before["course_id"] == course.id


def test_the_newer_of_two_versions_stands(operator: Actor, learner: Learners) -> None:
    course, someone, note = (
        make_course(operator, [1], content_access="public"),
        learner(),
        uuid.uuid4(),
    )
    lesson = course.lessons[0][0]
    assert put(operator, someone, id=note, lesson_id=lesson, body="New", at=NOON)
    late = NOON - timedelta(seconds=1)
    assert not put(operator, someone, id=note, lesson_id=lesson, body="Old", at=late)
    [row] = notes_of(operator, someone)
    assert (row["body"], row["edited_at"]) == ("New", NOON)
    # An edit through the table is newer than anything offline before it.
    someone.run("update public.notes set body = 'At the desk' where id = %s", note)
    assert not put(operator, someone, id=note, lesson_id=lesson, body="On the train", at=NOON)
    assert notes_of(operator, someone)[0]["body"] == "At the desk"


def test_a_note_from_the_future_is_dated_now(operator: Actor, learner: Learners) -> None:
    course, someone = make_course(operator, [1], content_access="public"), learner()
    far = datetime(2999, 1, 1, tzinfo=UTC)
    put(operator, someone, id=uuid.uuid4(), course_id=course.id, at=far)
    [row] = notes_of(operator, someone)
    assert row["edited_at"] <= datetime.now(UTC) + timedelta(minutes=1)


def test_any_order_of_any_writes_ends_the_same(operator: Actor, learner: Learners) -> None:
    """Two devices, offline, with equal clocks now and then: sorted, shuffled, repeated."""
    course = make_course(operator, [2], content_access="public")
    ids = [uuid.uuid4() for _ in range(2)]
    someone = learner()
    writes = st.fixed_dictionaries(
        {
            "id": st.sampled_from(ids),
            "lesson_id": st.sampled_from([*course.lessons[0], None]),
            "course_id": st.just(course.id),
            "position_seconds": st.sampled_from([None, 0, 7]),
            "body": st.sampled_from(["a", "b", "B", "é"]),
            "at": st.integers(0, 3).map(lambda second: NOON + timedelta(seconds=second)),
        }
    )

    def state(order: list[dict[str, Any]]) -> list[dict[str, Any]]:
        operator.run("delete from public.notes where user_id = %s", someone.user)
        for note in order:
            put(operator, someone, **note)
        return notes_of(operator, someone)

    @settings(
        max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
    )
    @given(st.lists(writes, min_size=1, max_size=6), st.data())
    def check(order: list[dict[str, Any]], data: st.DataObject) -> None:
        clean = state(sorted(order, key=lambda note: note["at"]))
        assert len(clean) == len({note["id"] for note in order})
        for row in clean:
            newest = max(note["at"] for note in order if note["id"] == row["id"])
            assert row["edited_at"] == newest
        again = data.draw(st.permutations(order + order[:2]))
        assert state(again) == clean

    check()


def test_an_id_of_anothers_note_is_just_an_id(operator: Actor, learner: Learners) -> None:
    course, note = make_course(operator, [1], content_access="public"), uuid.uuid4()
    ann, bob = learner(), learner()
    put(operator, ann, id=note, course_id=course.id, body="Ann's")
    assert put(operator, bob, id=note, course_id=course.id, body="Bob's", at=NOON + timedelta(1))
    assert [row["body"] for row in notes_of(operator, ann)] == ["Ann's"]
    assert [row["body"] for row in notes_of(operator, bob)] == ["Bob's"]
    with pytest.raises(errors.InsufficientPrivilege):
        put(operator, bob, user=ann.user, id=note, course_id=course.id, at=NOON + timedelta(9))
    assert [row["body"] for row in notes_of(operator, ann)] == ["Ann's"]


def test_a_lesson_that_moved_meanwhile_takes_its_note_along(
    operator: Actor, learner: Learners
) -> None:
    here, there = (make_course(operator, [1], content_access="public") for _ in range(2))
    lesson, someone = here.all[0], learner()
    operator.call("move_lesson", p_lesson_id=lesson, p_module_id=there.modules[0], p_position=9)
    assert put(operator, someone, id=uuid.uuid4(), course_id=here.id, lesson_id=lesson)
    [note] = notes_of(operator, someone)
    assert note["course_id"] == there.id


def test_a_note_in_a_batch_and_an_edit_of_its_course_do_not_lock_each_other_out(
    operator: Actor, learner: Learners, actors: Any
) -> None:
    """The batch shares the course before it touches a row of it, so an edit waits for all of it."""
    course, other = (make_course(operator, [1], content_access="public") for _ in range(2))
    someone, author = learner(), actors()
    someone.call("enroll", p_course_id=course.id)
    answers: list[Any] = []
    move = {
        "p_lesson_id": course.all[0],
        "p_module_id": other.modules[0],
        "p_position": 9,
    }
    editing = threading.Thread(target=lambda: answers.append(author.call("move_lesson", **move)))
    with operator.connection.transaction():
        put(operator, someone, id=uuid.uuid4(), lesson_id=course.all[0])
        editing.start()
        wait_for_lock(actors(), author)
        # What the batch does next: it would wait for the author, who waits for the note's row.
        operator.run("select private.share_course(%s)", course.id)
    editing.join(30)
    assert answers
    [note] = notes_of(operator, someone)
    assert note["course_id"] == other.id


def wait_for_lock(watcher: Actor, waiting: Actor) -> None:
    for _ in range(600):
        if watcher.one(
            "select wait_event_type = 'Lock' from pg_stat_activity where pid = %s",
            waiting.connection.info.backend_pid,
        ):
            return
        time.sleep(0.05)
    pytest.fail("nobody waits")


@pytest.mark.parametrize(
    ("bad", "refusal"),
    [
        ({"id": None}, "invalid_value"),
        ({"body": None}, "invalid_value"),
        ({"body": ""}, "invalid_value"),
        ({"body": "x" * 20_001}, "invalid_value"),
        ({"position_seconds": -1}, "invalid_value"),
        ({"position_seconds": 604_801}, "invalid_value"),
        ({"lesson_id": uuid.UUID(int=0)}, "lesson_not_found"),
        ({"course_id": None}, "course_not_found"),
    ],
)
def test_what_cannot_be_put_is_refused_in_our_words(
    operator: Actor, learner: Learners, bad: dict[str, Any], refusal: str
) -> None:
    course, someone = make_course(operator, [1], content_access="public"), learner()
    with pytest.raises(errors.DatabaseError) as caught:
        put(operator, someone, **{"id": uuid.uuid4(), "course_id": course.id, **bad})
    assert Refused.of(caught.value).code == refusal
    assert notes_of(operator, someone) == []


# The limit ---------------------------------------------------------------------------------------


def fill(operator: Actor, learner: Actor, course: Course, count: int) -> None:
    operator.run(
        "insert into public.notes (user_id, course_id, body)"
        " select %s, %s, 'Note ' || n from generate_series(1, %s) n",
        learner.user,
        course.id,
        count,
    )


def test_notes_are_limited_409(operator: Actor, learner: Learners) -> None:
    course, someone = make_course(operator, [1]), learner()
    fill(operator, someone, course, LIMIT - 1)
    insert(someone, "notes", {"course_id": course.id, "body": "The last one"})
    with pytest.raises(errors.DatabaseError) as caught:
        insert(someone, "notes", {"course_id": course.id, "body": "One more"})
    refused = Refused.of(caught.value)
    assert (refused.code, refused.status) == ("limit_reached", 409)
    assert refused.message == "You can keep at most 5000 notes"
    with pytest.raises(errors.DatabaseError, match="limit_reached"):
        put(operator, someone, id=uuid.uuid4(), course_id=course.id)
    # What is there can still be written, and another's notes are not counted.
    [note, *_] = notes_of(operator, someone)
    assert put(operator, someone, id=note["id"], course_id=course.id, at=datetime.now(UTC))
    insert(learner(), "notes", {"course_id": course.id, "body": "Somebody else's"})
    assert len(notes_of(operator, someone)) == LIMIT


def test_no_room_is_found_twice(operator: Actor, learner: Learners, actors: Any) -> None:
    course, someone = make_course(operator, [1]), learner()
    fill(operator, someone, course, LIMIT - 2)
    tabs = [actors("authenticated", someone.user) for _ in range(6)]
    row = {"course_id": course.id, "body": "Mine"}
    answers = together([lambda tab=tab: insert(tab, "notes", row) for tab in tabs])
    assert sum(isinstance(answer, dict) for answer in answers) == 2, answers
    assert len(notes_of(operator, someone)) == LIMIT


def test_a_bulk_insert_is_all_or_nothing(operator: Actor, learner: Learners) -> None:
    course, someone = make_course(operator, [1]), learner()
    with pytest.raises(errors.DatabaseError, match="limit_reached"):
        someone.run(
            "insert into public.notes (course_id, body)"
            " select %s, 'Flood' from generate_series(1, %s)",
            course.id,
            LIMIT + 1,
        )
    assert notes_of(operator, someone) == []


# Export ------------------------------------------------------------------------------------------


def test_the_export_is_in_learning_order_and_in_markdown(
    operator: Actor, learner: Learners
) -> None:
    course = make_course(
        operator,
        [[{"title": "Rope"}, {"title": "The\nbowline"}], [{"title": "Hitches"}]],
        title="Knots",
        content_access="public",
    )
    other = make_course(operator, [1], title="Maps")
    someone = learner()
    for lesson, second, body in (
        (course.lessons[1][0], None, "Last"),
        (course.lessons[0][1], 3754, "Later"),
        (course.lessons[0][1], 65, "The *rabbit*\n\ncomes out"),
        (course.lessons[0][1], None, "In general"),
        (course.lessons[0][0], 0, "Start"),
    ):
        insert(someone, "notes", {"lesson_id": lesson, "position_seconds": second, "body": body})
    insert(someone, "notes", {"course_id": course.id, "body": "Why knots"})
    insert(someone, "notes", {"course_id": other.id, "body": "Why maps"})
    insert(learner(), "notes", {"course_id": course.id, "body": "Not mine"})

    export = someone.call("export_notes", p_course_id=course.id)
    assert export["markdown"] == (
        "# Knots\n\nWhy knots\n\n"
        "## Rope\n\n**00:00:00**\n\nStart\n\n"
        "## The bowline\n\nIn general\n\n**00:01:05**\n\nThe *rabbit*\n\ncomes out\n\n"
        "**01:02:34**\n\nLater\n\n"
        "## Hitches\n\nLast\n"
    )
    assert [note["body"] for note in export["notes"]] == [
        "Why knots",
        "Start",
        "In general",
        "The *rabbit*\n\ncomes out",
        "Later",
        "Last",
    ]
    assert export["notes"][1]["lesson_title"] == "Rope"
    everything = someone.call("export_notes")
    assert len(everything["notes"]) == 7
    assert everything["markdown"].endswith("# Maps\n\nWhy maps\n")
    nothing = learner().call("export_notes")
    assert (nothing["notes"], nothing["markdown"]) == ([], "")


def test_the_export_keeps_the_secrets_of_a_course_taken_back(
    operator: Actor, learner: Learners
) -> None:
    course = make_course(operator, [1], content_access="public", title="Open")
    someone = learner()
    insert(someone, "notes", {"lesson_id": course.lessons[0][0], "body": "Mine"})
    operator.run(
        "update public.courses set status = 'draft', title = 'Secret plan' where id = %s", course.id
    )
    operator.run("update public.lessons set title = 'Secret' where course_id = %s", course.id)
    export = someone.call("export_notes")
    assert "Secret" not in str(export)
    assert "Mine" in export["markdown"]
    operator.run(
        "insert into public.enrollments (user_id, course_id) values (%s, %s)",
        someone.user,
        course.id,
    )
    assert "# Secret plan" in someone.call("export_notes")["markdown"]


def test_the_export_is_for_the_signed_in_401(rest: Rest) -> None:
    answer = rest.rpc("anon", "export_notes")
    assert (answer.status_code, code(answer)) == (401, "42501")
