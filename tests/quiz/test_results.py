"""What follows from a grade: completion, reported scores, what is revealed and when, statistics."""

from __future__ import annotations

import json
import random
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from tests.quiz.world import EVERY_KIND, Person, World, choice, sheet

TWO = [choice("First?", explanation="ZEBRA-1"), choice("Second?")]
HALF = sheet({"q1": "o1"})
ESSAY = {"kind": "free_text", "text": "Why?", "points": 100}


# Completion ---------------------------------------------------------------------------------------


def test_a_pass_completes_in_the_same_transaction(world: World) -> None:
    lesson = world.quiz(EVERY_KIND)
    learner = world.learner()
    done = learner.call("submit_quiz", lesson_id=lesson, answers=world.right(lesson))
    assert (done["attempt"]["percent"], done["attempt"]["passed"]) == (100, True)
    assert done["attempt"]["correct_count"] == len(EVERY_KIND)
    assert done["progress"]["is_completed"]
    assert done["enrollment"]["progress_percent"] == 100
    assert done["progress"]["completed_at"] == done["attempt"]["submitted_at"]
    kinds = [
        kind
        for (kind,) in world.run(
            "select kind from public.progress_events where user_id = %s order by id", learner.id
        )
    ]
    assert kinds == [
        "enrolled", "lesson_started", "attempt_started", "attempt_submitted", "attempt_graded",
        "lesson_completed", "module_completed", "course_completed",
    ]  # fmt: skip


def test_a_fail_does_not(world: World) -> None:
    lesson = world.quiz(TWO)
    learner = world.learner()
    failed = learner.call("submit_quiz", lesson_id=lesson, answers=HALF)
    assert (failed["attempt"]["passed"], failed["progress"]["is_completed"]) == (False, False)
    assert (failed["progress"]["attempts"], failed["progress"]["best_score"]) == (1, 50)
    assert failed["enrollment"]["progress_percent"] == 0
    refused = learner.refusal("complete_lesson", lesson_id=lesson)
    assert (refused.code, json.loads(refused.details)["have"]) == ("rule_not_met", 50)


def test_no_quiz_taken_is_null_and_failed_is_0(world: World) -> None:
    lesson = world.quiz(TWO)
    learner = world.learner()
    before = learner.call("start_attempt", lesson_id=lesson)["progress"]
    assert (before["attempts"], before["best_score"]) == (0, None)
    after = learner.call("submit_quiz", lesson_id=lesson)["progress"]
    assert (after["attempts"], after["best_score"]) == (1, 0)


def test_rule_submit_completes_on_submission(world: World) -> None:
    lesson = world.quiz([ESSAY], completion_rule="submit", type="assignment")
    done = world.learner().call("submit_quiz", lesson_id=lesson, answers=sheet({"q1": "Because."}))
    assert (done["attempt"]["status"], done["attempt"]["score"]) == ("submitted", None)
    assert done["progress"]["is_completed"]


def test_best_score_never_falls_and_policies_report(world: World) -> None:
    lesson = world.quiz([choice(f"{n}?") for n in range(4)])
    learner = world.learner()
    best = 0.0
    for right in (2, 4, 0, 1):
        answers = sheet({f"q{n + 1}": "o1" for n in range(right)})
        done = learner.call("submit_quiz", lesson_id=lesson, answers=answers)
        best = max(best, right * 25)
        assert done["progress"]["best_score"] == best
        assert done["progress"]["is_completed"] == (best == 100)
    for policy, reported in (("best", 100), ("last", 25), ("first", 50), ("average", 43.75)):
        world.run("update public.lessons set score_policy = %s where id = %s", policy, lesson)
        found = learner.call("get_attempts", lesson_id=lesson)
        assert (found["score_policy"], found["reported_percent"]) == (policy, reported)


def test_an_attempt_not_yet_graded_is_not_reported(world: World) -> None:
    lesson = world.quiz([ESSAY], score_policy="last")
    learner = world.learner()
    learner.call("submit_quiz", lesson_id=lesson, answers=sheet({"q1": "x"}))
    assert learner.call("get_attempts", lesson_id=lesson)["reported_percent"] is None


# Reveal -------------------------------------------------------------------------------------------


def shown(person: Person, lesson: str) -> list[bool]:
    """Which of the attempts show results; what is shown has every part, what is not has none."""
    found = person.call("get_attempts", lesson_id=lesson)["attempts"]
    for attempt in found:
        whole = attempt["results"] is not None
        text = json.dumps(attempt)
        assert ("ZEBRA-1" in text) == whole
        assert ('"key"' in text) == whole
        if whole:
            assert set(attempt["results"][0]) == {
                "question_id", "points", "max_points", "correct", "key", "explanation",
            }  # fmt: skip
            assert "folded" not in text
    return [attempt["results"] is not None for attempt in found]


REVEALED = {
    # After: a start, a fail, a second start, a pass, a third fail (the last of three).
    "never": [[0], [0], [0, 0], [0, 0], [0, 0, 0]],
    "after_submit": [[0], [1], [1, 0], [1, 1], [1, 1, 1]],
    "after_pass": [[0], [0], [0, 0], [1, 1], [1, 1, 1]],
    "after_last_attempt": [[0], [0], [0, 0], [0, 0], [1, 1, 1]],
}


@pytest.mark.parametrize("policy", REVEALED)
def test_the_reveal_policy_is_exact_in_every_answer(world: World, policy: str) -> None:
    lesson = world.quiz(TWO, reveal_policy=policy, max_attempts=3, pass_percent=100)
    learner = world.learner()
    expected = [[bool(n) for n in row] for row in REVEALED[policy]]

    def same(step: int, answer: dict[str, Any]) -> str:
        assert (answer["attempt"]["results"] is not None) == expected[step][-1]
        assert ("ZEBRA-1" in json.dumps(answer)) == expected[step][-1]
        assert shown(learner, lesson) == expected[step]
        return str(answer["attempt"]["id"])

    first = same(0, learner.call("start_attempt", lesson_id=lesson))
    same(0, learner.call("save_answers", attempt_id=first, answers=HALF))
    same(1, learner.call("submit_attempt", attempt_id=first, client_key="a"))
    same(1, learner.call("submit_attempt", attempt_id=first, client_key="a"))
    second = same(2, learner.call("start_attempt", lesson_id=lesson))
    same(2, learner.call("save_answers", attempt_id=second, answers=HALF))
    done = learner.call("submit_attempt", attempt_id=second, answers=world.right(lesson))
    assert done["attempt"]["passed"]
    same(3, done)
    same(4, learner.call("submit_quiz", lesson_id=lesson, answers=HALF))


def test_without_a_maximum_there_is_no_last_attempt(world: World) -> None:
    lesson = world.quiz(TWO, reveal_policy="after_last_attempt")
    learner = world.learner()
    learner.call("submit_quiz", lesson_id=lesson, answers=world.right(lesson))
    assert shown(learner, lesson) == [False]


def test_a_pass_opens_nobody_elses(world: World) -> None:
    lesson = world.quiz(TWO, reveal_policy="after_pass")
    world.learner().call("submit_quiz", lesson_id=lesson, answers=world.right(lesson))
    other = world.learner()
    other.call("submit_quiz", lesson_id=lesson, answers=HALF)
    assert shown(other, lesson) == [False]


# Statistics ---------------------------------------------------------------------------------------


def recount(world: World, lesson: str) -> dict[str, tuple[Any, ...]]:
    """Statistics by question, from the attempts and their results and nothing else."""
    found: dict[str, list[Any]] = {}
    kinds = dict(world.run("select id, kind from private.questions where lesson_id = %s", lesson))
    for questions, answers, given in world.run(
        "select a.questions, a.answers, r.points from public.user_assessment_attempts a"
        " join private.attempt_results r on r.attempt_id = a.id"
        " where a.lesson_id = %s and a.status = 'graded'",
        lesson,
    ):
        for asked, points in zip(questions, given, strict=True):
            question = asked["id"]
            count = found.setdefault(question, [0, 0, 0, 0, Counter()])
            answer = answers.get(question, {}).get("answer")
            count[0] += 1
            count[1] += answer is not None
            count[2] += points == Decimal(str(asked["points"]))
            count[3] += round(points * 10**6)
            if answer is not None:
                if kinds[question] == "multiple_choice":
                    count[4].update(answer)
                elif kinds[question] in ("single_choice", "true_false"):
                    count[4][answer if isinstance(answer, str) else json.dumps(answer)] += 1
    return {q: tuple(c) for q, c in found.items()}


def statistics(world: World, lesson: str) -> dict[str, tuple[Any, ...]]:
    return {
        question: (asked, answered, correct, round(points * 10**6), Counter(choices))
        for question, asked, answered, correct, points, choices in world.run(
            "select * from private.question_statistics(%s)", lesson
        )
    }


def test_statistics_equal_a_recount(world: World) -> None:
    chance = random.Random(3)
    questions = [*EVERY_KIND, ESSAY, choice("Pooled 1", pool="p"), choice("Pooled 2", pool="p")]
    lesson = world.quiz(questions, pools={"p": 1})
    learners = [world.learner() for _ in range(4)]
    teacher = world.staff()
    for _ in range(40):
        step = chance.choice(["submit", "submit", "grade", "regrade", "fold", "key"])
        if step == "submit":
            learner = chance.choice(learners)
            asked = learner.call("start_attempt", lesson_id=lesson)["attempt"]["questions"]
            keys = {**world.keys(lesson), "q8": "an essay"}
            answers = {q["id"]: keys[q["id"]] for q in asked if chance.random() < 0.7}
            if "q1" in answers:
                answers["q1"] = chance.choice(["o1", "o2", "o3"])
            if "q2" in answers:
                answers["q2"] = chance.choice([["o1"], ["o1", "o2"], ["o3", "o1"], []])
            learner.call("submit_quiz", lesson_id=lesson, answers=sheet(answers))
        elif step == "grade":
            page = teacher.call("get_lesson_attempts", lesson_id=lesson)["attempts"]
            if page:
                teacher.call(
                    "grade_attempt", attempt_id=chance.choice(page)["id"],
                    grades=[{"question_id": "q8", "points": chance.choice([0, 40.25, 100])}],
                )  # fmt: skip
        elif step == "regrade":
            teacher.call(
                "regrade_lesson", lesson_id=lesson, dry_run=chance.random() < 0.3,
                allow_fail=chance.random() < 0.5,
            )  # fmt: skip
        elif step == "fold":
            world.one("select public.fold_statistics(%s)", chance.choice([1, 1000]))
        else:
            flipped = choice(
                "Capital of France?", "Paris", "Lyon", "Nice", right=chance.randrange(3)
            )
            world.set_quiz(lesson, [flipped, *questions[1:]], pools={"p": 1})
        assert statistics(world, lesson) == recount(world, lesson)
    world.one("select public.fold_statistics(10000)")
    assert statistics(world, lesson) == recount(world, lesson)
    assert world.one(
        "select count(*) from private.attempt_results where lesson_id = %s and stats = 'pending'",
        lesson,
    ) == 0  # fmt: skip
