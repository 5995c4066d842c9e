"""Past progress from another system: dates kept, counters exact, bad rows told by their line."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.database.actors import Actor, Course, Refused, drift, make_course, make_users

DAY = "2024-02-03"


def load(server: Actor, *rows: dict[str, Any], dry_run: bool = False) -> dict[str, Any]:
    """Import rows; each is numbered by its place unless it says otherwise."""
    numbered = [{"line": place, **row} for place, row in enumerate(rows, 1)]
    answer: dict[str, Any] = server.one(
        "select public.import_progress(%s, %s)", Jsonb(numbered), dry_run
    )
    return answer


def done(user: uuid.UUID | str | None, lesson: uuid.UUID | str, at: str = DAY, **more: Any) -> Any:
    """A completion."""
    return {
        "user": str(user),
        "lesson": str(lesson),
        "status": "completed",
        "completed_at": at,
        **more,
    }


@pytest.fixture
def course(operator: Actor) -> Course:
    slugs = ([{"slug": f"l-{m}-{n}"} for n in range(2)] for m in range(2))
    return make_course(operator, list(slugs))


def test_completions_keep_their_dates_everywhere(
    operator: Actor, server: Actor, course: Course
) -> None:
    (ann,) = make_users(operator)
    operator.run("update public.profiles set timezone = 'Asia/Tokyo' where id = %s", ann)
    times = ["2024-02-03 20:00:00+00", "2024-02-04T01:00:00Z", "2024-03-05", "2024-03-05T23:30:00"]
    answer = load(
        server,
        *(done(ann, lesson, at) for lesson, at in zip(course.all, times, strict=True)),
        {"user": str(ann), "course": str(course.id), "enrolled_at": "2024-01-01T00:00:00Z"},
    )
    assert answer == {"rows": 5, "enrolled": 1, "completed": 4, "started": 0, "errors": []}
    assert drift(operator, [course.id]) == []

    (mine,) = operator.run("select * from public.enrollments where user_id = %s", ann)
    last = datetime(2024, 3, 5, 23, 30, tzinfo=UTC)
    assert mine["progress_percent"] == 100
    assert mine["enrolled_at"] == datetime(2024, 1, 1, tzinfo=UTC)
    assert mine["completed_at"] == mine["last_accessed_at"] == last
    # The first two are one day in Tokyo; a date alone is noon there.
    days = operator.run(
        "select day, lessons_completed as n from public.daily_activity"
        " where user_id = %s order by day",
        ann,
    )
    assert [(row["day"], row["n"]) for row in days] == [
        (date(2024, 2, 4), 2), (date(2024, 3, 5), 1), (date(2024, 3, 6), 1)
    ]  # fmt: skip
    rows = operator.run("select * from public.user_progress where user_id = %s", ann)
    by_lesson = {row["lesson_id"]: row for row in rows}
    assert by_lesson[course.all[2]]["completed_at"] == datetime(2024, 3, 5, 3, tzinfo=UTC)
    assert by_lesson[course.all[0]]["completed_on"] == date(2024, 2, 4)
    events = operator.run(
        "select kind, occurred_at, data from public.progress_events where user_id = %s"
        " order by occurred_at, kind",
        ann,
    )
    assert {event["data"]["by"] for event in events} == {"import"}
    assert [event["occurred_at"].month for event in events] == [1, 2, 2, 2, 2, 3, 3, 3, 3, 3]
    assert [event["kind"] for event in events] == [
        "enrolled", "lesson_completed", "module_started", "lesson_completed", "module_completed",
        "lesson_completed", "module_started", "course_completed", "lesson_completed",
        "module_completed",
    ]  # fmt: skip


def test_a_certificate_comes_without_mail_or_message(
    operator: Actor, server: Actor, course: Course
) -> None:
    (ann,) = make_users(operator)
    load(server, *(done(ann, lesson) for lesson in course.all))
    (held,) = operator.run("select * from public.certificates where user_id = %s", ann)
    assert (held["is_mailed"], held["completed_on"]) == (False, date(2024, 2, 3))
    assert operator.run("select from public.notifications where user_id = %s", ann) == []


def test_the_same_rows_again_change_nothing(operator: Actor, server: Actor, course: Course) -> None:
    (ann,) = make_users(operator)
    rows = [done(ann, course.all[0]), {**done(ann, course.all[1]), "status": "in_progress"}]
    rows[1]["started_at"] = rows[1].pop("completed_at")
    load(server, *rows)
    tables = ("enrollments", "user_progress", "module_progress", "daily_activity",
              "progress_events", "audit_log")  # fmt: skip

    def seen() -> list[Any]:
        return [
            operator.run(
                f"select t.xmin::text, t.* from public.{table} t"
                + (" where action = 'progress.import'" if table == "audit_log"
                   else f" where user_id = '{ann}'")
                + " order by 1, t::text"
            )
            for table in tables
        ]  # fmt: skip

    before = seen()
    again = load(server, *rows, *rows)
    assert (again["enrolled"], again["completed"], again["started"]) == (0, 0, 0)
    assert seen() == before


def test_what_is_known_already_is_never_lowered(
    operator: Actor, server: Actor, learner: Callable[[], Actor], course: Course
) -> None:
    ann = learner()
    ann.call("enroll", p_course_id=course.id)
    ann.call("complete_lesson", p_lesson_id=course.all[0])
    ann.call("start_lesson", p_lesson_id=course.all[1])
    before = ann.call("get_lesson_progress", p_lesson_id=course.all[0])
    answer = load(server, done(ann.user, course.all[0]), done(ann.user, course.all[1]))
    assert (answer["enrolled"], answer["completed"]) == (0, 1)
    assert ann.call("get_lesson_progress", p_lesson_id=course.all[0]) == before
    late = ann.call("get_lesson_progress", p_lesson_id=course.all[1])
    assert (late["status"], late["completed_at"]) == ("completed", "2024-02-03T12:00:00+00:00")
    view = ann.call("get_course_progress", p_course_id=course.id)
    assert (view["completed"], view["percent"]) == (2, 50)
    assert drift(operator, [course.id]) == []


def test_the_first_line_of_a_lesson_told_twice_counts(
    operator: Actor, server: Actor, course: Course
) -> None:
    (ann,) = make_users(operator)
    first, second = "2024-02-03T00:00:00Z", "2024-01-03T00:00:00Z"
    load(server, done(ann, course.all[0], first), done(ann, course.all[0], second))
    (row,) = operator.run("select completed_at from public.user_progress where user_id = %s", ann)
    assert row["completed_at"] == datetime(2024, 2, 3, tzinfo=UTC)
    assert operator.one("select lessons_completed from public.daily_activity where user_id = %s",
                        ann) == 1  # fmt: skip


def test_users_go_by_id_or_mail_and_lessons_by_id_or_slugs(
    operator: Actor, server: Actor, course: Course
) -> None:
    ann, ben = make_users(operator, 2)
    slug = operator.one("select slug from public.courses where id = %s", course.id)
    answer = load(
        server,
        done(f"{ann}@EXAMPLE.test", "l-0-0", course=slug),
        done(ben, "l-0-1", course=str(course.id)),
        done(ben, course.all[2], course=slug),
    )
    assert (answer["completed"], answer["errors"]) == (3, [])
    assert drift(operator, [course.id]) == []


def test_a_bad_row_is_told_by_its_line_and_stops_no_other(
    operator: Actor, server: Actor, course: Course
) -> None:
    (ann,) = make_users(operator)
    other = make_course(operator, [[{"slug": "other"}, {"is_preview": True}]])
    good = course.all[0]
    tomorrow = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    bad = {
        11: (done(uuid.uuid4(), good), "user", "there is no such user"),
        12: (done("nobody@example.test", good), "user", "there is no such user"),
        13: (done(ann, uuid.uuid4()), "lesson", "there is no such lesson"),
        14: (done(ann, "other", course=str(course.id)), "lesson",
             "there is no such lesson in this course"),
        15: (done(ann, good, course="no-such"), "course", "there is no such course"),
        16: (done(ann, "other"), "course", "a lesson's slug needs its course"),
        17: (done(ann, good, "03/04/2024"), "completed_at", "is no date"),
        18: (done(ann, good, "2024-02-30"), "completed_at", "is no date"),
        19: (done(ann, good, tomorrow), "completed_at", "lies in the future"),
        20: (done(ann, good, "1970-01-01"), "completed_at", "lies before 1995"),
        21: ({**done(ann, good), "completed_at": None}, "completed_at", "is missing"),
        22: (done(ann, other.all[1]), "lesson", "preview lessons take no progress"),
        23: ({**done(ann, good), "status": "great"}, "status",
             "must be completed or in_progress"),
        24: ({"user": str(ann)}, "lesson", "is missing"),
        25: ({"user": " ", "course": str(course.id)}, "user", "is missing"),
    }  # fmt: skip
    rows = [{**row, "line": line} for line, (row, _, _) in bad.items()]
    dry = load(server, *rows, done(ann, course.all[1]), dry_run=True)
    assert (dry["enrolled"], dry["completed"]) == (1, 1)
    assert operator.run("select from public.enrollments where user_id = %s", ann) == []
    answer = load(server, *rows, done(ann, course.all[1]))
    assert answer == dry
    assert {e["line"]: (e["field"], e["message"]) for e in answer["errors"]} == {
        line: (field, message) for line, (_, field, message) in bad.items()
    }
    assert operator.one("select count(*) from public.user_progress where user_id = %s", ann) == 1


def test_importing_is_for_servers(
    server: Actor, operator: Actor, learner: Callable[[], Actor], course: Course
) -> None:
    ann = learner()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        load(ann, done(ann.user, course.all[0]))
    for rows, code in (
        ({"a": 1}, "invalid_type"),
        ([7], "invalid_type"),
        ([{"line": "x"}], "invalid_type"),
        ([{"line": 1}] * 2001, "invalid_value"),
    ):
        with pytest.raises(psycopg.Error) as problem:
            server.one("select public.import_progress(%s, false)", Jsonb(rows))
        assert Refused.of(problem.value).code == code
