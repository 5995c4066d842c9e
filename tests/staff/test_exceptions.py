"""Waivers, completions and reopenings for one learner, and everything that follows from them."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from tests.database.actors import Actor, Refused, make_lesson, make_users
from tests.database.storm import Storm, together
from tests.staff.scene import Scene

REASON = "Ill for two weeks"


def tell(scene: Scene, command: str, lesson_id: uuid.UUID, who: str = "instructor") -> Any:
    return scene.act(who).call(
        command, p_user_id=scene.users["learner"], p_lesson_id=lesson_id, p_reason=REASON
    )


def test_a_waived_lesson_counts_for_everyone_else(scene: Scene) -> None:
    scene.operator.run(
        "update public.lessons set weight = 3 where id = %s", scene.course.lessons[0][1]
    )
    scene.enroll("stranger")
    for name in ("learner", "stranger"):
        scene.act(name).call("complete_lesson", p_lesson_id=scene.course.lessons[0][0])
    assert scene.row()["progress_percent"] == Decimal("16.67")
    answer = tell(scene, "excuse_lesson", scene.course.lessons[0][1])
    # 1 of 3 by weight: the lesson of weight 3 is out of the learner's total.
    assert answer["enrollment"]["progress_percent"] == 33.33
    assert answer["enrollment"]["total_lessons"] == 3
    assert (answer["is_waived"], answer["changed"]) == (True, True)
    assert scene.row("stranger")["progress_percent"] == Decimal("16.67")
    view = scene.act("learner").call("get_course_progress", p_course_id=scene.course.id)
    assert (view["total"], view["completed"]) == (3, 1)
    assert [x["is_waived"] for x in view["lessons"]].count(True) == 1
    first = view["modules"][0]
    assert (first["total"], first["completed"], first["status"]) == (1, 1, "completed")
    following = scene.act("learner").call("get_next_lesson", p_course_id=scene.course.id)
    assert following["lesson_id"] == str(scene.course.lessons[1][0])
    dashboard = scene.act("learner").call("get_my_dashboard")
    assert dashboard["totals"]["lessons"] == {"total": 3, "completed": 1}
    assert [e["data"] for e in scene.events("module_completed")] == [{"by": "staff"}]
    scene.sound()


def test_waiving_again_changes_nothing(scene: Scene) -> None:
    tell(scene, "excuse_lesson", scene.course.lessons[0][0])
    before = scene.look()
    answer = tell(scene, "excuse_lesson", scene.course.lessons[0][0])
    assert (answer["is_waived"], answer["changed"]) == (True, False)
    assert scene.look() == before
    tell(scene, "unexcuse_lesson", scene.course.lessons[0][0])
    before = scene.look()
    assert tell(scene, "unexcuse_lesson", scene.course.lessons[0][0])["changed"] is False
    assert scene.look() == before


def test_waiving_the_last_open_lesson_finishes_the_course(scene: Scene) -> None:
    *others, last = scene.course.all
    for lesson_id in others:
        scene.act("learner").call("complete_lesson", p_lesson_id=lesson_id)
    answer = tell(scene, "excuse_lesson", last)
    row = scene.row()
    assert (row["progress_percent"], row["completed_at"] is not None) == (100, True)
    assert row["completion_snapshot"]["lessons"] == 3
    (certificate,) = scene.certificates()
    assert answer["certificate"]["id"] == str(certificate["id"])
    (event,) = scene.events("course_completed")
    assert event["data"]["by"] == "staff"
    (notification,) = scene.operator.run(
        "select kind from public.notifications where user_id = %s", scene.users["learner"]
    )
    assert notification["kind"] == "course_completed"
    # Taken back: percent falls; the completion, the certificate and the message stay.
    assert tell(scene, "unexcuse_lesson", last)["enrollment"]["progress_percent"] == 75
    assert scene.row()["completed_at"] == row["completed_at"]
    assert scene.certificates() == [certificate]
    assert tell(scene, "excuse_lesson", last)["enrollment"]["progress_percent"] == 100
    assert len(scene.events("course_completed")) == len(scene.certificates()) == 1
    scene.sound()


def test_taking_a_waiver_back_may_finish_the_course(scene: Scene) -> None:
    for lesson_id in scene.course.all:
        tell(scene, "excuse_lesson", lesson_id)
    # Nothing is left to do, so there is nothing to complete.
    assert (scene.row()["progress_percent"], scene.row()["completed_at"]) == (0, None)
    scene.act("learner").call("complete_lesson", p_lesson_id=scene.course.all[0])
    assert scene.row()["completed_lessons"] == 0
    tell(scene, "unexcuse_lesson", scene.course.all[0])
    assert scene.row()["completed_at"] is not None
    assert len(scene.certificates()) == 1
    scene.sound()


def test_a_waived_quiz_is_left_out_of_the_score(scene: Scene) -> None:
    quiz = make_lesson(
        scene.operator,
        scene.course.modules[1],
        type="quiz",
        completion_rule="pass",
        certificate_min_score=80,
        position=8,
    )
    for lesson_id in scene.course.all:
        scene.act("learner").call("complete_lesson", p_lesson_id=lesson_id)
    learner = scene.act("learner")
    summary = learner.call("get_course_summary", p_course_id=scene.course.id)
    assert [x["code"] for x in summary["certificate"]["blocks"]] == [
        "percent_too_low",
        "lesson_score_too_low",
    ]
    assert tell(scene, "excuse_lesson", quiz)["certificate"] is not None
    summary = learner.call("get_course_summary", p_course_id=scene.course.id)
    assert summary["certificate"]["blocks"] == []
    scene.sound()


@pytest.mark.parametrize("how", ["excuse_lesson", "unexcuse_lesson"])
def test_a_score_that_a_waiver_moves_may_earn_the_certificate(scene: Scene, how: str) -> None:
    """The course asks for a mean score, and is finished; only the score was missing."""
    good, bad = (
        make_lesson(
            scene.operator,
            scene.course.modules[1],
            type="quiz",
            completion_rule="submit",
            position=place,
        )
        for place in (6, 7)
    )
    scene.operator.run(
        "update public.courses set certificate_min_score = 60 where id = %s", scene.course.id
    )
    server = scene.act("server")
    for lesson_id, score in ((good, 90), (bad, 10)):
        server.call(
            "import_attempt",
            p_user_id=scene.users["learner"],
            p_lesson_id=lesson_id,
            p_percent=score,
        )
    if how == "unexcuse_lesson":
        tell(scene, "excuse_lesson", good)
    for lesson_id in scene.course.all:
        scene.act("learner").call("complete_lesson", p_lesson_id=lesson_id)
    assert scene.row()["completed_at"] is not None
    assert scene.certificates() == []
    if how == "unexcuse_lesson":
        scene.operator.run(
            "update public.courses set certificate_min_score = 50 where id = %s", scene.course.id
        )
    tell(scene, how, bad if how == "excuse_lesson" else good)
    (certificate,) = scene.certificates()
    assert certificate["score"] == (90 if how == "excuse_lesson" else 50)


def test_catalogue_edits_settle_waived_learners(scene: Scene) -> None:
    """Each edit of a waived lesson, raw; the waived learner and another one stay countable."""
    scene.enroll("stranger")
    lesson_id = scene.course.lessons[0][0]
    scene.act("stranger").call("complete_lesson", p_lesson_id=lesson_id)
    tell(scene, "excuse_lesson", lesson_id)
    server = scene.act("server")
    for change in (
        "weight = 9",
        "completion_rule = 'pass'",
        "archived_at = now()",
        "weight = 2",
        "archived_at = null",
        "is_required = false",
        "is_required = true",
        f"module_id = '{scene.course.modules[1]}'",
        "is_preview = true",
        f"module_id = '{scene.course.modules[0]}', is_preview = false",
    ):
        server.run(f"update public.lessons set {change} where id = %s", lesson_id)
        scene.sound()
    assert scene.row()["total_lessons"] == 3
    assert scene.row("stranger")["total_lessons"] == 4


def test_a_lesson_with_waivers_is_deleted_by_command_only(scene: Scene) -> None:
    lesson_id = scene.course.lessons[0][0]
    tell(scene, "excuse_lesson", lesson_id)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        scene.act("server").run("delete from public.lessons where id = %s", lesson_id)
    scene.act("author").call("delete_lesson", p_lesson_id=lesson_id)
    assert scene.look()["waivers"] is None
    scene.sound()


def test_waivers_outlive_the_enrolment_and_go_with_the_user(scene: Scene) -> None:
    tell(scene, "excuse_lesson", scene.course.lessons[0][0])
    server = scene.act("server")
    server.run("delete from public.enrollments where id = %s", scene.enrollment)
    scene.enroll("learner")
    assert scene.row()["total_lessons"] == 3
    scene.sound()
    scene.operator.run("delete from auth.users where id = %s", scene.users["learner"])
    assert scene.look()["waivers"] is None


def test_waivers_last_into_the_next_cycle(scene: Scene) -> None:
    tell(scene, "excuse_lesson", scene.course.all[0])
    learner = scene.act("learner")
    for lesson_id in scene.course.all[1:]:
        learner.call("complete_lesson", p_lesson_id=lesson_id)
    scene.act("server").call(
        "start_cycle",
        p_user_id=scene.users["learner"],
        p_course_id=scene.course.id,
        p_reason=REASON,
    )
    assert (scene.row()["completed_lessons"], scene.row()["total_lessons"]) == (0, 3)
    scene.sound()
    learner.call("complete_lesson", p_lesson_id=scene.course.all[1])
    assert scene.row()["progress_percent"] == Decimal("33.33")
    scene.sound()


def test_completing_for_a_learner_follows_no_rule_and_leaves_their_place(scene: Scene) -> None:
    scene.operator.run(
        "update public.lessons set completion_rule = 'pass' where id = %s",
        scene.course.lessons[0][1],
    )
    learner = scene.act("learner")
    learner.call("start_lesson", p_lesson_id=scene.course.lessons[1][0])
    place = scene.row()["last_accessed_at"]
    with pytest.raises(Refused, match="rule_not_met"):
        learner.call("complete_lesson", p_lesson_id=scene.course.lessons[0][1])
    answer = tell(scene, "complete_lesson_for", scene.course.lessons[0][1], "admin")
    assert answer["progress"]["is_completed"] is True
    row = scene.row()
    assert (row["current_lesson_id"], row["last_accessed_at"]) == (
        scene.course.lessons[1][0],
        place,
    )
    assert row["progress_percent"] == 25
    (audit,) = scene.audits()
    assert (audit["action"], audit["actor_id"]) == ("lesson.complete", scene.users["admin"])
    assert (audit["before"]["status"], audit["after"]["status"]) == ("not_started", "completed")
    before = scene.look()
    assert (
        tell(scene, "complete_lesson_for", scene.course.lessons[0][1], "admin")["changed"] is False
    )
    assert scene.look() == before
    scene.sound()


def test_completing_the_last_lesson_for_a_learner_certifies(scene: Scene) -> None:
    for lesson_id in scene.course.all:
        answer = tell(scene, "complete_lesson_for", lesson_id, "server")
    (certificate,) = scene.certificates()
    assert answer["certificate"]["id"] == str(certificate["id"])
    assert len(scene.events("course_completed")) == 1
    tell(scene, "reopen_lesson_for", scene.course.all[0], "server")
    row = scene.row()
    assert (row["progress_percent"], row["completed_at"] is not None) == (75, True)
    assert scene.certificates() == [certificate]
    assert len(scene.events("lesson_uncompleted")) == 1
    before = scene.look()
    assert tell(scene, "reopen_lesson_for", scene.course.all[0], "server")["changed"] is False
    assert scene.look() == before
    scene.sound()


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("is_preview", True, "preview_lesson"),
        ("archived_at", "2026-01-01", "lesson_not_found"),
        (None, None, "enrollment_inactive"),
    ],
)
def test_what_takes_no_progress_is_not_completed_for_anyone(
    scene: Scene, column: str | None, value: Any, code: str
) -> None:
    lesson_id = scene.course.all[0]
    if column is None:
        scene.operator.run(
            "update public.enrollments set status = 'withdrawn' where id = %s", scene.enrollment
        )
    else:
        scene.operator.run(
            f"update public.lessons set {column} = %s where id = %s", value, lesson_id
        )
    before = scene.look()
    with pytest.raises(Refused) as refused:
        tell(scene, "complete_lesson_for", lesson_id, "admin")
    assert refused.value.code == code
    assert scene.look() == before


def test_learners_read_their_own_waivers_and_write_none(scene: Scene) -> None:
    tell(scene, "excuse_lesson", scene.course.all[0])
    learner, stranger = scene.act("learner"), scene.act("stranger")
    assert [x["reason"] for x in learner.run("select * from public.lesson_waivers")] == [REASON]
    assert stranger.run("select * from public.lesson_waivers") == []
    export = learner.call("export_my_data")
    assert len(export["tables"]["lesson_waivers"]) == 1


# All at once --------------------------------------------------------------------------------------


def test_staff_and_learner_complete_at_once_and_it_counts_once(scene: Scene) -> None:
    actors = [scene.act(name) for name in ("learner", "admin", "server")]
    for lesson_id in scene.course.all:

        def complete(actor: Actor, lesson_id: uuid.UUID = lesson_id) -> Any:
            if actor is actors[0]:
                return actor.call("complete_lesson", p_lesson_id=lesson_id)
            return actor.call(
                "complete_lesson_for",
                p_user_id=scene.users["learner"],
                p_lesson_id=lesson_id,
                p_reason=REASON,
            )

        answers = together([lambda a=a: complete(a) for a in actors])
        assert sorted(x["changed"] for x in answers) == [False, False, True]
    assert len(scene.events("lesson_completed")) == len(scene.course.all)
    assert len(scene.events("course_completed")) == len(scene.certificates()) == 1
    scene.sound()


def test_exceptions_and_edits_in_a_storm_leave_no_drift(
    scene: Scene, actors: Callable[..., Actor]
) -> None:
    users = make_users(scene.operator, 3)
    scene.operator.run(
        "insert into public.enrollments (user_id, course_id) select u, %s "
        "from unnest(%s::uuid[]) as u",
        scene.course.id,
        users,
    )
    lessons = list(scene.course.all)

    storm = Storm(seed=7, refusals=("try_again", "lesson_not_found"))

    def study(actor: Actor) -> Callable[[random.Random], None]:
        def learn(chance: random.Random) -> None:
            command = chance.choice(["complete_lesson", "complete_lesson", "uncomplete_lesson"])
            actor.call(command, p_lesson_id=chance.choice(lessons))

        return learn

    def help_out(actor: Actor) -> Callable[[random.Random], None]:
        def staff(chance: random.Random) -> None:
            command = chance.choice(
                ["excuse_lesson", "unexcuse_lesson", "complete_lesson_for", "reopen_lesson_for"]
            )
            actor.call(
                command,
                p_user_id=chance.choice(users),
                p_lesson_id=chance.choice(lessons),
                p_reason=REASON,
            )

        return staff

    author, server = scene.act("author"), scene.act("server")

    def edit(chance: random.Random) -> None:
        lesson_id = chance.choice(lessons)
        if chance.random() < 0.5:
            author.call(chance.choice(["archive_lesson", "restore_lesson"]), p_lesson_id=lesson_id)
        else:
            author.call(
                "move_lesson",
                p_lesson_id=lesson_id,
                p_module_id=chance.choice(scene.course.modules),
                p_position=chance.randint(0, 5),
            )

    def raw(chance: random.Random) -> None:
        server.run(
            "update public.lessons set weight = %s where course_id = %s",
            chance.randint(1, 5),
            scene.course.id,
        )

    for user in users:
        storm.add(study(actors("authenticated", user)))
    for _ in range(3):
        storm.add(help_out(scene.act("server")))
    storm.add(edit)
    storm.add(raw, pause=0.05)
    storm.rage(3, learn=30, staff=30, edit=10, raw=5)
    scene.sound()
