"""Scores and names on the enrolment follow what they are kept from, whoever changes it."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.staff.scene import Scene


def shown(scene: Scene) -> tuple[float | None, str | None]:
    """Score and name of the learner, as staff see them."""
    page = scene.act("assistant").call("get_course_learners", p_course_id=scene.course.id)
    (row,) = page["learners"]
    return row["score"], row["name"]


def test_a_score_follows_attempts_waivers_edits_and_cycles(scene: Scene) -> None:
    admin, author = scene.act("admin"), scene.act("author")
    learner = scene.users["learner"]
    one, two = scene.course.lessons[0]

    def grade(lesson: object, percent: float) -> None:
        admin.call("import_attempt", p_user_id=learner, p_lesson_id=lesson, p_percent=percent)

    def is_now(expected: float | None) -> None:
        assert shown(scene)[0] == expected
        scene.sound()

    is_now(None)
    grade(one, 50)
    is_now(50)
    grade(one, 40)
    is_now(50)
    grade(one, 70.25)
    grade(two, 0)
    is_now(35.13)
    author.call("excuse_lesson", p_user_id=learner, p_lesson_id=two, p_reason="ill")
    is_now(70.25)
    grade(two, 100)
    is_now(70.25)
    author.call("unexcuse_lesson", p_user_id=learner, p_lesson_id=two, p_reason="well")
    is_now(85.13)
    author.call("archive_lesson", p_lesson_id=one)
    is_now(100)
    grade(two, 100)
    author.call("restore_lesson", p_lesson_id=one)
    is_now(85.13)
    # Left to the job: counted again by the learner's next write, or by the job.
    limit = scene.operator.one("select value from private.settings where name = 'settle_limit'")
    scene.operator.run("update private.settings set value = '0' where name = 'settle_limit'")
    try:
        author.call("archive_lesson", p_lesson_id=one)
        grade(two, 100)
        is_now(100)
        author.call("restore_lesson", p_lesson_id=one)
        scene.act("server").call("settle_course", p_course_id=scene.course.id)
    finally:
        scene.operator.run(
            "update private.settings set value = %s where name = 'settle_limit'", limit
        )
    is_now(85.13)
    # Enrolled anew: what is there is counted.
    scene.operator.run("delete from public.enrollments where id = %s", scene.enrollment)
    scene.enroll("learner")
    is_now(85.13)
    scene.operator.run("update public.courses set max_cycles = 2 where id = %s", scene.course.id)
    admin.call("start_cycle", p_user_id=learner, p_course_id=scene.course.id, p_reason="once more")
    is_now(None)


def test_a_score_follows_its_lesson_s_replacement_where_nothing_else_changes(scene: Scene) -> None:
    admin, author = scene.act("admin"), scene.act("author")
    one, two = scene.course.lessons[0]
    author.call("update_lesson", p_lesson_id=two, p_fields=Jsonb({"is_required": False}))
    for lesson, percent in ((one, 100), (two, 40)):
        admin.call(
            "import_attempt",
            p_user_id=scene.users["learner"],
            p_lesson_id=lesson,
            p_percent=percent,
        )
    assert shown(scene)[0] == 100
    author.call("replace_lesson", p_lesson_id=one, p_new_lesson_id=two, p_reason="Better")
    assert shown(scene)[0] == 40
    scene.sound()


def test_a_name_goes_along(scene: Scene) -> None:
    learner = scene.users["learner"]

    def kept() -> str:
        name: str = scene.row()["sort_name"]
        return name

    assert (kept(), shown(scene)[1]) == ("", None)
    scene.operator.run(
        "update public.profiles set display_name = '  ÉMILE  Ångström ' where id = %s", learner
    )
    assert kept() == "emile angstrom"
    assert shown(scene)[1] == "  ÉMILE  Ångström "
    scene.enroll("stranger")
    assert scene.row("stranger")["sort_name"] == ""
    scene.operator.run("update public.profiles set display_name = null where id = %s", learner)
    assert kept() == ""
    scene.operator.run("delete from public.profiles where id = %s", learner)
    scene.operator.run("insert into public.profiles (id, display_name) values (%s, 'Zoë')", learner)
    assert kept() == "zoe"


def test_who_is_renamed_while_enrolling(scene: Scene) -> None:
    """An enrolment waits for a new name that is not committed yet, and then holds it."""
    renaming, enrolling = scene.actors(), scene.actors()
    newcomer = scene.users["newcomer"]
    with renaming.connection.transaction():
        renaming.run("update public.profiles set display_name = 'New' where id = %s", newcomer)
        enrolling.run("set lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            enrolling.run(
                "insert into public.enrollments (user_id, course_id) values (%s, %s)",
                newcomer,
                scene.course.id,
            )
    scene.enroll("newcomer")
    assert scene.row("newcomer")["sort_name"] == "new"


def test_accounts_that_are_merged(scene: Scene) -> None:
    for name, percent in (("learner", 40), ("stranger", 90)):
        scene.operator.run(
            "update public.profiles set display_name = %s where id = %s", name, scene.users[name]
        )
        if name == "stranger":
            scene.enroll(name)
        scene.act("admin").call(
            "import_attempt", p_user_id=scene.users[name],
            p_lesson_id=scene.course.lessons[0][0], p_percent=percent,
        )  # fmt: skip
    scene.act("admin").call(
        "merge_users", p_from=scene.users["stranger"], p_into=scene.users["learner"],
        p_reason="one person",
    )  # fmt: skip
    assert shown(scene) == (90, "learner")
    assert scene.row()["sort_name"] == "learner"
    scene.sound()
