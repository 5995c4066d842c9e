"""Programs: percent by weight, one completion and certificate, whoever finishes what and when."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.certificates.scene import Scene
from tests.database.actors import Actor, Course, Refused, drift
from tests.database.storm import together


def slug(scene: Scene, course: Course) -> str:
    found: str = scene.operator.one("select slug from public.courses where id = %s", course.id)
    return found


def program(scene: Scene, *courses: Course | dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A published program of these courses."""
    listed = [
        {**c, "course": slug(scene, c["course"])}
        if isinstance(c, dict)
        else {"course": slug(scene, c)}
        for c in courses
    ]
    document = {
        "slug": f"p-{uuid.uuid4()}",
        "title": "Program",
        "status": "published",
        "courses": listed,
        **fields,
    }
    return document | put(scene, document)


def put(scene: Scene, document: dict[str, Any]) -> Any:
    known = {k: v for k, v in document.items() if k not in ("program_id", "changed")}
    return scene.server().call("put_program", p_document=Jsonb(known))


def edit(scene: Scene, made: dict[str, Any], *courses: Course) -> Any:
    """The same program, of these courses now."""
    return put(scene, {**made, "courses": [{"course": slug(scene, c)} for c in courses]})


def enroll(learner: Actor, made: dict[str, Any]) -> Any:
    return learner.call("enroll_program", p_program_id=made["program_id"])


def mine(learner: Actor) -> Any:
    (found,) = learner.call("get_my_programs")["programs"]
    return found


def program_certificates(scene: Scene, learner: Actor) -> list[dict[str, Any]]:
    return scene.operator.run(
        "select * from public.certificates where user_id = %s and program_id is not null",
        learner.user,
    )


def test_the_last_course_completes_the_program_in_its_own_transaction(scene: Scene) -> None:
    one, two, extra = scene.course(1), scene.course(2), scene.course(1)
    made = program(
        scene,
        {"course": one, "weight": 1},
        {"course": two, "weight": 2},
        {"course": extra, "is_required": False},
        certificate_hours=40,
        author="The School",
    )
    ann = scene.learner(one, two)
    assert enroll(ann, made)["changed"] is True
    assert enroll(ann, made)["changed"] is False
    scene.complete(ann, *one.all)
    state = mine(ann)
    assert (state["percent"], state["completed_courses"], state["total_courses"]) == (33.33, 1, 2)
    assert [c["is_enrolled"] for c in state["courses"]] == [True, True, False]
    with ann.connection.transaction():
        scene.complete(ann, *two.all)
        (certificate,) = program_certificates(scene, ann) or [None]
        assert certificate is None  # nobody else sees it before it is committed
        assert mine(ann)["completed_at"] is not None
    (certificate,) = program_certificates(scene, ann)
    assert (certificate["course_title"], certificate["author"], float(certificate["hours"])) == (
        "Program",
        "The School",
        40,
    )
    assert (certificate["course_id"], certificate["learner_name"]) == (None, "Ann Example")
    assert [j["kind"] for j in scene.jobs(str(certificate["id"]))][:1] == ["certificate.render"]
    verdict = scene.operator.one("select public.verify_certificate(%s)", certificate["code"])
    assert (verdict["status"], verdict["program_id"], verdict["course_id"]) == (
        "valid",
        made["program_id"],
        None,
    )
    assert mine(ann)["certificate_id"] == str(certificate["id"])
    facts = scene.operator.one("select private.render_facts(%s)", certificate["id"])
    assert facts["course_title"] == "Program"
    told = [m for m in scene.messages(ann) if m["kind"] == "program_completed"]
    assert [m["is_mailed"] for m in told] == [False]


def test_two_last_courses_at_once_complete_the_program_once(scene: Scene) -> None:
    for _ in range(6):
        courses = [scene.course(1) for _ in range(3)]
        made = program(scene, *courses)
        ann = scene.learner(*courses)
        enroll(ann, made)
        tabs = [scene.actors("authenticated", ann.user) for _ in courses]
        together(
            [
                lambda tab=tab, course=course: scene.complete(tab, *course.all)
                for tab, course in zip(tabs, courses, strict=True)
            ]
        )
        assert mine(ann)["completed_at"] is not None
        assert len(program_certificates(scene, ann)) == 1
        for tab in tabs:
            tab.close()


def test_an_enrolment_and_the_last_completion_at_once_complete_it(scene: Scene) -> None:
    for _ in range(6):
        course = scene.course(1)
        made = program(scene, course)
        ann = scene.learner(course)
        tabs = [scene.actors("authenticated", ann.user) for _ in range(2)]
        together([partial(enroll, tabs[0], made), partial(scene.complete, tabs[1], *course.all)])
        assert mine(ann)["completed_at"] is not None
        for tab in tabs:
            tab.close()


def test_who_had_done_it_all_before_has_it_at_once(scene: Scene) -> None:
    course = scene.course(1, max_cycles=2)
    made = program(scene, course)
    ann = scene.learner(course)
    scene.complete(ann, *course.all)
    # A cycle that is over counts as well.
    ann.call("retake_course", p_course_id=course.id)
    assert enroll(ann, made)["program"]["completed_at"] is not None
    assert len(program_certificates(scene, ann)) == 1


def test_a_retake_takes_nothing_from_a_program(scene: Scene) -> None:
    one, two = scene.course(1, max_cycles=2), scene.course(1)
    made = program(scene, one, two)
    ann = scene.learner(one, two)
    enroll(ann, made)
    scene.complete(ann, *one.all)
    ann.call("retake_course", p_course_id=one.id)
    assert mine(ann)["percent"] == 50
    scene.complete(ann, *two.all)
    assert (mine(ann)["percent"], len(program_certificates(scene, ann))) == (100, 1)


def test_an_edit_settles_the_learners_and_takes_nothing_back(scene: Scene) -> None:
    one, two, three = (scene.course(1) for _ in range(3))
    made = program(scene, one, two)
    ann, bob = scene.learner(one, two), scene.learner(one)
    for who in (ann, bob):
        enroll(who, made)
        scene.complete(who, *one.all)
    assert edit(scene, made, one, two)["changed"] is False
    assert edit(scene, made, one)["changed"] is True
    for who in (ann, bob):
        assert (mine(who)["percent"], len(program_certificates(scene, who))) == (100, 1)
    done = mine(ann)["completed_at"]
    edit(scene, made, one, three)
    assert (mine(ann)["percent"], mine(ann)["completed_at"]) == (50, done)
    assert len(program_certificates(scene, ann)) == 1


def test_a_course_that_is_deleted_leaves_its_programs(scene: Scene) -> None:
    one, two = scene.course(1), scene.course(1)
    made = program(scene, one, two)
    ann = scene.learner(one, two)
    enroll(ann, made)
    scene.complete(ann, *one.all)
    scene.server().call("delete_course", p_course_id=two.id, p_force=True)
    assert (mine(ann)["percent"], len(program_certificates(scene, ann))) == (100, 1)


def test_a_catalogue_edit_that_finishes_a_course_finishes_the_program(scene: Scene) -> None:
    course = scene.course(2)
    made = program(scene, course)
    learners = [scene.learner(course) for _ in range(3)]
    for who in learners:
        enroll(who, made)
        scene.complete(who, course.all[0])
    scene.server().call("archive_lesson", p_lesson_id=course.all[1])
    assert all(len(program_certificates(scene, who)) == 1 for who in learners)
    assert drift(scene.operator, [course.id]) == []


def test_a_batch_finishes_programs_too(scene: Scene) -> None:
    one, two = scene.course(1), scene.course(1)
    made = program(scene, one, two)
    ann = scene.learner(one, two)
    enroll(ann, made)
    now = datetime.now(UTC) + timedelta(seconds=1)
    events = [
        {
            "id": str(uuid.uuid4()),
            "kind": "complete",
            "at": now.isoformat(),
            "lesson_id": str(course.all[0]),
        }
        for course in (one, two)
    ]
    ann.call("apply_events", p_events=Jsonb(events))
    assert len(program_certificates(scene, ann)) == 1


def test_batches_and_completions_at_once_never_deadlock(scene: Scene) -> None:
    for _ in range(5):
        courses = [scene.course(2) for _ in range(4)]
        made = program(scene, *courses)
        ann = scene.learner(*courses)
        enroll(ann, made)
        tabs = [scene.actors("authenticated", ann.user) for _ in range(3)]
        then = datetime.now(UTC) - timedelta(days=1)
        scene.operator.run(
            "update public.enrollments set enrolled_at = now() - interval '3 days'"
            " where user_id = %s",
            ann.user,
        )
        events = [
            {
                "id": str(uuid.uuid4()),
                "kind": "complete",
                "at": (then + timedelta(hours=30 * (n % 2) - 20)).isoformat(),
                "lesson_id": str(lesson),
            }
            for n, lesson in enumerate([*courses[0].all, *courses[1].all])
        ]
        answers = together(
            [
                partial(tabs[0].call, "apply_events", p_events=Jsonb(events)),
                partial(tabs[1].call, "complete_module", p_module_id=courses[2].modules[0]),
                partial(scene.complete, tabs[2], *courses[3].all),
            ]
        )
        assert not [a for a in answers if isinstance(a, Exception)], answers
        assert len(program_certificates(scene, ann)) == 1
        for tab in tabs:
            tab.close()


def test_programs_open_and_close_by_their_own_rules(scene: Scene) -> None:
    course = scene.course(1)
    ann = scene.learner()
    for fields, code in (
        ({"status": "draft"}, "program_not_found"),
        ({"status": "archived"}, "enrollment_closed"),
        ({"enrollment_mode": "invite"}, "enrollment_closed"),
    ):
        made = program(scene, course, **fields)
        with pytest.raises(Refused) as refused:
            enroll(ann, made)
        assert refused.value.code == code
    server = scene.server()
    # A server that sold it enrols.
    server.run(
        "insert into public.program_enrollments (user_id, program_id) values (%s, %s)",
        ann.user,
        made["program_id"],
    )
    assert mine(ann)["percent"] == 0
    # The program bundles: the course keeps its own door.
    assert ann.run("select * from public.enrollments") == []
    for statement in (
        "update public.program_enrollments set completed_at = now()",
        "insert into public.program_enrollments (user_id, program_id) values (auth.uid(), 1)",
        "delete from public.program_courses",
    ):
        with pytest.raises(Exception, match="permission denied"):
            ann.run(statement)
    assert scene.learner().run("select * from public.program_enrollments") == []
    shown = [p["id"] for p in ann.call("get_programs", p_limit=100)["programs"]]
    assert made["program_id"] in shown


def test_admins_write_programs_and_nobody_else(scene: Scene) -> None:
    ann, server, course = scene.learner(), scene.server(), scene.course(1)
    good = {"slug": f"p-{uuid.uuid4()}", "title": "T", "courses": [{"course": slug(scene, course)}]}
    with pytest.raises(Refused, match="not_allowed"):
        ann.call("put_program", p_document=Jsonb(good))
    for change, code in (
        ({"price": 3}, "unknown_field"),
        ({"courses": [{"course": "no-such-course"}]}, "invalid_value"),
        ({"courses": [{"course": slug(scene, course), "weight": 0}]}, "invalid_value"),
        ({"courses": [{"course": slug(scene, course)}] * 2}, "invalid_value"),
        ({"courses": "x"}, "invalid_value"),
        ({"slug": "Bad Slug"}, "invalid_value"),
        ({"title": None}, "invalid_value"),
    ):
        with pytest.raises(Refused) as refused:
            server.call("put_program", p_document=Jsonb({**good, **change}))
        assert refused.value.code == code, change
    assert server.call("put_program", p_document=Jsonb(good))["changed"] is True
    assert server.call("put_program", p_document=Jsonb(good))["changed"] is False


def test_a_deleted_program_leaves_its_certificates(scene: Scene) -> None:
    course = scene.course(1)
    made = program(scene, course)
    ann = scene.learner(course)
    enroll(ann, made)
    server = scene.server()
    with pytest.raises(Refused, match="progress_exists"):
        server.call("delete_program", p_program_id=made["program_id"])
    scene.complete(ann, *course.all)
    (certificate,) = program_certificates(scene, ann)
    server.call("delete_program", p_program_id=made["program_id"], p_force=True)
    assert ann.call("get_my_programs") == {"programs": []}
    verdict = scene.operator.one("select public.verify_certificate(%s)", certificate["code"])
    assert verdict["status"] == "valid"
    with pytest.raises(Refused, match="program_not_found"):
        server.call("delete_program", p_program_id=made["program_id"])


def test_merged_halves_complete_a_program(scene: Scene) -> None:
    one, two = scene.course(1), scene.course(1)
    made = program(scene, one, two)
    ann, old = scene.learner(one, two), scene.learner(one, two)
    enroll(old, made)
    scene.complete(ann, *one.all)
    scene.complete(old, *two.all)
    scene.server().call("merge_users", p_from=old.user, p_into=ann.user, p_reason="One person")
    assert mine(ann)["completed_at"] is not None
    assert len(program_certificates(scene, ann)) == 1
