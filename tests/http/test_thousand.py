"""A thousand learners at once, each on a connection of their own, with people's pauses."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time
from collections import Counter

import pytest

from bench.client import Connection
from tests.stack import Stack
from tests.support.catalog import make_course
from tests.support.learners import Learner, make_learners
from tests.support.load import assert_no_drift

LEARNERS = int(os.environ.get("WAYMARK_TEST_LEARNERS", "1000"))
PAUSE = float(os.environ.get("WAYMARK_TEST_PAUSE", "15"))  # seconds between two calls, on average
LESSONS = 2


@pytest.mark.long
def test_a_thousand_learners_at_once(stack: Stack) -> None:
    url = stack.extra("FUNCTIONS_DIRECT_URL")
    course = make_course(stack, LESSONS)
    learners = make_learners(stack, LEARNERS)
    calls = [f"progress/courses/{course.id}/enroll"]
    calls += [f"progress/lessons/{lesson}/complete" for lesson in course.lessons]
    statuses: Counter[int] = Counter()
    latencies: list[float] = []
    done = 0

    async def learn(learner: Learner, chance: random.Random) -> None:
        nonlocal done
        head = "".join(f"{name}: {value}\r\n" for name, value in learner.headers().items())
        connection = Connection.to(url)
        for call in calls:
            await asyncio.sleep(chance.uniform(0, 2 * PAUSE))
            request = f"POST /{call} HTTP/1.1\r\nHost: x\r\n{head}Content-Length: 0\r\n\r\n"
            sent = time.perf_counter()
            statuses[await connection.send(request.encode())] += 1
            latencies.append(time.perf_counter() - sent)
        done += 1
        if done == LEARNERS:
            everybody.set()
        await everybody.wait()  # A connection lasts until all are done.
        connection.close()

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            for number, learner in enumerate(learners):
                group.create_task(learn(learner, random.Random(number)))

    everybody = asyncio.Event()
    began = time.monotonic()
    asyncio.run(run())
    took = time.monotonic() - began
    ordered = statistics.quantiles(latencies, n=100)
    print(
        f"{LEARNERS} learners, {len(latencies)} calls in {took:.0f} s: {dict(statuses)};"
        f" ms: p50 {1000 * ordered[49]:.0f}, p99 {1000 * ordered[98]:.0f},"
        f" most {1000 * max(latencies):.0f}"
    )
    assert statuses == {200: LEARNERS * len(calls)}
    with stack.connect() as connection:
        row = connection.execute(
            "select count(*), min(completed_lessons), min(progress_percent)"
            " from public.enrollments where course_id = %s",
            (course.id,),
        ).fetchone()
    assert row == (LEARNERS, LESSONS, 100)
    assert_no_drift(stack, course.id)
