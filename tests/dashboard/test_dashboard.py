"""The dashboard equals a recount and the single RPCs whatever has happened, and is one's own."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from tests.dashboard.diary import Model, Span
from tests.database.actors import Actor, Course, Refused, insert, make_course, make_users
from tests.stack import Stack

Learner = Callable[[], Actor]
# Months of the history are made from last month on.
NOW = datetime.now(UTC).replace(microsecond=0)

# What the tables hold, counted the long way.
RECOUNT = """
with mine as (
  select * from public.enrollments e
   where e.user_id = %(user)s and e.status = 'active'
     and (e.expires_at is null or e.expires_at > %(now)s)
),
lesson as (
  select l.*, l.completion_rule = 'pass' as gate, m.completion_rule as module_rule,
         p.status = 'completed' as done, p.completed_on, mine.cycle,
         l.quiz_data is not null or l.completion_rule = 'pass' as quiz
    from public.lessons l
    join mine on mine.course_id = l.course_id
    join public.modules m on m.id = l.module_id
    left join public.user_progress p on p.user_id = %(user)s and p.lesson_id = l.id
   where l.is_required and not l.is_preview and l.archived_at is null
),
module as (
  select case when l.module_rule = 'quiz_passed' and bool_or(l.gate)
              then bool_and(l.done is true) filter (where l.gate)
              else bool_and(l.done is true) end as done
    from lesson l group by l.module_id, l.module_rule
)
select jsonb_build_object(
  'courses', jsonb_build_object('total', (select count(*) from mine),
    'completed', (select count(*) from mine where completed_at is not null)),
  'modules', jsonb_build_object('total', (select count(*) from module),
    'completed', (select count(*) from module where done)),
  'lessons', jsonb_build_object('total', (select count(*) from lesson),
    'completed', (select count(*) from lesson where done)),
  'quizzes', (select jsonb_build_object('total', count(*),
      'submitted', count(*) filter (where exists (
        select from public.user_assessment_attempts a where a.user_id = %(user)s
           and a.lesson_id = lesson.id and a.cycle = lesson.cycle and a.status <> 'in_progress')),
      'passed', count(*) filter (where exists (
        select from public.user_assessment_attempts a where a.user_id = %(user)s
           and a.lesson_id = lesson.id and a.cycle = lesson.cycle and a.passed)))
    from lesson where quiz)) as totals,
  (select coalesce(jsonb_agg(jsonb_build_array(course_id, completed_on)), '[]')
     from lesson where done) as completions,
  (select coalesce(jsonb_agg(jsonb_build_array(day, lessons_completed, view_seconds, attempts,
      first_at, last_at) order by day), '[]')
     from public.daily_activity where user_id = %(user)s) as days,
  (select coalesce(jsonb_agg(course_id order by last_accessed_at desc nulls last, course_id desc),
      '[]') from mine) as course_ids
"""


def recount(operator: Actor, user: uuid.UUID | None, now: datetime) -> dict[str, Any]:
    """The rows behind a dashboard."""
    row = operator.connection.execute(RECOUNT, {"user": user, "now": now}).fetchone()
    assert row is not None
    return row


def velocity(
    completions: list[date], still_open: int, first_day: date, today: date
) -> dict[str, Any]:
    """The arithmetic as the docs give it, in fractions."""
    age = (today - first_day).days + 1
    days, days_before = min(28, max(7, age)), min(28, age - 28)
    recent = sum(1 for day in completions if (today - day).days < 28)
    before = sum(1 for day in completions if 28 <= (today - day).days < 56)
    rate = Fraction(7 * recent, days)
    finish = None
    if recent and still_open and (needed := -(-still_open * days // recent)) <= 3650:
        finish = str(today + timedelta(days=needed))
    return {
        "lessons_per_week": half_up(rate),
        "trend": half_up(rate - Fraction(7 * before, days_before)) if days_before >= 7 else None,
        "expected_finish": finish,
    }


def half_up(value: Fraction) -> float:
    """Rounded to two places as numeric is: halves away from zero."""
    cents = abs(value) * 100
    whole = int(cents) + (cents - int(cents) >= Fraction(1, 2))
    return whole / 100 if value >= 0 else -whole / 100


def compare(operator: Actor, learner: Actor, zone: str, now: datetime, limit: int = 100) -> Any:
    """Hold a learner's dashboard against the recount and the single RPCs."""
    learner.at(now)
    seen = learner.call("get_my_dashboard", p_limit=limit)
    counted = recount(operator, learner.user, now)
    today = operator.one("select (%s at time zone %s)::date", now, zone)
    assert (seen["today"], seen["timezone"]) == (str(today), zone)
    assert seen["totals"] == counted["totals"]

    days = {date.fromisoformat(day): rest for day, *rest in counted["days"]}
    monday = today - timedelta(days=today.weekday())
    assert seen["seconds"] == {
        "today": days[today][1] if today in days else 0,
        "week": sum(rest[1] for day, rest in days.items() if day >= monday),
        "all": sum(rest[1] for rest in days.values()),
    }
    assert seen["activity"] == [
        {"day": str(day), "lessons": lessons, "seconds": seconds, "attempts": attempts}
        for day, (lessons, seconds, attempts, *_) in days.items()
        if day > today - timedelta(days=365) and (lessons or seconds or attempts)
    ]
    model = Model(zone)
    model.days = {
        day: Span(*map(datetime.fromisoformat, rest[3:]))
        for day, rest in days.items()
        if rest[0] or rest[2] or rest[1] >= 60
    }
    current, longest, last = model.streak(now)
    assert seen["streak"] == {
        "current": current,
        "longest": longest,
        "last_day": last and str(last),
    }

    assert [course["course_id"] for course in seen["courses"]] == counted["course_ids"][:limit]
    completions = [(course, date.fromisoformat(day)) for course, day in counted["completions"]]
    first_days = []
    for course in seen["courses"]:
        course_id = course["course_id"]
        summary = learner.call("get_course_summary", p_course_id=course_id)
        for name in ("enrollment_id", "percent", "total", "completed", "completed_at",
                     "last_accessed_at", "expires_at", "view_time_seconds"):  # fmt: skip
            assert course[name] == summary[name], name
        following = learner.call("get_next_lesson", p_course_id=course_id)
        resume = course["resume"]
        if following is None:
            assert resume is None
        else:
            assert following["locked"] is None
            row = operator.run(
                "select l.id::text as lesson_id, l.title, l.type, m.id::text as module_id,"
                " m.title as module_title from public.lessons l"
                " join public.modules m on m.id = l.module_id where l.id = %s",
                following["lesson_id"],
            )[0]
            place = learner.call("get_lesson_progress", p_lesson_id=following["lesson_id"])
            assert resume == {
                **row,
                "position_seconds": place["position_seconds"],
                "review": following["review"],
                "locked": following["locked"],
            }
        done = [day for other, day in completions if other == course_id]
        enrolled = operator.one(
            "select (%s::timestamptz at time zone %s)::date", summary["enrolled_at"], zone
        )
        first_days.append(min([enrolled, *done]))
        expected = velocity(done, course["total"] - course["completed"], first_days[-1], today)
        assert course["velocity"] == expected
    if limit == 100:
        lessons = seen["totals"]["lessons"]
        assert seen["velocity"] == velocity(
            [day for _, day in completions],
            lessons["total"] - lessons["completed"],
            min(first_days, default=today),
            today,
        )
    return seen


# Random worlds ------------------------------------------------------------------------------------

QUIZ = {"questions": [{"id": "q", "kind": "true_false", "text": "So?", "correct": True}]}
SHAPE: list[list[dict[str, Any]]] = [
    [{}, {"is_required": False}, {"type": "quiz", "completion_rule": "pass"}],
    [{"is_preview": True}, {"type": "quiz"}, {}],
    [],
]
ZONES = ("UTC", "Pacific/Auckland", "America/Los_Angeles")
PICK = st.integers(0, 99)
DEEDS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 1, 12, 24, 48, 240]),  # hours that pass
        st.sampled_from(
            ["complete"] * 6
            + ["right", "right", "wrong", "open", "uncomplete", "watch", "place", "enrol", "end"]
            + ["expire", "archive", "restore", "waive", "draft", "publish", "rule", "module"]
        ),
        PICK,
    ),
    min_size=12,
    max_size=40,
)


class World:
    """Three courses and one learner, to whom anything happens."""

    def __init__(self, stack: Stack, zone: str) -> None:
        self.operator = Actor(stack)
        self.zone, self.now = zone, NOW
        (user,) = make_users(self.operator)
        self.operator.run("update public.profiles set timezone = %s where id = %s", zone, user)
        self.learner = Actor(stack, "authenticated", user)
        self.courses = [make_course(self.operator, SHAPE) for _ in range(3)]
        for course in self.courses:
            for lesson in (course.lessons[0][2], course.lessons[1][1]):
                self.operator.run("select public.set_quiz(%s, %s)", lesson, Jsonb(QUIZ))
        for course in self.courses[:2]:
            self.learner.call("enroll", p_course_id=course.id)

    def close(self) -> None:
        self.operator.close()
        self.learner.close()

    def deed(self, hours: int, what: str, which: int) -> None:
        """Let time pass and something happen; a refusal is fine, too."""
        self.now += timedelta(hours=hours)
        self.learner.at(self.now)
        self.operator.at(self.now)
        course: Course = self.courses[which % 3]
        lesson = course.all[which // 3 % len(course.all)]
        call, run = self.learner.call, self.operator.run
        answers = Jsonb([{"question_id": "q", "answer": what == "right"}])
        mine = (self.learner.user, course.id)
        try:
            match what:
                case "complete" | "uncomplete":
                    call(f"{what}_lesson", p_lesson_id=lesson)
                case "open":
                    call("start_lesson", p_lesson_id=lesson)
                case "right" | "wrong":
                    quiz = course.lessons[which % 2][2 - which % 2]
                    call("submit_quiz", p_lesson_id=quiz, p_answers=answers)
                case "place":
                    call("put_lesson_progress", p_lesson_id=lesson, p_position_seconds=which)
                case "enrol":
                    call("enroll", p_course_id=course.id)
                case "watch":
                    run("update public.daily_activity set view_seconds = view_seconds + %s"
                        " where user_id = %s", which, self.learner.user)  # fmt: skip
                case "end":
                    run("update public.enrollments set status = 'withdrawn'"
                        " where user_id = %s and course_id = %s", *mine)  # fmt: skip
                case "expire":
                    run("update public.enrollments set expires_at = %s"
                        " where user_id = %s and course_id = %s",
                        self.now + timedelta(days=1), *mine)  # fmt: skip
                case "archive" | "restore":
                    self.operator.call(f"{what}_lesson", p_lesson_id=lesson)
                case "waive":
                    run("update public.lessons set is_required = not is_required"
                        " where id = %s", lesson)  # fmt: skip
                case "draft" | "publish":
                    status = "draft" if what == "draft" else "published"
                    run("update public.courses set status = %s where id = %s", status, course.id)
                case "rule":
                    run("update public.lessons set completion_rule = case completion_rule"
                        " when 'pass' then 'manual' else 'pass' end"
                        " where id = %s", lesson)  # fmt: skip
                case "module":
                    run("update public.modules set completion_rule = case completion_rule"
                        " when 'quiz_passed' then 'all_lessons' else 'quiz_passed' end"
                        " where id = %s", course.modules[which // 3 % 3])  # fmt: skip
        except Refused:
            pass


def random_worlds(stack: Stack, examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(zone=st.sampled_from(ZONES), deeds=DEEDS)
    def check(zone: str, deeds: list[tuple[int, str, int]]) -> None:
        world = World(stack, zone)
        try:
            for number, deed in enumerate(deeds, 1):
                world.deed(*deed)
                if number % 12 == 0 or number == len(deeds):
                    compare(world.operator, world.learner, zone, world.now)
        finally:
            world.close()

    check()


def test_random_worlds(stack: Stack) -> None:
    random_worlds(stack, 12)


@pytest.mark.long
def test_many_random_worlds(stack: Stack) -> None:
    random_worlds(stack, 500)


# By hand ------------------------------------------------------------------------------------------


def test_a_newcomer_sees_an_empty_page(learner: Learner) -> None:
    ann = learner()
    ann.at(NOW)
    assert ann.call("get_my_dashboard") == {
        "today": str(NOW.date()),
        "timezone": "UTC",
        "activity_history": True,
        "totals": {
            "courses": {"total": 0, "completed": 0},
            "modules": {"total": 0, "completed": 0},
            "lessons": {"total": 0, "completed": 0},
            "quizzes": {"total": 0, "submitted": 0, "passed": 0},
        },
        "seconds": {"today": 0, "week": 0, "all": 0},
        "streak": {"current": 0, "longest": 0, "last_day": None},
        "velocity": {"lessons_per_week": 0, "trend": None, "expected_finish": None},
        "activity": [],
        "courses": [],
        "cursor": None,
    }


def test_completions_and_submissions_make_a_streak(operator: Actor, learner: Learner) -> None:
    ann, course = learner(), make_course(operator, [4, [{"type": "quiz"}]])
    ann.call("enroll", p_course_id=course.id)
    operator.run("select public.set_quiz(%s, %s)", course.lessons[1][0], Jsonb(QUIZ))

    def streak() -> tuple[int, int]:
        found = ann.call("get_my_dashboard")["streak"]
        return found["current"], found["longest"]

    for day in range(3):
        ann.at(NOW + timedelta(days=day))
        assert streak() == (day, day)
        ann.call("complete_lesson", p_lesson_id=course.all[day])
        assert streak() == (day + 1, day + 1)
    # Opening a lesson is no activity; a submitted attempt is, right or wrong.
    ann.at(NOW + timedelta(days=3))
    ann.call("start_lesson", p_lesson_id=course.all[3])
    ann.at(NOW + timedelta(days=4))
    assert streak() == (0, 3)
    ann.at(NOW + timedelta(days=3))
    ann.call("submit_quiz", p_lesson_id=course.lessons[1][0], p_answers=Jsonb([]))
    ann.at(NOW + timedelta(days=4))
    assert streak() == (4, 4)
    # A day with nothing left is no day of the streak, and leaves the heat map.
    ann.call("uncomplete_lesson", p_lesson_id=course.all[1])
    assert streak() == (2, 2)
    days = [NOW.date() + timedelta(days=day) for day in (0, 2, 3)]
    seen = ann.call("get_my_dashboard")["activity"]
    assert [entry["day"] for entry in seen] == list(map(str, days))
    assert [(entry["lessons"], entry["attempts"]) for entry in seen] == [(1, 0), (1, 0), (0, 1)]


def test_what_counts_and_what_does_not(operator: Actor, learner: Learner) -> None:
    ann = learner()
    course = make_course(
        operator,
        [
            [{}, {}, {"is_required": False}, {"type": "quiz", "completion_rule": "pass"}],
            [{"type": "quiz"}, {"is_preview": True}],
            [{"is_required": False}],
        ],
    )
    plain, archived, optional, gate = course.lessons[0]
    practice = course.lessons[1][0]
    for lesson in (gate, practice):
        operator.run("select public.set_quiz(%s, %s)", lesson, Jsonb(QUIZ))
    given_up = make_course(operator, [1])
    right = Jsonb([{"question_id": "q", "answer": True}])

    def totals(*expected: int) -> float:
        """Modules and lessons (all, done), quizzes (all, submitted, passed); gives the rate."""
        seen = compare(operator, ann, "UTC", NOW)
        found = [seen["totals"][name] for name in ("courses", "modules", "lessons")]
        assert found[0] == {"total": 1, "completed": 0}
        counts = [x for entry in found[1:] for x in (entry["total"], entry["completed"])]
        quizzes = seen["totals"]["quizzes"]
        assert (*counts, *(quizzes[x] for x in ("total", "submitted", "passed"))) == expected
        return float(seen["velocity"]["lessons_per_week"])

    ann.at(NOW)
    for begun in (course, given_up):
        ann.call("enroll", p_course_id=begun.id)
    ann.call("complete_lesson", p_lesson_id=given_up.all[0])
    operator.run(
        "update public.enrollments set status = 'withdrawn' where user_id = %s and course_id = %s",
        ann.user, given_up.id,
    )  # fmt: skip
    assert totals(2, 0, 4, 0, 2, 0, 0) == 0
    for lesson in (plain, archived, optional):
        ann.call("complete_lesson", p_lesson_id=lesson)
    assert totals(2, 0, 4, 2, 2, 0, 0) == 2
    operator.call("archive_lesson", p_lesson_id=archived)
    assert totals(2, 0, 3, 1, 2, 0, 0) == 1
    ann.call("submit_quiz", p_lesson_id=gate, p_answers=right)
    ann.call("start_attempt", p_lesson_id=practice)
    assert totals(2, 1, 3, 2, 2, 1, 1) == 2
    ann.call("submit_quiz", p_lesson_id=practice, p_answers=Jsonb([]))
    assert totals(2, 1, 3, 2, 2, 2, 1) == 2
    ann.call("uncomplete_lesson", p_lesson_id=plain)
    assert totals(2, 0, 3, 1, 2, 2, 1) == 1
    operator.call("archive_lesson", p_lesson_id=gate)
    assert totals(2, 0, 2, 0, 1, 1, 0) == 0
    operator.call("restore_lesson", p_lesson_id=gate)
    # The next run through the course has its own attempts.
    operator.run("update public.enrollments set cycle = 2 where user_id = %s", ann.user)
    assert totals(2, 0, 3, 1, 2, 0, 0) == 1


def test_windows_of_28_days(operator: Actor, learner: Learner) -> None:
    ann, course = learner(), make_course(operator, [9])
    ann.at(NOW)
    ann.call("enroll", p_course_id=course.id)
    for lesson in course.all[:4]:
        ann.call("complete_lesson", p_lesson_id=lesson)
    for after, rate, trend, finish in (
        (0, 4, None, 9), (6, 4, None, 9), (27, 1, None, 35),
        (28, 0, None, None), (34, 0, -4, None), (55, 0, -1, None), (56, 0, 0, None),
    ):  # fmt: skip
        seen = compare(operator, ann, "UTC", NOW + timedelta(days=after))
        today = NOW.date() + timedelta(days=after)
        assert seen["velocity"] == seen["courses"][0]["velocity"] == {
            "lessons_per_week": rate,
            "trend": trend,
            "expected_finish": finish and str(today + timedelta(days=finish)),
        }  # fmt: skip


def test_a_week_begins_on_monday(operator: Actor, learner: Learner) -> None:
    ann = learner()
    monday = NOW + timedelta(days=7 - NOW.weekday())
    for day, seconds in ((-1, 100), (0, 20), (2, 3)):
        when = monday + timedelta(days=day)
        operator.run(
            "insert into public.daily_activity (user_id, day, view_seconds, first_at, last_at)"
            " values (%s, %s, %s, %s, %s)", ann.user, when.date(), seconds, when, when,
        )  # fmt: skip
    for day, seconds in ((2, 23), (6, 23), (7, 0)):
        ann.at(monday + timedelta(days=day))
        assert ann.call("get_my_dashboard")["seconds"]["week"] == seconds


def event(kind: str, lesson: uuid.UUID, when: datetime, **more: Any) -> dict[str, Any]:
    """What a client kept while it was offline."""
    made = {"id": uuid.uuid4(), "kind": kind, "lesson_id": lesson, "at": when.isoformat(), **more}
    return {name: str(value) if name.endswith("id") else value for name, value in made.items()}


def test_a_minute_watched_makes_a_streak_day(operator: Actor, learner: Learner) -> None:
    ann, course = learner(), make_course(operator, [2])
    ann.call("enroll", p_course_id=course.id)
    for day, seconds in ((0, 60), (1, 120), (2, 179)):
        ann.at(NOW.replace(hour=12) + timedelta(days=day + 1))
        ann.call(
            "view_lesson", p_lesson_id=course.all[0], p_session_id=uuid.UUID(int=7),
            p_seconds=seconds,
        )  # fmt: skip
    seen = ann.call("get_my_dashboard")
    assert seen["streak"]["current"] == 2  # the third day has 59 seconds
    assert [day["seconds"] for day in seen["activity"]] == [60, 60, 59]
    assert (seen["seconds"]["today"], seen["seconds"]["all"]) == (59, 179)
    assert seen["courses"][0]["view_time_seconds"] == 179


def test_what_was_done_offline_mends_the_streak(operator: Actor, learner: Learner) -> None:
    ann, course = learner(), make_course(operator, [9])
    noon = NOW.replace(hour=12) + timedelta(days=1)
    ann.call("enroll", p_course_id=course.id)
    for day in (0, 3):
        ann.at(noon + timedelta(days=day))
        ann.call("complete_lesson", p_lesson_id=course.all[day])
    assert ann.call("get_my_dashboard")["streak"]["current"] == 1
    late = [
        event("complete", course.all[5], noon + timedelta(days=2)),
        event("view", course.all[6], noon + timedelta(days=1), session_id=uuid.uuid4(), seconds=90),
    ]
    answer = ann.call("apply_events", p_events=Jsonb(late))
    assert [result["status"] for result in answer["results"]] == ["applied", "applied"]
    seen = compare(operator, ann, "UTC", noon + timedelta(days=3))
    assert seen["streak"]["current"] == 4
    assert [(day["lessons"], day["seconds"]) for day in seen["activity"]] == [
        (1, 0), (0, 90), (1, 0), (1, 0),
    ]  # fmt: skip


def test_what_was_done_before_a_flight_counts_where_it_was_done(
    operator: Actor, learner: Learner
) -> None:
    ann, course = learner(), make_course(operator, [9])
    ann.run("update public.profiles set timezone = 'Asia/Tokyo' where id = %s", ann.user)
    ann.call("enroll", p_course_id=course.id)
    # 00:30 in Tokyo; in Los Angeles it is 7:30 of the day before.
    night = (NOW + timedelta(days=2)).replace(hour=15, minute=30, second=0)
    day = night.date() + timedelta(days=1)
    ann.at(night)
    ann.call("complete_lesson", p_lesson_id=course.all[0])
    ann.at(night + timedelta(days=3))
    ann.run("update public.profiles set timezone = 'America/Los_Angeles' where id = %s", ann.user)
    late = [
        event("complete", course.all[1], night + timedelta(days=1)),
        event(
            "view", course.all[2], night + timedelta(days=2, hours=1), session_id=uuid.uuid4(),
            seconds=7200,
        ),
    ]  # fmt: skip
    ann.call("apply_events", p_events=Jsonb(late))
    rows = ann.run("select day, lessons_completed, view_seconds from public.daily_activity")
    # The two hours began before midnight.
    assert {row["day"]: tuple(row.values())[1:] for row in rows} == {
        day: (1, 0),
        day + timedelta(days=1): (1, 1800),
        day + timedelta(days=2): (0, 5400),
    }
    assert ann.call("get_my_dashboard")["streak"]["longest"] == 3


def test_the_last_year_and_no_more(operator: Actor, learner: Learner) -> None:
    ann = learner()
    ann.at(NOW)
    for ago, seconds in ((0, 30), (364, 60), (365, 61), (3000, 62)):
        day = NOW.date() - timedelta(days=ago)
        when = NOW - timedelta(days=ago)
        operator.run(
            "insert into public.daily_activity (user_id, day, view_seconds, first_at, last_at)"
            " values (%s, %s, %s, %s, %s)", ann.user, day, seconds, when, when,
        )  # fmt: skip
    seen = ann.call("get_my_dashboard")
    assert [entry["seconds"] for entry in seen["activity"]] == [60, 30]
    assert (seen["seconds"]["today"], seen["seconds"]["all"]) == (30, 213)
    # Thirty seconds make no streak day.
    assert seen["streak"] == {
        "current": 0, "longest": 2, "last_day": str(NOW.date() - timedelta(days=364)),
    }  # fmt: skip


VELOCITIES = [
    # recent, before, open, days since the first, answer: lessons a week, trend, days until the end
    (0, 0, 10, 0, 0, None, None),
    (3, 0, 10, 0, 3, None, 24),  # the first day counts as a week
    (3, 0, 10, 6, 3, None, 24),
    (3, 0, 10, 7, 2.63, None, 27),  # 21 / 8, and 80 / 3 days
    (8, 0, 1, 27, 2, None, 4),
    (8, 0, 1, 33, 2, None, 4),  # six days before: too few to compare with
    (8, 2, 1, 34, 2, 0, 4),  # seven: two a week
    (8, 2, 1, 48, 2, 1.33, 4),
    (8, 16, 1, 55, 2, -2, 4),
    (8, 16, 1, 5000, 2, -2, 4),
    (8, 16, 0, 5000, 2, -2, None),
    (0, 16, 5, 5000, 0, -4, None),
    (1, 0, 130, 5000, 0.25, 0.25, 3640),
    (1, 0, 131, 5000, 0.25, 0.25, None),  # more than ten years
    (2_000_000_000, 0, 2_000_000_000, 0, 2_000_000_000, None, 7),
]


@pytest.mark.parametrize(("recent", "before", "left", "age", "rate", "trend", "finish"), VELOCITIES)
def test_velocity_by_hand(
    operator: Actor,
    recent: int,
    before: int,
    left: int,
    age: int,
    rate: float,
    trend: float | None,
    finish: int | None,
) -> None:
    today = date(2027, 1, 4)
    found = operator.one(
        "select private.velocity(%s, %s, %s, %s, %s)",
        recent, before, left, today - timedelta(days=age), today,
    )  # fmt: skip
    assert found == {
        "lessons_per_week": rate,
        "trend": trend,
        "expected_finish": finish and str(today + timedelta(days=finish)),
    }


@given(
    ages=st.lists(st.integers(0, 80), max_size=60),
    left=st.integers(0, 500),
    age=st.integers(0, 90),
)
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_velocity_equals_its_fractions(
    operator: Actor, ages: list[int], left: int, age: int
) -> None:
    today = date(2027, 1, 4)
    days = [today - timedelta(days=ago) for ago in ages]
    first = today - timedelta(days=age)
    recent = sum(1 for ago in ages if ago < 28)
    before = sum(1 for ago in ages if 28 <= ago < 56)
    found = operator.one(
        "select private.velocity(%s, %s, %s, %s, %s)", recent, before, left, first, today
    )
    assert found == velocity(days, left, first, today)


# Pages --------------------------------------------------------------------------------------------


def test_courses_come_in_pages_the_last_visited_first(operator: Actor, learner: Learner) -> None:
    ann = learner()
    courses = [make_course(operator, [1]).id for _ in range(23)]
    for number, course_id in enumerate(courses):
        visited = NOW - timedelta(hours=number // 2) if number % 5 else None
        insert(
            operator,
            "enrollments",
            {"user_id": ann.user, "course_id": course_id, "last_accessed_at": visited},
        )
    # One of somebody else, and one that is over.
    bob = learner()
    bob.call("enroll", p_course_id=courses[0])
    over = make_course(operator, [1]).id
    ann.call("enroll", p_course_id=over)
    operator.run("update public.enrollments set status = 'withdrawn' where course_id = %s", over)

    whole = compare(operator, ann, "UTC", NOW)
    assert (len(whole["courses"]), whole["cursor"]) == (23, None)
    for limit in (1, 7, 22, 23):
        pages, cursor = [], None
        while True:
            seen = ann.call("get_my_dashboard", p_cursor=cursor, p_limit=limit)
            assert {**seen, "courses": [], "cursor": None} == {**whole, "courses": []}
            pages += seen["courses"]
            cursor = seen["cursor"]
            if cursor is None:
                break
            assert len(seen["courses"]) == limit
        assert pages == whole["courses"]
    # Without a word twenty; no limit is the usual one.
    assert len(ann.call("get_my_dashboard")["courses"]) == 20
    assert len(ann.call("get_my_dashboard", p_limit=None)["courses"]) == 20

    # A course opened between two pages moves to the front and takes none from the next page.
    first = ann.call("get_my_dashboard", p_limit=10)
    last = whole["courses"][-1]
    ann.call("start_lesson", p_lesson_id=last["resume"]["lesson_id"])
    second = ann.call("get_my_dashboard", p_cursor=first["cursor"], p_limit=10)
    assert [x["course_id"] for x in second["courses"]] == [
        x["course_id"] for x in whole["courses"][10:20]
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        {"p_limit": 0},
        {"p_limit": 101},
        {"p_limit": -1},
        *(
            {"p_cursor": cursor}
            for cursor in ("", "1", "_", "1_", "_1", "-1_1", "1_2_3", "1e3_1", "1_1 ", "1_1\n",
                           "'; select 1", "9" * 18 + "_1", "1_" + "9" * 19, "\u0661_\u0661")
        ),
    ],
)  # fmt: skip
def test_a_bad_page_is_refused(learner: Learner, arguments: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="invalid_value") as refused:
        learner().call("get_my_dashboard", **arguments)
    assert refused.value.status == 422


def test_any_cursor_of_that_form_is_harmless(operator: Actor, learner: Learner) -> None:
    ann, course = learner(), make_course(operator, [1])
    ann.call("enroll", p_course_id=course.id)
    for cursor, count in (("0_0", 0), ("9" * 17 + "_" + "9" * 18, 1)):
        assert len(ann.call("get_my_dashboard", p_cursor=cursor)["courses"]) == count


# Whose it is --------------------------------------------------------------------------------------


def test_what_others_do_does_not_show(operator: Actor, learner: Learner) -> None:
    course = make_course(operator, [2, [{"type": "quiz"}]])
    operator.run("select public.set_quiz(%s, %s)", course.lessons[1][0], Jsonb(QUIZ))
    ann, bob = learner(), learner()
    for person in (ann, bob):
        person.at(NOW)
        person.call("enroll", p_course_id=course.id)
    before = ann.call("get_my_dashboard")
    bob.call("complete_lesson", p_lesson_id=course.all[0])
    bob.call("submit_quiz", p_lesson_id=course.lessons[1][0], p_answers=Jsonb([]))
    assert ann.call("get_my_dashboard") == before
    assert bob.call("get_my_dashboard")["totals"]["lessons"]["completed"] == 1


def test_visitors_are_told_to_sign_in(actors: Callable[..., Actor]) -> None:
    with pytest.raises(Refused) as refused:
        actors("anon").call("get_my_dashboard")
    assert (refused.value.code, refused.value.status) == ("not_authenticated", 401)
    assert refused.value.message == "Sign in to track your progress"


def test_a_move_counts_from_the_moment_it_is_told(operator: Actor, learner: Learner) -> None:
    ann, course = learner(), make_course(operator, [3])
    ann.call("enroll", p_course_id=course.id)
    # Tuesday evening in Los Angeles is Wednesday noon in Tokyo.
    evening = (NOW + timedelta(days=8)).replace(hour=4, minute=0, second=0)
    ann.at(evening - timedelta(hours=2))
    ann.run("update public.profiles set timezone = 'America/Los_Angeles' where id = %s", ann.user)
    ann.at(evening)
    ann.call("complete_lesson", p_lesson_id=course.all[0])
    home = evening.date() - timedelta(days=1)
    assert ann.call("get_my_dashboard")["today"] == str(home)
    ann.at(evening + timedelta(hours=20))
    ann.run("update public.profiles set timezone = 'Asia/Tokyo' where id = %s", ann.user)
    seen = ann.call("get_my_dashboard")
    assert (seen["today"], seen["timezone"]) == (str(home + timedelta(days=2)), "Asia/Tokyo")
    assert seen["streak"] == {"current": 1, "longest": 1, "last_day": str(home)}
    ann.at(evening + timedelta(hours=21))
    ann.call("complete_lesson", p_lesson_id=course.all[1])
    assert ann.call("get_my_dashboard")["streak"]["current"] == 2
    days = [row["day"] for row in ann.run("select day from public.daily_activity order by day")]
    assert days == [home, home + timedelta(days=2)]
