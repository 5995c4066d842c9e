"""Modules with rule quiz_passed: done when their quizzes are, whatever is edited meanwhile."""

from __future__ import annotations

import random
from typing import Any

from tests.quiz.world import Person, World, choice, sheet

ONE = [choice("First?")]
RIGHT = sheet({"q1": "o1"})


def status(world: World, learner: Person) -> tuple[Any, ...]:
    return tuple(
        world.run(
            "select status, completed_lessons, total_lessons, completed_quizzes, total_quizzes,"
            " completed_at is not null from public.module_progress"
            " where user_id = %s and module_id = %s",
            learner.id, world.module,
        )[0]
    )  # fmt: skip


def finished(world: World, learner: Person) -> int:
    found: int = world.one(
        "select count(*) from public.progress_events"
        " where user_id = %s and kind = 'module_completed'",
        learner.id,
    )
    return found


def test_done_by_its_quizzes(worlds: Any) -> None:
    world = worlds(completion_rule="quiz_passed")
    plain = [world.lesson(position=n) for n in range(2)]
    first, second = world.quiz(ONE, position=3), world.quiz(ONE, position=4)
    learner = world.learner()
    learner.call("submit_quiz", lesson_id=first, answers=RIGHT)
    assert status(world, learner) == ("in_progress", 1, 4, 1, 2, False)
    learner.call("submit_quiz", lesson_id=second)
    assert status(world, learner) == ("in_progress", 1, 4, 1, 2, False)
    done = learner.call("submit_quiz", lesson_id=second, answers=RIGHT)
    assert status(world, learner) == ("completed", 2, 4, 2, 2, True)
    assert done["enrollment"]["progress_percent"] == 50
    assert finished(world, learner) == 1
    # The rest adds to percent and completes nothing again.
    for lesson in plain:
        last = learner.call("complete_lesson", lesson_id=lesson)
    assert last["enrollment"]["progress_percent"] == 100
    assert status(world, learner) == ("completed", 4, 4, 2, 2, True)
    assert finished(world, learner) == 1


def test_the_usual_rule_asks_for_all_lessons(world: World) -> None:
    plain, quiz = world.lesson(), world.quiz(ONE)
    learner = world.learner()
    learner.call("submit_quiz", lesson_id=quiz, answers=RIGHT)
    assert status(world, learner)[0] == "in_progress"
    learner.call("complete_lesson", lesson_id=plain)
    assert status(world, learner)[0] == "completed"


def test_without_quizzes_all_lessons_count(worlds: Any) -> None:
    world = worlds(completion_rule="quiz_passed")
    lessons = [world.lesson(), world.lesson(), world.quiz(ONE, is_required=False)]
    learner = world.learner()
    learner.call("complete_lesson", lesson_id=lessons[0])
    assert status(world, learner) == ("in_progress", 1, 2, 0, 0, False)
    learner.call("complete_lesson", lesson_id=lessons[1])
    assert status(world, learner) == ("completed", 2, 2, 0, 0, True)


def test_uncompleting_and_back(worlds: Any) -> None:
    world = worlds(completion_rule="quiz_passed")
    world.lesson()
    quiz = world.quiz(ONE)
    learner = world.learner()
    learner.call("submit_quiz", lesson_id=quiz, answers=RIGHT)
    learner.call("uncomplete_lesson", lesson_id=quiz)
    assert status(world, learner) == ("in_progress", 0, 2, 0, 1, True)
    # It was passed: saying so is enough now.
    learner.call("complete_lesson", lesson_id=quiz)
    assert status(world, learner) == ("completed", 1, 2, 1, 1, True)


def test_a_change_of_rule_settles_its_learners(world: World) -> None:
    world.lesson()
    quiz = world.quiz(ONE)
    done, begun = world.learner(), world.learner()
    done.call("submit_quiz", lesson_id=quiz, answers=RIGHT)
    begun.call("start_lesson", lesson_id=quiz)
    world.run(
        "update public.modules set completion_rule = 'quiz_passed' where id = %s", world.module
    )
    assert status(world, done) == ("completed", 1, 2, 1, 1, True)
    assert status(world, begun) == ("in_progress", 0, 2, 0, 1, False)
    assert (finished(world, done), finished(world, begun)) == (1, 0)
    world.run(
        "update public.modules set completion_rule = 'all_lessons' where id = %s", world.module
    )
    assert status(world, done)[0] == "in_progress"


def test_random_edits_keep_the_counts(worlds: Any) -> None:
    chance = random.Random(5)
    world, other = worlds(completion_rule="quiz_passed"), worlds()
    elsewhere = world.one(
        "insert into public.modules (course_id, title, completion_rule)"
        " values (%s, 'Other', 'quiz_passed') returning id", world.course,
    )  # fmt: skip
    lessons = [world.lesson() for _ in range(3)] + [world.quiz(ONE) for _ in range(3)]
    learners = [world.learner() for _ in range(4)]
    for learner in learners[:2]:
        learner.call("enroll", course_id=other.course)
    modules = [world.module, elsewhere, other.module]
    for _ in range(60):
        lesson = chance.choice(lessons)
        step = chance.choice(["work", "work", "undo", "rule", "move", "edit", "edit", "module"])
        if step in ("work", "undo"):
            learner = chance.choice(learners)
            rpc, arguments = {
                "work": chance.choice(
                    [("complete_lesson", {}), ("submit_quiz", {"answers": RIGHT}),
                     ("start_lesson", {})]
                ),
                "undo": ("uncomplete_lesson", {}),
            }[step]  # fmt: skip
            try:
                learner.call(rpc, lesson_id=lesson, **arguments)
            except Exception as refused:
                assert getattr(refused, "code", None) in (  # noqa: PT017
                    "rule_not_met", "no_quiz", "not_enrolled", "lesson_not_found", "preview_lesson",
                )  # fmt: skip
        elif step == "rule":
            rule = chance.choice(["manual", "pass", "submit"])
            world.run("update public.lessons set completion_rule = %s where id = %s", rule, lesson)
        elif step == "move":
            target = chance.choice(modules)
            world.run("update public.lessons set module_id = %s where id = %s", target, lesson)
        elif step == "edit":
            change = chance.choice(
                ["archived_at = now()", "archived_at = null", "is_required = not is_required",
                 "is_preview = not is_preview", "weight = weight + 1"]
            )  # fmt: skip
            world.run(f"update public.lessons set {change} where id = %s", lesson)
        else:
            world.run(
                "update public.modules set completion_rule = case completion_rule"
                " when 'all_lessons' then 'quiz_passed' else 'all_lessons' end where id = %s",
                chance.choice(modules),
            )
        assert drift(world, [world.course, other.course]) == [], step


def drift(world: World, courses: list[int]) -> list[Any]:
    """Counters that counting contradicts, here counted without any helper of the schema."""
    return world.run(
        """
        with truth as (
          select m.id, m.completion_rule, mp.user_id,
                 count(l.id) filter (where l.is_countable) as lessons,
                 count(l.id) filter (where l.is_countable and p.is_completed) as done,
                 count(l.id) filter (
                   where l.is_countable and l.completion_rule = 'pass') as quizzes,
                 count(l.id) filter (where l.is_countable and l.completion_rule = 'pass'
                   and p.is_completed) as passed
            from public.modules m
            join public.module_progress mp on mp.module_id = m.id
            left join public.lessons l on l.module_id = m.id
            left join public.user_progress p on p.lesson_id = l.id and p.user_id = mp.user_id
           where m.course_id = any (%(courses)s)
           group by m.id, mp.user_id
        )
        select 'learner', to_jsonb(t), to_jsonb(mp)
          from truth t
          join public.module_progress mp on mp.module_id = t.id and mp.user_id = t.user_id
         where (mp.completion_rule, mp.total_lessons, mp.completed_lessons, mp.total_quizzes,
                mp.completed_quizzes, mp.status = 'completed')
           is distinct from (t.completion_rule, t.lessons, t.done, t.quizzes, t.passed, case
             when t.completion_rule = 'quiz_passed' and t.quizzes > 0 then t.passed = t.quizzes
             else t.lessons > 0 and t.done = t.lessons end)
        union all
        select 'module', to_jsonb(m), null
          from public.modules m
         where m.course_id = any (%(courses)s)
           and (m.total_lessons <> (
                  select count(*) from public.lessons l
                   where l.module_id = m.id and l.is_countable)
             or m.total_quizzes <> (
                  select count(*) from public.lessons l
                   where l.module_id = m.id and l.is_countable and l.completion_rule = 'pass'))
        union all
        select 'recalculation', to_jsonb(e), r
          from public.enrollments e
         cross join lateral private.recalculate_enrollment(e.id, true) r
         where e.course_id = any (%(courses)s) and (r ->> 'changed')::boolean
        """,
        {"courses": courses},
    )


def test_recalculation_mends_quizzes_too(worlds: Any) -> None:
    world = worlds(completion_rule="quiz_passed")
    world.lesson()
    quiz = world.quiz(ONE)
    learner = world.learner()
    learner.call("submit_quiz", lesson_id=quiz, answers=RIGHT)
    world.run(
        "update public.module_progress set completed_quizzes = 0 where user_id = %s", learner.id
    )
    enrollment = learner.call("enroll", course_id=world.course)["enrollment"]["id"]
    assert learner.call("recalculate", enrollment_id=enrollment)["changed"] == 1
    assert status(world, learner) == ("completed", 1, 2, 1, 1, True)
