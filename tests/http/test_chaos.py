"""PostgREST and PostgreSQL killed in mid-load: 503, nothing acknowledged lost, back by itself."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from shared.client import WaymarkError
from tests.stack import Stack
from tests.support.catalog import Course, make_course
from tests.support.learners import Learner, make_learners

pytestmark = pytest.mark.chaos

LEARNERS = 10
LESSONS = 400
PATIENCE = 60.0  # seconds for the stack to come back, on a machine that others use too


def process(stack: Stack, part: str) -> int:
    """The process that runs a part of the stack under test; only our own stack tells."""
    running = Path(stack.extra("SIGNING_KEY_FILE")).with_name("running.json")
    if not running.exists():
        pytest.skip("this stack does not say which processes it runs")
    return int(json.loads(running.read_text())["processes"][part][0])


class Load:
    """Learners who complete lesson after lesson, whatever happens."""

    def __init__(self, learners: list[Learner], course: Course) -> None:
        self.course = course
        self.learners = learners
        self.stop = threading.Event()
        self.acknowledged: dict[str, set[str]] = {learner.id: set() for learner in learners}
        self.refusals: list[WaymarkError] = []
        self.last = 0.0  # when the latest completion was acknowledged

    def work(self, learner: Learner) -> None:
        """One learner's loop: a refused lesson is tried again until it is done."""
        with learner.client() as me:
            for lesson in self.course.lessons:
                while not self.stop.is_set():
                    try:
                        me.complete_lesson(lesson)
                    except WaymarkError as error:
                        self.refusals.append(error)
                        time.sleep(0.05)
                    else:
                        self.acknowledged[learner.id].add(lesson)
                        self.last = time.monotonic()
                        break

    @property
    def count(self) -> int:
        """How many completions were acknowledged."""
        return sum(map(len, self.acknowledged.values()))

    def until(self, count: int) -> None:
        """Wait for so many more acknowledgements."""
        goal, deadline = self.count + count, time.monotonic() + PATIENCE
        while self.count < goal:
            assert time.monotonic() < deadline, "the stack does not serve"
            time.sleep(0.02)


@pytest.mark.parametrize("part", ["postgrest", "database"])
def test_a_part_is_killed_in_mid_load(stack: Stack, part: str) -> None:
    learners = make_learners(stack, LEARNERS)
    course = make_course(stack, LESSONS)
    for learner in learners:
        with learner.client() as me:
            me.enroll(course.id)

    load = Load(learners, course)
    with ThreadPoolExecutor(LEARNERS) as pool:
        workers = [pool.submit(load.work, learner) for learner in learners]
        try:
            for _ in range(2):
                load.until(60)
                victim = process(stack, part)
                os.kill(victim, signal.SIGKILL)
                deadline = time.monotonic() + PATIENCE
                while process(stack, part) == victim:
                    assert time.monotonic() < deadline, "nobody started it again"
                    time.sleep(0.05)
                load.until(60)
        finally:
            load.stop.set()
        for worker in workers:
            worker.result()

    # In between they were told to come back, in our own words.
    assert load.refusals
    told = {(error.status, error.code) for error in load.refusals}
    assert told <= {(503, "database_unavailable"), (503, "try_again")}
    waits = {error.retry_after for error in load.refusals}
    assert all(wait and wait > 0 for wait in waits), waits

    with psycopg.connect(stack.db_url) as connection:
        for learner in learners:
            done = {
                str(row[0])
                for row in connection.execute(
                    "select lesson_id from public.user_progress"
                    " where user_id = %s and is_completed",
                    (learner.id,),
                )
            }
            assert load.acknowledged[learner.id] <= done
            # What was done without the learner hearing of it is whole, too.
            counted = connection.execute(
                "select completed_lessons from public.enrollments"
                " where user_id = %s and course_id = %s",
                (learner.id, course.id),
            ).fetchone()
            assert counted == (len(done),)
            events = connection.execute(
                "select count(*), count(distinct lesson_id) from public.progress_events"
                " where user_id = %s and kind = 'lesson_completed'",
                (learner.id,),
            ).fetchone()
            assert events == (len(done), len(done))
