"""Courses in which one lesson is locked, and every door that might open it all the same."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.database.actors import Actor, Course, Refused, make_course

QUIZ = {
    "questions": [
        {
            "kind": "true_false",
            "text": "So?",
            "correct": True,
        }
    ]
}


@dataclass
class Scene:
    """A learner before a course of three modules; the lesson in question is alone in the last."""

    operator: Actor
    server: Actor
    learner: Actor
    course: Course

    @classmethod
    def make(cls, operator: Actor, server: Actor, learner: Actor, **fields: Any) -> Scene:
        """Two lessons, two lessons, and the lesson in question, which has a quiz."""
        course = make_course(operator, [2, 2, 1], **fields)
        server.call("set_quiz", p_lesson_id=course.lessons[2][0], p_quiz=Jsonb(QUIZ))
        return cls(operator, server, learner, course)

    @property
    def lesson(self) -> uuid.UUID:
        """The lesson in question."""
        return self.course.lessons[2][0]

    @property
    def module(self) -> uuid.UUID:
        """Its module."""
        return self.course.modules[2]

    def enroll(self) -> None:
        """Enrol the learner."""
        self.learner.call("enroll", p_course_id=self.course.id)

    def complete(self, *lessons: uuid.UUID) -> None:
        """Complete lessons."""
        for lesson in lessons:
            self.learner.call("complete_lesson", p_lesson_id=lesson)

    def set(self, table: str, key: Any, **columns: Any) -> None:
        """A raw edit of the catalogue, as a server makes it."""
        names = ", ".join(f"{name} = %s" for name in columns)
        self.server.run(f"update public.{table} set {names} where id = %s", *columns.values(), key)

    def lock(self, lesson: uuid.UUID | None = None) -> Any:
        """How the course view shows the lesson."""
        view = self.learner.call("get_course_progress", p_course_id=self.course.id)
        (found,) = [
            row["locked"]
            for row in view["lessons"]
            if row["lesson_id"] == str(lesson or self.lesson)
        ]
        return found

    def next(self) -> Any:
        """Where to continue."""
        return self.learner.call("get_next_lesson", p_course_id=self.course.id)

    def batch(self, kind: str, **more: Any) -> Any:
        """One late event, done before anything was locked; its result is raised when refused."""
        event = {
            "id": str(uuid.uuid4()),
            "kind": kind,
            "at": (datetime.now(UTC) - timedelta(days=2)).isoformat(),
            "lesson_id": str(self.lesson),
            **more,
        }
        (result,) = self.learner.call("apply_events", p_events=Jsonb([event]))["results"]
        if result["status"] == "refused":
            raise Refused(
                result["code"], 409, result.get("message", ""), json.dumps(result.get("details"))
            )
        return result


def _view(scene: Scene) -> Any:
    return scene.learner.call(
        "view_lesson", p_lesson_id=scene.lesson, p_session_id=uuid.uuid4(), p_seconds=1
    )


def _put(scene: Scene, status: str) -> Any:
    return scene.learner.call("put_lesson_progress", p_lesson_id=scene.lesson, p_status=status)


def _rpc(name: str) -> Callable[[Scene], Any]:
    return lambda scene: scene.learner.call(name, p_lesson_id=scene.lesson)


# Everything that begins, advances or completes a lesson.
DOORS: dict[str, Callable[[Scene], Any]] = {
    "start": _rpc("start_lesson"),
    "view": _view,
    "complete": _rpc("complete_lesson"),
    "put in_progress": lambda scene: _put(scene, "in_progress"),
    "put completed": lambda scene: _put(scene, "completed"),
    "uncomplete": _rpc("uncomplete_lesson"),
    "start attempt": _rpc("start_attempt"),
    "submit quiz": _rpc("submit_quiz"),
    "start module": lambda scene: scene.learner.call("start_module", p_module_id=scene.module),
    "batch start": lambda scene: scene.batch("start"),
    "batch view": lambda scene: scene.batch("view", session_id=str(uuid.uuid4()), seconds=1),
    "batch position": lambda scene: scene.batch("position", position_seconds=3),
    "batch complete": lambda scene: scene.batch("complete"),
    "batch attempt": lambda scene: scene.batch("attempt_submit", answers=[]),
}


def refusal(call: Callable[..., Any], *arguments: Any, **options: Any) -> Refused:
    """What a call that must be refused is refused with."""
    with pytest.raises(Refused) as caught:
        call(*arguments, **options)
    return caught.value


def told(refused: Refused) -> Any:
    """The lock that a refusal names."""
    details: Any = json.loads(refused.details or "null")
    return json.loads(details) if isinstance(details, str) else details
