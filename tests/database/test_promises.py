"""Promises 2 to 4 and 6, one by one: what is earned, what stays, what is refused, what is kept."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.types.json import Jsonb

from tests.database.actors import (
    Actor,
    Refused,
    drift,
    insert,
    make_course,
    make_lesson,
    make_users,
)
from tests.stack import Stack
from tests.support.scratch import ROOT, scratch_database

Learner = Callable[[], Actor]
NOW = datetime.now(UTC).replace(microsecond=0)

# Where each of a learner's rows lies and which transaction wrote it: changes with every update.
ROWS = """
select jsonb_agg(x order by x) as rows from (
  select 'progress ' || ctid || xmin as x from public.user_progress where user_id = %(user)s
  union all
  select 'module ' || ctid || xmin from public.module_progress where user_id = %(user)s
  union all
  select 'enrollment ' || ctid || xmin from public.enrollments where user_id = %(user)s
  union all
  select 'day ' || ctid || xmin from public.daily_activity where user_id = %(user)s
  union all
  select 'event ' || id from public.progress_events where user_id = %(user)s) as x
"""


def rows(operator: Actor, user: uuid.UUID | None) -> Any:
    """The learner's rows as they lie."""
    found = operator.connection.execute(ROWS, {"user": user}).fetchone()
    assert found is not None
    return found["rows"]


def kinds(operator: Actor, user: uuid.UUID | None) -> list[str]:
    """The learner's history, in order."""
    found = operator.run(
        "select kind from public.progress_events where user_id = %s order by id", user
    )
    return [row["kind"] for row in found]


def refused(actor: Actor, function: str, **arguments: Any) -> Refused:
    """Call what must be refused."""
    with pytest.raises(Refused) as caught:
        actor.call(function, **arguments)
    return caught.value


@pytest.fixture
def study(operator: Actor, learner: Learner) -> Callable[..., tuple[Actor, Any]]:
    """A learner enrolled in a course of these modules."""

    def make(*modules: Any, **fields: Any) -> tuple[Actor, Any]:
        course = make_course(operator, modules, **fields)
        actor = learner()
        actor.call("enroll", p_course_id=course.id)
        return actor, course

    return make


Study = Callable[..., tuple[Actor, Any]]


# Monotonic ------------------------------------------------------------


def test_late_reports_lower_nothing(study: Study) -> None:
    ann, course = study([{"duration_seconds": 600}])
    lesson = course.all[0]

    def put(minutes: int, position: int | None, progress: float | None, **more: Any) -> Any:
        return ann.call(
            "put_lesson_progress",
            p_lesson_id=lesson,
            p_position_seconds=position,
            p_last_accessed=NOW - timedelta(minutes=minutes),
            p_progress=progress,
            **more,
        )["progress"]

    first = put(60, 100, 0.2)
    assert (first["position_seconds"], first["progress"], first["status"]) == (
        100,
        0.2,
        "in_progress",
    )
    newer = put(10, 50, 0.1)
    assert (newer["position_seconds"], newer["progress"]) == (50, 0.2)
    late = put(30, 400, 0.5, p_status="not_started")
    assert (late["position_seconds"], late["progress"], late["status"]) == (50, 0.5, "in_progress")
    assert late["last_accessed"] == newer["last_accessed"]
    done = ann.call("complete_lesson", p_lesson_id=lesson)["progress"]
    after = put(20, 1, 0.0, p_status="in_progress")
    assert after == done
    assert (after["status"], after["progress"], after["position_seconds"]) == ("completed", 1, 50)


def test_offline_reports_in_order_are_all_taken(study: Study) -> None:
    ann, course = study(2)
    for minutes, position in ((50, 10), (40, 20), (30, 15)):
        answer = ann.call(
            "put_lesson_progress",
            p_lesson_id=course.all[0],
            p_position_seconds=position,
            p_last_accessed=NOW - timedelta(minutes=minutes),
        )
        assert answer["progress"]["position_seconds"] == position
    assert datetime.fromisoformat(answer["progress"]["last_accessed"]) == NOW - timedelta(
        minutes=30
    )


def test_a_late_completion_moves_no_position_back(study: Study) -> None:
    ann, course = study(1)
    (lesson,) = course.all
    ann.call("put_lesson_progress", p_lesson_id=lesson, p_position_seconds=500)
    answer = ann.call(
        "put_lesson_progress",
        p_lesson_id=lesson,
        p_status="completed",
        p_position_seconds=3,
        p_last_accessed=NOW - timedelta(days=1),
    )
    assert answer["progress"]["status"] == "completed"
    assert answer["progress"]["position_seconds"] == 500


def test_a_late_report_does_not_move_the_current_place(study: Study) -> None:
    ann, course = study(2)
    ann.call("start_lesson", p_lesson_id=course.all[1])
    answer = ann.call(
        "put_lesson_progress",
        p_lesson_id=course.all[0],
        p_last_accessed=NOW - timedelta(days=1),
    )
    assert answer["enrollment"]["current_lesson_id"] == str(course.all[1])


def test_positions_and_shares_are_clamped_and_the_future_is_now(study: Study) -> None:
    ann, course = study([{"duration_seconds": 60}])
    (lesson,) = course.all

    def put(position: int, progress: str) -> Any:
        return ann.call(
            "put_lesson_progress",
            p_lesson_id=lesson,
            p_position_seconds=position,
            p_progress=progress,
            p_last_accessed=NOW + timedelta(days=400),
        )["progress"]

    low = put(-7, "-3")
    assert (low["position_seconds"], low["progress"]) == (0, 0)
    assert datetime.fromisoformat(low["last_accessed"]) < datetime.now(UTC) + timedelta(minutes=1)
    high = put(9999, "12")
    assert (high["position_seconds"], high["progress"], high["status"]) == (60, 1, "in_progress")


@pytest.mark.parametrize("long_ago", ["4000-01-01 BC", "-infinity", "0001-01-01T00:00:00+14:00"])
def test_no_time_and_no_number_are_told_as_such(study: Study, long_ago: str) -> None:
    ann, course = study(1)
    answer = ann.call(
        "put_lesson_progress",
        p_lesson_id=course.all[0],
        p_last_accessed=long_ago,
        p_progress="NaN",
    )
    assert answer["progress"]["progress"] == 0
    for row, name in (("progress", "last_accessed"), ("enrollment", "last_accessed_at")):
        assert datetime.fromisoformat(answer[row][name]) >= datetime(1970, 1, 1, tzinfo=UTC)


def test_an_unchanged_write_touches_no_row(study: Study, operator: Actor) -> None:
    ann, course = study(3)
    lesson = course.all[0]
    seen = {"p_lesson_id": lesson, "p_last_accessed": NOW, "p_position_seconds": 7}
    assert ann.call("put_lesson_progress", **seen)["changed"] is True
    before = rows(operator, ann.user)
    assert ann.call("put_lesson_progress", **seen)["changed"] is False
    assert ann.call("enroll", p_course_id=course.id)["changed"] is False
    assert rows(operator, ann.user) == before

    first = ann.call("complete_lesson", p_lesson_id=lesson)
    assert first["changed"] is True
    before = rows(operator, ann.user)
    again = ann.call("complete_lesson", p_lesson_id=lesson)
    assert again == {**first, "changed": False}
    late = ann.call("put_lesson_progress", **seen, p_status="completed")
    assert late["changed"] is False
    assert ann.call("uncomplete_lesson", p_lesson_id=course.all[1])["changed"] is False
    mine = first["enrollment"]["id"]
    assert ann.call("recalculate", p_enrollment_id=uuid.UUID(mine))["changed"] == 0
    assert rows(operator, ann.user) == before


def test_the_first_completed_at_stays(study: Study) -> None:
    ann, course = study(2)
    ann.at(NOW)
    first = ann.call("complete_lesson", p_lesson_id=course.all[0])["progress"]["completed_at"]
    ann.at(NOW + timedelta(hours=1))
    again = ann.call("complete_lesson", p_lesson_id=course.all[0])["progress"]["completed_at"]
    put = ann.call("put_lesson_progress", p_lesson_id=course.all[0], p_status="completed")
    started = ann.call("start_lesson", p_lesson_id=course.all[0])["progress"]
    assert first == again == put["progress"]["completed_at"] == started["completed_at"]
    assert started["status"] == "completed"


def test_uncompleting_is_audited_and_leaves_the_courses_completion(
    study: Study, operator: Actor
) -> None:
    ann, course = study(2)
    for lesson in course.all:
        done = ann.call("complete_lesson", p_lesson_id=lesson)
    finished = done["enrollment"]["completed_at"]
    assert finished is not None
    lesson = course.all[0]
    back = ann.call("uncomplete_lesson", p_lesson_id=lesson, p_reason="clicked by mistake")
    assert back["changed"] is True
    assert back["progress"]["status"] == "in_progress"
    assert back["progress"]["completed_at"] is None
    assert back["enrollment"]["progress_percent"] == 50
    assert back["enrollment"]["completed_at"] == finished
    assert back["next_lesson_id"] == str(lesson)
    (audited,) = operator.run(
        "select * from public.audit_log where user_id = %s and action = 'lesson.uncomplete'",
        ann.user,
    )
    assert (audited["actor_id"], audited["actor_role"]) == (ann.user, "authenticated")
    assert audited["reason"] == "clicked by mistake"
    assert audited["subject"] == f"lesson:{lesson}"
    assert audited["before"]["status"] == "completed"
    assert audited["before"]["completed_at"] is not None
    assert audited["after"] == {"status": "in_progress"}
    redone = ann.call("complete_lesson", p_lesson_id=lesson)["enrollment"]
    assert (redone["progress_percent"], redone["completed_at"]) == (100, finished)
    assert kinds(operator, ann.user).count("course_completed") == 1


def test_edits_lower_percent_but_never_the_courses_completion(
    study: Study, operator: Actor, server: Actor
) -> None:
    ann, course = study(1)
    done = ann.call("complete_lesson", p_lesson_id=course.all[0])["enrollment"]
    added = make_lesson(server, course.modules[0], weight=3)
    fallen = ann.call("get_course_summary", p_course_id=course.id)
    assert (fallen["percent"], fallen["completed_at"]) == (25, done["completed_at"])
    server.call("archive_lesson", p_lesson_id=added)
    risen = ann.call("get_course_summary", p_course_id=course.id)
    assert (risen["percent"], risen["completed_at"]) == (100, done["completed_at"])
    assert kinds(operator, ann.user).count("course_completed") == 1
    assert drift(operator, [course.id]) == []


def test_an_edit_that_leaves_everything_done_completes(
    study: Study, operator: Actor, server: Actor
) -> None:
    ann, course = study(2)
    ann.call("complete_lesson", p_lesson_id=course.all[0])
    server.run("delete from public.lessons where id = %s", course.all[1])
    summary = ann.call("get_course_summary", p_course_id=course.id)
    assert summary["percent"] == 100
    assert summary["completed_at"] is not None
    assert kinds(operator, ann.user)[-2:] == ["module_completed", "course_completed"]
    snapshot = operator.one(
        "select completion_snapshot from public.enrollments where user_id = %s", ann.user
    )
    assert (snapshot["lessons"], snapshot["weight"]) == (1, 1)


def test_the_next_lesson_follows_every_edit(study: Study, server: Actor) -> None:
    ann, course = study(4, 1)
    first, second, third, fourth = course.lessons[0]
    (last,) = course.lessons[1]

    def next_after(lesson: uuid.UUID) -> str:
        following = ann.call("complete_lesson", p_lesson_id=lesson)["next_lesson_id"]
        seen = ann.call("get_next_lesson", p_course_id=course.id)
        assert (seen["lesson_id"], seen["review"]) == (following, False)
        return following

    assert next_after(first) == str(second)
    server.call("archive_lesson", p_lesson_id=second)
    assert next_after(fourth) == str(third)
    new = make_lesson(server, course.modules[0], position=1)
    assert next_after(third) == str(new)
    server.call("restore_lesson", p_lesson_id=second)
    server.run("update public.modules set position = 9 where id = %s", course.modules[0])
    assert next_after(new) == str(last)
    assert next_after(last) == str(second)
    answer = ann.call("complete_lesson", p_lesson_id=second)
    assert answer["next_lesson_id"] is None
    review = ann.call("get_next_lesson", p_course_id=course.id)
    assert (review["lesson_id"], review["review"]) == (str(last), True)


def test_an_enrolment_that_finds_everything_done_is_complete(
    study: Study, operator: Actor, server: Actor
) -> None:
    ann, course = study(1)
    ann.call("complete_lesson", p_lesson_id=course.all[0])
    other = make_course(operator, [0])
    server.call(
        "move_lesson",
        p_lesson_id=course.all[0],
        p_module_id=other.modules[0],
        p_position=0,
    )
    answer = ann.call("enroll", p_course_id=other.id)["enrollment"]
    assert answer["progress_percent"] == 100
    assert answer["completed_at"] is not None
    assert kinds(operator, ann.user)[-3:] == ["module_completed", "enrolled", "course_completed"]
    snapshot = operator.one(
        "select completion_snapshot from public.enrollments where course_id = %s", other.id
    )
    assert snapshot["lessons"] == 1


def test_the_history_is_complete_and_in_order(study: Study, operator: Actor) -> None:
    ann, course = study(1, 2)
    first, second, third = course.all
    ann.call("start_lesson", p_lesson_id=first)
    ann.call("start_lesson", p_lesson_id=first)
    ann.call("complete_lesson", p_lesson_id=first)
    ann.call("complete_lesson", p_lesson_id=third)
    ann.call("uncomplete_lesson", p_lesson_id=third)
    answer = ann.call("complete_module", p_module_id=course.modules[1])
    assert answer["completed_lesson_ids"] == [str(second), str(third)]
    assert kinds(operator, ann.user) == [
        "enrolled",
        "lesson_started",
        "lesson_completed",
        "module_completed",
        "lesson_completed",
        "lesson_uncompleted",
        "lesson_completed",
        "lesson_completed",
        "module_completed",
        "course_completed",
    ]
    seen = ann.run("select distinct user_id, course_id, enrollment_id, cycle from progress_events")
    assert [(x["user_id"], x["course_id"], x["cycle"]) for x in seen] == [(ann.user, course.id, 1)]


# Rules ------------------------------------------------------------

RULES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "view": (
        {"completion_rule": "view", "min_view_seconds": 90},
        {"rule": "view", "needed": 90, "have": 0},
        "view_time_seconds = 90",
    ),
    "watch": (
        {"completion_rule": "watch", "duration_seconds": 101, "watch_percent": 90},
        {"rule": "watch", "needed": 91, "have": 0},
        "watched = '{[0,50),[60,101)}'",
    ),
    "submit": (
        {"completion_rule": "submit", "type": "assignment"},
        {"rule": "submit", "needed": 1, "have": 0},
        "attempts = 1",
    ),
    "pass": (
        {"completion_rule": "pass", "type": "quiz", "pass_percent": 70},
        {"rule": "pass", "needed": 70, "have": None},
        "best_score = 70, attempts = 1",
    ),
}
NEARLY = {
    "view": "view_time_seconds = 89",
    "watch": "watched = '{[0,50),[61,101)}'",
    "submit": "view_time_seconds = 9999, best_score = 100",
    # A score alone is no pass: an attempt says so, by the mark it was started with.
    "pass": "best_score = 100, attempts = 9",
}

PASSED = """
insert into public.user_assessment_attempts
  (user_id, lesson_id, course_id, number, status, started_at, submitted_at, graded_at, pass_percent,
   questions, total_questions, max_score, score, percent, passed, correct_count)
select %s, l.id, l.course_id, 1, 'graded', now(), now(), now(), 70, '[]', 0, 100, 70, 70, true, 0
  from public.lessons l where l.id = %s
"""


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_fulfilled_by_facts_alone(study: Study, operator: Actor, name: str) -> None:
    fields, missing, fact = RULES[name]
    ann, course = study([fields])
    lesson, module = course.all[0], course.modules[0]
    problem = refused(ann, "complete_lesson", p_lesson_id=lesson)
    assert (problem.code, problem.status) == ("rule_not_met", 422)
    assert json.loads(problem.details or "") == missing
    ann.call("put_lesson_progress", p_lesson_id=lesson, p_progress=1, p_position_seconds=9999)
    assert (
        refused(ann, "put_lesson_progress", p_lesson_id=lesson, p_status="completed").code
        == "rule_not_met"
    )
    answer = ann.call("complete_module", p_module_id=module)
    assert answer["completed_lesson_ids"] == []
    (still_open,) = answer["open"]
    assert (still_open["lesson_id"], still_open["code"]) == (str(lesson), "rule_not_met")
    assert still_open["details"] == missing

    set_fact = "update public.user_progress set {} where user_id = %s"
    operator.run(set_fact.format(NEARLY[name]), ann.user)
    assert refused(ann, "complete_lesson", p_lesson_id=lesson).code == "rule_not_met"
    operator.run(set_fact.format(fact), ann.user)
    if name == "pass":
        operator.run(PASSED, ann.user, lesson)
    assert ann.call("complete_lesson", p_lesson_id=lesson)["enrollment"]["progress_percent"] == 100


def test_what_is_completed_stays_completed_under_a_new_rule(study: Study, server: Actor) -> None:
    ann, course = study(1)
    ann.call("complete_lesson", p_lesson_id=course.all[0])
    server.run("update public.lessons set completion_rule = 'pass' where id = %s", course.all[0])
    assert ann.call("complete_lesson", p_lesson_id=course.all[0])["changed"] is False


def test_watching_a_video_of_unknown_length_says_so(study: Study) -> None:
    ann, course = study([{"completion_rule": "watch", "type": "video"}])
    problem = refused(ann, "complete_lesson", p_lesson_id=course.all[0])
    assert problem.code == "rule_not_met"
    assert json.loads(problem.details or "")["why"] == "the lesson's duration is not known"


# Access ------------------------------------------------------------

WRITES = ("start_lesson", "complete_lesson", "uncomplete_lesson", "put_lesson_progress")


def outcome(actor: Actor, function: str, **arguments: Any) -> tuple[str, int]:
    """The code and status of a refusal."""
    problem = refused(actor, function, **arguments)
    return problem.code, problem.status


@pytest.mark.parametrize("function", WRITES)
class TestAccess:
    """Each write meets the same predicate."""

    def test_previews_take_no_progress(self, study: Study, operator: Actor, function: str) -> None:
        ann, course = study([{"is_preview": True}, {}])
        assert outcome(ann, function, p_lesson_id=course.all[0]) == ("preview_lesson", 422)
        assert kinds(operator, ann.user) == ["enrolled"]

    def test_strangers_are_not_enrolled(
        self, study: Study, learner: Learner, operator: Actor, function: str
    ) -> None:
        _, course = study(1)
        bob = learner()
        problem = refused(bob, function, p_lesson_id=course.all[0])
        assert (problem.code, problem.status) == ("not_enrolled", 403)
        assert problem.message == "Not enrolled in this course"
        assert rows(operator, bob.user) is None

    def test_unknown_and_other_courses_lessons(
        self, study: Study, operator: Actor, function: str
    ) -> None:
        ann, _ = study(1)
        nowhere = refused(ann, function, p_lesson_id=uuid.uuid4())
        assert (nowhere.code, nowhere.status, nowhere.message) == (
            "lesson_not_found",
            404,
            "Lesson not found",
        )
        other = make_course(operator, [1])
        assert outcome(ann, function, p_lesson_id=other.all[0]) == ("not_enrolled", 403)
        hidden = make_course(operator, [1], status="draft")
        assert outcome(ann, function, p_lesson_id=hidden.all[0]) == ("lesson_not_found", 404)

    def test_unpublished_lessons_are_open_only_when_begun(
        self, study: Study, server: Actor, function: str
    ) -> None:
        ann, course = study(2)
        begun, new = course.all
        ann.call("start_lesson", p_lesson_id=begun)
        server.run("update public.courses set status = 'draft' where id = %s", course.id)
        assert outcome(ann, function, p_lesson_id=new) == ("lesson_not_found", 404)
        assert ann.call(function, p_lesson_id=begun)["progress"]["lesson_id"] == str(begun)

    def test_archived_lessons_are_open_only_when_begun(
        self, study: Study, server: Actor, function: str
    ) -> None:
        ann, course = study(2)
        begun, new = course.all
        ann.call("start_lesson", p_lesson_id=begun)
        for lesson in course.all:
            server.call("archive_lesson", p_lesson_id=lesson)
        assert outcome(ann, function, p_lesson_id=new) == ("lesson_not_found", 404)
        assert ann.call(function, p_lesson_id=begun)["enrollment"]["progress_percent"] == 0

    def test_withdrawn_and_expired_enrolments_write_nothing(
        self, study: Study, operator: Actor, server: Actor, function: str
    ) -> None:
        ann, course = study(1)
        ann.call("start_lesson", p_lesson_id=course.all[0])
        server.run(
            "update public.enrollments set status = 'withdrawn' where user_id = %s", ann.user
        )
        before = rows(operator, ann.user)
        assert outcome(ann, function, p_lesson_id=course.all[0]) == ("enrollment_inactive", 403)
        server.run(
            "update public.enrollments set status = 'active', expires_at = %s where user_id = %s",
            NOW - timedelta(seconds=1),
            ann.user,
        )
        before = rows(operator, ann.user)
        assert outcome(ann, function, p_lesson_id=course.all[0]) == ("enrollment_expired", 403)
        assert rows(operator, ann.user) == before
        server.run(
            "update public.enrollments set expires_at = %s where user_id = %s",
            NOW + timedelta(days=1),
            ann.user,
        )
        assert ann.call(function, p_lesson_id=course.all[0])["enrollment"]["status"] == "active"


def test_nobody_enrols_into_what_is_closed(operator: Actor, learner: Learner) -> None:
    ann = learner()
    for fields, code in (
        ({"status": "draft"}, "course_not_found"),
        ({"status": "archived"}, "enrollment_closed"),
        ({"enrollment_mode": "invite"}, "enrollment_closed"),
    ):
        course = make_course(operator, [1], **fields)
        assert refused(ann, "enroll", p_course_id=course.id).code == code
    assert refused(ann, "enroll", p_course_id=2**40).code == "course_not_found"
    assert rows(operator, ann.user) is None


# Keys ------------------------------------------------------------


def test_moves_carry_the_course_of_every_row_along(
    study: Study, operator: Actor, server: Actor
) -> None:
    ann, course = study(2, 1)
    for lesson in course.all:
        ann.call("complete_lesson", p_lesson_id=lesson)
    insert(
        operator,
        "resources",
        {
            "course_id": course.id,
            "lesson_id": course.all[0],
            "title": "Paper",
            "url": "https://example.test/a",
        },
    )
    other = make_course(operator, [1])
    server.call(
        "move_lesson", p_lesson_id=course.all[0], p_module_id=other.modules[0], p_position=5
    )
    server.call("move_module", p_module_id=course.modules[1], p_course_id=other.id, p_position=9)
    for table, expected in (
        ("user_progress", [(course.id, 1), (other.id, 2)]),
        ("module_progress", [(course.id, 1), (other.id, 2)]),
    ):
        found = operator.run(
            f"select course_id, count(*) from public.{table} where user_id = %s "
            "group by 1 order by 1",
            ann.user,
        )
        assert [(x["course_id"], x["count"]) for x in found] == expected
    paper = "select course_id from public.resources where lesson_id = %s"
    assert operator.one(paper, course.all[0]) == other.id
    assert drift(operator, [course.id, other.id]) == []


def test_removing_a_user_removes_their_rows_and_keeps_the_history(
    study: Study, operator: Actor
) -> None:
    ann, course = study(1)
    ann.call("complete_lesson", p_lesson_id=course.all[0])
    operator.run("delete from auth.users where id = %s", ann.user)
    tables = (
        "profiles p where p.id",
        *(
            f"{x} p where p.user_id"
            for x in ("enrollments", "user_progress", "module_progress", "daily_activity")
        ),
    )
    for table in tables:
        assert operator.one(f"select count(*) from public.{table} = %s", ann.user) == 0
    # Under an id that is nobody's.
    assert not kinds(operator, ann.user)
    assert (
        operator.one(
            "select count(*) from public.progress_events"
            " where course_id = %s and kind = 'lesson_completed'",
            course.id,
        )
        == 1
    )


def test_deleting_what_learners_have_done_takes_force(
    study: Study, operator: Actor, server: Actor
) -> None:
    ann, course = study(2)
    ann.call("complete_lesson", p_lesson_id=course.all[0])
    lesson = course.all[0]
    for statement, value in (
        ("delete from public.lessons where id = %s", lesson),
        ("delete from public.modules where id = %s", course.modules[0]),
        ("delete from public.courses where id = %s", course.id),
    ):
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            server.run(statement, value)
    # Null is not a yes.
    for force in ({}, {"p_force": None}):
        refusal = ("progress_exists", 409)
        assert outcome(server, "delete_lesson", p_lesson_id=lesson, **force) == refusal
        assert outcome(server, "delete_course", p_course_id=course.id, **force) == refusal
    assert ann.call("get_course_summary", p_course_id=course.id)["percent"] == 50
    server.call("delete_lesson", p_lesson_id=lesson, p_force=True)
    assert ann.call("get_course_summary", p_course_id=course.id)["percent"] == 0
    assert drift(operator, [course.id]) == []
    server.call("delete_course", p_course_id=course.id, p_force=True)
    assert operator.one("select count(*) from public.lessons where course_id = %s", course.id) == 0
    assert operator.one("select count(*) from public.enrollments where user_id = %s", ann.user) == 0
    assert "lesson_completed" in kinds(operator, ann.user)


def test_a_lesson_cannot_name_another_course_than_its_module(
    operator: Actor, server: Actor
) -> None:
    one, other = make_course(operator, [1]), make_course(operator, [1])
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        server.run("update public.lessons set course_id = %s where id = %s", other.id, one.all[0])
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        make_lesson(server, one.modules[0], course_id=other.id)


# Profiles ------------------------------------------------------------


def sign_up(operator: Actor, meta: Any) -> uuid.UUID:
    """What Auth does at a sign-up."""
    user = uuid.uuid4()
    operator.run(
        "insert into auth.users (id, email, raw_user_meta_data) values (%s, %s, %s::jsonb)",
        user,
        f"{user}@example.test",
        None if meta is None else json.dumps(meta),
    )
    return user


@pytest.mark.parametrize(
    ("meta", "name", "zone"),
    [
        (None, None, "UTC"),
        ({}, None, "UTC"),
        ({"display_name": "Ann", "timezone": "Europe/Berlin"}, "Ann", "Europe/Berlin"),
        ({"full_name": " Ann Lee ", "timezone": "Mars/Base"}, "Ann Lee", "UTC"),
        ({"name": "x" * 5000, "timezone": "FOO+3"}, "x" * 200, "UTC"),
        ({"display_name": "  ", "timezone": {"a": 1}}, None, "UTC"),
        ({"display_name": ["a"], "timezone": "' or 1=1 --"}, '["a"]', "UTC"),
        ([1, 2], None, "UTC"),
    ],
)
def test_every_sign_up_gets_a_profile(
    operator: Actor, meta: Any, name: str | None, zone: str
) -> None:
    user = sign_up(operator, meta)
    (profile,) = operator.run("select * from public.profiles where id = %s", user)
    assert (profile["display_name"], profile["timezone"]) == (name, zone)


def test_a_broken_profile_never_fails_a_sign_up(operator: Actor) -> None:
    with operator.connection.transaction(force_rollback=True):
        operator.run(
            "alter table public.profiles "
            "add constraint nobody check (display_name = 'Nobody') not valid"
        )
        user = sign_up(operator, {"display_name": "Ann"})
        assert operator.one("select count(*) from auth.users where id = %s", user) == 1
        assert operator.one("select count(*) from public.profiles where id = %s", user) == 0


def test_those_who_signed_up_before_get_a_profile_too(stack: Stack) -> None:
    with scratch_database(stack) as made, made.connect(autocommit=True) as host:
        for user, meta in enumerate([None, {"name": "Ann", "timezone": "Asia/Tokyo"}, [1]]):
            host.execute(
                "insert into auth.users (id, email, raw_user_meta_data) values (%s, %s, %s)",
                [uuid.UUID(int=user), str(user), Jsonb(meta)],
            )
        for migration in sorted((ROOT / "supabase" / "migrations").glob("*.sql")):
            host.execute(migration.read_bytes())
        found = host.execute("select display_name, timezone from profiles order by id").fetchall()
    assert found == [(None, "UTC"), ("Ann", "Asia/Tokyo"), (None, "UTC")]


def test_a_bad_zone_becomes_utc_by_every_door(operator: Actor, learner: Learner) -> None:
    ann = learner()
    ann.run("update public.profiles set timezone = 'Asia/Tokyo' where id = %s", ann.user)
    assert operator.one("select timezone from profiles where id = %s", ann.user) == "Asia/Tokyo"
    # PostgreSQL would take the last two, as POSIX zones of that offset.
    for bad in ("Nowhere/Land", "Nowhere/Land+5", "Mars/Base5"):
        ann.run("update public.profiles set timezone = %s where id = %s", bad, ann.user)
        assert operator.one("select timezone from profiles where id = %s", ann.user) == "UTC"
    for good in ("America/Port-au-Prince", "Etc/GMT-14", "America/Argentina/La_Rioja", "Etc/GMT0"):
        ann.run("update public.profiles set timezone = %s where id = %s", good, ann.user)
        assert operator.one("select timezone from profiles where id = %s", ann.user) == good


# Days and months ------------------------------------------------------------


def test_days_are_counted_in_the_learners_own_zone(
    operator: Actor, learner: Learner, study: Study
) -> None:
    _, course = study(2)
    noon = NOW.replace(hour=12, minute=0) + timedelta(days=1)
    day = noon.date()
    for zone, shift in (
        ("Pacific/Kiritimati", timedelta(days=1)),
        ("America/Los_Angeles", timedelta(0)),
        ("UTC", timedelta(0)),
    ):
        ann = learner()
        ann.run("update public.profiles set timezone = %s where id = %s", zone, ann.user)
        ann.call("enroll", p_course_id=course.id)
        ann.at(noon)
        ann.call("complete_lesson", p_lesson_id=course.all[0])
        ann.at(noon + timedelta(minutes=1))
        ann.call("complete_lesson", p_lesson_id=course.all[1])
        found = ann.run("select day, lessons_completed, first_at, last_at from daily_activity")
        assert found == [
            {
                "day": day + shift,
                "lessons_completed": 2,
                "first_at": noon,
                "last_at": noon + timedelta(minutes=1),
            }
        ]
        # Taken back on another day, in another zone: it leaves the day that counted it.
        ann.run("update public.profiles set timezone = 'UTC' where id = %s", ann.user)
        ann.at(noon + timedelta(days=3))
        ann.call("uncomplete_lesson", p_lesson_id=course.all[1])
        found = ann.run("select day, lessons_completed from daily_activity")
        assert found == [{"day": day + shift, "lessons_completed": 1}]


def test_history_has_months_for_two_years_ahead(operator: Actor, study: Study) -> None:
    months = {
        row["name"]
        for row in operator.run(
            "select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid "
            "where i.inhparent = 'public.progress_events'::regclass"
        )
    }
    today = operator.one("select now() at time zone 'UTC'")
    expected = set()
    for ahead in range(-1, 25):
        year, month = divmod(today.year * 12 + today.month - 1 + ahead, 12)
        expected.add(f"progress_events_{year}_{month + 1:02}")
    assert expected <= months
    assert operator.one("select private.make_event_partitions(24)") == 0

    year, month = divmod(today.year * 12 + today.month - 1 + 24, 12)
    ann, course = study(1)
    ann.at(datetime(year, month + 1, 28, 23, 59, 59, tzinfo=UTC))
    ann.call("complete_lesson", p_lesson_id=course.all[0])
    assert kinds(operator, ann.user)[-1] == "course_completed"
    found = operator.one(
        "select count(*) from only private.progress_events_" + f"{year}_{month + 1:02}"
        " where user_id = %s",
        ann.user,
    )
    assert found == 3


def test_requests_cannot_move_the_clock(stack: Stack, operator: Actor, study: Study) -> None:
    ann, course = study(2)
    ann.at(NOW + timedelta(days=9))
    moved = ann.call("complete_lesson", p_lesson_id=course.all[0])["progress"]["completed_at"]
    assert datetime.fromisoformat(moved) == NOW + timedelta(days=9)
    # The same as PostgREST connects: nothing that a request may set is believed.
    try:
        door = psycopg.connect(make_conninfo(stack.db_url, user="authenticator"))
    except psycopg.OperationalError:
        pytest.skip("this stack does not tell authenticator's password")
    with door:
        door.execute("set role authenticated")
        for name, value in (
            ("request.jwt.claims", json.dumps({"role": "authenticated", "sub": str(ann.user)})),
            ("waymark.now", (NOW + timedelta(days=9)).isoformat()),
        ):
            door.execute("select set_config(%s, %s, false)", [name, value])
        answer = door.execute("select complete_lesson(%s)", [course.all[1]]).fetchone()
    assert answer is not None
    now = operator.one("select now()")
    assert abs(datetime.fromisoformat(answer[0]["progress"]["completed_at"]) - now) < timedelta(
        minutes=5
    )


def test_staff_of_another_course_edit_nothing(
    operator: Actor, learner: Learner, study: Study
) -> None:
    ann, course = study(1)
    author = learner()
    own = make_course(operator, [1])
    insert(
        operator, "course_staff", {"course_id": own.id, "user_id": author.user, "role": "author"}
    )
    author.call("archive_lesson", p_lesson_id=own.all[0])
    for function, arguments in (
        ("archive_lesson", {"p_lesson_id": course.all[0]}),
        ("delete_lesson", {"p_lesson_id": course.all[0], "p_force": True}),
        (
            "move_lesson",
            {"p_lesson_id": own.all[0], "p_module_id": course.modules[0], "p_position": 0},
        ),
        ("create_lesson", {"p_module_id": course.modules[0], "p_fields": {"title": "X"}}),
        (
            "move_module",
            {"p_module_id": own.modules[0], "p_course_id": course.id, "p_position": 0},
        ),
        ("delete_course", {"p_course_id": own.id}),
    ):
        assert refused(author, function, **arguments).code == "not_allowed"
    assert ann.call("get_course_summary", p_course_id=course.id)["total"] == 1


@pytest.mark.parametrize(
    ("fields", "details"),
    [
        ({"title": "X", "weight": 0}, "lessons_weight_check"),
        ({"title": "X", "completion_rule": "view"}, "view_rule_has_seconds"),
        ({"type": "article"}, "title"),
    ],
)
def test_a_bad_lesson_is_refused_in_our_words(
    server: Actor, study: Study, fields: dict[str, Any], details: str
) -> None:
    _, course = study(1)
    problem = refused(server, "create_lesson", p_module_id=course.modules[0], p_fields=fields)
    assert (problem.code, problem.status, problem.details) == ("invalid_value", 422, details)


@pytest.mark.parametrize("position", [None, -1])
def test_a_place_before_the_first_is_refused(
    server: Actor, study: Study, position: int | None
) -> None:
    _, course = study(1)
    lesson, module = course.all[0], course.modules[0]
    for function, arguments in (
        ("move_lesson", {"p_lesson_id": lesson, "p_module_id": module}),
        ("move_module", {"p_module_id": module, "p_course_id": course.id}),
    ):
        problem = refused(server, function, **arguments, p_position=position)
        assert (problem.code, problem.status) == ("invalid_value", 422)


def test_an_admin_reads_what_is_not_published(operator: Actor, learner: Learner) -> None:
    course = make_course(operator, [1], status="draft")
    someone, admin = learner(), learner()
    claims = {
        "sub": str(admin.user),
        "role": "authenticated",
        "app_metadata": {"waymark_role": "admin"},
    }
    admin.run("select set_config('request.jwt.claims', %s, false)", json.dumps(claims))
    count = "select count(*) from public.lessons where course_id = %s"
    assert admin.one(count, course.id) == 1
    assert admin.call("get_course_outline", p_course_id=course.id)["course"]["id"] == course.id
    assert someone.one(count, course.id) == 0
    assert refused(someone, "get_course_outline", p_course_id=course.id).code == "course_not_found"


def test_a_users_removal_waits_without_holding_learners_up(
    operator: Actor, server: Actor, learner: Learner, study: Study
) -> None:
    """Behind a long edit of one course; learners of another go on meanwhile."""
    ann, course = study(2)
    other = make_course(operator, [1])
    (leaver,) = make_users(operator)
    remover = learner()
    remover.run("reset role")
    with server.connection.transaction():
        server.call("archive_lesson", p_lesson_id=other.all[0])
        removal = threading.Thread(
            target=remover.run, args=("delete from auth.users where id = %s", leaver)
        )
        removal.start()
        waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
        for _ in range(100):
            if operator.one(waiting):
                break
            time.sleep(0.05)
        assert operator.one(waiting)
        ann.run("set statement_timeout = '3s'")
        assert ann.call("complete_lesson", p_lesson_id=course.all[0])["changed"]
    removal.join(10)
    assert not removal.is_alive()
