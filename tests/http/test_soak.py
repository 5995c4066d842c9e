"""Half an hour of everything that learners and staff do: nothing fails, nothing grows.

A fixed number of learners goes through courses again and again, with pauses between the calls, so
that the machine is busy and not saturated. The first third warms up; of the rest the end is
compared with the middle.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from statistics import median
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

from shared.client import AsyncWaymarkClient
from tests.local.second import Second
from tests.stack import REQUIRED, Stack
from tests.support.catalog import Course, make_course
from tests.support.learners import Learner, make_learners
from tests.support.load import assert_no_drift, unfinished
from tests.support.processes import Held, held

MINUTES = float(os.environ.get("WAYMARK_TEST_MINUTES", "30"))
LEARNERS = 12
EVERY = 10.0  # seconds between two looks
PAUSE = 0.3  # seconds between a learner's calls, on the average
PARTS = ("functions", "worker", "postgrest", "database", "gateway")
QUIZ = {
    "questions": [
        {"id": f"q{n}", "kind": "true_false", "text": "So?", "correct": True} for n in range(3)
    ]
}
QUIZ_LESSON = {"type": "quiz", "completion_rule": "pass"}
ANSWERS = [{"question_id": f"q{n}", "answer": True} for n in range(3)]
GROWTH = 1.1


@pytest.fixture
def second() -> Iterator[Second]:
    stack = Second()
    stack.up()
    try:
        yield stack
    finally:
        stack.dev("reset", "--no-start")


class Soak:
    """Who does what, and what was acknowledged."""

    def __init__(self, stack: Stack, courses: list[Course]) -> None:
        self.stack = stack
        self.courses = courses
        self.calls: Counter[str] = Counter()
        self.faults: list[str] = []
        # (learner, course, cycle, lesson)
        self.completed: set[tuple[str, int, int, str]] = set()
        self.codes: list[str] = []
        self.until = time.monotonic() + MINUTES * 60

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self.until

    async def learn(self, learner: Learner, chance: random.Random) -> None:
        """One learner, course after course."""
        async with learner.async_client() as me:
            while not self.is_over:
                course = chance.choice(self.courses)
                answer = await self._do("enroll", me.enroll(course.id), chance)
                if answer["enrollment"]["completed_at"] is not None:
                    answer = await self._do("retake", me.retake(course.id), chance)
                cycle = answer["enrollment"]["cycle"]
                done = {
                    lesson
                    for user, number, run, lesson in self.completed
                    if (user, number, run) == (learner.id, course.id, cycle)
                }
                for lesson in course.lessons:
                    if self.is_over:
                        return
                    if lesson not in done:
                        await self._lesson(me, course, lesson, chance)
                        self.completed.add((learner.id, course.id, cycle, lesson))
                found = await self._do("certificates", me.certificates(), chance)
                self.codes = [row["code"] for row in found["certificates"]]

    async def _lesson(
        self, me: AsyncWaymarkClient, course: Course, lesson: str, chance: random.Random
    ) -> None:
        await self._do("start", me.start_lesson(lesson), chance)
        session = str(uuid.uuid4())
        for seconds in range(1, chance.randint(2, 4)):
            heartbeat = me.view_lesson(lesson, session, seconds, position_seconds=seconds)
            await self._do("view", heartbeat, chance)
        if lesson == course.lessons[-1]:
            answer = await self._do("quiz", me.submit_quiz(lesson, ANSWERS), chance)
            assert answer["attempt"]["passed"], answer
        elif chance.random() < 0.2:
            now = datetime.now(UTC).isoformat()
            event = {"id": str(uuid.uuid4()), "kind": "complete", "lesson_id": lesson, "at": now}
            answer = await self._do("batch", me.apply_events([event, event]), chance)
            assert answer["results"][0]["status"] == "applied", answer
        else:
            await self._do("complete", me.complete_lesson(lesson), chance)
        look = chance.choice(["dashboard", "course", "summary", "next"])
        ask = {
            "dashboard": lambda: me.dashboard(),
            "course": lambda: me.course(course.id),
            "summary": lambda: me.summary(course.id),
            "next": lambda: me.next_lesson(course.id),
        }
        await self._do(look, ask[look](), chance)

    async def teach(self, teacher: Learner, chance: random.Random) -> None:
        """One instructor, who looks at reports, and a visitor, who checks certificates."""
        async with (
            teacher.async_client(timeout=30) as me,
            httpx.AsyncClient(timeout=30, headers={"Accept": "text/html"}) as visitor,
        ):
            while not self.is_over:
                course = chance.choice(self.courses)
                await self._do("report", me.course_report(course.id), chance)
                await self._do("lesson report", me.lesson_report(course.id), chance)
                await self._do("report page", me.report_page(course.id), chance)
                await self._do("learners", me.learners(course.id), chance)
                for code in self.codes[:1]:
                    url = f"{self.stack.functions_url}/certificates/verify/{code}"
                    page = await self._do("verify", visitor.get(url), chance)
                    assert page.status_code == 200, page.text
                await asyncio.sleep(1)

    async def _do(self, what: str, call: Any, chance: random.Random) -> Any:
        self.calls[what] += 1
        try:
            answer = await call
        except Exception as error:
            self.faults.append(f"{what}: {error!r}")
            raise
        await asyncio.sleep(chance.uniform(0, 2 * PAUSE))
        return answer


class Watch:
    """Looks at the parts every few seconds."""

    def __init__(self, second: Second) -> None:
        self._pids = second.pids()
        self._connection = second.connect()
        self.held: dict[str, list[Held]] = {part: [] for part in PARTS}
        self.connections: list[int] = []

    async def look(self, soak: Soak) -> None:
        """Until it is over."""
        while not soak.is_over:
            await asyncio.sleep(EVERY)
            for part in PARTS:
                self.held[part].append(held(self._pids[part]))
            row = self._connection.execute(
                "select count(*) from pg_stat_activity where backend_type = 'client backend'"
            ).fetchone()
            assert row is not None
            self.connections.append(row[0])

    def close(self) -> None:
        with suppress(psycopg.Error):
            self._connection.close()


def assert_flat(what: str, values: list[int], growth: float) -> str:
    """The last third is no higher than the middle one, but for noise; the medians of both."""
    third = len(values) // 3
    middle, last = values[third : 2 * third], values[2 * third :]
    assert median(last) <= growth * max(median(middle), 1), f"{what} grows: {values}"
    return f"{what} {median(middle):.0f} → {median(last):.0f}"


@pytest.mark.long
def test_nothing_grows(second: Second) -> None:
    stack = Stack(**{name.lower(): second[name] for name in REQUIRED})
    courses = [make_course(stack, 3, [{}, QUIZ_LESSON], max_cycles=1000) for _ in range(3)]
    *learners, teacher = make_learners(stack, LEARNERS + 1)
    with stack.connect() as connection:
        for course in courses:
            connection.execute(
                "insert into public.course_staff values (%s, %s, 'instructor')",
                (course.id, teacher.id),
            )
            connection.execute("select public.set_quiz(%s, %s)", (course.lessons[-1], Jsonb(QUIZ)))
    soak, watch = Soak(stack, courses), Watch(second)
    before = second.pids()

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            for number, learner in enumerate(learners):
                group.create_task(soak.learn(learner, random.Random(number)))
            group.create_task(soak.teach(teacher, random.Random(99)))
            group.create_task(watch.look(soak))

    try:
        asyncio.run(run())
    finally:
        watch.close()
    assert soak.faults == []
    assert second.pids() == before, "a part has died"

    flat = [assert_flat("connections", watch.connections, GROWTH)]
    for part, found in watch.held.items():
        flat.append(assert_flat(f"{part} kB", [one.memory for one in found], GROWTH))
        flat.append(assert_flat(f"{part} files", [one.files for one in found], GROWTH))
    print(f"{soak.calls.total()} calls: {dict(soak.calls)}")
    print(f"{len(soak.completed)} completions; {'; '.join(flat)}")

    for course in courses:
        assert_no_drift(stack, course.id)
    with stack.connect() as connection:
        told = connection.execute(
            "select user_id::text, course_id, cycle, lesson_id::text from public.progress_events"
            " where kind = 'lesson_completed'"
        ).fetchall()
    assert len(told) == len(set(told))
    assert soak.completed <= set(told)
    deadline = time.monotonic() + 60
    while (jobs := unfinished(stack)) != [] and time.monotonic() < deadline:
        time.sleep(1)
    assert jobs == [], "the worker has not kept up"
