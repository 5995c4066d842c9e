"""Grading in the database equals a plain Python reference, over thousands of random sheets."""

from __future__ import annotations

import random
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from tests.quiz.world import World
from tests.support import grading

SHEETS = 60  # by example; every one holds as many questions as the quiz
# Letters of several scripts with marks, ligatures, widths, final and dotted forms, odd white space.
LETTERS = "aAbBßẞÅå\u0041\u030aéÉe\u0301ﬁﬀςσΣİıiIЖжΆάǅǄＡａ①½ \t\u00a0\u2003\u2028\u3000ſkKK"  # noqa: RUF001
texts = st.text(LETTERS, min_size=1, max_size=8).filter(lambda t: grading.fold(t) != "")
points = st.decimals("0.01", "50", places=2)
scorings = st.sampled_from(["all_or_nothing", "partial"])
decimals = st.decimals(-1000, 1000, places=3)


@st.composite
def questions(draw: st.DrawFn, place: int) -> dict[str, Any]:
    """A question as its author writes it."""
    kind = draw(
        st.sampled_from(
            ["single_choice", "multiple_choice", "true_false", "numeric", "short_text",
             "ordering", "matching"]
        )
    )  # fmt: skip
    written: dict[str, Any] = {
        "id": f"q{place}", "kind": kind, "text": "?", "points": str(draw(points)),
    }  # fmt: skip
    names = [f"n{n}" for n in range(draw(st.integers(2, 8)))]
    if kind in ("single_choice", "multiple_choice"):
        right = {draw(st.integers(0, len(names) - 1))}
        if kind == "multiple_choice":
            right |= draw(st.sets(st.integers(0, len(names) - 1)))
            written["scoring"] = draw(scorings)
        written["options"] = [
            {"id": name, "text": name, "correct": n in right} for n, name in enumerate(names)
        ]
    elif kind == "true_false":
        written["correct"] = draw(st.booleans())
    elif kind == "numeric":
        written["answer"] = str(draw(decimals))
        written["tolerance"] = str(abs(draw(decimals)))
    elif kind == "short_text":
        written["accepted"] = draw(st.lists(texts, min_size=1, max_size=4))
    elif kind == "ordering":
        written |= {"items": names, "scoring": draw(scorings)}
    else:
        written["pairs"] = [{"left": f"l{name}", "right": f"r{name}"} for name in names]
        written["distractors"] = ["other"] * draw(st.integers(0, 1))
        written["scoring"] = draw(scorings)
    return written


quizzes = st.integers(1, 12).flatmap(
    lambda count: st.tuples(*(questions(place) for place in range(count)))
)


def reference(written: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
    """A question as the reference reads it: the author's key in the ids that learners see."""
    kind = written["kind"]
    ids = {o["text"]: o["id"] for side in ("options", "left", "right") for o in seen.get(side, [])}
    if kind == "single_choice":
        key: Any = next(o["id"] for o in written["options"] if o["correct"])
    elif kind == "multiple_choice":
        key = [o["id"] for o in written["options"] if o["correct"]]
    elif kind == "true_false":
        key = written["correct"]
    elif kind == "numeric":
        key = (written["answer"], written["tolerance"])
    elif kind == "short_text":
        key = written["accepted"]
    elif kind == "ordering":
        key = [ids[text] for text in written["items"]]
    else:
        key = {ids[pair["left"]]: ids[pair["right"]] for pair in written["pairs"]}
    return {**written, "key": key}


def answer(question: dict[str, Any], seen: dict[str, Any], chance: random.Random) -> Any:
    """A valid answer: right, nearly right, or anything."""
    kind, key = question["kind"], question["key"]
    if chance.random() < 0.1:
        return None
    if kind == "single_choice":
        return key if chance.random() < 0.5 else chance.choice(seen["options"])["id"]
    if kind == "multiple_choice":
        if chance.random() < 0.4:
            return chance.sample(key, len(key))
        ids = [o["id"] for o in seen["options"]]
        return chance.sample(ids, chance.randint(0, len(ids)))
    if kind == "true_false":
        return chance.random() < 0.5
    if kind == "numeric":
        value, tolerance = Decimal(key[0]), Decimal(key[1])
        edge = value + chance.choice([-1, 1]) * tolerance
        near = edge + chance.choice([-1, 0, 0, 1]) * Decimal("0.00000001")
        return chance.choice([str(near), f"{near:e}" if near else "0", float(round(edge, 3))])
    if kind == "short_text":
        text: str = chance.choice(key)
        change = chance.choice(
            [str.upper, str.lower, str.title, lambda t: f"  {t}\n", lambda t: t + "x", lambda t: t]
        )
        return change(text)
    if kind == "ordering":
        mixed: list[str] = list(key)
        if chance.random() < 0.6:
            a, b = chance.randrange(len(key)), chance.randrange(len(key))
            mixed[a], mixed[b] = mixed[b], mixed[a]
        elif chance.random() < 0.5:
            chance.shuffle(mixed)
        return mixed
    rights = [o["id"] for o in seen["right"]]
    return {
        left: right if chance.random() < 0.6 else chance.choice(rights)
        for left, right in key.items()
        if chance.random() < 0.9
    }


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    derandomize=True,
)
@given(written=quizzes, seed=st.integers(0, 2**32), mark=st.integers(1, 100))
def check(world: World, lesson: str, written: Any, seed: int, mark: int) -> None:
    world.run("delete from private.questions where lesson_id = %s", lesson)
    world.set_quiz(lesson, written)
    seen = world.one("select quiz_data from public.lessons where id = %s", lesson)["questions"]
    asked = [reference(w, s) for w, s in zip(written, seen, strict=True)]
    chance = random.Random(seed)
    sheets = [
        {q["id"]: answer(q, s, chance) for q, s in zip(asked, seen, strict=True)}
        for _ in range(SHEETS)
    ]
    sheets[0] = {}
    listed = [[{"question_id": q, "answer": a} for q, a in one.items()] for one in sheets]
    rows = world.run(
        """
        select g.score, private.score_percent(g.score, t.top, %(mark)s),
               private.has_passed(g.score, t.top, %(mark)s), g.correct_count
          from jsonb_array_elements(%(sheets)s) with ordinality as a (body, n)
         cross join lateral private.grade(%(lesson)s, %(seen)s,
           private.merge_answers(%(seen)s, '{}', a.body), '{}') g
         cross join (
           select sum((s ->> 'points')::numeric) as top from jsonb_array_elements(%(seen)s) s) t
         order by a.n
        """,
        {"mark": mark, "seen": Jsonb(seen), "sheets": Jsonb(listed), "lesson": lesson},
    )
    for sheet, (score, percent, passed, correct) in zip(sheets, rows, strict=True):
        expected = grading.grade(asked, sheet, mark)
        assert abs(Fraction(score) - expected.score) < Fraction(1, 10**9), (sheet, asked)
        assert (percent, passed, correct) == (
            expected.percent, expected.passed, expected.correct,
        ), (sheet, asked, score)  # fmt: skip


def test_thousands_of_random_sheets(world: World) -> None:
    lesson = world.lesson(type="quiz")
    check(world, lesson)


def test_thirds_add_up_to_a_pass(world: World) -> None:
    ordering = {
        "kind": "ordering", "scoring": "partial", "text": "Sort", "items": ["a", "b", "c"],
    }  # fmt: skip
    lesson = world.quiz([{**ordering, "text": f"{n}"} for n in range(6)], pass_percent=100)
    world.run("update public.lessons set pass_percent = 50 where id = %s", lesson)
    learner = world.learner()
    keys = world.keys(lesson)
    third = {name: [key[0], key[2], key[1]] for name, key in keys.items()}
    # Six times a third is two of six; with one more whole question it is exactly half.
    third["q6"] = keys["q6"]
    third["q5"] = [keys["q5"][0], keys["q5"][2], keys["q5"][1]]
    third["q4"] = keys["q4"]
    answer = learner.call(
        "submit_quiz", lesson_id=lesson, answers=[
            {"question_id": q, "answer": a} for q, a in third.items() if q != "q1"
        ],
    )  # fmt: skip
    # q2, q3, q5 a third each, q4 and q6 whole: three of six.
    assert (answer["attempt"]["percent"], answer["attempt"]["passed"]) == (50, True)
    assert answer["attempt"]["score"] == 3


@pytest.mark.parametrize(
    ("mark", "right", "percent", "passed"),
    [(67, 2, 66.67, False), (66, 2, 66.67, True), (34, 1, 33.33, False), (33, 1, 33.33, True),
     (100, 3, 100, True), (100, 2, 66.67, False), (1, 0, 0, False)],
)  # fmt: skip
def test_the_pass_mark(world: World, mark: int, right: int, percent: float, passed: bool) -> None:
    questions = [{"kind": "true_false", "text": str(n), "correct": True} for n in range(3)]
    lesson = world.quiz(questions, pass_percent=mark)
    answers = [{"question_id": f"q{n + 1}", "answer": n < right} for n in range(3)]
    attempt = world.learner().call("submit_quiz", lesson_id=lesson, answers=answers)["attempt"]
    assert (attempt["percent"], attempt["passed"]) == (percent, passed)


@pytest.mark.parametrize(("score", "shown"), [("69.999", 69.99), ("70", 70), ("70.004", 70)])
def test_rounding_never_crosses_the_mark(world: World, score: str, shown: float) -> None:
    value = world.one("select private.score_percent(%s, 100, 70)", Decimal(score))
    assert float(value) == shown
