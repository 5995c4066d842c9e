"""Learners under load, and the operations they repeat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bench import seed
from bench.target import Target

Db = seed.Db
Task = tuple["Learner", str | None]
PREFIX = "/functions/v1"


@dataclass
class Learner:
    """A user with an enrolment in the course of the load."""

    target: Target
    user_id: str
    enrollment_id: str
    course_id: int

    @cached_property
    def token(self) -> str:
        """The learner's JWT, minted once."""
        return self.target.token(self.user_id)

    @cached_property
    def claims(self) -> str:
        """What PostgREST would set for that JWT."""
        return json.dumps({"sub": self.user_id, "role": "authenticated", "aud": "authenticated"})


class Population:
    """The learners of one run: some half-way, who look, and an endless row of fresh ones."""

    def __init__(self, target: Target, db: Db, tag: str, course: seed.Course) -> None:
        self._target = target
        self._db = db
        self._tag = tag
        self._fresh: list[Learner] = []
        self.course = course
        self.lookers: list[Learner] = []
        self.acknowledged = 0

    def prepare(self, lookers: int, fresh: int) -> None:
        """Make learners, tokens included, so that none is made while a window is measured."""
        self.lookers = self._make(lookers)
        done = self.course.lessons[: len(self.course.lessons) // 2]
        if self.lookers:
            seed.mark_done(self._db, self.course, [one.user_id for one in self.lookers], done)
        self.refill(fresh)

    def refill(self, fresh: int) -> None:
        """Have at least so many fresh learners in store."""
        if len(self._fresh) < fresh:
            self._fresh += self._make(fresh - len(self._fresh))

    def _make(self, count: int) -> list[Learner]:
        if not count:
            return []
        users = seed.make_learners(self._db, self._tag, count)
        enrolments = seed.enrol(self._db, self.course.id, users)
        made = [Learner(self._target, user, enrolments[user], self.course.id) for user in users]
        for learner in made:
            _ = learner.token, learner.claims
        return made

    def fresh(self) -> Learner:
        """A learner nobody has used yet."""
        if not self._fresh:
            self.refill(50)
        return self._fresh.pop()

    def check(self) -> None:
        """Compare the completions that were answered well with those that are there.

        Raises RuntimeError when one is missing: fast and lost would be no figure to report.
        """
        row = self._db.execute(
            "select count(*) from public.user_progress "
            "where course_id = %s and is_completed and user_id <> all (%s::uuid[])",
            [self.course.id, [learner.user_id for learner in self.lookers]],
        ).fetchone()
        there = int(row[0]) if row else 0
        if there < self.acknowledged:
            raise RuntimeError(f"{self.acknowledged} completions acknowledged, {there} found")


@dataclass(frozen=True)
class Operation:
    """One thing that learners do: the RPC behind it, its route, and who does it to what."""

    name: str
    rpc: str
    population: Population

    def work(self, number: int) -> Iterator[Task]:
        """Endless tasks for learner `number`."""
        if self.name != "complete":
            lookers = self.population.lookers
            while True:
                yield lookers[number % len(lookers)], None
        while True:
            # Who has finished makes room for the next: every completion is a first one.
            learner = self.population.fresh()
            for lesson in self.population.course.lessons:
                yield learner, lesson

    def arguments(self, learner: Learner, lesson: str | None) -> dict[str, Any]:
        """The RPC's arguments."""
        if self.name == "complete":
            return {"p_lesson_id": lesson}
        if self.name == "recalculate":
            return {"p_enrollment_id": learner.enrollment_id}
        return {"p_course_id": learner.course_id}

    def route(self, learner: Learner, lesson: str | None) -> tuple[str, str, dict[str, Any] | None]:
        """Method, path and body at the function."""
        if self.name == "complete":
            return "POST", f"{PREFIX}/progress/lessons/{lesson}/complete", None
        if self.name == "recalculate":
            return "POST", f"{PREFIX}/recalculate", {"enrollment_id": learner.enrollment_id}
        path = f"{PREFIX}/progress/courses/{learner.course_id}"
        return "GET", path + ("/next" if self.name == "next" else ""), None


def operations(population: Population) -> list[Operation]:
    """The operations that are measured."""
    return [
        Operation("complete", "complete_lesson", population),
        Operation("course", "get_course_progress", population),
        Operation("next", "get_next_lesson", population),
        Operation("recalculate", "recalculate", population),
    ]
