"""Through the Data API with a learner's token: keys stay unread, grades stay unwritten."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.quiz.world import EVERY_KIND, Person, Rest, World, choice, sheet

# What only keys and explanations hold.
MARKS = ("ZEBRA-1", "ZEBRA-2", "3.14159")
ATTEMPTS = "/rest/v1/user_assessment_attempts"


@pytest.fixture
def scene(world: World) -> Iterator[tuple[World, Person, Rest, str, str]]:
    """A learner with an open attempt at a quiz that reveals nothing, and their API."""
    lesson = world.quiz(EVERY_KIND, reveal_policy="never", max_attempts=5)
    world.run("update public.courses set content_access = 'public' where id = %s", world.course)
    learner = world.learner()
    rest = Rest(world.stack, str(learner.id))
    started = rest.rpc("start_attempt", p_lesson_id=lesson)
    assert started.status_code == 200, started.text
    yield world, learner, rest, lesson, started.json()["attempt"]["id"]
    rest.http.close()


def test_keys_are_in_no_answer(scene: Any) -> None:
    world, _, rest, lesson, attempt = scene
    honest = rest.rpc("get_attempts", p_lesson_id=lesson)
    assert honest.status_code == 200
    assert "Capital of France?" in honest.text
    answers = sheet({"q1": "o2"})
    assert rest.rpc("save_answers", p_attempt_id=attempt, p_answers=answers).status_code == 200
    done = rest.rpc("submit_attempt", p_attempt_id=attempt, p_answers=answers)
    assert done.json()["attempt"]["status"] == "graded"
    relations = [
        name
        for (name,) in world.run(
            "select relname from pg_class where relnamespace = 'public'::regnamespace"
            " and relkind in ('r', 'p', 'v', 'm') and not relispartition"
        )
    ]
    seen = [honest, done, rest.rpc("get_attempts", p_lesson_id=lesson)]
    seen += [rest.get(f"/rest/v1/{name}?select=*&limit=1000") for name in relations]
    seen += [
        rest.rpc("get_course_outline", p_course_id=world.course),
        rest.rpc("get_course_progress", p_course_id=world.course),
        rest.rpc("get_lesson_progress", p_lesson_id=lesson),
        rest.rpc("get_next_lesson", p_course_id=world.course),
        rest.rpc("start_attempt", p_lesson_id=lesson),
        rest.rpc("get_quiz", p_lesson_id=lesson),
        rest.get("/rest/v1/"),
    ]
    assert sum(r.status_code == 200 for r in seen) > 12
    for response in seen:
        for mark in MARKS:
            assert mark not in response.text, response.request.url


@pytest.mark.parametrize(
    "query",
    [
        "lessons?select=*,questions(*)",
        "lessons?select=id,private.questions(key)",
        "lessons?select=quiz_data->questions->0->correct",
        "lessons?select=quiz_data->questions->0->key,quiz_data->questions->0->explanation",
        "lessons?select=id&quiz_data->questions->0->>key=not.is.null",
        "lessons?select=id&order=quiz_data->questions->0->key",
        "user_assessment_attempts?select=*,attempt_results(*)",
        "user_assessment_attempts?select=questions->0->key,questions->0->correct",
        "user_assessment_attempts?select=*,lessons(*,questions(*))",
        "user_assessment_attempts?select=id&questions->0->>key=not.is.null",
        "user_assessment_attempts?order=questions->0->key",
        "questions?select=*",
        "questions?order=key",
        "attempt_results?select=*",
        "question_stats?select=*",
        "progress_events?select=*,questions(*)",
    ],
)
def test_no_query_reaches_a_key(scene: Any, query: str) -> None:
    _world, _, rest, _lesson, _ = scene
    for profile in (None, "private", "auth", "pg_catalog"):
        headers = {"Accept-Profile": profile} if profile else {}
        response = rest.get(f"/rest/v1/{query}", **headers)
        assert not any(mark in response.text for mark in MARKS)
        if profile:
            assert response.status_code in (400, 406)
        elif response.status_code == 200:
            # A path into JSON that is not there: null, or no row that has it.
            for row in response.json():
                assert not {"key", "correct", "explanation"} & {
                    name for name, value in row.items() if value is not None
                }
        else:
            assert response.status_code in (400, 404)


@pytest.mark.parametrize(
    "rpc",
    ["grade", "merge_answers", "revealed_keys", "save_quiz", "question_statistics",
     "settle_attempt", "finish_attempt", "draw_questions", "fold_statistics", "expire_attempts",
     "import_attempt"],
)  # fmt: skip
def test_no_helper_can_be_called(scene: Any, rpc: str) -> None:
    _, _, rest, lesson, _ = scene
    arguments = {"p_lesson_id": lesson} if rpc not in ("fold_statistics", "expire_attempts") else {}
    if rpc == "import_attempt":
        arguments |= {"p_user_id": lesson, "p_percent": 100}
    response = rest.rpc(rpc, **arguments)
    assert response.status_code in (403, 404), response.text
    hidden = rest.http.post(
        f"/rest/v1/rpc/{rpc}", json=arguments, headers={"Content-Profile": "private"}
    )
    assert hidden.status_code == 406


@pytest.mark.parametrize(
    "change",
    [{"score": 7}, {"passed": True}, {"percent": 100}, {"status": "graded"}, {"max_attempts": 99},
     {"pass_percent": 1}, {"expires_at": None}, {"questions": []}, {"answers": {}},
     {"number": 9}, {"user_id": "00000000-0000-0000-0000-000000000000"}],
    ids=lambda c: next(iter(c)),
)  # fmt: skip
def test_nothing_of_an_attempt_is_writable(scene: Any, change: dict[str, Any]) -> None:
    _world, _, rest, _, attempt = scene
    read = rest.get(f"{ATTEMPTS}?id=eq.{attempt}&select=*")
    assert len(read.json()) == 1
    response = rest.http.patch(f"{ATTEMPTS}?id=eq.{attempt}", json=change)
    assert (response.status_code, response.json()["code"]) == (403, "42501")
    response = rest.http.post(
        ATTEMPTS, json={"id": attempt, **change},
        headers={"Prefer": "resolution=merge-duplicates"},
    )  # fmt: skip
    assert (response.status_code, response.json()["code"]) == (403, "42501")
    assert rest.http.delete(f"{ATTEMPTS}?id=eq.{attempt}").status_code == 403
    assert rest.get(f"{ATTEMPTS}?id=eq.{attempt}&select=*").json() == read.json()


def test_attempts_cannot_be_inserted(scene: Any) -> None:
    world, _learner, rest, lesson, attempt = scene
    row = world.one(
        "select to_jsonb(a) from public.user_assessment_attempts a where id = %s", attempt
    )
    forged = {
        **row, "id": "11111111-1111-4111-8111-111111111111", "number": 2, "status": "graded",
        "score": 7, "percent": 100, "passed": True, "correct_count": 7,
        "submitted_at": row["started_at"], "graded_at": row["started_at"],
    }  # fmt: skip
    response = rest.http.post(ATTEMPTS, json=forged)
    assert (response.status_code, response.json()["code"]) == (403, "42501")
    assert len(rest.get(f"{ATTEMPTS}?select=id").json()) == 1
    response = rest.http.patch(
        f"/rest/v1/user_progress?lesson_id=eq.{lesson}", json={"best_score": 100, "attempts": 0}
    )
    assert response.status_code == 403
    response = rest.http.patch(
        f"/rest/v1/lessons?id=eq.{lesson}", json={"reveal_policy": "after_submit"}
    )
    assert response.status_code == 403


def test_the_client_cannot_send_a_score(scene: Any) -> None:
    world, _, rest, _lesson, attempt = scene
    honest = rest.rpc("save_answers", p_attempt_id=attempt, p_answers=sheet({"q1": "o2"}))
    assert honest.status_code == 200
    for extra in ({"p_score": 100}, {"score": 100}, {"p_passed": True}):
        forged = rest.rpc("submit_attempt", p_attempt_id=attempt, p_answers=[], **extra)
        assert forged.status_code == 404  # no such function
    entry = {"question_id": "q1", "answer": "o2", "score": 1, "correct": True}
    forged = rest.rpc("submit_attempt", p_attempt_id=attempt, p_answers=[entry])
    assert (forged.status_code, forged.json()["code"]) == (422, "invalid_answer")
    assert world.one(
        "select status from public.user_assessment_attempts where id = %s", attempt
    ) == "in_progress"  # fmt: skip


def test_anothers_attempts_are_invisible_and_of_no_use(scene: Any) -> None:
    world, _learner, _rest, lesson, attempt = scene
    thief = Rest(world.stack, str(world.learner().id))
    own = thief.rpc("start_attempt", p_lesson_id=lesson).json()["attempt"]["id"]
    assert [row["id"] for row in thief.get(f"{ATTEMPTS}?select=id").json()] == [own]
    assert thief.get(f"{ATTEMPTS}?id=eq.{attempt}&select=*").json() == []
    before = world.run(
        "select to_jsonb(a) from public.user_assessment_attempts a where id = %s", attempt
    )
    calls: list[tuple[str, dict[str, Any]]] = [
        ("save_answers", {"p_answers": sheet({"q1": "o1"})}),
        ("submit_attempt", {"p_answers": []}),
        ("submit_attempt", {"p_answers": [], "p_client_key": "k"}),
    ]
    for rpc, arguments in calls:
        response = thief.rpc(rpc, p_attempt_id=attempt, **arguments)
        assert (response.status_code, response.json()["code"]) == (404, "attempt_not_found")
    response = thief.rpc("grade_attempt", p_attempt_id=attempt, p_grades=[])
    assert (response.status_code, response.json()["code"]) == (404, "attempt_not_found")
    mine = [a["id"] for a in thief.rpc("get_attempts", p_lesson_id=lesson).json()["attempts"]]
    assert mine == [own]
    after = world.run(
        "select to_jsonb(a) from public.user_assessment_attempts a where id = %s", attempt
    )
    assert before == after
    thief.http.close()


def test_not_enrolled_and_signed_out(scene: Any) -> None:
    world, _, _, lesson, _attempt = scene
    stranger = Rest(world.stack, world.user())
    refused = stranger.rpc("start_attempt", p_lesson_id=lesson)
    assert (refused.status_code, refused.json()["code"]) == (403, "not_enrolled")
    assert stranger.rpc("get_attempts", p_lesson_id=lesson).json()["attempts"] == []
    stranger.http.headers.pop("Authorization")
    for rpc in ("start_attempt", "submit_quiz", "get_attempts"):
        assert stranger.rpc(rpc, p_lesson_id=lesson).status_code == 401
    assert stranger.get(f"{ATTEMPTS}?select=*").status_code == 401
    data = stranger.get(f"/rest/v1/lessons?id=eq.{lesson}&select=*").json()
    assert data[0]["quiz_data"] == {"total_questions": 7, "shuffle_options": False}
    stranger.http.close()


def test_a_refused_answer_tells_nothing(world: World) -> None:
    """Whether an answer is right cannot be told from how it is refused."""
    lesson = world.quiz([choice("First?", "a", "b", "c"), EVERY_KIND[3], EVERY_KIND[5]])
    learner = world.learner()
    attempt = learner.call("start_attempt", lesson_id=lesson)["attempt"]["id"]
    for answers in ({"q1": "o9"}, {"q2": "pi"}, {"q3": ["x"]}):
        refused = learner.refusal("save_answers", attempt_id=attempt, answers=sheet(answers))
        assert refused.code == "invalid_answer"
        assert not any(
            json.dumps(part)[1:-1] in refused.details
            for key in world.keys(lesson).values()
            for part in (key if isinstance(key, list) else [key])
        )
    # And right or wrong, a save answers alike.
    right = learner.call("save_answers", attempt_id=attempt, answers=sheet({"q1": "o1"}))["attempt"]
    wrong = learner.call("save_answers", attempt_id=attempt, answers=sheet({"q1": "o2"}))["attempt"]
    assert (right["score"], right["results"]) == (wrong["score"], wrong["results"]) == (None, None)
