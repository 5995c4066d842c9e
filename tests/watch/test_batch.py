"""Offline events: any order, any number of times, bad ones reported in place."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from tests.database.actors import Actor, Course, drift, make_course, make_users
from tests.stack import Stack
from tests.watch.conftest import DAWN, VIDEO, Player, facts, refusal

Enrolled = Callable[..., Player]
HOUR = 3600
QUIZ = {
    "questions": [
        {"id": f"q{n}", "kind": "true_false", "text": "So?", "correct": True} for n in range(3)
    ]
}
LESSONS: list[dict[str, Any]] = [
    VIDEO,
    {"completion_rule": "view", "min_view_seconds": 100},
    {},
    {"type": "quiz", "completion_rule": "pass"},
]
# What differs between two learners who did the same.
OWN = {
    "id", "user_id", "event_id", "created_at", "updated_at", "enrolled_at", "transaction_id",
    "enrollment_id", "attempt_id",
}  # fmt: skip


@pytest.fixture
def two_courses(operator: Actor) -> tuple[Course, Course]:
    made = make_course(operator, [LESSONS]), make_course(operator, [LESSONS])
    for course in made:
        operator.run("select public.set_quiz(%s, %s)", course.all[3], Jsonb(QUIZ))
    return made


def join(enrolled: Enrolled, operator: Actor, courses: tuple[Course, Course]) -> Player:
    """Somebody in both courses, for as long as everybody else, with an attempt begun."""
    me = enrolled(course=courses[0])
    me.actor.call("enroll", p_course_id=courses[1].id)
    operator.run(
        "update public.enrollments set enrolled_at = %s where user_id = %s",
        DAWN - timedelta(days=1),
        me.user,
    )
    me.course = Course(0, [], [[*courses[0].all, *courses[1].all]])
    return me


def story(me: Player, seed: int, attempts: list[str]) -> list[dict[str, Any]]:
    """Hours of work in two courses on two devices; the same for the same seed."""
    chance = random.Random(seed)
    events: list[dict[str, Any]] = []
    now = HOUR
    for _ in range(chance.randint(2, 6)):
        now += chance.choice([70, 900, 5 * HOUR])
        lesson = chance.choice([0, 1, 2, 4, 5, 6])
        session = uuid.UUID(int=chance.getrandbits(128))
        if chance.random() < 0.6:
            events.append(me.event("start", now, lesson))
        seconds = 0
        for _ in range(chance.randint(1, 8)):
            seconds += 30
            now += 30
            events.append(
                me.event(
                    "view", now, lesson, session_id=session, seconds=seconds,
                    position_seconds=seconds, watched=[[0, seconds]], section=f"s{now % 7}",
                )
            )  # fmt: skip
        if chance.random() < 0.4:
            events.append(me.event("position", now + 2, lesson, position_seconds=5, progress=0.4))
        if chance.random() < 0.5:
            events.append(me.event("complete", now + 3, lesson))
        if chance.random() < 0.5:
            note = str(uuid.UUID(int=chance.randrange(3)))
            events.append(me.event("note", now + 4, lesson, note_id=note, body=f"At {now}"))
    for attempt in attempts:
        for seq in range(2):
            answers = [{"question_id": f"q{seq}", "answer": chance.random() < 0.5, "seq": seq}]
            events.append(
                me.event("attempt_save", now + seq, None, attempt_id=attempt, answers=answers)
            )
        if chance.random() < 0.7:
            events.append(me.event("attempt_submit", now + 9, None, attempt_id=attempt))
    for event in events:
        event["id"] = str(uuid.UUID(int=chance.getrandbits(128)))
    return events


def attempts_of(me: Player) -> list[str]:
    me.at(0)
    return [
        me.actor.call("start_attempt", p_lesson_id=me.course.all[lesson])["attempt"]["id"]
        for lesson in (3, 7)
    ]


def state(operator: Actor, me: Player) -> dict[str, Any]:
    """All rows, without what is only somebody's own."""
    found = facts(operator, me.user)
    found["attempts"] = operator.run(
        "select * from public.user_assessment_attempts where user_id = %s", me.user
    )
    found["notes"] = operator.run("select * from public.notes where user_id = %s", me.user)
    found["events"] = [row for row in found["events"] if row["kind"] != "enrolled"]
    return {
        name: sorted(
            str({key: value for key, value in row.items() if key not in OWN}) for row in rows
        )
        for name, rows in found.items()
    }


def check_orders(
    enrolled: Enrolled,
    operator: Actor,
    courses: tuple[Course, Course],
    seed: int,
    orders: int,
) -> None:
    end = 10 * 24 * HOUR
    chance = random.Random(seed + 1)
    me = join(enrolled, operator, courses)
    events = story(me, seed, attempts_of(me))
    ranks = ["start", "view", "position", "attempt_save", "attempt_submit", "complete", "note"]
    answers = {}
    for event in sorted(events, key=lambda e: (e["at"], ranks.index(e["kind"]))):
        [answers[event["id"]]] = me.send(end, [event])["results"]
    wanted = state(operator, me)
    assert {answer["status"] for answer in answers.values()} <= {
        "applied", "unchanged", "refused",
    }  # fmt: skip
    for _ in range(orders):
        other = join(enrolled, operator, courses)
        shuffled = story(other, seed, attempts_of(other))
        shuffled += chance.sample(shuffled, min(3, len(shuffled)))
        chance.shuffle(shuffled)
        results = other.send(end, shuffled)["results"]
        assert [result["id"] for result in results] == [event["id"] for event in shuffled]
        assert state(operator, other) == wanted
        for result in results:
            alone = answers[result["id"]]
            assert result["status"] in (alone["status"], "repeated")
            if result["status"] != "repeated":
                assert {**result, "attempt": None} == {**alone, "attempt": None}
        again = other.send(end, shuffled)["results"]
        for result, before in zip(again, results, strict=True):
            # What was refused is judged anew: the lesson may have been completed by another event.
            judged = {"refused", "unchanged"} if before["status"] == "refused" else {"repeated"}
            assert result["status"] in judged
        # Only what has been told is then remembered of more events.
        told = {"private.client_events": wanted["private.client_events"]}
        assert {**state(operator, other), **told} == wanted
    assert drift(operator, [course.id for course in courses]) == []


@settings(
    max_examples=8, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(seed=st.integers(0, 10**6))
def test_any_order_is_as_one_by_one_in_order(
    enrolled: Enrolled, operator: Actor, two_courses: tuple[Course, Course], seed: int
) -> None:
    check_orders(enrolled, operator, two_courses, seed, 1)


@pytest.mark.long
@settings(
    max_examples=400, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(seed=st.integers(0, 10**6))
def test_any_order_is_as_one_by_one_in_order_for_long(
    enrolled: Enrolled, operator: Actor, two_courses: tuple[Course, Course], seed: int
) -> None:
    check_orders(enrolled, operator, two_courses, seed, 3)


# One event at a time


def test_bad_events_are_reported_in_place_and_stop_nothing(
    enrolled: Enrolled, operator: Actor
) -> None:
    me = enrolled({}, {}, {"completion_rule": "view", "min_view_seconds": 50}, {"is_preview": True})
    session = str(uuid.uuid4())
    good = me.event("complete", 10, 0)
    view = me.event("view", 20, 1, session_id=session, seconds=10)
    stranger = enrolled()
    bad: list[tuple[Any, str]] = [
        (5, "invalid_type"),
        (None, "invalid_type"),
        (["x"], "invalid_type"),
        ({}, "invalid_value"),
        ({**good, "id": "x"}, "invalid_id"),
        ({**good, "id": None}, "invalid_value"),
        ({**good, "kind": "dance"}, "invalid_value"),
        ({**good, "kind": 7}, "invalid_value"),
        ({**good, "at": "yesterday"}, "invalid_type"),
        ({**good, "at": "2026-02-30T00:00:00Z"}, "invalid_type"),
        ({**good, "at": "2026-02-03T00:00:00"}, "invalid_type"),
        ({**good, "at": None}, "invalid_type"),
        ({**good, "at": 1700000000}, "invalid_type"),
        ({**good, "lesson_id": "x"}, "invalid_id"),
        ({**good, "lesson_id": None}, "invalid_value"),
        ({**good, "score": 100}, "unknown_field"),
        ({**good, "seconds": 100}, "unknown_field"),
        ({**good, "lesson_id": str(uuid.uuid4())}, "lesson_not_found"),
        ({**good, "lesson_id": str(stranger.course.all[0])}, "not_enrolled"),
        ({**good, "lesson_id": str(me.course.all[2])}, "rule_not_met"),
        ({**good, "lesson_id": str(me.course.all[3])}, "preview_lesson"),
        ({**view, "seconds": "many"}, "invalid_type"),
        ({**view, "seconds": 1.5}, "invalid_type"),
        ({**view, "seconds": -1}, "invalid_value"),
        ({**view, "seconds": None}, "invalid_value"),
        ({**view, "session_id": "x"}, "invalid_id"),
        ({**view, "watched": [[9, 1]]}, "invalid_value"),
        ({**view, "watched": [[0, 1]] * 201}, "invalid_value"),
        ({**view, "progress": 3}, "invalid_value"),
        (me.event("position", 5, 0, position_seconds=-4), "invalid_value"),
        (me.event("position", 5, 0, position_seconds=10**30), "invalid_type"),
        (me.event("attempt_save", 5, None, attempt_id=uuid.uuid4()), "attempt_not_found"),
        (me.event("attempt_save", 5, 0), "unknown_field"),
        (me.event("attempt_submit", 5, None), "invalid_value"),
        (me.event("attempt_submit", 5, 0), "no_quiz"),
    ]
    events = [good, *[event for event, _ in bad], view]
    for event in events[1:-1]:
        if isinstance(event, dict) and event.get("id") == good["id"]:
            event["id"] = str(uuid.uuid4())
    results = me.send(HOUR, events)["results"]
    assert [result["code"] for result in results[1:-1]] == [code for _, code in bad]
    assert {result["status"] for result in results[1:-1]} == {"refused"}
    assert [results[0]["status"], results[-1]["status"]] == ["applied", "applied"]
    assert all(result["message"] for result in results[1:-1])
    rows = operator.run(
        "select lesson_id, status from public.user_progress where user_id = %s", me.user
    )
    assert {row["lesson_id"]: row["status"] for row in rows} == {
        me.course.all[0]: "completed", me.course.all[1]: "in_progress",
    }  # fmt: skip
    [row] = [result for result in results if result["code"] == "rule_not_met"]
    assert row["details"] == {"rule": "view", "needed": 50, "have": 0}


def test_what_is_no_batch_is_refused(enrolled: Enrolled, operator: Actor) -> None:
    me = enrolled()
    before = facts(operator, me.user)
    for events, code in (
        ({}, "invalid_type"),
        (5, "invalid_type"),
        (None, "invalid_type"),
        ([me.event("start", 5)] * 501, "invalid_value"),
    ):
        assert refusal(me.actor.call, "apply_events", p_events=Jsonb(events)).code == code
    assert me.send(5, []) == {"results": [], "progress": [], "enrollments": []}
    assert facts(operator, me.user) == before


def test_five_hundred_fit(enrolled: Enrolled) -> None:
    me, session = enrolled(VIDEO), uuid.uuid4()
    events = [
        me.event("view", 10 * n, session_id=session, seconds=10 * n, watched=[[0, 10 * n]])
        for n in range(1, 501)
    ]
    random.Random(5).shuffle(events)
    answer = me.send(3 * HOUR, events)
    assert {result["status"] for result in answer["results"]} == {"applied"}
    [row] = answer["progress"]
    assert (row["status"], row["view_time_seconds"]) == ("completed", 5000)
    assert sum(result["completed"] for result in answer["results"]) == 1
    assert row["completed_at"] == (DAWN + timedelta(seconds=540)).isoformat()
    assert answer["enrollments"][0]["view_time_seconds"] == 5000


def test_times_that_cannot_be_are_clamped_and_marked(enrolled: Enrolled, operator: Actor) -> None:
    me = enrolled({}, {}, {})
    operator.run(
        "update public.enrollments set enrolled_at = %s where user_id = %s",
        DAWN - timedelta(days=40),
        me.user,
    )
    events = [
        me.event("complete", 2 * HOUR, 0),
        me.event("complete", -30 * 24 * HOUR, 1),
        me.event("complete", HOUR - 5, 2),
    ]
    results = me.send(HOUR, events)["results"]
    assert [result["clamped"] for result in results] == ["future", "past", None]
    now = DAWN + timedelta(hours=1)
    assert [result["at"] for result in results] == [
        now.isoformat(),
        (now - timedelta(days=28)).isoformat(),
        (now - timedelta(seconds=5)).isoformat(),
    ]
    rows = operator.run(
        "select p.completed_at from public.user_progress p"
        " join public.lessons l on l.id = p.lesson_id where p.user_id = %s order by l.position",
        me.user,
    )
    assert [row["completed_at"].isoformat() for row in rows] == [result["at"] for result in results]
    # Nobody has learned before enrolling.
    other = enrolled()
    [early] = other.send(HOUR, [other.event("complete", -5 * 24 * HOUR)])["results"]
    enrolled_at = operator.one(
        "select enrolled_at from public.enrollments where user_id = %s", other.user
    )
    assert early["clamped"] == "past"
    assert datetime.fromisoformat(early["at"]) == enrolled_at


def test_offline_seconds_are_no_more_than_the_session_lasted(enrolled: Enrolled) -> None:
    me, session = enrolled(), uuid.uuid4()
    events = [
        me.event("view", 5 * HOUR, session_id=session, seconds=10),
        me.event("view", 5 * HOUR + 60, session_id=session, seconds=90_000),
    ]
    answer = me.send(30 * HOUR, events)
    assert answer["progress"][0]["view_time_seconds"] <= 10 + 60 + 60


def test_offline_seconds_were_not_spent_otherwise(enrolled: Enrolled) -> None:
    """While the telephone says it played, the laptop was heard of all the time."""
    me, live, offline = enrolled({}, {}), uuid.uuid4(), uuid.uuid4()
    for n in range(1, 121):
        me.view(HOUR + 30 * n, live, 30 * n)
    event = me.event("view", 2 * HOUR, 1, session_id=offline, seconds=HOUR)
    answer = me.send(9 * HOUR, [event])
    assert answer["progress"][0]["view_time_seconds"] <= 60
    # Before and after it was not.
    free = me.event("view", 4 * HOUR, 1, session_id=uuid.uuid4(), seconds=HOUR)
    assert me.send(9 * HOUR, [free])["progress"][0]["view_time_seconds"] >= HOUR


def test_a_refused_event_may_be_earned_later_and_an_applied_one_only_repeated(
    enrolled: Enrolled,
) -> None:
    me, session = enrolled({"completion_rule": "view", "min_view_seconds": 50}), uuid.uuid4()
    done = me.event("complete", 100)
    assert me.send(HOUR, [done])["results"][0]["code"] == "rule_not_met"
    view = me.event("view", 90, session_id=session, seconds=60)
    assert [x["status"] for x in me.send(HOUR, [done, view])["results"]] == [
        "unchanged", "applied",
    ]  # fmt: skip
    me.actor.call("uncomplete_lesson", p_lesson_id=me.course.all[0])
    # What was applied before is not done again behind the learner's back.
    assert {x["status"] for x in me.send(HOUR, [done, view])["results"]} == {"repeated"}
    answer = me.actor.call("get_lesson_progress", p_lesson_id=me.course.all[0])
    assert answer["status"] == "in_progress"


def test_a_late_event_moves_nothing_back(enrolled: Enrolled) -> None:
    me = enrolled(VIDEO, {})
    me.view(10 * HOUR, uuid.uuid4(), 60, 1, position_seconds=50, section="new")
    me.view(11 * HOUR, uuid.uuid4(), 60, 0, position_seconds=50)
    events = [
        me.event("start", HOUR, 0),
        me.event("position", 2 * HOUR, 0, position_seconds=300),
        me.event(
            "view", 3 * HOUR, 0, session_id=uuid.uuid4(), seconds=60, position_seconds=200,
            section="old",
        ),
        me.event("complete", 3 * HOUR, 1),
    ]  # fmt: skip
    answer = me.send(12 * HOUR, events)
    rows = {row["lesson_id"]: row for row in answer["progress"]}
    first, second = (rows[str(lesson)] for lesson in me.course.all)
    assert first["position_seconds"] == 50
    assert first["started_at"] == (DAWN + timedelta(hours=1)).isoformat()
    assert first["last_accessed"] == (DAWN + timedelta(hours=11)).isoformat()
    assert second["completed_at"] == (DAWN + timedelta(hours=3)).isoformat()
    [enrollment] = answer["enrollments"]
    assert enrollment["current_lesson_id"] == str(me.course.all[0])
    assert enrollment["current_section"] is None
    assert enrollment["last_accessed_at"] == (DAWN + timedelta(hours=11)).isoformat()


# Attempts


def test_attempts_are_saved_and_submitted(
    enrolled: Enrolled, operator: Actor, two_courses: tuple[Course, Course]
) -> None:
    me = join(enrolled, operator, two_courses)
    attempt, other = attempts_of(me)
    right = [{"question_id": f"q{n}", "answer": True} for n in range(3)]
    save = me.event("attempt_save", 10, None, attempt_id=attempt, answers=right[:2])
    submit = me.event("attempt_submit", 20, None, attempt_id=attempt, answers=right[2:])
    whole = me.event("attempt_submit", 30, 7, answers=right, client_key="mine")
    answer = me.send(HOUR, [whole, submit, save])
    assert [result["status"] for result in answer["results"]] == ["applied"] * 3
    assert [result["completed"] for result in answer["results"]] == [True, True, False]
    assert answer["results"][0]["attempt"] == {
        "id": other, "status": "graded", "percent": 100, "passed": True,
    }  # fmt: skip
    assert answer["results"][2]["attempt"]["status"] == "in_progress"
    assert operator.one(
        "select array_agg(client_key order by client_key) from public.user_assessment_attempts"
        " where user_id = %s",
        me.user,
    ) == [*sorted([submit["id"], "mine"])]
    closed = me.event("attempt_save", 40, None, attempt_id=attempt, answers=right)
    [result] = me.send(HOUR, [closed])["results"]
    assert (result["status"], result["code"]) == ("refused", "attempt_closed")
    assert result["details"]["passed"] is True
    # That refusal had set a status of its own.
    with me.actor.connection.transaction():
        me.send(HOUR, [closed])
        assert me.actor.one("select current_setting('response.status')") == "200"


def test_another_persons_attempt_is_not_found(
    enrolled: Enrolled, operator: Actor, two_courses: tuple[Course, Course]
) -> None:
    me = join(enrolled, operator, two_courses)
    attempt, _ = attempts_of(me)
    before = state(operator, me)
    other = join(enrolled, operator, two_courses)
    events = [
        other.event("attempt_save", 5, None, attempt_id=attempt, answers=[]),
        other.event("attempt_submit", 6, None, attempt_id=attempt),
    ]
    results = other.send(HOUR, events)["results"]
    assert {result["code"] for result in results} == {"attempt_not_found"}
    assert state(operator, me) == before


def test_notes_are_written_and_the_newest_stands(enrolled: Enrolled, operator: Actor) -> None:
    me = enrolled({})
    note = str(uuid.uuid4())
    events = [
        me.event("note", 50, note_id=note, body="second", position_seconds=7),
        me.event("note", 20, note_id=note, body="first"),
        me.event("note", 30, None, course_id=me.course.id, body="of the course"),
        me.event("note", 40, body=""),
        me.event("note", 40, None, course_id="x", body="y"),
        me.event("note", 40, None, body="y"),
        me.event("note", 40, None, course_id=2**60, body="y"),
    ]
    results = me.send(HOUR, events)["results"]
    assert [result["code"] for result in results] == [
        None, None, None, "invalid_value", "invalid_id", "invalid_value", "course_not_found",
    ]  # fmt: skip
    rows = operator.run(
        "select id, lesson_id, body, position_seconds from public.notes where user_id = %s"
        " order by body",
        me.user,
    )
    assert [(str(row["id"]), row["body"], row["position_seconds"]) for row in rows] == [
        (events[2]["id"], "of the course", None),
        (note, "second", 7),
    ]
    [late] = me.send(HOUR, [me.event("note", 10, note_id=note, body="zero")])["results"]
    assert late["status"] == "unchanged"


def test_an_event_id_is_ones_own(enrolled: Enrolled) -> None:
    me, other = enrolled(), enrolled()
    event = me.event("complete", 10)
    assert me.send(HOUR, [event])["results"][0]["status"] == "applied"
    mine = {**event, "lesson_id": str(other.course.all[0])}
    assert other.send(HOUR, [mine])["results"][0]["status"] == "applied"


# Many at once


@pytest.fixture
def hands(stack: Stack) -> Iterator[Callable[..., Actor]]:
    """Connections that hang up at the end."""
    made: list[Actor] = []

    def make(*arguments: Any) -> Actor:
        made.append(Actor(stack, *arguments))
        return made[-1]

    yield make
    for actor in made:
        actor.close()


def test_batches_heartbeats_and_edits_of_two_courses_never_deadlock(
    operator: Actor, hands: Callable[..., Actor]
) -> None:
    """Each learner's devices cross two courses while a lesson moves to and fro between them."""
    courses = [make_course(operator, [[{}, {}, {}]]) for _ in range(2)]
    users = make_users(operator, 2)
    (admin,) = make_users(operator)
    for user in users:
        enrolling = hands("authenticated", user)
        for course in courses:
            enrolling.call("enroll", p_course_id=course.id)
    problems: list[Exception] = []
    done = threading.Event()

    def batches(seed: int, user: uuid.UUID) -> None:
        chance = random.Random(seed)
        me = Player(hands("authenticated", user), Course(0, [], [courses[0].all + courses[1].all]))
        now = float(seed)
        for _ in range(25):
            now += 400
            events = [
                me.event("view", now + n, chance.randrange(6), session_id=uuid.uuid4(), seconds=20)
                if chance.random() < 0.6
                else me.event("complete", now + n, chance.randrange(6))
                for n in range(6)
            ]
            me.send(now + 10, events)
            me.view(now + 20, uuid.uuid4(), 5, chance.randrange(6))

    def edits() -> None:
        editor = hands("authenticated", admin)
        claims = f'{{"role": "authenticated", "sub": "{admin}",'
        claims += ' "app_metadata": {"waymark_role": "admin"}}'
        editor.run("select set_config('request.jwt.claims', %s, false)", claims)
        place = 0
        while not done.wait(0.02):
            place = 1 - place
            editor.call(
                "move_lesson",
                p_lesson_id=courses[0].all[0],
                p_module_id=courses[place].modules[0],
                p_position=9,
            )

    def guarded(call: Callable[..., None], *arguments: Any) -> None:
        try:
            call(*arguments)
        except Exception as problem:
            # A lesson that moved while a call waited for its course says so; clients try again.
            if getattr(problem, "code", None) != "try_again":
                problems.append(problem)

    threads = [
        threading.Thread(target=guarded, args=(batches, seed, user))
        for seed, user in enumerate([*users, *users])
    ]
    editing = threading.Thread(target=guarded, args=(edits,))
    editing.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    editing.join()
    assert problems == []
    assert drift(operator, [course.id for course in courses]) == []
