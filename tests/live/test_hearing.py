"""What a learner hears, with the unchanged client and with either version of the protocol."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from realtime import AsyncRealtimeClient, RealtimeSubscribeStates

from tests.live.conftest import rpc
from tests.live.listener import listening
from tests.stack import Stack
from tests.support.catalog import Course
from tests.support.learners import Learner, make_learner


@pytest.mark.parametrize("version", ["1.0.0", "2.0.0"])
def test_a_completion_is_one_message_with_what_it_changed(
    stack: Stack, learner: Learner, course: Course, version: str
) -> None:
    async def hear() -> list[dict[str, Any]]:
        async with listening(stack, version) as listener:
            assert await listener.join(f"waymark:{learner.id}", learner.token()) == "ok"
            for lesson in course.lessons[:2]:
                rpc(learner, "complete_lesson", p_lesson_id=lesson)
            return [await listener.news() for _ in range(2)]

    first, second = asyncio.run(hear())
    assert first["event"] == second["event"] == "progress"
    assert first["type"] == "broadcast"
    progress, enrollment = first["payload"]["progress"], first["payload"]["enrollment"]
    assert (progress["lesson_id"], progress["course_id"]) == (course.lessons[0], course.id)
    assert (progress["status"], progress["progress"]) == ("completed", 1)
    assert (enrollment["completed_lessons"], enrollment["total_lessons"]) == (1, 4)
    assert enrollment["progress_percent"] == 25
    assert enrollment["completed_at"] is None
    assert second["payload"]["progress"]["lesson_id"] == course.lessons[1]
    assert second["payload"]["enrollment"]["progress_percent"] == 50


def test_the_python_client_hears_a_course_finished(
    stack: Stack, learner: Learner, course: Course
) -> None:
    async def hear() -> list[str]:
        client = AsyncRealtimeClient(
            f"{stack.api_url}/realtime/v1", stack.publishable_key, auto_reconnect=False
        )
        joined = asyncio.Event()
        events: list[str] = []
        done = asyncio.Event()

        def on_state(state: RealtimeSubscribeStates, error: Exception | None) -> None:
            if state == RealtimeSubscribeStates.SUBSCRIBED:
                joined.set()

        def on_news(message: Any) -> None:
            events.append(message["event"])
            if {"certificate", "notification"} <= set(events):
                done.set()

        await client.connect()
        await client.set_auth(learner.token())
        channel = client.channel(f"waymark:{learner.id}", {"config": {"private": True}})
        for event in ("progress", "certificate", "notification"):
            channel.on_broadcast(event, on_news)
        await channel.subscribe(on_state)
        await asyncio.wait_for(joined.wait(), 10)
        for lesson in course.lessons:
            await asyncio.to_thread(rpc, learner, "complete_lesson", p_lesson_id=lesson)
        await asyncio.wait_for(done.wait(), 10)
        await client.close()
        return events

    events = asyncio.run(hear())
    assert events.count("progress") == 4
    assert events.count("certificate") == 1


def test_what_changes_nothing_says_nothing_and_heartbeats_never_do(
    stack: Stack, learner: Learner, course: Course
) -> None:
    lesson = course.lessons[1]

    def told() -> int:
        with stack.connect() as connection:
            row = connection.execute(
                "select count(*) from realtime.messages where topic = %s",
                (f"waymark:{learner.id}",),
            ).fetchone()
        assert row
        return int(row[0])

    rpc(learner, "start_lesson", p_lesson_id=lesson)
    before = told()
    # The enrolment, and the lesson that was opened.
    assert before == 2
    rpc(learner, "start_lesson", p_lesson_id=lesson)
    session = "6c8f6f0e-0d51-4a8e-9c39-1f9c8a3b5d10"
    rpc(learner, "view_lesson", p_lesson_id=lesson, p_session_id=session, p_seconds=1)
    with stack.connect() as connection:
        row = connection.execute(
            "select view_time_seconds from public.user_progress"
            " where user_id = %s and lesson_id = %s",
            (learner.id, lesson),
        ).fetchone()
    assert row
    assert row[0] >= 1
    assert told() == before
    rpc(learner, "complete_lesson", p_lesson_id=lesson)
    assert told() == before + 1
    rpc(learner, "complete_lesson", p_lesson_id=lesson)
    assert told() == before + 1


def test_a_mass_of_changes_is_not_told_one_by_one(stack: Stack, course: Course) -> None:
    """Bounded in a transaction; an edit of the course, which settles everybody, tells nobody."""
    with stack.connect() as connection:

        def told() -> int:
            connection.execute("set constraints all immediate")
            connection.execute("set constraints all deferred")
            row = connection.execute("select count(*) from realtime.messages").fetchone()
            assert row
            return int(row[0])

        before = told()
        connection.execute(
            "with made as (insert into auth.users (id, email)"
            " select gen_random_uuid(), gen_random_uuid() || '@example.com'"
            " from generate_series(1, 50) returning id)"
            " insert into public.enrollments (user_id, course_id) select id, %s from made",
            (course.id,),
        )
        assert told() == before + 32
        connection.execute("select set_config('waymark.told', '0', true)")
        connection.execute(
            "update public.lessons set weight = 7 where id = %s", (course.lessons[3],)
        )
        changed = connection.execute(
            "select count(*) from public.enrollments where course_id = %s and total_weight = 10",
            (course.id,),
        ).fetchone()
        assert changed
        assert changed[0] >= 50
        assert told() == before + 32
        connection.rollback()


def test_staff_are_heard_by_the_learner_whom_it_is_about(
    stack: Stack, learner: Learner, course: Course
) -> None:
    other = make_learner(stack)

    async def hear() -> dict[str, Any]:
        async with listening(stack) as listener:
            assert await listener.join(f"waymark:{learner.id}", learner.token()) == "ok"
            with stack.connect() as connection:
                connection.execute(
                    "update public.enrollments set status = 'withdrawn' where user_id = %s",
                    (learner.id,),
                )
            return await listener.news()

    news = asyncio.run(hear())
    assert news["event"] == "progress"
    assert news["payload"]["progress"] is None
    assert news["payload"]["enrollment"]["status"] == "withdrawn"
    assert other.id not in str(news)
