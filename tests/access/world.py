"""A small world with one of everything that access rules tell apart, and the personas in it.

The sweeps build it in a transaction that they roll back; the attacks over HTTP build it for good
and take it away again.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

PEOPLE = ("learner", "other", "author", "instructor", "assistant", "admin")
PERSONAS = ("anon", *PEOPLE, "service_role", "waymark_writer")
# The role that a persona's requests run as.
ROLES = {
    "anon": "anon",
    **dict.fromkeys((*PEOPLE, "colleague"), "authenticated"),
    "service_role": "service_role",
    "waymark_writer": "waymark_writer",
}

# Author of another course (`invite`): here a stranger, whom every verdict on `other` is for, too.
COLLEAGUE = "colleague"

Connection = psycopg.Connection[Any]

# One question that the key grades, one that a person must.
QUIZ = {
    "questions": [
        {"id": "fact", "kind": "true_false", "text": "So?", "correct": True},
        {"id": "essay", "kind": "free_text", "text": "Why?", "points": 2},
    ]
}


@dataclass
class World:
    """Ids of what build() made, by name."""

    connection: Connection
    users: dict[str, str] = field(default_factory=dict)
    courses: dict[str, int] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)
    lessons: dict[str, str] = field(default_factory=dict)
    ids: dict[str, Any] = field(default_factory=dict)

    def claims(self, persona: str) -> dict[str, Any] | None:
        """What a persona's token says; the writer acts for the learner."""
        if persona == "anon":
            return {"role": "anon"}
        if persona == "service_role":
            return {"role": "service_role"}
        person = "learner" if persona == "waymark_writer" else persona
        claims: dict[str, Any] = {"role": "authenticated", "sub": self.users[person]}
        if person == "admin":
            claims["app_metadata"] = {"waymark_role": "admin"}
        return claims

    @contextmanager
    def act(self, persona: str) -> Iterator[Connection]:
        """Be this persona inside the connection's transaction; all of it is undone at the end."""
        connection = self.connection
        connection.execute("savepoint act")
        try:
            connection.execute(
                "select set_config('request.jwt.claims', %s, true)",
                [json.dumps(self.claims(persona))],
            )
            connection.execute(sql.SQL("set local role {}").format(sql.Identifier(ROLES[persona])))
            yield connection
        finally:
            # Takes the role and the claims back too.
            connection.execute("rollback to savepoint act")
            connection.execute("release savepoint act")

    def call(self, persona: str, query: LiteralString, *arguments: Any) -> Any:
        """Run an RPC as a persona for good, and return its answer."""
        connection = self.connection
        connection.execute(
            "select set_config('request.jwt.claims', %s, true)", [json.dumps(self.claims(persona))]
        )
        connection.execute(sql.SQL("set local role {}").format(sql.Identifier(ROLES[persona])))
        row = connection.execute(query, arguments).fetchone()
        connection.execute("reset role")
        connection.execute("select set_config('request.jwt.claims', '', true)")
        return row[0] if row else None

    def rows(self, table: str, user: str) -> list[dict[str, Any]]:
        """A user's rows of a learner table, as the migrating role sees them."""
        column = "id" if table == "profiles" else "user_id"
        query = sql.SQL("select * from public.{} t where t.{} = %s order by t::text").format(
            sql.Identifier(table), sql.Identifier(column)
        )
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, [self.users[user]]).fetchall()


def build(connection: Connection) -> World:
    """Make the world in the connection's transaction.

    Courses: `main` (published, for the enrolled), `open` (published, for everyone), `invite` and
    `draft`. The learner is enrolled in `main`, has completed its lesson `done`, opened `begun`,
    taken one completion back and viewed its lesson for a second; of its quiz one attempt is
    submitted, waiting for a grade, and one is open. An admin has allowed the learner the
    certificate of `main`. `other` is enrolled in `open` alone, and holds its certificate. Both
    have a note, and a collection with their course in it. Staff work on `main` and `draft`; a
    colleague of theirs on `invite`.
    """
    world = World(connection)
    mark = uuid.uuid4().hex[:12]
    for person in (*PEOPLE, "newcomer", COLLEAGUE):
        world.users[person] = str(uuid.uuid4())
        connection.execute(
            "insert into auth.users (id, email, raw_user_meta_data) values (%s, %s, %s)",
            [
                world.users[person],
                f"{person}.{mark}@example.org",
                json.dumps({"display_name": person.title(), "timezone": "Europe/Vienna"}),
            ],
        )
    for name, status, mode, access in (
        ("main", "published", "open", "enrolled"),
        ("open", "published", "open", "public"),
        ("invite", "published", "invite", "enrolled"),
        ("draft", "draft", "open", "public"),
    ):
        world.courses[name] = _one(
            connection,
            "insert into public.courses (slug, title, status, enrollment_mode, content_access) "
            "values (%s, %s, %s, %s, %s) returning id",
            f"{name}-{mark}",
            f"Course {name}",
            status,
            mode,
            access,
        )
    for name, course, position in (
        ("first", "main", 0),
        ("second", "main", 1),
        ("open", "open", 0),
        ("invite", "invite", 0),
        ("draft", "draft", 0),
        ("invite second", "invite", 1),
        ("draft second", "draft", 1),
    ):
        world.modules[name] = _one(
            connection,
            "insert into public.modules (course_id, position, title) values (%s, %s, %s) "
            "returning id::text",
            world.courses[course],
            position,
            f"Module {name}",
        )
    for position, (name, module, more) in enumerate(
        (
            ("done", "first", {}),
            ("begun", "first", {}),
            ("fresh", "first", {}),
            ("preview", "first", {"is_preview": True}),
            ("archived", "first", {}),
            ("timed", "second", {"completion_rule": "view", "min_view_seconds": 60}),
            ("last", "second", {}),
            ("quiz", "first", {"is_required": False}),
            ("open", "open", {}),
            ("open quiz", "open", {"is_required": False}),
            ("invite", "invite", {}),
            ("draft", "draft", {}),
            ("invite second", "invite second", {}),
            ("draft second", "draft second", {}),
        )
    ):
        values = {"content": f"Secret of {name}", **more}
        world.lessons[name] = _one(
            connection,
            sql.SQL(
                "insert into public.lessons (module_id, position, title, {}) "
                "values (%s, %s, %s, {}) returning id::text"
            ).format(
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join(sql.Placeholder() * len(values)),
            ),
            world.modules[module],
            position,
            f"Lesson {name}",
            *values.values(),
        )
    connection.execute(
        "update public.lessons set archived_at = now() where id = %s", [world.lessons["archived"]]
    )
    for course in ("invite", "draft"):
        for kind, ids in (("lesson", world.lessons), ("module", world.modules)):
            connection.execute(
                sql.SQL("insert into public.{} values (%s, %s)").format(
                    sql.Identifier(f"{kind}_prerequisites")
                ),
                [ids[f"{course} second"], ids[course]],
            )
        connection.execute(
            "insert into public.course_prerequisites values (%s, %s)",
            [world.courses[course], world.courses["open"]],
        )
    for person, lesson in (("learner", "timed"), ("other", "open")):
        connection.execute(
            "insert into public.access_overrides (user_id, lesson_id, available_from) "
            "values (%s, %s, now())",
            [world.users[person], world.lessons[lesson]],
        )
    for name, course, lesson in (
        ("of the course", "main", None),
        ("of a lesson", "main", "fresh"),
        ("of a preview", "main", "preview"),
        ("of the open course", "open", None),
        ("of a draft", "draft", "draft"),
    ):
        world.ids[name] = _one(
            connection,
            "insert into public.resources (course_id, lesson_id, title, url) "
            "values (%s, %s, %s, 'https://example.org/file') returning id::text",
            world.courses[course],
            world.lessons[lesson] if lesson else None,
            f"File {name}",
        )
    for course in ("main", "draft"):
        for role in ("author", "instructor", "assistant"):
            connection.execute(
                "insert into public.course_staff (course_id, user_id, role) values (%s, %s, %s)",
                [world.courses[course], world.users[role], role],
            )
    connection.execute(
        "insert into public.course_staff (course_id, user_id, role) values (%s, %s, 'author')",
        [world.courses["invite"], world.users[COLLEAGUE]],
    )
    world.ids["cohort"] = _one(
        connection,
        "insert into public.cohorts (course_id, name) values (%s, 'Autumn') returning id::text",
        world.courses["main"],
    )

    world.call("learner", "select public.enroll(%s)", world.courses["main"])
    world.call("other", "select public.enroll(%s)", world.courses["open"])
    world.call("other", "select public.complete_lesson(%s)", world.lessons["open"])
    world.call("learner", "select public.complete_lesson(%s)", world.lessons["done"])
    world.call("learner", "select public.complete_lesson(%s)", world.lessons["begun"])
    world.call("learner", "select public.uncomplete_lesson(%s)", world.lessons["begun"])
    for person, lesson in (("learner", "begun"), ("other", "open")):
        world.call(
            person,
            "select public.view_lesson(%s, %s, 1)",
            world.lessons[lesson],
            str(uuid.uuid4()),
        )
        event = {"kind": "start", "lesson_id": world.lessons[lesson], "at": "2026-01-01T00:00:00Z"}
        world.call(
            person,
            "select public.apply_events(%s)",
            json.dumps([{**event, "id": str(uuid.uuid4())}]),
        )
    for person, lesson in (("learner", "quiz"), ("other", "open quiz")):
        connection.execute(
            "select private.save_quiz(%s, %s)", [world.lessons[lesson], json.dumps(QUIZ)]
        )
        for name, function in (
            ("attempt", "select public.submit_quiz(%s)"),
            ("open attempt", "select public.start_attempt(%s)"),
        ):
            answer = world.call(person, function, world.lessons[lesson])
            world.ids[f"{name} of {person}"] = answer["attempt"]["id"]
    for person, lesson, course in (("learner", "done", "main"), ("other", "open", "open")):
        world.ids[f"note of {person}"] = world.call(
            person,
            "insert into public.notes (lesson_id, body) values (%s, %s) returning id::text",
            world.lessons[lesson],
            f"Thought of {person}",
        )
        world.ids[f"collection of {person}"] = world.call(
            person, "insert into public.collections (name) values ('Later') returning id::text"
        )
        world.ids[f"item of {person}"] = world.call(
            person,
            "insert into public.collection_items (collection_id, course_id) values (%s, %s)"
            " returning id::text",
            world.ids[f"collection of {person}"],
            world.courses[course],
        )
    world.call(
        "admin",
        "select public.set_certificate_exception(%s, %s, 'allow', 'Finished elsewhere')",
        world.users["learner"],
        world.courses["main"],
    )
    world.call(
        "admin",
        "select public.excuse_lesson(%s, %s, 'Done at school')",
        world.users["learner"],
        world.lessons["quiz"],
    )
    for status in ("published", "draft"):
        world.ids[f"program {status}"] = _one(
            connection,
            "insert into public.programs (slug, title, status) values (%s, 'Program', %s)"
            " returning id",
            f"{status}-program-{mark}",
            status,
        )
        connection.execute(
            "insert into public.program_courses (program_id, course_id, position)"
            " values (%s, %s, 0)",
            [world.ids[f"program {status}"], world.courses["main"]],
        )
    for person in ("learner", "other"):
        world.call(person, "select public.enroll_program(%s)", world.ids["program published"])
    # Runs of before, through courses that nobody here is in.
    for person, course in (("learner", "invite"), ("other", "draft")):
        connection.execute(
            "insert into public.past_cycles"
            " (user_id, course_id, cycle, enrollment_id, course_title, started_at, ended_at,"
            " completed_lessons, total_lessons, completed_weight, total_weight, progress_percent,"
            " view_time_seconds)"
            " values (%s, %s, 1, gen_random_uuid(), 'Before', now(), now(), 1, 1, 1, 1, 100, 0)",
            [world.users[person], world.courses[course]],
        )
        connection.execute(
            "insert into public.past_progress"
            " (user_id, course_id, cycle, lesson_id, status, progress, view_time_seconds,"
            " position_seconds, watched, attempts)"
            " values (%s, %s, 1, %s, 'completed', 1, 0, 0, '{}', 0)",
            [world.users[person], world.courses[course], world.lessons[course]],
        )
    for person in ("learner", "other"):
        connection.execute(
            "select private.notify(%s, 'attempt_graded', 'world', %s, '{}')",
            [world.users[person], world.courses["main"]],
        )
        for kind in ("enrollment", "certificate"):
            world.ids[f"{kind} of {person}"] = _one(
                connection,
                sql.SQL("select id::text from public.{}s where user_id = %s").format(sql.SQL(kind)),
                world.users[person],
            )
    return world


def remove(connection: Connection, world: World) -> None:
    """Take a world that was built for good away again."""
    for name in ("published", "draft"):
        program = world.ids[f"program {name}"]
        connection.execute("select private.delete_program(%s, true)", [program])
    for course in world.courses.values():
        connection.execute("select private.delete_course(%s, true)", [course])
    connection.execute(
        "delete from auth.users where id = any(%s::uuid[])", [list(world.users.values())]
    )
    connection.execute(
        "delete from public.certificates where course_id = any(%s)", [list(world.courses.values())]
    )


def _one(connection: Connection, query: Any, *arguments: Any) -> Any:
    row = connection.execute(query, arguments).fetchone()
    assert row is not None
    return row[0]
