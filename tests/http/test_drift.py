"""A learner's look at a course whose counters somebody has spoilt, by GET and by POST."""

from __future__ import annotations

import httpx

from tests.stack import Stack
from tests.support.catalog import make_course
from tests.support.learners import enroll, make_learners


def test_a_get_shows_what_a_post_mends(stack: Stack) -> None:
    course = make_course(stack, 4)
    [ann] = make_learners(stack, 1)
    enroll(stack, [ann], course.id)
    with ann.client() as me:
        me.complete_lesson(course.lessons[0])
        with stack.connect() as connection:
            connection.execute(
                "update public.enrollments set completed_lessons = 0, completed_weight = 0,"
                " progress_percent = 0 where user_id = %s",
                [ann.id],
            )
        where = f"{stack.api_url}/rest/v1/rpc/get_course_progress"
        for _ in range(2):
            shown = httpx.get(where, params={"p_course_id": course.id}, headers=ann.headers())
            assert (shown.status_code, shown.json()["percent"]) == (200, 0)
        mended = httpx.post(where, json={"p_course_id": course.id}, headers=ann.headers())
        assert (mended.status_code, mended.json()["percent"]) == (200, 25)
        shown = httpx.get(where, params={"p_course_id": course.id}, headers=ann.headers())
        assert shown.json() == mended.json()
