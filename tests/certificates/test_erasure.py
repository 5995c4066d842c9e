"""An erased learner leaves stubs without a person, and jobs that remove the files."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.certificates.scene import Scene
from tests.database.actors import Actor

PERSONAL = ("user_id", "learner_name", "enrollment_id", "pdf_path")


def erase(scene: Scene, learner: Actor) -> None:
    scene.operator.run("delete from auth.users where id = %s", learner.user)


@pytest.fixture
def finished(scene: Scene) -> tuple[Actor, dict[str, Any]]:
    """A learner and the certificate that they hold, with its file."""
    course = scene.course(1)
    ann = scene.learner(course)
    scene.complete(ann, *course.all)
    scene.rendered(scene.certificate(ann)["id"])
    return ann, scene.certificate(ann)


def test_an_erased_learner_leaves_a_stub(
    scene: Scene, finished: tuple[Actor, dict[str, Any]]
) -> None:
    ann, before = finished
    erase(scene, ann)
    stub = scene.by_id(before["id"])
    assert [stub[column] for column in PERSONAL] == [None] * 4
    kept = set(stub) - {*PERSONAL, "updated_at"}
    assert {name: stub[name] for name in kept} == {name: before[name] for name in kept}
    assert str(ann.user) not in str(stub)
    assert scene.operator.one("select private.render_facts(%s)", stub["id"]) is None
    status = "select private.certificate_status(c) from public.certificates c where c.id = %s"
    assert scene.operator.one(status, stub["id"]) == "valid"
    (job,) = scene.jobs(before["pdf_path"])
    assert (job["kind"], job["payload"]) == ("storage.remove", {"path": before["pdf_path"]})


def test_erasing_is_one_transaction(scene: Scene, finished: tuple[Actor, dict[str, Any]]) -> None:
    ann, before = finished
    connection = scene.operator.connection
    connection.execute("begin")
    erase(scene, ann)
    assert scene.by_id(before["id"])["user_id"] is None
    connection.execute("rollback")
    assert scene.by_id(before["id"]) == before
    assert scene.jobs(before["pdf_path"]) == []


def test_all_of_a_learners_files_go(scene: Scene) -> None:
    """Superseded and revoked ones too; what was never rendered has no file."""
    courses = [scene.course(1) for _ in range(3)]
    ann = scene.learner(*courses)
    for course in courses[:2]:
        scene.complete(ann, *course.all)
        scene.rendered(scene.certificates(ann)[-1]["id"])
    first, second = scene.certificates(ann)
    admin = scene.server()
    for name, row in (("reissue_certificate", first), ("revoke_certificate", second)):
        admin.call(name, p_certificate_id=row["id"], p_reason="Test")
    scene.rendered(scene.certificates(ann, courses[0])[-1]["id"])
    scene.complete(ann, *courses[2].all)
    rows = scene.certificates(ann)
    paths = {row["pdf_path"] for row in rows if row["pdf_path"]}
    assert len(rows) == 4
    assert len(paths) == 3
    bob = scene.learner(courses[0])
    scene.complete(bob, *courses[0].all)
    erase(scene, ann)
    assert {scene.by_id(row["id"])["user_id"] for row in rows} == {None}
    removals = [job for job in scene.jobs(str(ann.user)) if job["kind"] == "storage.remove"]
    assert {job["payload"]["path"] for job in removals} == paths
    assert len(scene.certificates(bob)) == 1


def test_many_learners_go_in_one_statement(scene: Scene) -> None:
    course = scene.course(1)
    class_ = [scene.learner(course) for _ in range(3)]
    for learner in class_:
        scene.complete(learner, *course.all)
        scene.rendered(scene.certificate(learner)["id"])
    rows = [scene.certificate(learner) for learner in class_]
    scene.operator.run(
        "delete from auth.users where id = any (%s)", [learner.user for learner in class_]
    )
    assert all(scene.by_id(row["id"])["user_id"] is None for row in rows)
    assert all(len(scene.jobs(row["pdf_path"])) == 1 for row in rows)


def test_a_file_stored_after_the_erasure_is_removed_all_the_same(scene: Scene) -> None:
    """The worker had read the facts before; it reports, or dies, after."""
    course = scene.course(1)
    ann = scene.learner(course)
    scene.complete(ann, *course.all)
    row = scene.certificate(ann)
    facts = scene.operator.one("select private.render_facts(%s)", row["id"])
    scene.operator.run(
        "update private.jobs set lease = gen_random_uuid(), attempts = 1,"
        " run_at = now() + interval '1 minute' where dedupe_key = %s",
        f"certificate.render:{row['id']}",
    )
    erase(scene, ann)
    (late,) = [job for job in scene.jobs(facts["path"]) if job["kind"] == "storage.remove"]
    assert late["run_at"] > scene.operator.one("select now() + interval '10 minutes'")
    # It reports: the file goes at once, and nothing of it is written down.
    assert scene.rendered(row["id"])["outcome"] == "erased"
    (now,) = [job for job in scene.jobs(facts["path"]) if job["kind"] == "storage.remove"]
    assert now["id"] == late["id"]
    assert now["run_at"] <= scene.operator.one("select now()")
    stub = scene.by_id(row["id"])
    assert [stub[column] for column in (*PERSONAL, "rendered_at")] == [None] * 5


def test_a_stub_takes_no_correction_but_can_be_revoked(
    scene: Scene, finished: tuple[Actor, dict[str, Any]]
) -> None:
    ann, row = finished
    erase(scene, ann)
    admin = scene.server()
    for name in ("reissue_certificate", "retry_certificate"):
        with pytest.raises(Exception, match="certificate_erased"):
            admin.call(name, p_certificate_id=row["id"], p_reason="Test")
    answer = admin.call("revoke_certificate", p_certificate_id=row["id"], p_reason="Test")
    assert answer["certificate"]["status"] == "revoked"
    assert answer["certificate"]["learner_name"] is None


def test_an_operator_may_drop_stubs(scene: Scene, finished: tuple[Actor, dict[str, Any]]) -> None:
    ann, row = finished
    admin = scene.server()
    new = admin.call("reissue_certificate", p_certificate_id=row["id"], p_reason="Test")
    erase(scene, ann)
    scene.operator.run(
        "delete from public.certificates where user_id is null and course_id = %s",
        row["course_id"],
    )
    gone = [row["id"], uuid.UUID(new["certificate"]["id"])]
    assert scene.operator.run("select from public.certificates where id = any (%s)", gone) == []
    # The jobs that are left find nothing to do.
    assert scene.operator.one("select private.render_facts(%s)", gone[1]) is None
    assert scene.rendered(gone[1])["outcome"] == "erased"
