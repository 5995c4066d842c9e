"""Seconds of the clock are credited once, whoever reports them how often and in whatever order."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.database.actors import Actor, make_course
from tests.stack import Stack
from tests.watch.conftest import VIDEO, Player, facts
from tests.watch.model import SLACK, Learner

Enrolled = Callable[..., Player]


def total(operator: Actor, player: Player) -> int:
    """Credited seconds; the three places that hold them agree."""
    row = operator.connection.execute(
        """
        select (select coalesce(sum(view_time_seconds), 0) from public.user_progress
                 where user_id = %(u)s) as lessons,
               (select coalesce(sum(view_time_seconds), 0) from public.enrollments
                 where user_id = %(u)s) as courses,
               (select coalesce(sum(view_seconds), 0) from public.daily_activity
                 where user_id = %(u)s) as days
        """,
        {"u": player.user},
    ).fetchone()
    assert row is not None
    assert row["lessons"] == row["courses"] == row["days"]
    return int(row["lessons"])


def test_heartbeats_add_up(enrolled: Enrolled, operator: Actor) -> None:
    me, session = enrolled(), uuid.uuid4()
    for n in range(1, 6):
        answer = me.view(30 * n, session, 30 * n)
        assert (answer["credited_seconds"], answer["changed"]) == (30, True)
        assert answer["progress"]["view_time_seconds"] == 30 * n
        assert answer["enrollment"]["view_time_seconds"] == 30 * n
    assert total(operator, me) == 150


def test_what_was_lost_comes_with_the_next(enrolled: Enrolled, operator: Actor) -> None:
    me, session = enrolled(), uuid.uuid4()
    me.view(30, session, 30)
    assert me.view(4000, session, 3990)["credited_seconds"] == 3960
    # Nothing at all arrived before the end.
    assert me.view(6000, uuid.uuid4(), 1500)["credited_seconds"] == 1500
    assert total(operator, me) == 5490


def test_repeated_and_older_heartbeats_change_nothing(enrolled: Enrolled, operator: Actor) -> None:
    me, session = enrolled(VIDEO), uuid.uuid4()
    me.view(30, session, 30, position_seconds=30, watched=[[0, 30]], section="one")
    last: dict[str, Any] = {"position_seconds": 60, "watched": [[0, 60]], "section": "two"}
    me.view(60, session, 60, **last)
    before = facts(operator, me.user)
    for seconds, more in (
        (60, last),
        (59, {"position_seconds": 500, "watched": [[0, 30]], "section": "one"}),
        (0, {"position_seconds": 0}),
        (30, {}),
    ):
        answer = me.view(90, session, seconds, **more)
        assert (answer["changed"], answer["credited_seconds"]) == (False, 0)
    assert facts(operator, me.user) == before


def test_a_heartbeat_that_was_overtaken_moves_nothing_back(enrolled: Enrolled) -> None:
    me, session = enrolled(VIDEO), uuid.uuid4()
    me.view(30, session, 30, position_seconds=30, watched=[[0, 30]])
    me.view(90, session, 90, position_seconds=90, watched=[[60, 90]], section="late")
    answer = me.view(91, session, 60, position_seconds=60, watched=[[30, 60]], section="early")
    assert answer["progress"]["position_seconds"] == 90
    assert answer["enrollment"]["current_section"] == "late"
    # What it alone knew is not lost.
    assert answer["progress"]["progress"] == 0.15


@pytest.mark.parametrize("sessions", [1, 1000])
def test_a_thousand_heartbeats_within_a_second_gain_what_the_clock_allows(
    enrolled: Enrolled, operator: Actor, sessions: int
) -> None:
    me = enrolled(*[{} for _ in range(10)])
    ids = [uuid.uuid4() for _ in range(sessions)]
    # After an idle day, of which nothing is to be had.
    idle = 86_400
    me.view(idle + 100, ids[0], 60)
    before = total(operator, me)
    assert before == 60
    for n in range(1, 1000):
        me.view(idle + 100 + n / 1000, ids[n % sessions], 60 * (n // sessions + 1), n % 10)
    assert total(operator, me) <= 60 + 1 + SLACK


def test_a_new_learner_gains_one_tolerance_at_once(
    stack: Stack, enrolled: Enrolled, operator: Actor
) -> None:
    me = enrolled(*[{} for _ in range(3)])
    me.actor.at(None)
    for n in range(200):
        me.actor.call(
            "view_lesson",
            p_lesson_id=me.course.all[n % 3],
            p_session_id=uuid.uuid4(),
            p_seconds=604800,
        )
    [clock] = operator.run(
        "select extract(epoch from now() - enrolled_at) as passed from public.enrollments"
        " where user_id = %s",
        me.user,
    )
    assert total(operator, me) <= SLACK + float(clock["passed"]) + 1


def test_a_session_gains_no_more_than_it_can_have_lasted(
    enrolled: Enrolled, operator: Actor
) -> None:
    me, session = enrolled(), uuid.uuid4()
    me.view(50_000, session, 0)
    assert me.view(50_030, session, 604800)["credited_seconds"] == 30 + SLACK
    assert total(operator, me) == 90


def test_two_devices_at_once_share_one_clock(enrolled: Enrolled, operator: Actor) -> None:
    me = enrolled({}, {})
    sessions = [uuid.uuid4(), uuid.uuid4()]
    for n in range(1, 101):
        for lesson, session in enumerate(sessions):
            me.view(30 * n, session, 30 * n, lesson)
    assert 3000 <= total(operator, me) <= 3000 + SLACK


def test_two_devices_in_turn_lose_nothing(enrolled: Enrolled, operator: Actor) -> None:
    me = enrolled({}, {})
    sessions, played = [uuid.uuid4(), uuid.uuid4()], [0, 0]
    for n in range(1, 201):
        device = n // 10 % 2
        played[device] += 20
        me.view(20 * n, sessions[device], played[device], device)
    assert total(operator, me) == 4000


def test_one_session_id_serves_several_lessons(enrolled: Enrolled, operator: Actor) -> None:
    """Counting on, as a tab may, or from nothing: the clock decides."""
    me, session = enrolled({}, {}, {}), uuid.uuid4()
    me.view(100, session, 100, 0)
    assert me.view(200, session, 200, 1)["credited_seconds"] in range(100, 100 + SLACK + 1)
    assert me.view(300, session, 40, 2)["credited_seconds"] == 40
    assert total(operator, me) <= 300


def test_parallel_tabs_of_two_courses_are_paid_once(
    stack: Stack, enrolled: Enrolled, operator: Actor
) -> None:
    """Two enrolments, so no common lock but the learner's time."""
    me = enrolled()
    other = make_course(operator, [1])
    me.actor.call("enroll", p_course_id=other.id)
    players = []
    for course in (me.course, other, me.course, other):
        actor = Actor(stack, "authenticated", me.user)
        players.append(Player(actor, course))
    problems: list[Exception] = []

    def play(player: Player) -> None:
        session = uuid.uuid4()
        try:
            for n in range(1, 61):
                player.view(10_000 + 10 * n, session, 10 * n)
        except Exception as problem:
            problems.append(problem)

    threads = [threading.Thread(target=play, args=[player]) for player in players]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for player in players:
        player.actor.close()
    assert problems == []
    assert 600 <= total(operator, me) <= 600 + SLACK


def test_many_pauses_are_remembered_in_little_room(enrolled: Enrolled, operator: Actor) -> None:
    me = enrolled()
    for n in range(1, 400):
        me.view(1000 * n, uuid.uuid4(), 10)
    [row] = operator.run(
        "select (select count(*) from unnest(spent)) as pieces, pg_column_size(spent) as bytes"
        " from private.watch_credit where user_id = %s",
        me.user,
    )
    assert row["pieces"] <= 66
    assert row["bytes"] < 1000
    assert total(operator, me) == 3990


# Any reports at all -------------------------------------------------------------------------------

REPORTS = st.lists(
    st.tuples(
        st.integers(0, 90),  # pause before it
        st.integers(0, 1),  # lesson
        st.integers(0, 2),  # session
        st.integers(0, 400),  # seconds
        st.lists(st.tuples(st.integers(0, 250), st.integers(0, 250)), max_size=3),
    ),
    min_size=1,
    max_size=14,
)


def check_reports(enrolled: Enrolled, operator: Actor, reports: list[Any]) -> None:
    """Honest or not, in any order: the database credits what the model does."""
    durations = [200, None]
    me = enrolled(*[{"type": "video", "duration_seconds": x} for x in durations])
    start = 5000
    # Enrolled long before: only the reports themselves bound one another.
    model = Learner(enrolled=-100_000)
    for lesson, duration in enumerate(durations):
        model.view(start, lesson, "nobody", 0)
        model.lessons[lesson].duration = duration
    sessions = [uuid.uuid4() for _ in range(3)]
    now = start
    operator.run(
        "update public.enrollments set enrolled_at = enrolled_at - interval '10 days'"
        " where user_id = %s",
        me.user,
    )
    for pause, lesson, session, seconds, watched in reports:
        now += pause
        ranges = [(min(pair), max(pair)) for pair in watched]
        credit = model.view(now, lesson, session, seconds, ranges)
        answer = me.view(now, sessions[session], seconds, lesson, watched=[[*r] for r in ranges])
        assert answer["credited_seconds"] == credit
        assert answer["progress"]["view_time_seconds"] == model.lessons[lesson].view_seconds
    rows = operator.run(
        "select l.position, coalesce((select array_agg(s order by s) from unnest(p.watched) as r,"
        " generate_series(lower(r), upper(r) - 1) as s), '{}') as watched"
        " from public.user_progress p join public.lessons l on l.id = p.lesson_id"
        " where p.user_id = %s",
        me.user,
    )
    for row in rows:
        assert set(row["watched"]) == model.lessons[row["position"]].watched
    assert total(operator, me) == len(model.spent) <= now - start + 400 + SLACK


@settings(
    max_examples=40, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(reports=REPORTS)
def test_credit_is_the_models(enrolled: Enrolled, operator: Actor, reports: list[Any]) -> None:
    check_reports(enrolled, operator, reports)


@pytest.mark.long
@settings(
    max_examples=3000, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(reports=REPORTS)
def test_credit_is_the_models_for_long(
    enrolled: Enrolled, operator: Actor, reports: list[Any]
) -> None:
    check_reports(enrolled, operator, reports)
