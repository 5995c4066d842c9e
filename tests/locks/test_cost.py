"""Rules cost the same in a course of any length, and nothing where there are none."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.database.actors import Actor, make_course, make_users
from tests.database.test_cost import (
    PLACES,
    SIZES,
    Cost,
    has_done,
    indexed,
    lessons_of,
    measure,
)

SCANS = """
select coalesce(sum(seq_scan + coalesce(idx_scan, 0)), 0)::bigint from pg_stat_xact_user_tables
 where relname in ('lesson_prerequisites', 'module_prerequisites', 'course_prerequisites',
                   'access_overrides')
"""
COMMANDS = ("start_lesson", "complete_lesson")


def every_rule(operator: Actor, course_id: int, user: uuid.UUID) -> None:
    """Each kind of rule on every lesson; all are fulfilled for whoever goes in order."""
    operator.run(
        "update public.modules set available_from = now() - interval '1 day', "
        "available_after_previous_days = 0 where course_id = %s",
        course_id,
    )
    operator.run(
        "insert into public.module_prerequisites (module_id, requires_module_id) "
        "select m.id, p.id from public.modules m join public.modules p "
        "on p.course_id = m.course_id and p.position = m.position - 1 where m.course_id = %s",
        course_id,
    )
    operator.run(
        "update public.lessons set available_from = now() - interval '1 day' where course_id = %s",
        course_id,
    )
    operator.run(
        "insert into public.lesson_prerequisites (lesson_id, requires_lesson_id, course_id) "
        "select x.id, x.before, %s from (select id, lag(id) over (order by module_position, "
        "module_id, position, id) as before from public.lessons where course_id = %s) as x "
        "where x.before is not null",
        course_id,
        course_id,
    )
    operator.run(
        "insert into public.access_overrides (user_id, lesson_id, available_from) "
        "select %s, id, now() - interval '1 hour' from public.lessons where course_id = %s",
        user,
        course_id,
    )


@pytest.fixture(scope="module")
def costs(request: pytest.FixtureRequest) -> dict[tuple[str, int, str], Cost]:
    """A start and a completion in courses of both sizes, wherever the learner stands."""
    stack = request.getfixturevalue("stack")
    operator, learner = Actor(stack), indexed(Actor(stack, "authenticated"))
    try:
        scenes = []
        for size in SIZES:
            course_id, lessons = lessons_of(operator, size)
            users = make_users(operator, len(PLACES))
            every_rule(operator, course_id, users[0])
            operator.run("update public.courses set sequential = true where id = %s", course_id)
            for user, place, done in zip(users, PLACES, (0, size // 2, size - 2), strict=True):
                if done:
                    has_done(operator, user, lessons[:done])
                learner.become(user)
                learner.call("enroll", p_course_id=course_id)
                scenes.append((size, place, user, lessons, done))
        operator.run(
            "analyze public.user_progress, public.lessons, public.enrollments, public.modules, "
            "public.lesson_prerequisites, public.module_prerequisites, public.access_overrides, "
            "public.module_progress, public.courses, public.profiles"
        )
        found = {}
        for _ in range(2):  # the first round fills the connection's caches
            for size, place, user, lessons, done in scenes:
                learner.become(user)
                learner.call("complete_lesson", p_lesson_id=lessons[done])
                for command in COMMANDS:
                    found[command, size, place] = measure(learner, command, lessons[done + 1])
        return found
    finally:
        operator.close()
        learner.close()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_write_under_every_rule_reads_no_more_in_a_longer_course(
    costs: dict[tuple[str, int, str], Cost], command: str
) -> None:
    small, large = SIZES
    for place in PLACES:
        short, long = costs[command, small, place], costs[command, large, place]
        assert long.buffers <= short.buffers + 120, costs
        assert long.read <= short.read + 40, costs
        assert long.read <= 200, costs


def test_a_course_without_rules_never_looks_for_any(
    operator: Actor, learner: Callable[[], Actor]
) -> None:
    ann = learner()
    course = make_course(operator, [3])
    ann.call("enroll", p_course_id=course.id)

    def scans(function: str, argument: Any) -> int:
        with ann.connection.transaction(force_rollback=True):
            # The session's counters hold what it has not yet reported of earlier transactions.
            before: int = ann.one(SCANS)
            ann.run(f"select public.{function}(%s)", argument)
            after: int = ann.one(SCANS)
        return after - before

    calls = [*((command, course.all[0]) for command in COMMANDS), ("get_next_lesson", course.id)]
    calls += [("get_course_progress", course.id), ("complete_module", course.modules[0])]
    for call in calls:
        assert scans(*call) == 0, call
    operator.run("update public.lessons set available_after_days = 1 where id = %s", course.all[1])
    for call in calls:
        assert scans(*call) > 0, call


def test_a_course_view_asks_for_all_its_locks_in_one_pass(
    operator: Actor, learner: Callable[[], Actor]
) -> None:
    """What a lesson costs does not grow with the number of lessons."""
    ann = indexed(learner())
    per_lesson = []
    for size in SIZES:
        course_id, _ = lessons_of(operator, size)
        assert ann.user
        every_rule(operator, course_id, ann.user)
        ann.call("enroll", p_course_id=course_id)
        operator.run("analyze public.lessons, public.lesson_prerequisites, public.access_overrides")
        measure(ann, "get_course_progress", course_id)
        per_lesson.append(measure(ann, "get_course_progress", course_id).buffers / size)
    few, many = per_lesson
    assert many <= few * 1.5, per_lesson
    assert many <= 60, per_lesson
