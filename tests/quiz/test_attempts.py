"""Attempts cannot be overrun, lost or moved: races, autosave, expiry, window, freezing."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.quiz.world import EVERY_KIND, Person, Refused, World, choice, sheet

TABS = 50
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
TWO = [choice("First?"), choice("Second?")]


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Run `work` so many times at one moment; a refusal is a result like any other."""
    gate = threading.Barrier(count)

    def run(number: int) -> Any:
        gate.wait()
        try:
            return work(number)
        except Refused as refused:
            return refused

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def start(person: Person, lesson: str) -> dict[str, Any]:
    attempt: dict[str, Any] = person.call("start_attempt", lesson_id=lesson)["attempt"]
    return attempt


def attempts(world: World, lesson: str, person: Person) -> list[tuple[Any, ...]]:
    return world.run(
        "select number, status, percent, expired from public.user_assessment_attempts"
        " where lesson_id = %s and user_id = %s order by number",
        lesson, person.id,
    )  # fmt: skip


# Races --------------------------------------------------------------------------------------------


def test_fifty_starts_are_one_attempt_and_the_maximum_holds(world: World) -> None:
    lesson = world.quiz(TWO, max_attempts=1)
    learner = world.learner()
    tabs = [world.person(learner.id) for _ in range(TABS)]
    found = at_once(TABS, lambda n: start(tabs[n], lesson)["id"])
    assert len(set(found)) == 1
    assert attempts(world, lesson, learner) == [(1, "in_progress", None, False)]

    learner.call("submit_attempt", attempt_id=found[0], answers=[], client_key="only")
    found = at_once(TABS, lambda n: start(tabs[n], lesson))
    assert {(f.code, f.status) for f in found} == {("attempts_exhausted", 409)}
    assert len(attempts(world, lesson, learner)) == 1


def test_one_submit_at_once_counts_once(world: World) -> None:
    lesson = world.quiz(TWO)
    learner = world.learner()
    attempt = start(learner, lesson)["id"]
    tabs = [world.person(learner.id) for _ in range(10)]
    answers = world.right(lesson)
    found = at_once(
        10, lambda n: tabs[n].call(
            "submit_attempt", attempt_id=attempt, answers=answers, client_key="k"
        ),
    )  # fmt: skip
    assert sorted(f["changed"] for f in found) == [False] * 9 + [True]
    assert {f["attempt"]["score"] for f in found} == {2}
    assert {f["progress"]["attempts"] for f in found} == {1}
    events = world.run(
        "select kind, count(*) from public.progress_events where user_id = %s group by kind",
        learner.id,
    )
    assert dict(events)["attempt_submitted"] == 1
    assert dict(events)["lesson_completed"] == 1


def test_numbers_have_no_gaps(world: World) -> None:
    lesson = world.quiz(TWO)
    learner = world.learner()
    tabs = [world.person(learner.id) for _ in range(12)]
    at_once(
        12, lambda n: [
            tabs[n].call("submit_quiz", lesson_id=lesson, client_key=f"{n}-{m}") for m in range(4)
        ],
    )  # fmt: skip
    numbers = [row[0] for row in attempts(world, lesson, learner)]
    assert numbers == list(range(1, 49))
    ((counted,),) = world.run(
        "select attempts from public.user_progress where lesson_id = %s and user_id = %s",
        lesson, learner.id,
    )  # fmt: skip
    assert counted == 48


def test_many_learners_and_staff_at_once_do_not_deadlock(world: World) -> None:
    lesson = world.quiz([*TWO, {"kind": "free_text", "text": "Why?"}], max_attempts=9)
    plain = world.quiz(TWO)
    learners = [world.learner() for _ in range(8)]
    teachers = [world.staff() for _ in range(2)]
    server = world.person(None, "service_role")

    def work(n: int) -> None:
        if n < 8:
            for m in range(6):
                learners[n].call("submit_quiz", lesson_id=plain, client_key=str(m))
                learners[n].call("submit_quiz", lesson_id=lesson, client_key=str(m))
        elif n < 10:
            for m in range(6):
                flip = [choice("First?", right=(n + m) % 2), TWO[1]]
                if n == 8:
                    world.set_quiz(plain, flip)
                teachers[n - 8].call("regrade_lesson", lesson_id=plain, dry_run=False)
                page = teachers[n - 8].call("get_lesson_attempts", lesson_id=lesson, limit=20)
                for attempt in page["attempts"]:
                    teachers[n - 8].call(
                        "grade_attempt",
                        attempt_id=attempt["id"],
                        grades=[{"question_id": "q3", "points": 1}],
                    )
        else:
            for _ in range(10):
                server.call("fold_statistics")
                server.call("expire_attempts")

    for result in at_once(11, work):
        assert result is None, result


# Autosave -----------------------------------------------------------------------------------------


def test_saves_out_of_order_lose_nothing(world: World) -> None:
    lesson = world.quiz(TWO)
    learner = world.learner()
    saves = [
        [{"question_id": "q1", "answer": "o2", "seq": 1}],
        [{"question_id": "q1", "answer": "o1", "seq": 2},
         {"question_id": "q2", "answer": "o2", "seq": 2}],
        [{"question_id": "q2", "answer": "o1", "seq": 3}],
        [{"question_id": "q1", "answer": "o2", "seq": 1},
         {"question_id": "q2", "answer": None, "seq": 1}],
    ]  # fmt: skip
    for order in itertools.permutations(saves):
        attempt = start(learner, lesson)["id"]
        for save in order:
            learner.call("save_answers", attempt_id=attempt, answers=save)
        done = learner.call("submit_attempt", attempt_id=attempt)["attempt"]
        assert done["answers"] == {
            "q1": {"answer": "o1", "seq": 2}, "q2": {"answer": "o1", "seq": 3},
        }  # fmt: skip
        assert done["score"] == 2


def test_two_tabs_save_at_once(world: World) -> None:
    lesson = world.quiz([choice(f"{n}?") for n in range(20)])
    learner = world.learner()
    attempt = start(learner, lesson)["id"]
    tabs = [world.person(learner.id) for _ in range(20)]
    at_once(20, lambda n: tabs[n].call(
        "save_answers", attempt_id=attempt,
        answers=[{"question_id": f"q{n + 1}", "answer": "o1", "seq": 1}],
    ))  # fmt: skip
    assert learner.call("submit_attempt", attempt_id=attempt)["attempt"]["score"] == 20


def test_a_save_without_seq_is_the_newest_and_null_clears(world: World) -> None:
    lesson = world.quiz(TWO)
    learner = world.learner()
    attempt = start(learner, lesson)["id"]
    learner.call("save_answers", attempt_id=attempt, answers=[
        {"question_id": "q1", "answer": "o1", "seq": 2**53 - 1}])  # fmt: skip
    learner.call("save_answers", attempt_id=attempt, answers=sheet({"q1": "o2"}))
    saved = learner.call("save_answers", attempt_id=attempt, answers=sheet({"q1": None}))
    assert saved["attempt"]["answers"]["q1"]["answer"] is None
    assert saved["attempt"]["results"] is None


def test_of_several_answers_to_one_question_the_newest_stays(world: World) -> None:
    lesson = world.quiz(TWO)
    learner = world.learner()
    attempt = start(learner, lesson)["id"]
    for answers, expected in (
        # By seq, whatever their order; then by their order.
        ([("o1", 3), ("o2", 2)], {"answer": "o1", "seq": 3}),
        ([("o2", 4), ("o1", 4.0)], {"answer": "o1", "seq": 4}),
        ([("o2", 1), ("o2", 4)], {"answer": "o1", "seq": 4}),
    ):
        save = [{"question_id": "q1", "answer": a, "seq": seq} for a, seq in answers]
        saved = learner.call("save_answers", attempt_id=attempt, answers=save)
        assert saved["attempt"]["answers"] == {"q1": expected}


def test_an_unchanged_save_writes_nothing(world: World) -> None:
    lesson = world.quiz(TWO)
    learner = world.learner()
    attempt = start(learner, lesson)["id"]
    save = [{"question_id": "q1", "answer": "o1", "seq": 1}]
    learner.call("save_answers", attempt_id=attempt, answers=save)
    rows = "select xmin::text from public.user_assessment_attempts where id = %s"
    before = world.one(rows, attempt)
    learner.call("save_answers", attempt_id=attempt, answers=save)
    assert world.one(rows, attempt) == before


# Idempotence --------------------------------------------------------------------------------------


def test_the_same_key_answers_the_same(world: World) -> None:
    lesson = world.quiz(TWO)
    learner = world.learner()
    first = learner.call(
        "submit_quiz", lesson_id=lesson, answers=world.right(lesson), client_key="a"
    )
    again = learner.call("submit_quiz", lesson_id=lesson, answers=[], client_key="a")
    assert (first.pop("changed"), again.pop("changed")) == (True, False)
    for answer in (first, again):
        answer["attempt"].pop("server_time")
        for moved in ("last_accessed",):
            answer["progress"].pop(moved)
        answer["enrollment"].pop("last_accessed_at")
    assert first == again
    other = start(learner, lesson)["id"]
    refused = learner.refusal("submit_attempt", attempt_id=other, client_key="a")
    assert (refused.code, refused.status) == ("conflict", 409)
    refused = learner.refusal("submit_attempt", attempt_id=other, client_key="x" * 201)
    assert (refused.code, refused.status) == ("invalid_value", 422)
    assert learner.call("submit_attempt", attempt_id=other, client_key="b")["changed"]


def test_answers_after_the_end(world: World) -> None:
    lesson = world.quiz(TWO)
    learner = world.learner()
    attempt = learner.call("submit_quiz", lesson_id=lesson, client_key="a")["attempt"]["id"]
    answers = world.right(lesson)
    for refused in (
        learner.refusal("save_answers", attempt_id=attempt, answers=answers),
        learner.refusal("submit_attempt", attempt_id=attempt, answers=answers, client_key="b"),
        learner.refusal("submit_attempt", attempt_id=attempt, answers=answers),
    ):
        assert (refused.code, refused.status) == ("attempt_closed", 409)
    assert attempts(world, lesson, learner) == [(1, "graded", 0, False)]
    assert not learner.call("submit_attempt", attempt_id=attempt)["changed"]


# Time ---------------------------------------------------------------------------------------------


def overdue(world: World, person: Person) -> tuple[str, str]:
    """A timed quiz of two, started at NOW with one right answer saved: its end has passed."""
    lesson = world.quiz(TWO, time_limit_seconds=60, max_attempts=1, pass_percent=50)
    person.at(NOW)
    attempt = start(person, lesson)
    assert attempt["expires_at"] == "2026-12-01T12:01:00+00:00"
    person.call("save_answers", attempt_id=attempt["id"], answers=sheet({"q1": "o1"}))
    return lesson, attempt["id"]


@pytest.mark.parametrize("by", ["start", "save", "submit", "submit quiz", "sweep"])
def test_an_expired_attempt_is_graded_on_what_was_saved(world: World, by: str) -> None:
    learner = world.learner()
    lesson, attempt = overdue(world, learner)
    late = NOW + timedelta(seconds=66)
    learner.at(late)
    answers = sheet({"q2": "o1"})
    if by == "sweep":
        server = world.person(None, "service_role")
        world.run("select set_config('waymark.now', %s, false)", late.isoformat())
        server.at(late)
        server.call("expire_attempts", limit=1000)
    elif by == "start":
        # The maximum is reached: the grading survives the refusal.
        assert learner.refusal("start_attempt", lesson_id=lesson).code == "attempts_exhausted"
    elif by == "save":
        refused = learner.refusal("save_answers", attempt_id=attempt, answers=answers)
        assert refused.code == "attempt_closed"
    elif by == "submit":
        refused = learner.refusal("submit_attempt", attempt_id=attempt, answers=answers)
        assert refused.code == "attempt_closed"
        assert '"expired": true' in refused.details
    else:
        refused = learner.refusal("submit_quiz", lesson_id=lesson, answers=answers, client_key="k")
        assert refused.code == "attempt_closed"
    assert attempts(world, lesson, learner) == [(1, "graded", 50, True)]
    progress = learner.call("get_lesson_progress", lesson_id=lesson)
    assert (progress["is_completed"], progress["attempts"], progress["best_score"]) == (True, 1, 50)
    shown = learner.call("get_attempts", lesson_id=lesson)["attempts"][0]
    assert shown["submitted_at"] == "2026-12-01T12:01:00+00:00"


def test_the_grace_of_a_few_seconds(world: World) -> None:
    learner = world.learner()
    _lesson, attempt = overdue(world, learner)
    learner.at(NOW + timedelta(seconds=65))
    learner.call("save_answers", attempt_id=attempt, answers=sheet({"q2": "o1"}))
    done = learner.call("submit_attempt", attempt_id=attempt)["attempt"]
    assert (done["percent"], done["expired"]) == (100, False)


def test_a_submit_of_an_expired_attempt_does_not_use_up_the_next(world: World) -> None:
    lesson = world.quiz(TWO, time_limit_seconds=60, max_attempts=2)
    learner = world.learner()
    learner.at(NOW)
    start(learner, lesson)
    learner.at(NOW + timedelta(hours=1))
    refused = learner.refusal("submit_quiz", lesson_id=lesson, answers=world.right(lesson))
    assert refused.code == "attempt_closed"
    assert attempts(world, lesson, learner) == [(1, "graded", 0, True)]
    assert start(learner, lesson)["number"] == 2


def test_the_client_has_no_say_in_time(world: World) -> None:
    """A request's role is authenticator's: the clock setting is not believed there."""
    definition = world.one("select pg_get_functiondef('private.clock()'::regprocedure)")
    assert "authenticator" in definition


def test_cool_down_tells_when(world: World) -> None:
    lesson = world.quiz(TWO, attempt_cooldown_seconds=90)
    learner = world.learner()
    learner.at(NOW)
    learner.call("submit_quiz", lesson_id=lesson)
    learner.at(NOW + timedelta(seconds=30))
    refused = learner.refusal("start_attempt", lesson_id=lesson)
    assert (refused.code, refused.status, refused.retry_after) == ("attempt_cooldown", 409, "60")
    learner.at(NOW + timedelta(seconds=90))
    assert start(learner, lesson)["number"] == 2


def test_the_window(world: World) -> None:
    lesson = world.quiz(
        TWO, quiz_available_from=NOW, quiz_available_until=NOW + timedelta(minutes=1),
        time_limit_seconds=300,
    )  # fmt: skip
    learner = world.learner()
    learner.at(NOW - timedelta(seconds=1))
    assert learner.refusal("start_attempt", lesson_id=lesson).code == "quiz_not_open"
    learner.at(NOW)
    assert start(learner, lesson)["expires_at"] == "2026-12-01T12:01:00+00:00"
    late = world.learner()
    late.at(NOW + timedelta(minutes=1))
    assert late.refusal("submit_quiz", lesson_id=lesson).code == "quiz_closed"


# Freezing -----------------------------------------------------------------------------------------


def test_pools_are_drawn_once_and_options_shuffled_once(world: World) -> None:
    options = [str(n) for n in range(8)]
    questions = [
        choice("always", *options),
        *(choice(f"easy {n}", *options, pool="easy") for n in range(6)),
        *(choice(f"hard {n}", *options, pool="hard") for n in range(3)),
    ]
    lesson = world.quiz(questions, pools={"easy": 2, "hard": 1}, shuffle_options=True)
    drawn, orders = set(), set()
    for _ in range(12):
        learner = world.learner()
        first = start(learner, lesson)
        assert start(learner, lesson)["questions"] == first["questions"]
        asked = [q["id"] for q in first["questions"]]
        assert (len(asked), first["total_questions"], first["max_score"]) == (4, 4, 4)
        assert asked[0] == "q1"
        assert sum(2 <= int(q[1:]) <= 7 for q in asked) == 2
        drawn.add(tuple(asked))
        orders.add(tuple(o["id"] for o in first["questions"][0]["options"]))
        keys = {q: a for q, a in world.keys(lesson).items() if q in asked}
        assert learner.call("submit_quiz", lesson_id=lesson, answers=sheet(keys))["attempt"][
            "passed"
        ]
        outside = next(q["id"] for n in range(10) if (q := {"id": f"q{n + 1}"})["id"] not in asked)
        again = start(learner, lesson)
        if outside not in [q["id"] for q in again["questions"]]:
            refused = learner.refusal(
                "save_answers", attempt_id=again["id"], answers=sheet({outside: "o1"})
            )
            assert refused.code == "invalid_answer"
    assert len(drawn) > 3
    assert len(orders) > 3


@pytest.mark.parametrize(
    "closing",
    [{"time_limit_seconds": 60}, {"max_attempts": 1}, {"quiz_available_until": NOW},
     {"pools": {"p": 1}}],
    ids=lambda c: next(iter(c)),
)  # fmt: skip
def test_a_closed_quiz_shows_no_question_outside_an_attempt(
    world: World, closing: dict[str, Any]
) -> None:
    questions = [choice("SECRET-QUESTION", pool="p" if "pools" in closing else None)]
    lesson = world.quiz(questions, **closing)
    learner = world.learner()
    data, row = world.run(
        "select quiz_data, to_jsonb(l)::text from public.lessons l where id = %s", lesson
    )[0]
    assert data == {"total_questions": 1, "shuffle_options": False}
    assert "SECRET-QUESTION" not in row
    learner.at(NOW - timedelta(days=1))
    assert "SECRET-QUESTION" in str(start(learner, lesson))


def test_an_open_quiz_shows_its_questions(world: World) -> None:
    lesson = world.quiz(EVERY_KIND)
    data = world.one("select quiz_data from public.lessons where id = %s", lesson)
    assert [q["kind"] for q in data["questions"]] == [q["kind"] for q in EVERY_KIND]
    world.run("update public.lessons set max_attempts = 3 where id = %s", lesson)
    assert "questions" not in world.one(
        "select quiz_data from public.lessons where id = %s", lesson
    )
    world.run("update public.lessons set max_attempts = null where id = %s", lesson)
    assert world.one("select quiz_data from public.lessons where id = %s", lesson) == data


def test_frozen_rules_survive_edits_of_the_lesson(world: World) -> None:
    lesson = world.quiz(TWO, pass_percent=50, time_limit_seconds=600)
    learner, other = world.learner(), world.learner()
    before, harder = start(learner, lesson), start(other, lesson)
    world.run(
        "update public.lessons set pass_percent = 100, time_limit_seconds = 5 where id = %s", lesson
    )
    done = learner.call("submit_attempt", attempt_id=before["id"], answers=sheet({"q1": "o1"}))
    assert (done["attempt"]["passed"], done["attempt"]["pass_percent"]) == (True, 50)
    assert done["attempt"]["expires_at"] == before["expires_at"]
    # Passed by its own mark: the lesson is complete, although the mark is 100 by now.
    assert done["progress"]["is_completed"]
    # And the other way: failed by its own mark, not completed by a mark that fell afterwards.
    other.call("submit_attempt", attempt_id=harder["id"], answers=sheet({}))
    third = world.learner()
    failed = third.call("submit_quiz", lesson_id=lesson, answers=sheet({"q1": "o1"}))
    assert failed["attempt"]["passed"] is False
    world.run("update public.lessons set pass_percent = 10 where id = %s", lesson)
    assert third.refusal("complete_lesson", lesson_id=lesson).code == "rule_not_met"


def test_an_open_attempt_survives_edits_of_the_quiz(world: World) -> None:
    lesson = world.quiz([choice("First?", "a", "b", "c"), choice("Second?", "d", "e", "f")])
    learner = world.learner()
    attempt = start(learner, lesson)
    # One before, one away, an option more: places shift, answers do not.
    world.set_quiz(lesson, [choice("New", "x", "y"), choice("First?", "z", "a", "b", "c", right=1)])
    done = learner.call(
        "submit_attempt", attempt_id=attempt["id"], answers=sheet({"q1": "o1", "q2": "o1"})
    )["attempt"]
    assert done["questions"] == attempt["questions"]
    assert (done["score"], done["total_questions"]) == (2, 2)
    fresh = start(learner, lesson)["questions"]
    assert [q["text"] for q in fresh] == ["New", "First?"]
    assert fresh[1]["id"] == "q1"
    assert {o["text"]: o["id"] for o in fresh[1]["options"]}["a"] == "o1"
    assert not {fresh[0]["id"]} & {"q1", "q2"}


def test_an_id_never_changes_its_kind(world: World) -> None:
    lesson = world.quiz([choice("First?", id="x")])
    with pytest.raises(Exception, match="invalid_quiz"):
        world.set_quiz(lesson, [{"id": "x", "kind": "true_false", "text": "?", "correct": True}])
