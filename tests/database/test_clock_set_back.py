"""What was written while the clock was ahead keeps nobody waiting once it is right again.

The whole stack under such a clock: tests/http/test_clock_steps.py.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.database.actors import Actor, drift, make_course, make_users
from tests.stack import Stack

AHEAD = timedelta(days=1)


@pytest.fixture
def operator(stack: Stack) -> Iterator[Actor]:
    made = Actor(stack)
    yield made
    made.close()


@pytest.fixture
def ann(stack: Stack, operator: Actor) -> Iterator[Actor]:
    made = Actor(stack, "authenticated", make_users(operator)[0])
    yield made
    made.at(None)
    made.close()


@pytest.fixture(autouse=True)
def _unlimited(operator: Actor) -> Iterator[None]:
    """A bucket that was taken from tomorrow is empty for a moment; other tests are about that."""
    rate = operator.one("select to_jsonb(r) from private.rate_limits r where bucket = 'view'")
    operator.run("delete from private.rate_limits where bucket = 'view'")
    yield
    operator.run(
        "insert into private.rate_limits (bucket, per_second, burst) values ('view', %s, %s)",
        rate["per_second"],
        rate["burst"],
    )


def test_a_cycle_begun_tomorrow_has_begun(operator: Actor, ann: Actor) -> None:
    course = make_course(operator, [1], max_cycles=9)
    ann.call("enroll", p_course_id=course.id)
    ann.call("complete_lesson", p_lesson_id=course.all[0])
    now = datetime.now(UTC)
    ann.at(now + AHEAD)
    assert ann.call("retake_course", p_course_id=course.id)["enrollment"]["cycle"] == 2
    ann.at(now + timedelta(seconds=1))
    answer = ann.call("view_lesson", p_lesson_id=course.all[0], p_session_id=uuid.uuid4(),
                      p_seconds=30)  # fmt: skip
    assert answer["changed"]
    assert answer["credited_seconds"] == 30
    assert ann.call("complete_lesson", p_lesson_id=course.all[0])["changed"]
    assert ann.call("retake_course", p_course_id=course.id)["enrollment"]["cycle"] == 3
    assert drift(operator, [course.id]) == []


def test_a_place_of_tomorrow_moves_on(operator: Actor, ann: Actor) -> None:
    course = make_course(operator, [[{"duration_seconds": 600}] * 5])
    ann.call("enroll", p_course_id=course.id)
    now = datetime.now(UTC)

    def view(lesson: int, position: int) -> None:
        ann.call("view_lesson", p_lesson_id=course.all[lesson], p_session_id=uuid.uuid4(),
                 p_seconds=1, p_position_seconds=position)  # fmt: skip

    def place() -> tuple[int, int]:
        (row,) = operator.run(
            "select e.current_lesson_id as lesson, p.position_seconds as position"
            " from public.enrollments e join public.user_progress p on p.user_id = e.user_id"
            "  and p.lesson_id = e.current_lesson_id where e.user_id = %s",
            ann.user,
        )
        return course.all.index(row["lesson"]), row["position"]

    for step, go in enumerate(
        (
            lambda: view(0, 7),
            lambda: view(1, 9),
            lambda: ann.call("start_lesson", p_lesson_id=course.all[2]),
            lambda: ann.call("complete_lesson", p_lesson_id=course.all[3]),
            lambda: ann.call("put_lesson_progress", p_lesson_id=course.all[4],
                             p_position_seconds=5),
        )
    ):  # fmt: skip
        ann.at(now + AHEAD)
        view(0, 500)
        assert place() == (0, 500)
        ann.at(now + timedelta(seconds=step))
        go()
        assert place() == [(0, 7), (1, 9), (2, 0), (3, 0), (4, 5)][step]


def test_a_session_begun_tomorrow_is_paid_by_the_clock(operator: Actor, ann: Actor) -> None:
    course = make_course(operator, [1])
    ann.call("enroll", p_course_id=course.id)
    now, session, credited = datetime.now(UTC), uuid.uuid4(), []
    # Ten seconds there; then a minute of honest heartbeats; then claims beyond any clock.
    beats = [(AHEAD, 10), (timedelta(seconds=30), 40), (timedelta(seconds=60), 70)]
    beats += [(timedelta(seconds=60 + n), 70 + 3600 * n) for n in range(1, 9)]
    for after, seconds in beats:
        ann.at(now + after)
        answer = ann.call("view_lesson", p_lesson_id=course.all[0], p_session_id=session,
                          p_seconds=seconds)  # fmt: skip
        credited.append(answer["progress"]["view_time_seconds"])
    assert credited[:3] == [10, 40, 70]
    # A minute of tolerance before the enrolment, and not one second twice.
    assert credited[-1] <= 10 + 68 + 60


@pytest.mark.parametrize("lease", [None, "leased"])
def test_a_job_put_off_until_tomorrow_is_due(operator: Actor, lease: str | None) -> None:
    def put(wait: timedelta) -> int:
        job: int = operator.one(
            "select private.enqueue('noop', '{}', %s, 0, now() + %s)", str(uuid.uuid4()), wait
        )
        if lease:
            operator.run("update private.jobs set lease = gen_random_uuid() where id = %s", job)
        return job

    tomorrow, later = put(AHEAD), put(timedelta(hours=2))
    try:
        operator.run("select private.run_maintenance()")
        due = operator.run(
            "select id from private.jobs where id = any (%s) and run_at <= now()",
            [tomorrow, later],
        )
        assert [row["id"] for row in due] == [tomorrow]
    finally:
        operator.run("delete from private.jobs where id = any (%s)", [tomorrow, later])
