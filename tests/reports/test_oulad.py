"""Every number of the reports on real learners equals what pandas computes from the files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from pandas import DataFrame, Series

from tests.quiz.world import Person
from tests.reports.oulad import PASS, Replay

# Some have just handed in the last assignment, some weeks before, some a year ago.
NOW = datetime(2015, 2, 10, tzinfo=UTC)
TO_TWO_PLACES = 0.005000001

Number = int | float


def day(delta: Series) -> Series:
    return delta / timedelta(days=1)


def mean(values: Series) -> Any:
    return pytest.approx(values.mean(), abs=TO_TWO_PLACES) if len(values) else None


def quantile(values: Series, q: float) -> Any:
    return pytest.approx(values.quantile(q), abs=0.05000001) if len(values) else None


def rate(part: Number, whole: Number) -> Any:
    return pytest.approx(100 * part / whole, abs=TO_TWO_PLACES) if whole else None


def ten(percents: Series) -> list[int]:
    edges = [*range(0, 100, 10), 100.001]
    return [int(n) for n in pd.cut(percents, edges, right=False).value_counts(sort=False)]


def scores(values: Series) -> dict[str, Any]:
    return {
        "count": len(values),
        "min": values.min() if len(values) else None,
        "average": mean(values),
        "max": values.max() if len(values) else None,
        "distribution": ten(values),
    }


def seconds(spent: Series) -> dict[str, Any]:
    spent = spent[spent > 0]
    return {
        "learners": len(spent),
        "median": quantile(spent, 0.5),
        "p90": quantile(spent, 0.9),
    }


class Expected:
    """The reports on these learners, from the files alone."""

    def __init__(self, registered: DataFrame, handed_in: DataFrame, lessons: list[str]) -> None:
        self.people = registered.set_index("user")
        self.work = handed_in[handed_in.user.isin(self.people.index)]
        self.lessons = lessons
        self.passed = self.work[self.work.score >= PASS]
        done = self.passed.groupby("user").lesson.nunique().reindex(self.people.index, fill_value=0)
        self.percent = (done * 100 / len(lessons)).round(2)
        finished = done.index[done == len(lessons)]
        self.finished_at = self.passed[self.passed.user.isin(finished)].groupby("user")["at"].max()
        # In the files' order, which is that of time.
        last = self.work.groupby("user").last()
        self.seen, self.place = last["at"], last["lesson"]

    def active(self, days: int) -> int:
        return int((self.seen > NOW - timedelta(days=days)).sum())

    def course(self) -> dict[str, Any]:
        learners, graded = len(self.people), self.work.dropna(subset="score")
        took = day(self.finished_at - self.people["at"].reindex(self.finished_at.index))
        spent = self.work.groupby("user").seconds.sum()
        recent = int((self.passed["at"] > NOW - timedelta(days=28)).sum())
        days = self.people["at"].dt.date.value_counts().sort_index().tail(366)
        return {
            "learners": {
                "enrolled": learners,
                "started": self.work.user.nunique(),
                "active_7_days": self.active(7),
                "active_30_days": self.active(30),
                "completed": len(self.finished_at),
                "completion_rate": rate(len(self.finished_at), learners),
                "gone": 0,
            },
            "percent": {"average": mean(self.percent), "distribution": ten(self.percent)},
            "days_to_complete": {
                "learners": len(took),
                "median": pytest.approx(took.median(), abs=TO_TWO_PLACES) if len(took) else None,
            },
            "seconds": {"total": int(self.work.seconds.sum()), **seconds(spent)},
            "velocity": {
                "lessons": recent,
                "learners": self.active(28),
                "lessons_per_week": pytest.approx(recent / 4 / self.active(28), abs=TO_TWO_PLACES)
                if self.active(28)
                else None,
            },
            "scores": scores(graded.score),
            "certificates": {"issued": 0, "revoked": 0, "expired": 0},
            "enrollments_per_day": [
                {"day": str(date), "learners": int(count)} for date, count in days.items()
            ],
        }

    def lesson(self, n: int) -> dict[str, Any]:
        work = self.work[self.work.lesson == n]
        graded = work.dropna(subset="score")
        passed = self.passed[self.passed.lesson == n]
        failed = int((graded.score < PASS).sum())
        silent = self.seen.index[self.seen <= NOW - timedelta(days=30)]
        silent = silent.difference(self.finished_at.index)
        return {
            "learners": len(self.people),
            "started": len(work),
            "completed": len(passed),
            "completion_rate": rate(len(passed), len(self.people)),
            "drop_off": rate(len(work) - len(passed), len(work)),
            "stopped": int((self.place.reindex(silent) == n).sum()),
            "days_to_completion": mean(day(passed["at"] - passed.registered_at)),
            "seconds": seconds(work.seconds),
            "quiz": {
                "attempts": len(graded),
                "waiting": int(work.score.isna().sum()),
                "failed": failed,
                "fail_rate": rate(failed, len(graded)),
                "passed": len(passed),
                "attempts_per_pass": pytest.approx(len(graded) / len(passed), abs=TO_TWO_PLACES),
                "scores": scores(graded.score),
                "questions": [],
            },
        }

    def hard(self, more_than: int) -> list[str]:
        found = []
        for n, lesson in enumerate(self.lessons):
            passed = int((self.passed.lesson == n).sum())
            graded = self.work[self.work.lesson == n].dropna(subset="score")
            if passed > more_than:
                fails = (graded.score < PASS).mean()
                found.append((-round(len(graded) / passed, 2), -round(100 * fails, 2), lesson))
        return [lesson for *_, lesson in sorted(found)]


FILTERS = {
    "everyone": {},
    "a cohort": {"cohort_id": "2013J"},
    "the other cohort": {"cohort_id": "2014J"},
    "enrolled in a summer": {
        "enrolled_from": "2014-06-01T00:00:00Z",
        "enrolled_to": "2014-09-01T00:00:00Z",
    },
    "of a cohort, enrolled late": {
        "cohort_id": "2014J", "enrolled_from": "2014-08-20T00:00:00Z",
    },
    "nobody": {"enrolled_from": "2030-01-01T00:00:00Z"},
}  # fmt: skip
HEAD = {
    "course_id", "title", "cohort_id", "cohort", "enrolled_from", "enrolled_to", "as_of", "live",
    "refreshing", "settling",
}  # fmt: skip


@pytest.fixture(scope="module")
def instructor(replayed: Replay) -> Any:
    person = Person(replayed.stack, replayed.instructor)
    person.at(NOW)
    yield person
    person.close()


def chosen(replayed: Replay, chosen: dict[str, str]) -> tuple[dict[str, str], Expected]:
    people, arguments = replayed.registered, dict(chosen)
    if "cohort_id" in chosen:
        people = people[people.code_presentation == chosen["cohort_id"]]
        arguments["cohort_id"] = replayed.cohorts[chosen["cohort_id"]]
    if "enrolled_from" in chosen:
        people = people[people["at"] >= chosen["enrolled_from"]]
    if "enrolled_to" in chosen:
        people = people[people["at"] < chosen["enrolled_to"]]
    return arguments, Expected(people, replayed.handed_in, replayed.lessons)


@pytest.mark.parametrize("name", FILTERS)
def test_the_course_report(replayed: Replay, instructor: Person, name: str) -> None:
    arguments, expected = chosen(replayed, FILTERS[name])
    assert (len(expected.people) > 80) == (name != "nobody")
    found = instructor.call("get_course_report", course_id=replayed.course, **arguments)
    assert datetime.fromisoformat(found["as_of"]) == NOW
    assert {key: found[key] for key in found.keys() - HEAD} == expected.course()


@pytest.mark.parametrize("name", [name for name in FILTERS if name != "nobody"])
def test_the_lessons(replayed: Replay, instructor: Person, name: str) -> None:
    arguments, expected = chosen(replayed, FILTERS[name])
    found = instructor.call("get_lesson_report", course_id=replayed.course, **arguments)
    assert [lesson["lesson_id"] for lesson in found["lessons"]] == replayed.lessons
    for n, lesson in enumerate(found["lessons"]):
        wanted = expected.lesson(n)
        assert {key: lesson[key] for key in wanted} == wanted
    assert [lesson["lesson_id"] for lesson in found["hard_lessons"]] == expected.hard(10)


def test_hard_lessons_need_completions(replayed: Replay, instructor: Person) -> None:
    _, expected = chosen(replayed, {})
    fewest = min(int((expected.passed.lesson == n).sum()) for n in range(3))
    for least, count in ((fewest - 1, 3), (fewest, 2), (10_000, 0)):
        found = instructor.call(
            "get_lesson_report", course_id=replayed.course, min_completions=least
        )
        assert [lesson["lesson_id"] for lesson in found["hard_lessons"]] == expected.hard(least)
        assert len(found["hard_lessons"]) == count
