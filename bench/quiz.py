"""What submitting a quiz of 200 questions costs inside the database, beside a plain completion.

Both take turns in one session, so that whatever disturbs the machine disturbs both; each measured
call is a real first one, measured as in `bench.cost`. By itself: `python -m bench.quiz` with DB_URL
set.
"""

from __future__ import annotations

import os
import sys
import uuid
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from bench import seed
from bench.cost import Cost, CpuClock, become, explain, ratio
from bench.seed import Db

QUESTIONS = 200
LEARNERS = 20
# A plan is the session's after five calls.
WARM_UPS = 6
LIMIT = 10.0

# Of which kind the quiz is: the columns of its lesson.
QUIZZES = {
    "questions open to read": "",
    "questions inside an attempt only": "max_attempts = 3",
    "options shuffled": "max_attempts = 3, shuffle_options = true",
}


@dataclass
class Figures:
    """What was measured in one run; submits by the kind of quiz."""

    completion: Cost = field(default_factory=Cost)
    submits: dict[str, Cost] = field(default_factory=lambda: {name: Cost() for name in QUIZZES})
    # The frame that is in every call's CPU time.
    nothing: Cost = field(default_factory=Cost)

    def ratio(self, name: str) -> float:
        """How many plain completions a submit costs."""
        return ratio(self.submits[name], self.completion, self.nothing)

    @property
    def worst(self) -> float:
        """The largest of these ratios."""
        return max(map(self.ratio, self.submits))


def measure(db_url: str, tag: str, learners: int = LEARNERS) -> Figures:
    """Make a course with large quizzes, and measure. Clears nothing away (seed.remove does)."""
    figures = Figures()
    with psycopg.connect(db_url, autocommit=True) as db:
        course, plain, quizzes = _make(db, tag)
        users = seed.make_learners(db, tag, learners + WARM_UPS)
        seed.enrol(db, course, users)
        db.execute("analyze")
        clock = CpuClock(db.info.backend_pid)

        def call(cost: Cost, statement: str, *values: Any) -> None:
            # Without the commit: both have one, and it would stand for work on either side.
            with db.transaction():
                explain(db, clock, cost, statement, *values)

        for turn, user in enumerate(users):
            become(db, user)
            into = figures if turn >= WARM_UPS else Figures()
            call(into.nothing, "select 1")
            for lesson in plain:
                call(into.completion, "select public.complete_lesson(%s)", lesson)
            for name, (quiz, answers) in quizzes.items():
                submit = "select public.submit_quiz(%s, %s, 'key')"
                call(into.submits[name], submit, quiz, answers)
        db.execute("reset role")
        passed = _one(
            db,
            "select count(*) from public.user_assessment_attempts"
            " where course_id = %s and passed and total_questions = %s",
            course,
            QUESTIONS,
        )
        assert passed == len(quizzes) * len(users)
    return figures


def _question(n: int) -> dict[str, Any]:
    """A question of the n-th kind."""
    text = f"Question {n}: " + "which of these is the case, and why do you think so? " * 2
    options = [{"text": f"answer {o}", "correct": o < 1 + n % 2} for o in range(4)]
    kinds: list[dict[str, Any]] = [
        {
            "kind": "single_choice",
            "options": [{**o, "correct": i == 0} for i, o in enumerate(options)],
        },
        {"kind": "multiple_choice", "scoring": "partial", "options": options},
        {"kind": "true_false", "correct": True},
        {"kind": "numeric", "answer": "3.14", "tolerance": "0.01"},
        {"kind": "short_text", "accepted": ["two words", "Straße"]},
        {"kind": "ordering", "items": ["one", "two", "three", "four"]},
        {"kind": "matching", "pairs": [{"left": x, "right": x.upper()} for x in "abc"]},
    ]
    return {"text": text, **kinds[n % len(kinds)]}


def _make(db: Db, tag: str) -> tuple[int, list[str], dict[str, tuple[str, Jsonb]]]:
    course = _one(
        db,
        "insert into public.courses (slug, title, status) values (%s, 'Quiz bench', 'published')"
        " returning id",
        f"{tag}-{uuid.uuid4().hex[:12]}",
    )
    module = _one(
        db, "insert into public.modules (course_id, title) values (%s, 'M') returning id", course
    )
    insert = (
        "insert into public.lessons (module_id, title, completion_rule, type, position)"
        " values (%s, 'L', %s, %s, %s) returning id::text"
    )
    plain = [_one(db, insert, module, "manual", "article", n) for n in range(5)]
    # Nobody finishes the course: what that costs is no part of a quiz.
    _one(db, insert, module, "manual", "article", 99)
    quizzes = {}
    for place, (name, columns) in enumerate(QUIZZES.items()):
        quiz = _one(db, insert, module, "pass", "quiz", 5 + place)
        questions = {"questions": [_question(n) for n in range(QUESTIONS)]}
        _one(db, "select public.set_quiz(%s, %s)", quiz, Jsonb(questions))
        if columns:
            db.execute(f"update public.lessons set {columns} where id = %s", [quiz])
        quizzes[name] = (quiz, _right(db, quiz))
    return course, plain, quizzes


def _right(db: Db, quiz: str) -> Jsonb:
    """A sheet with every right answer."""
    answers = []
    for name, kind, key in db.execute(
        "select id, kind, key from private.questions where lesson_id = %s", [quiz]
    ):
        right = {"numeric": key.get("answer"), "short_text": "  TWO words"}
        answers.append({"question_id": name, "answer": right.get(kind, key.get("correct"))})
    return Jsonb(answers)


def _one(db: Db, statement: str, *values: Any) -> Any:
    row = db.execute(statement, values).fetchone()
    assert row is not None
    return row[0]


def main(db_url: str) -> bool:
    """Measure, print, and leave nothing behind; true when the limit holds."""
    tag = f"bench-{uuid.uuid4().hex[:8]}"
    try:
        found = measure(db_url, tag)
    finally:
        with psycopg.connect(db_url, autocommit=True) as db:
            seed.remove(db, tag)
    for name, cost in found.submits.items():
        print(
            f"{name}: {found.ratio(name):.1f} plain completions (at most {LIMIT:.0f}); "
            f"by the clock {cost.time:.2f} ms to {found.completion.time:.2f} ms"
        )
    return found.worst <= LIMIT


if __name__ == "__main__":
    sys.exit(not main(os.environ["DB_URL"]))
