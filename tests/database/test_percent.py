"""Percent, through real rows: what counts, by weight, half up, and 100 only when all is done."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.database.actors import Actor, drift, make_course
from tests.support import model

Learner = Callable[[], Actor]


def finish(learner: Actor, lessons: list[uuid.UUID]) -> list[Decimal]:
    """Complete lessons; return the percent after each."""
    return [
        Decimal(
            str(learner.call("complete_lesson", p_lesson_id=x)["enrollment"]["progress_percent"])
        )
        for x in lessons
    ]


def test_the_fifth_of_ten_gives_fifty(operator: Actor, learner: Learner) -> None:
    course = make_course(operator, [10])
    ann = learner()
    ann.call("enroll", p_course_id=course.id)
    assert finish(ann, course.all[:5]) == [10, 20, 30, 40, 50]


def test_modules_of_three_five_and_two_with_five_done_give_fifty(
    operator: Actor, learner: Learner
) -> None:
    course = make_course(operator, [3, 5, 2])
    ann = learner()
    ann.call("enroll", p_course_id=course.id)
    mixed = [course.lessons[2][1], *course.lessons[0], course.lessons[1][4]]
    assert finish(ann, mixed)[-1] == 50
    seen = ann.call("get_course_progress", p_course_id=course.id)
    assert (seen["total"], seen["completed"], seen["percent"]) == (10, 5, 50)
    assert [(m["total"], m["completed"], m["status"]) for m in seen["modules"]] == [
        (3, 3, "completed"),
        (5, 1, "in_progress"),
        (2, 1, "in_progress"),
    ]
    assert [Decimal(str(m["percent"])) for m in seen["modules"]] == [100, 20, 50]


def test_thirds_are_rounded_half_up_and_end_at_exactly_a_hundred(
    operator: Actor, learner: Learner
) -> None:
    course = make_course(operator, [3])
    ann = learner()
    ann.call("enroll", p_course_id=course.id)
    assert finish(ann, course.all) == [Decimal("33.33"), Decimal("66.67"), 100]
    summary = ann.call("get_course_summary", p_course_id=course.id)
    assert summary["completed_at"] is not None
    assert summary["percent"] == 100


def test_all_but_one_of_thirty_thousand_is_not_a_hundred(operator: Actor, learner: Learner) -> None:
    course = make_course(operator, [[]])
    ann = learner()
    operator.run(
        "insert into public.lessons (module_id, position, title) "
        "select %s, i, 'Lesson' from generate_series(1, 30000) as i",
        course.modules[0],
    )
    operator.run(
        "insert into public.user_progress (user_id, lesson_id, course_id, status, progress, "
        "started_at, completed_at, completed_on) select %s, id, course_id, 'completed', 1, now(), "
        "now(), current_date from public.lessons where module_id = %s and position <= 29998",
        ann.user,
        course.modules[0],
    )
    ann.call("enroll", p_course_id=course.id)
    last = operator.run(
        "select id from public.lessons where module_id = %s and position > 29998 order by position",
        course.modules[0],
    )
    first, second = finish(ann, [row["id"] for row in last])
    assert first == Decimal("99.99")
    assert second == 100


def test_weights_count(operator: Actor, learner: Learner) -> None:
    course = make_course(operator, [[{"weight": 1}, {"weight": 2}, {"weight": 5}]])
    ann = learner()
    ann.call("enroll", p_course_id=course.id)
    assert finish(ann, course.all) == [Decimal("12.50"), Decimal("37.50"), 100]


def test_half_a_hundredth_is_rounded_up(operator: Actor, learner: Learner) -> None:
    # 1 of 800 is 0.125 %, and 3 of 800 is 0.375 %.
    course = make_course(operator, [[{"weight": 1}, {"weight": 2}, {"weight": 797}]])
    ann = learner()
    ann.call("enroll", p_course_id=course.id)
    assert finish(ann, course.all[:2]) == [Decimal("0.13"), Decimal("0.38")]


@pytest.mark.parametrize(
    "fields",
    [{"is_preview": True}, {"is_required": False}, {"archived_at": "2026-01-01"}],
    ids=["preview", "optional", "archived"],
)
def test_nothing_countable_is_nought_and_never_complete(
    operator: Actor, learner: Learner, fields: dict[str, Any]
) -> None:
    course = make_course(operator, [[fields, fields]])
    ann = learner()
    answer = ann.call("enroll", p_course_id=course.id)["enrollment"]
    assert (answer["total_lessons"], answer["progress_percent"]) == (0, 0)
    if "is_required" in fields:
        assert finish(ann, course.all) == [0, 0]
        seen = ann.call("get_course_progress", p_course_id=course.id)
        assert seen["optional"] == {
            "total": 2,
            "completed": 2,
            "completed_lesson_ids": [str(x) for x in course.all],
        }
        assert seen["completed_lesson_ids"] == []
    assert ann.call("get_course_summary", p_course_id=course.id)["completed_at"] is None
    assert drift(operator, [course.id]) == []


def test_percent_agrees_with_integers_wherever_rounding_is_close(operator: Actor) -> None:
    pairs = [(e, p) for p in (1, 3, 7, 8, 16, 160, 799, 800, 20000) for e in range(p + 1)]
    pairs += [(2**40 - 1, 2**40), (1, 10**12), (10**12 - 1, 10**12), (5, 3), (0, 0), (4, 0)]
    rows = operator.run(
        "select e, p, private.percent(e, p) as percent from unnest(%s::bigint[], %s::bigint[]) "
        "as t (e, p)",
        [e for e, _ in pairs],
        [p for _, p in pairs],
    )
    wrong = [r for r in rows if r["percent"] != model.percent(r["e"], r["p"])]
    assert wrong == []
