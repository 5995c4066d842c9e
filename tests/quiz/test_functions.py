"""Quizzes through the functions: the typed client, bad input, logs, and a killed process."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.client import WaymarkClient, WaymarkError
from shared.errors import CODES
from tests.quiz.world import EVERY_KIND, Person, World, choice, sheet
from tests.stack import Stack

ESSAY = {"kind": "free_text", "text": "Why?", "points": 100}
PATIENCE = 60.0


def client(stack: Stack, user: str | None) -> WaymarkClient:
    return WaymarkClient(
        stack.functions_url,
        stack.token(str(user)),
        apikey=stack.publishable_key,
        timeout=60,
        retries=6,
    )


def refusal(call: Any, *arguments: Any, **options: Any) -> WaymarkError:
    with pytest.raises(WaymarkError) as caught:
        call(*arguments, **options)
    return caught.value


@pytest.fixture
def learner(world: World) -> Person:
    return world.learner()


@pytest.fixture
def me(world: World, learner: Person) -> Iterator[WaymarkClient]:
    with client(world.stack, learner.id) as made:
        yield made


def test_a_quiz_from_start_to_end(world: World, me: WaymarkClient) -> None:
    lesson = world.quiz(EVERY_KIND, max_attempts=2)
    after = world.lesson(position=9)
    first = me.start_attempt(lesson)["attempt"]
    assert me.start_attempt(lesson)["attempt"]["id"] == first["id"]
    saved = me.save_answers(first["id"], [{"question_id": "q1", "answer": "o1", "seq": 4}])
    assert saved["attempt"]["answers"] == {"q1": {"answer": "o1", "seq": 4}}
    done = me.submit_attempt(first["id"], client_key="one")
    assert (done["attempt"]["score"], done["changed"]) == (1, True)
    again = me.submit_attempt(first["id"], client_key="one")
    assert (again["attempt"]["score"], again["changed"]) == (1, False)

    passed = me.submit_quiz(lesson, world.right(lesson))
    assert passed["attempt"]["passed"]
    assert passed["progress"]["is_completed"]
    assert passed["next_lesson_id"] == after
    assert passed["attempt"]["results"] is not None
    history = me.attempts(lesson)
    assert [a["score"] for a in history["attempts"]] == [1, 7]
    assert history["reported_percent"] == 100
    refused = refusal(me.start_attempt, lesson)
    assert (refused.status, refused.code, refused.details) == (
        409, "attempts_exhausted", {"max_attempts": 2},
    )  # fmt: skip


def test_submitting_at_once_is_one_round_trip(world: World, learner: Person) -> None:
    lesson = world.quiz(EVERY_KIND)
    response = httpx.post(
        f"{world.stack.functions_url}/assessments/lessons/{lesson}/submit",
        json={"answers": world.right(lesson), "client_key": "k"},
        headers={"Authorization": f"Bearer {world.stack.token(str(learner.id))}"},
        timeout=30,
        trust_env=False,
    )
    assert response.status_code == 200
    timing = response.headers["server-timing"]
    assert timing.count("db;") == 1
    assert response.json()["progress"]["is_completed"]


def test_staff_grade_and_regrade(world: World, me: WaymarkClient) -> None:
    lesson = world.quiz([ESSAY, choice("And?", right=1, points=100)], pass_percent=50)
    done = me.submit_quiz(lesson, sheet({"q1": "So.", "q2": "o1"}))
    assert (done["attempt"]["status"], done["progress"]["is_completed"]) == ("submitted", False)
    with client(world.stack, world.staff().id) as teacher:
        graded = teacher.grade_attempt(done["attempt"]["id"], {"q1": 40.5}, feedback="Short")
        assert (graded["attempt"]["score"], graded["attempt"]["passed"]) == (40.5, False)
        world.set_quiz(lesson, [ESSAY, choice("And?", points=100)])
        assert teacher.regrade(lesson)["newly_passed"] == 1
        assert not me.lesson(lesson)["is_completed"]
        assert teacher.regrade(lesson, dry_run=False, reason="key")["newly_passed"] == 1
        assert me.lesson(lesson)["is_completed"]
    refused = refusal(me.grade_attempt, done["attempt"]["id"], {"q1": 100})
    assert (refused.status, refused.code) == (404, "attempt_not_found")
    refused = refusal(me.regrade, lesson, dry_run=False)
    assert (refused.status, refused.code) == (403, "not_allowed")


def test_a_cool_down_comes_with_its_header(world: World, me: WaymarkClient) -> None:
    lesson = world.quiz(EVERY_KIND, attempt_cooldown_seconds=3600)
    me.submit_quiz(lesson, [])
    refused = refusal(me.submit_quiz, lesson, [])
    assert (refused.status, refused.code) == (409, "attempt_cooldown")
    assert refused.retry_after is not None
    assert 3500 < refused.retry_after <= 3600


def test_the_grading_of_an_expired_attempt_survives_the_refusal(
    world: World, me: WaymarkClient
) -> None:
    lesson = world.quiz([choice("First?")], time_limit_seconds=60, max_attempts=1)
    attempt = me.start_attempt(lesson)["attempt"]["id"]
    me.save_answers(attempt, sheet({"q1": "o1"}))
    world.run(
        "update public.user_assessment_attempts set started_at = %s, expires_at = %s where id = %s",
        datetime.now(UTC) - timedelta(minutes=9), datetime.now(UTC) - timedelta(minutes=8), attempt,
    )  # fmt: skip
    refused = refusal(me.start_attempt, lesson)
    assert (refused.status, refused.code) == (409, "attempts_exhausted")
    found = me.attempts(lesson)["attempts"][0]
    assert (found["status"], found["expired"], found["percent"]) == ("graded", True, 100)
    assert me.lesson(lesson)["is_completed"]
    refused = refusal(me.save_answers, attempt, [])
    assert (refused.status, refused.code, refused.details["expired"]) == (
        409,
        "attempt_closed",
        True,
    )


# Bad input ----------------------------------------------------------------------------------------

DEEP = "[" * 3000 + "]" * 3000
BAD_BODIES: list[tuple[str, int, str]] = [
    ('{"answers": [], "score": 100}', 422, "unknown_field"),
    ('{"answers": [], "passed": true}', 422, "unknown_field"),
    ('{"answers": [{"question_id": "q1", "answer": "o1", "points": 1}]}', 422, "unknown_field"),
    ('{"answers": {"q1": "o1"}}', 400, "invalid_type"),
    ('{"answers": [1]}', 400, "invalid_type"),
    ('{"answers": [{"question_id": "q1"}]}', 422, "invalid_value"),
    ('{"answers": [{"question_id": 1, "answer": 1}]}', 400, "invalid_type"),
    ('{"answers": [{"question_id": "q1", "answer": 1, "seq": -1}]}', 422, "invalid_value"),
    ('{"answers": [{"question_id": "q1", "answer": 1, "seq": 1.5}]}', 400, "invalid_type"),
    (
        '{"answers": [{"question_id": "q1", "answer": 1, "seq": 9007199254740992}]}',
        422, "invalid_value",
    ),
    ('{"answers": [{"question_id": "q4", "answer": NaN}]}', 400, "invalid_json"),
    ('{"answers": [{"question_id": "q4", "answer": Infinity}]}', 400, "invalid_json"),
    ('{"answers": [{"question_id": "q4", "answer": 1e999}]}', 422, "invalid_value"),
    ('{"answers": [{"question_id": "q5", "answer": "a\\u0000b"}]}', 422, "invalid_value"),
    ('{"answers": [{"question_id": "q7", "answer": {"\\u0000": "b"}}]}', 422, "invalid_value"),
    ('{"answers": [{"question_id": "q5", "answer": "\\ud800"}]}', 400, "invalid_json"),
    (f'{{"answers": [{{"question_id": "q6", "answer": {DEEP}}}]}}', 400, "invalid_json"),
    (
        '{"answers": [{"question_id": "q6", "answer": ' + "[" * 90 + "]" * 90 + "}]}",
        422, "invalid_answer",
    ),
]  # fmt: skip
BAD_ANSWERS: list[tuple[str, Any]] = [
    ("nope", "o1"),
    ("q1", "o9"), ("q1", ["o1"]), ("q1", 1), ("q1", {"id": "o1"}),
    ("q2", "o1"), ("q2", ["o1", "o1"]), ("q2", ["o9"]), ("q2", [["o1"]]), ("q2", [None]),
    ("q2", {}),
    ("q3", "true"), ("q3", 1),
    ("q4", "NaN"), ("q4", "Infinity"), ("q4", "3,14"), ("q4", ""), ("q4", True), ("q4", "9" * 65),
    ("q4", "1e999"),
    ("q5", 5), ("q5", "x" * 1001), ("q5", ["x"]),
    ("q6", []), ("q6", ["a", "b", "c"]), ("q6", "abc"), ("q6", {}),
    ("q7", []), ("q7", {"a": "1"}), ("q7", {"x": None}), ("q7", "1"),
]  # fmt: skip


def state(world: World, learner: Person) -> Any:
    return world.run(
        "select to_jsonb(a) - 'updated_at' from public.user_assessment_attempts a"
        " where user_id = %s",
        learner.id,
    )


def send(world: World, learner: Person, method: str, path: str, content: bytes) -> httpx.Response:
    return httpx.request(
        method,
        f"{world.stack.functions_url}/assessments/{path}",
        content=content,
        headers={
            "Authorization": f"Bearer {world.stack.token(str(learner.id))}",
            "Content-Type": "application/json",
        },
        timeout=60,
        trust_env=False,
    )


def test_bad_bodies_change_nothing(world: World, learner: Person, me: WaymarkClient) -> None:
    lesson = world.quiz(EVERY_KIND)
    attempt = me.start_attempt(lesson)["attempt"]["id"]
    assert me.save_answers(attempt, sheet({"q1": "o2"}))["attempt"]["answers"]
    before = state(world, learner)
    doors = [
        ("PATCH", f"attempts/{attempt}"),
        ("POST", f"attempts/{attempt}/submit"),
        ("POST", f"lessons/{lesson}/submit"),
    ]
    for method, path in doors:
        for content, status, code in BAD_BODIES:
            response = send(world, learner, method, path, content.encode())
            assert (response.status_code, response.json()["code"]) == (status, code), content[:90]
            assert code in CODES
    assert state(world, learner) == before


def test_bad_answers_change_nothing(world: World, learner: Person, me: WaymarkClient) -> None:
    lesson = world.quiz(EVERY_KIND)
    attempt = me.start_attempt(lesson)["attempt"]["id"]
    me.save_answers(attempt, sheet({"q1": "o2"}))
    before = state(world, learner)
    for question, answer in BAD_ANSWERS:
        entry = [{"question_id": question, "answer": answer}]
        for refused in (
            refusal(me.save_answers, attempt, entry),
            refusal(me.submit_quiz, lesson, [{"question_id": "q1", "answer": "o1"}, *entry]),
        ):
            assert (refused.status, refused.code) == (422, "invalid_answer"), (question, answer)
    assert state(world, learner) == before
    # And straight at the database, where no model looked before.
    for answers in ({}, "x", 1, [1], [{"question_id": "q1"}], [{"question_id": 1, "answer": 1}],
                    [{"question_id": "q1", "answer": "o1", "seq": "1"}],
                    [{"question_id": "q1", "answer": "o1", "seq": -1}],
                    [{"question_id": "q1", "answer": "o1", "seq": None}]):  # fmt: skip
        response = httpx.post(
            f"{world.stack.api_url}/rest/v1/rpc/save_answers",
            json={"p_attempt_id": attempt, "p_answers": answers},
            headers={
                "Authorization": f"Bearer {world.stack.token(str(learner.id))}",
                "apikey": world.stack.publishable_key,
            },
            timeout=30,
            trust_env=False,
        )
        assert (response.status_code, response.json()["code"]) == (422, "invalid_answer"), answers
    assert state(world, learner) == before


def test_a_megabyte_of_answers(world: World, learner: Person, me: WaymarkClient) -> None:
    lesson = world.quiz([{**ESSAY, "text": str(n)} for n in range(11)])
    attempt = me.start_attempt(lesson)["attempt"]["id"]
    fits = sheet({f"q{n + 1}": "x" * 100_000 for n in range(10)})
    assert len(me.save_answers(attempt, fits)["attempt"]["answers"]) == 10
    before = state(world, learner)
    large = json.dumps({"answers": sheet({f"q{n + 1}": "y" * 100_000 for n in range(11)})})
    for method, path in (
        ("PATCH", f"attempts/{attempt}"),
        ("POST", f"attempts/{attempt}/submit"),
        ("POST", f"lessons/{lesson}/submit"),
    ):
        response = send(world, learner, method, path, large.encode())
        assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
    many = json.dumps({"answers": sheet({"q1": "x"}) * 20_000})
    assert len(many) < 2**20
    response = send(world, learner, "PATCH", f"attempts/{attempt}", many.encode())
    assert response.status_code == 200  # the last of them stays
    many = json.dumps({"answers": sheet({"nope": "x"}) * 20_000})
    response = send(world, learner, "PATCH", f"attempts/{attempt}", many.encode())
    assert (response.status_code, response.json()["code"]) == (422, "invalid_answer")
    assert len(response.content) < 5000
    assert len(state(world, learner)) == len(before)


def test_no_quiz_and_nobodys_attempt(world: World, learner: Person, me: WaymarkClient) -> None:
    lesson = world.lesson()
    for call in (me.start_attempt, lambda x: me.submit_quiz(x, [])):
        refused = refusal(call, lesson)
        assert (refused.status, refused.code) == (422, "no_quiz")
    assert state(world, learner) == []
    assert me.lesson(lesson)["status"] == "not_started"
    nobody = "11111111-1111-4111-8111-111111111111"
    for call in (
        lambda: me.save_answers(nobody, []),
        lambda: me.submit_attempt(nobody),
        lambda: me.grade_attempt(nobody, {}),
    ):
        refused = refusal(call)
        assert (refused.status, refused.code) == (404, "attempt_not_found")
    refused = refusal(me.start_attempt, nobody)
    assert (refused.status, refused.code) == (404, "lesson_not_found")


# A killed process ---------------------------------------------------------------------------------


@pytest.mark.chaos
def test_killing_the_functions_loses_nothing_saved(
    world: World, learner: Person, me: WaymarkClient
) -> None:
    running = Path(world.stack.extra("SIGNING_KEY_FILE")).with_name("running.json")
    if not running.exists():
        pytest.skip("this stack does not say which processes it runs")
    lesson = world.quiz([choice(f"{n}?") for n in range(6)], time_limit_seconds=600)
    attempt = me.start_attempt(lesson)["attempt"]["id"]
    for n in range(6):
        me.save_answers(attempt, [{"question_id": f"q{n + 1}", "answer": "o1", "seq": n}])
        if n % 3 == 2:
            victim = int(json.loads(running.read_text())["processes"]["functions"][0])
            os.kill(victim, signal.SIGKILL)
            deadline = time.monotonic() + PATIENCE
            # Until then an orphan of the killed process may answer, and die with the next call.
            while int(json.loads(running.read_text())["processes"]["functions"][0]) == victim:
                assert time.monotonic() < deadline, "the functions were not started again"
                time.sleep(0.1)
            while True:
                try:
                    if me.attempts(lesson)["attempts"][0]["answers"].keys() == {
                        f"q{m + 1}" for m in range(n + 1)
                    }:
                        break
                except WaymarkError:
                    pass
                assert time.monotonic() < deadline, "the functions did not come back"
                time.sleep(0.1)
    done = me.submit_attempt(attempt)
    assert (done["attempt"]["score"], done["attempt"]["percent"]) == (6, 100)


def test_answers_are_never_logged(world: World, me: WaymarkClient) -> None:
    log = Path(world.stack.extra("SIGNING_KEY_FILE")).parent
    lesson = world.quiz([ESSAY, EVERY_KIND[4]])
    secret = f"SECRET-ANSWER-{lesson}"
    me.submit_quiz(lesson, sheet({"q1": secret, "q2": secret}), client_key=f"KEY-{lesson}")
    refusal(me.submit_quiz, lesson, sheet({"q9": secret, secret[:60]: "x"}))
    texts = [p.read_text(errors="replace") for p in log.rglob("*") if p.suffix == ".log"]
    ours = [text for text in texts if lesson in text]
    assert ours, "no log knows the call"
    assert not any(secret in text or f"KEY-{lesson}" in text for text in ours)
