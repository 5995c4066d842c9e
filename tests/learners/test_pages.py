"""Pages of the learner table hold who they say, in the order they say: against facts, in Python."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import psycopg
import pytest

from bench import generate

Db = psycopg.Connection[Any]
# Scores of the progress rows, names of the profiles: not what lists are sorted by.
FACTS = """
select e.*, p.display_name, g.starts_at, g.ends_at,
       exists (select from public.course_staff s
                where s.course_id = e.course_id and s.user_id = e.user_id) as is_staff,
       (select array_agg(u.best_score) from public.user_progress u
          join public.lessons l on l.id = u.lesson_id and l.is_countable
         where u.user_id = e.user_id and u.course_id = e.course_id and u.best_score is not null
           and not exists (select from public.lesson_waivers w
                            where w.user_id = u.user_id and w.lesson_id = u.lesson_id)) as scores
  from public.enrollments e
  left join public.profiles p on p.id = e.user_id
  left join public.cohorts g on g.id = e.cohort_id
 where e.course_id = %s
"""
NOW = datetime.now(UTC)


def score(row: dict[str, Any]) -> Decimal | None:
    """The mean of the scores, half up."""
    if not row["scores"]:
        return None
    mean = sum(row["scores"]) / Decimal(len(row["scores"]))
    return mean.quantize(Decimal("0.01"), ROUND_HALF_UP)


def needs_help(row: dict[str, Any], now: datetime) -> str | None:
    """The rule of docs/how-to/learners.md."""
    if row["completed_at"] or (row["expires_at"] and row["expires_at"] <= now):
        return None
    began = row["cycle_started_at"] or row["enrolled_at"]
    if max(row["last_accessed_at"] or began, began) < now - timedelta(days=14):
        return "silent"
    began = max(began, row["starts_at"] or began)
    deadline = min(filter(None, (row["expires_at"], row["ends_at"])), default=None)
    if deadline is None or began >= now - timedelta(days=7):
        return None
    if float(row["progress_percent"]) * (deadline - began) < 100 * (now - began):
        return "behind"
    return None


KEYS = {
    # Names of the generator hold marks and capitals; ASCII is enough to sort the rest.
    "name": lambda row: _plain(row["display_name"] or ""),
    "percent": lambda row: row["progress_percent"],
    "activity": lambda row: row["last_accessed_at"] or datetime(1970, 1, 1, tzinfo=UTC),
    "score": lambda row: score(row) if row["scores"] else Decimal(-1),
    "time": lambda row: row["view_time_seconds"],
}


def _plain(name: str) -> str:
    return name.translate(str.maketrans("ÇğÉÖáíçéö", "CgEOaiceo")).lower()


@pytest.fixture(scope="module")
def facts(generated: tuple[Db, generate.Made]) -> list[dict[str, Any]]:
    """Everybody whom the list is about, in no order."""
    db, made = generated
    # Deadlines, so that some are behind.
    db.execute(
        "update public.cohorts set ends_at = now() + interval '20 days' where course_id = %s",
        [made.course_ids[0]],
    )
    db.execute(
        "update public.enrollments set expires_at = now() + interval '2 days'"
        " where course_id = %s and view_time_seconds %% 2 = 0",
        [made.course_ids[0]],
    )
    rows = db.execute(FACTS, [made.course_ids[0]]).fetchall()
    found = [row for row in rows if row["status"] == "active" and not row["is_staff"]]
    assert len(rows) - 10 < len(found) + sum(row["status"] != "active" for row in rows) < len(rows)
    return found


def pages(db: Db, course: int, limit: int, **arguments: Any) -> Iterator[list[dict[str, Any]]]:
    """Every page of a list."""
    cursor = None
    names = ", ".join(f"p_{name} => %({name})s" for name in arguments)
    with db.transaction(force_rollback=True):
        db.execute("select set_config('waymark.now', %s, true)", [NOW.isoformat()])
        while True:
            row = db.execute(
                "select public.get_course_learners(%(course)s, p_cursor => %(cursor)s,"
                f" p_limit => %(limit)s{', ' if names else ''}{names}) as page",
                {"course": course, "cursor": cursor, "limit": limit, **arguments},
            ).fetchone()
            assert row is not None
            yield row["page"]["learners"]
            cursor = row["page"]["cursor"]
            if cursor is None:
                return


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("sort", KEYS)
def test_every_page_of_every_sort(
    generated: tuple[Db, generate.Made], facts: list[dict[str, Any]], sort: str, direction: str
) -> None:
    db, made = generated
    seen = list(pages(db, made.course_ids[0], 37, sort=sort, direction=direction))
    assert {len(page) for page in seen[:-1]} == {37}
    expected = sorted(
        facts, key=lambda row: (KEYS[sort](row), str(row["id"])), reverse=direction == "desc"
    )
    assert [row["enrollment_id"] for page in seen for row in page] == [
        str(row["id"]) for row in expected
    ]


def test_what_a_row_says(generated: tuple[Db, generate.Made], facts: list[dict[str, Any]]) -> None:
    db, made = generated
    known = {str(row["id"]): row for row in facts}
    statuses, helped, cohorts = set(), set(), set()
    for row in next(pages(db, made.course_ids[0], 1000)):
        fact = known[row["enrollment_id"]]
        status = (
            "completed" if fact["completed_at"]
            else "in_progress" if fact["last_accessed_at"] else "not_started"
        )  # fmt: skip
        expected = score(fact)
        assert (row["name"], row["status"], row["percent"], row["needs_help"]) == (
            fact["display_name"], status, float(fact["progress_percent"]), needs_help(fact, NOW),
        )  # fmt: skip
        assert row["score"] == (None if expected is None else float(expected))
        assert (row["completed_lessons"], row["total_lessons"], row["view_time_seconds"]) == (
            fact["completed_lessons"], fact["total_lessons"], fact["view_time_seconds"],
        )  # fmt: skip
        assert (row["cohort"] is None) == (fact["cohort_id"] is None)
        statuses.add(status)
        helped.add(row["needs_help"])
        cohorts.add(row["cohort"])
    assert statuses == {"completed", "in_progress", "not_started"}
    assert helped == {None, "silent", "behind"}
    assert len(cohorts) == 5


def test_filters(generated: tuple[Db, generate.Made], facts: list[dict[str, Any]]) -> None:
    db, made = generated
    cohort = next(row["cohort_id"] for row in facts if row["cohort_id"])
    week, month = NOW - timedelta(days=7), NOW - timedelta(days=30)

    def silent(row: dict[str, Any], days: int) -> bool:
        last: datetime = max(row["last_accessed_at"] or row["enrolled_at"], row["enrolled_at"])
        return last < NOW - timedelta(days=days)

    cases: list[tuple[dict[str, Any], Any]] = [
        ({"cohort_id": cohort}, lambda r: r["cohort_id"] == cohort),
        ({"status": "completed"}, lambda r: r["completed_at"]),
        ({"status": "in_progress"}, lambda r: not r["completed_at"] and r["last_accessed_at"]),
        ({"status": "not_started"}, lambda r: not r["completed_at"] and not r["last_accessed_at"]),
        ({"min_percent": 20, "max_percent": 60}, lambda r: 20 <= r["progress_percent"] <= 60),
        ({"inactive_days": 30}, lambda r: silent(r, 30)),
        ({"needs_help": True}, lambda r: needs_help(r, NOW)),
        ({"needs_help": False}, lambda r: not needs_help(r, NOW)),
        ({"enrolled_from": month, "enrolled_to": week}, lambda r: month <= r["enrolled_at"] < week),
        (
            {"cohort_id": cohort, "status": "in_progress", "needs_help": True},
            lambda r: r["cohort_id"] == cohort and r["last_accessed_at"] and needs_help(r, NOW),
        ),
    ]
    for arguments, fits in cases:
        expected = {str(row["id"]) for row in facts if fits(row)}
        assert expected, arguments
        assert len(expected) < len(facts), arguments
        for sort in ("name", "percent"):
            seen = list(pages(db, made.course_ids[0], 41, sort=sort, **arguments))
            found = [row["enrollment_id"] for page in seen for row in page]
            assert len(found) == len(set(found))
            assert set(found) == expected, arguments
