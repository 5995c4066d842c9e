"""Lessons that complete by viewing or watching do so by themselves, in the same transaction."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta

from tests.database.actors import Actor, drift
from tests.watch.conftest import DAWN, VIDEO, Player

Enrolled = Callable[..., Player]


def test_a_video_completes_at_ninety_percent(enrolled: Enrolled, operator: Actor) -> None:
    me, session = enrolled(VIDEO, {}), uuid.uuid4()
    for n in range(1, 18):
        answer = me.view(30 * n, session, 30 * n, watched=[[0, 30 * n]])
        assert answer["missing"] == {"rule": "watch", "needed": 540, "have": 30 * n}
        assert answer["progress"]["status"] == "in_progress"
    done = me.view(540, session, 540, watched=[[0, 540]])
    assert set(done) == {
        "progress", "enrollment", "next_lesson_id", "certificate", "credited_seconds", "missing",
        "changed",
    }  # fmt: skip
    assert (done["progress"]["status"], done["progress"]["progress"]) == ("completed", 1)
    assert done["progress"]["completed_at"] == (DAWN + timedelta(seconds=540)).isoformat()
    assert done["enrollment"]["completed_lessons"] == 1
    assert done["enrollment"]["progress_percent"] == 50
    assert done["next_lesson_id"] == str(me.course.all[1])
    assert done["missing"] is None
    again = me.actor.call("complete_lesson", p_lesson_id=me.course.all[0])
    assert again["changed"] is False
    assert {n: again[n] for n in ("progress", "enrollment", "next_lesson_id")} == {
        n: done[n] for n in ("progress", "enrollment", "next_lesson_id")
    }
    kinds = operator.run(
        "select kind from public.progress_events where user_id = %s order by id", me.user
    )
    assert [row["kind"] for row in kinds] == ["enrolled", "lesson_started", "lesson_completed"]
    assert drift(operator, [me.course.id]) == []


def test_the_last_one_finishes_the_course(enrolled: Enrolled) -> None:
    me, session = enrolled({"completion_rule": "view", "min_view_seconds": 45}), uuid.uuid4()
    assert me.view(30, session, 30)["missing"] == {"rule": "view", "needed": 45, "have": 30}
    done = me.view(60, session, 60)
    assert done["enrollment"]["progress_percent"] == 100
    assert done["enrollment"]["completed_at"] == done["progress"]["completed_at"]
    assert done["next_lesson_id"] is None


def test_unearned_seconds_complete_nothing(enrolled: Enrolled) -> None:
    me = enrolled({"completion_rule": "view", "min_view_seconds": 600}, VIDEO)
    for n in range(50):
        answer = me.view(1000, uuid.uuid4(), 60)
        assert answer["progress"]["status"] == "in_progress"
        answer = me.view(1000, uuid.uuid4(), 60, 1, watched=[[10 * n, 10 * n + 20]])
        assert answer["progress"]["status"] == "in_progress"


def test_a_video_without_a_duration_never_completes_and_says_so(enrolled: Enrolled) -> None:
    me, session = enrolled({"type": "video", "completion_rule": "watch"}), uuid.uuid4()
    answer = me.view(50_000, session, 40_000, watched=[[0, 40_000]], progress=1)
    assert answer["progress"]["status"] == "in_progress"
    assert answer["missing"] == {
        "rule": "watch", "needed": None, "have": None,
        "why": "the lesson's duration is not known",
    }  # fmt: skip


def test_other_rules_are_not_met_by_watching(enrolled: Enrolled) -> None:
    me = enrolled({"completion_rule": "manual"}, {"completion_rule": "submit", "type": "quiz"})
    assert me.view(9000, uuid.uuid4(), 8000, progress=1)["progress"]["status"] == "in_progress"
    answer = me.view(9000, uuid.uuid4(), 8000, 1)
    assert answer["missing"] == {"rule": "submit", "needed": 1, "have": 0}


def test_a_shortened_video_counts_what_is_left_of_it(enrolled: Enrolled, operator: Actor) -> None:
    me, session = enrolled(VIDEO), uuid.uuid4()
    me.view(1000, session, 300, watched=[[300, 600]])
    operator.run("update public.lessons set duration_seconds = 330 where id = %s", me.course.all[0])
    answer = me.view(1010, session, 310, watched=[[300, 310]])
    assert answer["missing"] == {"rule": "watch", "needed": 297, "have": 30}
    assert me.view(1100, session, 380, watched=[[0, 70]])["progress"]["status"] == "in_progress"


def test_taking_a_completion_back_holds_until_something_new_is_seen(enrolled: Enrolled) -> None:
    me, session = enrolled({"completion_rule": "view", "min_view_seconds": 30}), uuid.uuid4()
    assert me.view(30, session, 30)["progress"]["status"] == "completed"
    me.actor.call("uncomplete_lesson", p_lesson_id=me.course.all[0])
    assert me.view(31, session, 30)["progress"]["status"] == "in_progress"
    assert me.view(60, session, 60)["progress"]["status"] == "completed"
