"""What submitting a quiz of 200 questions costs inside the database, beside a plain completion.

Both take turns in one session, so that whatever disturbs the machine disturbs both; each measured
call is a real first one, run under EXPLAIN ANALYZE. By itself: `python -m bench.quiz` with DB_URL
set.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from bench.stats import median

QUESTIONS = 200
LEARNERS = 20
WARM_UPS = 6
LIMIT = 10.0

Db = psycopg.Connection[Any]


@dataclass(frozen=True)
class Figures:
    """Medians in milliseconds of one run."""

    completion: float
    submit: float

    @property
    def ratio(self) -> float:
        """How many plain completions a submit costs."""
        return self.submit / self.completion

    def lines(self) -> list[str]:
        """For the report."""
        return [
            f"| plain completion | {self.completion:.2f} ms |",
            f"| start, grade and submit {QUESTIONS} questions | {self.submit:.2f} ms |",
            f"| ratio (at most {LIMIT:.0f}) | {self.ratio:.1f} |",
        ]


def measure(db_url: str, tag: str, learners: int = LEARNERS) -> Figures:
    """Make a course with a large quiz, and measure."""
    completions, submits = [], []
    with psycopg.connect(db_url, autocommit=True) as db:
        course, plain, quiz, answers = _make(db, tag)
        db.execute("analyze")
        for turn in range(learners + WARM_UPS):
            _become(db, course)
            took = [_time(db, "select public.complete_lesson(%s)", one) for one in plain]
            once = _time(db, "select public.submit_quiz(%s, %s, %s)", quiz, answers, "key")
            db.execute("reset role")
            if turn >= WARM_UPS:
                completions += took
                submits.append(once)
        passed = db.execute(
            "select count(*) from public.user_assessment_attempts"
            " where lesson_id = %s and passed and total_questions = %s",
            [quiz, QUESTIONS],
        ).fetchone()
        assert passed == (learners + WARM_UPS,)
    return Figures(median(completions), median(submits))


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


def _make(db: Db, tag: str) -> tuple[int, list[str], str, Jsonb]:
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
    quiz = _one(db, insert, module, "pass", "quiz", 9)
    questions = {"questions": [_question(n) for n in range(QUESTIONS)]}
    _one(db, "select public.set_quiz(%s, %s)", quiz, Jsonb(questions))
    answers = []
    for name, kind, key in db.execute(
        "select id, kind, key from private.questions where lesson_id = %s", [quiz]
    ):
        right = {"numeric": key.get("answer"), "short_text": "  TWO words"}
        answers.append({"question_id": name, "answer": right.get(kind, key.get("correct"))})
    return course, plain, quiz, Jsonb(answers)


def _become(db: Db, course: int) -> None:
    user = str(uuid.uuid4())
    db.execute("insert into auth.users (id, email) values (%s, %s)", [user, f"{user}@example.com"])
    claims = json.dumps({"sub": user, "role": "authenticated"})
    db.execute("select set_config('request.jwt.claims', %s, false)", [claims])
    db.execute("set role authenticated")
    db.execute("select public.enroll(%s)", [course])


def _one(db: Db, statement: str, *values: Any) -> Any:
    row = db.execute(statement, values).fetchone()
    assert row is not None
    return row[0]


def _time(db: Db, call: str, *values: Any) -> float:
    plan = _one(db, f"explain (analyze, timing off, format json) {call}", *values)
    return float((json.loads(plan) if isinstance(plan, str) else plan)[0]["Execution Time"])


if __name__ == "__main__":
    found = measure(os.environ["DB_URL"], "bench")
    print("\n".join(found.lines()))
    sys.exit(found.ratio > LIMIT)
