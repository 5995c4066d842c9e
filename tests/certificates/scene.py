"""A course with learners, and what the database holds of their certificates."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from tests.database.actors import Actor, Course, make_course, make_users

QUESTION = {"id": "q", "kind": "true_false", "text": "So?", "correct": True}
ESSAY = {"id": "essay", "kind": "free_text", "text": "Why?", "points": 10}


class Scene:
    """Makes courses and people, and looks behind them."""

    def __init__(self, actors: Callable[..., Actor]) -> None:
        self.actors = actors
        self.operator = actors()

    def course(self, *modules: int | Sequence[dict[str, Any]], **fields: Any) -> Course:
        """A published course; by default one module of two lessons."""
        return make_course(self.operator, modules or [2], **fields)

    def learner(self, *courses: Course, name: str | None = "Ann Example") -> Actor:
        """Somebody with a name, enrolled in these courses."""
        (user,) = make_users(self.operator)
        if name is not None:
            self.name(user, name)
        actor = self.actors("authenticated", user)
        for course in courses:
            actor.call("enroll", p_course_id=course.id)
        return actor

    def server(self) -> Actor:
        """Who holds the service key: an admin too."""
        return self.actors("service_role")

    def name(self, user: uuid.UUID | None, name: str | None) -> None:
        """What the learner calls themselves from now on."""
        self.operator.run("update public.profiles set display_name = %s where id = %s", name, user)

    def quiz(self, lesson: uuid.UUID, *questions: dict[str, Any], **columns: Any) -> None:
        """Give a lesson a quiz."""
        for column, value in columns.items():
            self.operator.run(
                f"update public.lessons set {column} = %s where id = %s", value, lesson
            )
        self.operator.run(
            "select public.set_quiz(%s, %s)",
            lesson,
            Jsonb({"questions": [*(questions or (QUESTION,))]}),
        )

    def answer(self, learner: Actor, lesson: uuid.UUID, right: bool = True) -> Any:
        """Take a lesson's quiz of one question."""
        answers = Jsonb([{"question_id": "q", "answer": right}])
        return learner.call("submit_quiz", p_lesson_id=lesson, p_answers=answers)

    def complete(self, learner: Actor, *lessons: uuid.UUID) -> Any:
        """Complete lessons; the last answer."""
        return [learner.call("complete_lesson", p_lesson_id=lesson) for lesson in lessons][-1]

    def set(self, course: Course, **rules: Any) -> None:
        """Change a course's columns."""
        for column, value in rules.items():
            self.operator.run(
                f"update public.courses set {column} = %s where id = %s", value, course.id
            )

    def finished_at(self, course: Course, when: datetime) -> None:
        """Whoever has finished the course did so then."""
        self.operator.run(
            "update public.enrollments set completed_at = %s"
            " where course_id = %s and completed_at is not null",
            when,
            course.id,
        )

    def certificates(self, learner: Actor, course: Course | None = None) -> list[dict[str, Any]]:
        """A learner's certificates, oldest first."""
        return self.operator.run(
            "select * from public.certificates where user_id = %s"
            " and course_id = coalesce(%s, course_id) order by issued_at, status_index",
            learner.user,
            course.id if course else None,
        )

    def certificate(self, learner: Actor) -> dict[str, Any]:
        """The only certificate that a learner has."""
        (row,) = self.certificates(learner)
        return row

    def by_id(self, certificate_id: uuid.UUID) -> dict[str, Any]:
        """One certificate, stub or not."""
        (row,) = self.operator.run(
            "select * from public.certificates where id = %s", certificate_id
        )
        return row

    def jobs(self, text: str) -> list[dict[str, Any]]:
        """The jobs whose payload names this id or path."""
        return self.operator.run(
            "select * from private.jobs where payload::text like %s order by id", f"%{text}%"
        )

    def messages(self, learner: Actor) -> list[dict[str, Any]]:
        """A learner's notifications, oldest first, and whether a mail goes with each."""
        return self.operator.run(
            "select n.*, exists (select from private.jobs j where j.kind = 'mail'"
            " and j.payload ->> 'notification_id' = n.id::text) as is_mailed"
            " from public.notifications n where n.user_id = %s"
            " order by n.occurred_at, n.created_at",
            learner.user,
        )

    def rendered(self, certificate_id: uuid.UUID, sha256: str = "ab" * 32) -> Any:
        """What the worker reports; its job is done."""
        self.operator.run(
            "delete from private.jobs where kind = 'certificate.render'"
            " and payload ->> 'certificate_id' = %s",
            str(certificate_id),
        )
        return self.operator.one(
            "select private.certificate_rendered(%s, %s, 4096)", certificate_id, sha256
        )

    def audit(self, action: str, course: Course) -> list[dict[str, Any]]:
        """What was written down of an action."""
        return self.operator.run(
            "select * from public.audit_log where action = %s and course_id = %s order by id",
            action,
            course.id,
        )
