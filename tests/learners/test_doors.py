"""Who may see learners, which questions are none, and what staff see of one learner."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.database.actors import Refused
from tests.staff.scene import Scene

NOW = datetime.now(UTC)
CURSOR = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    "arguments",
    [
        {"sort": "email"},
        {"sort": "name; drop table"},
        {"direction": "up"},
        {"limit": 0},
        {"limit": 1001},
        {"status": "left"},
        {"inactive_days": 0},
        {"enrolled_from": NOW, "enrolled_to": NOW - timedelta(days=1)},
        {"cursor": "x"},
        {"cursor": f"percent.50.{CURSOR}"},
        {"cursor": f"name.5g.{CURSOR}"},
        {"cursor": f"name.ff.{CURSOR}"},
        {"cursor": f"name.00.{CURSOR}"},
        {"sort": "percent", "cursor": f"percent..{CURSOR}"},
        {"sort": "percent", "cursor": "percent.50.0"},
        {"sort": "time", "cursor": f"time.1.5.{CURSOR}"},
        {"sort": "activity", "cursor": f"activity.99999999999999999.{CURSOR}x"},
    ],
)
def test_what_is_no_page(scene: Scene, arguments: dict[str, Any]) -> None:
    named = {f"p_{name}": value for name, value in arguments.items()}
    with pytest.raises(Refused) as refused:
        scene.act("author").call("get_course_learners", p_course_id=scene.course.id, **named)
    assert (refused.value.code, refused.value.status) == ("invalid_value", 422)


def test_only_staff_of_the_course(scene: Scene) -> None:
    learner, course = scene.users["learner"], scene.course.id
    for name in ("author", "instructor", "assistant", "admin", "server"):
        actor = scene.act(name)
        page = actor.call("get_course_learners", p_course_id=course)
        assert [row["user_id"] for row in page["learners"]] == [str(learner)]
        one = actor.call("get_course_learner", p_course_id=course, p_user_id=learner)
        assert one["learner"] == page["learners"][0]
    for name in ("learner", "stranger", "other author", "other instructor", "other assistant"):
        for rpc, more in (
            ("get_course_learners", {}),
            ("get_course_learner", {"p_user_id": learner}),
        ):
            with pytest.raises(Refused) as refused:
                scene.act(name).call(rpc, p_course_id=course, **more)
            assert (refused.value.code, refused.value.status) == ("not_allowed", 403)


def test_nobody_but_learners_is_listed(scene: Scene) -> None:
    """Staff who learn too, and who was withdrawn, are in no list; nor are they looked up."""
    author = scene.act("author")
    scene.enroll("assistant")
    gone = scene.enroll("stranger")
    scene.operator.run("update public.enrollments set status = 'withdrawn' where id = %s", gone)
    page = author.call("get_course_learners", p_course_id=scene.course.id)
    assert [row["user_id"] for row in page["learners"]] == [str(scene.users["learner"])]
    for name in ("assistant", "stranger", "newcomer"):
        with pytest.raises(Refused) as refused:
            author.call(
                "get_course_learner", p_course_id=scene.course.id, p_user_id=scene.users[name]
            )
        assert refused.value.code == "enrollment_not_found"


def test_one_learner(scene: Scene) -> None:
    (first, second), (third, _) = scene.course.lessons
    learner = scene.act("learner")
    learner.call("complete_lesson", p_lesson_id=first)
    learner.call("start_lesson", p_lesson_id=second)
    scene.act("admin").call(
        "import_attempt", p_user_id=learner.user, p_lesson_id=third, p_percent=62.5
    )
    scene.act("author").call(
        "excuse_lesson", p_user_id=learner.user, p_lesson_id=second, p_reason="ill"
    )
    seen = scene.act("assistant").call(
        "get_course_learner", p_course_id=scene.course.id, p_user_id=learner.user
    )
    assert [row["lesson_id"] for row in seen["lessons"]] == [
        str(x) for x in [*scene.course.lessons[0], scene.spare, *scene.course.lessons[1]]
    ]
    by_id = {row["lesson_id"]: row for row in seen["lessons"]}
    assert (by_id[str(first)]["status"], by_id[str(first)]["is_waived"]) == ("completed", False)
    assert (by_id[str(second)]["status"], by_id[str(second)]["is_waived"]) == ("in_progress", True)
    assert (by_id[str(third)]["attempts"], by_id[str(third)]["best_score"]) == (1, 62.5)
    [attempt] = seen["attempts"]
    assert (attempt["lesson_id"], attempt["percent"], attempt["number"]) == (str(third), 62.5, 1)
    assert (seen["learner"]["score"], seen["learner"]["percent"]) == (62.5, 33.33)
