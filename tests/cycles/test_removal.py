"""What removal takes along, and what stays: docs/explanation/removal.md, row by row."""

from __future__ import annotations

from typing import Any

import pytest

from tests.certificates.scene import Scene
from tests.cycles.test_merging import traces
from tests.database.actors import Actor, Course, Refused, drift


def again(scene: Scene, **fields: Any) -> tuple[Actor, Course]:
    """Somebody in their second cycle, half through."""
    course = scene.course(2, **{"max_cycles": 2, **fields})
    ann = scene.learner(course)
    scene.complete(ann, *course.all)
    ann.call("retake_course", p_course_id=course.id)
    scene.complete(ann, course.all[0])
    return ann, course


def count(scene: Scene, table: str, where: str, *values: Any) -> int:
    found: int = scene.operator.one(f"select count(*) from {table} where {where}", *values)
    return found


def test_a_user_takes_their_cycles_along(scene: Scene) -> None:
    ann, course = again(scene)
    certificate = scene.certificate(ann)
    scene.operator.run("delete from auth.users where id = %s", ann.user)
    assert set(traces(scene, ann.user)) <= {"private.rate_buckets", "private.jobs"}
    stub = scene.by_id(certificate["id"])
    assert (stub["user_id"], stub["code"]) == (None, certificate["code"])
    assert drift(scene.operator, [course.id]) == []


def test_a_course_with_learners_goes_by_force_alone_and_their_past_stays(scene: Scene) -> None:
    ann, course = again(scene)
    server = scene.server()
    with pytest.raises(Refused, match="progress_exists"):
        server.call("delete_course", p_course_id=course.id)
    with pytest.raises(Refused, match="not_allowed"):
        ann.call("delete_course", p_course_id=course.id, p_force=True)
    assert count(scene, "public.enrollments", "course_id = %s", course.id) == 1
    server.call("delete_course", p_course_id=course.id, p_force=True)
    for table in ("courses", "enrollments", "user_progress", "module_progress", "lessons"):
        column = "id" if table == "courses" else "course_id"
        assert count(scene, f"public.{table}", f"{column} = %s", course.id) == 0
    # Under the learner's own eyes.
    (past,) = ann.run("select course_title, completed_at from public.past_cycles")
    assert past["course_title"] == "Course"
    assert len(ann.run("select * from public.past_progress")) == 2
    assert len(ann.run("select * from public.certificates where course_id = %s", course.id)) == 1
    assert ann.one("select count(*) from public.progress_events") > 0
    assert len(scene.audit("course.delete", course)) == 1


def test_a_lesson_with_progress_goes_by_force_alone_and_its_past_stays(scene: Scene) -> None:
    ann, course = again(scene)
    server = scene.server()
    with pytest.raises(Refused, match="progress_exists"):
        server.call("delete_lesson", p_lesson_id=course.all[0])
    server.call("delete_lesson", p_lesson_id=course.all[0], p_force=True)
    assert drift(scene.operator, [course.id]) == []
    assert count(scene, "public.user_progress", "lesson_id = %s", course.all[0]) == 0
    assert count(scene, "public.past_progress", "lesson_id = %s", course.all[0]) == 1
    (enrollment,) = ann.run("select completed_lessons, total_lessons from public.enrollments")
    assert (enrollment["completed_lessons"], enrollment["total_lessons"]) == (0, 1)


def test_an_enrolment_goes_and_what_was_done_stays(scene: Scene) -> None:
    ann, course = again(scene)
    scene.server().run("delete from public.enrollments where user_id = %s", ann.user)
    assert count(scene, "public.user_progress", "user_id = %s", ann.user) == 1
    assert count(scene, "public.past_progress", "user_id = %s", ann.user) == 2
    ann.call("enroll", p_course_id=course.id)
    (row,) = ann.run("select cycle, completed_lessons from public.enrollments")
    assert (row["cycle"], row["completed_lessons"]) == (2, 1)
    assert drift(scene.operator, [course.id]) == []
