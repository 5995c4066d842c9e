"""Requests and answers lost, doubled and late between functions and PostgREST: nothing acknowledged
is lost, nothing is done twice, counters equal a recount."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from local.bootstrap import ROOT
from tests.deploy.test_image import environment, started
from tests.stack import Stack
from tests.support.catalog import make_course
from tests.support.faulty import FAULTS, faulty_wire
from tests.support.learners import Learner, make_learners

SEED = int(os.environ.get("WAYMARK_TEST_SEED", "1"))
LEARNERS = 8


def finish(client: httpx.Client, learner: Learner, course: int, lessons: list[str]) -> set[str]:
    """One learner through the course, each command until it is acknowledged; what was."""
    done = set()
    commands = [("enroll", f"/progress/courses/{course}/enroll")]
    commands += [(lesson, f"/progress/lessons/{lesson}/complete") for lesson in lessons]
    for what, path in commands:
        for _ in range(100):
            answer = client.post(path, headers=learner.headers(), timeout=30)
            if answer.status_code == 200:
                done.add(what)
                break
            assert (answer.status_code, answer.json()["code"]) in (
                (503, "database_unavailable"),
                (503, "try_again"),
            )
            assert int(answer.headers["retry-after"]) > 0
            time.sleep(0.02)
    return done - {"enroll"}


@pytest.mark.long
def test_a_network_that_loses_and_doubles(stack: Stack) -> None:
    rest = urlsplit(stack.extra("POSTGREST_URL"))
    lessons = int(os.environ.get("WAYMARK_TEST_STEPS", "400")) // LEARNERS
    course = make_course(stack, lessons)
    learners = make_learners(stack, LEARNERS)
    assert rest.hostname
    assert rest.port
    with faulty_wire(rest.hostname, rest.port, SEED) as wire:
        given = {**environment(stack), "FUNCTION_TARGET": "waymark", "POSTGREST_URL": wire.url}
        with (
            started(ROOT, ["functions-framework"], given) as client,
            ThreadPoolExecutor(LEARNERS) as pool,
        ):
            acknowledged = list(
                pool.map(
                    lambda learner: finish(client, learner, course.id, course.lessons), learners
                )
            )
    assert all(wire.faults[fault] > 5 for fault in FAULTS), wire.faults
    print(f"{wire.faults.total()} requests: {dict(wire.faults)}")
    with stack.connect() as connection:
        for learner, told in zip(learners, acknowledged, strict=True):
            assert told == set(course.lessons)
            [counted] = connection.execute(
                "select completed_lessons, progress_percent, cycle from public.enrollments"
                " where user_id = %s",
                (learner.id,),
            ).fetchall()
            assert counted == (lessons, 100, 1)
            [events] = connection.execute(
                "select count(*), count(distinct lesson_id) from public.progress_events"
                " where user_id = %s and kind = 'lesson_completed'",
                (learner.id,),
            ).fetchall()
            assert events == (lessons, lessons)
            [certificates] = connection.execute(
                "select count(*) from public.certificates where user_id = %s", (learner.id,)
            ).fetchall()
            assert certificates == (1,)
        answer = connection.execute(
            "select public.recalculate(p_course_id => %s, p_dry_run => true)", (course.id,)
        ).fetchone()
        assert answer is not None
        assert (answer[0]["changed"], answer[0]["failed"]) == (0, [])
