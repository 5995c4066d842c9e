"""Grading by people, regrading and importing: who may, what it changes, and what is audited."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.quiz.world import Person, World, choice, sheet

ESSAY = {"kind": "free_text", "text": "Why?", "points": 100}
TWO = [choice("First?"), choice("Second?")]


def audited(world: World, action: str) -> list[Any]:
    return world.run(
        "select actor_id::text, user_id::text, reason, before, after from public.audit_log"
        " where course_id = %s and action = %s order by id",
        world.course, action,
    )  # fmt: skip


def essay(world: World, learner: Person, **lesson: Any) -> tuple[str, str]:
    made = world.quiz([ESSAY, choice("And?", points=10)], type="assignment", **lesson)
    done = learner.call("submit_quiz", lesson_id=made, answers=sheet({"q1": "So.", "q2": "o1"}))
    assert done["attempt"]["status"] == "submitted"
    return made, done["attempt"]["id"]


def test_grading_completes(world: World) -> None:
    learner, teacher = world.learner(), world.staff()
    lesson, attempt = essay(world, learner)
    graded = teacher.call(
        "grade_attempt", attempt_id=attempt, grades=[{"question_id": "q1", "points": 85.5}],
        feedback="Well argued", reason="first reading",
    )  # fmt: skip
    assert graded["attempt"]["score"] == 95.5
    assert graded["attempt"]["percent"] == 86.82
    assert graded["progress"]["is_completed"]
    seen = learner.call("get_attempts", lesson_id=lesson)["attempts"][0]
    assert (seen["status"], seen["feedback"], seen["passed"]) == ("graded", "Well argued", True)
    ((actor, user, reason, before, after),) = audited(world, "attempt.grade")
    assert (actor, user, reason) == (teacher.id, learner.id, "first reading")
    assert (before["status"], after["status"], after["score"]) == ("submitted", "graded", 95.5)
    # A second thought: lower, and a fail; nothing earned is taken away.
    again = teacher.call(
        "grade_attempt", attempt_id=attempt, grades=[{"question_id": "q1", "points": 0}]
    )
    assert (again["attempt"]["passed"], again["attempt"]["score"]) == (False, 10)
    assert again["progress"]["is_completed"]
    assert again["progress"]["best_score"] == 86.82
    assert len(audited(world, "attempt.grade")) == 2


def test_a_fail_does_not_complete(world: World) -> None:
    learner, teacher = world.learner(), world.staff("author")
    _, attempt = essay(world, learner)
    graded = teacher.call(
        "grade_attempt", attempt_id=attempt, grades=[{"question_id": "q1", "points": 30}]
    )
    assert (graded["attempt"]["passed"], graded["progress"]["is_completed"]) == (False, False)


def test_feedback_alone_changes_no_score(world: World) -> None:
    learner, teacher = world.learner(), world.staff()
    lesson = world.quiz(TWO)
    done = learner.call("submit_quiz", lesson_id=lesson, answers=world.right(lesson))["attempt"]
    world.set_quiz(lesson, [choice("First?", right=1), TWO[1]])
    again = teacher.call("grade_attempt", attempt_id=done["id"], grades=[], feedback="Fine")
    assert (again["attempt"]["score"], again["attempt"]["feedback"]) == (2, "Fine")


@pytest.mark.parametrize(
    "grades",
    [
        [{"question_id": "nope", "points": 1}],
        [{"question_id": "q2", "points": 1}],
        [{"question_id": "q1", "points": 101}],
        [{"question_id": "q1", "points": -1}],
        [{"question_id": "q1", "points": "NaN"}],
        [{"question_id": "q1"}],
        ["q1"],
        {"q1": 1},
    ],
    ids=str,
)
def test_bad_grades_are_refused(world: World, grades: Any) -> None:
    learner, teacher = world.learner(), world.staff()
    _, attempt = essay(world, learner)
    refused = teacher.refusal("grade_attempt", attempt_id=attempt, grades=grades)
    assert (refused.code, refused.status) == ("invalid_value", 422)
    assert audited(world, "attempt.grade") == []


def test_an_open_attempt_is_not_graded(world: World) -> None:
    lesson = world.quiz([ESSAY])
    attempt = world.learner().call("start_attempt", lesson_id=lesson)["attempt"]["id"]
    refused = world.staff().refusal("grade_attempt", attempt_id=attempt, grades=[])
    assert (refused.code, refused.status) == ("attempt_open", 409)


def test_who_may_not(world: World, worlds: Any) -> None:
    learner = world.learner()
    lesson, attempt = essay(world, learner)
    elsewhere = worlds()
    assistant = world.staff("assistant")
    strangers = [
        learner, world.learner(), assistant, world.person(world.user()),
        world.staff("instructor", course=elsewhere.course), elsewhere.staff("author"),
    ]  # fmt: skip
    calls: list[tuple[str, dict[str, Any]]] = [
        (
            "grade_attempt",
            {"attempt_id": attempt, "grades": [{"question_id": "q1", "points": 100}]},
        ),
        ("regrade_lesson", {"lesson_id": lesson, "dry_run": False}),
        ("regrade_lesson", {"lesson_id": lesson}),
        ("get_lesson_attempts", {"lesson_id": lesson}),
    ]
    teacher = world.staff()
    assert len(teacher.call("get_lesson_attempts", lesson_id=lesson)["attempts"]) == 1
    before = world.run(
        "select to_jsonb(a) from public.user_assessment_attempts a where id = %s", attempt
    )
    for stranger in strangers:
        for rpc, arguments in calls:
            refused = stranger.refusal(rpc, **arguments)
            # Attempts are not there for whoever is not of the course's staff.
            is_hidden = rpc == "grade_attempt" and stranger is not assistant
            expected = ("attempt_not_found", 404) if is_hidden else ("not_allowed", 403)
            assert (refused.code, refused.status) == expected
        refused = stranger.refusal(
            "import_attempt", user_id=learner.id, lesson_id=lesson, percent=100
        )
        assert (refused.code, refused.status) == ("not_allowed", 403)
        assert stranger.refusal("set_quiz", lesson_id=lesson, quiz={}).code == "not_allowed"
        assert stranger.refusal("get_quiz", lesson_id=lesson).code == "not_allowed"
    anonymous = world.person(None, "anon")
    for rpc, arguments in calls:
        with pytest.raises(Exception, match="permission denied"):
            anonymous.call(rpc, **arguments)
    after = world.run(
        "select to_jsonb(a) from public.user_assessment_attempts a where id = %s", attempt
    )
    assert before == after


# Regrade ------------------------------------------------------------------------------------------


def test_a_regrade_after_a_corrected_key(world: World) -> None:
    # The key says o2 for the first question; o1 is right, as four learners know.
    wrong, mended = [choice("First?", right=1), TWO[1]], TWO
    lesson = world.quiz(wrong, pass_percent=100)
    learners = [world.learner() for _ in range(3)]
    knew = {"q1": "o1", "q2": "o1"}
    guessed = {"q1": "o2", "q2": "o1"}
    for learner, answers in zip(learners, (knew, guessed, {}), strict=True):
        learner.call("submit_quiz", lesson_id=lesson, answers=sheet(answers))
    teacher = world.staff()
    world.set_quiz(lesson, mended)
    rows = (
        "select user_id::text, score, passed from public.user_assessment_attempts"
        " where lesson_id = %s"
    )
    before = sorted(world.run(rows, lesson))

    tally = {
        "checked": 3, "changed": 1, "newly_passed": 1, "kept_passed": 1, "now_failed": 0,
        "cursor": None,
    }  # fmt: skip
    assert teacher.call("regrade_lesson", lesson_id=lesson) == {**tally, "dry_run": True}
    assert sorted(world.run(rows, lesson)) == before
    assert audited(world, "attempt.regrade") == []

    done = teacher.call("regrade_lesson", lesson_id=lesson, dry_run=False, reason="typo in the key")
    assert done == {**tally, "dry_run": False}
    results = {user: (score, passed) for user, score, passed in world.run(rows, lesson)}
    assert [results[learner.id] for learner in learners] == [(2, True), (2, True), (0, False)]
    completed = [
        learner.call("get_lesson_progress", lesson_id=lesson)["is_completed"]
        for learner in learners
    ]
    assert completed == [True, True, False]
    ((actor, user, reason, _, after),) = audited(world, "attempt.regrade")
    assert (actor, user, reason) == (teacher.id, learners[0].id, "typo in the key")
    assert after["passed"] is True

    failed = teacher.call("regrade_lesson", lesson_id=lesson, dry_run=False, allow_fail=True)
    assert (failed["changed"], failed["now_failed"], failed["kept_passed"]) == (1, 1, 0)
    progress = learners[1].call("get_lesson_progress", lesson_id=lesson)
    assert (progress["is_completed"], progress["best_score"]) == (True, 100)
    assert teacher.call("regrade_lesson", lesson_id=lesson, dry_run=False)["changed"] == 0


def test_a_regrade_goes_by_slices(world: World) -> None:
    lesson = world.quiz([choice("First?", right=1)])
    for _ in range(5):
        world.learner().call("submit_quiz", lesson_id=lesson, answers=sheet({"q1": "o1"}))
    world.set_quiz(lesson, [choice("First?")])
    teacher = world.staff()
    cursor, changed, rounds = None, 0, 0
    while rounds == 0 or cursor:
        done = teacher.call(
            "regrade_lesson", lesson_id=lesson, dry_run=False, cursor=cursor, limit=2
        )
        cursor, changed, rounds = done["cursor"], changed + done["changed"], rounds + 1
    assert (changed, rounds) == (5, 3)


def test_a_regrade_reaches_questions_taken_out(world: World) -> None:
    lesson = world.quiz([choice("First?", id="gone", right=1), TWO[1]], pass_percent=100)
    learner = world.learner()
    answers = sheet({"gone": "o1", "q2": "o1"})
    learner.call("submit_quiz", lesson_id=lesson, answers=answers)
    world.set_quiz(lesson, [choice("First?", id="gone"), TWO[1]])
    world.set_quiz(lesson, [TWO[1]])
    done = world.staff().call("regrade_lesson", lesson_id=lesson, dry_run=False)
    assert done["newly_passed"] == 1


# Import -------------------------------------------------------------------------------------------


def test_an_imported_attempt(world: World) -> None:
    learner = world.learner()
    lesson = world.quiz(TWO, pass_percent=40)
    learner.call("submit_quiz", lesson_id=lesson)
    then = datetime(2025, 3, 1, tzinfo=UTC)
    server = world.person(None, "service_role")
    answer = server.call(
        "import_attempt", user_id=learner.id, lesson_id=lesson, percent=62.5, submitted_at=then,
        reason="banked",
    )  # fmt: skip
    attempt = answer["attempt"]
    assert (attempt["number"], attempt["percent"], attempt["passed"]) == (2, 62.5, True)
    assert datetime.fromisoformat(attempt["submitted_at"]) == then
    assert answer["progress"]["is_completed"]
    assert answer["progress"]["attempts"] == 2
    ((_, user, reason, _, after),) = audited(world, "attempt.import")
    assert (user, reason, after["percent"]) == (learner.id, "banked", 62.5)
    teacher = world.staff()
    refused = teacher.refusal("grade_attempt", attempt_id=attempt["id"], grades=[])
    assert (refused.code, refused.status) == ("conflict", 409)
    assert teacher.call("regrade_lesson", lesson_id=lesson)["checked"] == 1


@pytest.mark.parametrize("percent", [-1, 100.01, float("nan"), None])
def test_a_bad_import_is_refused(world: World, percent: Any) -> None:
    learner, lesson = world.learner(), world.quiz(TWO)
    server = world.person(None, "service_role")
    refused = server.refusal(
        "import_attempt", user_id=learner.id, lesson_id=lesson, percent=percent
    )
    assert (refused.code, refused.status) == ("invalid_value", 422)


# Enrolments that end ------------------------------------------------------------------------------


def test_after_withdrawal_nothing_is_taken_and_nothing_earned(world: World) -> None:
    learner, teacher = world.learner(), world.staff()
    lesson, attempt = essay(world, learner)
    world.run("update public.enrollments set status = 'withdrawn' where user_id = %s", learner.id)
    for rpc in ("start_attempt", "submit_quiz"):
        refused = learner.refusal(rpc, lesson_id=lesson)
        assert (refused.code, refused.status) == ("enrollment_inactive", 403)
    graded = teacher.call(
        "grade_attempt", attempt_id=attempt, grades=[{"question_id": "q1", "points": 100}]
    )
    assert (graded["attempt"]["passed"], graded["progress"]["is_completed"]) == (True, False)


def test_late_grading_counts_when_it_was_handed_in_in_time(world: World) -> None:
    learner, teacher = world.learner(), world.staff()
    _, attempt = essay(world, learner)
    world.run(
        "update public.enrollments set expires_at = clock_timestamp() where user_id = %s",
        learner.id,
    )
    graded = teacher.call(
        "grade_attempt", attempt_id=attempt, grades=[{"question_id": "q1", "points": 100}]
    )
    assert graded["progress"]["is_completed"]


def test_a_deleted_enrolment_does_not_stop_the_sweep(world: World) -> None:
    lesson = world.quiz(TWO, time_limit_seconds=60)
    gone, here = world.learner(), world.learner()
    for learner in (gone, here):
        learner.call("start_attempt", lesson_id=lesson)
    world.run("delete from public.enrollments where user_id = %s", gone.id)
    server = world.person(None, "service_role")
    server.at(datetime.now(UTC) + timedelta(minutes=2))
    assert server.call("expire_attempts", limit=1000)["expired"] >= 1
    rows = dict(
        world.run(
            "select user_id::text, status from public.user_assessment_attempts"
            " where lesson_id = %s",
            lesson,
        )
    )
    assert rows == {gone.id: "in_progress", here.id: "graded"}


def test_force_deletes_attempts_along(world: World) -> None:
    lesson = world.quiz(TWO)
    world.learner().call("submit_quiz", lesson_id=lesson)
    author = world.staff("author")
    assert author.refusal("delete_lesson", lesson_id=lesson).code == "progress_exists"
    author.call("delete_lesson", lesson_id=lesson, force=True)
    assert world.one(
        "select count(*) from public.user_assessment_attempts where lesson_id = %s", lesson
    ) == 0  # fmt: skip
