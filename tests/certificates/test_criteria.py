"""What a course asks for before it gives a certificate, and the moment at which it does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.certificates.scene import ESSAY, Scene
from tests.database.actors import Actor, Course


def codes(standing: dict[str, Any]) -> list[str]:
    """What blocks."""
    return [block["code"] for block in standing["blocks"]]


def standing(learner: Actor, course: Course) -> Any:
    """What the learner is told."""
    return learner.call("get_certificate_eligibility", p_course_id=course.id)


@dataclass(frozen=True)
class Case:
    """A course of two plain lessons and two quizzes (graded by one question, right or wrong)."""

    what: str
    blocks: list[str]
    rules: dict[str, Any] = field(default_factory=dict)
    lesson_rules: dict[int, dict[str, Any]] = field(default_factory=dict)
    plain: int = 2
    quizzes: tuple[bool | None, bool | None] = (True, True)
    exception: str | None = None
    withdrawn: bool = False


LOW = "percent_too_low"
CASES = [
    Case("everything done", []),
    Case("nothing done", [LOW], plain=0, quizzes=(None, None)),
    Case("one lesson short", [LOW], plain=1),
    Case("half is enough", [], {"certificate_min_percent": 50}, plain=2, quizzes=(None, None)),
    Case("half is too little", [LOW], {"certificate_min_percent": 50.01}, quizzes=(None, None)),
    Case("switched off", ["certificates_off"], {"certificate_enabled": False}),
    Case("off and unfinished", ["certificates_off", LOW], {"certificate_enabled": False}, plain=1),
    Case("a mean that is enough", [], {"certificate_min_score": 50}, quizzes=(True, False)),
    Case("a mean too low", ["score_too_low"], {"certificate_min_score": 51}, quizzes=(True, False)),
    Case(
        "a quiz not taken counts nothing",
        ["score_too_low"],
        {"certificate_min_percent": 75, "certificate_min_score": 51},
        quizzes=(True, None),
    ),
    Case(
        "no quiz taken at all",
        ["score_too_low"],
        {"certificate_min_percent": 50, "certificate_min_score": 1},
        quizzes=(None, None),
    ),
    Case(
        "weights weigh",
        [],
        {"certificate_min_score": 75},
        {2: {"weight": 3}},
        quizzes=(True, False),
    ),
    Case(
        "an optional quiz is no part of the mean",
        [],
        {"certificate_min_score": 100},
        {3: {"is_required": False}},
        quizzes=(True, False),
    ),
    Case(
        "a required score met",
        [],
        lesson_rules={2: {"certificate_min_score": 100}},
        quizzes=(True, False),
    ),
    Case(
        "a required score missed",
        ["lesson_score_too_low"],
        lesson_rules={3: {"certificate_min_score": 0.01}},
        quizzes=(True, False),
    ),
    Case(
        "a required score of an optional quiz not taken",
        ["lesson_score_too_low"],
        lesson_rules={3: {"certificate_min_score": 60, "is_required": False}},
        quizzes=(True, None),
    ),
    Case(
        "a required score of an archived lesson asks for nothing",
        [],
        lesson_rules={3: {"certificate_min_score": 60, "archived_at": "2026-01-01"}},
        quizzes=(True, None),
    ),
    Case("denied", ["denied"], exception="deny"),
    Case("denied and unfinished", ["denied", LOW], plain=1, exception="deny"),
    Case("allowed with nothing done", [], plain=0, quizzes=(None, None), exception="allow"),
    Case(
        "allowed whatever the rules say",
        [],
        {"certificate_enabled": False, "certificate_min_score": 100},
        {3: {"certificate_min_score": 60}},
        plain=0,
        quizzes=(None, None),
        exception="allow",
    ),
    Case("withdrawn before the end", ["enrollment_inactive", LOW], plain=1, withdrawn=True),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_rules(scene: Scene, case: Case) -> None:
    course = scene.course(4, **case.rules)
    for place in (2, 3):
        scene.quiz(course.all[place], completion_rule="submit")
    for place, columns in case.lesson_rules.items():
        for column, value in columns.items():
            scene.operator.run(
                f"update public.lessons set {column} = %s where id = %s", value, course.all[place]
            )
    ann = scene.learner(course)
    if case.exception:
        scene.server().call(
            "set_certificate_exception",
            p_user_id=ann.user,
            p_course_id=course.id,
            p_kind=case.exception,
            p_reason="Test",
        )
    for place, right in zip((2, 3), case.quizzes, strict=True):
        if right is not None:
            scene.answer(ann, course.all[place], right)
    if case.plain:
        scene.complete(ann, *course.all[: case.plain])
    if case.withdrawn:
        scene.server().run(
            "update public.enrollments set status = 'withdrawn' where user_id = %s", ann.user
        )
    told = standing(ann, course)
    assert sorted(codes(told)) == sorted(case.blocks)
    assert told["eligible"] == (not case.blocks)
    # Whoever is eligible holds it already, and nobody else does.
    held = scene.certificates(ann)
    assert len(held) == (not case.blocks)
    assert (told["certificate"] or {}).get("code") == (held[0]["code"] if held else None)
    assert ann.call("get_course_summary", p_course_id=course.id)["certificate"] == told


def test_blocks_come_with_figures(scene: Scene) -> None:
    course = scene.course(2, certificate_min_percent=80, certificate_min_score=70)
    quiz = course.all[1]
    scene.quiz(quiz, completion_rule="submit", certificate_min_score=60)
    ann = scene.learner(course)
    scene.answer(ann, quiz, right=False)
    assert standing(ann, course)["blocks"] == [
        {"code": "percent_too_low", "needed": 80, "have": 50},
        {"code": "score_too_low", "needed": 70, "have": 0},
        {
            "code": "lesson_score_too_low",
            "lesson_id": str(quiz),
            "title": "Lesson",
            "needed": 60,
            "have": 0,
        },
    ]


def test_who_is_not_enrolled_is_told_so(scene: Scene) -> None:
    course = scene.course()
    assert standing(scene.learner(), course) == {
        "eligible": False,
        "blocks": [{"code": "not_enrolled"}],
        "certificate": None,
    }


def test_an_admins_reason_for_denying_is_not_told(scene: Scene) -> None:
    course = scene.course(1)
    ann = scene.learner(course)
    answer = scene.server().call(
        "set_certificate_exception",
        p_user_id=ann.user,
        p_course_id=course.id,
        p_kind="deny",
        p_reason="PLAGIARISM-7",
    )
    scene.complete(ann, *course.all)
    told = [answer, standing(ann, course), ann.call("get_course_summary", p_course_id=course.id)]
    assert codes(told[1]) == ["denied"]
    assert "PLAGIARISM-7" not in str(told)
    (entry,) = scene.audit("certificate.exception", course)
    assert (entry["reason"], entry["user_id"]) == ("PLAGIARISM-7", ann.user)


# The moment at which it is issued


def test_below_a_hundred_it_is_issued_on_the_way(scene: Scene) -> None:
    course = scene.course(4, certificate_min_percent=75)
    ann = scene.learner(course)
    assert scene.complete(ann, *course.all[:2])["certificate"] is None
    answer = scene.complete(ann, course.all[2])
    assert answer["enrollment"]["completed_at"] is None
    assert answer["certificate"]["code"] == scene.certificate(ann)["code"]
    assert scene.certificate(ann)["completed_at"] == scene.certificate(ann)["issued_at"]
    assert scene.messages(ann) == []
    # The end of the course brings no second one.
    last = scene.complete(ann, course.all[3])
    assert last["certificate"]["code"] == answer["certificate"]["code"]
    (told,) = scene.messages(ann)
    assert (told["kind"], told["is_mailed"]) == ("course_completed", False)


def test_an_edit_that_lifts_the_percent_over_the_line_issues(scene: Scene) -> None:
    course = scene.course(4, certificate_min_percent=60)
    ann = scene.learner(course)
    scene.complete(ann, *course.all[:2])
    bob = scene.learner(course)
    scene.complete(bob, course.all[0])
    scene.operator.call("archive_lesson", p_lesson_id=course.all[3])
    assert len(scene.certificates(ann)) == 1
    assert scene.certificates(bob) == []


def later_answer(scene: Scene, ann: Actor, course: Course) -> Any:
    return scene.answer(ann, course.all[1])


def later_import(scene: Scene, ann: Actor, course: Course) -> None:
    scene.server().call(
        "import_attempt", p_user_id=ann.user, p_lesson_id=course.all[1], p_percent=80.0
    )


def lifted_denial(scene: Scene, ann: Actor, course: Course) -> None:
    later_answer(scene, ann, course)
    assert codes(standing(ann, course)) == ["denied"]
    scene.server().call(
        "clear_certificate_exception",
        p_user_id=ann.user,
        p_course_id=course.id,
        p_reason="Cleared up",
    )


def allowance(scene: Scene, ann: Actor, course: Course) -> None:
    scene.server().call(
        "set_certificate_exception",
        p_user_id=ann.user,
        p_course_id=course.id,
        p_kind="allow",
        p_reason="Sat the exam on paper",
    )


@pytest.mark.parametrize("rule", ["course", "lesson"])
@pytest.mark.parametrize(
    "write", [later_answer, later_import, lifted_denial, allowance], ids=lambda w: w.__name__
)
def test_what_meets_the_last_criterion_issues(
    scene: Scene, write: Callable[[Scene, Actor, Course], Any], rule: str
) -> None:
    course = scene.course(2)
    quiz = course.all[1]
    scene.quiz(quiz, completion_rule="submit")
    table, row = ("courses", course.id) if rule == "course" else ("lessons", quiz)
    scene.operator.run(
        f"update public.{table} set certificate_min_score = 70 where id = %s",
        row,
    )
    ann = scene.learner(course)
    scene.complete(ann, course.all[0])
    first = scene.answer(ann, quiz, right=False)
    assert first["enrollment"]["progress_percent"] == 100
    assert first["certificate"] is None
    (told,) = scene.messages(ann)
    assert (told["kind"], told["is_mailed"]) == ("course_completed", True)
    if write is lifted_denial:
        scene.server().call(
            "set_certificate_exception",
            p_user_id=ann.user,
            p_course_id=course.id,
            p_kind="deny",
            p_reason="To be looked into",
        )
    answer = write(scene, ann, course)
    held = scene.certificate(ann)
    if answer:
        assert answer["certificate"]["code"] == held["code"]
    assert held["completed_at"] < held["issued_at"]
    assert len(scene.jobs(str(held["id"]))) == 1
    assert len(scene.messages(ann)) == 1


def test_who_comes_back_after_being_finished_while_away_gets_it(scene: Scene) -> None:
    course = scene.course(2)
    ann = scene.learner(course)
    scene.complete(ann, course.all[0])
    server = scene.server()
    server.run("update public.enrollments set status = 'withdrawn' where user_id = %s", ann.user)
    scene.operator.call("archive_lesson", p_lesson_id=course.all[1])
    assert codes(standing(ann, course)) == ["enrollment_inactive"]
    assert scene.messages(ann) == []
    server.run("update public.enrollments set status = 'active' where user_id = %s", ann.user)
    assert standing(ann, course)["certificate"]["code"] == scene.certificate(ann)["code"]


def test_a_hand_in_that_waits_for_its_grade_is_waited_for(scene: Scene) -> None:
    course = scene.course(2, certificate_min_score=70)
    quiz, essay = course.all
    scene.quiz(quiz, completion_rule="submit")
    scene.quiz(essay, ESSAY, completion_rule="submit")
    ann = scene.learner(course)
    scene.answer(ann, quiz)
    sent = ann.call("submit_quiz", p_lesson_id=essay)
    assert sent["enrollment"]["progress_percent"] == 100
    assert standing(ann, course)["blocks"] == [{"code": "grade_pending"}]
    scene.operator.call(
        "grade_attempt",
        p_attempt_id=sent["attempt"]["id"],
        p_grades=Jsonb([{"question_id": "essay", "points": 5}]),
    )
    held = scene.certificate(ann)
    assert held["score"] == 75


def test_what_was_issued_stays_whatever_becomes_of_the_criteria(scene: Scene) -> None:
    course = scene.course(2)
    quiz = course.all[1]
    scene.quiz(quiz, completion_rule="submit")
    ann = scene.learner(course)
    scene.complete(ann, course.all[0])
    code = scene.answer(ann, quiz)["certificate"]["code"]
    scene.set(course, certificate_enabled=False, certificate_min_score=100)
    scene.operator.run("update public.lessons set certificate_min_score = 100 where id = %s", quiz)
    scene.answer(ann, quiz, right=False)
    ann.call("uncomplete_lesson", p_lesson_id=course.all[0])
    scene.server().run(
        "update public.enrollments set status = 'withdrawn' where user_id = %s", ann.user
    )
    assert scene.certificate(ann)["code"] == code
    assert standing(ann, course)["certificate"]["status"] == "valid"


@pytest.mark.parametrize(
    ("policy", "scores", "reported"),
    [
        ("best", [False, True, False], 100),
        ("last", [False, True, False], 0),
        ("first", [True, False], 100),
        ("average", [True, False, False], 33.33),
    ],
)
def test_the_score_follows_each_lessons_policy(
    scene: Scene, policy: str, scores: list[bool], reported: float
) -> None:
    course = scene.course(2)
    plain, quiz = course.all
    scene.quiz(quiz, completion_rule="submit", score_policy=policy)
    ann = scene.learner(course)
    for right in scores:
        scene.answer(ann, quiz, right)
    scene.complete(ann, plain)
    assert float(scene.certificate(ann)["score"]) == reported
    assert ann.call("get_attempts", p_lesson_id=quiz)["reported_percent"] == reported


# Expiry and cycles


def test_a_certificate_expires_so_many_months_after_the_completion(scene: Scene) -> None:
    course = scene.course(1, certificate_valid_months=12)
    ann = scene.learner(course)
    ann.at(datetime(2027, 2, 28, 12, tzinfo=UTC))
    scene.complete(ann, *course.all)
    row = scene.certificate(ann)
    assert row["expires_at"] == datetime(2028, 2, 28, tzinfo=UTC)
    facts = scene.operator.one("select private.render_facts(%s)", row["id"])
    assert facts["expires_on"] == "2028-02-28"
    ann.at(datetime(2028, 2, 27, 23, 59, 59, tzinfo=UTC))
    assert ann.call("get_my_certificates")["certificates"][0]["status"] == "valid"
    ann.at(datetime(2028, 2, 28, tzinfo=UTC))
    assert ann.call("get_my_certificates")["certificates"][0]["status"] == "expired"


def test_nothing_is_issued_that_has_expired_already(scene: Scene) -> None:
    course = scene.course(1, certificate_valid_months=1, certificate_enabled=False)
    ann = scene.learner(course)
    scene.complete(ann, *course.all)
    scene.finished_at(course, datetime(2025, 1, 31, tzinfo=UTC))
    scene.set(course, certificate_enabled=True)
    assert standing(ann, course)["blocks"] == [
        {"code": "completion_expired", "expired_at": "2025-02-28T00:00:00+00:00"}
    ]
    report = scene.server().call(
        "issue_certificates", p_course_id=course.id, p_dry_run=False, p_reason="Switched on"
    )
    assert (report["issued"], report["blocked"]) == (0, {"completion_expired": 1})


def test_a_new_cycle_earns_a_certificate_of_its_own(scene: Scene) -> None:
    course = scene.course(1, certificate_valid_months=12)
    ann = scene.learner(course)
    scene.complete(ann, *course.all)
    old = scene.certificate(ann)
    # As a retake will: the enrolment runs through the course again.
    ann.call("uncomplete_lesson", p_lesson_id=course.all[0])
    scene.operator.run(
        "update public.enrollments set cycle = 2, completed_at = null where user_id = %s", ann.user
    )
    assert codes(standing(ann, course)) == [LOW]
    scene.complete(ann, *course.all)
    first, second = scene.certificates(ann)
    assert first == old
    assert (second["cycle"], second["code"] != first["code"]) == (2, True)
    assert standing(ann, course)["certificate"]["code"] == second["code"]
    assert [told["dedupe_key"] for told in scene.messages(ann)] == [
        f"course_completed:{course.id}:1",
        f"course_completed:{course.id}:2",
    ]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("certificate_min_percent", 0),
        ("certificate_min_percent", 100.01),
        ("certificate_min_percent", "NaN"),
        ("certificate_min_score", -1),
        ("certificate_min_score", 101),
        ("certificate_valid_months", 0),
        ("certificate_hours", -1),
        ("certificate_hours", "NaN"),
        ("certificate_template", "../etc/passwd"),
        ("certificate_template", ""),
    ],
)
def test_rules_that_make_no_sense_are_refused(scene: Scene, column: str, value: Any) -> None:
    course = scene.course()
    with pytest.raises(Exception, match="check constraint"):
        scene.set(course, **{column: value})
