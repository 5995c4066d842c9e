"""Promise 1 through all doors at once: two hundred clients, one completion."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx

from tests.database.actors import Actor, drift, make_course
from tests.stack import Stack
from tests.support.learners import make_learner


def test_two_hundred_completions_are_one(stack: Stack) -> None:
    operator = Actor(stack)
    try:
        course = make_course(operator, [2])
        learner = make_learner(stack)
        lesson = course.all[0]

        async def race() -> list[httpx.Response]:
            limits = httpx.Limits(max_connections=200)
            url = f"{stack.functions_url}/progress"
            async with httpx.AsyncClient(
                headers=learner.headers(), limits=limits, timeout=60
            ) as client:
                enrolled = await client.post(f"{url}/courses/{course.id}/enroll")
                assert enrolled.status_code == 200, enrolled.text
                jobs = [client.post(f"{url}/lessons/{lesson}/complete") for _ in range(200)]
                return await asyncio.gather(*jobs)

        answers = asyncio.run(race())
        assert Counter(answer.status_code for answer in answers) == {200: 200}
        bodies = [answer.json() for answer in answers]
        assert sum(body["changed"] for body in bodies) == 1
        assert len({body["progress"]["completed_at"] for body in bodies}) == 1
        assert {body["enrollment"]["progress_percent"] for body in bodies} == {50}
        assert {body["next_lesson_id"] for body in bodies} == {str(course.all[1])}
        counted = operator.run(
            "select (select count(*) from public.user_progress where user_id = %s) as rows, "
            "(select count(*) from public.progress_events where user_id = %s "
            "and kind = 'lesson_completed') as events",
            learner.id,
            learner.id,
        )
        assert counted == [{"rows": 1, "events": 1}]
        assert drift(operator, [course.id]) == []
    finally:
        operator.close()
