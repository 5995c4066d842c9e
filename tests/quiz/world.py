"""Courses with quizzes, and the people who take and grade them, on connections of their own."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import httpx
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from tests.stack import Stack
from tests.support import sessions


class Refused(Exception):
    """A refusal: raised by the database, or answered with a status of its own."""

    def __init__(self, code: str, status: int, details: Any, retry_after: str | None) -> None:
        super().__init__(code)
        self.code, self.status, self.details, self.retry_after = code, status, details, retry_after


class Person:
    """A connection that acts as PostgREST would make this user's request act."""

    def __init__(self, stack: Stack, user: str | None, role: str = "authenticated") -> None:
        self.stack, self.id, self.role = stack, user, role
        self.connection = sessions.take(stack)
        claims = {"role": role, **({"sub": user} if user else {})}
        self.connection.execute(
            "select set_config('request.jwt.claims', %s, false)", [json.dumps(claims)]
        )
        self.connection.execute(sql.SQL("set role {}").format(sql.Identifier(role)))

    def at(self, now: datetime | None) -> None:
        """Set the clock of this connection; None gives it back."""
        self.connection.execute(
            "select set_config('waymark.now', %s, false)", [now.isoformat() if now else ""]
        )

    def call(self, rpc: str, **arguments: Any) -> Any:
        """Call an RPC by its arguments' names without p_. Raises Refused."""
        listed = sql.SQL(", ").join(
            sql.SQL("{} => {}").format(sql.Identifier(f"p_{name}"), sql.Placeholder())
            for name in arguments
        )
        statement = sql.SQL("select public.{}({})").format(sql.Identifier(rpc), listed)
        values = [
            Jsonb(v) if isinstance(v, (dict, list)) else Decimal(v) if isinstance(v, float) else v
            for v in arguments.values()
        ]
        try:
            row = self.connection.execute(statement, values).fetchone()
        except psycopg.Error as error:
            if error.sqlstate != "PGRST":
                raise
            body = json.loads(error.diag.message_primary or "{}")
            how = json.loads(error.diag.message_detail or "{}")
            retry = how["headers"].get("Retry-After")
            raise Refused(body["code"], how["status"], body["details"], retry) from None
        assert row is not None
        answer = row[0]
        if isinstance(answer, dict) and set(answer) == {"code", "message", "details", "hint"}:
            raise Refused(answer["code"], 409, answer["details"], None)
        return answer

    def refusal(self, rpc: str, **arguments: Any) -> Refused:
        """The refusal that this call must meet."""
        try:
            answer = self.call(rpc, **arguments)
        except Refused as refused:
            return refused
        raise AssertionError(f"{rpc} was not refused: {answer}")

    def close(self) -> None:
        """Leave the session to the next user."""
        sessions.hand_on(self.stack, self.connection)


class Rest:
    """The Data API as one user sees it."""

    def __init__(self, stack: Stack, user: str) -> None:
        self.http = httpx.Client(
            base_url=stack.api_url,
            timeout=30,
            trust_env=False,
            headers={
                "Authorization": f"Bearer {stack.token(user)}",
                "apikey": stack.publishable_key,
            },
        )

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Read."""
        return self.http.get(path, headers=headers)

    def rpc(self, name: str, **arguments: Any) -> httpx.Response:
        """Call an RPC by the full names of its arguments."""
        return self.http.post(f"/rest/v1/rpc/{name}", json=arguments)


@dataclass
class World:
    """One course, made for one test."""

    stack: Stack
    operator: psycopg.Connection[Any]
    course: int
    module: str
    people: list[Person] = field(default_factory=list)

    @classmethod
    def make(cls, stack: Stack, **module: Any) -> World:
        """A published course with one module."""
        operator = sessions.take(stack)
        course = _insert(
            operator, "courses", {"slug": f"q-{uuid.uuid4()}", "title": "C", "status": "published"}
        )
        made = _insert(operator, "modules", {"course_id": course, "title": "M", **module})
        return cls(stack, operator, course, str(made))

    def lesson(self, **columns: Any) -> str:
        """A lesson without a quiz."""
        row = {"module_id": self.module, "title": "L", **columns}
        return str(_insert(self.operator, "lessons", row))

    def quiz(self, questions: Sequence[Mapping[str, Any]], **columns: Any) -> str:
        """A quiz with rule pass, unless told; pools and shuffle_options are the quiz's."""
        quiz = {name: columns.pop(name) for name in ("pools", "shuffle_options") if name in columns}
        lesson = self.lesson(**{"type": "quiz", "completion_rule": "pass", **columns})
        self.set_quiz(lesson, questions, **quiz)
        return lesson

    def set_quiz(self, lesson: str, questions: Sequence[Mapping[str, Any]], **quiz: Any) -> Any:
        """Replace a lesson's questions."""
        return self.one(
            "select public.set_quiz(%s, %s)", lesson, Jsonb({"questions": [*questions], **quiz})
        )

    def user(self) -> str:
        """Somebody signed up."""
        user = str(uuid.uuid4())
        self.run("insert into auth.users (id, email) values (%s, %s)", user, f"{user}@example.com")
        return user

    def learner(self) -> Person:
        """Somebody enrolled."""
        person = self.person(self.user())
        person.call("enroll", course_id=self.course)
        return person

    def person(self, user: str | None, role: str = "authenticated") -> Person:
        """Another connection of somebody."""
        self.people.append(Person(self.stack, user, role))
        return self.people[-1]

    def staff(self, role: str = "instructor", course: int | None = None) -> Person:
        """Somebody who works on this course, or on another."""
        person = self.person(self.user())
        self.run(
            "insert into public.course_staff values (%s, %s, %s)",
            course or self.course, person.id, role,
        )  # fmt: skip
        return person

    def run(self, statement: str, *values: Any) -> list[Any]:
        """A statement of the operator."""
        named = len(values) == 1 and isinstance(values[0], dict)
        cursor = self.operator.execute(statement, values[0] if named else values or None)
        return cursor.fetchall() if cursor.description else []

    def one(self, statement: str, *values: Any) -> Any:
        """The one value of a statement of the operator."""
        ((value,),) = self.run(statement, *values)
        return value

    def keys(self, lesson: str) -> dict[str, Any]:
        """Right answers of the questions that have one, by id."""
        right: dict[str, Any] = {}
        for name, kind, key in self.run(
            "select id, kind, key from private.questions where lesson_id = %s", lesson
        ):
            if kind == "numeric":
                right[name] = key["answer"]
            elif kind == "short_text":
                right[name] = key["accepted"][0]
            elif kind != "free_text":
                right[name] = key["correct"]
        return right

    def right(self, lesson: str) -> list[dict[str, Any]]:
        """A sheet with every right answer."""
        return sheet(self.keys(lesson))

    def close(self) -> None:
        """Hang up for everybody."""
        for person in self.people:
            person.close()
        sessions.hand_on(self.stack, self.operator)


def sheet(answers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Answers by question as an RPC takes them."""
    return [{"question_id": name, "answer": answer} for name, answer in answers.items()]


def _insert(db: psycopg.Connection[Any], table: str, row: Mapping[str, Any]) -> Any:
    statement = sql.SQL("insert into public.{} ({}) values ({}) returning id").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(sql.Placeholder() * len(row)),
    )
    found = db.execute(statement, list(row.values())).fetchone()
    assert found is not None
    return found[0]


def choice(text: str, *options: str, right: int = 0, **more: Any) -> dict[str, Any]:
    """A single choice; the first option is right unless told."""
    listed = [{"text": o, "correct": n == right} for n, o in enumerate(options or ("yes", "no"))]
    return {"kind": "single_choice", "text": text, "options": listed, **more}


EVERY_KIND: list[dict[str, Any]] = [
    choice("Capital of France?", "Paris", "Lyon", "Nice", explanation="since 987: ZEBRA-1"),
    {
        "kind": "multiple_choice",
        "text": "Primes?",
        "options": [
            {"text": "2", "correct": True},
            {"text": "3", "correct": True},
            {"text": "4"},
        ],
        "scoring": "partial",
    },
    {"kind": "true_false", "text": "Water is wet", "correct": True},
    {"kind": "numeric", "text": "Pi?", "answer": "3.14159", "tolerance": "0.002"},
    {"kind": "short_text", "text": "Street?", "accepted": ["Straße", "ZEBRA-2"]},
    {"kind": "ordering", "text": "Sort", "items": ["one", "two", "three"]},
    {
        "kind": "matching",
        "text": "Match",
        "pairs": [{"left": "a", "right": "1"}, {"left": "b", "right": "2"}],
        "distractors": ["3"],
    },
]
