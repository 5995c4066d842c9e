"""The main job, end to end: a real course imported, real learners working through it over HTTP.

After every completion, what the learner is told equals a recount of the rows in plain Python.
"""

from __future__ import annotations

import random
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.client import WaymarkClient
from tests.http.test_import_command import admin, write
from tests.stack import Stack
from tests.support.real_course import real_course


class Person:
    """Someone who signed up with a password."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._credentials = {"email": f"{uuid.uuid4()}@example.com", "password": str(uuid.uuid4())}
        self.token = self._ask("signup")

    def sign_in_again(self) -> None:
        self.token = self._ask("token?grant_type=password")

    def _ask(self, what: str) -> str:
        answer = httpx.post(
            f"{self._stack.api_url}/auth/v1/{what}",
            json=self._credentials,
            headers={"apikey": self._stack.publishable_key},
            timeout=30,
        ).raise_for_status()
        return str(answer.json()["access_token"])

    def client(self) -> WaymarkClient:
        return WaymarkClient(
            self._stack.functions_url, self.token, apikey=self._stack.publishable_key
        )

    def rows(self, table: str, course: int) -> list[dict[str, Any]]:
        """The person's own rows, straight from the Data API."""
        answer = httpx.get(
            f"{self._stack.api_url}/rest/v1/{table}",
            params={"course_id": f"eq.{course}"},
            headers={
                "apikey": self._stack.publishable_key,
                "Authorization": f"Bearer {self.token}",
            },
            timeout=30,
        ).raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return found


@pytest.fixture(scope="module")
def course(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, str]]:
    """The imported course: its id, and its lessons in learning order with their modules."""
    slug = f"real-{uuid.uuid4()}"
    file = write(tmp_path_factory.mktemp("real"), real_course(slug=slug))
    done = admin(stack, "import", Path(file))
    assert done.returncode == 0, done.stderr
    with stack.connect() as connection:
        rows = connection.execute(
            "select l.course_id, l.id::text, l.module_id::text, l.content"
            " from public.lessons l join public.courses c on c.id = l.course_id"
            " where c.slug = %s"
            " order by l.module_position, l.module_id, l.position, l.id",
            (slug,),
        ).fetchall()
    assert all(content for *_, content in rows)
    return {rows[0][0]: {lesson: module for _, lesson, module, _ in rows}}


def percent(done: int, total: int) -> float:
    return 100 if done == total else min(99.99, int(done * 10000 / total + 0.5) / 100)


def check(client: WaymarkClient, course: int, place: dict[str, str], done: set[str]) -> None:
    """Everything the learner can ask, against a recount."""
    in_order = [lesson for lesson in place if lesson in done]
    view = client.course(course)
    assert view is not None
    assert (view["completed"], view["total"]) == (len(done), len(place))
    assert view["percent"] == percent(len(done), len(place))
    assert view["completed_lesson_ids"] == in_order
    summary = client.summary(course)
    assert summary is not None
    assert (summary["completed"], summary["percent"]) == (len(done), view["percent"])
    assert (summary["completed_at"] is not None) == (len(done) == len(place))
    for module in view["modules"]:
        of_module = [lesson for lesson in place if place[lesson] == module["module_id"]]
        finished = [lesson for lesson in of_module if lesson in done]
        assert (module["completed"], module["total"]) == (len(finished), len(of_module))
        expected = "completed" if finished == of_module else "in_progress" if finished else None
        assert module["status"] == (expected or "not_started")
    following = client.next_lesson(course)
    assert following is not None
    first_open = next((lesson for lesson in place if lesson not in done), None)
    assert following["lesson_id"] == (first_open or next(iter(place)))
    assert following["review"] == (first_open is None)


@pytest.mark.parametrize("order", ["in order", "backwards", "as it comes"])
def test_a_learner_works_through_it(
    stack: Stack, course: dict[int, dict[str, str]], order: str
) -> None:
    ((course_id, place),) = course.items()
    lessons = list(place)
    if order == "backwards":
        lessons.reverse()
    elif order == "as it comes":
        random.Random(4).shuffle(lessons)
    person = Person(stack)
    with person.client() as client:
        client.enroll(course_id)
        check(client, course_id, place, set())

    done: set[str] = set()
    finished_at = None
    for number, lesson in enumerate(lessons, 1):
        if number == 13:  # half-way, they sign out and come back
            person.sign_in_again()
        with person.client() as client:
            answer = client.complete_lesson(lesson)
            done.add(lesson)
            assert answer["changed"]
            assert answer["enrollment"]["progress_percent"] == percent(number, len(lessons))
            first_open = next((one for one in place if one not in done), None)
            assert answer["next_lesson_id"] == first_open
            finished_at = answer["enrollment"]["completed_at"]
            assert (finished_at is not None) == (number == len(lessons))
            check(client, course_id, place, done)
            again = client.complete_lesson(lesson)
            assert not again["changed"]
            assert again["progress"] == answer["progress"]
            assert again["enrollment"]["completed_at"] == finished_at

    person.sign_in_again()
    with person.client() as client:
        check(client, course_id, place, done)
    rows = person.rows("user_progress", course_id)
    assert {row["lesson_id"] for row in rows if row["is_completed"]} == set(place)
    events = [row["kind"] for row in person.rows("progress_events", course_id)]
    assert events.count("lesson_completed") == len(place)
    assert events.count("course_completed") == 1
    (enrollment,) = person.rows("enrollments", course_id)
    assert enrollment["progress_percent"] == 100
