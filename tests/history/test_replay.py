"""A replay sees what is wrong. That it finds nothing else: at random, in tests/database."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared import replay
from shared.replay import differences
from tests.database.actors import Actor, make_course
from tests.http.test_import_command import command
from tests.stack import Stack

QUIZ = {"questions": [{"id": "q", "kind": "true_false", "text": "So?", "correct": True}]}


def history(server: Actor, user: Any) -> dict[str, Any]:
    found = server.call("get_learner_history", p_user_id=user)
    assert isinstance(found, dict)
    return found


@pytest.fixture
def ann(operator: Actor, server: Actor, learner: Callable[[], Actor]) -> Actor:
    """Somebody with a past: a retake, a quiz, a waiver, and a lesson taken back."""
    course = make_course(
        operator, [2, [{"completion_rule": "pass", "type": "quiz"}, {}]], max_cycles=3
    )
    quiz = course.all[2]
    server.call("set_quiz", p_lesson_id=quiz, p_quiz=QUIZ)
    ann = learner()
    ann.call("enroll", p_course_id=course.id)
    for _ in range(2):
        ann.call("complete_lesson", p_lesson_id=course.all[0])
        ann.call("uncomplete_lesson", p_lesson_id=course.all[0], p_reason="Again")
        server.call(
            "excuse_lesson", p_user_id=ann.user, p_lesson_id=course.all[1], p_reason="Known"
        )
        for lesson in (course.all[0], course.all[3]):
            ann.call("complete_lesson", p_lesson_id=lesson)
        for answer in (False, True):
            ann.run(
                "select public.submit_quiz(%s, %s::jsonb)",
                quiz,
                f'[{{"question_id": "q", "answer": {str(answer).lower()}}}]',
            )
        ann.call("retake_course", p_course_id=course.id)
    ann.call("complete_lesson", p_lesson_id=course.all[3])
    return ann


def test_the_tables_are_what_the_events_say(ann: Actor, server: Actor) -> None:
    found = history(server, ann.user)
    assert list(differences(found)) == []
    state = replay.replay(found["events"])
    assert {row.cycle for row in state.enrollments.values()} == {3}
    assert len(state.past) == 6
    assert sorted(row.attempts for row in state.past.values()) == [0, 0, 0, 0, 2, 2]
    assert len(state.waived) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("update public.user_progress set started_at = started_at - interval '1 s'", "lesson "),
        ("update public.user_progress set attempts = attempts + 1", "lesson "),
        ("update public.user_progress set best_score = 12", "lesson "),
        ("update public.past_progress set best_score = 12 where attempts > 0", "past lesson "),
        ("update public.module_progress set completed_at = now()", "module "),
        ("update public.enrollments set completed_at = now()", "enrolment "),
        ("update public.enrollments set cycle = 7", "enrolment "),
        (
            "update public.enrollments set completed_weight = 2, completed_lessons = 2,"
            " progress_percent = private.percent(2, total_weight)",
            "counters ",
        ),
        ("delete from public.lesson_waivers", "waiver "),
        ("delete from public.progress_events", "lesson "),
    ],
    ids=[
        "times", "attempts", "score", "past", "module", "completion", "cycle", "counters", "waiver",
        "no history",
    ],
)  # fmt: skip
def test_whatever_differs_is_told(ann: Actor, operator: Actor, change: str, told: str) -> None:
    with operator.connection.transaction(force_rollback=True):
        where = " and user_id = %s" if " where " in change else " where user_id = %s"
        operator.run(change + where, ann.user)
        found = list(differences(operator.one("select private.get_learner_history(%s)", ann.user)))
    assert any(line.startswith(told) for line in found), found


def test_an_import_is_replayed(
    operator: Actor, server: Actor, learner: Callable[[], Actor]
) -> None:
    course = make_course(operator, [2, 1])
    ann = learner()
    at = datetime(2024, 2, 3, tzinfo=UTC)

    def row(line: int, lesson: Any, days: int) -> dict[str, Any]:
        done = at + timedelta(days=days)
        return {
            "line": line, "user": str(ann.user), "lesson": str(lesson), "status": "completed",
            "started_at": (done - timedelta(hours=1)).isoformat(), "completed_at": done.isoformat(),
        }  # fmt: skip

    for rows in ([row(1, course.all[0], 5)], [row(1, course.all[1], 0), row(2, course.all[2], 9)]):
        answer = operator.run("select public.import_progress(%s::jsonb) as x", json.dumps(rows))
        assert answer[0]["x"]["errors"] == []
    found = history(server, ann.user)
    assert list(differences(found)) == []
    (mine,) = found["tables"]["enrollments"]
    assert datetime.fromisoformat(mine["enrolled_at"]) == at - timedelta(hours=1)
    assert mine["progress_percent"] == 100


def test_imported_scores_are_replayed(
    operator: Actor, server: Actor, learner: Callable[[], Actor]
) -> None:
    quiz = {"type": "quiz", "completion_rule": "pass"}
    course = make_course(operator, [[quiz, quiz]])
    ann = learner()
    done = {"user": str(ann.user), "status": "completed", "completed_at": "2024-02-03T00:00:00Z"}
    begun = {"user": str(ann.user), "status": "in_progress", "started_at": "2024-02-04T00:00:00Z"}
    rows = [
        {"line": 1, "lesson": str(course.all[0]), **done, "score": "90"},
        {"line": 2, "lesson": str(course.all[1]), **begun, "score": "40"},
    ]
    answer = operator.one("select public.import_progress(%s::jsonb)", json.dumps(rows))
    assert (answer["scored"], answer["errors"]) == (2, [])
    found = history(server, ann.user)
    assert {row["attempts"] for row in found["tables"]["user_progress"]} == {1}
    assert list(differences(found)) == []


def test_a_grade_of_what_a_cycle_left_behind_changes_no_progress(
    operator: Actor, server: Actor, learner: Callable[[], Actor]
) -> None:
    """The quiz came from a course whose cycles are counted otherwise, so the numbers meet."""
    quiz = {"type": "quiz", "completion_rule": "pass"}
    there = make_course(operator, [[quiz, {}]])
    here = make_course(operator, [1])
    lesson = there.all[0]
    server.call("set_quiz", p_lesson_id=lesson, p_quiz=QUIZ)
    ann = learner()
    again = {"p_user_id": ann.user, "p_reason": "Once more"}
    for course in (there, here):
        ann.call("enroll", p_course_id=course.id)
    server.call("start_cycle", p_course_id=there.id, **again)
    ann.run(
        "select public.submit_quiz(%s, %s::jsonb)",
        lesson,
        json.dumps([{"question_id": "q", "answer": False}]),
    )
    server.call("move_lesson", p_lesson_id=lesson, p_module_id=here.modules[0], p_position=2)
    server.call("start_cycle", p_course_id=here.id, **again)
    mended = {"questions": [{**QUIZ["questions"][0], "correct": False}]}
    server.call("set_quiz", p_lesson_id=lesson, p_quiz=mended)
    told = server.call("regrade_lesson", p_lesson_id=lesson, p_dry_run=False, p_reason="The key")
    assert told["newly_passed"] == 1
    found = history(server, ann.user)
    assert found["tables"]["user_progress"] == []
    assert list(differences(found)) == []


def test_the_replay_asks_no_sql() -> None:
    source = inspect.getsource(replay)
    assert "select " not in source
    assert "import psycopg" not in source


def test_operators_replay_by_command(
    stack: Stack, ann: Actor, operator: Actor, learner: Callable[[], Actor]
) -> None:
    other = learner().user
    operator.run("update public.user_progress set attempts = 9 where user_id = %s", ann.user)
    done = command(stack, "history", "replay", str(other), str(ann.user))
    assert (done.returncode, done.stdout.count("as the tables say")) == (1, 1), done
    assert "attempts=9" in done.stdout
