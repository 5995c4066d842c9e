"""A learner in a course, and the tests' way to run what is asynchronous."""

from __future__ import annotations

import httpx
import pytest

from tests.stack import Stack
from tests.support.catalog import Course, make_course
from tests.support.learners import Learner, enroll, make_learner


@pytest.fixture(autouse=True)
def _there_is_realtime(stack: Stack) -> None:
    with stack.connect() as connection:
        if connection.execute("select to_regclass('realtime.messages')").fetchone() == (None,):
            pytest.skip("this stack has no Realtime")


@pytest.fixture(scope="module")
def course(stack: Stack) -> Course:
    """Four plain lessons."""
    return make_course(stack, 4)


@pytest.fixture
def learner(stack: Stack, course: Course) -> Learner:
    """Somebody who is enrolled."""
    made = make_learner(stack)
    enroll(stack, [made], course.id)
    return made


def rpc(learner: Learner, name: str, **parameters: object) -> httpx.Response:
    """Call an RPC of the Data API as a learner."""
    return httpx.post(
        f"{learner.stack.api_url}/rest/v1/rpc/{name}", json=parameters, headers=learner.headers()
    ).raise_for_status()
