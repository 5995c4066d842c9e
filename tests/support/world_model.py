"""What must hold of every state of the tables, and of every step from one to the next.

Plain Python over the rows: it counts and reckons locks anew, by what the documents say, and asks
none of the functions under test.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.support.model import percent

Row = dict[str, Any]

OF_COURSES = "t.course_id = any (%(courses)s)"
OF_USERS = "t.user_id = any (%(users)s)"
# What commands of these tests may touch, but for rate buckets, statistics and the queue.
TABLES = {
    "courses": "t.id = any (%(courses)s)",
    "modules": OF_COURSES,
    "lessons": OF_COURSES,
    "lesson_prerequisites": OF_COURSES,
    "module_prerequisites": OF_COURSES,
    "access_overrides": OF_USERS,
    "lesson_waivers": OF_USERS,
    "enrollments": OF_USERS,
    "user_progress": OF_USERS,
    "module_progress": OF_USERS,
    "daily_activity": OF_USERS,
    "certificates": OF_USERS,
    "past_cycles": OF_USERS,
    "past_progress": OF_USERS,
    "user_assessment_attempts": OF_USERS,
    "program_enrollments": OF_USERS,
    "progress_events": f"{OF_USERS} and t.id > %(since)s",
}
# One statement sees one moment. In order of creation, so that the same chance chooses the same.
LOOK = (
    "select jsonb_build_object("
    + ", ".join(
        f"'{name}', (select coalesce(jsonb_agg(to_jsonb(t)"
        + (" - 'quiz_data'" if name == "lessons" else "")
        + (" order by t.id" if name == "progress_events" else " order by t.created_at, t::text")
        + f"), '[]') from public.{name} t where {where})"
        for name, where in TABLES.items()
    )
    + ", 'audit', (select coalesce(max(a.id), 0) from public.audit_log a)) as seen"
)

# What else than its own completion may give or take a learner's progress row.
CARRIERS = {"retake_course", "start_cycle", "merge_users", "delete_lesson", "replace_lesson"}
LEARNERS = {
    "complete_lesson",
    "put_lesson_progress",
    "view_lesson",
    "submit_quiz",
    "apply_events",
    "complete_module",
}
# Doors through which a learner begins or advances one lesson.
DOORS = {
    "start_lesson",
    "complete_lesson",
    "put_lesson_progress",
    "view_lesson",
    "start_attempt",
    "submit_quiz",
}
# When these say that nothing changed, nothing did.
QUIET = {
    "enroll",
    "complete_lesson",
    "uncomplete_lesson",
    "leave_course",
    "retake_course",
    "start_cycle",
    "excuse_lesson",
    "unexcuse_lesson",
    "complete_lesson_for",
    "reopen_lesson_for",
    "withdraw_enrollment",
    "reinstate_enrollment",
    "extend_enrollment",
    "set_lesson_prerequisites",
    "set_module_prerequisites",
    "set_access_override",
    "set_course_status",
    "reorder_lessons",
    "revoke_certificate",
    "reinstate_certificate",
}


@dataclass(frozen=True)
class Command:
    """Who calls what. `user` and `lesson` are whom and what it is about."""

    actor: str
    function: str
    arguments: dict[str, Any]
    user: str | None = None
    lesson: str | None = None


@dataclass
class State:
    """All rows of one moment, and the ways through them."""

    rows: dict[str, Any]
    courses: dict[int, Row] = field(init=False)
    modules: dict[str, Row] = field(init=False)
    lessons: dict[str, Row] = field(init=False)
    progress: dict[tuple[str, str], Row] = field(init=False)
    begun: dict[tuple[str, str], Row] = field(init=False)
    enrollments: dict[tuple[str, int], Row] = field(init=False)
    waivers: set[tuple[str, str]] = field(init=False)

    def __post_init__(self) -> None:
        rows = self.rows
        self.courses = {x["id"]: x for x in rows["courses"]}
        self.modules = {x["id"]: x for x in rows["modules"]}
        self.lessons = {x["id"]: x for x in rows["lessons"]}
        self.progress = {(x["user_id"], x["lesson_id"]): x for x in rows["user_progress"]}
        self.begun = {(x["user_id"], x["module_id"]): x for x in rows["module_progress"]}
        self.enrollments = {(x["user_id"], x["course_id"]): x for x in rows["enrollments"]}
        self.waivers = {(x["user_id"], x["lesson_id"]) for x in rows["lesson_waivers"]}

    def same(self, other: State) -> list[str]:
        """The tables that differ."""
        return [
            name
            for name in self.rows
            if name != "progress_events" and self.rows[name] != other.rows[name]
        ] + (["progress_events"] if other.rows["progress_events"] else [])

    # Counting -------------------------------------------------------------------------------------

    def countable(self, lesson: Row) -> bool:
        """Whether it counts for those who have no waiver."""
        return lesson["is_required"] and not lesson["is_preview"] and lesson["archived_at"] is None

    def counted(self, user: str, course: int, module: str | None = None) -> list[Row]:
        """The lessons that count for a learner, in learning order."""
        found = [
            x
            for x in self.lessons.values()
            if x["course_id"] == course
            and module in (None, x["module_id"])
            and self.countable(x)
            and (user, x["id"]) not in self.waivers
        ]
        return sorted(found, key=self.place)

    def place(self, lesson: Row) -> tuple[int, str, int, str]:
        """Where a lesson stands in its course."""
        module = self.modules[lesson["module_id"]]
        return (module["position"], module["id"], lesson["position"], lesson["id"])

    def done(self, user: str, lesson: str) -> bool:
        """Whether a learner has completed a lesson in the present cycle."""
        row = self.progress.get((user, lesson))
        return row is not None and row["status"] == "completed"

    def settling(self, user: str, course: int) -> bool:
        """Whether an edit is still to be counted for this enrolment."""
        row = self.enrollments.get((user, course))
        return row is not None and row["settled_version"] < self.courses[course]["settle_version"]

    def passed_by(self, user: str, course: int) -> bool:
        """Whether module rows may be stale: settling, or no enrolment that a job would come to.

        A lesson that moved took its learners' progress along to a course that they are not enrolled
        in; their rows there are counted when they enrol.
        """
        if (user, course) in self.enrollments:
            return self.settling(user, course)
        return bool(self.courses[course]["settle_version"] > 0)

    def any_settling(self) -> bool:
        """Whether any is."""
        return any(self.settling(*key) for key in self.enrollments)

    # Locks ----------------------------------------------------------------------------------------

    def lock(
        self, user: str, lesson_id: str, now: datetime, also: frozenset[str] = frozenset()
    ) -> str | None:
        """Why a lesson is locked, `also` being done; null when it is open."""
        lesson = self.lessons[lesson_id]
        course = self.courses[lesson["course_id"]]
        if lesson["is_preview"] or self.done(user, lesson_id):
            return None

        def fulfilled(other: str) -> bool:
            return other in also or self.done(user, other) or (user, other) in self.waivers

        for row in self.rows["module_prerequisites"]:
            needed = row["requires_module_id"]
            if row["module_id"] == lesson["module_id"] and self.counts(user, needed):
                mine = self.begun.get((user, needed))
                if mine is None or mine["completed_at"] is None:
                    return "module"
        for row in self.rows["lesson_prerequisites"]:
            other = self.lessons.get(row["requires_lesson_id"])
            if row["lesson_id"] != lesson_id or other is None:
                continue
            if other["archived_at"] or other["is_preview"]:
                continue
            if not fulfilled(other["id"]):
                return "lesson"
        counted = self.counted(user, course["id"])
        if course["sequential"] and lesson in counted:
            before = counted[: counted.index(lesson)]
            if not all(fulfilled(x["id"]) for x in before):
                return "sequential"
        opens = self.opens(user, lesson)
        return "date" if opens is not None and opens > now else None

    def counts(self, user: str, module: str) -> bool:
        """Whether a module has anything that counts for a learner."""
        return bool(self.counted(user, self.modules[module]["course_id"], module))

    def opens(self, user: str, lesson: Row) -> datetime | None:
        """When a lesson with dates opens for a learner; null: it has none."""
        module = self.modules[lesson["module_id"]]
        dates = []
        for row, column in ((module, "module_id"), (lesson, "lesson_id")):
            given = [
                datetime.fromisoformat(x["available_from"])
                for x in self.rows["access_overrides"]
                if x["user_id"] == user and x[column] == row["id"]
            ]
            # A learner's own date stands above the lesson's and the module's, where there are any.
            if given and column == "lesson_id" and (self.dated(row) or self.dated(module)):
                return given[0]
            if given and column == "module_id" and self.dated(row):
                dates.append(given[0])
            elif found := self.date(user, row, module):
                dates.append(found)
        return max(dates) if dates else None

    def dated(self, row: Row) -> bool:
        """Whether a lesson or module has dates of its own."""
        return any(
            row[x] is not None
            for x in (
                "available_from",
                "available_after_days",
                "available_after_previous_days",
            )
        )

    def date(self, user: str, row: Row, module: Row) -> datetime | None:
        """When its own dates open a lesson or module."""
        course = module["course_id"]
        enrolled = datetime.fromisoformat(self.enrollments[user, course]["enrolled_at"])
        dates = []
        if row["available_from"] is not None:
            dates.append(datetime.fromisoformat(row["available_from"]))
        if row["available_after_days"] is not None:
            dates.append(enrolled + timedelta(days=row["available_after_days"]))
        if row["available_after_previous_days"] is not None:
            earlier = [
                m
                for m in self.modules.values()
                if m["course_id"] == course
                and (m["position"], m["id"]) < (module["position"], module["id"])
                and self.counts(user, m["id"])
            ]
            if earlier:
                last = max(earlier, key=lambda m: (m["position"], m["id"]))
                mine = self.begun.get((user, last["id"]))
                if mine is None or mine["completed_at"] is None:
                    dates.append(datetime.max.replace(tzinfo=enrolled.tzinfo))
                else:
                    dates.append(
                        datetime.fromisoformat(mine["completed_at"])
                        + timedelta(days=row["available_after_previous_days"])
                    )
        return max(dates) if dates else None

    # What must hold of every moment ---------------------------------------------------------------

    def problems(self) -> Iterator[str]:
        """All that is wrong with this state."""
        yield from self._catalogue()
        yield from self._enrollments()
        yield from self._modules()
        yield from self._history()
        yield from self._certificates()

    def _catalogue(self) -> Iterator[str]:
        for course in self.courses.values():
            mine = [
                x
                for x in self.lessons.values()
                if x["course_id"] == course["id"] and self.countable(x)
            ]
            if (course["total_lessons"], course["total_weight"]) != (
                len(mine),
                sum(x["weight"] for x in mine),
            ):
                yield f"course {course['id']} has {course['total_lessons']}, counted {len(mine)}"
        for module in self.modules.values():
            mine = [
                x
                for x in self.lessons.values()
                if x["module_id"] == module["id"] and self.countable(x)
            ]
            gates = [x for x in mine if x["completion_rule"] == "pass"]
            if (module["total_lessons"], module["total_quizzes"]) != (len(mine), len(gates)):
                yield f"module {module['id']} has other totals than {len(mine)}, {len(gates)}"
        for (user, lesson), row in self.progress.items():
            if row["course_id"] != self.lessons[lesson]["course_id"]:
                yield f"progress of {user} in {lesson} names course {row['course_id']}"

    def _enrollments(self) -> Iterator[str]:
        for (user, course), row in self.enrollments.items():
            if not 0 <= row["progress_percent"] <= 100:
                yield f"{user} in {course} has {row['progress_percent']} percent"
            if self.settling(user, course):
                continue
            counted = self.counted(user, course)
            done = [x for x in counted if self.done(user, x["id"])]
            earned, possible = (sum(x["weight"] for x in y) for y in (done, counted))
            has = [
                row[x]
                for x in (
                    "completed_lessons",
                    "total_lessons",
                    "completed_weight",
                    "total_weight",
                )
            ]
            if has != [len(done), len(counted), earned, possible]:
                yield f"{user} in {course} has {has}, counted {len(done)} of {len(counted)}"
            rows = [self.progress.get((user, x["id"])) for x in counted]
            scores = [x["best_score"] for x in rows if x and x["best_score"] is not None]
            if (row["score_sum"], row["scored_lessons"]) != (round(sum(scores) * 100), len(scores)):
                yield f"{user} in {course} has scores {row['score_sum']}, counted {scores}"
            if Decimal(str(row["progress_percent"])) != percent(earned, possible):
                yield f"{user} in {course} has {row['progress_percent']} percent"
            if possible and earned == possible and row["completed_at"] is None:
                yield f"{user} in {course} is done but not completed"

    def _modules(self) -> Iterator[str]:
        needed: dict[tuple[str, str], bool] = {}
        for user, lesson in self.waivers:
            needed.setdefault((user, self.lessons[lesson]["module_id"]), False)
        for (user, lesson), row in self.progress.items():
            if row["started_at"] is not None:
                needed[user, self.lessons[lesson]["module_id"]] = True
        for (user, module), started in needed.items():
            mine = self.begun.get((user, module))
            if self.passed_by(user, self.modules[module]["course_id"]):
                continue
            if mine is None or (started and mine["started_at"] is None):
                yield f"{user} has no row of module {module}, or one not begun"
        for (user, module), row in self.begun.items():
            part = self.modules[module]
            if self.passed_by(user, part["course_id"]):
                continue
            counted = self.counted(user, part["course_id"], module)
            done = [x for x in counted if self.done(user, x["id"])]
            gates = [[x for x in y if x["completion_rule"] == "pass"] for y in (done, counted)]
            figures = [len(x) for x in (done, counted, *gates)]
            has = [
                row[x]
                for x in (
                    "completed_lessons",
                    "total_lessons",
                    "completed_quizzes",
                    "total_quizzes",
                )
            ]
            rule = part["completion_rule"]
            if has != figures or row["completion_rule"] != rule:
                yield f"{user} in module {module} has {has}, counted {figures}"
            by_quiz = rule == "quiz_passed" and figures[3] > 0
            finished = figures[2] == figures[3] if by_quiz else 0 < figures[1] == figures[0]
            status = (
                "completed"
                if finished
                else "not_started"
                if row["started_at"] is None
                else "in_progress"
            )
            if row["status"] != status or (finished and row["completed_at"] is None):
                yield f"{user} in module {module} is {row['status']}, should be {status}"

    def _history(self) -> Iterator[str]:
        past = defaultdict(list)
        for row in self.rows["past_cycles"]:
            past[row["user_id"], row["course_id"]].append(row["cycle"])
        for key, row in self.enrollments.items():
            if sorted(past[key]) != list(range(1, row["cycle"])):
                yield f"{key} is in cycle {row['cycle']} after {sorted(past[key])}"
        numbers = defaultdict(list)
        for row in self.rows["user_assessment_attempts"]:
            numbers[row["user_id"], row["lesson_id"], row["cycle"]].append(row["number"])
        for attempt, found in numbers.items():
            if sorted(found) != list(range(1, len(found) + 1)):
                yield f"attempts of {attempt} are numbered {sorted(found)}"

    def _certificates(self) -> Iterator[str]:
        live = Counter(
            (x["user_id"], x["course_id"], x["program_id"], x["cycle"])
            for x in self.rows["certificates"]
            if x["superseded_at"] is None
        )
        yield from (f"{n} live certificates of {key}" for key, n in live.items() if n > 1)
        completed = {
            (x["user_id"], x["course_id"], x["cycle"])
            for name in ("enrollments", "past_cycles")
            for x in self.rows[name]
            if x["completed_at"] is not None
        }
        issued = {(x["user_id"], x["course_id"], x["cycle"]) for x in self.rows["certificates"]}
        for user, course, cycle in issued:
            if course is not None and (user, course, cycle) not in completed:
                yield f"certificate of {user} for {course}, cycle {cycle}, which is not completed"
        for (user, course), row in self.enrollments.items():
            # Who is away gets it on return.
            due = row["status"] == "active" and row["completed_at"] is not None
            held = (user, course, row["cycle"]) in issued
            if due and not held and not self.settling(user, course):
                yield f"{user} has completed {course} and holds no certificate"


# What must hold of every step --------------------------------------------------------------------


def wrong(
    before: State, after: State, command: Command, answer: Any, refusal: str | None, now: datetime
) -> Iterator[str]:
    """All that is wrong with a step."""
    if refusal is not None:
        if changed := before.same(after):
            yield f"refused with {refusal}, but {changed} changed"
    elif isinstance(answer, dict) and answer.get("changed") is False:
        quiet = command.function in QUIET and not before.any_settling()
        if quiet and (changed := before.same(after)):
            yield f"nothing changed, it says, but {changed} did"
    yield from _locks(before, after, command, refusal, now)
    yield from _completions(before, after, command)
    yield from _lasting(before, after, command)
    yield from after.problems()


def _locks(
    before: State, after: State, command: Command, refusal: str | None, now: datetime
) -> Iterator[str]:
    user, lesson = command.user, command.lesson
    if user is None or lesson is None or lesson not in before.lessons:
        return
    key = (user, before.lessons[lesson]["course_id"])
    # An edit that is still to be counted may have finished a module by now.
    if key not in before.enrollments or before.settling(*key):
        return
    lock = before.lock(user, lesson, now)
    if command.function in DOORS:
        handed_in = command.function in ("submit_quiz", "start_attempt") and any(
            a["user_id"] == user and a["lesson_id"] == lesson and a["status"] == "in_progress"
            for a in before.rows["user_assessment_attempts"]
        )
        if refusal is None and lock is not None and not handed_in:
            yield f"accepted, though locked by {lock}"
        if refusal == "lesson_locked" and lock is None:
            yield "refused as locked, though open"
    elif command.function == "complete_module":
        also: set[str] = set()
        fresh = [x for x in after.lessons.values() if after.done(user, x["id"])]
        for x in sorted(fresh, key=after.place):
            if not before.done(user, x["id"]):
                if found := before.lock(user, x["id"], now, frozenset(also)):
                    yield f"completed {x['id']}, though locked by {found}"
                also.add(x["id"])
    elif command.function == "apply_events" and lock is not None:
        # Nothing but the lessons of one batch could have opened it.
        sent = {e.get("lesson_id") for e in command.arguments["p_events"].obj}
        if len(sent) == 1 and after.done(user, lesson) and not before.done(user, lesson):
            yield f"a batch completed it, though locked by {lock}"


def _rule_met(state: State, user: str, lesson: Row, cycle: int) -> bool:
    row = state.progress[user, lesson["id"]]
    tried = [
        a
        for a in state.rows["user_assessment_attempts"]
        if (a["user_id"], a["lesson_id"], a["cycle"]) == (user, lesson["id"], cycle)
    ]
    match lesson["completion_rule"]:
        case "view":
            return bool(row["view_time_seconds"] >= lesson["min_view_seconds"])
        case "submit":
            return any(a["status"] != "in_progress" for a in tried)
        case "pass":
            return any(a["passed"] for a in tried)
    return True


def _completions(before: State, after: State, command: Command) -> Iterator[str]:
    done = [
        {key for key, row in state.progress.items() if row["status"] == "completed"}
        for state in (before, after)
    ]
    fresh, gone = done[1] - done[0], done[0] - done[1]
    if command.function in CARRIERS:
        own = (command.user, command.lesson)
        for user, lesson in fresh ^ gone if command.function != "merge_users" else ():
            if (user if command.lesson is None else lesson) not in own:
                yield f"progress of {user} in {lesson} changed with a command on {own}"
        return
    events = after.rows["progress_events"]
    for kind, keys in (("lesson_completed", fresh), ("lesson_uncompleted", gone)):
        told = Counter((e["user_id"], e["lesson_id"]) for e in events if e["kind"] == kind)
        if told != Counter(keys):
            yield f"{kind} is told of {dict(told)}, happened to {keys}"
    finished = {
        key
        for key, row in after.enrollments.items()
        if row["completed_at"] is not None
        and (key not in before.enrollments or before.enrollments[key]["completed_at"] is None)
    }
    told_of = Counter(
        (e["user_id"], e["course_id"]) for e in events if e["kind"] == "course_completed"
    )
    if told_of != Counter(finished):
        yield f"course_completed is told of {dict(told_of)}, happened to {finished}"
    days: Counter[str] = Counter()
    for state, sign in ((before, -1), (after, 1)):
        for day in state.rows["daily_activity"]:
            days[day["user_id"]] += sign * day["lessons_completed"]
    change = Counter(user for user, _ in fresh)
    change.subtract(user for user, _ in gone)
    if {k: n for k, n in days.items() if n} != {k: n for k, n in change.items() if n}:
        yield f"days changed by {dict(days)}, completions by {dict(change)}"
    if command.function in LEARNERS:
        for user, lesson in fresh:
            row = after.lessons[lesson]
            cycle = after.enrollments[user, row["course_id"]]["cycle"]
            if not _rule_met(after, user, row, cycle):
                yield f"{user} completed {lesson} against its rule {row['completion_rule']}"


def _lasting(before: State, after: State, command: Command) -> Iterator[str]:
    merged = command.function == "merge_users"
    ids = [{x["id"] for x in s.rows["certificates"]} for s in (before, after)]
    if lost := ids[0] - ids[1]:
        yield f"certificates disappeared: {lost}"
    for key, row in before.enrollments.items():
        now = after.enrollments.get(key)
        if now is None:
            if not merged:
                yield f"the enrolment {key} disappeared"
            continue
        step = now["cycle"] - row["cycle"]
        if step and (step != 1 or command.function not in CARRIERS) and not merged:
            yield f"{key} went from cycle {row['cycle']} to {now['cycle']}"
        if not step and row["completed_at"] is not None:
            kept = now["completed_at"] == row["completed_at"]
            if not kept and (not merged or now["completed_at"] is None):
                yield f"{key} was completed at {row['completed_at']}, now {now['completed_at']}"
        if step == 1 and not merged:
            yield from _left_behind(before, after, key)
    for (user, module), row in before.begun.items():
        now = after.begun.get((user, module))
        course = before.modules[module]["course_id"]
        states = [s.enrollments.get((user, course)) for s in (before, after)]
        if merged or states[0] is None or states[1] is None:
            continue
        same = states[0]["cycle"] == states[1]["cycle"] and row["completed_at"] is not None
        if same and (now is None or now["completed_at"] != row["completed_at"]):
            yield f"module {module} of {user} is no longer completed"
    if not merged:
        for name in ("past_cycles", "past_progress"):
            if any(x not in after.rows[name] for x in before.rows[name]):
                yield f"{name} was changed"
    else:
        gone = str(command.arguments["p_from"])
        for name, rows in after.rows.items():
            if name != "audit" and any(x.get("user_id") == gone for x in rows):
                yield f"{name} still has rows of {gone}"


def _left_behind(before: State, after: State, key: tuple[str, int]) -> Iterator[str]:
    """A new cycle begins with nothing, and the old one is kept whole."""
    user, course = key
    cycle = before.enrollments[key]["cycle"]
    if any(x["user_id"] == user and x["course_id"] == course for x in after.progress.values()):
        yield f"{key} begins a cycle with progress"
    if after.enrollments[key]["completed_lessons"] or after.enrollments[key]["completed_at"]:
        yield f"{key} begins a cycle with counters"
    kept = {
        x["lesson_id"]: x["status"]
        for x in after.rows["past_progress"]
        if (x["user_id"], x["course_id"], x["cycle"]) == (user, course, cycle)
    }
    had = {
        lesson: x["status"]
        for (who, lesson), x in before.progress.items()
        if who == user and x["course_id"] == course
    }
    open_ones = {
        a["lesson_id"]
        for a in before.rows["user_assessment_attempts"]
        if a["user_id"] == user and a["status"] == "in_progress"
    }
    for lesson, status in had.items():
        if kept.get(lesson) != status and lesson not in open_ones:
            yield f"{key} left {lesson} behind as {kept.get(lesson)}, was {status}"
