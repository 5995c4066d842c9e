"""Every rule against every door: closed while the rule says so, and open as soon as it does not."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.database.actors import Actor, make_course
from tests.locks.scene import DOORS, Scene, refusal, told

NOW = datetime.now(UTC)
SOON = NOW + timedelta(days=5)


@pytest.fixture
def scene(operator: Actor, server: Actor, learner: Callable[[], Actor]) -> Scene:
    return Scene.make(operator, server, learner())


# A rule: locks the lesson in question after the learner enrolled, says how, and how it is fulfilled.


class Sequential:
    def impose(self, scene: Scene) -> dict[str, Any]:
        scene.set("courses", scene.course.id, sequential=True)
        scene.complete(*scene.course.all[:2])
        return {"reason": "sequential", "lesson": scene.course.all[2]}

    def fulfil(self, scene: Scene) -> None:
        scene.complete(*scene.course.all[2:4])


class LessonFirst:
    def impose(self, scene: Scene) -> dict[str, Any]:
        scene.server.call(
            "set_lesson_prerequisites", p_lesson_id=scene.lesson, p_requires=[scene.course.all[1]]
        )
        return {"reason": "prerequisite", "lesson": scene.course.all[1]}

    def fulfil(self, scene: Scene) -> None:
        scene.complete(scene.course.all[1])


class ModuleFirst:
    def impose(self, scene: Scene) -> dict[str, Any]:
        scene.server.call(
            "set_module_prerequisites",
            p_module_id=scene.module,
            p_requires=scene.course.modules[:1],
        )
        return {"reason": "prerequisite", "module": scene.course.modules[0]}

    def fulfil(self, scene: Scene) -> None:
        scene.complete(*scene.course.all[:2])


class CourseFirst:
    def impose(self, scene: Scene) -> dict[str, Any]:
        self.other = make_course(scene.operator, [1])
        scene.server.call(
            "set_course_prerequisites", p_course_id=scene.course.id, p_requires=[self.other.id]
        )
        return {"reason": "prerequisite", "course": self.other.id}

    def fulfil(self, scene: Scene) -> None:
        scene.learner.call("enroll", p_course_id=self.other.id)
        scene.complete(*self.other.all)


class Dated:
    """A date of the lesson or of its module; enrolments are as old as the test."""

    def __init__(self, table: str, column: str, value: Any) -> None:
        self.table, self.column, self.value = table, column, value

    def impose(self, scene: Scene) -> dict[str, Any]:
        key = scene.lesson if self.table == "lessons" else scene.module
        scene.set(self.table, key, **{self.column: self.value})
        scene.learner.at(SOON - timedelta(hours=1))
        return {
            "reason": "drip",
            "lesson" if self.table == "lessons" else "module": key,
            "available_at": SOON,
        }

    def fulfil(self, scene: Scene) -> None:
        scene.learner.at(SOON + timedelta(hours=1))


class AfterPrevious:
    """So many days after the module before was completed, which is named while it is not."""

    def __init__(self, table: str) -> None:
        self.table = table

    def impose(self, scene: Scene) -> dict[str, Any]:
        key = scene.lesson if self.table == "lessons" else scene.module
        scene.set(self.table, key, available_after_previous_days=3)
        return {"reason": "drip", "module": scene.course.modules[1], "available_at": None}

    def fulfil(self, scene: Scene) -> None:
        scene.complete(*scene.course.lessons[1])
        assert scene.lock()["available_at"] is not None
        assert refusal(DOORS["start"], scene).code == "lesson_locked"
        scene.learner.at(NOW + timedelta(days=3, minutes=10))


RULES: dict[str, Callable[[], Any]] = {
    "sequential": Sequential,
    "lesson first": LessonFirst,
    "module first": ModuleFirst,
    "course first": CourseFirst,
    "lesson from": lambda: Dated("lessons", "available_from", SOON),
    "module from": lambda: Dated("modules", "available_from", SOON),
    "lesson after days": lambda: Dated("lessons", "available_after_days", 5),
    "module after days": lambda: Dated("modules", "available_after_days", 5),
    "lesson after previous": lambda: AfterPrevious("lessons"),
    "module after previous": lambda: AfterPrevious("modules"),
}


def assert_names(lock: Any, expected: dict[str, Any]) -> None:
    assert set(lock) == {"reason", "course", "module", "lesson", "available_at"}
    assert lock["reason"] == expected["reason"]
    for kind in ("course", "module", "lesson"):
        if kind in expected:
            assert str(lock[kind]["id"]) == str(expected[kind])
            assert lock[kind]["title"]
        else:
            assert lock[kind] is None
    if expected.get("available_at") is None:
        assert lock["available_at"] is None
    else:
        told_at = datetime.fromisoformat(lock["available_at"])
        assert abs(told_at - expected["available_at"]) < timedelta(minutes=10)


@pytest.mark.parametrize("rule", RULES)
def test_a_locked_lesson_is_refused_at_every_door_and_named(scene: Scene, rule: str) -> None:
    scene.enroll()
    expected = RULES[rule]().impose(scene)
    assert_names(scene.lock(), expected)
    for door, knock in DOORS.items():
        refused = refusal(knock, scene)
        assert (refused.code, refused.status) == ("lesson_locked", 409), door
        assert_names(told(refused), expected)
    answer = scene.learner.call("complete_module", p_module_id=scene.module)
    (still,) = answer["open"]
    assert still["code"] == "lesson_locked"
    assert_names(still["details"], expected)
    assert not scene.learner.run(
        "select from public.user_progress where lesson_id = %s", scene.lesson
    ), "a refused door left a trace"
    assert not scene.learner.run("select from public.user_assessment_attempts")


@pytest.mark.parametrize("rule", RULES)
def test_a_fulfilled_rule_opens_every_door(
    operator: Actor, server: Actor, learner: Callable[[], Actor], rule: str
) -> None:
    scene = Scene.make(operator, server, learner())
    scene.enroll()
    made = RULES[rule]()
    made.impose(scene)
    made.fulfil(scene)
    assert scene.lock() is None
    for door, knock in DOORS.items():
        with scene.learner.connection.transaction(force_rollback=True):
            assert knock(scene), door
    answer = scene.learner.call("complete_module", p_module_id=scene.module)
    assert answer["completed_lesson_ids"] == [str(scene.lesson)]


@pytest.mark.parametrize("rule", RULES)
def test_what_is_finished_stays_open_and_what_was_only_opened_does_not(
    scene: Scene, rule: str
) -> None:
    scene.enroll()
    made = RULES[rule]()
    scene.complete(scene.lesson)
    made.impose(scene)
    assert scene.lock() is None
    for door in ("start", "view", "complete", "put in_progress", "start attempt", "batch start"):
        assert DOORS[door](scene), door
    # Taken back it is like any other: only what is finished stays open.
    DOORS["uncomplete"](scene)
    assert scene.lock() is not None
    assert refusal(DOORS["complete"], scene).code == "lesson_locked"


@pytest.mark.parametrize("rule", RULES)
def test_an_attempt_that_was_begun_may_be_handed_in(scene: Scene, rule: str) -> None:
    scene.enroll()
    attempt = scene.learner.call("start_attempt", p_lesson_id=scene.lesson)["attempt"]
    RULES[rule]().impose(scene)
    again = scene.learner.call("start_attempt", p_lesson_id=scene.lesson)["attempt"]
    assert again["id"] == attempt["id"]
    assert scene.learner.call("submit_attempt", p_attempt_id=attempt["id"], p_client_key="k")[
        "changed"
    ]
    assert not scene.learner.call("submit_attempt", p_attempt_id=attempt["id"], p_client_key="k")[
        "changed"
    ], "the same submit again is the same answer"
    assert refusal(DOORS["start attempt"], scene).code == "lesson_locked"
    assert refusal(DOORS["submit quiz"], scene).code == "lesson_locked"


def test_an_attempt_whose_time_ran_out_does_not_let_a_locked_lesson_begin_another(
    scene: Scene,
) -> None:
    scene.set("lessons", scene.lesson, time_limit_seconds=60)
    scene.enroll()
    scene.learner.call("start_attempt", p_lesson_id=scene.lesson)
    scene.set("lessons", scene.lesson, available_from=SOON)
    scene.learner.at(NOW + timedelta(hours=1))
    answer = scene.learner.call("start_attempt", p_lesson_id=scene.lesson)
    assert answer["code"] == "lesson_locked"
    (attempt,) = scene.learner.run("select status, expired from public.user_assessment_attempts")
    assert attempt == {"status": "graded", "expired": True}


def test_learners_hold_no_grant_that_would_go_round_a_lock(scene: Scene) -> None:
    scene.enroll()
    scene.set("lessons", scene.lesson, available_from=SOON)
    for statement in (
        "insert into public.user_progress (user_id, lesson_id, course_id, started_at) "
        "select auth.uid(), %s, course_id, now() from public.enrollments",
        "update public.enrollments set frontier_lesson_id = %s",
        "insert into public.access_overrides (user_id, lesson_id, available_from) "
        "select auth.uid(), %s, now()",
        "delete from public.lesson_prerequisites where lesson_id = %s",
        "select private.lesson_lock(e, %s) from public.enrollments e",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            scene.learner.run(statement, scene.lesson)


# The way through a course --------------------------------------------------------------------------


def test_a_sequential_course_opens_one_lesson_after_the_other(scene: Scene) -> None:
    scene.set("courses", scene.course.id, sequential=True)
    scene.enroll()
    for done, lesson in enumerate(scene.course.all):
        locks = [scene.lock(each) is not None for each in scene.course.all]
        assert locks == [n > done for n in range(5)]
        following = scene.next()
        assert (following["lesson_id"], following["locked"]) == (str(lesson), None)
        answer = scene.learner.call("complete_lesson", p_lesson_id=lesson)
        after = scene.course.all[done + 1] if done < 4 else None
        assert answer["next_lesson_id"] == (str(after) if after else None)


def test_a_sequence_asks_for_countable_lessons_only(scene: Scene) -> None:
    first, second, third, *_ = scene.course.all
    scene.set("courses", scene.course.id, sequential=True)
    scene.set("lessons", first, is_required=False)
    scene.set("lessons", third, is_required=False)
    scene.enroll()
    assert scene.lock(second) is None
    assert scene.lock(third) is None, "optional lessons wait for nobody"
    assert scene.lock(scene.course.all[3]) is not None


def test_a_lesson_added_in_front_locks_what_is_not_finished_behind_it(scene: Scene) -> None:
    scene.set("courses", scene.course.id, sequential=True)
    scene.enroll()
    scene.complete(*scene.course.all[:2])
    (new,) = scene.server.run(
        "insert into public.lessons (module_id, position, title) values (%s, 0, 'New') returning id",
        scene.course.modules[0],
    )
    assert scene.lock(new["id"]) is None
    assert scene.lock(scene.course.all[1]) is None, "finished"
    assert scene.lock(scene.course.all[2])["lesson"]["id"] == str(new["id"])


def test_next_skips_what_is_locked_and_says_why_when_nothing_else_is_left(scene: Scene) -> None:
    scene.enroll()
    first, second, *others = scene.course.all
    scene.set("lessons", first, available_from=SOON)
    assert scene.next() == {
        "lesson_id": str(second),
        "module_id": str(scene.course.modules[0]),
        "review": False,
        "locked": None,
    }
    scene.complete(second, *others[:-1])
    answer = scene.learner.call("start_lesson", p_lesson_id=others[-1])
    assert answer["progress"]["status"] == "in_progress"
    assert scene.next()["lesson_id"] == str(others[-1])
    assert scene.learner.call("complete_lesson", p_lesson_id=others[-1])["next_lesson_id"] is None
    left = scene.next()
    assert (left["lesson_id"], left["review"]) == (str(first), False)
    assert_names(left["locked"], {"reason": "drip", "lesson": first, "available_at": SOON})
    (card,) = scene.learner.call("get_my_dashboard")["courses"]
    assert card["resume"]["locked"] == left["locked"]


def test_a_module_starts_at_its_first_open_lesson(scene: Scene) -> None:
    first, second = scene.course.lessons[0]
    scene.set("lessons", first, available_from=SOON)
    scene.enroll()
    started = scene.learner.call("start_module", p_module_id=scene.course.modules[0])
    assert started["progress"]["lesson_id"] == str(second)
    answer = scene.learner.call("complete_module", p_module_id=scene.course.modules[0])
    assert answer["completed_lesson_ids"] == [str(second)]
    assert [x["lesson_id"] for x in answer["open"]] == [str(first)]
    assert answer["next_lesson_id"] == str(scene.course.lessons[1][0])
    # The open one is done: what is left is locked, and is not begun by way of the module.
    refused = refusal(scene.learner.call, "start_module", p_module_id=scene.course.modules[0])
    assert refused.code == "lesson_locked"


def test_one_batch_may_go_through_a_sequence(scene: Scene) -> None:
    scene.set("courses", scene.course.id, sequential=True)
    scene.enroll()
    events = [
        {
            "id": f"00000000-0000-4000-8000-{n:012d}",
            "kind": "complete",
            "at": (NOW + timedelta(seconds=n)).isoformat(),
            "lesson_id": str(scene.course.all[n]),
        }
        for n in (0, 1, 3, 2)
    ]
    scene.learner.at(NOW + timedelta(hours=1))
    results = scene.learner.call("apply_events", p_events=Jsonb(events))["results"]
    assert [r["status"] for r in results] == ["applied"] * 4, "events are put in order of time"


# What opens ----------------------------------------------------------------------------------------


def test_several_dates_all_have_to_pass(scene: Scene) -> None:
    scene.set("modules", scene.module, available_from=SOON)
    scene.set("lessons", scene.lesson, available_after_days=10)
    scene.enroll()
    assert scene.lock()["lesson"]["id"] == str(scene.lesson)
    scene.learner.at(SOON + timedelta(hours=1))
    assert scene.lock() is not None
    scene.learner.at(NOW + timedelta(days=10, hours=1))
    assert scene.lock() is None


def test_the_first_module_waits_for_no_previous_one(scene: Scene) -> None:
    scene.set("modules", scene.course.modules[0], available_after_previous_days=3)
    scene.enroll()
    assert scene.lock(scene.course.all[0]) is None


def test_what_nobody_can_do_blocks_nothing(scene: Scene) -> None:
    first, second, *_ = scene.course.all
    scene.enroll()
    scene.server.call(
        "set_lesson_prerequisites", p_lesson_id=scene.lesson, p_requires=[first, second]
    )
    scene.set("lessons", first, is_preview=True)
    assert scene.lock()["lesson"]["id"] == str(second)
    scene.server.call("archive_lesson", p_lesson_id=second)
    assert scene.lock() is None


def test_a_date_is_told_together_with_what_comes_first(scene: Scene) -> None:
    scene.enroll()
    scene.set("lessons", scene.lesson, available_from=SOON)
    scene.server.call(
        "set_lesson_prerequisites", p_lesson_id=scene.lesson, p_requires=[scene.course.all[0]]
    )
    assert_names(
        scene.lock(),
        {"reason": "prerequisite", "lesson": scene.course.all[0], "available_at": SOON},
    )


# Overrides -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("about", ["lesson", "module"])
def test_an_override_opens_a_date_for_one_learner_and_is_audited(
    scene: Scene, learner: Callable[[], Actor], actors: Callable[..., Actor], about: str
) -> None:
    scene.set("modules", scene.module, available_from=SOON)
    if about == "lesson":
        scene.set("lessons", scene.lesson, available_from=SOON)
    scene.enroll()
    other = learner()
    other.call("enroll", p_course_id=scene.course.id)
    staff = learner()
    scene.operator.run(
        "insert into public.course_staff values (%s, %s, 'instructor')", scene.course.id, staff.user
    )
    place = {f"p_{about}_id": scene.lesson if about == "lesson" else scene.module}
    arguments = {
        "p_user_id": scene.learner.user,
        "p_available_from": NOW - timedelta(days=1),
        "p_reason": "moved house",
        **place,
    }
    for nobody in (scene.learner, other):
        assert refusal(nobody.call, "set_access_override", **arguments).code == "not_allowed"
    assert staff.call("set_access_override", **arguments)["changed"]
    assert not staff.call("set_access_override", **arguments)["changed"]
    assert scene.lock() is None
    assert DOORS["complete"](scene)
    assert refusal(other.call, "start_lesson", p_lesson_id=scene.lesson).code == "lesson_locked"
    (audited,) = scene.operator.run(
        "select action, actor_id, subject, reason from public.audit_log "
        "where user_id = %s and action = 'access.override'",
        scene.learner.user,
    )
    assert audited == {
        "action": "access.override",
        "actor_id": staff.user,
        "subject": f"{about}:{next(iter(place.values()))}",
        "reason": "moved house",
    }
    assert scene.learner.run("select user_id from public.access_overrides")
    assert not other.run("select user_id from public.access_overrides")


def test_an_override_may_be_later_and_may_be_taken_back(scene: Scene) -> None:
    scene.set("lessons", scene.lesson, available_from=NOW - timedelta(days=1))
    scene.enroll()
    assert scene.lock() is None
    scene.server.call(
        "set_access_override", p_user_id=scene.learner.user, p_lesson_id=scene.lesson,
        p_available_from=SOON,
    )  # fmt: skip
    assert_names(scene.lock(), {"reason": "drip", "lesson": scene.lesson, "available_at": SOON})
    scene.server.call("set_access_override", p_user_id=scene.learner.user, p_lesson_id=scene.lesson)
    assert scene.lock() is None


def test_an_override_is_for_somebody_enrolled(scene: Scene, learner: Callable[[], Actor]) -> None:
    refused = refusal(
        scene.server.call, "set_access_override", p_user_id=learner().user,
        p_module_id=scene.module, p_available_from=NOW,
    )  # fmt: skip
    assert refused.code == "not_enrolled"
    for wrong in ({}, {"p_lesson_id": scene.lesson, "p_module_id": scene.module}):
        refused = refusal(
            scene.server.call, "set_access_override", p_user_id=scene.learner.user, **wrong
        )
        assert refused.code == "invalid_value"


# Enrolment -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"status": "archived"}, "enrollment_closed"),
        ({"enrollment_mode": "invite"}, "enrollment_closed"),
        ({"enrollment_mode": "paid"}, "payment_required"),
    ],
)
def test_who_may_not_enrol_themselves_is_enrolled_by_a_server(
    operator: Actor, server: Actor, learner: Callable[[], Actor], fields: Any, code: str
) -> None:
    scene = Scene.make(operator, server, learner(), **fields)
    refused = refusal(scene.enroll)
    assert (refused.code, refused.status) == (code, 403)
    server.run(
        "insert into public.enrollments (user_id, course_id, purchase_id) values (%s, %s, 'p-1')",
        scene.learner.user,
        scene.course.id,
    )
    scene.enroll()
    assert scene.learner.call("start_lesson", p_lesson_id=scene.lesson)["changed"]


@pytest.mark.parametrize(
    ("change", "code"),
    [("status = 'withdrawn'", "enrollment_inactive"), ("expires_at = now()", "enrollment_expired")],
)
def test_an_enrolment_that_ended_closes_every_door(scene: Scene, change: str, code: str) -> None:
    scene.enroll()
    scene.server.run(
        f"update public.enrollments set {change} where user_id = %s", scene.learner.user
    )
    for door, knock in DOORS.items():
        assert refusal(knock, scene).code == code, door
    assert not scene.learner.run("select id from public.lessons where id = %s", scene.lesson)


def test_a_course_that_requires_another_is_enrolled_in_after_it(scene: Scene) -> None:
    rule = CourseFirst()
    expected = rule.impose(scene)
    refused = refusal(scene.enroll)
    assert (refused.code, refused.status) == ("course_locked", 409)
    assert_names(told(refused), expected)
    rule.fulfil(scene)
    scene.enroll()
    assert scene.lock() is None


def test_enrolled_learners_go_on_in_an_archived_course(scene: Scene) -> None:
    scene.enroll()
    scene.set("courses", scene.course.id, status="archived")
    assert scene.learner.run("select content from public.lessons where id = %s", scene.lesson)
    assert DOORS["complete"](scene)


# Content -------------------------------------------------------------------------------------------


def test_the_content_of_a_dated_lesson_is_read_from_its_date_on(
    scene: Scene, learner: Callable[[], Actor]
) -> None:
    scene.set("modules", scene.module, available_from=SOON)
    scene.server.run(
        "insert into public.resources (course_id, lesson_id, title, url) "
        "values (%s, %s, 'File', 'https://example.test/file')",
        scene.course.id,
        scene.lesson,
    )
    word = f"z{uuid.uuid4().hex}"
    scene.set("lessons", scene.lesson, content=f"The {word}", title=word)
    scene.enroll()
    other = learner()
    other.call("enroll", p_course_id=scene.course.id)
    author = learner()
    scene.operator.run(
        "insert into public.course_staff values (%s, %s, 'assistant')", scene.course.id, author.user
    )

    def reads(actor: Actor) -> tuple[int, int, int]:
        lessons = actor.run("select content from public.lessons where id = %s", scene.lesson)
        files = actor.run("select url from public.resources where lesson_id = %s", scene.lesson)
        found = actor.call("search_catalog", p_query=word)["results"]
        return len(lessons), len(files), len(found)

    assert reads(scene.learner) == (0, 0, 0)
    assert reads(author) == (1, 1, 1)
    assert len(scene.learner.run("select id from public.lessons")) >= 4, "the others stay"
    scene.server.call(
        "set_access_override", p_user_id=other.user, p_module_id=scene.module, p_available_from=NOW
    )
    assert reads(other) == (1, 1, 1)
    other.call("complete_lesson", p_lesson_id=scene.lesson)
    scene.server.call("set_access_override", p_user_id=other.user, p_module_id=scene.module)
    assert reads(other) == (1, 1, 1), "what is finished stays"
    scene.learner.at(SOON + timedelta(minutes=1))
    assert reads(scene.learner) == (1, 1, 1)
    scene.learner.at(None)
    scene.set("lessons", scene.lesson, is_preview=True)
    seen = scene.learner.run("select id from public.lessons where id = %s", scene.lesson)
    assert seen, "previews are for everyone"


def test_order_does_not_hide_content(scene: Scene) -> None:
    scene.set("courses", scene.course.id, sequential=True)
    scene.enroll()
    assert scene.lock() is not None
    assert scene.learner.run("select content from public.lessons where id = %s", scene.lesson)


# The flag ------------------------------------------------------------------------------------------


def test_the_flag_follows_every_rule_that_comes_and_goes(scene: Scene) -> None:
    other = make_course(scene.operator, [1])

    def flags() -> tuple[bool, bool]:
        rows = scene.operator.run("select id, has_rules from public.courses")
        found = {row["id"]: row["has_rules"] for row in rows}
        return found[scene.course.id], found[other.id]

    first = scene.course.all[0]
    run, call = scene.server.run, scene.server.call
    for on, off in (
        (
            lambda: scene.set("lessons", first, available_from=NOW),
            lambda: scene.set("lessons", first, available_from=None),
        ),
        (
            lambda: scene.set("modules", scene.module, available_after_days=1),
            lambda: scene.set("modules", scene.module, available_after_days=None),
        ),
        (
            lambda: call("set_lesson_prerequisites", p_lesson_id=scene.lesson, p_requires=[first]),
            lambda: call("set_lesson_prerequisites", p_lesson_id=scene.lesson, p_requires=[]),
        ),
        (
            lambda: call(
                "set_module_prerequisites",
                p_module_id=scene.module,
                p_requires=scene.course.modules[:1],
            ),
            lambda: run(
                "delete from public.module_prerequisites where module_id = %s", scene.module
            ),
        ),
        (
            lambda: call(
                "set_course_prerequisites", p_course_id=scene.course.id, p_requires=[other.id]
            ),
            lambda: call("set_course_prerequisites", p_course_id=scene.course.id, p_requires=[]),
        ),
        (
            lambda: scene.set("lessons", first, available_from=NOW),
            lambda: run("delete from public.lessons where id = %s", first),
        ),
    ):
        assert flags() == (False, False)
        on()
        assert flags() == (True, False)
        off()
    assert flags() == (False, False)
    # A lesson takes its rules along.
    call("set_lesson_prerequisites", p_lesson_id=scene.lesson, p_requires=[scene.course.all[1]])
    call("move_lesson", p_lesson_id=scene.lesson, p_module_id=other.modules[0], p_position=1)
    assert flags() == (False, True)
    call("move_module", p_module_id=other.modules[0], p_course_id=scene.course.id, p_position=9)
    assert flags() == (True, False)
    # So does the loss of what was required.
    run("delete from public.lessons where id = %s", scene.course.all[1])
    assert flags() == (False, False)
