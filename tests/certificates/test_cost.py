"""What issuing costs does not grow with the course, nor with how many hold certificates already."""

from __future__ import annotations

from typing import Any

from tests.certificates.scene import Scene
from tests.database.actors import Course, make_users


def pages(scene: Scene, course: Course, statement: str) -> int:
    """Pages touched by the completion of somebody who has but the last lesson to do."""
    ann = scene.learner(course)
    scene.operator.run(
        "insert into public.user_progress (user_id, lesson_id, course_id, status, progress,"
        " started_at, last_accessed, completed_at, completed_on)"
        " select %s, l.id, l.course_id, 'completed', 1, now(), now(), now(), current_date"
        " from public.lessons l where l.course_id = %s and l.id <> %s",
        ann.user,
        course.id,
        course.all[-1],
    )
    scene.operator.run("select private.recalculate(null, %s, null, false, null, 5000)", course.id)
    plan: Any = None
    for _ in range(2):  # the first one compiles the functions
        ann.run("begin")
        plan = ann.one(f"explain (analyze, buffers, format json) {statement}")
        ann.run("rollback")
    top = plan[0]["Plan"]
    return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])


def test_issuing_reads_what_it_needs(scene: Scene) -> None:
    # Many who hold one, in a course that many take.
    crowded = scene.course(certificate_min_score=0)
    users = make_users(scene.operator, 3000)
    scene.operator.run(
        "insert into public.enrollments (user_id, course_id)"
        " select u, %s from unnest(%s::uuid[]) u",
        crowded.id,
        users,
    )
    scene.operator.run(
        "insert into private.certificate_exceptions (user_id, course_id, kind, reason)"
        " select u, %s, 'allow', 'Test' from unnest(%s::uuid[]) u",
        crowded.id,
        users,
    )
    scene.server().call(
        "issue_certificates",
        p_course_id=crowded.id,
        p_dry_run=False,
        p_limit=5000,
        p_reason="Test",
    )
    assert scene.operator.one("select count(*) from public.certificates") >= 3000
    scene.operator.run("analyze")

    small, large = scene.course(3), scene.course(*[200] * 5)
    costs = {}
    for name, course in (("small", small), ("large", large)):
        call = f"select public.complete_lesson('{course.all[-1]}')"
        costs[name] = pages(scene, course, call)
    assert costs["large"] < costs["small"] * 1.5 + 50, costs
    assert costs["small"] < 1500, costs
