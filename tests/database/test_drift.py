"""Counters corrupted on purpose: found, told, and mended, by operators, the upkeep and a look."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.database.actors import Actor, Course, drift, make_course, make_users

CORRUPT = """
update public.enrollments
   set completed_lessons = completed_lessons - 1, completed_weight = completed_weight - 1,
       progress_percent = private.percent(completed_weight - 1, total_weight)
 where user_id = %s
"""


@pytest.fixture
def course(operator: Actor) -> Course:
    return make_course(operator, [2, 2])


@pytest.fixture
def ann(learner: Callable[[], Actor], course: Course) -> Actor:
    """Half through the course."""
    ann = learner()
    ann.call("enroll", p_course_id=course.id)
    for lesson in course.lessons[0]:
        ann.call("complete_lesson", p_lesson_id=lesson)
    return ann


def enrollment(operator: Actor, user: uuid.UUID | None) -> uuid.UUID:
    found: uuid.UUID = operator.one("select id from public.enrollments where user_id = %s", user)
    return found


def test_the_report_says_what_differs(
    operator: Actor, server: Actor, ann: Actor, course: Course
) -> None:
    operator.run(CORRUPT, ann.user)
    operator.run(
        "update public.module_progress set completed_lessons = 1 where user_id = %s", ann.user
    )
    mine = enrollment(operator, ann.user)
    dry = server.call("recalculate", p_course_id=course.id, p_dry_run=True)
    (found,) = dry["drift"]
    assert (found["enrollment_id"], found["course_id"], found["by"]) == (
        str(mine), course.id, "recalculation"
    )  # fmt: skip
    assert (found["before"]["completed_lessons"], found["after"]["completed_lessons"]) == (1, 2)
    assert (found["before"]["progress_percent"], found["after"]["progress_percent"]) == (25, 50)
    (module,) = found["modules"]
    assert module["module_id"] == str(course.modules[0])
    assert (module["before"]["completed_lessons"], module["after"]["completed_lessons"]) == (1, 2)
    assert len(drift(operator, [course.id])) == 2

    done = server.call("recalculate", p_course_id=course.id)
    assert done == dry
    assert drift(operator, [course.id]) == []
    (audited,) = operator.run(
        "select before, after from public.audit_log where user_id = %s"
        " and action = 'enrollment.recalculate'",
        ann.user,
    )
    assert (audited["before"], audited["after"]) == (found["before"], found["after"])
    assert server.call("recalculate", p_course_id=course.id)["drift"] == []


@pytest.fixture
def stubborn(operator: Actor) -> Iterator[Callable[[uuid.UUID | None], None]]:
    """Have one learner's enrolment refuse every change."""

    def refuse(user: uuid.UUID | None) -> None:
        operator.run(
            "create function private.t_refuse() returns trigger language plpgsql as"
            " $$ begin raise exception 'not this one'; end $$"
        )
        operator.run(
            "create trigger _t_refuse before update on public.enrollments for each row"
            f" when (old.user_id = '{user}') execute function private.t_refuse()"
        )

    yield refuse
    operator.run("drop function if exists private.t_refuse() cascade")


def test_one_that_cannot_be_mended_stops_no_other(
    operator: Actor, server: Actor, ann: Actor, course: Course,
    stubborn: Callable[[uuid.UUID | None], None],
) -> None:  # fmt: skip
    others = make_users(operator, 3)
    for user in others:
        operator.run(
            "insert into public.enrollments (user_id, course_id) values (%s, %s)", user, course.id
        )
    operator.run("update public.enrollments set total_lessons = 9 where course_id = %s", course.id)
    stubborn(ann.user)
    done = server.call("recalculate", p_course_id=course.id)
    assert (done["checked"], done["changed"]) == (4, 3)
    assert done["failed"] == [
        {"enrollment_id": str(enrollment(operator, ann.user)), "message": "not this one"}
    ]
    assert len(drift(operator, [course.id])) == 1


def test_slices_end_in_time_and_go_on_by_the_cursor(operator: Actor, course: Course) -> None:
    for user in make_users(operator, 120):
        operator.run(
            "insert into public.enrollments (user_id, course_id) values (%s, %s)", user, course.id
        )
    cursor, sizes = None, []
    while True:
        slice_ = operator.one(
            "select private.recalculate_slice(%s, %s, 5000, true, 0)", course.id, cursor
        )
        sizes.append(slice_["checked"])
        cursor = slice_["cursor"]
        if cursor is None:
            break
    # No time at all: fifty at a time, and no one twice.
    assert sizes == [50, 50, 20, 0] or sizes == [50, 50, 20]


def test_counting_without_drift_locks_nobody(
    operator: Actor, server: Actor, ann: Actor, course: Course
) -> None:
    with operator.connection.transaction():
        operator.run("select from public.enrollments where user_id = %s for update", ann.user)
        server.run("set lock_timeout = '200ms'")
        done = server.call("recalculate", p_course_id=course.id)
    assert (done["checked"], done["failed"]) == (1, [])


def test_the_upkeep_finds_and_mends(
    operator: Actor, server: Actor, ann: Actor, course: Course
) -> None:
    operator.run(CORRUPT, ann.user)
    mine = enrollment(operator, ann.user)
    # The round has come to just before this one.
    before = uuid.UUID(int=mine.int - 1)
    operator.run("update private.drift_checks set cursor = %s", before)
    was = server.call("get_drift_health")
    notices: list[str] = []
    server.connection.add_notice_handler(
        lambda notice: notices.append(notice.message_primary or "")
    )
    report = server.call("run_maintenance")["drift"]
    # Other tests leave rows that were planted, and count as drift too.
    assert report["drifted"] == report["mended"] >= 1
    assert any("enrolments had drifted" in notice for notice in notices)
    health = server.call("get_drift_health")
    assert health["last_run_at"] is not None
    assert health["last_found_at"] is not None
    assert [health[name] - was[name] for name in ("checked", "drifted", "mended")] == [
        report["checked"], report["drifted"], report["mended"]
    ]  # fmt: skip
    assert drift(operator, [course.id]) == []


def test_rounds_come_to_their_end_and_begin_again(
    operator: Actor, server: Actor, ann: Actor
) -> None:
    ids = operator.run("select id from public.enrollments order by id desc limit 1")
    operator.run("update private.drift_checks set cursor = %s, last_round_at = null", ids[0]["id"])
    assert server.call("run_maintenance")["drift"]["checked"] == 0
    assert server.call("get_drift_health")["last_round_at"] is not None
    assert operator.one("select cursor from private.drift_checks") is None
    assert server.call("run_maintenance")["drift"]["checked"] > 0


def test_a_learners_look_mends_what_it_shows(
    operator: Actor, server: Actor, ann: Actor, course: Course
) -> None:
    was = server.call("get_drift_health")
    operator.run(CORRUPT, ann.user)
    view = ann.call("get_course_progress", p_course_id=course.id)
    assert (view["completed"], view["percent"]) == (2, 50)
    assert drift(operator, [course.id]) == []
    assert server.call("get_drift_health")["mended"] == was["mended"] + 1
    assert ann.call("get_course_progress", p_course_id=course.id) == view
    assert server.call("get_drift_health")["mended"] == was["mended"] + 1


def test_a_look_by_get_shows_and_writes_nothing(
    operator: Actor, ann: Actor, course: Course
) -> None:
    operator.run(CORRUPT, ann.user)
    with ann.connection.transaction():
        ann.run("set transaction read only")
        view: Any = ann.call("get_course_progress", p_course_id=course.id)
    assert (view["completed"], len(view["completed_lesson_ids"])) == (1, 2)
    assert len(drift(operator, [course.id])) == 1
