"""Who is counted, who may ask, small groups, questions, and snapshots of large courses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from tests.quiz.world import Person, Refused, World, choice, sheet

NOW = datetime.now(UTC)


def report(person: Person, world: World, **chosen: Any) -> Any:
    return person.call("get_course_report", course_id=world.course, **chosen)


def lessons(person: Person, world: World, **chosen: Any) -> Any:
    return person.call("get_lesson_report", course_id=world.course, **chosen)


# Who is counted --------------------------------------------------------------------------------


def test_an_empty_course(world: World) -> None:
    staff = world.staff()
    found = report(staff, world)
    assert found["learners"] == {
        "enrolled": 0, "started": 0, "active_7_days": 0, "active_30_days": 0, "completed": 0,
        "completion_rate": None, "gone": 0,
    }  # fmt: skip
    assert (found["percent"]["average"], found["percent"]["distribution"]) == (None, [0] * 10)
    assert found["enrollments_per_day"] == []
    assert lessons(staff, world)["lessons"] == []


def test_staff_and_who_is_gone_and_previews_and_archived_lessons_are_left_out(world: World) -> None:
    kept, archived = world.lesson(title="Kept"), world.lesson(title="Archived", position=1)
    world.lesson(title="Preview", position=2, is_preview=True)
    optional = world.lesson(title="Optional", position=3, is_required=False)
    quiz = world.quiz([choice("?")], position=4)
    people = [world.learner() for _ in range(5)]
    for person in people:
        done = "start_lesson" if person is people[-1] else "complete_lesson"
        person.call(done, lesson_id=kept)
        person.call("complete_lesson", lesson_id=archived)
        person.call("submit_quiz", lesson_id=quiz, answers=world.right(quiz))
    learner, teacher, leaver, withdrawn, _ = people
    hire = "insert into public.course_staff values (%s, %s, 'assistant')"
    world.run(hire, world.course, teacher.id)
    leaver.call("leave_course", course_id=world.course)
    world.run("update public.enrollments set status = 'withdrawn' where user_id = %s", withdrawn.id)
    world.run("update public.lessons set archived_at = now() where id = %s", archived)
    learner.call("complete_lesson", lesson_id=optional)

    staff = world.staff("assistant")
    found, of_lessons = report(staff, world), lessons(staff, world, min_completions=1)
    assert found["learners"] == {
        "enrolled": 2, "started": 2, "active_7_days": 2, "active_30_days": 2, "completed": 1,
        "completion_rate": 50, "gone": 2,
    }  # fmt: skip
    assert found["scores"]["count"] == 2
    # One lesson each of the quiz and what was kept: optional ones are no pace.
    assert found["velocity"] == {"lessons": 3, "learners": 2, "lessons_per_week": 0.38}
    assert found["certificates"] == {"issued": 1, "revoked": 0, "expired": 0}
    shown = ("title", "is_countable", "learners", "started", "completed")
    assert [tuple(entry[name] for name in shown) for entry in of_lessons["lessons"]] == [
        ("Kept", True, 2, 2, 1),
        ("Optional", False, 2, 1, 1),
        ("L", True, 2, 2, 2),
    ]
    assert [entry["lesson_id"] for entry in of_lessons["hard_lessons"]] == [quiz]
    # Back again, with all that was done.
    leaver.call("enroll", course_id=world.course)
    assert report(staff, world)["learners"]["enrolled"] == 3


def test_only_the_present_cycle_counts(world: World) -> None:
    world.run("update public.courses set max_cycles = null where id = %s", world.course)
    lesson, quiz, learner = world.lesson(), world.quiz([choice("?")], position=1), world.learner()
    learner.call("complete_lesson", lesson_id=lesson)
    learner.call("submit_quiz", lesson_id=quiz, answers=world.right(quiz))
    staff = world.staff()
    was = report(staff, world)
    assert (was["learners"]["completed"], was["scores"]["count"]) == (1, 1)
    learner.call("retake_course", course_id=world.course)
    found = report(staff, world)
    assert (found["learners"]["started"], found["learners"]["completed"]) == (0, 0)
    assert found["learners"]["active_7_days"] == 0
    assert (found["certificates"]["issued"], found["scores"]["count"]) == (0, 0)
    shown = lessons(staff, world)["lessons"]
    assert [(entry["started"], entry["quiz"]) for entry in shown] == [(0, None), (0, None)]


def test_a_lesson_waived_for_somebody_is_not_theirs(world: World) -> None:
    lesson, staff = world.lesson(), world.staff()
    ann, bob = world.learner(), world.learner()
    ann.call("start_lesson", lesson_id=lesson)
    bob.call("complete_lesson", lesson_id=lesson)
    staff.call("excuse_lesson", user_id=ann.id, lesson_id=lesson, reason="Ill")
    [found] = lessons(staff, world)["lessons"]
    assert (found["learners"], found["started"], found["completed"]) == (1, 1, 1)
    assert found["completion_rate"] == 100


def test_expired_completions_and_revoked_certificates_are_told_apart(world: World) -> None:
    world.run("update public.courses set certificate_valid_months = 1 where id = %s", world.course)
    lesson, staff = world.lesson(), world.staff()
    people = [world.learner() for _ in range(3)]
    for person in people:
        person.call("complete_lesson", lesson_id=lesson)
    [(certificate,)] = world.run(
        "select id from public.certificates where user_id = %s and course_id = %s",
        people[0].id, world.course,
    )  # fmt: skip
    world.run("select public.revoke_certificate(%s, 'Copied')", certificate)
    staff.at(NOW + timedelta(days=90))
    found = report(staff, world)["certificates"]
    assert found == {"issued": 3, "revoked": 1, "expired": 2}


# Questions -------------------------------------------------------------------------------------


def test_questions_are_judged_as_pandas_does(world: World) -> None:
    quiz = world.quiz(
        [
            choice("Easy", id="easy"),
            choice("Telling", "a", "b", "c", id="telling", points=2),
            choice("Misleading", id="misleading"),
            {**choice("Even", id="even")},
        ],
        pass_percent=50,
    )
    # Where options have no ids of their own, the first is right.
    right = {
        name: key if isinstance(key, str) else key[0] for name, key in world.keys(quiz).items()
    }
    rows = []
    for n in range(12):
        knows = {
            "easy": True,
            "telling": n % 3 != 0,
            "misleading": n % 3 == 0 or n == 5,
            "even": n % 2 == 0,
        }
        answers = {name: right[name] if known else "o2" for name, known in knows.items()}
        learner = world.learner()
        learner.call("submit_quiz", lesson_id=quiz, answers=sheet(answers))
        # A second attempt knows the questions, and is not asked about.
        learner.call("submit_quiz", lesson_id=quiz, answers=sheet(right))
        rows.append({name: knows[name] * (2 if name == "telling" else 1) for name in knows})
    points = pd.DataFrame(rows)
    most = pd.Series({"easy": 1, "telling": 2, "misleading": 1, "even": 1})
    [lesson] = lessons(world.staff(), world)["lessons"]
    found = {entry["question_id"]: entry for entry in lesson["quiz"]["questions"]}
    assert list(found) == ["easy", "telling", "misleading", "even"]
    for name in points:
        rest = points.drop(columns=name).sum(axis=1)
        told = found[name]
        assert told["asked"] == 12
        assert told["difficulty"] == pytest.approx((points[name] / most[name]).mean(), abs=5e-5)
        if points[name].nunique() == 1:
            assert told["discrimination"] is None
        else:
            expected = points[name].corr(rest)
            assert told["discrimination"] == pytest.approx(expected, abs=5e-5)
    assert found["telling"]["discrimination"] > found["misleading"]["discrimination"]
    assert lesson["quiz"]["attempts"] == 24


@pytest.mark.parametrize(
    ("policy", "score"), [("best", 100), ("first", 0), ("last", 50), ("average", 50)]
)
def test_the_score_is_the_one_that_the_quiz_reports(
    world: World, policy: str, score: float
) -> None:
    quiz = world.quiz([choice("One"), choice("Two")], score_policy=policy, completion_rule="submit")
    learner, right = world.learner(), world.right(quiz)
    for answers in ([], right, right[:1]):
        learner.call("submit_quiz", lesson_id=quiz, answers=answers)
    [lesson] = lessons(world.staff(), world)["lessons"]
    scores = lesson["quiz"]["scores"]
    assert (scores["count"], scores["min"], scores["average"], scores["max"]) == (1, *[score] * 3)


# Who may ask -----------------------------------------------------------------------------------

READS = ("get_course_report", "get_lesson_report", "get_report_page")


@pytest.mark.parametrize("rpc", READS)
def test_only_staff_of_the_course_and_admins(worlds: Callable[..., World], rpc: str) -> None:
    world, other = worlds(), worlds()
    for role in ("author", "instructor", "assistant"):
        assert world.staff(role).call(rpc, course_id=world.course)["course_id"] == world.course
        refused = other.staff(role).refusal(rpc, course_id=world.course)
        assert (refused.status, refused.code) == (403, "not_allowed")
    for person in (world.learner(), world.person(world.user())):
        assert person.refusal(rpc, course_id=world.course).code == "not_allowed"
    # Whether a course is there is nobody's to find out.
    assert world.staff().refusal(rpc, course_id=2_000_000_000).code == "not_allowed"
    admin = world.person(None, "service_role")
    assert admin.call(rpc, course_id=world.course)["title"] == "C"
    assert admin.refusal(rpc, course_id=2_000_000_000).code == "course_not_found"


@pytest.mark.parametrize("rpc", READS)
def test_choices_that_make_no_sense_are_refused(worlds: Callable[..., World], rpc: str) -> None:
    world, other = worlds(), worlds()
    foreign = other.one(
        "insert into public.cohorts (course_id, name) values (%s, 'A') returning id", other.course
    )
    staff = world.staff()
    assert staff.refusal(rpc, course_id=world.course, cohort_id=foreign).code == "cohort_not_found"
    for start, end in ((NOW, NOW), (NOW, NOW - timedelta(days=1)), ("-infinity", None)):
        chosen = {"enrolled_from": start, "enrolled_to": end}
        refused = staff.refusal(
            rpc, course_id=world.course, **{name: at for name, at in chosen.items() if at}
        )
        assert (refused.status, refused.code) == (422, "invalid_value")


def test_a_cohorts_report_is_about_the_cohort(world: World) -> None:
    cohort = world.one(
        "insert into public.cohorts (course_id, name) values (%s, 'A') returning id", world.course
    )
    for n in range(3):
        person = world.learner()
        if n:
            world.run(
                "update public.enrollments set cohort_id = %s where user_id = %s", cohort, person.id
            )
    found = report(world.staff(), world, cohort_id=cohort)
    assert (found["learners"]["enrolled"], found["cohort"]) == (2, "A")


# Snapshots -------------------------------------------------------------------------------------


@pytest.fixture
def large(world: World) -> Iterator[World]:
    """A course that is too large to be counted when somebody asks: more than no rows at all."""
    was = world.one("select value from private.settings where name = 'report_live_rows'")
    change = "update private.settings set value = %s where name = 'report_live_rows'"
    world.run(change, "0")
    try:
        yield world
    finally:
        world.run(change, was)


def waiting(world: World) -> list[Any]:
    return world.run(
        "select r.id, j.priority from private.jobs j"
        "  join private.course_reports r on r.id = (j.payload ->> 'report_id')::bigint"
        " where j.kind = 'report.compute' and r.course_id = %s order by r.id",
        world.course,
    )


def compute(world: World, report: int) -> int:
    """Slices until it is done; how many there were."""
    server, slices = world.person(None, "service_role"), 0
    while not server.call("compute_report", report_id=report)["done"]:
        slices += 1
        assert slices < 50
    world.run("delete from private.jobs where dedupe_key = %s", f"report:{report}")
    return slices


def without_time(found: Any) -> str:
    return json.dumps({**found, "as_of": None, "live": None, "refreshing": None}, sort_keys=True)


def test_a_snapshot_holds_what_counting_at_once_gives(large: World) -> None:
    world = large
    quiz = world.quiz([choice("One"), choice("Two")])
    lesson = world.lesson(position=1)
    for n in range(3):
        learner = world.learner()
        learner.call("submit_quiz", lesson_id=quiz, answers=world.right(quiz)[: n + 1])
        learner.call("complete_lesson", lesson_id=lesson)
    staff = world.staff()
    with pytest.raises(Refused) as refused:
        report(staff, world)
    assert refused.value.code == "report_not_ready"
    with pytest.raises(Refused):
        lessons(staff, world)
    [(job, priority)] = waiting(world)
    assert priority < 0
    assert compute(world, job) == 1
    snapshots = [report(staff, world), lessons(staff, world)]
    assert not any(found["live"] or found["refreshing"] for found in snapshots)
    assert waiting(world) == []
    assert world.one("select count(*) from private.report_slices where report_id = %s", job) == 0

    world.run("update private.settings set value = '1000' where name = 'report_live_rows'")
    at_once = [report(staff, world), lessons(staff, world)]
    assert all(found["live"] for found in at_once)
    # Times aside, which go on.
    assert [without_time(found) for found in snapshots] == [
        without_time(found) for found in at_once
    ]


def test_an_old_snapshot_is_answered_at_once_and_made_again(large: World) -> None:
    world = large
    lesson, learner, staff = world.lesson(), world.learner(), world.staff()
    with pytest.raises(Refused):
        report(staff, world)
    [(job, _)] = waiting(world)
    compute(world, job)
    learner.call("complete_lesson", lesson_id=lesson)
    assert report(staff, world)["learners"]["completed"] == 0
    assert waiting(world) == []

    # A minute, or twenty times what it cost.
    staff.at(datetime.now(UTC) + timedelta(minutes=5))
    found = report(staff, world)
    assert (found["learners"]["completed"], found["refreshing"]) == (0, True)
    assert len(waiting(world)) == 1
    assert report(staff, world)["refreshing"]
    assert len(waiting(world)) == 1
    compute(world, job)
    staff.at(None)
    found = report(staff, world)
    assert (found["learners"]["completed"], found["refreshing"]) == (1, False)

    world.run("update private.course_reports set cost_seconds = 60 where id = %s", job)
    staff.at(datetime.now(UTC) + timedelta(minutes=15))
    assert not report(staff, world)["refreshing"]
    staff.at(datetime.now(UTC) + timedelta(minutes=25))
    assert report(staff, world)["refreshing"]


def test_a_job_that_was_lost_is_ordered_again(large: World) -> None:
    world, staff = large, large.staff()
    world.learner()
    for _ in range(2):
        with pytest.raises(Refused):
            report(staff, world)
    [(job, _)] = waiting(world)
    world.run("delete from private.jobs where dedupe_key = %s", f"report:{job}")
    with pytest.raises(Refused):
        report(staff, world)
    assert waiting(world) == []
    staff.at(datetime.now(UTC) + timedelta(minutes=11))
    with pytest.raises(Refused):
        report(staff, world)
    assert [row[0] for row in waiting(world)] == [job]
    world.run("update private.jobs set died_at = now() where dedupe_key = %s", f"report:{job}")
    staff.at(datetime.now(UTC) + timedelta(minutes=22))
    with pytest.raises(Refused):
        report(staff, world)
    assert world.one(
        "select died_at is null from private.jobs where dedupe_key = %s", f"report:{job}"
    )


def test_large_courses_are_computed_in_slices(large: World) -> None:
    world = large
    for n in range(4):
        world.lesson(position=n)
    world.learner()
    staff = world.staff()
    with pytest.raises(Refused):
        report(staff, world)
    [(job, _)] = waiting(world)
    # As if each lesson were a slice's worth, and the worker killed after the second.
    server = world.person(None, "service_role")
    world.run(
        "insert into private.report_slices (report_id, lesson_id, counts)"
        " select %s, l.id, '{}' from public.lessons l where l.course_id = %s limit 2",
        job, world.course,
    )  # fmt: skip
    world.run("update private.course_reports set begun_at = now() where id = %s", job)
    assert server.call("compute_report", report_id=job) == {"lessons": 2, "done": False}
    # One that was begun too long ago begins anew.
    begun = "update private.course_reports set begun_at = now() - interval '2 hours' where id = %s"
    world.run(begun, job)
    assert server.call("compute_report", report_id=job) == {"lessons": 4, "done": False}
    assert server.call("compute_report", report_id=job) == {"lessons": 0, "done": True}
    assert server.call("compute_report", report_id=job) == {"lessons": 0, "done": True}
    assert [entry["learners"] for entry in lessons(staff, world)["lessons"]] == [1] * 4


def test_a_course_keeps_twenty_snapshots(large: World) -> None:
    world, staff = large, large.staff()
    world.learner()
    for day in range(25):
        with pytest.raises(Refused):
            report(staff, world, enrolled_from=datetime(2020, 1, 1 + day, tzinfo=UTC))
    kept = world.run(
        "select enrolled_from from private.course_reports where course_id = %s order by 1",
        world.course,
    )
    assert [at.day for (at,) in kept] == [*range(6, 26)]
    # A job whose report is gone has nothing to do.
    world.run(
        "delete from private.jobs where kind = 'report.compute' and payload ->> 'report_id'"
        " in (select id::text from private.course_reports where course_id = %s)",
        world.course,
    )
    assert world.one(
        "select private.job_facts('report.compute', '{\"report_id\": 0}')"
    ) is None  # fmt: skip


def test_a_snapshot_holds_no_learner(large: World) -> None:
    world = large
    quiz, learner = world.quiz([choice("One")]), world.learner()
    learner.call("submit_quiz", lesson_id=quiz)
    with pytest.raises(Refused):
        report(world.staff(), world)
    [(job, _)] = waiting(world)
    compute(world, job)
    kept = world.one("select to_jsonb(r)::text from private.course_reports r where id = %s", job)
    assert learner.id not in kept
    world.run("select private.delete_course(%s, true)", world.course)
    assert world.run("select from private.course_reports where id = %s", job) == []


def test_completing_writes_nothing_for_reports(large: World) -> None:
    """Not a row more than without: what is counted is counted when somebody asks."""
    world = large
    lesson, learner = world.lesson(), world.learner()
    world.lesson(position=1)
    with pytest.raises(Refused):
        report(world.staff(), world)
    [(job, _)] = waiting(world)
    compute(world, job)

    def rows() -> dict[str, int]:
        return dict(
            world.run(
                "select relname, n_tup_ins + n_tup_upd + n_tup_del from pg_stat_xact_user_tables"
                " where schemaname in ('public', 'private')"
            )
        )

    with world.operator.transaction():
        claims = json.dumps({"role": "authenticated", "sub": learner.id})
        world.run("select set_config('request.jwt.claims', %s, true)", claims)
        before = rows()
        world.run("set local role authenticated")
        world.run("select public.complete_lesson(%s)", lesson)
        world.run("reset role")
        written = {
            name.partition("_20")[0]: count - before.get(name, 0)
            for name, count in rows().items()
            if count > before.get(name, 0)
        }
    assert written == {
        "user_progress": 1, "module_progress": 1, "enrollments": 1, "daily_activity": 1,
        "progress_events": 1,
    }  # fmt: skip
