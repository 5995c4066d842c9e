"""What learners are told: once per event, to nobody else, and by mail only to who wants it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from tests.database.actors import Actor, Refused, make_course, make_users
from tests.database.storm import together
from tests.quiz.world import Person, World
from tests.support.scratch import Scratch

NOTIFY = "select private.notify(%s, 'course_completed', %s, 7, '{\"course_title\": \"Maps\"}', %s)"


@pytest.fixture
def someone(operator: Actor) -> uuid.UUID:
    (user,) = make_users(operator)
    return user


def facts(operator: Actor, user: uuid.UUID) -> dict[str, Any] | None:
    """What the worker would learn of the user's only mail."""
    return operator.one(  # type: ignore[no-any-return]
        "select private.job_facts('mail', j.payload) from private.jobs j"
        " join public.notifications n on j.dedupe_key = 'mail:' || n.id where n.user_id = %s",
        user,
    )


def test_an_event_is_told_once_and_mailed_once(
    operator: Actor, actors: Callable[..., Actor], someone: uuid.UUID
) -> None:
    hands = [actors() for _ in range(8)]
    told = together([lambda hand=hand: hand.one(NOTIFY, someone, "k", True) for hand in hands])
    assert sorted(told) == [False] * 7 + [True]
    assert operator.one(NOTIFY, someone, "k", True) is False
    assert operator.one(NOTIFY, someone, "another", False) is True
    assert (
        operator.one("select count(*) from public.notifications where user_id = %s", someone) == 2
    )
    assert operator.one("select count(*) from private.jobs") == 1


def test_a_learner_reads_their_own_latest_first_by_pages(
    operator: Actor, actors: Callable[..., Actor]
) -> None:
    mine, other = make_users(operator, 2)
    start = operator.one("select now()")
    for number in range(5):
        # Two at the same moment.
        operator.at(start - timedelta(minutes=number // 2))
        operator.run(NOTIFY, mine, f"k{number}", False)
    operator.run(NOTIFY, other, "theirs", False)
    me = actors("authenticated", mine)

    everything = me.call("get_notifications")
    assert everything["unread"] == 5
    items = everything["items"]
    assert len(items) == 5
    assert set(items[0]) == {"id", "kind", "course_id", "data", "occurred_at", "read_at"}
    times = [item["occurred_at"] for item in items]
    assert times == sorted(times, reverse=True)
    pages: list[dict[str, Any]] = []
    while page := me.call(
        "get_notifications", p_limit=2, **({"p_after": pages[-1]["id"]} if pages else {})
    )["items"]:
        pages += page
    assert pages == items

    [theirs] = operator.run("select id from public.notifications where user_id = %s", other)
    with pytest.raises(Refused, match="invalid_value"):
        me.call("get_notifications", p_after=str(theirs["id"]))
    with pytest.raises(Refused, match="invalid_value"):
        me.call("get_notifications", p_limit=101)


def test_read_is_marked_for_oneself_and_for_good(
    operator: Actor, actors: Callable[..., Actor]
) -> None:
    mine, other = make_users(operator, 2)
    for user in (mine, other):
        for number in range(3):
            operator.run(NOTIFY, user, f"k{number}", False)
    me = actors("authenticated", mine)
    first = me.call("get_notifications")["items"][0]["id"]
    theirs = operator.one("select id from public.notifications where user_id = %s limit 1", other)

    def mark(*ids: Any) -> dict[str, Any]:
        return me.call("mark_notifications_read", p_ids=[uuid.UUID(str(i)) for i in ids])  # type: ignore[no-any-return]

    assert mark(first, theirs) == {"marked": 1, "unread": 2, "changed": True}
    read = me.call("get_notifications")["items"][0]["read_at"]
    assert read is not None
    assert mark(first) == {"marked": 0, "unread": 2, "changed": False}
    assert me.call("mark_notifications_read") == {"marked": 2, "unread": 0, "changed": True}
    assert me.call("get_notifications")["items"][0]["read_at"] == read
    unread = "select count(*) from public.notifications where user_id = %s and read_at is null"
    assert operator.one(unread, other) == 3


def test_a_mail_knows_whom_it_goes_to_and_about_what(operator: Actor, someone: uuid.UUID) -> None:
    course = make_course(operator, [1], title="Maps and more")
    operator.run("update public.profiles set display_name = 'Ada' where id = %s", someone)
    operator.run("select private.notify(%s, 'course_completed', 'k', %s, '{}')", someone, course.id)
    found = facts(operator, someone)
    assert found is not None
    token = operator.one("select token from private.mail_tokens where user_id = %s", someone)
    assert (found["email"], found["name"], found["course_title"], found["kind"]) == (
        f"{someone}@example.test", "Ada", "Maps and more", "course_completed",
    )  # fmt: skip
    assert (found["unsubscribe_token"], found["certificate"]) == (str(token), None)


def test_who_left_or_wants_no_mails_gets_none(
    operator: Actor, worker: Actor, actors: Callable[..., Actor]
) -> None:
    gone, silent, nowhere = make_users(operator, 3)
    for user in (gone, silent, nowhere):
        operator.run(NOTIFY, user, "k", True)
        assert facts(operator, user) is not None
    me = actors("authenticated", silent)
    me.run("update public.profiles set mail_opt_out = true where id = %s", silent)
    operator.run("update auth.users set email = null where id = %s", nowhere)
    operator.run("delete from auth.users where id = %s", gone)
    answer = worker.call("lease_jobs", p_limit=10, p_seconds=60)
    assert (answer["jobs"], answer["settled"]) == ([], 3)
    assert operator.one("select count(*) from private.mail_tokens where user_id = %s", gone) == 0
    assert operator.one("select count(*) from public.notifications where user_id = %s", gone) == 0
    # In the app they are told all the same.
    assert me.call("get_notifications")["unread"] == 1


def test_a_mails_link_ends_the_mails_of_its_reader_alone(
    operator: Actor, actors: Callable[..., Actor]
) -> None:
    mine, other = make_users(operator, 2)
    operator.run("delete from public.profiles where id = %s", mine)
    for user in (mine, other):
        operator.run(NOTIFY, user, "k", True)
    token = operator.one("select token from private.mail_tokens where user_id = %s", mine)
    anyone = actors("anon")
    done = {"unsubscribed": True}
    # Nobody learns from it whether a token is one.
    assert anyone.call("unsubscribe_mail", p_token=uuid.uuid4()) == done
    assert facts(operator, mine) is not None
    for _ in range(2):
        assert anyone.call("unsubscribe_mail", p_token=token) == done
    assert facts(operator, mine) is None
    assert facts(operator, other) is not None


def certificate(operator: Actor, user: uuid.UUID, **columns: Any) -> uuid.UUID:
    """A certificate, and the message that it is ready."""
    made: uuid.UUID = operator.one(
        "insert into public.certificates (user_id, course_id, code, learner_name, course_title,"
        " completed_at, completed_on, issued_at, issued_on) values (%s, 7,"
        " private.certificate_code(), 'Ada then', 'Maps then', now(), now(), now(), now())"
        " returning id",
        user,
    )
    operator.run(
        "select private.notify(%s, 'certificate_ready', 'k', 7,"
        " jsonb_build_object('certificate_id', %s::uuid))",
        user, made,
    )  # fmt: skip
    return made


def test_a_certificates_mail_tells_the_snapshot(operator: Actor, someone: uuid.UUID) -> None:
    made = certificate(operator, someone)
    found = facts(operator, someone)
    assert found is not None
    assert (found["name"], found["course_title"]) == ("Ada then", "Maps then")
    assert found["certificate"]["id"] == str(made)
    assert found["certificate"]["code"]


def test_a_mail_overtaken_by_a_revocation_is_not_sent(operator: Actor, someone: uuid.UUID) -> None:
    made = certificate(operator, someone)
    operator.run(
        "update public.certificates set revoked_at = now(), revoked_reason = 'x' where id = %s",
        made,
    )
    assert facts(operator, someone) is None


# Grades


@pytest.fixture
def world(alone: Scratch, operator: Actor) -> Any:
    made = World.make(alone)  # type: ignore[arg-type]
    yield made
    made.close()


ESSAY = {"kind": "free_text", "text": "Why?", "points": 4}
FACT = {"kind": "true_false", "text": "So?", "correct": True}


def told(world: World, person: Person) -> list[dict[str, Any]]:
    return [
        data
        for (data,) in world.run(
            "select data from public.notifications where user_id = %s and kind = 'attempt_graded'"
            " order by occurred_at",
            person.id,
        )
    ]


def mails(world: World) -> int:
    return int(world.one("select count(*) from private.jobs where kind = 'mail'"))


def test_a_grade_by_staff_is_told_once_per_result(world: World) -> None:
    lesson = world.quiz([ESSAY])
    learner, staff = world.learner(), world.staff()
    attempt = learner.call("submit_quiz", lesson_id=lesson)["attempt"]["id"]
    question = world.one("select id from private.questions where lesson_id = %s", lesson)

    def grade(points: float) -> None:
        grades = [{"question_id": question, "points": points}]
        staff.call("grade_attempt", attempt_id=attempt, grades=grades)

    assert told(world, learner) == []
    grade(1)
    [first] = told(world, learner)
    assert (first["attempt_id"], first["lesson_id"]) == (attempt, lesson)
    assert (first["score"], first["max_score"], first["passed"]) == (1, 4, False)
    grade(1)
    assert len(told(world, learner)) == 1
    before = mails(world)
    grade(4)
    assert [entry["passed"] for entry in told(world, learner)] == [False, True]
    assert mails(world) > before


def test_a_regrade_tells_who_is_concerned_and_mails_nobody(world: World) -> None:
    lesson = world.quiz([FACT], completion_rule="submit")
    right, wrong = world.learner(), world.learner()
    question = world.one("select id from private.questions where lesson_id = %s", lesson)
    for person, answer in ((right, True), (wrong, False)):
        answers = [{"question_id": question, "answer": answer}]
        person.call("submit_quiz", lesson_id=lesson, answers=answers)
    assert told(world, right) == told(world, wrong) == []
    world.set_quiz(lesson, [{**FACT, "id": question, "correct": False}])
    before = mails(world)
    staff = world.staff()
    staff.call("regrade_lesson", lesson_id=lesson)
    assert told(world, wrong) == []
    for _ in range(2):
        staff.call("regrade_lesson", lesson_id=lesson, dry_run=False)
        assert [entry["passed"] for entry in told(world, wrong)] == [True]
        # Who had passed stays so, and has nothing to hear.
        assert told(world, right) == []
    assert mails(world) == before


def test_nobody_writes_notifications_by_hand(
    operator: Actor, actors: Callable[..., Actor], someone: uuid.UUID
) -> None:
    operator.run(NOTIFY, someone, "k", False)
    me = actors("authenticated", someone)
    for statement in (
        "insert into public.notifications (user_id, kind, dedupe_key) select id,"
        " 'certificate_ready', 'x' from public.profiles",
        "update public.notifications set read_at = now()",
        "update public.notifications set data = '{}'",
        "delete from public.notifications",
        "select private.notify(null, null, null, null, null)",
        "select * from private.jobs",
        "insert into private.jobs (kind) values ('mail')",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            me.run(statement)
    assert json.dumps(me.run("select * from public.notifications"), default=str)
