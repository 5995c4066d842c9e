"""supabase-py as a site's own server may use it: functions for commands, REST for reads."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from postgrest.exceptions import APIError
from supabase_functions.errors import FunctionsHttpError

from supabase import Client, ClientOptions, create_client
from tests.stack import Stack
from tests.support.catalog import make_course
from tests.support.learners import Learner, make_learner

# supabase-py calls its own parts in ways that it has deprecated itself.
pytestmark = pytest.mark.filterwarnings("ignore:The '(timeout|verify)':DeprecationWarning")


def acting_as(stack: Stack, learner: Learner | None, http: httpx.Client) -> Client:
    # The local Auth's time stamps are not to supabase-py's liking at sign-in: bring a token along.
    headers = {"Authorization": f"Bearer {learner.token()}"} if learner else {}
    options = ClientOptions(
        headers=headers, auto_refresh_token=False, persist_session=False, httpx_client=http
    )
    return create_client(stack.api_url, stack.publishable_key, options)


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client() as client:
        yield client


@pytest.fixture
def client(stack: Stack, learner: Learner, http: httpx.Client) -> Client:
    return acting_as(stack, learner, http)


def test_commands_and_reads(stack: Stack, client: Client, learner: Learner) -> None:
    course = make_course(stack, 2)
    client.functions.invoke(f"progress/courses/{course.id}/enroll")
    raw = client.functions.invoke(f"progress/lessons/{course.lessons[0]}/complete")
    assert json.loads(raw)["enrollment"]["progress_percent"] == 50

    rows = client.table("user_progress").select("lesson_id, status, user_id").execute().data
    assert rows == [{"lesson_id": course.lessons[0], "status": "completed", "user_id": learner.id}]
    found = client.rpc("get_course_progress", {"p_course_id": course.id}).execute().data
    assert found["percent"] == 50
    with make_learner(stack).client() as other:
        other.enroll(course.id)
        other.complete_lesson(course.lessons[1])
    assert len(client.table("user_progress").select("lesson_id").execute().data) == 1


def test_refusals(stack: Stack, client: Client) -> None:
    course = make_course(stack, 1)
    with pytest.raises(FunctionsHttpError) as refused:
        client.functions.invoke(f"progress/lessons/{course.lessons[0]}/complete")
    assert refused.value.status == 403
    with pytest.raises(APIError) as refused_too:
        client.rpc("complete_lesson", {"p_lesson_id": course.lessons[0]}).execute()
    assert refused_too.value.code == "not_enrolled"


def test_signed_out(stack: Stack, http: httpx.Client) -> None:
    course = make_course(stack, 1)
    client = acting_as(stack, None, http)
    with pytest.raises(FunctionsHttpError) as refused:
        client.functions.invoke(f"progress/courses/{course.id}/enroll")
    assert refused.value.status == 401
    assert client.rpc("get_course_outline", {"p_course_id": course.id}).execute().data
