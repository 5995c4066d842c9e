"""Promise 5's other half: what a completion costs does not grow, counted in buffers and rows.

Never in milliseconds: the counts are the same on any machine.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.database.actors import Actor, make_course, make_users

SIZES = (10, 5000)
PLACES = ("start", "half", "end")

COUNTS = """
select relname, n_tup_ins as inserted, n_tup_upd as updated, n_tup_hot_upd as hot,
       coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) as read
  from pg_stat_xact_user_tables
 where schemaname in ('public', 'private')
"""


@dataclass
class Cost:
    """What one call did."""

    buffers: int
    inserted: int
    updated: dict[str, tuple[int, int]]
    reads: dict[str, int]

    @property
    def read(self) -> int:
        """Rows read of all tables."""
        return sum(self.reads.values())


def lessons_of(operator: Actor, size: int) -> tuple[int, list[uuid.UUID]]:
    """A course of five modules with this many lessons, made in one statement."""
    course = make_course(operator, [0] * 5)
    operator.run(
        "insert into public.lessons (module_id, position, title) "
        "select (%s::uuid[])[1 + (i * 5) / %s], i, 'Lesson' from generate_series(0, %s - 1) as i",
        course.modules,
        size,
        size,
    )
    rows = operator.run(
        "select id from public.lessons where course_id = %s "
        "order by module_position, module_id, position, id",
        course.id,
    )
    return course.id, [row["id"] for row in rows]


def has_done(operator: Actor, user: uuid.UUID, lessons: list[uuid.UUID]) -> None:
    """Put completed rows under a learner who is not enrolled yet, the quick way."""
    operator.run(
        "insert into public.user_progress (user_id, lesson_id, course_id, status, progress, "
        "started_at, last_accessed, completed_at, completed_on) select %s, id, course_id, "
        "'completed', 1, now(), now(), now(), current_date from public.lessons "
        "where id = any (%s)",
        user,
        lessons,
    )
    operator.run(
        "insert into public.module_progress (user_id, module_id, course_id, completed_lessons, "
        "total_lessons, started_at, completed_at) select p.user_id, m.id, m.course_id, count(*), "
        "m.total_lessons, now(), now() from public.user_progress p join public.lessons l "
        "on l.id = p.lesson_id join public.modules m on m.id = l.module_id "
        "where p.user_id = %s group by p.user_id, m.id",
        user,
    )


def indexed(learner: Actor) -> Actor:
    """Tables as small as a test's may well be scanned whole; that plans use their indexes on many
    rows is the business of the plan tests."""
    learner.run("set enable_seqscan = off")
    # A session that was somebody else's may have settled on other plans.
    learner.run("discard plans")
    return learner


def measure(learner: Actor, function: str, argument: Any) -> Cost:
    """Call a function and count; its effects are rolled back."""
    with learner.connection.transaction(force_rollback=True):
        # The session's counters hold what it has not yet reported of earlier transactions.
        before = {row["relname"]: row for row in learner.run(COUNTS)}
        plan = learner.one(
            f"explain (analyze, buffers, format json) select public.{function}(%s)", argument
        )
        after = learner.run(COUNTS)
    rows = [
        {
            name: value - before.get(row["relname"], {}).get(name, 0)
            for name, value in row.items()
            if name != "relname"
        }
        | {"relname": row["relname"]}
        for row in after
    ]
    top = plan[0]["Plan"]
    return Cost(
        buffers=top["Shared Hit Blocks"] + top["Shared Read Blocks"],
        inserted=sum(row["inserted"] for row in rows),
        updated={row["relname"]: (row["updated"], row["hot"]) for row in rows if row["updated"]},
        reads={row["relname"]: row["read"] for row in rows if row["read"]},
    )


@pytest.fixture(scope="module")
def costs(request: pytest.FixtureRequest) -> dict[tuple[int, str], Cost]:
    """One completion in courses of both sizes, wherever the learner stands."""
    stack = request.getfixturevalue("stack")
    operator, learner = Actor(stack), indexed(Actor(stack, "authenticated"))
    try:
        scenes = []
        for size in SIZES:
            course_id, lessons = lessons_of(operator, size)
            for place, done in zip(PLACES, (0, size // 2, size - 2), strict=True):
                (user,) = make_users(operator)
                if done:
                    has_done(operator, user, lessons[:done])
                learner.become(user)
                learner.call("enroll", p_course_id=course_id)
                scenes.append((size, place, user, lessons, done))
        operator.run(
            "analyze public.user_progress, public.lessons, public.enrollments, public.modules, "
            "public.module_progress, public.courses, public.profiles"
        )
        found = {}
        for _ in range(2):  # the first round fills the connection's caches
            for size, place, user, lessons, done in scenes:
                learner.become(user)
                learner.call("complete_lesson", p_lesson_id=lessons[done])
                found[size, place] = measure(learner, "complete_lesson", lessons[done + 1])
        return found
    finally:
        operator.close()
        learner.close()


def test_a_completion_writes_the_same_rows_wherever_the_learner_stands(
    costs: dict[tuple[int, str], Cost],
) -> None:
    for (_, place), cost in costs.items():
        # The lesson's row and its event; the module's and the course's events when these end, and
        # with the course the certificate, its job and the message.
        assert cost.inserted <= (3 if place != "end" else 7)
        assert sum(updated for updated, _ in cost.updated.values()) <= 3


def test_a_completion_reads_no_more_in_a_longer_course(
    costs: dict[tuple[int, str], Cost],
) -> None:
    small, large = SIZES
    for place in PLACES:
        short, long = costs[small, place], costs[large, place]
        # A longer course may add a level or two to each of some ten indexes, and no more.
        assert long.buffers <= short.buffers + 80, costs
        # Of a handful of rows the planner may read all: the ten lessons, or the five modules.
        assert long.read <= short.read + 20, costs


def test_a_completion_reads_no_more_half_way_or_at_the_end(
    costs: dict[tuple[int, str], Cost],
) -> None:
    for size in SIZES:
        start, half, end = (costs[size, place] for place in PLACES)
        # At the start the lesson ends its module, and the next one of five is looked for.
        assert abs(half.read - start.read) <= 25, costs
        assert abs(half.buffers - start.buffers) <= 60, costs
        # The last one issues the certificate, and asks what programs the course is part of; each of
        # its events looks at the summary of its month's pages.
        assert end.read <= start.read + 120, costs
        assert end.buffers <= start.buffers + 120, costs


def test_a_completion_costs_the_same_with_three_hundred_enrolments(
    operator: Actor, learner: Callable[[], Actor]
) -> None:
    found = []
    for others in (0, 299):
        course = make_course(operator, [10])
        ann = indexed(learner())
        operator.run(
            "with c as (insert into public.courses (slug, title, status) "
            "select 'many-' || gen_random_uuid(), 'C', 'published' "
            "from generate_series(1, %s) returning id) "
            "insert into public.enrollments (user_id, course_id) select %s, id from c",
            others,
            ann.user,
        )
        ann.call("enroll", p_course_id=course.id)
        for lesson in course.all[:4]:
            ann.call("complete_lesson", p_lesson_id=lesson)
        measure(ann, "complete_lesson", course.all[4])
        found.append(measure(ann, "complete_lesson", course.all[4]))
    one, many = found
    assert many.inserted == one.inserted
    # Not by three hundred; by which plan small tables are read makes more of a difference.
    assert many.read <= one.read + 20, found
    assert many.buffers <= one.buffers + 60, found


def test_updates_of_progress_are_hot(operator: Actor, learner: Callable[[], Actor]) -> None:
    course = make_course(operator, [4])
    ann = indexed(learner())
    ann.call("enroll", p_course_id=course.id)
    for lesson in course.all[:2]:
        ann.call("start_lesson", p_lesson_id=lesson)
    ann.call("complete_lesson", p_lesson_id=course.all[0])
    for function in ("start_lesson", "complete_lesson", "put_lesson_progress"):
        cost = measure(ann, function, course.all[1])
        assert "enrollments" in cost.updated
        assert "user_progress" in cost.updated
        for table, (updated, hot) in cost.updated.items():
            assert updated == hot, f"{function} moved rows of {table} in its indexes"


def test_a_completion_costs_the_same_with_a_thousand_waivers(
    operator: Actor, server: Actor, learner: Callable[[], Actor]
) -> None:
    found = []
    for waived in (1, 1000):
        course_id, lessons = lessons_of(operator, 2000)
        ann = indexed(learner())
        # Every other lesson from the end on, so that some stand in the module that is begun, too.
        operator.run(
            "insert into public.lesson_waivers (user_id, lesson_id, reason) "
            "select %s, id, 'Excused' from unnest(%s::uuid[]) as id",
            ann.user,
            lessons[: -2 * waived - 1 : -2],
        )
        ann.call("enroll", p_course_id=course_id)
        server.call("recalculate", p_course_id=course_id)
        operator.run("analyze public.lesson_waivers, public.lessons")
        open_lessons = [x for x in lessons[:8] if x not in lessons[: -2 * waived - 1 : -2]]
        for lesson in open_lessons[:2]:
            ann.call("complete_lesson", p_lesson_id=lesson)
        measure(ann, "complete_lesson", open_lessons[2])
        found.append(measure(ann, "complete_lesson", open_lessons[2]))
    one, many = found
    assert many.inserted == one.inserted
    assert many.read <= one.read + 25, found
    assert many.buffers <= one.buffers + 60, found
