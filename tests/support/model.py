"""What Waymark promises, in plain Python: no counters, everything counted anew.

The stateful test drives the database and this model alike and compares them after every step. It
is written from the design (words, promises 2 to 6, the table of routes), not from the SQL.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo


class Refusal(Exception):
    """What the database must answer instead, by its registered code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def percent(earned: int, possible: int) -> Decimal:
    """earned / possible, half up to two places, 100 only when everything is earned."""
    if possible <= 0:
        return Decimal(0)
    if earned >= possible:
        return Decimal(100)
    hundredths = (20000 * earned + possible) // (2 * possible)
    return Decimal(min(hundredths, 9999)) / 100


@dataclass
class Course:
    """A course: who may enter it."""

    id: int
    status: str = "published"
    enrollment_mode: str = "open"


@dataclass
class Module:
    """A module: its place."""

    id: uuid.UUID
    course_id: int
    position: int


@dataclass
class Lesson:
    """A lesson: its place, whether it counts, and what completes it."""

    id: uuid.UUID
    module_id: uuid.UUID
    position: int
    weight: int = 1
    required: bool = True
    preview: bool = False
    archived: bool = False
    rule: str = "manual"
    duration: int | None = None
    needed: int = 1

    @property
    def countable(self) -> bool:
        """Required, no preview, not archived."""
        return self.required and not self.preview and not self.archived


@dataclass
class Progress:
    """A learner's row of one lesson."""

    status: str
    started_at: datetime
    last_accessed: datetime
    progress: Decimal = Decimal(0)
    position: int = 0
    completed_at: datetime | None = None
    completed_on: date | None = None
    attempts: int = 0
    best_score: int | None = None
    view_seconds: int = 0

    @property
    def completed(self) -> bool:
        """Whether the lesson is done."""
        return self.status == "completed"


@dataclass
class ModuleProgress:
    """A learner's row of one module that was begun, or in which a lesson is waived."""

    started_at: datetime | None
    completed_at: datetime | None = None
    complete: bool = False

    @property
    def status(self) -> str:
        """As the database calls it."""
        if self.complete:
            return "completed"
        return "not_started" if self.started_at is None else "in_progress"


@dataclass
class Enrollment:
    """A learner in a course; counts are never kept here."""

    status: str = "active"
    expires_at: datetime | None = None
    completed_at: datetime | None = None
    last_accessed: datetime | None = None
    place: tuple[uuid.UUID, uuid.UUID] | None = None


@dataclass
class Model:
    """The whole world of one test."""

    zones: dict[uuid.UUID, str] = field(default_factory=dict)
    courses: dict[int, Course] = field(default_factory=dict)
    modules: dict[uuid.UUID, Module] = field(default_factory=dict)
    lessons: dict[uuid.UUID, Lesson] = field(default_factory=dict)
    enrollments: dict[tuple[uuid.UUID, int], Enrollment] = field(default_factory=dict)
    progress: dict[tuple[uuid.UUID, uuid.UUID], Progress] = field(default_factory=dict)
    begun: dict[tuple[uuid.UUID, uuid.UUID], ModuleProgress] = field(default_factory=dict)
    waivers: set[tuple[uuid.UUID, uuid.UUID]] = field(default_factory=set)
    days: dict[tuple[uuid.UUID, date], int] = field(default_factory=dict)
    # (kind, learner, course, module or None, lesson or None)
    events: list[tuple[Any, ...]] = field(default_factory=list)

    # What can be counted ------------------------------------------------------------------------

    def course_of(self, lesson: Lesson) -> int:
        """The course that a lesson stands in."""
        return self.modules[lesson.module_id].course_id

    def lessons_of(self, course_id: int, module_id: uuid.UUID | None = None) -> list[Lesson]:
        """A course's lessons, archived ones too, in learning order."""
        found = [
            lesson
            for lesson in self.lessons.values()
            if self.course_of(lesson) == course_id and module_id in (None, lesson.module_id)
        ]

        def order(lesson: Lesson) -> tuple[int, uuid.UUID, int, uuid.UUID]:
            module = self.modules[lesson.module_id]
            return (module.position, module.id, lesson.position, lesson.id)

        return sorted(found, key=order)

    def countable(self, course_id: int, module_id: uuid.UUID | None = None) -> list[Lesson]:
        """The lessons that percent counts."""
        return [lesson for lesson in self.lessons_of(course_id, module_id) if lesson.countable]

    def counted(
        self, user: uuid.UUID, course_id: int, module_id: uuid.UUID | None = None
    ) -> list[Lesson]:
        """The lessons that one learner's percent counts: not those that are waived."""
        return [
            lesson
            for lesson in self.countable(course_id, module_id)
            if (user, lesson.id) not in self.waivers
        ]

    def done(self, user: uuid.UUID, lessons: Iterable[Lesson]) -> list[Lesson]:
        """Those of the lessons that the learner has completed."""
        return [
            lesson
            for lesson in lessons
            if (row := self.progress.get((user, lesson.id))) is not None and row.completed
        ]

    def percent(self, user: uuid.UUID, course_id: int) -> Decimal:
        """A learner's percent, by weight."""
        countable = self.counted(user, course_id)
        done = self.done(user, countable)
        return percent(sum(x.weight for x in done), sum(x.weight for x in countable))

    def next_lesson(self, user: uuid.UUID, course_id: int) -> tuple[Lesson, bool] | None:
        """Where to continue: a lesson and whether it is a review; null when nothing is there."""
        draft = self.courses[course_id].status == "draft"

        def accessible(lesson: Lesson) -> bool:
            return not draft or (user, lesson.id) in self.progress

        countable = self.counted(user, course_id)
        done = {lesson.id for lesson in self.done(user, countable)}
        for lesson in countable:
            if lesson.id not in done and accessible(lesson):
                return lesson, False
        if len(done) < len(countable):
            return None
        for lesson in self.lessons_of(course_id):
            if not lesson.archived and accessible(lesson):
                return lesson, True
        return None

    def next_id(self, user: uuid.UUID, course_id: int) -> uuid.UUID | None:
        """What a completion names as next: no reviews."""
        found = self.next_lesson(user, course_id)
        return None if found is None or found[1] else found[0].id

    # What follows from every change ---------------------------------------------------------------

    def settle(self, now: datetime) -> None:
        """Finish what has become complete: modules each time, courses the first time."""
        for (user, module_id), row in self.begun.items():
            module = self.modules[module_id]
            countable = self.counted(user, module.course_id, module_id)
            complete = bool(countable) and len(self.done(user, countable)) == len(countable)
            if complete and not row.complete:
                row.completed_at = row.completed_at or now
                self.events.append(("module_completed", user, module.course_id, module_id, None))
            row.complete = complete
        for (user, course_id), enrollment in self.enrollments.items():
            if enrollment.completed_at is None and self.percent(user, course_id) == 100:
                enrollment.completed_at = now
                self.events.append(("course_completed", user, course_id, None, None))

    def _tell(self, kind: str, user: uuid.UUID, lesson: Lesson, module_id: uuid.UUID) -> None:
        self.events.append((kind, user, self.course_of(lesson), module_id, lesson.id))

    def set_status(self, user: uuid.UUID, course_id: int, status: str) -> None:
        """Withdraw an enrolment, or let it go on."""
        enrollment = self.enrollments[user, course_id]
        if enrollment.status != status:
            kind = "enrolled" if status == "active" else "unenrolled"
            self.events.append((kind, user, course_id, None, None))
        enrollment.status = status

    # Learners ----

    def _active(self, user: uuid.UUID, course_id: int, now: datetime) -> Enrollment:
        enrollment = self.enrollments.get((user, course_id))
        if enrollment is None:
            raise Refusal("not_enrolled")
        if enrollment.status != "active":
            raise Refusal("enrollment_inactive")
        if enrollment.expires_at is not None and enrollment.expires_at <= now:
            raise Refusal("enrollment_expired")
        return enrollment

    def _open(self, user: uuid.UUID, lesson_id: uuid.UUID, now: datetime) -> Lesson:
        lesson = self.lessons.get(lesson_id)
        if lesson is None:
            raise Refusal("lesson_not_found")
        course_id = self.course_of(lesson)
        status = self.courses[course_id].status
        enrolled = (user, course_id) in self.enrollments
        begun = (user, lesson_id) in self.progress
        hidden = status == "draft" or lesson.archived
        if (not enrolled and status != "published") or (hidden and not begun):
            raise Refusal("lesson_not_found")
        self._active(user, course_id, now)
        if lesson.preview:
            raise Refusal("preview_lesson")
        return lesson

    def _fulfilled(self, lesson: Lesson, row: Progress | None) -> bool:
        if lesson.rule == "manual":
            return True
        if row is None:
            return False
        if lesson.rule == "view":
            return row.view_seconds >= lesson.needed
        if lesson.rule == "submit":
            return row.attempts > 0
        assert lesson.rule == "pass"
        return row.best_score is not None and row.best_score >= lesson.needed

    def _require_earned(self, user: uuid.UUID, lesson: Lesson) -> None:
        row = self.progress.get((user, lesson.id))
        if not (row is not None and row.completed) and not self._fulfilled(lesson, row):
            raise Refusal("rule_not_met")

    def _begin_module(self, user: uuid.UUID, module_id: uuid.UUID, at: datetime) -> None:
        row = self.begun.setdefault((user, module_id), ModuleProgress(at))
        row.started_at = row.started_at or at

    def _start(
        self, user: uuid.UUID, lesson: Lesson, now: datetime, seen: datetime | None = None
    ) -> bool:
        seen = seen or now
        row = self.progress.get((user, lesson.id))
        course_id = self.course_of(lesson)
        if row is None:
            self.progress[user, lesson.id] = Progress("in_progress", now, seen)
            self._begin_module(user, lesson.module_id, now)
            self.events.append(("lesson_started", user, course_id, lesson.module_id, lesson.id))
        else:
            row.last_accessed = max(row.last_accessed, seen)
        enrollment = self.enrollments[user, course_id]
        if enrollment.last_accessed is None or enrollment.last_accessed <= seen:
            enrollment.last_accessed = seen
            enrollment.place = (lesson.module_id, lesson.id)
        return row is None

    def _complete(self, user: uuid.UUID, lesson: Lesson, now: datetime) -> bool:
        row = self.progress.get((user, lesson.id))
        if row is not None and row.completed:
            return False
        if row is None:
            row = self.progress[user, lesson.id] = Progress("in_progress", now, now)
            self._begin_module(user, lesson.module_id, now)
        row.status = "completed"
        row.progress = Decimal(1)
        row.last_accessed = max(row.last_accessed, now)
        row.completed_at = now
        row.completed_on = now.astimezone(ZoneInfo(self.zones[user])).date()
        course_id = self.course_of(lesson)
        enrollment = self.enrollments[user, course_id]
        enrollment.last_accessed = max(enrollment.last_accessed or now, now)
        enrollment.place = (lesson.module_id, lesson.id)
        day = (user, row.completed_on)
        self.days[day] = self.days.get(day, 0) + 1
        self.events.append(("lesson_completed", user, course_id, lesson.module_id, lesson.id))
        self.settle(now)
        return True

    def enroll(self, user: uuid.UUID, course_id: int, now: datetime) -> bool:
        """Enrol oneself; again changes nothing."""
        course = self.courses.get(course_id)
        if (user, course_id) in self.enrollments:
            self._active(user, course_id, now)
            return False
        if course is None or course.status == "draft":
            raise Refusal("course_not_found")
        if course.status == "archived" or course.enrollment_mode != "open":
            raise Refusal("enrollment_closed")
        self.add_enrollment(user, course_id, now)
        return True

    def add_enrollment(self, user: uuid.UUID, course_id: int, now: datetime) -> None:
        """An enrolment, however made."""
        self.enrollments[user, course_id] = Enrollment()
        self.events.append(("enrolled", user, course_id, None, None))
        self.settle(now)

    def start_lesson(self, user: uuid.UUID, lesson_id: uuid.UUID, now: datetime) -> bool:
        """Open a lesson."""
        return self._start(user, self._open(user, lesson_id, now), now)

    def complete_lesson(self, user: uuid.UUID, lesson_id: uuid.UUID, now: datetime) -> bool:
        """Complete a lesson whose rule is fulfilled."""
        lesson = self._open(user, lesson_id, now)
        self._require_earned(user, lesson)
        return self._complete(user, lesson, now)

    def uncomplete_lesson(self, user: uuid.UUID, lesson_id: uuid.UUID, now: datetime) -> bool:
        """Take a completion back."""
        return self._reopen(user, self._open(user, lesson_id, now), now)

    def _reopen(self, user: uuid.UUID, lesson: Lesson, now: datetime) -> bool:
        row = self.progress.get((user, lesson.id))
        if row is None or not row.completed:
            return False
        assert row.completed_on is not None
        self.days[user, row.completed_on] -= 1
        row.status = "in_progress"
        row.progress = Decimal(0)
        row.completed_at = row.completed_on = None
        course_id = self.course_of(lesson)
        self.events.append(("lesson_uncompleted", user, course_id, lesson.module_id, lesson.id))
        self.settle(now)
        return True

    def put(
        self,
        user: uuid.UUID,
        lesson_id: uuid.UUID,
        now: datetime,
        *,
        status: str | None = None,
        position: int | None = None,
        last_accessed: datetime | None = None,
        progress: Decimal | None = None,
    ) -> bool:
        """What a client that holds state reports: clamped, and never backwards."""
        lesson = self._open(user, lesson_id, now)
        seen = min(last_accessed or now, now)
        before = self.progress.get((user, lesson_id))
        known_until = before.last_accessed if before else None
        changed = False
        if status == "completed":
            self._require_earned(user, lesson)
            changed = self._complete(user, lesson, now)
        elif before is None and status == "not_started":
            return False
        elif before is None:
            changed = self._start(user, lesson, now, seen)
        row = self.progress[user, lesson_id]
        was = (row.position, row.progress, row.last_accessed)
        if position is not None and (known_until is None or seen >= known_until):
            row.position = max(position, 0)
            if lesson.duration is not None:
                row.position = min(row.position, lesson.duration)
        if progress is not None and not row.completed:
            row.progress = max(row.progress, min(max(progress, Decimal(0)), Decimal(1)))
        row.last_accessed = max(row.last_accessed, seen)
        enrollment = self.enrollments[user, self.course_of(lesson)]
        if enrollment.last_accessed is None or enrollment.last_accessed < seen:
            enrollment.last_accessed = seen
            enrollment.place = (lesson.module_id, lesson.id)
        return changed or was != (row.position, row.progress, row.last_accessed)

    def _open_module(self, user: uuid.UUID, module_id: uuid.UUID, now: datetime) -> Module:
        module = self.modules.get(module_id)
        if module is None:
            raise Refusal("module_not_found")
        enrolled = (user, module.course_id) in self.enrollments
        if not enrolled and self.courses[module.course_id].status != "published":
            raise Refusal("module_not_found")
        self._active(user, module.course_id, now)
        return module

    def _visible(self, user: uuid.UUID, module: Module) -> list[Lesson]:
        draft = self.courses[module.course_id].status == "draft"
        return [
            lesson
            for lesson in self.lessons_of(module.course_id, module.id)
            if not lesson.archived
            and not lesson.preview
            and (not draft or (user, lesson.id) in self.progress)
        ]

    def start_module(self, user: uuid.UUID, module_id: uuid.UUID, now: datetime) -> bool:
        """Open a module at its first lesson still to do: required ones first."""
        lessons = self._visible(user, self._open_module(user, module_id, now))
        if not lessons:
            raise Refusal("lesson_not_found")
        done = {lesson.id for lesson in self.done(user, lessons)}

        def order(x: Lesson) -> tuple[bool, bool, int, uuid.UUID]:
            optional = not x.required or (user, x.id) in self.waivers
            return (x.id in done, optional, x.position, x.id)

        first = min(lessons, key=order)
        return self.start_lesson(user, first.id, now)

    def complete_module(
        self, user: uuid.UUID, module_id: uuid.UUID, now: datetime
    ) -> tuple[list[uuid.UUID], list[uuid.UUID]]:
        """Complete what the rules allow; return what was completed and what stays open."""
        module = self._open_module(user, module_id, now)
        completed, still_open = [], []
        for lesson in self._visible(user, module):
            row = self.progress.get((user, lesson.id))
            if (row is not None and row.completed) or (user, lesson.id) in self.waivers:
                continue
            if self._fulfilled(lesson, row):
                self._complete(user, lesson, now)
                completed.append(lesson.id)
            else:
                still_open.append(lesson.id)
        return completed, still_open

    # Authors --------------------------------------------------------------------------------------

    def move(self, lesson_ids: Iterable[uuid.UUID], module_id: uuid.UUID, now: datetime) -> None:
        """Move lessons to a module; those who have begun one of them have begun the module."""
        moved = {x for x in lesson_ids if self.lessons[x].module_id != module_id}
        begun: dict[uuid.UUID, list[datetime]] = {}
        for (user, lesson_id), row in self.progress.items():
            if lesson_id in moved:
                begun.setdefault(user, []).append(row.started_at)
        for lesson_id in moved:
            self.lessons[lesson_id].module_id = module_id
        for user, times in begun.items():
            row = self.begun.get((user, module_id))
            if row is None or row.started_at is None:
                course_id = self.modules[module_id].course_id
                self.events.append(("module_started", user, course_id, module_id, None))
            self._begin_module(user, module_id, min(times))
        for user, lesson_id in self.waivers:
            if lesson_id in moved:
                self.begun.setdefault((user, module_id), ModuleProgress(None))
        self.settle(now)

    def delete_lesson(
        self, lesson_id: uuid.UUID, now: datetime, *, force: bool, raw: bool = False
    ) -> None:
        """Delete a lesson; learners' rows of it only by force, and waivers not the raw way."""
        holders = [key for key in self.progress if key[1] == lesson_id]
        waivers = {key for key in self.waivers if key[1] == lesson_id}
        if (holders and not force) or (waivers and raw):
            raise Refusal("progress_exists")
        self.waivers -= waivers
        for key in holders:
            del self.progress[key]
        del self.lessons[lesson_id]
        self.settle(now)

    def replace(self, old_id: uuid.UUID, new_id: uuid.UUID, now: datetime) -> None:
        """Put a lesson that does not count yet into another one's place; progress goes along."""
        old, new = self.lessons[old_id], self.lessons[new_id]
        if old_id == new_id or self.course_of(old) != self.course_of(new):
            raise Refusal("invalid_value")
        if old.archived or new.countable:
            raise Refusal("conflict")
        for (user, lesson_id), row in list(self.progress.items()):
            if lesson_id != old_id:
                continue
            mine = self.progress.setdefault(
                (user, new_id), Progress(row.status, row.started_at, row.last_accessed)
            )
            if mine.completed and mine.completed_at is not None:
                continue
            mine.status = row.status
            mine.progress = max(mine.progress, row.progress)
            mine.started_at = min(mine.started_at, row.started_at)
            mine.last_accessed = max(mine.last_accessed, row.last_accessed)
            mine.completed_at, mine.completed_on = row.completed_at, row.completed_on
            if row.completed_on is not None:
                self.days[user, row.completed_on] = self.days.get((user, row.completed_on), 0) + 1
            self._tell("lesson_carried", user, new, old.module_id)
        before = {user for user, lesson_id in self.waivers if lesson_id == new_id}
        done = {
            user for (user, lesson_id), row in self.progress.items()
            if lesson_id == new_id and row.completed
        }  # fmt: skip
        after = (before | {user for user, lesson_id in self.waivers if lesson_id == old_id}) - done
        self.waivers = {key for key in self.waivers if key[1] != new_id}
        self.waivers |= {(user, new_id) for user in after}
        for kind, users in (("lesson_waived", after - before), ("lesson_unwaived", before - after)):
            for user in users:
                self._tell(kind, user, new, old.module_id)
        new.position, new.weight = old.position, old.weight
        new.required, new.preview, new.archived = old.required, old.preview, False
        old.archived = True
        self.move([new_id], old.module_id, now)

    # Staff ----------------------------------------------------------------------------------------

    def _staffed(self, user: uuid.UUID, lesson_id: uuid.UUID) -> Lesson:
        lesson = self.lessons.get(lesson_id)
        if lesson is None:
            raise Refusal("lesson_not_found")
        if (user, self.course_of(lesson)) not in self.enrollments:
            raise Refusal("not_enrolled")
        return lesson

    def excuse_lesson(self, user: uuid.UUID, lesson_id: uuid.UUID, now: datetime) -> bool:
        """Waive a lesson for a learner."""
        lesson = self._staffed(user, lesson_id)
        if (user, lesson_id) in self.waivers:
            return False
        self.waivers.add((user, lesson_id))
        self._tell("lesson_waived", user, lesson, lesson.module_id)
        self.begun.setdefault((user, lesson.module_id), ModuleProgress(None))
        self.settle(now)
        return True

    def unexcuse_lesson(self, user: uuid.UUID, lesson_id: uuid.UUID, now: datetime) -> bool:
        """Take a waiver back."""
        lesson = self._staffed(user, lesson_id)
        if (user, lesson_id) not in self.waivers:
            return False
        self.waivers.remove((user, lesson_id))
        self._tell("lesson_unwaived", user, lesson, lesson.module_id)
        self.settle(now)
        return True

    def complete_lesson_for(self, user: uuid.UUID, lesson_id: uuid.UUID, now: datetime) -> bool:
        """Complete a lesson whatever its rule says; the learner's place stays."""
        lesson = self._staffed(user, lesson_id)
        enrollment = self.enrollments[user, self.course_of(lesson)]
        if enrollment.status != "active":
            raise Refusal("enrollment_inactive")
        if lesson.preview:
            raise Refusal("preview_lesson")
        if lesson.archived and (user, lesson_id) not in self.progress:
            raise Refusal("lesson_not_found")
        place = (enrollment.place, enrollment.last_accessed)
        changed = self._complete(user, lesson, now)
        enrollment.place, enrollment.last_accessed = place
        return changed

    def reopen_lesson_for(self, user: uuid.UUID, lesson_id: uuid.UUID, now: datetime) -> bool:
        """Take a completion back for a learner."""
        return self._reopen(user, self._staffed(user, lesson_id), now)
