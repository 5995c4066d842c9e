"""Deadlines, withdrawals, cohorts and enrolling many."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from psycopg import errors

from tests.database.actors import Actor, Refused, make_users
from tests.database.storm import together
from tests.staff.scene import Scene

REASON = "Agreed by telephone"


def test_a_deadline_moves_to_a_later_time_or_away(scene: Scene) -> None:
    instructor = scene.act("instructor")
    now = datetime.now(UTC)
    scene.operator.run(
        "update public.enrollments set expires_at = %s where id = %s",
        now - timedelta(days=1),
        scene.enrollment,
    )
    learner = scene.act("learner")
    with pytest.raises(Refused, match="enrollment_expired"):
        learner.call("complete_lesson", p_lesson_id=scene.course.all[0])

    def extend(until: datetime | str | None) -> bool:
        answer = instructor.call(
            "extend_enrollment",
            p_enrollment_id=scene.enrollment,
            p_expires_at=until,
            p_reason=REASON,
        )
        changed: bool = answer["changed"]
        return changed

    assert extend(now + timedelta(days=2)) is True
    learner.call("complete_lesson", p_lesson_id=scene.course.all[0])
    before = scene.look()
    assert extend(now + timedelta(days=2)) is False
    for wrong in (now - timedelta(hours=1), now + timedelta(days=1), "infinity"):
        with pytest.raises(Refused, match="invalid_value"):
            extend(wrong)
    assert scene.look() == before
    assert extend(None) is True
    with pytest.raises(Refused, match="invalid_value"):
        extend(now + timedelta(days=50))
    assert [a["action"] for a in scene.audits()] == ["enrollment.extend"] * 2


def test_withdrawing_keeps_what_was_done(scene: Scene) -> None:
    learner, instructor = scene.act("learner"), scene.act("instructor")
    learner.call("complete_lesson", p_lesson_id=scene.course.all[0])
    who = {"p_enrollment_id": scene.enrollment, "p_reason": REASON}
    assert instructor.call("withdraw_enrollment", **who)["enrollment"]["status"] == "withdrawn"
    with pytest.raises(Refused, match="enrollment_inactive"):
        learner.call("complete_lesson", p_lesson_id=scene.course.all[1])
    before = scene.look()
    assert instructor.call("withdraw_enrollment", **who)["changed"] is False
    assert scene.look() == before
    answer = instructor.call("reinstate_enrollment", **who)
    assert (answer["enrollment"]["status"], answer["enrollment"]["progress_percent"]) == (
        "active",
        25,
    )
    learner.call("complete_lesson", p_lesson_id=scene.course.all[1])
    scene.sound()


def test_a_learner_finished_while_away_is_certified_when_reinstated(scene: Scene) -> None:
    for lesson_id in scene.course.all[:3]:
        scene.act("learner").call("complete_lesson", p_lesson_id=lesson_id)
    who = {"p_enrollment_id": scene.enrollment, "p_reason": REASON}
    instructor = scene.act("instructor")
    instructor.call("withdraw_enrollment", **who)
    instructor.call(
        "excuse_lesson",
        p_user_id=scene.users["learner"],
        p_lesson_id=scene.course.all[3],
        p_reason=REASON,
    )
    assert (scene.row()["progress_percent"], scene.certificates()) == (100, [])
    instructor.call("reinstate_enrollment", **who)
    assert len(scene.certificates()) == 1


def test_cohorts_are_made_named_and_filled(scene: Scene) -> None:
    instructor = scene.act("instructor")
    made = instructor.call(
        "create_cohort",
        p_course_id=scene.course.id,
        p_name="  Spring ",
        p_starts_at=datetime(2027, 1, 1, tzinfo=UTC),
        p_ends_at=datetime(2027, 6, 1, tzinfo=UTC),
        p_reason=REASON,
    )["cohort"]
    assert made["name"] == "Spring"
    with pytest.raises(Refused, match="conflict"):
        instructor.call(
            "create_cohort", p_course_id=scene.course.id, p_name="Spring", p_reason=REASON
        )
    for wrong in ("", " ", "x" * 201):
        with pytest.raises(Refused, match="invalid_value"):
            instructor.call(
                "create_cohort", p_course_id=scene.course.id, p_name=wrong, p_reason=REASON
            )
    with pytest.raises(Refused, match="conflict"):
        instructor.call("rename_cohort", p_cohort_id=scene.cohort, p_name="Spring", p_reason=REASON)
    again = instructor.call(
        "rename_cohort", p_cohort_id=made["id"], p_name="Spring", p_reason=REASON
    )
    assert again["changed"] is False

    def assign(cohort: str | None) -> list[str]:
        answer = instructor.call(
            "assign_cohort",
            p_course_id=scene.course.id,
            p_user_ids=[scene.users["stranger"], scene.users["learner"]],
            p_cohort_id=cohort,
            p_reason=REASON,
        )
        assert answer["results"][0] == {
            "line": 1,
            "user_id": str(scene.users["stranger"]),
            "status": "refused",
            "code": "not_enrolled",
        }
        status = [x["status"] for x in answer["results"]]
        assert answer["changed"] is ("assigned" in status)
        return status

    assert assign(made["id"]) == ["refused", "assigned"]
    assert str(scene.row()["cohort_id"]) == made["id"]
    assert assign(made["id"]) == ["refused", "unchanged"]
    assert assign(None) == ["refused", "assigned"]
    assert scene.row()["cohort_id"] is None
    assert [a["action"] for a in scene.audits()] == ["cohort.create", *["cohort.assign"] * 2]


def test_many_are_enrolled_line_by_line(scene: Scene) -> None:
    scene.enroll("stranger")
    scene.operator.run(
        "update public.enrollments set status = 'withdrawn' where user_id = %s",
        scene.users["stranger"],
    )
    mail = f"{scene.users['admin']}@example.test"
    lines = [
        str(scene.users["newcomer"]),
        str(scene.users["learner"]),
        "nonsense",
        str(uuid.uuid4()),
        f"  {str(scene.users['newcomer']).upper()} ",
        str(scene.users["stranger"]),
        mail.upper(),
        "nobody@example.test",
        "",
    ]

    def enrol(who: str) -> list[tuple[int, str, str | None]]:
        answer = scene.act(who).call(
            "bulk_enroll",
            p_course_id=scene.course.id,
            p_learners=lines,
            p_cohort_id=scene.cohort,
            p_reason=REASON,
        )
        return [(x["line"], x["status"], x.get("code")) for x in answer["results"]]

    expected = [
        (1, "enrolled", None),
        (2, "unchanged", None),
        (3, "refused", "invalid_value"),
        (4, "refused", "user_not_found"),
        (5, "unchanged", None),
        (6, "refused", "enrollment_inactive"),
        (7, "refused", "not_allowed"),
        (8, "refused", "not_allowed"),
        (9, "refused", "invalid_value"),
    ]
    # Instructors learn nothing of whose an address is.
    assert enrol("instructor") == expected
    expected[0] = (1, "unchanged", None)
    expected[6:8] = [(7, "enrolled", None), (8, "refused", "user_not_found")]
    assert enrol("server") == expected
    assert scene.row("newcomer")["cohort_id"] == scene.cohort
    assert scene.row("learner")["cohort_id"] is None
    audits = [(a["action"], a["user_id"]) for a in scene.audits()]
    assert audits == [
        ("enrollment.create", scene.users["newcomer"]),
        ("enrollment.create", scene.users["admin"]),
    ]
    assert len(scene.events("enrolled", "newcomer")) == 1
    assert (
        scene.operator.run(
            "select from public.notifications where user_id = %s", scene.users["newcomer"]
        )
        == []
    )
    scene.sound()


@pytest.mark.parametrize("count", [0, 501])
@pytest.mark.parametrize("command", ["bulk_enroll", "assign_cohort"])
def test_a_call_names_a_bounded_number(scene: Scene, command: str, count: int) -> None:
    names = "p_learners" if command == "bulk_enroll" else "p_user_ids"
    who = [str(uuid.uuid4())] * count if command == "bulk_enroll" else [uuid.uuid4()] * count
    if not count:
        who = None  # type: ignore[assignment]
    with pytest.raises(Refused, match="invalid_value"):
        scene.act("server").call(
            command, p_course_id=scene.course.id, p_reason=REASON, **{names: who}
        )


def test_two_who_enrol_the_same_many_meet_without_a_deadlock(
    scene: Scene, actors: Callable[..., Actor]
) -> None:
    users = [str(user) for user in make_users(scene.operator, 100)]
    servers = [scene.act("server"), scene.act("server")]

    def enrol(actor: Actor, learners: list[str]) -> list[str]:
        answer = actor.call(
            "bulk_enroll", p_course_id=scene.course.id, p_learners=learners, p_reason=REASON
        )
        return [x["status"] for x in answer["results"]]

    answers = together([lambda: enrol(servers[0], users), lambda: enrol(servers[1], users[::-1])])
    assert sorted(answers[0] + answers[1]) == ["enrolled"] * 100 + ["unchanged"] * 100
    scene.sound()


def test_who_has_done_everything_elsewhere_is_finished_by_enrolling(scene: Scene) -> None:
    """Lessons that moved here bring their progress along; a waiver counts at once, too."""
    other = Scene(scene.actors)
    user = other.users["learner"]
    for lesson_id in other.course.all[:3]:
        other.act("learner").call("complete_lesson", p_lesson_id=lesson_id)
    other.act("server").call(
        "excuse_lesson", p_user_id=user, p_lesson_id=other.course.all[3], p_reason=REASON
    )
    scene.operator.run(
        "update public.lessons set is_required = false where course_id = %s", scene.course.id
    )
    scene.operator.run(
        "update public.modules set course_id = %s where course_id = %s",
        scene.course.id,
        other.course.id,
    )
    scene.act("server").call(
        "bulk_enroll", p_course_id=scene.course.id, p_learners=[str(user)], p_reason=REASON
    )
    (row,) = scene.operator.run(
        "select * from public.enrollments where user_id = %s and course_id = %s",
        user,
        scene.course.id,
    )
    assert (row["total_lessons"], row["progress_percent"]) == (3, 100)
    scene.sound()
    other.sound()


def test_staff_change_nothing_past_the_commands(scene: Scene) -> None:
    instructor = scene.act("instructor")
    for statement in (
        "update public.enrollments set expires_at = null",
        "insert into public.cohorts (course_id, name) values (1, 'x')",
        "delete from public.lesson_waivers",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            instructor.run(statement)
