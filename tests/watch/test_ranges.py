"""Watched ranges, positions, sections and fractions: unions that grow as fast as time allows."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.database.actors import Actor, insert
from tests.watch.conftest import VIDEO, Player, facts, refusal

Enrolled = Callable[..., Player]


def watched(operator: Actor, player: Player) -> list[list[int]]:
    """The stored ranges of the first lesson."""
    found: list[list[int]] = operator.one(
        "select coalesce(array_agg(array[lower(r), upper(r)] order by r), '{}')"
        " from public.user_progress p, unnest(p.watched) as r"
        " where p.user_id = %s and p.lesson_id = %s",
        player.user,
        player.course.all[0],
    )
    return found


@pytest.mark.parametrize("seconds", [0, 1, 30, 60])
def test_everything_at_once_gains_nothing(
    enrolled: Enrolled, operator: Actor, seconds: int
) -> None:
    me = enrolled(VIDEO)
    answer = me.view(1000, uuid.uuid4(), seconds, watched=[[0, 99999]])
    assert watched(operator, me) == []
    assert (answer["progress"]["progress"], answer["progress"]["status"]) == (0, "in_progress")
    assert answer["missing"] == {"rule": "watch", "needed": 540, "have": 0}


def test_ranges_are_a_union_clipped_to_the_duration(enrolled: Enrolled, operator: Actor) -> None:
    me, session = enrolled(VIDEO), uuid.uuid4()
    me.view(1000, session, 300)
    me.view(1001, session, 300, watched=[[0, 10], [5, 20], [20, 30], [100, 110], [3, 3]])
    assert watched(operator, me) == [[0, 30], [100, 110]]
    me.view(1002, session, 300, watched=[[590, 604800], [25, 105]])
    answer = me.view(1003, session, 300, watched=[])
    assert watched(operator, me) == [[0, 110], [590, 600]]
    assert answer["progress"]["progress"] == 0.2


def test_coverage_grows_at_twice_the_speed_of_time_at_most(
    enrolled: Enrolled, operator: Actor
) -> None:
    me, session = enrolled(VIDEO), uuid.uuid4()
    for n in range(1, 21):
        # A player at three times the speed: what it leaves out comes when there is time for it.
        me.view(10 * n, session, 10 * n, watched=[[0, 30 * n]])
        [[begin, end]] = watched(operator, me)
        assert begin == 0
        assert 10 * n <= end <= 20 * n


def test_a_player_at_twice_the_speed_loses_nothing(enrolled: Enrolled) -> None:
    me, session = enrolled(VIDEO), uuid.uuid4()
    for n in range(1, 11):
        answer = me.view(30 * n, session, 30 * n, watched=[[0, 60 * n]])
    assert answer["progress"]["progress"] == 1
    assert answer["progress"]["status"] == "completed"


def test_watching_again_does_not_count_again(enrolled: Enrolled) -> None:
    me, session = enrolled(VIDEO), uuid.uuid4()
    for n in range(1, 21):
        answer = me.view(30 * n, session, 30 * n, watched=[[0, 60]])
    assert answer["progress"]["progress"] == 0.1
    assert answer["progress"]["view_time_seconds"] == 600


def test_ranges_are_bounded_in_number(enrolled: Enrolled, operator: Actor) -> None:
    me, session = enrolled({"type": "video", "duration_seconds": 6000}), uuid.uuid4()
    me.view(9000, session, 6000)
    for n in range(4):
        me.view(
            9001 + n, session, 6000,
            watched=[[10 * m + 2 * n, 10 * m + 2 * n + 1] for m in range(200)],
        )  # fmt: skip
    assert len(watched(operator, me)) == 200
    answer = me.view(9005, session, 6000, watched=[[2000, 2500]])
    # The longest stay, and what was covered never shrinks.
    assert [2000, 2500] in watched(operator, me)
    assert len(watched(operator, me)) == 200
    assert answer["progress"]["progress"] >= 0.1165


def test_positions_follow_the_newest_report(enrolled: Enrolled) -> None:
    me, one, two = enrolled(VIDEO), uuid.uuid4(), uuid.uuid4()
    me.view(100, one, 60, position_seconds=60)
    # Seeking while it stands still.
    answer = me.view(110, one, 60, position_seconds=400)
    assert answer["progress"]["position_seconds"] == 400
    answer = me.view(200, two, 30, position_seconds=9999)
    assert answer["progress"]["position_seconds"] == 600
    # A repetition of what the first session said last.
    answer = me.view(210, one, 60, position_seconds=400)
    assert (answer["changed"], answer["progress"]["position_seconds"]) == (False, 600)


def test_the_place_in_the_course_follows(enrolled: Enrolled) -> None:
    me, session = enrolled({}, {}), uuid.uuid4()
    enrollment = me.view(30, session, 30, 1, section="intro")["enrollment"]
    assert enrollment["current_lesson_id"] == str(me.course.all[1])
    assert enrollment["current_module_id"] == str(me.course.modules[0])
    assert enrollment["current_section"] == "intro"
    assert me.view(60, session, 60, 1)["enrollment"]["current_section"] == "intro"
    enrollment = me.view(90, session, 10, 0)["enrollment"]
    assert enrollment["current_lesson_id"] == str(me.course.all[0])
    assert enrollment["current_section"] is None


def test_an_articles_fraction_is_scroll_or_position_and_never_falls(enrolled: Enrolled) -> None:
    me, session = enrolled({}, {"duration_seconds": 200}), uuid.uuid4()
    for seconds, told, shown in ((10, 0.2, 0.2), (20, 0.1, 0.2), (30, None, 0.2), (40, 1.0, 1)):
        answer = me.view(seconds, session, seconds, progress=told)
        assert answer["progress"]["progress"] == shown
        assert answer["progress"]["status"] == "in_progress"
    assert me.view(50, session, 50, 1, position_seconds=50)["progress"]["progress"] == 0.25


def test_a_videos_fraction_is_what_was_watched_whatever_is_told(enrolled: Enrolled) -> None:
    me, session = enrolled(VIDEO, {"type": "video"}), uuid.uuid4()
    answer = me.view(60, session, 60, watched=[[0, 60]], progress=0.9, position_seconds=500)
    assert answer["progress"]["progress"] == 0.1
    put = me.actor.call(
        "put_lesson_progress", p_lesson_id=me.course.all[0], p_progress=0.8, p_position_seconds=7
    )
    assert (put["progress"]["progress"], put["progress"]["position_seconds"]) == (0.1, 7)
    # Without a duration nobody knows better than the player.
    assert me.view(90, session, 20, 1, progress=0.5)["progress"]["progress"] == 0.5


def test_a_quizs_fraction_is_what_was_answered(enrolled: Enrolled, operator: Actor) -> None:
    me, session = enrolled({"type": "quiz", "completion_rule": "submit"}), uuid.uuid4()
    questions = [
        {"id": f"q{n}", "kind": "true_false", "text": "So?", "correct": True} for n in range(4)
    ]
    operator.run(
        "select public.set_quiz(%s, %s)", me.course.all[0], Jsonb({"questions": questions})
    )
    attempt = me.actor.call("start_attempt", p_lesson_id=me.course.all[0])["attempt"]["id"]
    me.actor.call(
        "save_answers",
        p_attempt_id=attempt,
        p_answers=Jsonb(
            [{"question_id": "q0", "answer": True}, {"question_id": "q1", "answer": None}]
        ),
    )
    answer = me.view(60, session, 60, progress=0.9)
    assert answer["progress"]["progress"] == 0.25


def test_a_finished_lesson_stays_whole_and_goes_on_counting_time(enrolled: Enrolled) -> None:
    me, session = enrolled({}), uuid.uuid4()
    me.at(10)
    me.actor.call("complete_lesson", p_lesson_id=me.course.all[0])
    answer = me.view(100, session, 60, progress=0.3)
    assert (answer["progress"]["progress"], answer["credited_seconds"]) == (1, 60)
    assert answer["progress"]["status"] == "completed"
    assert answer["missing"] is None


# Refusals

BAD: dict[str, dict[str, Any]] = {
    "no session": {"p_session_id": None},
    "no seconds": {"p_seconds": None},
    "negative seconds": {"p_seconds": -1},
    "more than a week": {"p_seconds": 604801},
    "a negative position": {"p_position_seconds": -1},
    "an absurd position": {"p_position_seconds": 2**31 - 1},
    "ten thousand ranges": {"p_watched": Jsonb([[n, n + 1] for n in range(10_000)])},
    "a negative range": {"p_watched": Jsonb([[-5, 5]])},
    "a reversed range": {"p_watched": Jsonb([[0, 5], [9, 8]])},
    "an absurd range": {"p_watched": Jsonb([[0, 10**9]])},
    "a fraction": {"p_watched": Jsonb([[0.5, 9]])},
    "words": {"p_watched": Jsonb([["0", "9"]])},
    "one end": {"p_watched": Jsonb([[0]])},
    "three ends": {"p_watched": Jsonb([[0, 1, 2]])},
    "no list": {"p_watched": Jsonb({"0": 9})},
    "no ranges": {"p_watched": Jsonb([0, 9])},
    "numbers without end": {"p_watched": Jsonb([[0, 10**400]])},
    "no section": {"p_section": ""},
    "a long section": {"p_section": "x" * 201},
    "no number": {"p_progress": float("nan")},
    "more than all": {"p_progress": 1.01},
    "less than nothing": {"p_progress": -0.01},
}


@pytest.mark.parametrize("name", BAD)
def test_what_no_player_sends_changes_nothing(
    enrolled: Enrolled, operator: Actor, name: str
) -> None:
    me, session = enrolled(VIDEO), uuid.uuid4()
    me.view(30, session, 30, watched=[[0, 30]])
    before = facts(operator, me.user)
    good = {"p_lesson_id": me.course.all[0], "p_session_id": session, "p_seconds": 60}
    problem = refusal(me.actor.call, "view_lesson", **{**good, **BAD[name]})
    assert (problem.code, problem.status) == ("invalid_value", 422)
    assert facts(operator, me.user) == before


def test_another_persons_session_is_out_of_reach(enrolled: Enrolled, operator: Actor) -> None:
    """The same session id is another session for somebody else, and neither learns of the other."""
    me, session = enrolled(VIDEO), uuid.uuid4()
    me.view(300, session, 300, watched=[[0, 300]])
    before = facts(operator, me.user)
    other = enrolled(course=me.course)
    answer = other.view(330, session, 30, watched=[[0, 30]])
    assert (answer["credited_seconds"], answer["progress"]["view_time_seconds"]) == (30, 30)
    assert facts(operator, me.user) == before


def test_who_may_not_open_the_lesson_may_not_view_it(enrolled: Enrolled, operator: Actor) -> None:
    me = enrolled({"is_preview": True}, {})
    assert refusal(me.view, 30, uuid.uuid4(), 30).code == "preview_lesson"
    stranger = enrolled()
    stranger.course = me.course
    assert refusal(stranger.view, 30, uuid.uuid4(), 30, 1).code == "not_enrolled"
    operator.run("update public.enrollments set status = 'withdrawn' where user_id = %s", me.user)
    assert refusal(me.view, 30, uuid.uuid4(), 30, 1).code == "enrollment_inactive"
    draft = insert(operator, "courses", {"slug": f"t-{uuid.uuid4()}", "title": "D"})
    assert draft["status"] == "draft"
    me.course.all.append(uuid.uuid4())
    missing = refusal(
        me.actor.call, "view_lesson", p_lesson_id=uuid.uuid4(), p_session_id=uuid.uuid4(),
        p_seconds=1,
    )  # fmt: skip
    assert missing.code == "lesson_not_found"
