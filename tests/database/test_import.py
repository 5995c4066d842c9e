"""Course import: what a document says is what the course is, and learners lose nothing by it."""

from __future__ import annotations

import copy
import json
import math
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from bench.cost import CpuClock
from shared import courses
from tests.database.actors import Actor, Refused, drift, insert, make_course, make_lesson
from tests.support.real_course import FAULTY, real_course

ROOT = Path(__file__).resolve().parents[2]

Learner = Callable[[], Actor]


class Author:
    """A course and the document it is made of."""

    def __init__(self, server: Actor, operator: Actor, document: dict[str, Any]) -> None:
        self.server, self.operator = server, operator
        self.document = copy.deepcopy(document)
        self.document["slug"] = f"t-{uuid.uuid4()}"

    def run(self, *, dry_run: bool = False, server: Actor | None = None) -> dict[str, Any]:
        """Import the document and return the report."""
        document = courses.check(self.document, ROOT)
        return (server or self.server).call("import_course", p_document=document, p_dry_run=dry_run)

    @property
    def course_id(self) -> int:
        return self.operator.one("select id from courses where slug = %s", self.document["slug"])

    def lesson(self, slug: str) -> dict[str, Any]:
        """Its row."""
        (row,) = self.operator.run(
            "select * from lessons where course_id = %s and slug = %s", self.course_id, slug
        )
        return row

    def outline(self) -> dict[str, list[str]]:
        """Slugs of modules and their lessons in learning order, without archived ones."""
        rows = self.operator.run(
            "select m.slug, coalesce(array_agg(l.slug order by l.position, l.id)"
            " filter (where l.archived_at is null), '{}') as lessons"
            " from modules m left join lessons l on l.module_id = m.id"
            " where m.course_id = %s group by m.id order by m.position, m.id",
            self.course_id,
        )
        return {row["slug"]: [slug for slug in row["lessons"] if slug] for row in rows}

    def wanted(self) -> dict[str, list[str]]:
        """The same from the document."""
        return {
            module["slug"]: [lesson["slug"] for lesson in module.get("lessons", [])]
            for module in self.document["modules"]
        }

    def everything(self) -> dict[str, Any]:
        """Every row of the catalogue, of progress and of history, to the last column."""
        tables = (
            "courses", "modules", "lessons", "resources", "enrollments", "user_progress",
            "module_progress", "progress_events", "daily_activity",
        )  # fmt: skip
        where = {"courses": "id = %s", "daily_activity": "%s is not null"}
        return {
            table: self.operator.run(
                f"select t.*, t.xmin::text from public.{table} t"
                f" where {where.get(table, 'course_id = %s')} order by to_jsonb(t)::text",
                self.course_id,
            )
            for table in tables
        } | {"audit_log": self.operator.one("select count(*) from audit_log")}


def lesson(slug: str, **fields: Any) -> dict[str, Any]:
    return {"slug": slug, "title": slug.title(), "content": f"Of {slug}.", **fields}


def document(**modules: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "waymark": 1,
        "slug": "x",
        "title": "Course",
        "status": "published",
        "modules": [
            {"slug": slug, "title": slug.title(), "lessons": lessons}
            for slug, lessons in modules.items()
        ],
    }


@pytest.fixture
def author(server: Actor, operator: Actor) -> Callable[..., Author]:
    """Make a course from modules of lessons, and import it."""

    def make(**modules: list[dict[str, Any]]) -> Author:
        made = Author(server, operator, document(**modules))
        made.run()
        return made

    return make


@pytest.fixture
def abc(author: Callable[..., Author]) -> Author:
    """Two modules: a with a1, a2, a3 and b with b1, b2."""
    return author(a=[lesson("a1"), lesson("a2"), lesson("a3")], b=[lesson("b1"), lesson("b2")])


def empty(report: dict[str, Any]) -> bool:
    """Whether the report says that nothing is to do."""
    found = {key: report[key] for key in report if key not in ("course_id", "slug", "changed")}
    return not report["changed"] and not any(
        value for part in found.values() for value in part.values()
    )


def percent(learner: Actor, author: Author) -> float:
    return float(
        author.operator.one(
            "select progress_percent from enrollments where user_id = %s and course_id = %s",
            learner.user, author.course_id,
        )
    )  # fmt: skip


def begin(learner: Learner, author: Author, *slugs: str) -> Actor:
    """A learner who has completed these lessons."""
    made = learner()
    made.call("enroll", p_course_id=author.course_id)
    for slug in slugs:
        made.call("complete_lesson", p_lesson_id=author.lesson(slug)["id"])
    return made


# Making and editing -------------------------------------------------------------------------------


def test_a_new_course_is_what_the_document_says(server: Actor, operator: Actor) -> None:
    author = Author(server, operator, courses.load(ROOT / "supabase/demo/reading-maps.yaml"))
    report = author.run()
    assert report["created"]["course"]
    assert report["created"]["modules"] == list(author.wanted())
    assert report["created"]["lessons"] == [s for slugs in author.wanted().values() for s in slugs]
    assert report["course_id"] == author.course_id
    assert author.outline() == author.wanted()
    (course,) = operator.run("select * from courses where id = %s", author.course_id)
    for field in ("title", "author", "status", "badges", "collections", "duration_minutes"):
        assert course[field] == author.document[field]
    assert (course["total_lessons"], course["total_weight"]) == (12, 13)
    for module in author.document["modules"]:
        for given in module["lessons"]:
            row = author.lesson(given["slug"])
            columns = given.keys() - {"resources", "quiz"}
            assert {key: row[key] for key in columns} == {key: given[key] for key in columns}
            asked = (row["quiz_data"] or {}).get("total_questions")
            assert asked == {"where-quiz": 6, "slope-quiz": 4}.get(given["slug"])
    assert operator.run(
        "select l.slug, r.title, r.url, r.kind from resources r left join lessons l"
        " on l.id = r.lesson_id where r.course_id = %s order by l.slug nulls first",
        author.course_id,
    ) == [
        {"slug": None, "kind": "link", **author.document["resources"][0]},
        {"slug": "contour-puzzles", **_resource(author, "contour-puzzles")},
        {"slug": "route-card", **_resource(author, "route-card")},
    ]
    assert drift(operator, [author.course_id]) == []


def _resource(author: Author, slug: str) -> dict[str, Any]:
    for module in author.document["modules"]:
        for given in module["lessons"]:
            if given["slug"] == slug:
                return dict(given["resources"][0])
    raise AssertionError(slug)


def test_importing_again_writes_nothing(server: Actor, operator: Actor, learner: Learner) -> None:
    author = Author(server, operator, courses.load(ROOT / "supabase/demo/reading-maps.yaml"))
    author.document["rating"] = 4.567  # kept to two places, which is no change next time
    author.run()
    begin(learner, author, "scale")
    before = author.everything()
    assert empty(author.run())
    assert author.everything() == before


def test_only_what_differs_is_written(abc: Author, operator: Actor) -> None:
    before = author_rows(abc)
    abc.document["title"] = "Better"
    abc.document["modules"][1]["description"] = "New"
    abc.document["modules"][0]["lessons"][1] |= {"content": "Longer.", "weight": 3}
    report = abc.run()
    assert report["updated"] == {
        "course": ["title"],
        "modules": {"b": ["description"]},
        "lessons": {"a2": ["content", "weight"]},
    }
    after = author_rows(abc)
    assert {slug for slug in after if after[slug] != before[slug]} == {"a2", "b"}
    assert drift(operator, [abc.course_id]) == []


def author_rows(author: Author) -> dict[str, str]:
    """Each row's slug and the transaction that wrote it (totals of modules left out)."""
    return {
        row["slug"]: row["mark"]
        for row in author.operator.run(
            "select slug, xmin::text as mark from lessons where course_id = %s union all"
            " select slug, title || coalesce(description, '') from modules where course_id = %s",
            author.course_id, author.course_id,
        )
    }  # fmt: skip


def test_what_is_left_out_takes_its_default(abc: Author, operator: Actor) -> None:
    first = abc.document["modules"][0]["lessons"][0]
    abc.document |= {"author": "A", "badges": ["x"], "enrollment_mode": "invite", "rating": 3}
    first |= {"type": "assignment", "duration_seconds": 9, "is_required": False, "weight": 4}
    first |= {"completion_rule": "pass", "pass_percent": 55}
    abc.run()
    for field in ("author", "badges", "enrollment_mode", "rating"):
        del abc.document[field]
    for field in set(first) - {"slug", "title"}:
        del first[field]
    first["content"] = None
    abc.document["status"] = "draft"
    report = abc.run()
    assert report["updated"]["course"] == [
        "author",
        "badges",
        "enrollment_mode",
        "rating",
        "status",
    ]
    assert report["updated"]["lessons"] == {
        "a1": [
            "completion_rule", "content", "duration_seconds", "is_required", "pass_percent", "type",
            "weight",
        ]
    }  # fmt: skip
    fresh = make_lesson(operator, abc.lesson("a1")["module_id"])
    (default,) = operator.run("select * from lessons where id = %s", fresh)
    other = {"id", "slug", "title", "position", "counts_from", "created_at", "updated_at"}
    assert {k: v for k, v in abc.lesson("a1").items() if k not in other} == {
        k: v for k, v in default.items() if k not in other
    }


def test_resources_become_the_list(abc: Author, operator: Actor) -> None:
    first, second, *_ = abc.document["modules"][0]["lessons"]
    one, two, three = (
        {"title": n, "url": f"https://example.com/{n}"} for n in ("one", "two", "three")
    )
    abc.document["resources"] = [one]
    first["resources"] = [one, two]
    assert abc.run()["updated"] == {
        "course": ["resources"], "modules": {}, "lessons": {"a1": ["resources"]}
    }  # fmt: skip
    assert empty(abc.run())
    abc.document["resources"] = []
    first["resources"] = [two | {"title": "Two"}, three]
    second["resources"] = [one]
    assert abc.run()["updated"] == {
        "course": ["resources"],
        "modules": {},
        "lessons": {"a1": ["resources"], "a2": ["resources"]},
    }
    found = operator.run(
        "select l.slug, r.title, r.position from resources r left join lessons l"
        " on l.id = r.lesson_id where r.course_id = %s order by l.slug, r.position",
        abc.course_id,
    )
    assert [tuple(row.values()) for row in found] == [
        ("a1", "Two", 0), ("a1", "three", 1), ("a2", "one", 0)
    ]  # fmt: skip


# Learners in flight -------------------------------------------------------------------------------


def test_edits_keep_progress_and_percent_right(
    abc: Author, learner: Learner, operator: Actor
) -> None:
    ann, bob = begin(learner, abc, "a1", "b1"), begin(learner, abc, "a1", "a2", "a3", "b1", "b2")
    done = abc.lesson("a1")["id"]
    first, second = abc.document["modules"]
    first["lessons"][0] |= {"title": "Renamed", "weight": 3}
    second["lessons"].append(lesson("b3"))
    abc.run()
    assert abc.lesson("a1")["id"] == done
    assert (percent(ann, abc), percent(bob, abc)) == (50.0, 87.5)  # 4 and 7 of 8
    assert drift(operator, [abc.course_id]) == []
    finished = operator.one("select completed_at from enrollments where user_id = %s", bob.user)
    assert finished is not None


def test_a_moved_lesson_takes_its_progress_along(
    abc: Author, learner: Learner, operator: Actor
) -> None:
    ann = begin(learner, abc, "a1", "a3")
    first, second = abc.document["modules"]
    second["lessons"].insert(1, first["lessons"].pop(0))
    before = abc.lesson("a1")["id"]
    report = abc.run()
    assert report["moved"]["lessons"] == {"a1": {"from": "a", "to": "b"}}
    assert report["updated"]["lessons"] == {}
    assert abc.outline() == {"a": ["a2", "a3"], "b": ["b1", "a1", "b2"]}
    assert abc.lesson("a1")["id"] == before
    assert percent(ann, abc) == 40.0
    assert drift(operator, [abc.course_id]) == []


def test_a_lesson_that_is_gone_is_archived_and_comes_back(
    abc: Author, learner: Learner, operator: Actor
) -> None:
    ann = begin(learner, abc, "a1", "a2")
    first = abc.document["modules"][0]
    gone = first["lessons"].pop(0)
    assert abc.run()["archived"]["lessons"] == ["a1"]
    assert percent(ann, abc) == 25.0
    archived_at = abc.lesson("a1")["archived_at"]
    assert archived_at is not None
    assert empty(abc.run())
    assert abc.lesson("a1")["archived_at"] == archived_at

    first["lessons"].insert(0, gone | {"title": "Back"})
    report = abc.run()
    assert report["restored"]["lessons"] == ["a1"]
    assert report["updated"]["lessons"] == {"a1": ["title"]}
    assert percent(ann, abc) == 40.0
    assert drift(operator, [abc.course_id]) == []


def test_a_replaced_lesson_finishes_nobody(abc: Author, learner: Learner, operator: Actor) -> None:
    """Lacking only what is archived, while the same import brings something new to do."""
    ann = begin(learner, abc, "a1", "a2", "b1", "b2")
    abc.document["modules"][0]["lessons"][2] = lesson("a4")
    abc.run()
    # And once more with one that comes back.
    abc.document["modules"][0]["lessons"][2] = lesson("a3")
    abc.run()
    assert percent(ann, abc) == 80.0
    assert operator.one("select completed_at from enrollments where user_id = %s", ann.user) is None
    kinds = operator.run(
        "select distinct kind from progress_events where user_id = %s and kind like '%%_completed'"
        " and (kind <> 'lesson_completed' and module_id is distinct from %s)",
        ann.user, abc.lesson("b1")["module_id"],
    )  # fmt: skip
    assert kinds == []
    assert drift(operator, [abc.course_id]) == []


def test_modules_come_and_go(abc: Author, learner: Learner, operator: Actor) -> None:
    begin(learner, abc, "a1", "b1")
    # All of b moves to a new module in front, so b is left without a row.
    moving = abc.document["modules"].pop()["lessons"]
    abc.document["modules"].insert(0, {"slug": "c", "title": "C", "lessons": moving})
    report = abc.run()
    assert report["created"]["modules"] == ["c"]
    assert report["deleted"]["modules"] == ["b"]
    assert abc.outline() == abc.wanted() == {"c": ["b1", "b2"], "a": ["a1", "a2", "a3"]}
    assert drift(operator, [abc.course_id]) == []

    # The lessons of c leave with it; archived, they keep their module.
    abc.document["modules"].pop(0)
    report = abc.run()
    assert report["deleted"]["modules"] == []
    assert report["archived"]["lessons"] == ["b1", "b2"]
    assert abc.outline() == {"c": [], "a": ["a1", "a2", "a3"]}
    assert empty(abc.run())
    assert drift(operator, [abc.course_id]) == []


def test_order_is_told_by_who_changed_places(abc: Author, operator: Actor) -> None:
    first, second = abc.document["modules"]
    first["lessons"].insert(0, lesson("a0"))
    report = abc.run()
    assert report["updated"]["lessons"] == {}
    assert report["renumbered"] == {"modules": 0, "lessons": 3}
    first["lessons"].reverse()  # a3 a2 a1 a0
    abc.document["modules"].reverse()
    report = abc.run()
    assert report["updated"]["modules"] == {"a": ["position"], "b": ["position"]}
    assert set(report["updated"]["lessons"]) == {"a0", "a1", "a2", "a3"}
    assert abc.outline() == abc.wanted()
    assert empty(abc.run())
    assert drift(operator, [abc.course_id]) == []
    assert second["lessons"]


def test_rows_made_by_hand_are_left_alone(abc: Author, operator: Actor) -> None:
    module = abc.lesson("a1")["module_id"]
    by_hand = make_lesson(operator, module, title="By hand")
    insert(operator, "resources", {
        "course_id": abc.course_id, "lesson_id": by_hand, "title": "t", "url": "https://example.com/h"
    })  # fmt: skip
    operator.run("insert into modules (course_id, title) values (%s, 'By hand')", abc.course_id)
    assert empty(abc.run())
    abc.document["modules"] = abc.document["modules"][1:]
    report = abc.run()
    assert report["archived"]["lessons"] == ["a1", "a2", "a3"]
    assert operator.one("select archived_at from lessons where id = %s", by_hand) is None
    counts = operator.run(
        "select (select count(*) from resources where course_id = %(c)s) as resources,"
        " (select count(*) from modules where course_id = %(c)s) as modules".replace(
            "%(c)s", str(abc.course_id)
        )
    )
    assert counts == [{"resources": 1, "modules": 3}]


def test_random_edits_end_as_written(abc: Author, learner: Learner, operator: Actor) -> None:
    """Twenty random edits with learners at work: course, percent and report always agree."""
    dice = random.Random(20261121)
    learners = [begin(learner, abc, "a1"), begin(learner, abc, "b2", "a3"), begin(learner, abc)]
    shelf: list[dict[str, Any]] = []
    for turn in range(20):
        _edit(abc.document, shelf, dice, turn)
        told = abc.run(dry_run=True)
        assert abc.run() == told
        assert {k: v for k, v in abc.outline().items() if k in abc.wanted()} == abc.wanted()
        assert empty(abc.run())
        for someone in learners:
            following = someone.call("get_next_lesson", p_course_id=abc.course_id)
            if following and dice.random() < 0.6:
                someone.call("complete_lesson", p_lesson_id=following["lesson_id"])
        assert drift(operator, [abc.course_id]) == []


def _edit(
    made: dict[str, Any], shelf: list[dict[str, Any]], dice: random.Random, turn: int
) -> None:
    """Change one to four things of a document; `shelf` holds the lessons taken out."""
    for _ in range(dice.randint(1, 4)):
        module = dice.choice(made["modules"])
        lessons = module["lessons"]
        match dice.randrange(8):
            case 0:
                lessons.append(lesson(f"n{turn}-{dice.randrange(10**6)}"))
            case 1 if lessons:
                shelf.append(lessons.pop(dice.randrange(len(lessons))))
            case 2 if shelf:
                lessons.insert(0, shelf.pop())
            case 3 if lessons:
                taken = lessons.pop(dice.randrange(len(lessons)))
                dice.choice(made["modules"])["lessons"].append(taken)
            case 4:
                dice.shuffle(lessons)
            case 5:
                dice.shuffle(made["modules"])
            case 6 if lessons:
                chosen = dice.choice(lessons)
                chosen["weight"] = dice.randint(1, 5)
                chosen["is_required"] = dice.random() < 0.8
            case 7 if len(made["modules"]) > 2:
                made["modules"].remove(module)
                shelf.extend(lessons)
            case _:
                slug = f"m{turn}-{dice.randrange(10**6)}"
                made["modules"].append({"slug": slug, "title": slug, "lessons": []})


# Quizzes ------------------------------------------------------------------------------------------

SECRET = "only-the-author-knows"


def choice(text: str, right: str = "yes", **fields: Any) -> dict[str, Any]:
    """A question with the answers yes and no."""
    options = [{"text": one, "correct": one == right} for one in ("yes", "no")]
    return {"kind": "single_choice", "text": text, "options": options, **fields}


def asking(slug: str, *questions: dict[str, Any], **fields: Any) -> dict[str, Any]:
    made = {"type": "quiz", "completion_rule": "pass", "quiz": {"questions": list(questions)}}
    return lesson(slug, **made, **fields)


def questions(author: Author, slug: str) -> list[tuple[Any, ...]]:
    """Id, text, points and who wrote the row last, of the questions that are asked."""
    rows = author.operator.run(
        "select q.id, q.body ->> 'text' as text, q.points::text, q.xmin::text"
        " from private.questions q where q.lesson_id = %s and q.removed_at is null"
        " order by q.position",
        author.lesson(slug)["id"],
    )
    return [tuple(row.values()) for row in rows]


def answered(learner: Actor, author: Author, slug: str, right: dict[str, str]) -> dict[str, Any]:
    """Submit a quiz of choices, each answered with a text, and return what it comes to."""
    row = author.lesson(slug)
    given = [
        {"question_id": one["id"], "answer": option["id"]}
        for one in row["quiz_data"]["questions"]
        for option in one["options"]
        if option["text"] == right[one["text"]]
    ]
    found: dict[str, Any] = learner.call(
        "submit_quiz", p_lesson_id=row["id"], p_answers=Jsonb(given)
    )
    return found


def test_quizzes_become_what_the_document_says(
    author: Callable[..., Author], operator: Actor
) -> None:
    made = author(
        a=[
            asking("a1", choice("One?"), choice("Two?", points=2.5), max_attempts=None),
            asking("a2", choice("Three?", id="three"), pass_percent=50),
        ]
    )
    assert [row[:3] for row in questions(made, "a1")] == [
        ("q1", "One?", "1.00"), ("q2", "Two?", "2.50")
    ]  # fmt: skip
    before = made.everything(), questions(made, "a1")
    assert empty(made.run())
    assert (made.everything(), questions(made, "a1")) == before

    one, two = made.document["modules"][0]["lessons"]
    one["quiz"]["questions"].insert(0, choice("Zero?"))
    two |= {"max_attempts": 2, "quiz_available_from": "2030-01-31T08:00Z", "score_policy": "last"}
    report = made.run()
    assert report["updated"]["lessons"] == {
        "a1": ["quiz"],
        "a2": ["max_attempts", "quiz_available_from", "score_policy"],
    }
    (_, *kept), (*_, old) = questions(made, "a1"), before[1]
    assert [row[:2] for row in kept] == [("q1", "One?"), ("q2", "Two?")]
    assert old[0] == "q2"
    assert "questions" not in made.lesson("a2")["quiz_data"]  # limited now
    assert made.lesson("a2")["quiz_available_from"] == datetime(2030, 1, 31, 8, tzinfo=UTC)
    assert empty(made.run())

    one["title"], two["title"] = "New", "New"
    for field in ("max_attempts", "quiz_available_from", "score_policy"):
        del two[field]
    two["quiz"]["shuffle_options"] = True
    three = two["quiz"]["questions"][0]
    three["options"].reverse()
    assert made.run()["updated"]["lessons"] == {
        "a1": ["title"],
        "a2": ["title", "max_attempts", "quiz_available_from", "score_policy", "quiz"],
    }
    assert made.lesson("a2")["quiz_data"]["questions"][0]["options"][0]["text"] == "no"


def test_a_quiz_that_is_gone_is_not_asked_any_more(
    author: Callable[..., Author], learner: Learner, operator: Actor
) -> None:
    made = author(a=[asking("a1", choice("One?"), choice("Two?"))], b=[lesson("b1")])
    ann = begin(learner, made)
    done = answered(ann, made, "a1", {"One?": "yes", "Two?": "yes"})
    assert done["attempt"]["percent"] == 100
    one = made.document["modules"][0]["lessons"][0]
    del one["quiz"]["questions"][0]
    assert made.run()["updated"]["lessons"] == {"a1": ["quiz"]}
    assert [row[:2] for row in questions(made, "a1")] == [("q2", "Two?")]
    one |= {"type": "article", "completion_rule": "manual"}
    del one["quiz"]
    assert made.run()["updated"]["lessons"] == {"a1": ["completion_rule", "type", "quiz"]}
    assert questions(made, "a1") == []
    assert made.lesson("a1")["quiz_data"] is None
    assert empty(made.run())
    # What was done stays done, with the questions it was done on.
    (attempt,) = operator.run(
        "select percent, questions from user_assessment_attempts where user_id = %s", ann.user
    )
    assert attempt["percent"] == 100
    assert len(attempt["questions"]) == 2
    assert percent(ann, made) == 50.0

    one |= {"type": "quiz", "quiz": {"questions": [choice("One?")]}}
    assert made.run()["updated"]["lessons"] == {"a1": ["type", "quiz"]}
    assert [row[:2] for row in questions(made, "a1")] == [("q1", "One?")]  # it is the same
    # An archived lesson keeps its questions for the day it comes back.
    made.document["modules"][0]["lessons"] = []
    assert made.run()["archived"]["lessons"] == ["a1"]
    assert len(questions(made, "a1")) == 1
    made.document["modules"][0]["lessons"] = [one]
    report = made.run()
    assert (report["restored"]["lessons"], report["updated"]["lessons"]) == (["a1"], {})


def test_a_module_can_ask_for_its_quizzes_only(
    author: Callable[..., Author], learner: Learner, operator: Actor
) -> None:
    made = author(a=[lesson("a1"), asking("a2", choice("One?"))])
    made.document["modules"][0]["completion_rule"] = "quiz_passed"
    assert made.run()["updated"]["modules"] == {"a": ["completion_rule"]}
    ann = begin(learner, made)
    answered(ann, made, "a2", {"One?": "yes"})
    (state,) = operator.run("select status from module_progress where user_id = %s", ann.user)
    assert state["status"] == "completed"
    del made.document["modules"][0]["completion_rule"]
    assert made.run()["updated"]["modules"] == {"a": ["completion_rule"]}
    assert drift(operator, [made.course_id]) == []


QUIZ_DAMAGE: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda d: first(d).update(quiz=[]), "lesson a1: quiz must be object"),
    (lambda d: first(d).update(quiz={}), "lesson a1: the quiz must be an object"),
    (lambda d: first(d)["quiz"].update(questions=[]), "lesson a1: the quiz has no question"),
    (
        lambda d: first(d)["quiz"]["questions"][0].update(options=[]),
        "lesson a1, question q1: no correct option",
    ),
    (
        lambda d: [o.update(correct=True) for o in first(d)["quiz"]["questions"][1]["options"]],
        "lesson a1, question two: 2 correct options",
    ),
    (
        lambda d: first(d)["quiz"]["questions"].__setitem__(
            1, {"id": "two", "kind": "free_text", "text": "T?"}
        ),
        "lesson a1, question two: was of kind single_choice before",
    ),
    (lambda d: first(d)["quiz"].update(pools={"p": 1}), "lesson a1: pool p draws more"),
    (lambda d: first(d).update(max_attempts="2"), "lesson a1: max_attempts must be integer"),
    (lambda d: first(d).update(max_attempts=0), "lesson a1 breaks lessons_max_attempts_check"),
    (lambda d: first(d).update(score_policy="top"), "lesson a1 breaks score_policy_is_valid"),
    (lambda d: first(d).update(quiz_available_from="now"), "quiz_available_from must be time"),
    (lambda d: first(d).update(quiz_available_from="2030-13-01T08:00Z"), "out of range"),
    (lambda d: first(d).update(quiz_data={}), "lesson a1: unknown field quiz_data"),
    (lambda d: first(d).update(question_pools={}), "lesson a1: unknown field question_pools"),
]


@pytest.mark.parametrize(
    ("damage", "reason"), QUIZ_DAMAGE, ids=[reason for _, reason in QUIZ_DAMAGE]
)
def test_a_faulty_quiz_is_refused_whoever_sends_it(
    author: Callable[..., Author], damage: Callable[[dict[str, Any]], Any], reason: str
) -> None:
    """With lesson and question; without any answer; and with nothing written."""
    keyed = {"kind": "short_text", "text": "K?", "accepted": [SECRET], "explanation": SECRET}
    made = author(a=[asking("a1", choice("One?"), choice("Two?", id="two"), keyed), lesson("a2")])
    before = made.everything(), questions(made, "a1")
    broken = copy.deepcopy(made.document)
    broken["title"] = "Better"
    damage(broken)
    with pytest.raises(Refused) as caught:
        raw(made.server, broken)
    assert (caught.value.code, caught.value.status) == ("invalid_course", 422)
    assert reason in (caught.value.details or "")
    assert SECRET not in repr((caught.value.message, caught.value.details))
    assert (made.everything(), questions(made, "a1")) == before


def test_every_faulty_question_is_named_at_once(author: Callable[..., Author]) -> None:
    made = author(a=[asking("a1", choice("1")), asking("a2", choice("2"), choice("3"))])
    one, two = made.document["modules"][0]["lessons"]
    one["quiz"]["questions"][0]["options"].pop()
    two["quiz"]["questions"][1] = {"kind": "numeric", "text": "4", "answer": "x", "tolerance": -1}
    with pytest.raises(Refused) as caught:
        raw(made.server, made.document)
    assert sorted((caught.value.details or "").splitlines()) == [
        "lesson a1, question q1: needs at least two options",
        "lesson a2, question q2: answer must be a number",
        "lesson a2, question q2: tolerance must be a number not below 0",
    ]


def test_a_dry_run_of_quizzes_tells_all_and_changes_nothing(
    author: Callable[..., Author], operator: Actor
) -> None:
    made = author(a=[asking("a1", choice("One?")), asking("a2", choice("Two?"))])
    one, two = made.document["modules"][0]["lessons"]
    one["quiz"]["questions"].append(
        {"kind": "short_text", "text": "K?", "accepted": [SECRET], "explanation": SECRET}
    )
    del two["quiz"]
    two["completion_rule"] = "manual"
    two["type"] = "assignment"
    before = made.everything(), questions(made, "a1"), questions(made, "a2")
    told = made.run(dry_run=True)
    assert (made.everything(), questions(made, "a1"), questions(made, "a2")) == before
    assert made.run() == told
    assert SECRET not in repr(told)
    audited = operator.run(
        "select to_jsonb(a)::text as row from audit_log a where course_id = %s", made.course_id
    )
    assert audited
    assert SECRET not in repr(audited)


# Dry runs and refusals ----------------------------------------------------------------------------


def test_a_dry_run_tells_all_and_changes_nothing(abc: Author, learner: Learner) -> None:
    begin(learner, abc, "a1", "a2")
    abc.document["title"] = "Better"
    abc.document["modules"].reverse()
    abc.document["modules"][1]["lessons"][0]["weight"] = 7
    abc.document["modules"][0]["lessons"] += [
        lesson("b3", resources=[{"title": "r", "url": "https://example.com/r"}]),
        abc.document["modules"][1]["lessons"].pop(),
    ]
    abc.document["modules"].append({"slug": "c", "title": "C"})
    before = abc.everything()
    told = abc.run(dry_run=True)
    assert abc.everything() == before
    assert told["changed"]
    assert abc.run() == told
    assert abc.everything() != before


def test_a_dry_run_of_a_new_course_makes_none(server: Actor, operator: Actor) -> None:
    author = Author(server, operator, document(a=[lesson("a1")]))
    report = author.run(dry_run=True)
    assert report["created"] == {"course": True, "modules": ["a"], "lessons": ["a1"]}
    assert report["course_id"] is None
    assert operator.run("select 1 from courses where slug = %s", author.document["slug"]) == []


def raw(server: Actor, made: Any) -> Any:
    return server.call("import_course", p_document=Jsonb(made))


BROKEN: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda d: d.pop("waymark"), "waymark: 1"),
    (lambda d: d.update(waymark=2), "waymark: 1"),
    (lambda d: d.update(modules=[]), "waymark: 1"),
    (lambda d: d.update(modules={"slug": "a"}), "waymark: 1"),
    (lambda d: d.update(id=1), "course: unknown field id"),
    (lambda d: d.update(total_weight=1), "course: unknown field total_weight"),
    (lambda d: d.update(title=None), "course: title is missing"),
    (lambda d: d.update(rating=6), " breaks courses_rating_check"),
    (lambda d: d.update(rating=9999), "numeric field overflow"),
    (lambda d: d.update(badges=["a", 1]), "course: badges must be texts"),
    (lambda d: d.update(image_url="javascript:x"), "breaks courses_image_url_check"),
    (lambda d: d.update(slug="A b"), "courses_slug_check"),
    (lambda d: d["modules"].append("x"), "module 2: must be an object"),
    (lambda d: d["modules"].append(d["modules"][0]), "module a: the slug stands 2 times"),
    (lambda d: d["modules"][0].update(lessons="x"), "module a: lessons must be array"),
    (lambda d: first(d).update(weight=0), "lesson a1 breaks lessons_weight_check"),
    (lambda d: first(d).update(weight="1"), "lesson a1: weight must be integer"),
    (lambda d: first(d).update(weight=1.5), "lesson a1: weight must be integer"),
    (lambda d: first(d).update(weight=2**31), "lesson a1: weight must be integer"),
    (lambda d: first(d).update(completion_rule="view"), "lesson a1 breaks view_rule_has_seconds"),
    (lambda d: first(d).update(video_url="data:x"), "lesson a1 breaks lessons_video_url_check"),
    (lambda d: first(d).update(archived_at=None), "lesson a1: unknown field archived_at"),
    (lambda d: first(d).update(module_id="x"), "lesson a1: unknown field module_id"),
    (lambda d: first(d).pop("title"), "lesson a1: title is missing"),
    (lambda d: first(d).pop("slug"), "lesson 0: slug is missing"),
    (lambda d: d["modules"][1]["lessons"].append(first(d)), "lesson a1: the slug stands 2 times"),
    (
        lambda d: first(d).update(resources=[{"title": "R", "url": "ftp://x"}]),
        "resource R breaks resources_url_check",
    ),
    (
        lambda d: first(d).update(resources=[{"title": "R", "url": "https://x"}] * 2),
        "lesson a1: the resource https://x stands 2 times",
    ),
]  # fmt: skip


def first(made: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = made["modules"][0]["lessons"][0]
    return found


@pytest.mark.parametrize(("damage", "reason"), BROKEN, ids=[reason for _, reason in BROKEN])
def test_nonsense_is_refused_whoever_sends_it(
    abc: Author, damage: Callable[[dict[str, Any]], Any], reason: str
) -> None:
    before = abc.everything()
    made = copy.deepcopy(abc.document)
    made["modules"][0]["title"] = "Half imported"
    damage(made)
    with pytest.raises(Refused) as caught:
        raw(abc.server, made)
    assert (caught.value.code, caught.value.status) == ("invalid_course", 422)
    assert reason in (caught.value.details or "")
    assert abc.everything() == before


@pytest.mark.parametrize("made", [None, 1, "x", [], {}, {"modules": 3}, {"modules": [[], 2]}])
def test_what_is_no_document_is_refused(server: Actor, made: Any) -> None:
    with pytest.raises(Refused, match="invalid_course"):
        raw(server, made)


def test_all_problems_come_at_once(abc: Author) -> None:
    made = copy.deepcopy(abc.document)
    made["x"] = 1
    for broken in made["modules"][0]["lessons"]:
        broken["weight"] = "1"
    with pytest.raises(Refused) as caught:
        raw(abc.server, made)
    assert (caught.value.details or "").splitlines() == [
        "course: unknown field x", *(f"lesson a{n}: weight must be integer" for n in (1, 2, 3))
    ]  # fmt: skip
    for module in abc.document["modules"]:
        for broken in module["lessons"]:
            broken["weight"] = 0
    with pytest.raises(Refused) as caught:
        raw(abc.server, abc.document)
    assert len((caught.value.details or "").splitlines()) == 5


def test_only_admins_import(
    abc: Author, learner: Learner, operator: Actor, actors: Callable[..., Actor]
) -> None:
    someone = learner()
    insert(operator, "course_staff", {
        "course_id": abc.course_id, "user_id": someone.user, "role": "author"
    })  # fmt: skip
    abc.document["title"] = "Taken over"
    for dry_run in (True, False):
        with pytest.raises(Refused, match="not_allowed"):
            abc.run(dry_run=dry_run, server=someone)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        abc.run(server=actors("anon"))
    assert operator.one("select title from courses where id = %s", abc.course_id) == "Course"

    claims = {
        "role": "authenticated", "sub": str(someone.user), "app_metadata": {"waymark_role": "admin"}
    }  # fmt: skip
    someone.connection.execute(
        "select set_config('request.jwt.claims', %s, false)", [json.dumps(claims)]
    )
    assert abc.run(server=someone)["updated"]["course"] == ["title"]


def test_an_import_is_on_record(abc: Author, operator: Actor) -> None:
    abc.document["title"] = "Better"
    report = abc.run()
    rows = operator.run(
        "select action, subject, actor_role, after from audit_log where course_id = %s order by id",
        abc.course_id,
    )
    assert [row["action"] for row in rows] == ["course.import", "course.import"]
    assert rows[1] == {
        "action": "course.import",
        "subject": f"course:{abc.course_id}",
        "actor_role": "service_role",
        "after": report,
    }


@contextmanager
def suppress_refusal(code: str) -> Iterator[None]:
    """Go on after this refusal, and no other."""
    try:
        yield
    except Refused as refused:
        if refused.code != code:
            raise


# Together with others -----------------------------------------------------------------------------


@pytest.fixture
def servers(actors: Callable[..., Actor]) -> list[Actor]:
    return [actors("service_role") for _ in range(4)]


def together(works: list[Callable[[], Any]]) -> None:
    """Run them at once; the first failure of any is raised."""
    failures: list[BaseException] = []
    gate = threading.Barrier(len(works))

    def run(work: Callable[[], Any]) -> None:
        try:
            gate.wait()
            work()
        except BaseException as problem:
            failures.append(problem)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _import(author: Author, server: Actor, reports: list[dict[str, Any]]) -> None:
    reports.append(author.run(server=server))


def test_two_imports_of_a_new_course_make_one(
    servers: list[Actor], server: Actor, operator: Actor
) -> None:
    for _ in range(5):
        author = Author(server, operator, document(a=[lesson("a1"), lesson("a2")]))
        reports: list[dict[str, Any]] = []
        together([partial(_import, author, one, reports) for one in servers])
        assert sorted(report["changed"] for report in reports) == [False, False, False, True]
        assert author.outline() == {"a": ["a1", "a2"]}


def test_an_import_holds_up_its_own_course_only(
    abc: Author, author: Callable[..., Author], learner: Learner, server: Actor
) -> None:
    other = author(a=[lesson("a1"), lesson("a2")])
    here, there = begin(learner, abc), begin(learner, other)
    abc.document["modules"].reverse()
    with server.connection.transaction():
        abc.run()
        for someone in (here, there):
            someone.connection.execute("set lock_timeout = '1s'")
        there.call("complete_lesson", p_lesson_id=other.lesson("a1")["id"])
        with pytest.raises(psycopg.errors.LockNotAvailable):
            here.call("complete_lesson", p_lesson_id=abc.lesson("a1")["id"])
    here.call("complete_lesson", p_lesson_id=abc.lesson("a1")["id"])


def test_imports_and_learners_at_once(
    abc: Author, servers: list[Actor], learner: Learner, operator: Actor
) -> None:
    other = copy.deepcopy(abc.document)
    other["modules"].reverse()
    other["modules"][0]["lessons"][0]["weight"] = 3
    other["modules"][1]["lessons"].pop()
    other["modules"][0]["lessons"].append(lesson("b9"))
    people = [begin(learner, abc) for _ in range(6)]

    def edit(actor: Actor, made: dict[str, Any]) -> None:
        for _ in range(6):
            actor.call("import_course", p_document=made)

    def study(someone: Actor) -> None:
        for _ in range(5):
            following = someone.call("get_next_lesson", p_course_id=abc.course_id)
            if not following:
                return
            # It may have been archived since it was next.
            with suppress_refusal("lesson_not_found"):
                someone.call("complete_lesson", p_lesson_id=following["lesson_id"])

    def rawly(actor: Actor) -> None:
        for weight in range(1, 7):
            actor.run(
                "update public.lessons set weight = %s where course_id = %s and slug = 'a1'",
                weight, course_id,
            )  # fmt: skip

    course_id = abc.course_id
    together(
        [
            lambda: edit(servers[0], abc.document),
            lambda: edit(servers[1], other),
            lambda: rawly(servers[2]),
            *(partial(study, someone) for someone in people),
        ]
    )
    assert drift(operator, [course_id]) == []
    abc.run()
    assert drift(operator, [course_id]) == []
    assert abc.outline()["a"] == ["a1", "a2", "a3"]


# Real and large -----------------------------------------------------------------------------------


def test_the_real_course_is_imported(server: Actor, operator: Actor, learner: Learner) -> None:
    author = Author(server, operator, real_course())
    author.run()
    assert author.outline() == author.wanted()
    assert len(author.outline()) == 9
    assert sum(map(len, author.outline().values())) == 25
    assert empty(author.run())
    ann = begin(learner, author)
    ids = [author.lesson(slug)["id"] for slugs in author.wanted().values() for slug in slugs]
    for done, one in enumerate(ids, 1):
        answer = ann.call("complete_lesson", p_lesson_id=one)
        assert answer["enrollment"]["completed_lessons"] == done
    assert percent(ann, author) == 100.0
    assert drift(operator, [author.course_id]) == []


def test_the_real_quizzes_are_imported_without_the_faulty_questions(
    server: Actor, operator: Actor, learner: Learner, tmp_path: Path
) -> None:
    """Whoever passes them all has completed them all; whoever answers wrongly has not."""
    author = Author(server, operator, real_course(quizzes=True))
    with pytest.raises(courses.CourseError):
        author.run()
    with pytest.raises(Refused) as caught:
        raw(server, author.document)
    assert sorted((caught.value.details or "").splitlines()) == sorted(
        f"lesson {slug}, question q{number}: {reason}" for slug, number, reason in FAULTY
    )
    assert operator.run("select 1 from courses where slug = %s", author.document["slug"]) == []

    skipped = courses.Skipped(tmp_path)
    author.document = courses.check(author.document, ROOT, skipped=skipped)
    assert len(skipped.faults) == len(FAULTY)
    author.run()
    assert empty(author.run())
    lessons = [one for module in author.document["modules"] for one in module["lessons"]]
    quizzes = {one["slug"]: one["quiz"]["questions"] for one in lessons if "quiz" in one}
    assert len(quizzes) == 50
    rights, wrongs = (
        {
            slug: {
                one["text"]: next(o["text"] for o in one["options"] if o["correct"] is right)
                for one in asked
            }
            for slug, asked in quizzes.items()
        }
        for right in (True, False)
    )
    ann, bob = begin(learner, author), begin(learner, author)
    for slug in quizzes:
        done = answered(ann, author, slug, rights[slug])
        assert (done["attempt"]["passed"], done["progress"]["status"]) == (True, "completed")
        failed = answered(bob, author, slug, wrongs[slug])
        assert (failed["attempt"]["percent"], failed["attempt"]["passed"]) == (0, False)
        assert failed["progress"]["status"] == "in_progress"
    assert percent(ann, author) == 66.67
    for one in lessons:
        if "quiz" not in one:
            for someone in (ann, bob):
                someone.call("complete_lesson", p_lesson_id=author.lesson(one["slug"])["id"])
    assert (percent(ann, author), percent(bob, author)) == (100.0, 33.33)
    finished = operator.run(
        "select user_id from enrollments where course_id = %s and completed_at is not null",
        author.course_id,
    )
    assert [row["user_id"] for row in finished] == [ann.user]
    assert drift(operator, [author.course_id]) == []


def test_ten_times_the_questions_cost_ten_times_the_time(server: Actor, operator: Actor) -> None:
    server.connection.execute("set statement_timeout = '60s'")
    _quiz_all(server, operator, 10)
    small = _quiz_all(server, operator, 100)
    large = _quiz_all(server, operator, 1_000)
    assert large < 30 * small


def _quiz_all(server: Actor, operator: Actor, size: int) -> float:
    """Make a course of that many quizzes of ten questions, edit every one, and return the time."""
    modules = {
        f"m{m}": [
            asking(f"l{m}-{n}", *(choice(f"{q}?") for q in range(10))) for n in range(size // 10)
        ]
        for m in range(10)
    }
    author = Author(server, operator, document(**modules))
    begun = time.perf_counter()
    author.run()
    assert empty(author.run())
    for module in author.document["modules"]:
        for one in module["lessons"]:
            one["quiz"]["questions"][0] = choice("New?")
    report = author.run()
    took = time.perf_counter() - begun
    assert set(map(tuple, report["updated"]["lessons"].values())) == {("quiz",)}
    assert len(report["updated"]["lessons"]) == size
    return took


def test_a_question_costs_less_than_a_lesson(server: Actor, operator: Actor) -> None:
    """Quizzes are checked, named and written all at once: edited one by one, each question of them
    cost more than two lessons that are edited."""
    server.connection.execute("set statement_timeout = '60s'")

    def lessons(edited: str) -> dict[str, Any]:
        return document(m=[lesson(f"l{n}", content=edited) for n in range(1_000)])

    def quizzes(edited: str) -> dict[str, Any]:
        made = []
        for n in range(100):
            kinds = [
                choice(f"{n} single?", explanation=edited),
                {**choice(f"{n} several?", edited), "kind": "multiple_choice"},
                {"kind": "ordering", "text": f"{n} order?", "items": ["a", "b", edited]},
                {"kind": "matching", "text": f"{n} match?",
                 "pairs": [{"left": "a", "right": edited}, {"left": "b", "right": "c"}]},
                {"kind": "short_text", "text": f"{n} what?", "accepted": [edited]},
            ]  # fmt: skip
            made.append(asking(f"l{n}", *kinds, *({**one, "text": "B"} for one in kinds)))
        return document(m=made)

    ratios = []
    for _ in range(3):
        plain = _of_editing(server, operator, lessons)
        ratios.append(_of_editing(server, operator, quizzes) / plain)
        if ratios[-1] < 1.5:
            break
    assert min(ratios) < 1.5, ratios


def _of_editing(server: Actor, operator: Actor, made: Callable[[str], dict[str, Any]]) -> float:
    """What it costs to import a document again after an edit, by CPU where that is known."""
    author = Author(server, operator, made("yes"))
    raw(server, author.document)
    clock = CpuClock(server.connection.info.backend_pid)
    begun, burnt = time.perf_counter(), clock.read()
    report = raw(server, {**made("no"), "slug": author.document["slug"]})
    took, burnt = time.perf_counter() - begun, clock.read() - burnt
    assert len(report["updated"]["lessons"]) == len(author.document["modules"][0]["lessons"])
    return took if math.isnan(burnt) else burnt


def test_ten_times_the_lessons_cost_ten_times_the_time(
    server: Actor, operator: Actor, learner: Learner
) -> None:
    """However a course of 10,000 lessons is edited: a plan that compares all with all would show.

    With 10,000 lessons each of these imports takes some three seconds of one core, of the eight
    that a statement has; a busy test machine may need longer.
    """
    server.connection.execute("set statement_timeout = '60s'")
    # Once small first: a pooled connection has plans that were made for a few rows.
    _edit_all(server, operator, learner, 100)
    small = _edit_all(server, operator, learner, 200)
    large = _edit_all(server, operator, learner, 2_000)
    assert large < 30 * small


def _edit_all(server: Actor, operator: Actor, learner: Learner, size: int) -> float:
    """Make a course of that many lessons, edit all of it in every way, and return the time."""
    modules = {
        f"m{m}": [lesson(f"l{m}-{n}", content="word " * 100) for n in range(size // 10)]
        for m in range(10)
    }
    author = Author(server, operator, document(**modules))
    took = 0.0

    def timed() -> dict[str, Any]:
        nonlocal took
        begun = time.perf_counter()
        report = author.run()
        took += time.perf_counter() - begun
        return report

    assert len(timed()["created"]["lessons"]) == size
    people = [begin(learner, author, "l0-0", f"l9-{size // 10 - 1}") for _ in range(3)]
    assert empty(timed())
    for module in author.document["modules"]:
        module["lessons"].reverse()
    author.document["modules"].reverse()
    assert len(timed()["updated"]["lessons"]) >= size - 10
    for module, following in pairwise(author.document["modules"]):
        following["lessons"].append(module["lessons"].pop(0))
    assert len(timed()["moved"]["lessons"]) == 9
    for module in author.document["modules"]:
        for one in module["lessons"]:
            one["weight"] = 2
    assert len(timed()["updated"]["lessons"]) == size
    whole = author.document["modules"]
    author.document["modules"] = whole[:1]
    gone = len(timed()["archived"]["lessons"])
    author.document["modules"] = whole
    assert len(timed()["restored"]["lessons"]) == gone > size * 0.8
    assert drift(operator, [author.course_id]) == []
    assert [percent(someone, author) for someone in people] == [
        float(operator.one("select private.percent(4, %s)", 2 * size))
    ] * 3
    return took


def test_defaults_are_those_of_the_tables(operator: Actor) -> None:
    """The document's defaults are written down in the models and in SQL; all must agree."""
    models = {
        "course": courses.Course,
        "module": courses.Module,
        "lesson": courses.Lesson,
        "resource": courses.Resource,
    }
    for kind, model in models.items():
        defaults = operator.one("select private.course_defaults(%s)", kind)
        given = {
            name: field.get_default()
            for name, field in model.model_fields.items()
            if not field.is_required()
        }
        for name in ("lessons", "resources", "content_file", "quiz", "requires"):
            given.pop(name, None)
        if kind == "course":
            del given["certificate"]
            rules = courses.Certificate.model_validate({}).model_dump()
            given |= {f"certificate_{name}": value for name, value in rules.items()}
        if kind == "lesson":
            defaults |= operator.one("select private.course_defaults('quiz')")
        assert {k: v for k, v in defaults.items() if k in given} == given
        required = {name for name, field in model.model_fields.items() if field.is_required()}
        own = {"position", "module_id", "archived_at"}
        assert set(defaults) - set(given) - own == required - {"slug"}

        table = make_course(operator, [[{}]]).id
        (row,) = operator.run(
            {
                "course": "select * from courses where id = %s",
                "module": "select * from modules where course_id = %s",
                "lesson": "select * from lessons where course_id = %s",
                "resource": "insert into resources (course_id, title, url)"
                " values (%s, 't', 'https://example.com/') returning *",
            }[kind],
            table,
        )
        assert {name: row[name] for name in given} == given


def test_limits_are_those_of_the_tables(server: Actor, operator: Actor) -> None:
    """The largest values that the format takes, the tables take too."""
    # A busy test machine may need longer than the eight seconds that a statement has.
    server.connection.execute("set statement_timeout = '60s'")
    url = f"https://example.com/{'a' * 1980}"
    big = {
        "title": "t" * 300,
        "description": "d" * 20_000,
        "duration_minutes": 1_000_000,
        "image_url": url,
        "author": "a" * 300,
        "category": "c" * 100,
        "rating": 5,
        "badges": ["b" * 100] * 50,
        "resources": [{"title": "r" * 300, "url": url}],
    }
    largest = {
        "id": "i" * 64,
        "kind": "multiple_choice",
        "text": "é" * 20_000,
        "points": 100_000,
        "explanation": "e" * 20_000,
        "media": [{"url": url, "alt": "a" * 20_000}] * 20,
        "options": [
            {"id": str(n).zfill(64), "text": "o" * 2_000, "correct": True} for n in range(100)
        ],
    }
    made = document(a=[])
    made |= big
    made["modules"] = [
        {
            "slug": "s" * 100,
            **{name: big[name] for name in ("title", "description", "duration_minutes")},
            "lessons": [
                {
                    "slug": "l" * 100,
                    "title": "t" * 300,
                    "type": "quiz",
                    "content": "é" * 1_000_000,
                    "video_url": url,
                    "duration_seconds": 604_800,
                    "weight": 1_000_000,
                    "completion_rule": rule,
                    "quiz": {"questions": [largest]},
                    "max_attempts": 1000,
                    "time_limit_seconds": 604_800,
                    "attempt_cooldown_seconds": 31_536_000,
                    "quiz_available_from": "2000-01-01T00:00+14:00",
                    "quiz_available_until": "9999-12-31T23:59-12:00",
                    **parameters,
                }
            ],
        }
        for rule, parameters in (
            ("view", {"min_view_seconds": 604_800}),
            ("watch", {"watch_percent": 100}),
            ("pass", {"pass_percent": 100}),
            ("submit", {}),
        )
    ]
    for number, module in enumerate(made["modules"]):
        module["slug"] = f"{number}{module['slug'][1:]}"
        module["lessons"][0]["slug"] = f"{number}{module['lessons'][0]['slug'][1:]}"
    author = Author(server, operator, made)
    author.run()
    assert empty(author.run())
    assert author.outline() == author.wanted()


def test_the_clock_of_an_import_is_ours(abc: Author, operator: Actor) -> None:
    then = datetime(2030, 1, 1, tzinfo=UTC)
    abc.document["modules"][0]["lessons"].pop()
    operator.at(then)
    abc.run(server=operator)
    assert abc.lesson("a3")["archived_at"] == then


def test_rules_of_access_become_what_the_document_says(
    author: Callable[..., Author], operator: Actor
) -> None:
    base = make_course(operator, [1])
    slug = operator.one("select slug from public.courses where id = %s", base.id)
    made = author(a=[lesson("a1"), lesson("a2")], b=[lesson("b1")])
    plain = copy.deepcopy(made.document)
    a, b = made.document["modules"]
    made.document |= {"sequential": True, "enrollment_mode": "paid", "requires": [slug]}
    b |= {"available_after_previous_days": 0, "requires": ["a"]}
    a["lessons"][1] |= {"available_from": "2030-01-31T08:00Z", "requires": ["a1"]}
    b["lessons"][0] |= {"available_after_days": 3}

    def course() -> dict[str, Any]:
        (row,) = operator.run("select * from public.courses where id = %s", made.course_id)
        return row

    report = made.run()
    assert sorted(report["updated"]["course"]) == ["enrollment_mode", "requires", "sequential"]
    assert report["updated"]["modules"] == {"b": ["available_after_previous_days", "requires"]}
    assert report["updated"]["lessons"] == {
        "a2": ["available_from", "requires"],
        "b1": ["available_after_days"],
    }
    assert (course()["sequential"], course()["has_rules"]) == (True, True)
    assert made.lesson("a2")["available_from"] == datetime(2030, 1, 31, 8, tzinfo=UTC)
    for kind in ("lesson", "module", "course"):
        assert operator.one(
            f"select count(*) from public.{kind}_prerequisites where course_id = %s",
            made.course_id,
        )
    assert empty(made.run()), "the same again writes nothing"

    # An order may be turned round in one go, and a ring is refused whole.
    del a["lessons"][1]["requires"]
    a["lessons"][0]["requires"] = ["a2"]
    made.document["sequential"] = False
    assert made.run()["updated"]["lessons"] == {"a1": ["requires"], "a2": ["requires"]}
    a["lessons"][1]["requires"] = ["a1"]
    with pytest.raises(Refused, match="prerequisite_cycle"):
        made.run()
    a["lessons"][1]["requires"] = ["nothing"]
    with pytest.raises(Refused, match="invalid_course") as caught:
        made.server.call("import_course", p_document=made.document)
    assert caught.value.details == "lesson a2: requires nothing, and there is no such lesson"

    # What a document leaves out goes.
    made.document = plain
    made.run()
    assert empty(made.run())
    assert not course()["has_rules"]
