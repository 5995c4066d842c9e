"""What must hold of every state of the tables, and of every step from one to the next.

Plain Python over the rows: it counts and reckons locks anew, by what the documents say, and asks
none of the functions under test.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from typing import Any

from tests.support.model import percent

Row = dict[str, Any]
# The rows of one table by their key, in order of creation.
Rows = dict[Any, Row]
# Whether any row of a learner, or of a course, has changed.
Touched = Callable[..., bool]

OF_COURSES = "t.course_id = any (%(courses)s)"
OF_USERS = "t.user_id = any (%(users)s)"
# What commands of these tests may touch, but for rate buckets, statistics and the queue: which rows
# are of a world, and their key.
TABLES: dict[str, tuple[str, tuple[str, ...]]] = {
    "courses": ("t.id = any (%(courses)s)", ("id",)),
    "modules": (OF_COURSES, ("id",)),
    "lessons": (OF_COURSES, ("id",)),
    "lesson_prerequisites": (OF_COURSES, ("lesson_id", "requires_lesson_id")),
    "module_prerequisites": (OF_COURSES, ("module_id", "requires_module_id")),
    "access_overrides": (OF_USERS, ("id",)),
    "lesson_waivers": (OF_USERS, ("user_id", "lesson_id")),
    "enrollments": (OF_USERS, ("user_id", "course_id")),
    "user_progress": (OF_USERS, ("user_id", "lesson_id")),
    "module_progress": (OF_USERS, ("user_id", "module_id")),
    "daily_activity": (OF_USERS, ("user_id", "day")),
    "certificates": (OF_USERS, ("id",)),
    "past_cycles": (OF_USERS, ("user_id", "course_id", "cycle")),
    "past_progress": (OF_USERS, ("user_id", "course_id", "cycle", "lesson_id")),
    "user_assessment_attempts": (OF_USERS, ("id",)),
    "program_enrollments": (OF_USERS, ("user_id", "program_id")),
}
# Rows that nobody has written since are known already; how many there are tells what has gone.
LOOKS = (
    f"""(select jsonb_build_array(count(*),
          coalesce(jsonb_agg(to_jsonb(t){" - 'quiz_data'" * (name == "lessons")})
                     filter (where t.xmin::text::bigint >= %(written)s), '[]'))
   from public.{name} t where {where}) as {name}"""
    for name, (where, _) in TABLES.items()
)
# One statement sees one moment. The times leave out partitions, which would each be looked through.
# Short enough for psycopg to remember how it is taken apart.
LOOK = " ".join(
    f"""
select {", ".join(LOOKS)},
  (select coalesce(jsonb_agg(to_jsonb(t) order by t.id), '[]')
     from public.progress_events t
    where {OF_USERS} and t.id > %(since)s
      and t.occurred_at between %(begun)s and %(now)s) as events,
  (select coalesce(max(a.id), 0) from public.audit_log a) as audit,
  pg_snapshot_xmin(pg_current_snapshot())::text::bigint as written
""".split()
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


class State:
    """All rows of one moment, and the ways through them. Tables that did not change are shared."""

    def __init__(
        self, rows: dict[str, Rows], events: list[Row], audit: int, last: State | None = None
    ) -> None:
        self.rows = rows
        self.events = events
        self.audit = audit
        self.courses = rows["courses"]
        self.modules = rows["modules"]
        self.lessons = rows["lessons"]
        self.progress = rows["user_progress"]
        self.begun = rows["module_progress"]
        self.enrollments = rows["enrollments"]
        self.waivers = rows["lesson_waivers"]
        if last and last.lessons is self.lessons and last.modules is self.modules:
            self.order = last.order

    @staticmethod
    def table(name: str, known: Rows, count: int, written: list[Row]) -> Rows | None:
        """A table's rows as they are: those known but for what was written since; none if some
        have gone."""
        keys = TABLES[name][1]
        written.sort(key=lambda x: (x["created_at"], *(str(x[k]) for k in keys)))
        fresh = {x[keys[0]] if len(keys) == 1 else tuple(x[k] for k in keys): x for x in written}
        changed = {key: x for key, x in fresh.items() if known.get(key) != x}
        rows = known | changed if changed else known
        return rows if len(rows) == count else None

    def changes(self, other: State) -> dict[str, list[tuple[Row | None, Row | None]]]:
        """The tables that differ, and the rows in which: before and after."""
        found = {}
        for name, mine in self.rows.items():
            theirs = other.rows[name]
            if mine is not theirs:
                pairs = [
                    (mine.get(key), theirs.get(key))
                    for key in (mine | theirs)
                    if mine.get(key) is not theirs.get(key) and mine.get(key) != theirs.get(key)
                ]
                if pairs:
                    found[name] = pairs
        return found

    def same(self, other: State) -> list[str]:
        """The tables that differ."""
        return [
            *self.changes(other),
            *["progress_events"] * bool(other.events),
            *["audit"] * (self.audit != other.audit),
        ]

    # Counting -------------------------------------------------------------------------------------

    @cached_property
    def order(self) -> dict[int, list[Row]]:
        """The lessons that count for those who have no waiver, in learning order, by course."""
        found = defaultdict(list)
        for lesson in sorted(filter(self.countable, self.lessons.values()), key=self.place):
            found[lesson["course_id"]].append(lesson)
        return found

    def countable(self, lesson: Row) -> bool:
        """Whether it counts for those who have no waiver."""
        return lesson["is_required"] and not lesson["is_preview"] and lesson["archived_at"] is None

    def counted(self, user: str, course: int, module: str | None = None) -> list[Row]:
        """The lessons that count for a learner, in learning order."""
        return [
            x
            for x in self.order.get(course, ())
            if module in (None, x["module_id"]) and (user, x["id"]) not in self.waivers
        ]

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

        for row in self.rows["module_prerequisites"].values():
            needed = row["requires_module_id"]
            if row["module_id"] == lesson["module_id"] and self.counts(user, needed):
                mine = self.begun.get((user, needed))
                if mine is None or mine["completed_at"] is None:
                    return "module"
        for row in self.rows["lesson_prerequisites"].values():
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
                for x in self.rows["access_overrides"].values()
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

    def problems(self, last: State | None = None) -> Iterator[str]:
        """All that is wrong with this state.

        Each rule is about one course, one learner, or one learner in one course. So after a `last`
        state that had no problems, only those are looked at of whom any row has changed.
        """
        users: set[str] = set()
        courses: set[int] = set()
        for name, pairs in (last.changes(self) if last else {}).items():
            for row in filter(None, chain.from_iterable(pairs)):
                if "user_id" in row:
                    users.add(row["user_id"])
                else:
                    courses.add(row["id" if name == "courses" else "course_id"])

        def touched(user: str | None, course: int | None = None) -> bool:
            return last is None or user in users or course in courses

        yield from self._catalogue(touched)
        yield from self._enrollments(touched)
        yield from self._modules(touched)
        yield from self._history(touched)
        yield from self._certificates(touched)

    def _catalogue(self, touched: Touched) -> Iterator[str]:
        for course in self.courses.values():
            if not touched(None, course["id"]):
                continue
            mine = self.order.get(course["id"], [])
            if (course["total_lessons"], course["total_weight"]) != (
                len(mine),
                sum(x["weight"] for x in mine),
            ):
                yield f"course {course['id']} has {course['total_lessons']}, counted {len(mine)}"
        for module in self.modules.values():
            if not touched(None, module["course_id"]):
                continue
            mine = [
                x for x in self.order.get(module["course_id"], ()) if x["module_id"] == module["id"]
            ]
            gates = [x for x in mine if x["completion_rule"] == "pass"]
            if (module["total_lessons"], module["total_quizzes"]) != (len(mine), len(gates)):
                yield f"module {module['id']} has other totals than {len(mine)}, {len(gates)}"
        if any(touched(None, course) for course in self.courses):
            try:
                TopologicalSorter(self._waits()).prepare()
            except CycleError as problem:
                yield f"these wait for one another: {problem.args[1]}"
        for (user, lesson), row in self.progress.items():
            course_id = self.lessons[lesson]["course_id"]
            if touched(user, course_id) and row["course_id"] != course_id:
                yield f"progress of {user} in {lesson} names course {row['course_id']}"

    def _waits(self) -> dict[str, set[str]]:
        """What must be done before each lesson may be, and before each module is."""
        waits = defaultdict(set)
        for row in self.rows["lesson_prerequisites"].values():
            waits[row["lesson_id"]].add(row["requires_lesson_id"])
        for row in self.rows["module_prerequisites"].values():
            for lesson in self.lessons.values():
                if lesson["module_id"] == row["module_id"]:
                    waits[lesson["id"]].add(row["requires_module_id"])
        for course, counted in self.order.items():
            for place, lesson in enumerate(counted):
                waits[lesson["module_id"]].add(lesson["id"])
                if self.courses[course]["sequential"]:
                    waits[lesson["id"]] |= {x["id"] for x in counted[:place]}
        return waits

    def _enrollments(self, touched: Touched) -> Iterator[str]:
        for (user, course), row in self.enrollments.items():
            if not touched(user, course):
                continue
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

    def _modules(self, touched: Touched) -> Iterator[str]:
        needed: dict[tuple[str, str], bool] = {}
        for user, lesson in self.waivers:
            needed.setdefault((user, self.lessons[lesson]["module_id"]), False)
        for (user, lesson), row in self.progress.items():
            if row["started_at"] is not None:
                needed[user, self.lessons[lesson]["module_id"]] = True
        for (user, module), started in needed.items():
            course = self.modules[module]["course_id"]
            if not touched(user, course) or self.passed_by(user, course):
                continue
            mine = self.begun.get((user, module))
            if mine is None or (started and mine["started_at"] is None):
                yield f"{user} has no row of module {module}, or one not begun"
        for (user, module), row in self.begun.items():
            part = self.modules[module]
            course = part["course_id"]
            if not touched(user, course) or self.passed_by(user, course):
                continue
            counted = self.counted(user, course, module)
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

    def _history(self, touched: Touched) -> Iterator[str]:
        past = defaultdict(list)
        for user, course, cycle in self.rows["past_cycles"]:
            past[user, course].append(cycle)
        for key, row in self.enrollments.items():
            if touched(*key) and sorted(past[key]) != list(range(1, row["cycle"])):
                yield f"{key} is in cycle {row['cycle']} after {sorted(past[key])}"
        numbers = defaultdict(list)
        for row in self.rows["user_assessment_attempts"].values():
            if touched(row["user_id"]):
                numbers[row["user_id"], row["lesson_id"], row["cycle"]].append(row["number"])
        for attempt, found in numbers.items():
            if sorted(found) != list(range(1, len(found) + 1)):
                yield f"attempts of {attempt} are numbered {sorted(found)}"

    def _certificates(self, touched: Touched) -> Iterator[str]:
        held = [
            x for x in self.rows["certificates"].values() if touched(x["user_id"], x["course_id"])
        ]
        live = Counter(
            (x["user_id"], x["course_id"], x["program_id"], x["cycle"])
            for x in held
            if x["superseded_at"] is None
        )
        yield from (f"{n} live certificates of {key}" for key, n in live.items() if n > 1)
        issued = {(x["user_id"], x["course_id"], x["cycle"]) for x in held}
        for user, course, cycle in issued:
            row = self.enrollments.get((user, course))
            if row is None or row["cycle"] != cycle:
                row = self.rows["past_cycles"].get((user, course, cycle))
            if course is not None and (row is None or row["completed_at"] is None):
                yield f"certificate of {user} for {course}, cycle {cycle}, which is not completed"
        for (user, course), row in self.enrollments.items():
            # Who is away gets it on return.
            due = row["status"] == "active" and row["completed_at"] is not None
            if not due or not touched(user, course) or self.settling(user, course):
                continue
            if (user, course, row["cycle"]) not in issued:
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
    yield from after.problems(before)


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
            for a in before.rows["user_assessment_attempts"].values()
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
        for a in state.rows["user_assessment_attempts"].values()
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
    events = after.events
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
        for day in state.rows["daily_activity"].values():
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
    if lost := before.rows["certificates"].keys() - after.rows["certificates"].keys():
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
            if any(old is not None for old, _ in before.changes(after).get(name, ())):
                yield f"{name} was changed"
    else:
        gone = str(command.arguments["p_from"])
        for name, rows in after.rows.items():
            if any(x.get("user_id") == gone for x in rows.values()):
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
        for x in after.rows["past_progress"].values()
        if (x["user_id"], x["course_id"], x["cycle"]) == (user, course, cycle)
    }
    had = {
        lesson: x["status"]
        for (who, lesson), x in before.progress.items()
        if who == user and x["course_id"] == course
    }
    open_ones = {
        a["lesson_id"]
        for a in before.rows["user_assessment_attempts"].values()
        if a["user_id"] == user and a["status"] == "in_progress"
    }
    for lesson, status in had.items():
        if kept.get(lesson) != status and lesson not in open_ones:
            yield f"{key} left {lesson} behind as {kept.get(lesson)}, was {status}"
