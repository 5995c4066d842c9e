"""Learners who complete lessons through the functions, whatever happens to the stack."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from shared.client import WaymarkError
from tests.stack import Stack
from tests.support.catalog import Course, make_course
from tests.support.learners import Learner, enroll, make_learners

PATIENCE = 120.0  # seconds for the stack to come back, on a machine that others use too


class Load:
    """What they were told."""

    def __init__(self, stack: Stack, learners: list[Learner], course: Course) -> None:
        self.stack = stack
        self.course = course
        self.learners = learners
        self.stop = threading.Event()
        self.acknowledged: dict[str, set[str]] = {learner.id: set() for learner in learners}
        self.refusals: list[WaymarkError] = []

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

    def assert_told_to_come_back(self) -> None:
        """Whoever was refused was told so in our own words, and when to try again."""
        told = {(error.status, error.code) for error in self.refusals}
        assert told <= {(503, "database_unavailable"), (503, "try_again")}, told
        waits = {error.retry_after for error in self.refusals}
        assert all(wait and wait > 0 for wait in waits), waits

    def assert_whole(self) -> None:
        """Nothing acknowledged is lost, nothing is half there, and counters equal a recount."""
        with self.stack.connect() as connection:
            for learner in self.learners:
                done = {
                    str(row[0])
                    for row in connection.execute(
                        "select lesson_id from public.user_progress"
                        " where user_id = %s and is_completed",
                        (learner.id,),
                    )
                }
                assert self.acknowledged[learner.id] <= done
                # What was done without the learner hearing of it is whole, too.
                counted = connection.execute(
                    "select completed_lessons from public.enrollments"
                    " where user_id = %s and course_id = %s",
                    (learner.id, self.course.id),
                ).fetchone()
                assert counted == (len(done),)
                events = connection.execute(
                    "select count(*), count(distinct lesson_id) from public.progress_events"
                    " where user_id = %s and kind = 'lesson_completed'",
                    (learner.id,),
                ).fetchone()
                assert events == (len(done), len(done))
            assert_no_drift(self.stack, self.course.id)


def assert_no_drift(stack: Stack, course: int) -> None:
    """A recount of a course would change nothing."""
    with stack.connect() as connection:
        answer = connection.execute(
            "select public.recalculate(p_course_id => %s, p_dry_run => true)", (course,)
        ).fetchone()
        assert answer is not None
        assert (answer[0]["changed"], answer[0]["failed"]) == (0, []), answer[0]


def unfinished(stack: Stack) -> list[Any]:
    """Jobs that wait, or have died."""
    with stack.connect() as connection:
        return connection.execute("select kind, attempts, last_error from private.jobs").fetchall()


@contextmanager
def under_load(stack: Stack, learners: int, lessons: int) -> Iterator[Load]:
    """So many learners at work until the block ends."""
    people = make_learners(stack, learners)
    course = make_course(stack, lessons)
    enroll(stack, people, course.id)
    load = Load(stack, people, course)
    with ThreadPoolExecutor(learners) as pool:
        workers = [pool.submit(load.work, learner) for learner in people]
        try:
            yield load
        finally:
            load.stop.set()
        for worker in workers:
            worker.result()
