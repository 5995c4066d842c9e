"""Admins take back, give back, correct, render again, issue to many: once, and audited."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.certificates.scene import Scene
from tests.database.actors import Actor, Course, Refused
from tests.database.storm import together

COMMANDS = [
    "revoke_certificate",
    "reinstate_certificate",
    "reissue_certificate",
    "retry_certificate",
]


@pytest.fixture
def held(scene: Scene) -> tuple[Course, Actor, dict[str, Any]]:
    """A course, a learner, and the certificate that they hold and can look at."""
    course = scene.course(1, title="Knots", author="B. Owline")
    ann = scene.learner(course)
    scene.complete(ann, *course.all)
    row = scene.certificate(ann)
    scene.rendered(row["id"])
    return course, ann, scene.certificate(ann)


def command(who: Actor, name: str, certificate_id: Any, reason: str | None = "Because") -> Any:
    return who.call(name, p_certificate_id=certificate_id, p_reason=reason)


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_are_for_admins_with_a_reason(
    scene: Scene, held: tuple[Course, Actor, dict[str, Any]], name: str
) -> None:
    course, ann, row = held
    before = scene.by_id(row["id"]), scene.jobs(str(row["id"]))
    instructor = scene.learner()
    scene.operator.run(
        "insert into public.course_staff (course_id, user_id, role) values (%s, %s, 'author')",
        course.id,
        instructor.user,
    )
    for who in (ann, instructor):
        with pytest.raises(Refused) as refused:
            command(who, name, row["id"])
        assert (refused.value.code, refused.value.status) == ("not_allowed", 403)
    for reason in (None, "", "  ", "x" * 2001):
        with pytest.raises(Refused) as refused:
            command(scene.server(), name, row["id"], reason)
        assert (refused.value.code, refused.value.status) == ("invalid_value", 422)
    with pytest.raises(Refused) as refused:
        command(scene.server(), name, uuid.uuid4())
    assert (refused.value.code, refused.value.status) == ("certificate_not_found", 404)
    assert (scene.by_id(row["id"]), scene.jobs(str(row["id"]))) == before


def test_revoking_and_reinstating(scene: Scene, held: tuple[Course, Actor, dict[str, Any]]) -> None:
    course, ann, row = held
    admin = scene.server()
    answer = command(admin, "revoke_certificate", row["id"], "Found out")
    assert (answer["changed"], answer["certificate"]["status"]) == (True, "revoked")
    again = command(admin, "revoke_certificate", row["id"], "Another reason")
    assert (again["changed"], again["certificate"]["revoked_reason"]) == (False, "Found out")
    told = ann.call("get_certificate_eligibility", p_course_id=course.id)
    assert told["blocks"] == [{"code": "certificate_revoked"}]
    assert told["certificate"]["status"] == "revoked"
    # Nothing that happens from here on issues another by itself.
    scene.complete(ann, *course.all)
    scene.server().call("recalculate", p_course_id=course.id)
    report = admin.call(
        "issue_certificates", p_course_id=course.id, p_dry_run=False, p_reason="All"
    )
    assert (report["issued"], report["held"]) == (0, 1)
    assert len(scene.certificates(ann)) == 1

    back = command(admin, "reinstate_certificate", row["id"], "A mistake")
    assert (back["changed"], back["certificate"]["status"]) == (True, "valid")
    assert not command(admin, "reinstate_certificate", row["id"])["changed"]
    assert scene.certificate(ann)["code"] == row["code"]
    assert scene.certificate(ann)["revoked_reason"] is None
    command(admin, "revoke_certificate", row["id"], "After all")

    kinds = [
        "course_completed",
        "certificate_ready",
        "certificate_revoked",
        "certificate_reinstated",
        "certificate_revoked",
    ]
    assert [message["kind"] for message in scene.messages(ann)] == kinds
    mailed = [message["is_mailed"] for message in scene.messages(ann)]
    assert mailed == [False, True, True, True, True]
    (first, second) = scene.audit("certificate.revoke", course)
    assert [first["reason"], second["reason"]] == ["Found out", "After all"]
    (entry,) = scene.audit("certificate.reinstate", course)
    assert (entry["reason"], entry["before"]["reason"]) == ("A mistake", "Found out")
    assert "Ann Example" not in str([first, second, entry])


def test_reissuing_makes_a_new_snapshot_and_supersedes_the_old(
    scene: Scene, held: tuple[Course, Actor, dict[str, Any]]
) -> None:
    course, ann, row = held
    scene.name(ann.user, "Ann Married")
    scene.set(course, title="Ropes and Knots", certificate_hours=4)
    admin = scene.server()
    answer = command(admin, "reissue_certificate", row["id"], "Married")
    new = answer["certificate"]
    assert (answer["changed"], new["status"], new["learner_name"]) == (True, "valid", "Ann Married")
    assert (new["course_title"], new["hours"]) == ("Ropes and Knots", 4)
    assert new["code"] != row["code"]
    old = scene.by_id(row["id"])
    assert (str(old["superseded_by"]), old["learner_name"]) == (new["id"], "Ann Example")
    assert new["completed_on"] == row["completed_on"].isoformat()
    status = scene.operator.one(
        "select private.certificate_status(c) from public.certificates c where c.id = %s", row["id"]
    )
    assert status == "superseded"
    # Again: what came of it; and the new one is what the learner holds.
    again = command(admin, "reissue_certificate", row["id"])
    assert (again["changed"], again["certificate"]["id"]) == (False, new["id"])
    assert scene.complete(ann, *course.all)["certificate"]["id"] == new["id"]
    assert [job["kind"] for job in scene.jobs(new["id"])] == ["certificate.render"]
    assert scene.operator.one("select private.render_facts(%s)", row["id"]) is None
    scene.rendered(uuid.UUID(new["id"]))
    assert [message["kind"] for message in scene.messages(ann)] == [
        "course_completed",
        "certificate_ready",
        "certificate_reissued",
    ]
    for name in ("revoke_certificate", "retry_certificate"):
        with pytest.raises(Refused) as refused:
            command(admin, name, row["id"])
        assert (refused.value.code, refused.value.status) == ("certificate_superseded", 409)
        assert new["id"] in (refused.value.details or "")
    (entry,) = scene.audit("certificate.reissue", course)
    assert (entry["before"]["code"], entry["after"]["code"]) == (row["code"], new["code"])
    listed = ann.call("get_my_certificates")["certificates"]
    assert [c["status"] for c in listed] == ["valid", "superseded"]


def test_reissuing_outlives_the_course(
    scene: Scene, held: tuple[Course, Actor, dict[str, Any]]
) -> None:
    course, ann, row = held
    scene.operator.call("delete_course", p_course_id=course.id, p_force=True)
    scene.name(ann.user, "Ann Married")
    new = command(scene.server(), "reissue_certificate", row["id"])["certificate"]
    assert (new["course_title"], new["author"], new["learner_name"]) == (
        "Knots",
        "B. Owline",
        "Ann Married",
    )


def test_a_revoked_one_is_not_reissued(
    scene: Scene, held: tuple[Course, Actor, dict[str, Any]]
) -> None:
    _, ann, row = held
    admin = scene.server()
    command(admin, "revoke_certificate", row["id"])
    with pytest.raises(Refused) as refused:
        command(admin, "reissue_certificate", row["id"])
    assert (refused.value.code, refused.value.status) == ("certificate_revoked", 409)
    assert len(scene.certificates(ann)) == 1


def test_twenty_reissues_at_once_make_one(
    scene: Scene,
    held: tuple[Course, Actor, dict[str, Any]],
    actors: Callable[..., Actor],
) -> None:
    _, ann, row = held
    admins = [actors("service_role") for _ in range(20)]
    answers = together(
        [lambda who=who: command(who, "reissue_certificate", row["id"]) for who in admins]
    )
    assert sum(answer["changed"] for answer in answers) == 1
    assert len({answer["certificate"]["id"] for answer in answers}) == 1
    assert len(scene.certificates(ann)) == 2


def test_retrying_renders_the_same_file_again(
    scene: Scene, held: tuple[Course, Actor, dict[str, Any]]
) -> None:
    course, ann, row = held
    facts = scene.operator.one("select private.render_facts(%s)", row["id"])
    admin = scene.server()
    assert command(admin, "retry_certificate", row["id"])["changed"]
    assert not command(admin, "retry_certificate", row["id"])["changed"]
    assert len(scene.jobs(str(row["id"]))) >= 1
    assert scene.operator.one("select private.render_facts(%s)", row["id"]) == facts
    assert facts["path"] == row["pdf_path"] == f"{ann.user}/{row['id']}.pdf"
    assert scene.rendered(row["id"])["outcome"] == "unchanged"
    assert scene.by_id(row["id"]) == row
    assert len(scene.audit("certificate.retry", course)) == 1


def test_a_dead_rendering_comes_back_to_life(scene: Scene) -> None:
    course = scene.course(1)
    ann = scene.learner(course)
    scene.complete(ann, *course.all)
    row = scene.certificate(ann)
    scene.operator.run(
        "update private.jobs set died_at = now(), attempts = 9, last_error = 'broken template'"
        " where dedupe_key = %s",
        f"certificate.render:{row['id']}",
    )
    assert command(scene.server(), "retry_certificate", row["id"])["changed"]
    (job,) = scene.jobs(str(row["id"]))
    assert (job["died_at"], job["attempts"]) == (None, 0)


# Rendered


def test_the_worker_reports_once_and_the_owner_is_told_once(scene: Scene) -> None:
    course = scene.course(1)
    ann = scene.learner(course)
    scene.complete(ann, *course.all)
    issued = scene.certificate(ann)
    assert issued["pdf_path"] is None
    assert scene.rendered(issued["id"])["outcome"] == "rendered"
    row = scene.certificate(ann)
    assert row["pdf_path"] == f"{ann.user}/{row['id']}.pdf"
    assert (row["pdf_sha256"], row["pdf_bytes"]) == ("ab" * 32, 4096)
    assert ann.call("get_my_certificates")["certificates"][0]["is_ready"]
    assert scene.rendered(issued["id"])["outcome"] == "unchanged"
    assert scene.certificate(ann) == row
    # Another template: another file in the same place, and no second message.
    assert scene.rendered(issued["id"], "cd" * 32)["outcome"] == "rendered"
    assert scene.certificate(ann)["pdf_sha256"] == "cd" * 32
    assert [message["kind"] for message in scene.messages(ann)] == [
        "course_completed",
        "certificate_ready",
    ]


def test_nobody_is_told_of_a_file_that_is_revoked_by_then(scene: Scene) -> None:
    course = scene.course(1)
    ann = scene.learner(course)
    scene.complete(ann, *course.all)
    row = scene.certificate(ann)
    command(scene.server(), "revoke_certificate", row["id"])
    assert scene.rendered(row["id"])["outcome"] == "rendered"
    assert [message["kind"] for message in scene.messages(ann)] == [
        "course_completed",
        "certificate_revoked",
    ]


# Issuing to many


def test_issuing_to_those_of_before(scene: Scene) -> None:
    course = scene.course(2, certificate_enabled=False)
    done = [scene.learner(course) for _ in range(5)]
    for learner in done:
        scene.complete(learner, *course.all)
    scene.finished_at(course, datetime(2026, 3, 4, 12, tzinfo=UTC))
    halfway = scene.learner(course)
    scene.complete(halfway, course.all[0])
    scene.set(course, certificate_enabled=True)
    newcomer = scene.learner(course)
    scene.complete(newcomer, *course.all)
    mails = "select count(*) from private.jobs where kind = 'mail'"
    mailed = scene.operator.one(mails)
    admin = scene.server()

    def issue(dry_run: bool) -> list[dict[str, Any]]:
        reports, cursor = [], None
        while not reports or cursor:
            reports.append(
                admin.call(
                    "issue_certificates",
                    p_course_id=course.id,
                    p_dry_run=dry_run,
                    p_cursor=cursor,
                    p_limit=3,
                    p_reason="Switched on",
                )
            )
            cursor = reports[-1]["cursor"]
        return reports

    def total(reports: list[dict[str, Any]], what: str) -> int:
        return sum(report[what] for report in reports)

    dry = issue(dry_run=True)
    assert [total(dry, what) for what in ("checked", "held", "eligible", "issued")] == [7, 1, 5, 0]
    assert sum(report["blocked"].get("percent_too_low", 0) for report in dry) == 1
    assert [scene.certificates(learner) for learner in done] == [[]] * 5
    real = issue(dry_run=False)
    assert [total(real, what) for what in ("checked", "held", "eligible", "issued")] == [7, 1, 5, 5]
    for learner in done:
        row = scene.certificate(learner)
        # The dates are those of then; the day of issue is today's.
        assert row["completed_at"] == datetime(2026, 3, 4, 12, tzinfo=UTC)
        assert row["issued_at"] > row["completed_at"]
        (job,) = scene.jobs(str(row["id"]))
        assert (job["kind"], job["priority"]) == ("certificate.render", 0)
        scene.rendered(row["id"])
        assert scene.messages(learner)[-1]["kind"] == "certificate_ready"
        assert not scene.messages(learner)[-1]["is_mailed"]
    assert scene.operator.one(mails) == mailed
    assert scene.certificates(halfway) == []
    again = issue(dry_run=False)
    assert [total(again, what) for what in ("held", "issued")] == [6, 0]
    entries = scene.audit("certificate.issue", course)
    assert sum(entry["after"]["issued"] for entry in entries) == 5
    assert {entry["reason"] for entry in entries} == {"Switched on"}


def test_mail_goes_out_when_asked(scene: Scene) -> None:
    course = scene.course(1, certificate_enabled=False)
    ann = scene.learner(course)
    scene.complete(ann, *course.all)
    scene.set(course, certificate_enabled=True)
    scene.server().call(
        "issue_certificates",
        p_course_id=course.id,
        p_dry_run=False,
        p_mail=True,
        p_reason="Switched on",
    )
    scene.rendered(scene.certificate(ann)["id"])
    last = scene.messages(ann)[-1]
    assert (last["kind"], last["is_mailed"]) == ("certificate_ready", True)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"p_dry_run": False}, "invalid_value"),
        ({"p_limit": 0}, "invalid_value"),
        ({"p_limit": 5001}, "invalid_value"),
        ({"p_course_id": 0}, "course_not_found"),
    ],
)
def test_issuing_to_many_is_refused(scene: Scene, arguments: dict[str, Any], code: str) -> None:
    course = scene.course(1)
    with pytest.raises(Refused) as refused:
        scene.server().call("issue_certificates", **{"p_course_id": course.id, **arguments})
    assert refused.value.code == code
    with pytest.raises(Refused) as refused:
        scene.learner(course).call("issue_certificates", p_course_id=course.id)
    assert refused.value.code == "not_allowed"


# Exceptions


def test_exceptions_are_set_once_and_cleared_once(scene: Scene) -> None:
    course = scene.course(1)
    ann = scene.learner(course)
    admin = scene.server()

    def change(kind: str, reason: str) -> Any:
        return admin.call(
            "set_certificate_exception",
            p_user_id=ann.user,
            p_course_id=course.id,
            p_kind=kind,
            p_reason=reason,
        )

    assert change("deny", "One")["changed"]
    assert not change("deny", "One")["changed"]
    allowed = change("allow", "Two")
    assert (allowed["changed"], allowed["eligible"]) == (True, True)
    assert allowed["certificate"]["code"] == scene.certificate(ann)["code"]

    def clear() -> Any:
        return admin.call(
            "clear_certificate_exception",
            p_user_id=ann.user,
            p_course_id=course.id,
            p_reason="Three",
        )

    assert clear()["changed"]
    assert not clear()["changed"]
    # What was issued stays; to take it back is another command.
    assert scene.certificate(ann)["revoked_at"] is None
    entries = scene.audit("certificate.exception", course)
    assert [(e["before"]["kind"], e["after"]["kind"]) for e in entries] == [
        (None, "deny"),
        ("deny", "allow"),
        ("allow", None),
    ]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"p_kind": "maybe"}, "invalid_value"),
        ({"p_kind": None}, "invalid_value"),
        ({"p_reason": ""}, "invalid_value"),
        ({"p_user_id": uuid.UUID(int=0)}, "invalid_value"),
        ({"p_course_id": 0}, "invalid_value"),
    ],
)
def test_exceptions_are_refused(scene: Scene, arguments: dict[str, Any], code: str) -> None:
    course = scene.course(1)
    ann = scene.learner(course)
    given = {
        "p_user_id": ann.user,
        "p_course_id": course.id,
        "p_kind": "allow",
        "p_reason": "Because",
        **arguments,
    }
    with pytest.raises(Refused) as refused:
        scene.server().call("set_certificate_exception", **given)
    assert refused.value.code == code
    with pytest.raises(Refused) as refused:
        ann.call("set_certificate_exception", **given)
    assert refused.value.code == "not_allowed"
    assert scene.certificates(ann) == []


def test_the_own_list_comes_by_pages(scene: Scene) -> None:
    courses = [scene.course(1, title=f"Course {n}") for n in range(5)]
    ann, bob = scene.learner(*courses), scene.learner(courses[0])
    for course in courses:
        scene.complete(ann, *course.all)
    scene.complete(bob, *courses[0].all)
    pages, cursor = [], None
    while not pages or cursor:
        page = ann.call("get_my_certificates", p_cursor=cursor, p_limit=2)
        pages.append([c["course_title"] for c in page["certificates"]])
        cursor = page["cursor"]
    assert pages == [["Course 4", "Course 3"], ["Course 2", "Course 1"], ["Course 0"]]
    for wrong in (
        {"p_limit": 0},
        {"p_limit": 201},
        {"p_cursor": scene.certificate(bob)["id"]},
    ):
        with pytest.raises(Refused) as refused:
            ann.call("get_my_certificates", **wrong)
        assert refused.value.code == "invalid_value"
