"""Leaving a course and coming back: access goes and comes, everything else stays."""

from __future__ import annotations

import pytest

from tests.certificates.scene import Scene
from tests.database.actors import Actor, Course, Refused, drift


def leave(learner: Actor, course: Course) -> bool:
    changed: bool = learner.call("leave_course", p_course_id=course.id)["changed"]
    return changed


def refused(learner: Actor, function: str, **arguments: object) -> str:
    with pytest.raises(Refused) as refusal:
        learner.call(function, **arguments)
    return refusal.value.code


def test_who_leaves_keeps_everything_and_comes_back_to_it(scene: Scene) -> None:
    course = scene.course(3)
    ann = scene.learner(course)
    scene.complete(ann, course.all[0])
    before = ann.run("select * from public.enrollments")[0]
    progress = ann.run("select * from public.user_progress")
    assert (leave(ann, course), leave(ann, course)) == (True, False)
    lesson = {"p_lesson_id": course.all[1]}
    assert refused(ann, "complete_lesson", **lesson) == "enrollment_inactive"
    # Content is closed to who has left; what they did is not.
    assert ann.run("select id from public.lessons where course_id = %s", course.id) == []
    assert ann.run("select * from public.user_progress") == progress

    back = ann.call("enroll", p_course_id=course.id)
    assert back["changed"] is True
    assert ann.call("enroll", p_course_id=course.id)["changed"] is False
    after = ann.run("select * from public.enrollments")[0]
    assert {k: v for k, v in after.items() if k != "updated_at"} == {
        k: v for k, v in before.items() if k != "updated_at"
    }
    scene.complete(ann, course.all[1])
    assert drift(scene.operator, [course.id]) == []
    kinds = ann.run("select kind from public.progress_events where lesson_id is null order by id")
    assert [x["kind"] for x in kinds] == ["enrolled", "unenrolled", "enrolled"]


def test_only_who_left_by_themselves_comes_back_by_themselves(scene: Scene) -> None:
    course = scene.course(1, enrollment_mode="invite")
    ann = scene.learner()
    scene.operator.run(
        "insert into public.enrollments (user_id, course_id) values (%s, %s)", ann.user, course.id
    )
    leave(ann, course)
    assert ann.call("enroll", p_course_id=course.id)["changed"] is True
    scene.operator.run(
        "update public.enrollments set status = 'withdrawn' where user_id = %s", ann.user
    )
    assert refused(ann, "enroll", p_course_id=course.id) == "enrollment_inactive"
    assert refused(ann, "leave_course", p_course_id=course.id) == "enrollment_inactive"
    assert (
        scene.operator.one("select status from public.enrollments where user_id = %s", ann.user)
        == "withdrawn"
    )


def test_coming_back_does_not_outlive_the_enrolments_end(scene: Scene) -> None:
    course = scene.course(1)
    ann = scene.learner(course)
    leave(ann, course)
    scene.operator.run(
        "update public.enrollments set expires_at = now() - interval '1 day' where user_id = %s",
        ann.user,
    )
    assert refused(ann, "enroll", p_course_id=course.id) == "enrollment_expired"
    assert refused(scene.learner(), "leave_course", p_course_id=course.id) == "not_enrolled"


def test_who_was_finished_while_away_gets_the_certificate_on_return(scene: Scene) -> None:
    course = scene.course(2)
    ann = scene.learner(course)
    scene.complete(ann, course.all[0])
    leave(ann, course)
    scene.server().call("archive_lesson", p_lesson_id=course.all[1])
    assert scene.certificates(ann) == []
    ann.call("enroll", p_course_id=course.id)
    assert len(scene.certificates(ann)) == 1
