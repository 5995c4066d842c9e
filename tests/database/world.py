"""A small world in which everything changes: courses, a program, and who acts on them at random."""

from __future__ import annotations

import random
import time
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from shared.errors import CODES
from shared.replay import differences
from tests.database.actors import Actor, Refused, drift, insert, make_course, make_users
from tests.stack import Stack
from tests.support.world_model import LOOK, TABLES, Command, State, wrong

LIMIT = "update private.settings set value = %s where name = 'settle_limit'"
QUIZ = {"questions": [{"id": "q", "kind": "true_false", "text": "So?", "correct": True}]}
PASS: dict[str, Any] = {"completion_rule": "pass", "type": "quiz"}
REASON = "It is so"
# More would make steps slow, fewer leave nothing to do.
LESSONS = range(9, 20)


class Cast:
    """The connections: one for each kind of actor."""

    def __init__(self, stack: Stack) -> None:
        self.operator = Actor(stack)
        self.actors = {
            "learner": Actor(stack, "authenticated"),
            "author": Actor(stack, "authenticated"),
            "instructor": Actor(stack, "authenticated"),
            "admin": Actor(stack, "service_role"),
        }
        # Nothing here asks what a lost machine leaves: tests marked chaos do.
        for actor in (self.operator, *self.actors.values()):
            actor.run("set synchronous_commit = off")
        self.operator.run("set plan_cache_mode = force_generic_plan")

    def close(self) -> None:
        """Hang up."""
        for actor in (self.operator, *self.actors.values()):
            actor.close()


class World:
    """The courses, their people, and the commands that chance may choose."""

    def __init__(self, cast: Cast, learners: int = 4) -> None:
        self.cast = cast
        self.operator = operator = cast.operator
        self.limit = operator.one("select value from private.settings where name = 'settle_limit'")
        self.now = datetime.fromtimestamp(int(time.time()), UTC)
        # Whoever was merged is still looked for.
        self.everyone = [str(x) for x in make_users(operator, learners)]
        self.users = list(self.everyone)
        shapes: list[tuple[list[list[dict[str, Any]]], dict[str, Any]]] = [
            ([[{}, {}, PASS], [{"weight": 3}, {}]], {"sequential": True, "max_cycles": 3}),
            ([[{}, {"is_required": False}], [PASS, {}], [{"weight": 2}]], {}),
            (
                [[{}, {"completion_rule": "view", "min_view_seconds": 20}, {"weight": 5}], [PASS]],
                {"max_cycles": None, "staff_may_override": True},
            ),
        ]
        courses = [
            make_course(operator, modules, certificate_valid_months=None, **columns)
            for modules, columns in shapes
        ]
        self.courses = [course.id for course in courses]
        author, instructor = make_users(operator, 2)
        for course in courses:
            for user, role in ((author, "author"), (instructor, "instructor")):
                insert(
                    operator,
                    "course_staff",
                    {"course_id": course.id, "user_id": user, "role": role},
                )
        cast.actors["author"].become(author)
        cast.actors["instructor"].become(instructor)
        admin = cast.actors["admin"]
        for row in operator.run(
            "select id from public.lessons where course_id = any (%s) and type = 'quiz'",
            self.courses,
        ):
            admin.call("set_quiz", p_lesson_id=row["id"], p_quiz=Jsonb(QUIZ))
        drip = courses[1]
        admin.call("set_lesson_prerequisites", p_lesson_id=drip.all[3], p_requires=[drip.all[0]])
        admin.call(
            "set_module_prerequisites",
            p_module_id=drip.modules[2],
            p_requires=[drip.modules[0]],
        )
        admin.call(
            "update_module",
            p_module_id=drip.modules[1],
            p_fields=Jsonb({"available_after_days": 1}),
        )
        admin.call(
            "update_module",
            p_module_id=drip.modules[2],
            p_fields=Jsonb({"available_after_previous_days": 1}),
        )
        slugs = operator.run(
            "select slug from public.courses where id = any (%s) order by id", self.courses
        )
        self.program = admin.call(
            "put_program",
            p_document=Jsonb(
                {
                    "slug": f"p-{uuid.uuid4()}",
                    "title": "Program",
                    "status": "published",
                    "courses": [{"course": slugs[n]["slug"]} for n in (0, 2)],
                }
            ),
        )["program_id"]
        self.tried: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.told: list[str] = []
        self.begun = self.now
        self.first = self.since = operator.one(
            "select coalesce(max(id), 0) from public.progress_events"
        )
        self.written = 0
        self.events = 0
        self.state = State({name: {} for name in TABLES}, [], 0)
        self.state = self.look()

    # Looking --------------------------------------------------------------------------------------

    def look(self, whole: bool = False) -> State:
        """All rows as they are, and the events since the last look.

        Asks only for rows written since then, but when rows have gone, or the whole is wanted.
        """
        values = {
            "courses": self.courses,
            "users": self.everyone,
            "since": self.since,
            "written": 0 if whole else self.written,
            # What is imported may have been begun forty days before.
            "begun": self.begun - timedelta(days=45),
            "now": self.now + timedelta(days=3),
        }
        seen = self.operator.connection.execute(LOOK, values).fetchone()
        assert seen is not None
        rows = {}
        for name in TABLES:
            known = State.table(name, {} if whole else self.state.rows[name], *seen[name])
            if known is None:
                assert not whole, name
                return self.look(whole=True)
            rows[name] = known
        if seen["events"]:
            self.since = seen["events"][-1]["id"]
            self.events += len(seen["events"])
        self.written = seen["written"]
        return State(rows, seen["events"], seen["audit"], self.state)

    # Choosing -------------------------------------------------------------------------------------

    def choose(self, chance: random.Random) -> Command | None:
        """What comes next; none when chance chose what cannot be."""
        ways: list[Callable[[random.Random], Command | None]] = [
            self.work, self.edit, self.arrange, self.require, self.staff, self.certify,
            self.settle, self.merge, self.take_over,
        ]  # fmt: skip
        (way,) = chance.choices(ways, weights=[60, 11, 6, 5, 12, 3, 3, 0.4, 4])
        return way(chance)

    def lesson(self, chance: random.Random, course: int | None = None) -> str:
        """Any lesson, of that course if told."""
        found = [x["id"] for x in self.state.lessons.values() if course in (None, x["course_id"])]
        return str(chance.choice(found or [x["id"] for x in self.state.lessons.values()]))

    def module(self, chance: random.Random, course: int | None = None) -> str:
        """Any module, of that course if told."""
        return str(
            chance.choice(
                [x["id"] for x in self.state.modules.values() if course in (None, x["course_id"])]
            )
        )

    def required(self, chance: random.Random, side: str) -> str | None:
        """A lesson that requires another, or is required by one."""
        found = [x[side] for x in self.state.rows["lesson_prerequisites"].values()]
        return str(chance.choice(found)) if found else None

    def date(self, chance: random.Random) -> str | None:
        """Around now."""
        days = chance.choice([None, None, -3, -1, 1, 2])
        return None if days is None else (self.now + timedelta(days=days)).isoformat()

    def work(self, chance: random.Random) -> Command | None:
        """What a learner does; mostly at what comes next, so that courses get finished."""
        user = chance.choice(self.users)
        course = chance.choice(self.courses)
        lesson = self.lesson(chance, course)
        open_ones = [
            x["id"] for x in self.state.counted(user, course) if not self.state.done(user, x["id"])
        ]
        if open_ones and chance.random() < 0.7:
            lesson = chance.choice(open_ones[:2])
        if chance.random() < 0.15:
            lesson = self.required(chance, "lesson_id") or lesson
            course = self.state.lessons[lesson]["course_id"]
        row = self.state.lessons[lesson]
        rule = row["completion_rule"]

        def of(function: str, **arguments: Any) -> Command:
            return Command("learner", function, {"p_lesson_id": lesson, **arguments}, user, lesson)

        def on(function: str) -> Command:
            return Command("learner", function, {"p_course_id": course}, user)

        if (user, course) not in self.state.enrollments and chance.random() < 0.7:
            if chance.random() < 0.2:
                return Command("learner", "enroll_program", {"p_program_id": self.program}, user)
            return on("enroll")
        match chance.choices(range(14), weights=[4, 14, 3, 4, 4, 6, 5, 2, 2, 1.5, 1.5, 5, 2, 1])[0]:
            case 0:
                return of("start_lesson")
            case 1:
                if rule == "pass":
                    return of("submit_quiz", p_answers=self.answers(chance))
                if rule == "view":
                    return self.view(chance, user, lesson)
                return of("complete_lesson")
            case 2:
                return of("uncomplete_lesson", p_reason=REASON)
            case 3:
                return of(
                    "put_lesson_progress",
                    p_status=chance.choice([None, "in_progress", "completed", "not_started"]),
                    p_position_seconds=chance.choice([None, 0, 40]),
                    p_progress=chance.choice([None, 0.5, 1.0]),
                )
            case 4:
                return self.view(chance, user, lesson)
            case 5:
                quizzes = [
                    x["id"]
                    for x in self.state.lessons.values()
                    if x["course_id"] == course and x["type"] == "quiz"
                ]
                lesson = chance.choice(quizzes or [lesson])
                return of("submit_quiz", p_answers=self.answers(chance))
            case 6:
                return self.batch(chance, user, course, lesson)
            case 7:
                return on("leave_course")
            case 8:
                return on("enroll")
            case 9:
                module = self.module(chance, course)
                return Command("learner", "complete_module", {"p_module_id": module}, user, lesson)
            case 10:
                module = self.module(chance, course)
                return Command("learner", "start_module", {"p_module_id": module}, user)
            case 11:
                ready = [
                    c for (u, c), e in self.state.enrollments.items()
                    if u == user and e["completed_at"]
                ]  # fmt: skip
                course = chance.choice(ready or [course])
                return on("retake_course")
            case 12:
                return of("start_attempt")
            case _:
                mine = self.state.enrollments.get((user, course))
                if mine is None:
                    return None
                return Command("learner", "recalculate", {"p_enrollment_id": mine["id"]}, user)

    def answers(self, chance: random.Random) -> Jsonb:
        """Right mostly."""
        return Jsonb([{"question_id": "q", "answer": chance.random() < 0.7}])

    def view(self, chance: random.Random, user: str, lesson: str) -> Command:
        """A heartbeat of the one session that a learner has in a lesson."""
        session = uuid.uuid5(uuid.UUID(user), lesson)
        arguments = {
            "p_lesson_id": lesson,
            "p_session_id": session,
            "p_seconds": chance.choice([10, 30, 60]),
        }
        return Command("learner", "view_lesson", arguments, user, lesson)

    def batch(self, chance: random.Random, user: str, course: int, lesson: str) -> Command:
        """A few late events; alone or together with others of the course."""
        events = []
        for n in range(chance.choice([1, 1, 2, 4])):
            one = lesson if n == 0 else self.lesson(chance, course)
            event: dict[str, Any] = {
                "id": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
                "at": (self.now - timedelta(seconds=chance.choice([0, 60, 90000]))).isoformat(),
                "kind": chance.choice(["start", "complete", "complete", "position", "view"]),
                "lesson_id": one,
            }
            if event["kind"] == "position":
                event["position_seconds"] = 30
            elif event["kind"] == "view":
                event |= {"session_id": str(uuid.uuid5(uuid.UUID(user), one)), "seconds": 30}
            events.append(event)
        arguments = {"p_events": Jsonb(events)}
        return Command("learner", "apply_events", arguments, user, lesson)

    def edit(self, chance: random.Random) -> Command | None:
        """What an author does to lessons."""
        lesson = self.lesson(chance)
        row = self.state.lessons[lesson]
        many = len(self.state.lessons)

        def of(function: str, **arguments: Any) -> Command:
            return Command("author", function, {"p_lesson_id": lesson, **arguments}, None, lesson)

        def fields(**values: Any) -> Command:
            return of("update_lesson", p_fields=Jsonb(values))

        match chance.randrange(10):
            case 0 if many < LESSONS.stop:
                made = {
                    "title": "New",
                    "position": chance.randrange(4),
                    "weight": chance.choice([1, 1, 2, 4]),
                    "is_required": chance.random() < 0.7,
                }
                arguments = {"p_module_id": self.module(chance), "p_fields": Jsonb(made)}
                return Command("author", "create_lesson", arguments)
            case 1:
                return of("archive_lesson")
            case 2 | 3:
                archived = [x["id"] for x in self.state.lessons.values() if x["archived_at"]]
                lesson = chance.choice(archived or [lesson])
                return of("restore_lesson")
            case 4 if many > LESSONS.start:
                return of("delete_lesson", p_force=chance.random() < 0.4)
            case 5:
                return fields(weight=chance.choice([1, 2, 3, 7]))
            case 6:
                return fields(is_required=chance.random() < 0.7)
            case 7:
                return fields(is_preview=chance.random() < 0.2)
            case 8:
                rule = chance.choice(["manual", "manual", "view", "submit", "pass"])
                if rule in ("submit", "pass") and row["type"] != "quiz":
                    rule = "manual"
                return fields(completion_rule=rule, min_view_seconds=20)
            case _:
                old = chance.choice([x["id"] for x in self.state.lessons.values()])
                spare = [
                    x["id"]
                    for x in self.state.lessons.values()
                    if x["course_id"] == self.state.lessons[old]["course_id"]
                    and not self.state.countable(x)
                ]
                lesson = chance.choice(spare or [lesson])
                return Command(
                    "author",
                    "replace_lesson",
                    {"p_lesson_id": old, "p_new_lesson_id": lesson, "p_reason": REASON},
                    None,
                    lesson,
                )

    def arrange(self, chance: random.Random) -> Command | None:
        """What an author does to the order of lessons, to modules and courses."""
        match chance.randrange(7):
            case 0:
                module = self.module(chance)
                ids = [
                    x["id"]
                    for x in self.state.lessons.values()
                    if x["module_id"] == module and not x["archived_at"]
                ]
                chance.shuffle(ids)
                arguments: dict[str, Any] = {
                    "p_module_id": module,
                    "p_lesson_ids": [uuid.UUID(x) for x in ids],
                }
                return Command("author", "reorder_lessons", arguments)
            case 1 | 2:
                lesson = self.lesson(chance)
                near = self.state.lessons[lesson]["course_id"] if chance.random() < 0.6 else None
                arguments = {
                    "p_lesson_id": lesson,
                    "p_module_id": self.module(chance, near),
                    "p_position": chance.randrange(4),
                }
                return Command("author", "move_lesson", arguments, None, lesson)
            case 3:
                rule = chance.choice(["all_lessons", "quiz_passed"])
                arguments = {
                    "p_module_id": self.module(chance),
                    "p_fields": Jsonb({"completion_rule": rule}),
                }
                return Command("author", "update_module", arguments)
            case 4:
                status = chance.choice(["draft", "published", "archived"])
                arguments = {"p_course_id": chance.choice(self.courses), "p_status": status}
                return Command("author", "set_course_status", arguments)
            case 5:
                fields = chance.choice(
                    [
                        {"sequential": True},
                        {"sequential": False},
                        {"max_cycles": 1},
                        {"max_cycles": 3},
                    ]
                )
                arguments = {"p_course_id": chance.choice(self.courses), "p_fields": Jsonb(fields)}
                return Command("author", "update_course", arguments)
            case _:
                hidden = [
                    c["id"] for c in self.state.courses.values() if c["status"] != "published"
                ]
                arguments = {
                    "p_course_id": chance.choice(hidden or self.courses),
                    "p_status": "published",
                }
                return Command("author", "set_course_status", arguments)

    def require(self, chance: random.Random) -> Command | None:
        """What an author does to what locks lessons."""
        course = self.courses[1] if chance.random() < 0.7 else chance.choice(self.courses)
        lesson, module = self.lesson(chance, course), self.module(chance, course)
        dates = {
            "available_from": self.date(chance),
            "available_after_days": chance.choice([None, None, 1]),
            "available_after_previous_days": chance.choice([None, None, 0, 1]),
        }
        match chance.randrange(7):
            case 0:
                ids = [] if chance.random() < 0.4 else [uuid.UUID(self.lesson(chance, course))]
                arguments: dict[str, Any] = {"p_lesson_id": lesson, "p_requires": ids}
                return Command("author", "set_lesson_prerequisites", arguments, None, lesson)
            case 1:
                ids = [] if chance.random() < 0.4 else [uuid.UUID(self.module(chance, course))]
                arguments = {"p_module_id": module, "p_requires": ids}
                return Command("author", "set_module_prerequisites", arguments)
            case 2 | 3:
                arguments = {"p_lesson_id": lesson, "p_fields": Jsonb(dates)}
                return Command("author", "update_lesson", arguments, None, lesson)
            case 4:
                arguments = {"p_module_id": module, "p_fields": Jsonb(dates)}
                return Command("author", "update_module", arguments)
            case _:
                arguments = {
                    "p_user_id": chance.choice(self.users),
                    "p_lesson_id": lesson,
                    "p_available_from": self.date(chance),
                    "p_reason": REASON,
                }
                if chance.random() < 0.5:
                    arguments["p_module_id"] = module
                    del arguments["p_lesson_id"]
                return Command("instructor", "set_access_override", arguments)

    def staff(self, chance: random.Random) -> Command | None:
        """What staff and admins do for one learner."""
        actor = chance.choice(["instructor", "admin"])
        if not self.state.enrollments:
            return None
        user, course = chance.choice(list(self.state.enrollments))
        row = self.state.enrollments[user, course]
        lesson = self.lesson(chance, course)
        match chance.randrange(10):
            case 0 | 1:
                function = "excuse_lesson"
                if chance.random() < 0.4:
                    lesson = self.required(chance, "requires_lesson_id") or lesson
            case 2:
                function = "unexcuse_lesson"
                mine = sorted(x for who, x in self.state.waivers if who == user)
                lesson = chance.choice(mine or [lesson])
            case 3 | 4:
                function = "complete_lesson_for"
            case 5:
                function = "reopen_lesson_for"
            case 6:
                arguments = {"p_enrollment_id": row["id"], "p_reason": REASON}
                return Command(actor, "withdraw_enrollment", arguments, user)
            case 7:
                away = [e["id"] for e in self.state.enrollments.values() if e["status"] != "active"]
                arguments = {
                    "p_enrollment_id": chance.choice(away or [row["id"]]),
                    "p_reason": REASON,
                }
                return Command(actor, "reinstate_enrollment", arguments)
            case 8:
                arguments = {
                    "p_enrollment_id": row["id"],
                    "p_reason": REASON,
                    "p_expires_at": self.date(chance),
                }
                return Command(actor, "extend_enrollment", arguments, user)
            case _:
                arguments = {"p_user_id": user, "p_course_id": course, "p_reason": REASON}
                return Command(actor, "start_cycle", arguments, user)
        arguments = {"p_user_id": user, "p_lesson_id": lesson, "p_reason": REASON}
        return Command(actor, function, arguments, user, lesson)

    def certify(self, chance: random.Random) -> Command | None:
        """What admins do to certificates."""
        held = list(self.state.rows["certificates"].values())
        if not held or chance.random() < 0.3:
            arguments = {
                "p_course_id": chance.choice(self.courses),
                "p_dry_run": False,
                "p_reason": REASON,
            }
            return Command("admin", "issue_certificates", arguments)
        function = chance.choice(
            ["revoke_certificate", "reinstate_certificate", "reissue_certificate"]
        )
        arguments = {"p_certificate_id": chance.choice(held)["id"], "p_reason": REASON}
        return Command("admin", function, arguments)

    def settle(self, chance: random.Random) -> Command | None:
        """What the worker does after a large edit."""
        behind = [c["id"] for c in self.state.courses.values() if c["is_settling"]]
        arguments = {
            "p_course_id": chance.choice(behind or self.courses),
            "p_limit": chance.choice([1, 2, 100]),
        }
        return Command("admin", "settle_course", arguments)

    def merge(self, chance: random.Random) -> Command | None:
        """Two accounts become one."""
        gone, stays = chance.sample(self.users, 2)
        arguments = {"p_from": gone, "p_into": stays, "p_reason": REASON}
        return Command("admin", "merge_users", arguments, stays)

    def take_over(self, chance: random.Random) -> Command | None:
        """What admins bring along from elsewhere, and a key that was wrong."""
        user, lesson = chance.choice(self.users), self.lesson(chance)
        if self.state.lessons[lesson]["is_preview"]:
            return None
        quizzes = [x["id"] for x in self.state.lessons.values() if x["type"] == "quiz"]
        match chance.randrange(4):
            case 0:
                begun = self.now - timedelta(days=chance.choice([0, 1, 40]), hours=1)
                row = {"line": 1, "user": user, "lesson": lesson, "status": "in_progress"}
                row["started_at"] = begun.isoformat()
                if chance.random() < 0.6:
                    row |= {"status": "completed", "completed_at": self.now.isoformat()}
                arguments: dict[str, Any] = {"p_rows": Jsonb([row])}
                return Command("admin", "import_progress", arguments, user, lesson)
            case 1 if quizzes:
                quiz = chance.choice(quizzes)
                arguments = {
                    "p_user_id": user,
                    "p_lesson_id": quiz,
                    "p_percent": chance.choice([0, 50, 100]),
                    "p_reason": REASON,
                }
                return Command("admin", "import_attempt", arguments, user, quiz)
            case 2 if quizzes:
                quiz = chance.choice(quizzes)
                other = [{**QUIZ["questions"][0], "correct": chance.random() < 0.5}]
                arguments = {"p_lesson_id": quiz, "p_quiz": Jsonb({"questions": other})}
                return Command("admin", "set_quiz", arguments, None, quiz)
            case _ if quizzes:
                arguments = {"p_lesson_id": chance.choice(quizzes), "p_dry_run": False}
                arguments |= {"p_allow_fail": chance.random() < 0.5, "p_reason": REASON}
                return Command("admin", "regrade_lesson", arguments)
        return None

    # Doing ----------------------------------------------------------------------------------------

    def call(self, command: Command, actor: Actor) -> tuple[Any, str | None]:
        """The answer, or the code of the refusal, which is a known one and no fault of ours."""
        self.tried[command.function] += 1
        try:
            return actor.call(command.function, **command.arguments), None
        except Refused as refused:
            known = CODES.get(refused.code)
            if known is None or not known.status == refused.status < 500:
                raise
            self.refused[refused.code] += 1
            return None, refused.code

    def step(self, chance: random.Random) -> None:
        """One command, and everything that must hold of it."""
        command = self.choose(chance)
        self.now += timedelta(seconds=chance.choice([1, 1, 30, 60, 60, 3600, 6 * 3600]))
        if command is None:
            return
        actor = self.cast.actors[command.actor]
        if command.actor == "learner" and str(actor.user) != command.user:
            actor.become(uuid.UUID(command.user))
        actor.at(self.now)
        large = command.actor == "author" and chance.random() < 0.15
        if large:
            self.operator.run(LIMIT, "0")
        before = self.state
        try:
            answer, refusal = self.call(command, actor)
        finally:
            if large:
                self.operator.run(LIMIT, self.limit)
        self.state = self.look()
        self.told.append(f"{self.now:%d %H:%M:%S} {command} -> {refusal or 'done'}")
        problems = list(wrong(before, self.state, command, answer, refusal, self.now))
        assert problems == [], "\n".join([*self.told[-12:], *problems])
        if command.function == "merge_users" and refusal is None:
            self.users.remove(command.arguments["p_from"])
            (new,) = make_users(self.operator)
            self.users.append(str(new))
            self.everyone.append(str(new))
            self.state = self.look()

    def settle_all(self) -> None:
        """The worker comes by, and then nothing is left to count, by Python or by SQL."""
        admin = self.cast.actors["admin"]
        for course in self.courses:
            cursor = None
            while True:
                done = admin.call("settle_course", p_course_id=course, p_cursor=cursor)
                cursor = done["cursor"]
                if not done["settling"]:
                    break
        self.state = self.look()
        # What was seen in parts must be the whole.
        assert self.look(whole=True).changes(self.state) == {}
        assert not self.state.any_settling()
        problems = list(self.state.problems())
        assert problems == [], "\n".join([*self.told[-12:], *problems])
        for row in drift(self.operator, self.courses):
            user, _, module = row["which"].partition(" ")
            assert row["what"] == "module", row
            assert self.state.passed_by(user, self.state.modules[module]["course_id"]), row

    def count_events(self) -> None:
        """No step told of anything at a time where nobody looked."""
        count = "select count(*) from public.progress_events where user_id = any (%s) and id > %s"
        assert self.operator.one(count, self.everyone, self.first) == self.events

    def replay_all(self) -> None:
        """The history of each of them says what the tables hold."""
        admin = self.cast.actors["admin"]
        for user in self.users:
            history = admin.call("get_learner_history", p_user_id=user)
            found = list(differences(history))
            assert found == [], "\n".join([*self.told[-12:], user, *found])
