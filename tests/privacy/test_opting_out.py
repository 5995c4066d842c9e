"""Without a history of days: none is kept, those there were are gone, and all else goes on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.database.actors import Actor, drift, make_course
from tests.stack import Stack

Learners = Callable[[], Actor]
MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)


def days(operator: Actor, someone: Actor) -> list[dict[str, Any]]:
    return operator.run(
        "select day, lessons_completed, attempts from public.daily_activity"
        " where user_id = %s order by day",
        someone.user,
    )


def turn(someone: Actor, on: bool) -> None:
    rows = someone.run("update public.profiles set activity_history = %s returning id", on)
    assert [row["id"] for row in rows] == [someone.user]


@pytest.fixture
def course(operator: Actor) -> Any:
    return make_course(
        operator,
        [[{}, {}, {}, {"type": "quiz", "is_required": False}]],
    )


def test_days_are_kept_unless_told(operator: Actor, learner: Learners, course: Any) -> None:
    someone = learner()
    someone.call("enroll", p_course_id=course.id)
    someone.call("complete_lesson", p_lesson_id=course.all[0])
    assert len(days(operator, someone)) == 1


def test_turning_it_off_forgets_the_days_and_keeps_no_more(
    operator: Actor, learner: Learners, course: Any
) -> None:
    quiz = '{"questions": [{"kind": "true_false", "text": "So?", "correct": true}]}'
    operator.run("select private.save_quiz(%s, %s)", course.all[3], quiz)
    someone, other = learner(), learner()
    for person in (someone, other):
        person.call("enroll", p_course_id=course.id)
        person.call("complete_lesson", p_lesson_id=course.all[0])
    turn(someone, False)
    assert days(operator, someone) == []
    assert len(days(operator, other)) == 1
    shown = [person.call("get_my_dashboard") for person in (someone, other)]
    assert [page["activity_history"] for page in shown] == [False, True]
    assert [page["streak"]["current"] for page in shown] == [0, 1]

    answer = someone.call("complete_lesson", p_lesson_id=course.all[1])
    assert answer["changed"] is True
    assert answer["progress"]["status"] == "completed"
    submitted = someone.call("submit_quiz", p_lesson_id=course.all[3])
    assert submitted["attempt"]["status"] == "graded"
    undone = someone.call("uncomplete_lesson", p_lesson_id=course.all[0])
    assert undone["progress"]["status"] == "in_progress"
    assert days(operator, someone) == []
    # What the days are not: progress, its counters, its history.
    assert drift(operator, [course.id]) == []
    kinds = {row["kind"] for row in someone.run("select kind from public.progress_events")}
    assert {"lesson_completed", "attempt_submitted", "lesson_uncompleted"} <= kinds
    assert someone.one("select progress_percent from public.enrollments") > 0


def test_turned_on_again_it_starts_anew(operator: Actor, learner: Learners, course: Any) -> None:
    someone = learner()
    someone.call("enroll", p_course_id=course.id)
    someone.call("complete_lesson", p_lesson_id=course.all[0])
    turn(someone, False)
    someone.call("complete_lesson", p_lesson_id=course.all[1])
    turn(someone, True)
    assert days(operator, someone) == []
    someone.call("complete_lesson", p_lesson_id=course.all[2])
    [day] = days(operator, someone)
    assert day["lessons_completed"] == 1
    # What was completed before counts on no day, and is taken back from none.
    someone.call("uncomplete_lesson", p_lesson_id=course.all[1])
    assert days(operator, someone)[0]["lessons_completed"] in (0, 1)
    assert drift(operator, [course.id]) == []


def test_other_edits_of_the_profile_forget_nothing(
    operator: Actor, learner: Learners, course: Any
) -> None:
    someone = learner()
    someone.call("enroll", p_course_id=course.id)
    someone.call("complete_lesson", p_lesson_id=course.all[0])
    someone.run("update public.profiles set display_name = 'New', activity_history = true")
    someone.run("update public.profiles set timezone = 'Asia/Tokyo'")
    assert len(days(operator, someone)) == 1


def test_nobody_turns_anothers_history_off(operator: Actor, learner: Learners, course: Any) -> None:
    someone, other = learner(), learner()
    someone.call("enroll", p_course_id=course.id)
    someone.call("complete_lesson", p_lesson_id=course.all[0])
    assert (
        other.run(
            "update public.profiles set activity_history = false where id = %s returning id",
            someone.user,
        )
        == []
    )
    other.run("update public.profiles set activity_history = false")
    assert len(days(operator, someone)) == 1


def test_a_learner_turns_it_off_over_http(stack: Stack, learner: Learners) -> None:
    someone = learner()
    answer = httpx.patch(
        f"{stack.api_url}/rest/v1/profiles?id=eq.{someone.user}",
        json={"activity_history": False},
        headers={
            "apikey": stack.publishable_key,
            "Authorization": f"Bearer {stack.token(str(someone.user))}",
            "Prefer": "return=representation",
        },
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()[0]["activity_history"] is False


def test_a_learner_without_a_profile_has_a_history(
    operator: Actor, learner: Learners, course: Any
) -> None:
    """Sign-ups can never fail because of us, so there may be none."""
    someone = learner()
    operator.run("delete from public.profiles where id = %s", someone.user)
    someone.call("enroll", p_course_id=course.id)
    someone.call("complete_lesson", p_lesson_id=course.all[0])
    assert len(days(operator, someone)) == 1


def test_time_zones_still_count_for_completed_on(
    operator: Actor, learner: Learners, course: Any
) -> None:
    """The day of a completion is part of the completion itself."""
    someone = learner()
    turn(someone, False)
    someone.call("enroll", p_course_id=course.id)
    someone.call("complete_lesson", p_lesson_id=course.all[0])
    on = someone.one("select completed_on from public.user_progress")
    assert abs(on - datetime.now(UTC).date()) <= timedelta(days=1)
