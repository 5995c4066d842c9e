"""Who acts on the database in these tests: learners, servers and the operator, as real roles."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from tests.stack import Stack
from tests.support import sessions


class Refused(Exception):
    """An answer that the schema gave on purpose (SQLSTATE PGRST), taken apart."""

    def __init__(self, code: str, status: int, message: str, details: str | None) -> None:
        super().__init__(code)
        self.code = code
        self.status = status
        self.message = message
        self.details = details

    @classmethod
    def of(cls, problem: psycopg.Error) -> Refused:
        """Read the error that PostgREST would read."""
        body = json.loads(problem.diag.message_primary or "{}")
        status = json.loads(problem.diag.message_detail or "{}")["status"]
        return cls(body["code"], status, body["message"], body["details"])


class Actor:
    """One connection that acts as an API role, the way PostgREST would make it act."""

    def __init__(
        self, stack: Stack, role: str | None = None, user: uuid.UUID | None = None
    ) -> None:
        self.user = user
        self.database = stack
        self.connection = sessions.take(stack, dict_row)
        self.connection.prepare_threshold = 2
        if role is not None:
            # What the role would have had, had it logged in through PostgREST.
            self.connection.execute("set statement_timeout = '8s'")
            self.connection.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
            self.become(user, role)

    def become(self, user: uuid.UUID | None, role: str = "authenticated") -> None:
        """Go on with another person's claims."""
        self.user = user
        claims = {"role": role, **({"sub": str(user)} if user else {})}
        self.connection.execute(
            "select set_config('request.jwt.claims', %s, false)", [json.dumps(claims)]
        )

    def at(self, now: datetime | None) -> None:
        """Set this connection's clock; None gives it back to PostgreSQL."""
        self.connection.execute(
            "select set_config('waymark.now', %s, false)", [now.isoformat() if now else ""]
        )

    def run(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Run one statement and return its rows."""
        cursor = self.connection.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []

    def one(self, statement: str, *values: Any) -> Any:
        """Return the only value of the only row."""
        (row,) = self.run(statement, *values)
        (value,) = row.values()
        return value

    def call(self, function: str, **arguments: Any) -> Any:
        """Call an RPC by argument names; a refusal of ours is raised as Refused."""
        listed = sql.SQL(", ").join(
            sql.SQL("{} => {}").format(sql.Identifier(name), sql.Placeholder())
            for name in arguments
        )
        statement = sql.SQL("select public.{}({}) as answer").format(
            sql.Identifier(function), listed
        )
        values = [_sent(x) for x in arguments.values()]
        try:
            row = self.connection.execute(statement, values).fetchone()
        except psycopg.Error as problem:
            if problem.sqlstate == "PGRST":
                raise Refused.of(problem) from None
            raise
        assert row is not None
        return row["answer"]

    def close(self) -> None:
        """Leave the session to the next actor."""
        sessions.hand_on(self.database, self.connection)


def _sent(value: Any) -> Any:
    """A value as an RPC takes it: JSON as jsonb, fractions as numeric."""
    if isinstance(value, dict):
        return Jsonb(value)
    return Decimal(str(value)) if isinstance(value, float) else value


@dataclass(frozen=True)
class Course:
    """A course made for a test: its modules, and their lessons, in order."""

    id: int
    modules: list[uuid.UUID]
    lessons: list[list[uuid.UUID]]

    @property
    def all(self) -> list[uuid.UUID]:
        """All lessons in learning order."""
        return [lesson for module in self.lessons for lesson in module]


def make_users(operator: Actor, count: int = 1) -> list[uuid.UUID]:
    """Sign up learners, without Auth's detour."""
    users = [uuid.uuid4() for _ in range(count)]
    operator.run(
        "insert into auth.users (id, email) select id, id || '@example.test' "
        "from unnest(%s::uuid[]) as id",
        users,
    )
    return users


def make_course(
    operator: Actor, modules: Sequence[int | Sequence[dict[str, Any]]], **fields: Any
) -> Course:
    """Make a published course. A module is a number of plain lessons, or their columns."""
    columns = {"slug": f"t-{uuid.uuid4()}", "title": "Course", "status": "published", **fields}
    course_id: int = insert(operator, "courses", columns)["id"]
    made = Course(course_id, [], [])
    for position, module in enumerate(modules):
        module_id = uuid.uuid4()
        operator.run(
            "insert into public.modules (id, course_id, position, title) values (%s, %s, %s, %s)",
            module_id,
            course_id,
            position,
            f"Module {position}",
        )
        lessons = [{} for _ in range(module)] if isinstance(module, int) else module
        made.modules.append(module_id)
        made.lessons.append(
            [
                make_lesson(operator, module_id, **{"position": place, **lesson})
                for place, lesson in enumerate(lessons)
            ]
        )
    return made


def make_lesson(operator: Actor, module_id: uuid.UUID, **fields: Any) -> uuid.UUID:
    """Insert one lesson the raw way."""
    return insert(
        operator,
        "lessons",
        {"id": uuid.uuid4(), "module_id": module_id, "title": "Lesson", **fields},
    )["id"]


def insert(actor: Actor, table: str, columns: dict[str, Any]) -> dict[str, Any]:
    """Insert one row the raw way and return it."""
    statement = sql.SQL("insert into public.{} ({}) values ({}) returning *").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join(sql.Placeholder() for _ in columns),
    )
    (row,) = actor.connection.execute(statement, list(columns.values())).fetchall()
    return row


# Everything that promise 5 says is empty: counters that differ from what counting gives.
DRIFT = """
select 'enrollment' as what, e.id::text as which,
       to_jsonb(e) as has, to_jsonb(r) as counted
  from public.enrollments e
 cross join lateral private.recount_enrollment(e.user_id, e.course_id) r
 where e.course_id = any (%(courses)s)
   and ((e.completed_lessons, e.total_lessons, e.completed_weight, e.total_weight, e.score_sum,
         e.scored_lessons)
          is distinct from
        (r.completed_lessons, r.total_lessons, r.completed_weight, r.total_weight, r.score_sum,
         r.scored_lessons)
        or e.progress_percent <> private.percent(r.completed_weight, r.total_weight)
        or (r.total_weight > 0 and r.completed_weight = r.total_weight
            and e.completed_at is null))
union all
select 'module', u.user_id || ' ' || r.module_id, to_jsonb(m), to_jsonb(r)
  from (select user_id, course_id from public.user_progress
         where course_id = any (%(courses)s)
        union
        select w.user_id, l.course_id from public.lesson_waivers w
          join public.lessons l on l.id = w.lesson_id
         where l.course_id = any (%(courses)s)) as u
 cross join lateral private.recount_modules(u.user_id, u.course_id) r
  left join public.module_progress m on m.user_id = u.user_id and m.module_id = r.module_id
 where (m.user_id is null and (r.started_at is not null or r.has_waivers))
    or (m.user_id is not null
        and ((m.completed_lessons, m.total_lessons, m.completed_quizzes, m.total_quizzes,
              m.course_id)
               is distinct from
             (r.completed_lessons, r.total_lessons, r.completed_quizzes, r.total_quizzes,
              u.course_id)
             or m.started_at is null and r.started_at is not null))
union all
select 'course', c.id::text, to_jsonb(c), to_jsonb(r)
  from public.courses c
 cross join lateral (
   select count(*) as lessons, coalesce(sum(l.weight), 0) as weight
     from public.lessons l where l.course_id = c.id and l.is_countable) as r
 where c.id = any (%(courses)s)
   and (c.total_lessons, c.total_weight) is distinct from (r.lessons, r.weight)
union all
select 'module total', m.id::text, to_jsonb(m), to_jsonb(r)
  from public.modules m
 cross join lateral (
   select count(*) as lessons
     from public.lessons l where l.module_id = m.id and l.is_countable) as r
 where m.course_id = any (%(courses)s) and m.total_lessons <> r.lessons
union all
select 'course of progress', p.user_id || ' ' || p.lesson_id, to_jsonb(p), to_jsonb(l)
  from public.user_progress p
  join public.lessons l on l.id = p.lesson_id
 where l.course_id = any (%(courses)s) and p.course_id <> l.course_id
union all
select 'frontier', e.id::text, to_jsonb(e), null
  from public.enrollments e
  join public.courses c on c.id = e.course_id and c.catalog_version = e.frontier_version
 where e.course_id = any (%(courses)s)
   and e.frontier_lesson_id is distinct from (
     select l.id from public.lessons l
      where l.course_id = e.course_id and l.is_countable and not exists (
        select from public.user_progress p
         where p.user_id = e.user_id and p.lesson_id = l.id and p.is_completed)
        and not exists (
        select from public.lesson_waivers w where w.user_id = e.user_id and w.lesson_id = l.id)
      order by l.module_position, l.module_id, l.position, l.id limit 1)
"""


def drift(operator: Actor, courses: Sequence[int]) -> list[dict[str, Any]]:
    """Return every counter of these courses that counting contradicts; promise 5 says none."""
    return operator.connection.execute(DRIFT, {"courses": list(courses)}).fetchall()
