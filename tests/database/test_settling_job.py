"""Edits of courses with more learners than one transaction should settle: a job does, in slices."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.database.actors import Actor, Course, drift, insert, make_course, make_lesson, make_users


@pytest.fixture(autouse=True)
def _limit(operator: Actor) -> Iterator[None]:
    """Three enrolments are a large course here."""
    setting = "update private.settings set value = %s where name = 'settle_limit'"
    was = operator.one("select value from private.settings where name = 'settle_limit'")
    operator.run(setting, "3")
    yield
    operator.run(setting, was)
    operator.run("delete from private.jobs where kind = 'course.settle'")


@pytest.fixture
def course(operator: Actor) -> Course:
    return make_course(operator, [2, 2])


@pytest.fixture
def learners(
    actors: Callable[..., Actor], operator: Actor, course: Course
) -> list[Actor]:  # fmt: skip
    """Five; the n-th has completed n lessons, the last one the course."""
    made = []
    for n, user in enumerate(make_users(operator, 5)):
        learner = actors("authenticated", user)
        learner.call("enroll", p_course_id=course.id)
        for lesson in course.all[:n]:
            learner.call("complete_lesson", p_lesson_id=lesson)
        made.append(learner)
    return made


def jobs(operator: Actor) -> list[Any]:
    return [
        row["payload"]["course_id"]
        for row in operator.run("select payload from private.jobs where kind = 'course.settle'")
    ]


def settle(server: Actor, course: Course, limit: int = 200) -> list[int]:
    """What the worker does; how many were settled in each slice."""
    cursor, sizes = None, []
    while True:
        done = server.call("settle_course", p_course_id=course.id, p_cursor=cursor, p_limit=limit)
        sizes.append(done["settled"])
        cursor = done["cursor"] and uuid.UUID(done["cursor"])
        if not done["settling"]:
            return sizes


def seen(learner: Actor, course: Course) -> dict[str, Any]:
    """Every place where a learner reads a percent: (percent, settling)."""
    view = learner.call("get_course_progress", p_course_id=course.id)
    summary = learner.call("get_course_summary", p_course_id=course.id)
    (card,) = [
        card for card in learner.call("get_course_cards", p_limit=100)["courses"]
        if card["id"] == course.id
    ]  # fmt: skip
    (dash,) = [
        one for one in learner.call("get_my_dashboard")["courses"]
        if one["course_id"] == course.id
    ]  # fmt: skip
    (enrolled,) = [learner.call("enroll", p_course_id=course.id)["enrollment"]]
    return {
        name: (place.get("percent", place.get("progress_percent")), place["settling"])
        for name, place in {
            "view": view, "summary": summary, "card": card, "dashboard": dash,
            "enrolment": enrolled,
        }.items()
    }  # fmt: skip


def test_a_large_edit_is_left_to_a_job_and_says_so(
    operator: Actor, server: Actor, course: Course, learners: list[Actor]
) -> None:
    assert {state for _, state in seen(learners[2], course).values()} == {False}
    make_lesson(operator, course.modules[1], position=9)
    assert jobs(operator) == [course.id]
    assert server.call("get_drift_health")["settling"] == 1
    assert len(drift(operator, [course.id])) > 0
    assert set(seen(learners[2], course).values()) == {(50, True)}
    # No drift is told of it, and none is looked for.
    assert settle(server, course, limit=2) == [2, 2, 1]
    assert drift(operator, [course.id]) == []
    assert set(seen(learners[2], course).values()) == {(40, False)}
    assert server.call("get_drift_health")["settling"] == 0


def test_a_small_edit_settles_at_once(operator: Actor, course: Course) -> None:
    (user,) = make_users(operator)
    operator.run(
        "insert into public.enrollments (user_id, course_id) values (%s, %s)", user, course.id
    )
    make_lesson(operator, course.modules[1], position=9)
    assert (jobs(operator), drift(operator, [course.id])) == ([], [])


def test_a_completion_in_between_settles_its_own_enrolment_first(
    operator: Actor, server: Actor, course: Course, learners: list[Actor]
) -> None:
    almost = learners[3]
    added = make_lesson(operator, course.modules[1], position=9)
    done = almost.call("complete_lesson", p_lesson_id=course.all[3])
    # Four of five: the lesson that was added counts, though no job has come by.
    assert (done["enrollment"]["progress_percent"], done["enrollment"]["settling"]) == (80, False)
    assert (done["certificate"], done["next_lesson_id"]) == (None, str(added))
    done = almost.call("complete_lesson", p_lesson_id=added)
    assert done["enrollment"]["progress_percent"] == 100
    assert done["certificate"] is not None
    assert settle(server, course) == [4]
    assert drift(operator, [course.id]) == []


def test_a_module_whose_last_lesson_moves_away_is_counted_too(
    operator: Actor, server: Actor, course: Course, learners: list[Actor]
) -> None:
    for lesson in course.lessons[0]:
        server.call("move_lesson", p_lesson_id=lesson, p_module_id=course.modules[1], p_position=5)
    settle(server, course)
    left = operator.run(
        "select completed_lessons, total_lessons from public.module_progress where module_id = %s",
        course.modules[0],
    )
    rows = [tuple(row.values()) for row in left]
    assert rows == [(0, 0)] * 4
    assert drift(operator, [course.id]) == []


def test_a_begun_lesson_begins_the_module_that_it_moves_into(
    operator: Actor, server: Actor, course: Course, learners: list[Actor]
) -> None:
    """Though it counts nowhere, and the learner's row is there already: of a waiver."""
    user = learners[1].user
    server.call("update_lesson", p_lesson_id=course.all[0], p_fields=Jsonb({"is_required": False}))
    server.call("excuse_lesson", p_user_id=user, p_lesson_id=course.all[3], p_reason="Knows it")
    settle(server, course)
    row = "select status from public.module_progress where user_id = %s and module_id = %s"
    assert operator.one(row, user, course.modules[1]) == "not_started"
    server.call(
        "move_lesson", p_lesson_id=course.all[0], p_module_id=course.modules[1], p_position=5
    )
    settle(server, course)
    assert operator.one(row, user, course.modules[1]) == "in_progress"
    assert drift(operator, [course.id]) == []


def test_what_an_edit_finishes_is_finished_by_the_job(
    operator: Actor, server: Actor, course: Course, learners: list[Actor]
) -> None:
    """Certificates are not lost, completions not taken back, whoever comes first."""
    author = server
    author.call("archive_lesson", p_lesson_id=course.all[3])
    three, four = learners[3], learners[4]
    assert operator.run("select from public.certificates where user_id = %s", three.user) == []
    settle(server, course)
    (held,) = operator.run("select * from public.certificates where user_id = %s", three.user)
    assert held["is_mailed"] is True
    kinds = operator.run(
        "select kind, data from public.progress_events where user_id = %s"
        " and kind in ('module_completed', 'course_completed') order by id",
        three.user,
    )
    assert [(e["kind"], e["data"].get("by")) for e in kinds] == [
        ("module_completed", None), ("module_completed", "catalog"),
        ("course_completed", "catalog"),
    ]  # fmt: skip
    first = operator.one(
        "select completed_at from public.enrollments where user_id = %s", four.user
    )
    author.call("restore_lesson", p_lesson_id=course.all[3])
    settle(server, course)
    mine = operator.run("select * from public.enrollments where user_id = %s", three.user)[0]
    assert (mine["progress_percent"], mine["completed_at"] is not None) == (75, True)
    assert (
        operator.one("select completed_at from public.enrollments where user_id = %s", four.user)
        == first
    )
    assert drift(operator, [course.id]) == []


def test_edits_while_it_settles_are_settled_as_well(
    operator: Actor, server: Actor, course: Course, learners: list[Actor]
) -> None:
    """Also when the course is no longer large: what is behind cannot be added to."""
    added = make_lesson(operator, course.modules[1], position=9)
    server.call("settle_course", p_course_id=course.id, p_limit=2)
    operator.run("update private.settings set value = '100' where name = 'settle_limit'")
    operator.run("delete from public.lessons where id = %s", added)
    operator.run("update public.modules set completion_rule = 'quiz_passed' where id = %s",
                 course.modules[0])  # fmt: skip
    make_lesson(operator, course.modules[0], position=9, weight=3)
    learners[1].call("complete_lesson", p_lesson_id=course.all[1])
    settle(server, course, limit=2)
    assert drift(operator, [course.id]) == []
    make_lesson(operator, course.modules[0], position=10)
    assert drift(operator, [course.id]) == []


def test_lessons_that_move_between_courses_take_their_learners_along(
    operator: Actor, server: Actor, course: Course, learners: list[Actor]
) -> None:
    other = make_course(operator, [1])
    visitor = learners[4]
    operator.run("update public.lessons set module_id = %s where id = %s",
                 other.modules[0], course.all[0])  # fmt: skip
    settle(server, course)
    assert drift(operator, [course.id]) == []
    visitor.call("enroll", p_course_id=other.id)
    assert drift(operator, [course.id, other.id]) == []


def test_a_kill_in_the_middle_loses_nothing(
    operator: Actor, server: Actor, course: Course, learners: list[Actor]
) -> None:
    """A slice is a transaction; whoever takes the job next begins with what is left."""
    make_lesson(operator, course.modules[1], position=9)
    server.call("settle_course", p_course_id=course.id, p_limit=2)
    server.run("begin")
    server.call("settle_course", p_course_id=course.id, p_limit=2)
    server.run("rollback")
    assert settle(server, course) == [3]
    assert drift(operator, [course.id]) == []


def test_a_job_that_is_not_through_comes_back(
    operator: Actor, server: Actor, course: Course, learners: list[Actor]
) -> None:
    operator.run("delete from private.jobs")
    make_lesson(operator, course.modules[1], position=9)

    def lease() -> dict[str, Any]:
        (job,) = server.call("lease_jobs")["jobs"]
        assert (job["kind"], job["facts"]) == ("course.settle", {"course_id": course.id})
        return job  # type: ignore[no-any-return]

    job = lease()
    server.call("settle_course", p_course_id=course.id, p_limit=2)
    finish = "select public.finish_job(%s, %s, '{}')"
    assert server.one(finish, job["id"], job["lease"]) == {"finished": True}
    job = lease()
    settle(server, course)
    # Another edit comes while this one is about to report: its job waits under the same name.
    make_lesson(operator, course.modules[1], position=10)
    server.one(finish, job["id"], job["lease"])
    job = lease()
    settle(server, course)
    server.one(finish, job["id"], job["lease"])
    assert server.call("lease_jobs")["jobs"] == []
    assert drift(operator, [course.id]) == []


def test_recalculation_settles_and_does_not_call_it_drift(
    operator: Actor, server: Actor, course: Course, learners: list[Actor]
) -> None:
    make_lesson(operator, course.modules[1], position=9)
    done = server.call("recalculate", p_course_id=course.id)
    assert {found["by"] for found in done["drift"]} == {"catalog"}
    assert drift(operator, [course.id]) == []
    assert settle(server, course) == [0]
    assert (
        operator.run(
            "select from public.audit_log where course_id = %s"
            " and action = 'enrollment.recalculate'",
            course.id,
        )
        == []
    )


def test_imports_and_late_enrolments_find_everything_counted(
    operator: Actor, server: Actor, course: Course, learners: list[Actor]
) -> None:
    added = make_lesson(operator, course.modules[1], position=9)
    (late,) = make_users(operator)
    insert(operator, "enrollments", {"user_id": late, "course_id": course.id})
    rows = [
        {"line": 1, "user": str(user), "lesson": str(added), "status": "completed",
         "completed_at": "2024-01-01"}
        for user in (late, learners[4].user)
    ]  # fmt: skip
    server.one("select public.import_progress(%s, false)", Jsonb(rows))
    percents = operator.run(
        "select progress_percent as p from public.enrollments where user_id = any (%s)"
        " order by p", [late, learners[4].user],
    )  # fmt: skip
    assert [row["p"] for row in percents] == [20, 100]
    assert settle(server, course) == [4]
    assert drift(operator, [course.id]) == []
