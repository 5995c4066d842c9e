"""What the tests of staff commands act on: a course, its staff, other staff, learners."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from tests.database.actors import Actor, Course, drift, insert, make_course, make_users

# All that a staff command may write, of one course and its people.
LOOK = """
select jsonb_build_object(
  'course', (select to_jsonb(c) from public.courses c where c.id = %(course)s),
  'modules', (select jsonb_agg(to_jsonb(m) order by m.id) from public.modules m
    where m.course_id = %(course)s),
  'lessons', (select jsonb_agg(to_jsonb(l) order by l.id) from public.lessons l
    where l.course_id = %(course)s),
  'cohorts', (select jsonb_agg(to_jsonb(g) order by g.id) from public.cohorts g
    where g.course_id = %(course)s),
  'enrollments', (select jsonb_agg(to_jsonb(e) order by e.id) from public.enrollments e
    where e.course_id = %(course)s),
  'progress', (select jsonb_agg(to_jsonb(p) order by p.user_id, p.lesson_id)
    from public.user_progress p where p.course_id = %(course)s),
  'module_progress', (select jsonb_agg(to_jsonb(m) order by m.user_id, m.module_id)
    from public.module_progress m where m.course_id = %(course)s),
  'waivers', (select jsonb_agg(to_jsonb(w) order by w.user_id, w.lesson_id)
    from public.lesson_waivers w where w.user_id = any (%(users)s)),
  'events', (select count(*) from public.progress_events v where v.course_id = %(course)s),
  'certificates', (select jsonb_agg(to_jsonb(x) order by x.id) from public.certificates x
    where x.course_id = %(course)s),
  'days', (select jsonb_agg(to_jsonb(d) order by d.user_id, d.day) from public.daily_activity d
    where d.user_id = any (%(users)s)),
  'audit', (select count(*) from public.audit_log a where a.course_id = %(course)s)) as seen
"""


class Scene:
    """One course and everyone around it; `act` is the connection of one of them."""

    def __init__(self, actors: Callable[..., Actor], lessons: Sequence[Any] = (2, 2)) -> None:
        self.actors = actors
        self.operator = actors()
        self.course: Course = make_course(self.operator, lessons)
        elsewhere = make_course(self.operator, [1])
        self.users: dict[str, uuid.UUID] = {}
        for course, prefix in ((self.course, ""), (elsewhere, "other ")):
            for role in ("author", "instructor", "assistant"):
                (user,) = make_users(self.operator)
                self.users[prefix + role] = user
                insert(
                    self.operator,
                    "course_staff",
                    {"course_id": course.id, "user_id": user, "role": role},
                )
        for name in ("learner", "stranger", "newcomer", "admin"):
            (self.users[name],) = make_users(self.operator)
        self.enrollment = self.enroll("learner")
        self.cohort = insert(
            self.operator, "cohorts", {"course_id": self.course.id, "name": "Autumn"}
        )["id"]
        # Not countable yet: what another lesson may be replaced by.
        self.spare = insert(
            self.operator,
            "lessons",
            {
                "id": uuid.uuid4(),
                "module_id": self.course.modules[0],
                "title": "Spare",
                "position": 9,
                "is_required": False,
            },
        )["id"]

    def act(self, name: str) -> Actor:
        """Connect as somebody; `server` is the service role, `anon` nobody."""
        if name == "server":
            return self.actors("service_role")
        if name == "anon":
            return self.actors("anon")
        actor = self.actors("authenticated", self.users[name])
        if name == "admin":
            claims = {
                "role": "authenticated",
                "sub": str(self.users[name]),
                "app_metadata": {"waymark_role": "admin"},
            }
            actor.run("select set_config('request.jwt.claims', %s, false)", json.dumps(claims))
        return actor

    def enroll(self, name: str) -> uuid.UUID:
        """Enrol one of the users; returns the enrolment's id."""
        row = insert(
            self.operator,
            "enrollments",
            {"user_id": self.users[name], "course_id": self.course.id},
        )
        found: uuid.UUID = row["id"]
        return found

    def row(self, name: str = "learner") -> dict[str, Any]:
        """The enrolment of one of the users."""
        (row,) = self.operator.run(
            "select * from public.enrollments where user_id = %s and course_id = %s",
            self.users[name],
            self.course.id,
        )
        return row

    def look(self) -> Any:
        """Everything there is, to be compared."""
        row = self.operator.connection.execute(
            LOOK, {"course": self.course.id, "users": list(self.users.values())}
        ).fetchone()
        assert row is not None
        return row["seen"]

    def audits(self) -> list[dict[str, Any]]:
        """The audit log of the course."""
        return self.operator.run(
            "select * from public.audit_log where course_id = %s order by id", self.course.id
        )

    def events(self, kind: str, name: str = "learner") -> list[dict[str, Any]]:
        """One learner's history of one kind."""
        return self.operator.run(
            "select * from public.progress_events where course_id = %s and user_id = %s"
            " and kind = %s order by id",
            self.course.id,
            self.users[name],
            kind,
        )

    def certificates(self, name: str = "learner") -> list[dict[str, Any]]:
        """The certificates of one learner in the course."""
        return self.operator.run(
            "select * from public.certificates where course_id = %s and user_id = %s",
            self.course.id,
            self.users[name],
        )

    def sound(self) -> None:
        """Every counter is what counting gives."""
        assert drift(self.operator, [self.course.id]) == []
