"""A learner's way through a course with the typed client, answers checked in value."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.client import WaymarkClient, WaymarkError
from tests.stack import Stack
from tests.support.catalog import make_course
from tests.support.learners import Learner, make_learner


def refusal(call: Any, *arguments: Any, **options: Any) -> WaymarkError:
    with pytest.raises(WaymarkError) as caught:
        call(*arguments, **options)
    assert caught.value.request_id
    return caught.value


def test_from_enrolment_to_the_end(stack: Stack, learner: Learner) -> None:
    course = make_course(stack, 3, 2)
    lessons = course.lessons
    with learner.client() as me:
        assert me.course(course.id) is None
        assert me.summary(course.id) is None
        assert me.module(course.id, course.modules[0].id) is None
        assert me.next_lesson(course.id) is None
        assert refusal(me.complete_lesson, lessons[0]).code == "not_enrolled"

        first = me.enroll(course.id)
        assert first["changed"]
        again = me.enroll(course.id)
        assert (again["changed"], again["enrollment"]) == (False, first["enrollment"])
        assert me.next_lesson(course.id)["lesson_id"] == lessons[0]
        assert me.lesson(lessons[0])["status"] == "not_started"

        started = me.start_lesson(lessons[0])
        assert started["progress"]["status"] == "in_progress"
        assert started["enrollment"]["current_lesson_id"] == lessons[0]

        for done, lesson in enumerate(lessons, 1):
            answer = me.complete_lesson(lesson)
            assert answer["changed"]
            assert answer["progress"]["is_completed"]
            assert answer["enrollment"]["completed_lessons"] == done
            assert answer["enrollment"]["progress_percent"] == 20 * done
            expected = lessons[done] if done < 5 else None
            assert answer["next_lesson_id"] == expected
            assert (answer["enrollment"]["completed_at"] is not None) == (done == 5)

            whole = me.course(course.id)
            assert (whole["total"], whole["completed"], whole["percent"]) == (5, done, 20 * done)
            assert whole["completed_lesson_ids"] == lessons[:done]
            summary = me.summary(course.id)
            assert (summary["completed"], summary["not_started"]) == (done, 5 - done)
            assert summary["current_lesson_id"] == lesson
            module = me.module(course.id, course.modules[0].id)
            assert module["completed"] == min(done, 3)
            assert module["status"] == ("completed" if done >= 3 else "in_progress")

        end = me.next_lesson(course.id)
        assert (end["lesson_id"], end["review"]) == (lessons[0], True)
        repeat = me.complete_lesson(lessons[2])
        assert not repeat["changed"]
        assert repeat["enrollment"]["completed_at"] == me.summary(course.id)["completed_at"]

        recount = me.recalculate(first["enrollment"]["id"])
        assert (recount["old_percent"], recount["progress_percent"]) == (100, 100)
        assert (recount["checked"], recount["changed"]) == (1, 0)

    # Another device, another day: nothing of this hangs on a session.
    with learner.client() as later:
        found = later.course(course.id)
        assert found is not None
        assert found["percent"] == 100


def test_back_and_forth(stack: Stack, learner: Learner) -> None:
    course = make_course(stack, 2)
    lesson = course.lessons[0]
    with learner.client() as me:
        me.enroll(course.id)
        first = me.complete_lesson(lesson)["progress"]["completed_at"]
        back = me.uncomplete_lesson(lesson, "marked by mistake")
        assert back["changed"]
        assert back["enrollment"]["progress_percent"] == 0
        assert back["next_lesson_id"] == lesson
        assert not me.uncomplete_lesson(lesson)["changed"]
        assert me.complete_lesson(lesson)["progress"]["completed_at"] >= first


def test_a_client_that_holds_state(stack: Stack, learner: Learner) -> None:
    # Of a video, how far it is follows from what was watched.
    course = make_course(stack, [{"duration_seconds": 100, "type": "article"}, {}])
    lesson = course.lessons[0]
    with learner.client() as me:
        me.enroll(course.id)
        touched = me.put_lesson(lesson)
        assert touched["progress"]["status"] == "in_progress"
        now = datetime.now(UTC)
        moved = me.put_lesson(lesson, position_seconds=40, progress=0.4, last_accessed=now)
        assert (moved["progress"]["position_seconds"], moved["progress"]["progress"]) == (40, 0.4)
        late = me.put_lesson(
            lesson, position_seconds=5, progress=0.1, last_accessed=now - timedelta(days=1)
        )
        assert (late["progress"]["position_seconds"], late["progress"]["progress"]) == (40, 0.4)
        assert not late["changed"]
        done = me.put_lesson(lesson, status="completed", position_seconds=5000)
        assert done["progress"]["position_seconds"] == 100
        assert done["enrollment"]["progress_percent"] == 50
        kept = me.put_lesson(lesson, status="not_started")
        assert kept["progress"]["status"] == "completed"


def test_modules(stack: Stack, learner: Learner) -> None:
    viewed = {"completion_rule": "view", "min_view_seconds": 30}
    course = make_course(stack, [{}, {"is_preview": True}, viewed, {}], 1)
    module, lessons = course.modules[0].id, course.lessons
    with learner.client() as me:
        me.enroll(course.id)
        assert me.start_module(module)["progress"]["lesson_id"] == lessons[0]
        answer = me.complete_module(module)
        assert answer["completed_lesson_ids"] == [lessons[0], lessons[3]]
        (left,) = answer["open"]
        assert (left["lesson_id"], left["code"]) == (lessons[2], "rule_not_met")
        assert answer["module"]["completed"] == 2
        again = me.complete_module(module)
        assert (again["changed"], again["completed_lesson_ids"]) == (False, [])


def test_refusals_carry_what_is_missing(stack: Stack, learner: Learner) -> None:
    viewed = {"completion_rule": "view", "min_view_seconds": 30}
    course = make_course(stack, [{"is_preview": True}, viewed])
    draft = make_course(stack, 1, status="draft")
    invited = make_course(stack, 1, enrollment_mode="invite")
    with learner.client() as me:
        me.enroll(course.id)
        assert refusal(me.complete_lesson, course.lessons[0]).code == "preview_lesson"
        error = refusal(me.complete_lesson, course.lessons[1])
        assert (error.code, error.status) == ("rule_not_met", 422)
        assert error.details["needed"] == 30
        assert refusal(me.enroll, draft.id).code == "course_not_found"
        assert refusal(me.enroll, invited.id).code == "enrollment_closed"
        assert refusal(me.lesson, draft.lessons[0]).code == "lesson_not_found"
        assert refusal(me.put_lesson, course.lessons[1], position_seconds=-1).status == 422
        assert refusal(me.recalculate_course, course.id).code == "not_allowed"
        assert refusal(me.recalculate_all).code == "not_allowed"


def test_nobody_reads_or_moves_anothers_progress(stack: Stack, learner: Learner) -> None:
    course, stranger = make_course(stack, 2), make_learner(stack)
    with learner.client() as me, stranger.client() as other:
        enrollment = me.enroll(course.id)["enrollment"]
        me.complete_lesson(course.lessons[0])
        assert other.course(course.id) is None
        assert other.lesson(course.lessons[0])["status"] == "not_started"
        assert refusal(other.recalculate, enrollment["id"]).code == "enrollment_not_found"
        other.enroll(course.id)
        found = other.course(course.id)
        assert found is not None
        assert found["completed"] == 0
        mine = me.course(course.id)
        assert mine is not None
        assert mine["completed"] == 1


def test_the_asynchronous_client_does_the_same(stack: Stack, learner: Learner) -> None:
    course = make_course(stack, 4)

    async def work() -> list[bool]:
        async with learner.async_client() as me:
            await me.enroll(course.id)
            answers = await asyncio.gather(*(me.complete_lesson(x) for x in course.lessons))
            summary = await me.summary(course.id)
            assert summary is not None
            assert (summary["percent"], summary["completed"]) == (100, 4)
            return [answer["changed"] for answer in answers]

    assert asyncio.run(work()) == [True] * 4


def test_the_same_completion_many_times_at_once(stack: Stack, learner: Learner) -> None:
    course = make_course(stack, 2)
    with learner.client() as me, ThreadPoolExecutor(20) as pool:
        me.enroll(course.id)
        answers = list(pool.map(lambda _: me.complete_lesson(course.lessons[0]), range(200)))
    assert sum(answer["changed"] for answer in answers) == 1
    assert {answer["progress"]["completed_at"] for answer in answers} == {
        answers[0]["progress"]["completed_at"]
    }
    with stack.connect() as connection:
        (events,) = connection.execute(
            "select count(*) from public.progress_events"
            " where user_id = %s and lesson_id = %s and kind = 'lesson_completed'",
            (learner.id, course.lessons[0]),
        ).fetchone() or (0,)
    assert events == 1


def test_admins_recalculate_in_slices(stack: Stack) -> None:
    course = make_course(stack, 2)
    learners = [make_learner(stack) for _ in range(5)]
    for learner in learners:
        with learner.client() as me:
            me.enroll(course.id)
            me.complete_lesson(course.lessons[0])
    with WaymarkClient(stack.functions_url, stack.service_role_key) as admin:
        checked, cursor = 0, None
        while True:
            part = admin.recalculate_course(course.id, cursor=cursor, limit=2, dry_run=True)
            assert part["changed"] == 0
            checked += part["checked"]
            cursor = part["cursor"]
            if cursor is None:
                break
    assert checked == 5
