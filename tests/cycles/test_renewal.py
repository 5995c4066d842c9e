"""Completions that expire: who is told, when, how often, and what they may do about it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.certificates.scene import Scene
from tests.database.actors import Actor, Course, Refused

DONE = datetime(2027, 1, 31, 12, tzinfo=UTC)
EXPIRES = datetime(2028, 1, 31, tzinfo=UTC)


@pytest.fixture
def yearly(scene: Scene) -> Course:
    return scene.course(1, certificate_valid_months=12)


def finish(scene: Scene, course: Course, at: datetime = DONE) -> Actor:
    """Somebody who completed the course then."""
    ann = scene.learner(course)
    ann.at(at)
    scene.complete(ann, *course.all)
    return ann


def upkeep(scene: Scene, at: datetime) -> Any:
    """What the worker's maintenance does at that time, of renewals."""
    scene.operator.at(at)
    report = scene.operator.one("select public.run_maintenance()")
    scene.operator.at(None)
    return report["renewals"]


def told(scene: Scene, learner: Actor) -> list[tuple[Any, ...]]:
    return [
        (n["dedupe_key"], n["data"]["expires_on"], n["is_mailed"])
        for n in scene.messages(learner)
        if n["kind"] == "completion_expiring"
    ]


def test_learners_are_told_once_a_month_before(scene: Scene, yearly: Course) -> None:
    ann = finish(scene, yearly)
    assert upkeep(scene, EXPIRES - timedelta(days=31)) == 0
    assert told(scene, ann) == []
    assert upkeep(scene, EXPIRES - timedelta(days=29)) == 1
    assert upkeep(scene, EXPIRES - timedelta(days=1)) == 0
    assert told(scene, ann) == [(f"completion_expiring:{yearly.id}:1", "2028-01-31", True)]


def test_who_left_is_not_told_and_others_do_not_wait_behind_them(
    scene: Scene, yearly: Course
) -> None:
    gone, ann = finish(scene, yearly), finish(scene, yearly, DONE + timedelta(days=2))
    gone.call("leave_course", p_course_id=yearly.id)
    assert upkeep(scene, EXPIRES) == 1
    assert (told(scene, gone), len(told(scene, ann))) == ([], 1)


def test_what_has_expired_already_is_told_without_mail(scene: Scene) -> None:
    course = scene.course(1)
    ann = finish(scene, course)
    scene.set(course, certificate_valid_months=12)
    assert upkeep(scene, EXPIRES + timedelta(days=400)) == 1
    assert [mailed for _, _, mailed in told(scene, ann)] == [False]


def test_an_expiring_completion_is_renewed_where_no_retake_is_allowed(
    scene: Scene, yearly: Course
) -> None:
    ann = finish(scene, yearly)
    ann.at(EXPIRES - timedelta(days=31))
    with pytest.raises(Refused, match="retakes_exhausted"):
        ann.call("retake_course", p_course_id=yearly.id)
    assert upkeep(scene, EXPIRES - timedelta(days=20)) == 1
    renewed = EXPIRES - timedelta(days=10)
    ann.at(renewed)
    state = ann.call("get_my_cycles", p_course_id=yearly.id)
    assert (state["may_retake"], state["completion_expires_at"]) == (
        True,
        "2028-01-31T00:00:00+00:00",
    )
    assert ann.call("retake_course", p_course_id=yearly.id)["changed"]
    ann.at(renewed + timedelta(minutes=1))
    scene.complete(ann, *yearly.all)
    # The older certificate runs out by itself; the new one counts from its own completion.
    first, second = scene.certificates(ann)
    assert (first["expires_at"], first["superseded_at"]) == (EXPIRES, None)
    assert second["expires_at"] == datetime(2029, 1, 21, tzinfo=UTC)
    assert upkeep(scene, EXPIRES + timedelta(days=30)) == 0
    assert upkeep(scene, datetime(2029, 1, 1, tzinfo=UTC)) == 1
    assert [key for key, _, _ in told(scene, ann)] == [
        f"completion_expiring:{yearly.id}:1",
        f"completion_expiring:{yearly.id}:2",
    ]


def test_a_row_that_somebody_holds_is_for_the_next_time(scene: Scene, yearly: Course) -> None:
    ann = finish(scene, yearly)
    holder = scene.actors()
    with holder.connection.transaction():
        holder.run("select from public.enrollments where user_id = %s for update", ann.user)
        assert upkeep(scene, EXPIRES) == 0
    assert upkeep(scene, EXPIRES) == 1
