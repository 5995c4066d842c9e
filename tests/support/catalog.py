"""Courses made by SQL, as small or as odd as a test needs them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from tests.stack import Stack


@dataclass(frozen=True)
class Module:
    """A module and its lessons, in order."""

    id: str
    lessons: list[str]


@dataclass(frozen=True)
class Course:
    """A course and its modules, in order."""

    id: int
    modules: list[Module]

    @property
    def lessons(self) -> list[str]:
        """All lessons, in the order of the course."""
        return [lesson for module in self.modules for lesson in module.lessons]


def make_course(
    stack: Stack, *modules: int | Sequence[Mapping[str, Any]], **columns: Any
) -> Course:
    """A published, open course.

    Each module is a number of plain lessons, or a list of lessons' columns: `make_course(stack, 3,
    [{"is_preview": True}, {}])` has three lessons, then a preview and a plain one.
    """
    tag = uuid.uuid4().hex
    values = {"slug": f"test-{tag}", "title": f"Course {tag[:6]}", "status": "published", **columns}
    with stack.connect() as connection:

        def insert(table: str, row: Mapping[str, Any]) -> Any:
            statement = sql.SQL("insert into {} ({}) values ({}) returning id").format(
                sql.Identifier("public", table),
                sql.SQL(", ").join(map(sql.Identifier, row)),
                sql.SQL(", ").join(sql.Placeholder() * len(row)),
            )
            found = connection.execute(statement, list(row.values())).fetchone()
            assert found is not None
            return found[0]

        course = insert("courses", values)
        made = []
        for m, wanted in enumerate(modules, 1):
            place = {"course_id": course, "position": m}
            module = insert("modules", {**place, "title": f"Module {m}"})
            lessons: Sequence[Mapping[str, Any]] = (
                [{}] * wanted if isinstance(wanted, int) else wanted
            )
            ids = [
                str(
                    insert(
                        "lessons",
                        {
                            "course_id": course,
                            "module_id": module,
                            "position": n,
                            "title": f"Lesson {m}.{n}",
                            **lesson,
                        },
                    )
                )
                for n, lesson in enumerate(lessons, 1)
            ]
            made.append(Module(str(module), ids))
    return Course(course, made)
