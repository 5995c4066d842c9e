"""Taking a course again: everything begins anew, and nothing of before is lost, or counts twice."""

from __future__ import annotations

import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.certificates.scene import ESSAY, Scene
from tests.database.actors import Actor, Course, Refused, drift, make_course
from tests.database.storm import together

QUIZ: list[dict[str, Any]] = [{}, {"type": "quiz", "completion_rule": "pass", "max_attempts": 2}]


def retake(learner: Actor, course: Course) -> Any:
    return learner.call("retake_course", p_course_id=course.id)


def refusal(learner: Actor, function: str, **arguments: Any) -> str:
    with pytest.raises(Refused) as refused:
        learner.call(function, **arguments)
    return refused.value.code


def enrollment(scene: Scene, learner: Actor, course: Course) -> dict[str, Any]:
    (row,) = scene.operator.run(
        "select * from public.enrollments where user_id = %s and course_id = %s",
        learner.user,
        course.id,
    )
    return row


def count(scene: Scene, table: str, learner: Actor) -> int:
    found: int = scene.operator.one(
        f"select count(*) from {table} where user_id = %s", learner.user
    )
    return found


def finished(scene: Scene, *modules: Any, **fields: Any) -> tuple[Actor, Course]:
    """Somebody who has completed a course that may be taken twice."""
    course = scene.course(*modules, **{"max_cycles": 2, **fields})
    ann = scene.learner(course)
    scene.complete(ann, *course.all)
    return ann, course


def test_a_retake_begins_anew_and_keeps_what_was(scene: Scene) -> None:
    course = scene.course(2, 1, max_cycles=2)
    ann = scene.learner(course)
    ann.call("put_lesson_progress", p_lesson_id=course.all[0], p_position_seconds=17)
    scene.complete(ann, *course.all)
    before = enrollment(scene, ann, course)
    rows = {
        x["lesson_id"]: x
        for x in ann.run("select * from public.user_progress where user_id = %s", ann.user)
    }

    answer = retake(ann, course)
    assert (answer["changed"], answer["enrollment"]["cycle"]) == (True, 2)
    now = enrollment(scene, ann, course)
    assert now["id"] == before["id"]
    assert (now["completed_lessons"], now["total_lessons"], now["progress_percent"]) == (0, 3, 0)
    assert (now["completed_at"], now["completion_snapshot"], now["view_time_seconds"]) == (
        None,
        None,
        0,
    )
    assert count(scene, "public.user_progress", ann) == 0
    assert count(scene, "public.module_progress", ann) == 0
    assert drift(scene.operator, [course.id]) == []

    # Read under the owner policies.
    (past,) = ann.run("select * from public.past_cycles")
    for name in (
        "cycle",
        "completed_at",
        "completion_snapshot",
        "completed_lessons",
        "total_lessons",
        "progress_percent",
        "last_accessed_at",
    ):
        assert past[name] == before[name]
    assert (past["started_at"], past["ended_at"]) == (
        before["enrolled_at"],
        now["cycle_started_at"],
    )
    assert [m["status"] for m in past["modules"]] == ["completed", "completed"]
    kept = ann.run("select * from public.past_progress")
    assert {x["lesson_id"] for x in kept} == set(course.all)
    for row in kept:
        was = rows[row["lesson_id"]]
        same = row.keys() & was.keys() - {"created_at", "updated_at"}
        assert {name: row[name] for name in same} == {name: was[name] for name in same}

    following = ann.call("get_next_lesson", p_course_id=course.id)
    assert (following["lesson_id"], following["review"]) == (str(course.all[0]), False)
    scene.complete(ann, *course.all)
    assert drift(scene.operator, [course.id]) == []
    first, second = scene.certificates(ann)
    assert (first["cycle"], second["cycle"]) == (1, 2)
    assert first["superseded_at"] is None
    told = ann.call("get_my_cycles", p_course_id=course.id)
    assert (told["cycle"], told["may_retake"], told["block"]) == (2, False, "retakes_exhausted")
    assert [(x["cycle"], x["certificate_id"]) for x in told["past"]] == [(1, str(first["id"]))]
    kinds = scene.operator.run(
        "select kind, cycle from public.progress_events where user_id = %s"
        " and kind in ('course_completed', 'cycle_started') order by id",
        ann.user,
    )
    assert [tuple(x.values()) for x in kinds] == [
        ("course_completed", 1),
        ("cycle_started", 2),
        ("course_completed", 2),
    ]


def test_attempts_move_with_their_lesson_into_the_cycle_of_its_new_course(scene: Scene) -> None:
    quiz = {"type": "quiz", "completion_rule": "pass", "max_attempts": 3}
    there, here = scene.course([quiz, {}], max_cycles=9), scene.course(1, max_cycles=9)
    (lesson, _), home = there.all, here.modules[0]
    scene.quiz(lesson)
    ann, ben = scene.learner(there, here), scene.learner(there)

    def tried(actor: Actor) -> list[tuple[int, int]]:
        rows = actor.run("select cycle, number from public.user_assessment_attempts order by 1, 2")
        return [(row["cycle"], row["number"]) for row in rows]

    for actor, runs in ((ann, 3), (ben, 2)):
        for run in range(runs):
            if run:
                scene.operator.call(
                    "start_cycle", p_user_id=actor.user, p_course_id=there.id, p_reason="Again"
                )
            scene.answer(actor, lesson, right=False)
        scene.answer(actor, lesson)
    assert tried(ann) == [(1, 1), (2, 1), (3, 1), (3, 2)]

    scene.operator.call("move_lesson", p_lesson_id=lesson, p_module_id=home, p_position=1)
    # The present cycle of there is the first of here, and nothing else is of any cycle of here.
    assert tried(ann) == [(-3, 1), (-2, 1), (1, 1), (1, 2)]
    assert tried(ben) == [(-2, 1), (1, 1), (1, 2)]
    scene.operator.call(
        "start_cycle", p_user_id=ann.user, p_course_id=here.id, p_reason="Once more"
    )
    for _ in range(3):
        scene.answer(ann, lesson, right=False)
    with pytest.raises(Refused, match="attempts_exhausted"):
        scene.answer(ann, lesson, right=False)
    assert ann.call("complete_lesson", p_lesson_id=here.all[0])["changed"] is True
    with pytest.raises(Refused, match="rule_not_met"):
        ann.call("complete_lesson", p_lesson_id=lesson)

    scene.operator.call(
        "move_lesson", p_lesson_id=lesson, p_module_id=there.modules[0], p_position=1
    )
    assert tried(ann) == [(-5, 1), (-5, 2), (-3, 1), (-2, 1), (3, 1), (3, 2), (3, 3)]


def test_a_retake_is_refused_where_it_is_not_earned(scene: Scene) -> None:
    course = scene.course(2, max_cycles=2)
    ann = scene.learner(course)
    scene.complete(ann, course.all[0])
    before = enrollment(scene, ann, course)
    assert refusal(ann, "retake_course", p_course_id=course.id) == "course_not_completed"
    scene.complete(ann, course.all[1])
    scene.set(course, max_cycles=1)
    assert refusal(ann, "retake_course", p_course_id=course.id) == "retakes_exhausted"
    scene.set(course, max_cycles=2, status="archived")
    assert refusal(ann, "retake_course", p_course_id=course.id) == "enrollment_closed"
    scene.set(course, status="published")
    bob = scene.learner()
    assert refusal(bob, "retake_course", p_course_id=course.id) == "not_enrolled"
    scene.operator.run(
        "update public.enrollments set status = 'withdrawn' where id = %s", before["id"]
    )
    assert refusal(ann, "retake_course", p_course_id=course.id) == "enrollment_inactive"
    assert enrollment(scene, ann, course)["cycle"] == 1
    assert count(scene, "public.past_cycles", ann) == 0


def test_asked_again_before_anything_was_begun_the_answer_is_the_same(scene: Scene) -> None:
    ann, course = finished(scene, 1, max_cycles=None)
    first = retake(ann, course)
    again = retake(ann, course)
    assert (again["enrollment"], again["changed"]) == (first["enrollment"], False)
    ann.call("start_lesson", p_lesson_id=course.all[0])
    assert refusal(ann, "retake_course", p_course_id=course.id) == "course_not_completed"


def test_two_retakes_at_once_are_one(scene: Scene) -> None:
    ann, course = finished(scene, 3, max_cycles=None)
    tabs = [scene.actors("authenticated", ann.user) for _ in range(8)]
    answers = together([lambda tab=tab: retake(tab, course) for tab in tabs])
    assert sum(answer["changed"] for answer in answers) == 1
    assert {answer["enrollment"]["cycle"] for answer in answers} == {2}
    assert count(scene, "public.past_cycles", ann) == 1
    assert drift(scene.operator, [course.id]) == []


def test_what_waited_while_the_cycle_ended_does_not_count_in_the_next(scene: Scene) -> None:
    ann, course = finished(scene, 2)
    tab = scene.actors("authenticated", ann.user)
    answers: list[Any] = []

    def complete() -> None:
        answers.append(refusal(tab, "complete_lesson", p_lesson_id=course.all[0]))

    # The other tab has begun when the cycle ends, and waits for the course.
    waiting = threading.Thread(target=complete)
    watcher = scene.actors()
    with scene.operator.connection.transaction():
        scene.operator.run("select private.lock_courses(array[%s::bigint])", course.id)
        waiting.start()
        for _ in range(500):
            if watcher.one("select count(*) from pg_locks where not granted"):
                break
            time.sleep(0.02)
        scene.operator.run(
            "select private.begin_cycle(%s, %s, 'learner', null)", ann.user, course.id
        )
    waiting.join()
    assert answers == ["cycle_over"]
    assert count(scene, "public.user_progress", ann) == 0
    assert drift(scene.operator, [course.id]) == []


def test_retakes_and_completions_interleave_without_drift(scene: Scene) -> None:
    ann, course = finished(scene, 2, 2, max_cycles=None)
    tabs = [scene.actors("authenticated", ann.user) for _ in range(4)]
    over = time.monotonic() + 3

    def work(tab: Actor, n: int) -> int:
        done = 0
        while time.monotonic() < over:
            try:
                if n == 0:
                    done += retake(tab, course)["changed"]
                else:
                    lesson = course.all[(done + n) % 4]
                    done += 1
                    tab.call("complete_lesson", p_lesson_id=lesson)
            except Refused as refused:
                if refused.code not in ("cycle_over", "course_not_completed"):
                    raise
        return done

    counts = together([lambda n=n: work(tabs[n], n) for n in range(4)])
    assert all(isinstance(x, int) and x > 0 for x in counts), counts
    cycle = enrollment(scene, ann, course)["cycle"]
    assert cycle == counts[0] + 1
    assert count(scene, "public.past_cycles", ann) == counts[0]
    assert drift(scene.operator, [course.id]) == []
    # Each past cycle was whole, with one certificate and one completion.
    assert (
        scene.operator.one(
            "select count(*) from public.past_cycles c where user_id = %s and completed_lessons = 4"
            " and (select count(*) from public.past_progress p where p.user_id = c.user_id"
            "   and p.course_id = c.course_id and p.cycle = c.cycle and p.status = 'completed') = 4"
            " and (select count(*) from public.certificates x where x.user_id = c.user_id"
            "   and x.course_id = c.course_id and x.cycle = c.cycle) = 1",
            ann.user,
        )
        == counts[0]
    )


def test_attempts_count_by_cycle(scene: Scene) -> None:
    course = scene.course(QUIZ, max_cycles=2)
    quiz = course.all[1]
    scene.quiz(quiz)
    ann = scene.learner(course)
    scene.complete(ann, course.all[0])
    scene.answer(ann, quiz, False)
    scene.answer(ann, quiz, True)
    assert (
        refusal(ann, "submit_quiz", p_lesson_id=quiz, p_answers=Jsonb([])) == "attempts_exhausted"
    )
    retake(ann, course)
    assert refusal(ann, "complete_lesson", p_lesson_id=quiz) == "rule_not_met"
    assert ann.call("get_attempts", p_lesson_id=quiz)["reported_percent"] is None
    again = scene.answer(ann, quiz, False)
    assert (again["attempt"]["number"], again["attempt"]["cycle"]) == (1, 2)
    assert again["progress"]["status"] == "in_progress"
    assert scene.answer(ann, quiz, True)["progress"]["status"] == "completed"
    assert len(ann.call("get_attempts", p_lesson_id=quiz)["attempts"]) == 4


def test_an_open_attempt_ends_with_its_cycle(scene: Scene) -> None:
    course = scene.course(QUIZ, max_cycles=2)
    quiz = course.all[1]
    scene.quiz(quiz)
    ann = scene.learner(course)
    scene.complete(ann, course.all[0])
    scene.answer(ann, quiz, True)
    opened = ann.call("start_attempt", p_lesson_id=quiz)["attempt"]["id"]
    retake(ann, course)
    answers = Jsonb([{"question_id": "q", "answer": True}])
    late = ann.call("submit_attempt", p_attempt_id=opened, p_answers=answers)
    assert late["code"] == "attempt_closed"
    saved = ann.call("save_answers", p_attempt_id=opened, p_answers=answers)
    assert saved["code"] == "attempt_closed"
    assert count(scene, "public.user_progress", ann) == 0
    attempt = scene.answer(ann, quiz, True)["attempt"]
    assert (attempt["number"], attempt["cycle"]) == (1, 2)


def test_a_grade_for_an_older_cycle_stays_there(scene: Scene) -> None:
    course = scene.course([{}, {"type": "quiz", "completion_rule": "submit"}], max_cycles=2)
    quiz = course.all[1]
    scene.quiz(quiz, ESSAY)
    ann = scene.learner(course)
    scene.complete(ann, course.all[0])
    essay = Jsonb([{"question_id": "essay", "answer": "So"}])
    old = ann.call("submit_quiz", p_lesson_id=quiz, p_answers=essay)["attempt"]["id"]
    retake(ann, course)
    ann.call("start_lesson", p_lesson_id=quiz)
    grades = Jsonb([{"question_id": "essay", "points": 10}])
    graded = scene.server().call("grade_attempt", p_attempt_id=old, p_grades=grades)
    assert graded["attempt"]["percent"] == 100
    row = ann.call("get_lesson_progress", p_lesson_id=quiz)
    assert (row["status"], row["attempts"], row["best_score"]) == ("in_progress", 0, None)
    assert drift(scene.operator, [course.id]) == []


def test_offline_events_of_an_older_cycle_are_recorded_and_change_nothing(scene: Scene) -> None:
    ann, course = finished(scene, [{"completion_rule": "view", "min_view_seconds": 1}, {}][1:], 2)
    lesson = course.all[0]
    then = datetime.now(UTC) - timedelta(minutes=5)
    retake(ann, course)

    def event(kind: str, at: datetime, **fields: Any) -> dict[str, Any]:
        return {
            "id": str(uuid.uuid4()),
            "kind": kind,
            "at": at.isoformat(),
            "lesson_id": str(lesson),
            **fields,
        }

    session = str(uuid.uuid4())
    events = [
        event("start", then),
        event("complete", then),
        event("view", then, session_id=session, seconds=60, position_seconds=60),
        event("position", then, position_seconds=9),
        event("note", then, body="Mine", position_seconds=3),
    ]
    answer = ann.call("apply_events", p_events=Jsonb(events))
    assert [x["status"] for x in answer["results"]] == [*["recorded"] * 4, "applied"]
    assert count(scene, "public.user_progress", ann) == 0
    kept = ann.run(
        "select cycle, data ->> 'kind' as kind from public.progress_events"
        " where kind = 'late_event' order by id"
    )
    assert [tuple(x.values()) for x in kept] == [
        (1, "start"),
        (1, "view"),
        (1, "position"),
        (1, "complete"),
    ]
    repeated = ann.call("apply_events", p_events=Jsonb(events))
    assert {x["status"] for x in repeated["results"]} == {"repeated"}
    now = [event("complete", datetime.now(UTC))]
    assert ann.call("apply_events", p_events=Jsonb(now))["results"][0]["status"] == "applied"
    assert enrollment(scene, ann, course)["completed_lessons"] == 1
    assert drift(scene.operator, [course.id]) == []


def test_a_session_of_an_older_cycle_credits_nothing(scene: Scene) -> None:
    start = datetime.now(UTC).replace(microsecond=0)
    course = scene.course([{"completion_rule": "view", "min_view_seconds": 60}], max_cycles=2)
    lesson = course.all[0]
    ann = scene.learner(course)
    old, new = str(uuid.uuid4()), str(uuid.uuid4())

    def view(session: str, seconds: int, at: int) -> Any:
        ann.at(start + timedelta(seconds=at))
        return ann.call("view_lesson", p_lesson_id=lesson, p_session_id=session, p_seconds=seconds)

    view(old, 30, 300)
    assert view(old, 60, 330)["progress"]["is_completed"]
    retake(ann, course)
    stale = view(old, 90, 360)
    assert (stale["credited_seconds"], stale["changed"]) == (0, False)
    # One that was never heard of, but began long before the cycle did.
    stale = view(str(uuid.uuid4()), 200, 390)
    assert (stale["credited_seconds"], stale["changed"]) == (0, False)
    assert stale["missing"] == {"rule": "view", "needed": 60, "have": 0}
    assert count(scene, "public.user_progress", ann) == 0
    assert view(new, 30, 420)["credited_seconds"] == 30
    assert view(new, 60, 450)["progress"]["is_completed"]
    # What the first cycle had been credited stays in the days, once.
    assert (
        scene.operator.one(
            "select sum(view_seconds) from public.daily_activity where user_id = %s", ann.user
        )
        == 120
    )


def test_staff_begin_a_cycle_with_a_reason(scene: Scene) -> None:
    course = scene.course(2)
    ann = scene.learner(course)
    scene.complete(ann, course.all[0])
    arguments = {"p_user_id": ann.user, "p_course_id": course.id, "p_reason": "Wrong edition"}
    assistant, instructor, stranger = scene.learner(), scene.learner(), scene.learner()
    for actor, role in ((assistant, "assistant"), (instructor, "instructor")):
        scene.operator.run(
            "insert into public.course_staff (course_id, user_id, role) values (%s, %s, %s)",
            course.id,
            actor.user,
            role,
        )
    for actor in (ann, assistant, stranger):
        assert refusal(actor, "start_cycle", **arguments) == "not_allowed"
    assert refusal(instructor, "start_cycle", **{**arguments, "p_reason": " "}) == "invalid_value"
    assert enrollment(scene, ann, course)["cycle"] == 1
    assert instructor.call("start_cycle", **arguments)["changed"] is True
    assert instructor.call("start_cycle", **arguments)["changed"] is False
    (past,) = ann.run("select completed_at, completed_lessons from public.past_cycles")
    assert (past["completed_at"], past["completed_lessons"]) == (None, 1)
    (entry,) = scene.audit("course.retake", course)
    assert (entry["actor_id"], entry["reason"]) == (instructor.user, "Wrong edition")
    assert drift(scene.operator, [course.id]) == []


def test_nobody_sees_or_moves_the_cycles_of_others(scene: Scene) -> None:
    ann, course = finished(scene, 1, max_cycles=None)
    retake(ann, course)
    bob = scene.learner(course)
    for table in ("past_cycles", "past_progress"):
        assert bob.run(f"select * from public.{table}") == []
        for statement in (
            f"delete from public.{table}",
            f"update public.{table} set cycle = 9",
            f"insert into public.{table} select * from public.{table}",
        ):
            with pytest.raises(Exception, match="permission denied"):
                bob.run(statement)
    assert bob.call("get_my_cycles", p_course_id=course.id)["past"] == []
    with pytest.raises(Exception, match="permission denied"):
        bob.run("select private.begin_cycle(%s, %s, 'x', null)", ann.user, course.id)


def test_what_is_waived_stays_waived(scene: Scene) -> None:
    course = scene.course(2, 1, max_cycles=None)
    ann = scene.learner(course)
    scene.server().call(
        "excuse_lesson", p_user_id=ann.user, p_lesson_id=course.all[1], p_reason="Known"
    )
    for cycle in (1, 2):
        scene.complete(ann, course.all[0], course.all[2])
        row = enrollment(scene, ann, course)
        assert (row["cycle"], row["total_lessons"], row["progress_percent"]) == (cycle, 2, 100)
        assert drift(scene.operator, [course.id]) == []
        retake(ann, course)
        assert drift(scene.operator, [course.id]) == []


def test_an_enrolment_made_again_goes_on_with_the_next_cycle(scene: Scene) -> None:
    ann, course = finished(scene, 1, max_cycles=None)
    retake(ann, course)
    scene.complete(ann, *course.all)
    scene.operator.run("delete from public.enrollments where user_id = %s", ann.user)
    ann.call("enroll", p_course_id=course.id)
    assert enrollment(scene, ann, course)["cycle"] == 2
    retake(ann, course)
    assert count(scene, "public.past_cycles", ann) == 2


def test_a_course_once_completed_stays_a_fulfilled_prerequisite(scene: Scene) -> None:
    ann, course = finished(scene, 1)
    further = make_course(scene.operator, [1])
    scene.operator.run(
        "insert into public.course_prerequisites (course_id, requires_course_id) values (%s, %s)",
        further.id,
        course.id,
    )
    retake(ann, course)
    ann.call("enroll", p_course_id=further.id)
    ann.call("complete_lesson", p_lesson_id=further.all[0])
