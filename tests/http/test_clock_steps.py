"""The system's clock is set an hour back, a day ahead and right again, while learners work."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from shared.client import WaymarkClient, WaymarkError
from tests.stack import REQUIRED, Stack
from tests.support.catalog import make_course
from tests.support.faketime import ShiftedStack, shifted_stack
from tests.support.learners import make_learner, make_learners
from tests.support.load import assert_no_drift, under_load, unfinished

STEPS = ("-1h", "+1d", "-1h", "+0")
DAY = 86400
SLACK = 60  # what docs/explanation/watch-time.md tolerates
WEEK = 604800

pytestmark = pytest.mark.long


def stack_of(second: ShiftedStack) -> Stack:
    return Stack(**{name.lower(): second[name] for name in REQUIRED})


def watch(me: WaymarkClient, lesson: str) -> int:
    """Claim a week of watching, and return how many seconds are credited by now."""
    while True:
        try:
            answer = me.view_lesson(lesson, str(uuid.uuid4()), WEEK)
        except WaymarkError as error:
            # A bucket that was taken from tomorrow is empty, and fills within seconds.
            if error.code != "rate_limited" or not error.retry_after or error.retry_after > 5:
                raise
            time.sleep(error.retry_after)
        else:
            return int(answer["progress"]["view_time_seconds"])


def test_the_clock_of_the_database_goes_back_and_forth() -> None:
    with shifted_stack("database") as second:
        stack = stack_of(second)
        watched, again = make_course(stack, 1), make_course(stack, 1, max_cycles=1000)
        [watcher, returner, late] = make_learners(stack, 3)
        with watcher.client(retries=9) as me, returner.client(retries=9) as other:
            me.enroll(watched.id)
            began = time.monotonic()
            credits = []
            other.enroll(again.id)
            with under_load(stack, 4, 400) as load:
                for _ in range(2):
                    for step in STEPS:
                        second.shift(step)
                        load.until(20)
                        credit = watch(me, watched.lessons[0])
                        # Whoever begins again while the clock is ahead goes on when it is right.
                        other.complete_lesson(again.lessons[0])
                        other.retake(again.id)
                    credits.append((credit, time.monotonic() - began))
                with late.client(retries=9) as third:  # a certificate is asked for on the next day
                    second.shift("+1d")
                    third.enroll(again.id)
                    third.complete_lesson(again.lessons[0])
                    second.shift("+0")
            streak = me.dashboard()
        load.assert_told_to_come_back()
        load.assert_whole()
        for course in (watched, again):
            assert_no_drift(stack, course.id)

        # A day is gained by a clock that goes ahead by a day, once, and no more by doing it again.
        (first, then), (second_time, now) = credits
        # Of tolerance there is one at the enrolment, and one for each of two steps back.
        assert DAY < first <= DAY + then + 3 * SLACK
        assert second_time - first <= now - then + 2 * SLACK
        assert streak["streak"]["current_days"] <= 3, streak

        deadline = time.monotonic() + 90
        while (jobs := unfinished(stack)) and time.monotonic() < deadline:
            time.sleep(1)
        assert jobs == []
        assert_all_events_are_read(stack)
        print(f"{load.count} completions acknowledged, {len(load.refusals)} refused")


def assert_all_events_are_read(stack: Stack) -> None:
    """Page by page comes everything that is there."""
    read: list[Any] = []
    with stack.connect(autocommit=True) as connection:
        cursor = None
        while True:
            row = connection.execute(
                "select public.get_events(%s::text, 100)", (cursor,)
            ).fetchone()
            assert row is not None
            if not row[0]["events"]:
                break
            read += [event["id"] for event in row[0]["events"]]
            cursor = row[0]["cursor"]
        there = connection.execute("select id from public.progress_events").fetchall()
    assert len(read) == len(set(read))
    assert set(read) == {row[0] for row in there}


def test_the_clock_of_the_functions_goes_back_and_forth() -> None:
    with shifted_stack("functions") as second:
        stack = stack_of(second)
        course = make_course(stack, 4)
        learner = make_learner(stack)
        with learner.client() as me:
            me.enroll(course.id)
            for lesson in course.lessons:
                second.shift("+1d")
                with pytest.raises(WaymarkError, match="invalid_token") as caught:
                    me.complete_lesson(lesson)
                assert caught.value.status == 401
                # One that was valid a moment ago still is; one from the future is not yet.
                second.shift("-1h")
                now = int(time.time())
                token = learner.token(iat=now, exp=now + 600, jti=lesson)
                key = stack.publishable_key
                with WaymarkClient(stack.functions_url, token, apikey=key) as other:
                    with pytest.raises(WaymarkError, match="invalid_token") as caught:
                        other.complete_lesson(lesson)
                    assert caught.value.status == 401
                    second.shift("+0")
                    assert other.complete_lesson(lesson)["changed"]
                assert not me.complete_lesson(lesson)["changed"]
            found = me.course(course.id)
            assert found is not None
            assert found["percent"] == 100
        assert_no_drift(stack, course.id)
