"""Promises 2 to 6 under random histories: the database and a plain Python model, step by step.

Learners act through the RPCs; authors through the RPCs and by raw edits of the tables. After every
step all counters, rows, events and answers are compared with the model, and with a recount.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from tests.database.actors import (
    Actor,
    Refused,
    drift,
    insert,
    make_course,
    make_lesson,
    make_users,
)
from tests.stack import Stack
from tests.support.model import Course, Lesson, Model, Module, Refusal, percent

ZONES = ("UTC", "Pacific/Auckland", "America/Los_Angeles")
PICK = st.integers(0, 999)
WEIGHT = st.sampled_from([1, 1, 2, 3, 7])
POSITION = st.integers(0, 4)
PAUSE = st.sampled_from([1, 1, 60, 6 * 3600])
RULES = st.sampled_from(["manual", "manual", "view", "submit", "pass"])

LOOK = """
select jsonb_build_object(
  'courses', (select jsonb_object_agg(c.id, jsonb_build_array(c.total_lessons, c.total_weight))
    from public.courses c where c.id = any (%(courses)s)),
  'modules', (select jsonb_object_agg(m.id, m.total_lessons)
    from public.modules m where m.course_id = any (%(courses)s)),
  'enrollments', (select coalesce(jsonb_object_agg(e.user_id || ' ' || e.course_id,
      jsonb_build_object(
        'status', e.status,
        'lessons', jsonb_build_array(e.completed_lessons, e.total_lessons),
        'weight', jsonb_build_array(e.completed_weight, e.total_weight),
        'percent', e.progress_percent::text,
        'completed_at', extract(epoch from e.completed_at)::bigint,
        'snapshot', e.completion_snapshot is not null,
        'last', extract(epoch from e.last_accessed_at)::bigint,
        'place', jsonb_build_array(e.current_module_id, e.current_lesson_id))), '{}')
    from public.enrollments e where e.user_id = any (%(users)s)),
  'progress', (select coalesce(jsonb_object_agg(p.user_id || ' ' || p.lesson_id,
      jsonb_build_object(
        'course', p.course_id, 'status', p.status, 'progress', p.progress::text,
        'position', p.position_seconds,
        'times', jsonb_build_array(extract(epoch from p.started_at)::bigint,
          extract(epoch from p.last_accessed)::bigint,
          extract(epoch from p.completed_at)::bigint))), '{}')
    from public.user_progress p where p.user_id = any (%(users)s)),
  'begun', (select coalesce(jsonb_object_agg(m.user_id || ' ' || m.module_id,
      jsonb_build_object(
        'course', m.course_id, 'lessons', jsonb_build_array(m.completed_lessons, m.total_lessons),
        'status', m.status,
        'times', jsonb_build_array(extract(epoch from m.started_at)::bigint,
          extract(epoch from m.completed_at)::bigint))), '{}')
    from public.module_progress m where m.user_id = any (%(users)s)),
  'waivers', (select coalesce(jsonb_agg(w.user_id || ' ' || w.lesson_id), '[]')
    from public.lesson_waivers w where w.user_id = any (%(users)s)),
  'days', (select coalesce(jsonb_object_agg(d.user_id || ' ' || d.day, d.lessons_completed), '{}')
    from public.daily_activity d where d.user_id = any (%(users)s)),
  'events', (select coalesce(jsonb_agg(jsonb_build_array(
      ev.kind, ev.user_id, ev.course_id, ev.module_id, ev.lesson_id) order by ev.id), '[]')
    from public.progress_events ev where ev.user_id = any (%(users)s))) as seen
"""


def seconds(when: datetime | None) -> int | None:
    """A time as the database is asked for it."""
    return None if when is None else int(when.timestamp())


class Waymark(RuleBasedStateMachine):
    """Learners and authors at random; `check` after every step."""

    stack: Stack
    operator: Actor
    learner: Actor
    server: Actor
    author: Actor

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.now = datetime.fromtimestamp(int(time.time()), UTC)
        self.users: list[uuid.UUID] = []

    @initialize(
        shapes=st.lists(
            st.lists(st.integers(0, 3), min_size=1, max_size=3), min_size=2, max_size=3
        ),
        enrolled=st.lists(st.booleans(), min_size=9, max_size=9),
    )
    def begin(self, shapes: list[list[int]], enrolled: list[bool]) -> None:
        self.users = make_users(self.operator, 3)
        (staff,) = make_users(self.operator)
        for user, zone in zip(self.users, ZONES, strict=True):
            self.operator.run("update profiles set timezone = %s where id = %s", zone, user)
            self.model.zones[user] = zone
        for shape in shapes:
            made = make_course(self.operator, shape)
            self.model.courses[made.id] = Course(made.id)
            insert(
                self.operator,
                "course_staff",
                {"course_id": made.id, "user_id": staff, "role": "author"},
            )
            for place, module_id in enumerate(made.modules):
                self.model.modules[module_id] = Module(module_id, made.id, place)
                for position, lesson_id in enumerate(made.lessons[place]):
                    self.model.lessons[lesson_id] = Lesson(lesson_id, module_id, position)
        self.author.become(staff)
        self.keys = {"courses": list(self.model.courses), "users": self.users}
        pairs = [(u, c) for u in self.users for c in self.model.courses]
        for (user, course_id), wanted in zip(pairs, enrolled, strict=False):
            if wanted:
                self.as_learner(user, 1)
                self.learner.call("enroll", p_course_id=course_id)
                self.model.enroll(user, course_id, self.now)
        self.check()

    # Picking and comparing ------------------------------------------------------------------------

    def pick(self, things: Any, number: int) -> Any:
        """One of them, the same one for the same number."""
        listed = list(things)
        return listed[number % len(listed)] if listed else None

    def user(self, number: int) -> uuid.UUID:
        return self.users[number % len(self.users)]

    def as_learner(self, user: uuid.UUID, pause: int) -> uuid.UUID:
        self.now += timedelta(seconds=pause)
        self.learner.become(user)
        self.learner.at(self.now)
        return user

    def as_author(self, by_rpc: bool, pause: int = 1) -> Actor:
        self.now += timedelta(seconds=pause)
        actor = self.author if by_rpc else self.server
        actor.at(self.now)
        return actor

    def both(self, real: Callable[[], Any], ideal: Callable[[], Any]) -> tuple[Any, Any]:
        """Do it in the database and in the model; both must refuse alike."""
        expected: Any = None
        refusal: Refusal | None = None
        try:
            expected = ideal()
        except Refusal as problem:
            refusal = problem
        if refusal is None:
            return real(), expected
        with pytest.raises(Refused) as refused:
            real()
        assert refused.value.code == refusal.code
        return None, None

    def answer(self, user: uuid.UUID, lesson_id: uuid.UUID, answer: Any, changed: Any) -> None:
        """What a command answers agrees with the model."""
        if answer is None:
            return
        lesson = self.model.lessons[lesson_id]
        course_id = self.model.course_of(lesson)
        row = self.model.progress.get((user, lesson_id))
        assert answer["changed"] == changed
        assert answer["progress"]["lesson_id"] == str(lesson_id)
        assert answer["progress"]["status"] == (row.status if row else "not_started")
        assert Decimal(str(answer["enrollment"]["progress_percent"])) == self.model.percent(
            user, course_id
        )
        if "next_lesson_id" in answer:
            expected = self.model.next_id(user, course_id)
            assert answer["next_lesson_id"] == (str(expected) if expected else None)

    def check(self) -> None:
        """Everything the database holds is what the model says, and what counting gives."""
        model, keys = self.model, self.keys
        row = self.operator.connection.execute(LOOK, keys).fetchone()
        assert row is not None
        seen = row["seen"]
        countable = {c: model.countable(c) for c in model.courses}
        assert seen["courses"] == {
            str(c): [len(x), sum(lesson.weight for lesson in x)] for c, x in countable.items()
        }
        assert (seen["modules"] or {}) == {
            str(m.id): len(model.countable(m.course_id, m.id)) for m in model.modules.values()
        }
        enrollments = {}
        for (user, course_id), e in model.enrollments.items():
            counted = model.counted(user, course_id)
            done = model.done(user, counted)
            weights = [sum(x.weight for x in y) for y in (done, counted)]
            enrollments[f"{user} {course_id}"] = {
                "status": e.status,
                "lessons": [len(done), len(counted)],
                "weight": weights,
                "percent": f"{percent(*weights):.2f}",
                "completed_at": seconds(e.completed_at),
                "snapshot": e.completed_at is not None,
                "last": seconds(e.last_accessed),
                "place": [str(x) for x in e.place] if e.place else [None, None],
            }
        assert seen["enrollments"] == enrollments
        assert seen["progress"] == {
            f"{user} {lesson_id}": {
                "course": model.course_of(model.lessons[lesson_id]),
                "status": p.status,
                "progress": f"{p.progress:.4f}",
                "position": p.position,
                "times": [seconds(x) for x in (p.started_at, p.last_accessed, p.completed_at)],
            }
            for (user, lesson_id), p in model.progress.items()
        }
        begun = {}
        for (user, module_id), m in model.begun.items():
            course_id = model.modules[module_id].course_id
            lessons = model.counted(user, course_id, module_id)
            begun[f"{user} {module_id}"] = {
                "course": course_id,
                "lessons": [len(model.done(user, lessons)), len(lessons)],
                "status": m.status,
                "times": [seconds(m.started_at), seconds(m.completed_at)],
            }
        assert seen["begun"] == begun
        assert set(seen["waivers"]) == {f"{user} {lesson}" for user, lesson in model.waivers}
        assert seen["days"] == {f"{user} {day}": n for (user, day), n in model.days.items()}
        expected = Counter(
            tuple(str(x) if isinstance(x, uuid.UUID) else x for x in event)
            for event in model.events
        )
        assert Counter(tuple(event) for event in seen["events"]) == expected
        assert drift(self.operator, keys["courses"]) == []

    def check_reads(self, user: uuid.UUID, course_id: int) -> None:
        """What the learner is shown of one course."""
        model = self.model
        self.learner.become(user)
        self.learner.at(self.now)
        if (user, course_id) not in model.enrollments:
            if model.courses[course_id].status != "published":
                with pytest.raises(Refused, match="course_not_found"):
                    self.learner.call("get_course_progress", p_course_id=course_id)
            else:
                for function in ("get_course_progress", "get_course_summary", "get_next_lesson"):
                    assert self.learner.call(function, p_course_id=course_id) is None
            return
        course = self.learner.call("get_course_progress", p_course_id=course_id)
        countable = model.counted(user, course_id)
        done = model.done(user, countable)
        shown = [x for x in model.lessons_of(course_id) if not x.archived]
        optional = [x for x in shown if not x.required and not x.preview]
        assert course["completed_lesson_ids"] == [str(x.id) for x in done]
        assert (course["total"], course["completed"]) == (len(countable), len(done))
        assert Decimal(str(course["percent"])) == model.percent(user, course_id)
        assert course["optional"] == {
            "total": len(optional),
            "completed": len(model.done(user, optional)),
            "completed_lesson_ids": [str(x.id) for x in model.done(user, optional)],
        }
        statuses = [
            (str(x.id), p.status if (p := model.progress.get((user, x.id))) else "not_started")
            for x in shown
        ]
        assert [(x["lesson_id"], x["status"]) for x in course["lessons"]] == statuses
        assert [(x["is_countable"], x["is_waived"]) for x in course["lessons"]] == [
            (x in countable, (user, x.id) in model.waivers) for x in shown
        ]
        modules = sorted(
            (m for m in model.modules.values() if m.course_id == course_id),
            key=lambda m: (m.position, m.id),
        )
        assert [m["module_id"] for m in course["modules"]] == [str(m.id) for m in modules]
        for module, row in zip(modules, course["modules"], strict=True):
            lessons = model.counted(user, course_id, module.id)
            finished = model.done(user, lessons)
            mine = model.begun.get((user, module.id))
            status = "not_started" if mine is None else mine.status
            assert (row["status"], row["total"], row["completed"]) == (
                status,
                len(lessons),
                len(finished),
            )
            assert Decimal(str(row["percent"])) == percent(len(finished), len(lessons))
        summary = self.learner.call("get_course_summary", p_course_id=course_id)
        working = [
            x
            for x in countable
            if (p := model.progress.get((user, x.id))) and p.status == "in_progress"
        ]
        assert [summary[x] for x in ("total", "completed", "in_progress", "not_started")] == [
            len(countable),
            len(done),
            len(working),
            len(countable) - len(done) - len(working),
        ]
        following = model.next_lesson(user, course_id)
        assert self.learner.call("get_next_lesson", p_course_id=course_id) == (
            following
            and {
                "lesson_id": str(following[0].id),
                "module_id": str(following[0].module_id),
                "review": following[1],
                "locked": None,
            }
        )

    # Learners -----------------------------------------------------------------------------------

    @rule(who=PICK, which=PICK, pause=PAUSE)
    def enroll(self, who: int, which: int, pause: int) -> None:
        user = self.as_learner(self.user(who), pause)
        course_id = self.pick(self.model.courses, which)
        answer, changed = self.both(
            lambda: self.learner.call("enroll", p_course_id=course_id),
            lambda: self.model.enroll(user, course_id, self.now),
        )
        if answer is not None:
            assert answer["changed"] == changed
        self.check()

    def lesson_command(
        self, function: str, who: int, which: int, pause: int, **arguments: Any
    ) -> None:
        lesson_id = self.pick(self.model.lessons, which)
        if lesson_id is None:
            return
        user = self.as_learner(self.user(who), pause)
        answer, changed = self.both(
            lambda: self.learner.call(function, p_lesson_id=lesson_id, **arguments),
            lambda: getattr(self.model, function)(user, lesson_id, self.now),
        )
        self.answer(user, lesson_id, answer, changed)
        self.check()
        self.check_reads(user, self.model.course_of(self.model.lessons[lesson_id]))

    @rule(who=PICK, which=PICK, pause=PAUSE)
    def start(self, who: int, which: int, pause: int) -> None:
        self.lesson_command("start_lesson", who, which, pause)

    @rule(who=PICK, which=PICK, pause=PAUSE, again=st.booleans())
    def complete(self, who: int, which: int, pause: int, again: bool) -> None:
        self.lesson_command("complete_lesson", who, which, pause)
        if again:
            self.lesson_command("complete_lesson", who, which, 1)

    @rule(who=PICK, which=PICK, pause=PAUSE)
    def complete_next(self, who: int, which: int, pause: int) -> None:
        user = self.user(who)
        following = self.model.next_lesson(user, self.pick(self.model.courses, which))
        if following:
            place = list(self.model.lessons).index(following[0].id)
            self.lesson_command("complete_lesson", who, place, pause)

    @rule(who=PICK, which=PICK, pause=PAUSE)
    def uncomplete(self, who: int, which: int, pause: int) -> None:
        self.lesson_command("uncomplete_lesson", who, which, pause, p_reason="not yet")

    @rule(
        who=PICK,
        which=PICK,
        pause=PAUSE,
        status=st.sampled_from([None, "not_started", "in_progress", "completed"]),
        position=st.sampled_from([None, -5, 0, 30, 200, 9000]),
        ago=st.sampled_from([None, -3600, 0, 1, 90, 7200, 10**6]),
        progress=st.sampled_from([None, "-1", "0", "0.25", "0.33334", "0.9", "1", "7"]),
    )
    def put(
        self,
        who: int,
        which: int,
        pause: int,
        status: str | None,
        position: int | None,
        ago: int | None,
        progress: str | None,
    ) -> None:
        lesson_id = self.pick(self.model.lessons, which)
        if lesson_id is None:
            return
        user = self.as_learner(self.user(who), pause)
        when = None if ago is None else self.now - timedelta(seconds=ago)
        share = None if progress is None else Decimal(progress)
        answer, changed = self.both(
            lambda: self.learner.call(
                "put_lesson_progress",
                p_lesson_id=lesson_id,
                p_status=status,
                p_position_seconds=position,
                p_last_accessed=when,
                p_progress=share,
            ),
            lambda: self.model.put(
                user,
                lesson_id,
                self.now,
                status=status,
                position=position,
                last_accessed=when,
                progress=None if share is None else round(share, 4),
            ),
        )
        self.answer(user, lesson_id, answer, changed)
        self.check()
        self.check_reads(user, self.model.course_of(self.model.lessons[lesson_id]))

    @rule(who=PICK, which=PICK, pause=PAUSE)
    def start_module(self, who: int, which: int, pause: int) -> None:
        module_id = self.pick(self.model.modules, which)
        user = self.as_learner(self.user(who), pause)
        self.both(
            lambda: self.learner.call("start_module", p_module_id=module_id),
            lambda: self.model.start_module(user, module_id, self.now),
        )
        self.check()

    @rule(who=PICK, which=PICK, pause=PAUSE)
    def complete_module(self, who: int, which: int, pause: int) -> None:
        module_id = self.pick(self.model.modules, which)
        user = self.as_learner(self.user(who), pause)
        answer, expected = self.both(
            lambda: self.learner.call("complete_module", p_module_id=module_id),
            lambda: self.model.complete_module(user, module_id, self.now),
        )
        course_id = self.model.modules[module_id].course_id
        if answer is not None:
            completed, still_open = expected
            assert answer["completed_lesson_ids"] == [str(x) for x in completed]
            assert [x["lesson_id"] for x in answer["open"]] == [str(x) for x in still_open]
            assert answer["changed"] == bool(completed)
            following = self.model.next_id(user, course_id)
            assert answer["next_lesson_id"] == (str(following) if following else None)
        self.check()
        self.check_reads(user, course_id)

    @rule(which=PICK, everyone=st.booleans())
    def recalculate(self, which: int, everyone: bool) -> None:
        if not self.model.enrollments:
            return
        user, course_id = self.pick(self.model.enrollments, which)
        if everyone:
            self.server.at(self.now)
            answer = self.server.call("recalculate", p_course_id=course_id)
        else:
            self.as_learner(user, 1)
            mine = self.learner.one(
                "select id from public.enrollments where course_id = %s", course_id
            )
            answer = self.learner.call("recalculate", p_enrollment_id=mine)
            assert answer["old_percent"] == answer["progress_percent"]
        # Promise 5: there is never anything to mend.
        assert answer["changed"] == 0
        self.check()

    # Staff --------------------------------------------------------------------------------------

    def exception(self, function: str, user: uuid.UUID, lesson_id: uuid.UUID | None) -> None:
        if lesson_id is None:
            return
        actor = self.as_author(False)
        answer, changed = self.both(
            lambda: actor.call(
                function, p_user_id=user, p_lesson_id=lesson_id, p_reason="An exception"
            ),
            lambda: getattr(self.model, function)(user, lesson_id, self.now),
        )
        self.answer(user, lesson_id, answer, changed)
        if answer is not None:
            assert answer["is_waived"] == ((user, lesson_id) in self.model.waivers)
        self.check()
        self.check_reads(user, self.model.course_of(self.model.lessons[lesson_id]))

    @rule(
        who=PICK,
        which=PICK,
        first=st.booleans(),
        completes=st.booleans(),
        back=st.sampled_from([False, False, True]),
    )
    def excuse(self, who: int, which: int, first: bool, completes: bool, back: bool) -> None:
        user = self.user(who)
        lesson_id = self.pick(self.model.lessons, which)
        # What stands in the way of the end is waived first: that is what finishes courses.
        following = self.model.next_lesson(user, self.pick(self.model.courses, which))
        if first and following:
            lesson_id = following[0].id
        self.exception("excuse_lesson", user, lesson_id)
        if completes and lesson_id is not None:
            place = list(self.model.lessons).index(lesson_id)
            self.lesson_command("complete_lesson", who, place, 1)
        if back:
            self.exception("unexcuse_lesson", user, lesson_id)

    @rule(which=PICK)
    def unexcuse(self, which: int) -> None:
        if self.model.waivers:
            self.exception("unexcuse_lesson", *self.pick(sorted(self.model.waivers), which))

    @rule(who=PICK, which=PICK)
    def complete_for(self, who: int, which: int) -> None:
        self.exception("complete_lesson_for", self.user(who), self.pick(self.model.lessons, which))

    @rule(who=PICK, which=PICK)
    def reopen_for(self, who: int, which: int) -> None:
        self.exception("reopen_lesson_for", self.user(who), self.pick(self.model.lessons, which))

    # Authors ------------------------------------------------------------------------------------

    @rule(
        which=PICK,
        by_rpc=st.booleans(),
        position=POSITION,
        weight=WEIGHT,
        required=st.sampled_from([True, True, False]),
        preview=st.sampled_from([False, False, True]),
        duration=st.sampled_from([None, 100]),
    )
    def create_lesson(
        self,
        which: int,
        by_rpc: bool,
        position: int,
        weight: int,
        required: bool,
        preview: bool,
        duration: int | None,
    ) -> None:
        module_id = self.pick(self.model.modules, which)
        fields = {
            "title": "New",
            "position": position,
            "weight": weight,
            "is_required": required,
            "is_preview": preview,
            "duration_seconds": duration,
        }
        actor = self.as_author(by_rpc)
        if by_rpc:
            made = actor.call("create_lesson", p_module_id=module_id, p_fields=fields)
            lesson_id = uuid.UUID(made["id"])
        else:
            lesson_id = make_lesson(actor, module_id, **fields)
        self.model.lessons[lesson_id] = Lesson(
            lesson_id, module_id, position, weight, required, preview, duration=duration
        )
        self.model.settle(self.now)
        self.check()

    @rule(which=PICK, by_rpc=st.booleans(), archived=st.booleans())
    def archive_or_restore(self, which: int, by_rpc: bool, archived: bool) -> None:
        lesson_id = self.pick(self.model.lessons, which)
        if lesson_id is None:
            return
        actor = self.as_author(by_rpc)
        if by_rpc:
            actor.call("archive_lesson" if archived else "restore_lesson", p_lesson_id=lesson_id)
        else:
            actor.run(
                "update public.lessons set archived_at = %s where id = %s",
                self.now if archived else None,
                lesson_id,
            )
        self.model.lessons[lesson_id].archived = archived
        self.model.settle(self.now)
        self.check()

    @rule(which=PICK, where=PICK, by_rpc=st.booleans(), position=POSITION)
    def move_lesson(self, which: int, where: int, by_rpc: bool, position: int) -> None:
        lesson_id = self.pick(self.model.lessons, which)
        if lesson_id is None:
            return
        module_id = self.pick(self.model.modules, where)
        actor = self.as_author(by_rpc)
        if by_rpc:
            actor.call(
                "move_lesson", p_lesson_id=lesson_id, p_module_id=module_id, p_position=position
            )
        else:
            actor.run(
                "update public.lessons set module_id = %s, position = %s where id = %s",
                module_id,
                position,
                lesson_id,
            )
        self.model.lessons[lesson_id].position = position
        self.model.move([lesson_id], module_id, self.now)
        self.check()

    @rule(which=st.lists(PICK, min_size=2, max_size=4), where=PICK)
    def move_several(self, which: list[int], where: int) -> None:
        if not self.model.lessons:
            return
        lesson_ids = {self.pick(self.model.lessons, x) for x in which}
        module_id = self.pick(self.model.modules, where)
        self.as_author(False).run(
            "update public.lessons set module_id = %s where id = any (%s)",
            module_id,
            list(lesson_ids),
        )
        self.model.move(lesson_ids, module_id, self.now)
        self.check()

    @rule(which=PICK, where=PICK, by_rpc=st.booleans(), position=POSITION)
    def move_module(self, which: int, where: int, by_rpc: bool, position: int) -> None:
        module = self.model.modules[self.pick(self.model.modules, which)]
        course_id = self.pick(self.model.courses, where)
        actor = self.as_author(by_rpc)
        if by_rpc:
            actor.call(
                "move_module", p_module_id=module.id, p_course_id=course_id, p_position=position
            )
        else:
            actor.run(
                "update public.modules set course_id = %s, position = %s where id = %s",
                course_id,
                position,
                module.id,
            )
        module.course_id, module.position = course_id, position
        self.model.settle(self.now)
        self.check()

    @rule(which=PICK, how=st.sampled_from(["rpc", "force", "raw"]))
    def delete_lesson(self, which: int, how: str) -> None:
        lesson_id = self.pick(self.model.lessons, which)
        if lesson_id is None:
            return
        actor = self.as_author(how != "raw")
        if how == "raw":
            try:
                self.model.delete_lesson(lesson_id, self.now, force=False, raw=True)
            except Refusal:
                with pytest.raises(psycopg.errors.ForeignKeyViolation):
                    actor.run("delete from public.lessons where id = %s", lesson_id)
            else:
                actor.run("delete from public.lessons where id = %s", lesson_id)
        else:
            force = how == "force"
            self.both(
                lambda: actor.call("delete_lesson", p_lesson_id=lesson_id, p_force=force),
                lambda: self.model.delete_lesson(lesson_id, self.now, force=force),
            )
        self.check()

    @rule(which=PICK, by=PICK, prepared=st.sampled_from([True, True, False]))
    def replace_lesson(self, which: int, by: int, prepared: bool) -> None:
        old, new = (self.pick(self.model.lessons, x) for x in (which, by))
        if old is None:
            return
        if prepared and self.model.lessons[new].countable:
            self.edit("is_required", "required", [by], False)
        course_id = self.model.course_of(self.model.lessons[old])
        before = {user: self.model.percent(user, course_id) for user in self.users}
        actor = self.as_author(True)
        answer, _ = self.both(
            lambda: actor.call(
                "replace_lesson", p_lesson_id=old, p_new_lesson_id=new, p_reason="A better one"
            ),
            lambda: self.model.replace(old, new, self.now),
        )
        self.check()
        if answer is not None:
            assert all(self.model.percent(user, course_id) >= before[user] for user in self.users)

    @rule(which=st.lists(PICK, min_size=1, max_size=3), preview=st.booleans())
    def toggle_preview(self, which: list[int], preview: bool) -> None:
        self.edit("is_preview", "preview", which, preview)

    @rule(which=st.lists(PICK, min_size=1, max_size=3), required=st.booleans())
    def toggle_required(self, which: list[int], required: bool) -> None:
        self.edit("is_required", "required", which, required)

    @rule(which=st.lists(PICK, min_size=1, max_size=3), weight=WEIGHT)
    def weigh(self, which: list[int], weight: int) -> None:
        self.edit("weight", "weight", which, weight)

    @rule(which=st.lists(PICK, min_size=1, max_size=3), position=POSITION)
    def place(self, which: list[int], position: int) -> None:
        self.edit("position", "position", which, position)

    @rule(which=st.lists(PICK, min_size=1, max_size=3), to=RULES)
    def change_rule(self, which: list[int], to: str) -> None:
        lesson_ids = self.edit("completion_rule", "rule", which, to, min_view_seconds=60)
        for lesson_id in lesson_ids:
            self.model.lessons[lesson_id].needed = {"view": 60, "pass": 70}.get(to, 1)

    def edit(
        self, column: str, name: str, which: list[int], value: Any, **more: Any
    ) -> list[uuid.UUID]:
        """One raw statement over several lessons."""
        lesson_ids = list({self.pick(self.model.lessons, x) for x in which} - {None})
        columns = {column: value, **more}
        self.as_author(False).run(
            f"update public.lessons set {', '.join(f'{x} = %s' for x in columns)} "
            "where id = any (%s)",
            *columns.values(),
            lesson_ids,
        )
        for lesson_id in lesson_ids:
            setattr(self.model.lessons[lesson_id], name, value)
        self.model.settle(self.now)
        self.check()
        return lesson_ids

    @rule(which=PICK, status=st.sampled_from(["draft", "published", "published", "archived"]))
    def publish(self, which: int, status: str) -> None:
        course_id = self.pick(self.model.courses, which)
        self.as_author(False).run(
            "update public.courses set status = %s where id = %s", status, course_id
        )
        self.model.courses[course_id].status = status
        self.check()
        self.check_reads(self.user(which), course_id)

    # Servers --------------------------------------------------------------------------------------

    @rule(who=PICK, which=PICK)
    def sell(self, who: int, which: int) -> None:
        user, course_id = self.user(who), self.pick(self.model.courses, which)
        if (user, course_id) in self.model.enrollments:
            return
        self.as_author(False).run(
            "insert into public.enrollments (user_id, course_id, purchase_id) "
            "values (%s, %s, 'order 1')",
            user,
            course_id,
        )
        self.model.add_enrollment(user, course_id, self.now)
        self.check()

    @rule(
        which=PICK,
        status=st.sampled_from(["active", "active", "withdrawn"]),
        left=st.sampled_from([None, None, 0, 3600]),
    )
    def withdraw_or_expire(self, which: int, status: str, left: int | None) -> None:
        if not self.model.enrollments:
            return
        user, course_id = self.pick(self.model.enrollments, which)
        server = self.as_author(False)
        expires = None if left is None else self.now + timedelta(seconds=left)
        server.run(
            "update public.enrollments set status = %s, expires_at = %s "
            "where user_id = %s and course_id = %s",
            status,
            expires,
            user,
            course_id,
        )
        self.model.set_status(user, course_id, status)
        self.model.enrollments[user, course_id].expires_at = expires
        self.check()

    @rule(which=PICK, attempts=st.integers(0, 1), score=st.sampled_from([None, 50, 70, 100]))
    def prove(self, which: int, attempts: int, score: int | None) -> None:
        """Facts that later doors will record: attempts, a score, a minute of watching."""
        if not self.model.progress:
            return
        user, lesson_id = self.pick(self.model.progress, which)
        self.operator.run(
            "update public.user_progress set attempts = %s, best_score = %s, "
            "view_time_seconds = %s where user_id = %s and lesson_id = %s",
            attempts,
            score,
            60 * attempts,
            user,
            lesson_id,
        )
        row = self.model.progress[user, lesson_id]
        row.attempts, row.best_score, row.view_seconds = attempts, score, 60 * attempts
        self.check()


def play(stack: Stack, **profile: Any) -> None:
    """Run histories on one set of connections."""
    cast = {
        "operator": Actor(stack),
        "learner": Actor(stack, "authenticated"),
        "server": Actor(stack, "service_role"),
        "author": Actor(stack, "authenticated"),
    }
    machine = type("Machine", (Waymark,), {"stack": stack, **cast})
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                deadline=None,
                database=None,
                print_blob=True,
                suppress_health_check=list(HealthCheck),
                **profile,
            ),
        )
    finally:
        for actor in cast.values():
            actor.close()


def test_random_histories_agree_with_the_model(stack: Stack) -> None:
    # The same histories every time: a plain run must not fail by luck.
    play(
        stack,
        derandomize=True,
        max_examples=12,
        stateful_step_count=40,
        phases=[Phase.generate],  # to shrink a failure, run the long one
    )


@pytest.mark.long
def test_many_fresh_histories_agree_with_the_model(stack: Stack) -> None:
    play(stack, max_examples=400, stateful_step_count=60)
