"""What the plots of a report show."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from shared.reports.plots import number, plots

EMPTY: dict[str, Any] = {
    "enrollments_per_day": [],
    "percent": {"distribution": [0] * 10},
    "scores": {"distribution": [0] * 10},
    "lessons": [],
    "hard_lessons": [],
}


@pytest.mark.parametrize(
    ("days", "word", "bars"), [(0, "day", 1), (30, "day", 31), (31, "week", 5), (400, "month", 14)]
)
def test_new_enrolments_by_day_week_or_month(days: int, word: str, bars: int) -> None:
    first = date(2026, 3, 4)
    given = [{"day": str(first + timedelta(days=n)), "learners": n + 1} for n in sorted({0, days})]
    plot = plots({**EMPTY, "enrollments_per_day": given})[0]
    assert plot.title == f"New enrolments per {word}"
    [values] = plot.series.values()
    # Gaps have their place, and nobody is lost.
    assert (len(values), sum(value or 0 for value in values)) == (bars, sum(
        entry["learners"] for entry in given
    ))  # fmt: skip
    assert len(plot.labels) == len(set(plot.labels)) == len(plot.rows) == bars


def test_an_empty_course_has_all_plots() -> None:
    assert [plot.name for plot in plots(EMPTY)] == [
        "enrollments", "percent", "funnel", "time", "scores", "hard",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "\u2013"), (0, "0"), (1234567, "1,234,567"), (2.5, "2.5"), (2.0, "2"), (-0.25, "-0.25"),
     (33.333, "33.33")],
)  # fmt: skip
def test_numbers_for_people(value: float | None, text: str) -> None:
    assert number(value) == text
