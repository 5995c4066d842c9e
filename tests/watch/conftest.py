"""A course, learners in it, and a clock that the tests set."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.database.actors import Actor, Course, Refused, make_course, make_users
from tests.stack import Stack

# Well after any enrolment that a test makes: days begin at a known place.
DAWN = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


class Player:
    """A learner's connection that sends heartbeats at times of its own."""

    def __init__(self, connection: Actor, course: Course, user: uuid.UUID | None = None) -> None:
        self._connection = connection
        self.course = course
        self.user = user or connection.user

    @property
    def actor(self) -> Actor:
        """The connection, as this learner: several of a test share one."""
        if self._connection.user != self.user:
            self._connection.become(self.user)
        return self._connection

    def at(self, seconds: float) -> None:
        """Set the clock to so long after DAWN."""
        self.actor.at(DAWN + timedelta(seconds=seconds))

    def view(
        self, at: float, session: uuid.UUID, seconds: int, lesson: int = 0, **more: Any
    ) -> dict[str, Any]:
        """A heartbeat at that time; `lesson` is a place in the course."""
        self.at(at)
        if isinstance(more.get("watched"), list):
            more["watched"] = Jsonb(more["watched"])
        answer: dict[str, Any] = self.actor.call(
            "view_lesson",
            p_lesson_id=self.course.all[lesson],
            p_session_id=session,
            p_seconds=seconds,
            **{f"p_{name}": value for name, value in more.items()},
        )
        return answer

    def send(self, at: float, events: list[Any]) -> dict[str, Any]:
        """A batch at that time."""
        self.at(at)
        answer: dict[str, Any] = self.actor.call("apply_events", p_events=Jsonb(events))
        return answer

    def event(self, kind: str, at: float, lesson: int | None = 0, **more: Any) -> dict[str, Any]:
        """An event of a batch."""
        about = {} if lesson is None else {"lesson_id": str(self.course.all[lesson])}
        return {
            "id": str(uuid.uuid4()),
            "kind": kind,
            "at": (DAWN + timedelta(seconds=at)).isoformat(),
            **about,
            **{n: str(x) if isinstance(x, uuid.UUID) else x for n, x in more.items()},
        }


def refusal(call: Callable[..., Any], *arguments: Any, **options: Any) -> Refused:
    """What a call that must be refused is refused with."""
    with pytest.raises(Refused) as caught:
        call(*arguments, **options)
    return caught.value


@pytest.fixture(scope="module")
def operator(stack: Stack) -> Iterator[Actor]:
    """The migrating role; for these tests nobody is limited in heartbeats or events."""
    made = Actor(stack)
    before = made.run("select bucket, per_second, burst from private.rate_limits")
    made.run(
        "update private.rate_limits set per_second = 1000000, burst = 1000000000"
        " where bucket in ('view', 'batch')"
    )
    yield made
    for row in before:
        made.run(
            "update private.rate_limits set per_second = %s, burst = %s where bucket = %s",
            row["per_second"], row["burst"], row["bucket"],
        )  # fmt: skip
    made.close()


@pytest.fixture
def enrolled(stack: Stack, operator: Actor) -> Iterator[Callable[..., Player]]:
    """Somebody in a course of these lessons, or in a given course."""
    actor = Actor(stack, "authenticated")

    def make(
        *lessons: dict[str, Any], course: Course | None = None, zone: str | None = None
    ) -> Player:
        course = course or make_course(operator, [list(lessons) or [{}]])
        (user,) = make_users(operator)
        if zone:
            operator.run("update public.profiles set timezone = %s where id = %s", zone, user)
        player = Player(actor, course, user)
        player.actor.call("enroll", p_course_id=course.id)
        return player

    yield make
    actor.close()


VIDEO = {"type": "video", "duration_seconds": 600, "completion_rule": "watch"}


def facts(operator: Actor, user: Any) -> dict[str, Any]:
    """Everything of a learner's that watching changes."""
    tables = {
        name: operator.run(f"select * from {name} t where user_id = %s order by t::text", user)
        for name in (
            "public.user_progress",
            "public.enrollments",
            "public.module_progress",
            "public.daily_activity",
            "private.watch_sessions",
            "private.watch_credit",
            "private.client_events",
        )
    }
    tables["events"] = operator.run(
        "select kind, lesson_id, occurred_at from public.progress_events where user_id = %s"
        " order by id",
        user,
    )
    return tables
