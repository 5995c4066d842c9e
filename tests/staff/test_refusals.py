"""Who may give a staff command: every command as everyone, and nothing follows a refusal."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import errors

from tests.database.actors import Refused, insert
from tests.staff.scene import Scene

Arguments = Callable[[Scene], dict[str, Any]]
GRADERS = {"author", "instructor", "admin", "server"}
AUTHORS = {"author", "admin", "server"}
ADMINS = {"admin", "server"}
EVERYONE = (
    "anon",
    "learner",
    "stranger",
    "assistant",
    "other assistant",
    "other instructor",
    "other author",
    "instructor",
    "author",
    "admin",
    "server",
)
REASON = "Agreed with the learner"


def lesson(scene: Scene) -> dict[str, Any]:
    return {
        "p_user_id": scene.users["learner"],
        "p_lesson_id": scene.course.lessons[0][0],
        "p_reason": REASON,
    }


def enrollment(scene: Scene) -> dict[str, Any]:
    return {"p_enrollment_id": scene.enrollment, "p_reason": REASON}


def deadline(scene: Scene) -> dict[str, Any]:
    now = datetime.now(UTC)
    scene.operator.run(
        "update public.enrollments set expires_at = %s where id = %s",
        now + timedelta(days=1),
        scene.enrollment,
    )
    return {**enrollment(scene), "p_expires_at": now + timedelta(days=9)}


def done(scene: Scene) -> dict[str, Any]:
    scene.act("learner").call("complete_lesson", p_lesson_id=scene.course.lessons[0][0])
    return lesson(scene)


def waived(scene: Scene) -> dict[str, Any]:
    scene.act("server").call("excuse_lesson", **lesson(scene))
    return lesson(scene)


def withdrawn(scene: Scene) -> dict[str, Any]:
    scene.operator.run(
        "update public.enrollments set status = 'withdrawn' where id = %s", scene.enrollment
    )
    return enrollment(scene)


def course(**arguments: Any) -> Arguments:
    return lambda scene: {"p_course_id": scene.course.id, **arguments}


def members(scene: Scene) -> dict[str, Any]:
    return {
        "p_course_id": scene.course.id,
        "p_cohort_id": scene.cohort,
        "p_user_ids": [scene.users["learner"]],
        "p_reason": REASON,
    }


# Every staff command: what it is called with, and who may.
COMMANDS: dict[str, tuple[Arguments, set[str]]] = {
    "excuse_lesson": (lesson, GRADERS),
    "unexcuse_lesson": (waived, GRADERS),
    "complete_lesson_for": (lesson, ADMINS),
    "reopen_lesson_for": (done, ADMINS),
    "extend_enrollment": (deadline, GRADERS),
    "withdraw_enrollment": (enrollment, GRADERS),
    "reinstate_enrollment": (withdrawn, GRADERS),
    "create_cohort": (course(p_name="Spring", p_reason=REASON), GRADERS),
    "rename_cohort": (
        lambda scene: {"p_cohort_id": scene.cohort, "p_name": "Winter", "p_reason": REASON},
        GRADERS,
    ),
    "assign_cohort": (members, GRADERS),
    "bulk_enroll": (
        lambda scene: {
            "p_course_id": scene.course.id,
            "p_learners": [str(scene.users["newcomer"])],
            "p_reason": REASON,
        },
        GRADERS,
    ),
    "start_cycle": (
        lambda scene: {
            "p_user_id": scene.users["learner"],
            "p_course_id": scene.course.id,
            "p_reason": REASON,
        },
        GRADERS,
    ),
    "replace_lesson": (
        lambda scene: {
            "p_lesson_id": scene.course.lessons[0][0],
            "p_new_lesson_id": scene.spare,
            "p_reason": REASON,
        },
        AUTHORS,
    ),
    "update_lesson": (
        lambda scene: {"p_lesson_id": scene.course.lessons[0][0], "p_fields": {"weight": 5}},
        AUTHORS,
    ),
    "create_module": (course(p_fields={"title": "New"}), AUTHORS),
    "update_module": (
        lambda scene: {"p_module_id": scene.course.modules[0], "p_fields": {"title": "New"}},
        AUTHORS,
    ),
    "reorder_lessons": (
        lambda scene: {
            "p_module_id": scene.course.modules[0],
            "p_lesson_ids": [scene.spare, *reversed(scene.course.lessons[0])],
        },
        AUTHORS,
    ),
    "set_course_status": (course(p_status="archived"), AUTHORS),
    "update_course": (course(p_fields={"sequential": True, "max_cycles": 3}), AUTHORS),
}
# Those that ask for a reason, which are all that touch learners.
REASONED = [name for name in COMMANDS if name not in list(COMMANDS)[-6:]]


@pytest.mark.parametrize("who", EVERYONE)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_for_those_it_is_for(scene: Scene, command: str, who: str) -> None:
    build, allowed = COMMANDS[command]
    arguments = build(scene)
    actor, before, audits = scene.act(who), scene.look(), len(scene.audits())
    if who in allowed:
        actor.call(command, **arguments)
        assert scene.look() != before
        (audit,) = scene.audits()[audits:]
        assert audit["actor_id"] == (None if who == "server" else scene.users[who])
        assert audit["reason"] == arguments.get("p_reason")
        assert audit["after"] is not None
        scene.sound()
        return
    if who == "anon":
        with pytest.raises(errors.InsufficientPrivilege):
            actor.call(command, **arguments)
    else:
        with pytest.raises(Refused) as refused:
            actor.call(command, **arguments)
        # Enrolments and cohorts are not there for whoever is not of the course's staff.
        kind = next((name for name in ("enrollment", "cohort") if f"p_{name}_id" in arguments), "")
        is_hidden = "p_course_id" not in arguments and kind and who != "assistant"
        expected = (f"{kind}_not_found", 404) if is_hidden else ("not_allowed", 403)
        assert (refused.value.code, refused.value.status) == expected
    assert scene.look() == before


@pytest.mark.parametrize("command", REASONED)
def test_a_command_wants_a_reason(scene: Scene, command: str) -> None:
    arguments = COMMANDS[command][0](scene)
    before = scene.look()
    for reason in (None, "", "  \n", "x" * 2001):
        with pytest.raises(Refused, match="invalid_value"):
            scene.act("admin").call(command, **{**arguments, "p_reason": reason})
    assert scene.look() == before


OVERRIDES = ("complete_lesson_for", "reopen_lesson_for")


@pytest.mark.parametrize("who", ["learner", "assistant", "other author", "author", "instructor"])
@pytest.mark.parametrize("command", OVERRIDES)
def test_a_course_may_leave_overrides_to_its_staff(scene: Scene, command: str, who: str) -> None:
    arguments = COMMANDS[command][0](scene)
    scene.operator.run(
        "update public.courses set staff_may_override = true where id = %s", scene.course.id
    )
    before = scene.look()
    if who in ("author", "instructor"):
        assert scene.act(who).call(command, **arguments)["changed"] is True
        scene.sound()
        return
    with pytest.raises(Refused, match="not_allowed"):
        scene.act(who).call(command, **arguments)
    assert scene.look() == before


@pytest.mark.parametrize(
    "command",
    [
        "excuse_lesson",
        "unexcuse_lesson",
        *OVERRIDES,
        "extend_enrollment",
        "withdraw_enrollment",
        "reinstate_enrollment",
    ],
)
def test_staff_make_no_exceptions_for_themselves(scene: Scene, command: str) -> None:
    scene.operator.run(
        "update public.courses set staff_may_override = true where id = %s", scene.course.id
    )
    arguments = COMMANDS[command][0](scene)
    insert(
        scene.operator,
        "course_staff",
        {
            "course_id": scene.course.id,
            "user_id": scene.users["learner"],
            "role": "instructor",
        },
    )
    before = scene.look()
    with pytest.raises(Refused, match="not_allowed"):
        scene.act("learner").call(command, **arguments)
    assert scene.look() == before


def test_staff_do_not_enrol_themselves(scene: Scene) -> None:
    me = str(scene.users["instructor"])
    answer = scene.act("instructor").call(
        "bulk_enroll", p_course_id=scene.course.id, p_learners=[me], p_reason=REASON
    )
    assert answer["results"] == [{"line": 1, "status": "refused", "code": "not_allowed"}]


@pytest.mark.parametrize(
    ("command", "parameter", "code"),
    [
        ("excuse_lesson", "p_lesson_id", "lesson_not_found"),
        ("unexcuse_lesson", "p_lesson_id", "lesson_not_found"),
        ("complete_lesson_for", "p_lesson_id", "lesson_not_found"),
        ("reopen_lesson_for", "p_lesson_id", "lesson_not_found"),
        ("excuse_lesson", "p_user_id", "not_enrolled"),
        ("unexcuse_lesson", "p_user_id", "not_enrolled"),
        ("complete_lesson_for", "p_user_id", "not_enrolled"),
        ("reopen_lesson_for", "p_user_id", "not_enrolled"),
        ("extend_enrollment", "p_enrollment_id", "enrollment_not_found"),
        ("withdraw_enrollment", "p_enrollment_id", "enrollment_not_found"),
        ("reinstate_enrollment", "p_enrollment_id", "enrollment_not_found"),
        ("create_cohort", "p_course_id", "course_not_found"),
        ("bulk_enroll", "p_course_id", "course_not_found"),
        ("assign_cohort", "p_course_id", "course_not_found"),
        ("assign_cohort", "p_cohort_id", "cohort_not_found"),
        ("rename_cohort", "p_cohort_id", "cohort_not_found"),
        ("bulk_enroll", "p_cohort_id", "cohort_not_found"),
        ("start_cycle", "p_course_id", "course_not_found"),
        ("start_cycle", "p_user_id", "not_enrolled"),
        ("replace_lesson", "p_lesson_id", "lesson_not_found"),
        ("replace_lesson", "p_new_lesson_id", "invalid_value"),
        ("update_lesson", "p_lesson_id", "lesson_not_found"),
        ("create_module", "p_course_id", "course_not_found"),
        ("update_module", "p_module_id", "module_not_found"),
        ("reorder_lessons", "p_module_id", "module_not_found"),
        ("set_course_status", "p_course_id", "course_not_found"),
        ("update_course", "p_course_id", "course_not_found"),
    ],
)
def test_what_is_not_there_is_said_so(
    scene: Scene, command: str, parameter: str, code: str
) -> None:
    nothing = 2**62 if parameter == "p_course_id" else uuid.uuid4()
    arguments = {**COMMANDS[command][0](scene), parameter: nothing}
    before = scene.look()
    with pytest.raises(Refused) as refused:
        scene.act("admin").call(command, **arguments)
    assert refused.value.code == code
    assert scene.look() == before


def test_a_cohort_of_another_course_is_none(scene: Scene) -> None:
    other = Scene(scene.actors)
    before = scene.look()
    with pytest.raises(Refused, match="cohort_not_found"):
        scene.act("admin").call("assign_cohort", **{**members(scene), "p_cohort_id": other.cohort})
    assert scene.look() == before


def imported(scene: Scene) -> dict[str, Any]:
    scene.operator.run(
        "update public.lessons set completion_rule = 'submit' where id = %s",
        scene.course.lessons[0][0],
    )
    return {**lesson(scene), "p_percent": 90}


@pytest.mark.parametrize("command", [*COMMANDS, "import_attempt"])
def test_a_command_waits_for_no_edit_of_another_course(scene: Scene, command: str) -> None:
    """An update of an enrolment that passes for a raw one would lock all editors out, when it holds
    its course already: two such would deadlock."""
    build = imported if command == "import_attempt" else COMMANDS[command][0]
    arguments, server, editor = build(scene), scene.act("server"), scene.actors()
    server.run("set lock_timeout = '2s'")
    with editor.connection.transaction():
        editor.run("select pg_advisory_xact_lock_shared(private.editors_key())")
        server.call(command, **arguments)
    scene.sound()
