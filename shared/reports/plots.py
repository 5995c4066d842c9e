"""What the plots of a report show, as data: a series to draw and the table that says the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

# An average of fewer would tell of single learners.
FEWEST = 5
NOT_SHOWN = "\u2013"
# A plot with more bars can be read by nobody; the table has them all.
BARS = 40


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot. `series` are bars by label, None for no bar; `unit` is what they measure."""

    name: str
    title: str
    summary: str
    unit: str
    labels: Sequence[str]
    series: Mapping[str, Sequence[float | None]]
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    sideways: bool = False


def number(value: float | None, unit: str = "") -> str:
    """A number for people, to two places; a dash for none."""
    if value is None:
        return NOT_SHOWN
    text = f"{value:,.2f}".rstrip("0").rstrip(".") if value % 1 else f"{value:,.0f}"
    return f"{text}{unit}"


def plots(report: Mapping[str, Any]) -> list[Plot]:
    """All plots of a report, in the page's order."""
    return [
        _enrollments(report["enrollments_per_day"]),
        _tenths(
            "percent",
            "Progress",
            "How many learners have come how far through the course.",
            "learners",
            report["percent"]["distribution"],
        ),
        _funnel(report["lessons"]),
        _time(report["lessons"]),
        _tenths(
            "scores",
            "Scores",
            "How many quiz scores lie where; one score for each learner and quiz.",
            "scores",
            report["scores"]["distribution"],
        ),
        _hard(report["hard_lessons"], report["lessons"]),
    ]


def _enrollments(days: Sequence[Mapping[str, Any]]) -> Plot:
    counts = {date.fromisoformat(entry["day"]): entry["learners"] for entry in days}
    span = (max(counts) - min(counts)).days if counts else 0
    word = "day" if span < 31 else "week" if span < 366 else "month"
    sums: dict[date, int] = {}
    if counts:
        # Those without anybody have a place of their own: a gap is to be seen.
        day = min(counts)
        while day <= max(counts):
            sums[_start(day, word)] = 0
            day += timedelta(days=1)
    for day, count in counts.items():
        sums[_start(day, word)] += count
    labels = [str(day)[:7] if word == "month" else str(day) for day in sums]
    return Plot(
        "enrollments",
        f"New enrolments per {word}",
        "When learners enrolled, by days of UTC."
        + (" A week is named by its Monday." if word == "week" else ""),
        "learners",
        labels,
        {"New enrolments": list(sums.values())},
        (word.capitalize(), "Learners"),
        [(label, number(count)) for label, count in zip(labels, sums.values(), strict=True)],
    )


def _start(day: date, of: str) -> date:
    if of == "month":
        return day.replace(day=1)
    return day - timedelta(days=day.weekday()) if of == "week" else day


def _tenths(name: str, title: str, summary: str, unit: str, counts: Sequence[int]) -> Plot:
    labels = [f"{low}\u2013{low + 10} %" for low in range(0, 100, 10)]
    return Plot(
        name,
        title,
        summary,
        unit,
        labels,
        {unit.capitalize(): counts},
        ("Percent", unit.capitalize()),
        [(label, number(count)) for label, count in zip(labels, counts, strict=True)],
    )


def _funnel(lessons: Sequence[Mapping[str, Any]]) -> Plot:
    shown = lessons[:BARS]
    return Plot(
        "funnel",
        "Lessons begun and completed",
        "How many learners have begun and completed each lesson, in learning order."
        + _first(lessons),
        "learners",
        [entry["title"] for entry in shown],
        {
            "Begun": [entry["started"] for entry in shown],
            "Completed": [entry["completed"] for entry in shown],
        },
        ("Lesson", "Learners", "Begun", "Completed", "Completion", "Drop-off", "Stopped here"),
        [
            (
                entry["title"],
                number(entry["learners"]),
                number(entry["started"]),
                number(entry["completed"]),
                number(entry["completion_rate"], " %"),
                number(entry["drop_off"], " %"),
                number(entry["stopped"]),
            )
            for entry in lessons
        ],
        sideways=True,
    )


def _minutes(seconds: Mapping[str, Any], name: str) -> float | None:
    enough = seconds["learners"] >= FEWEST and seconds[name] is not None
    return round(seconds[name] / 60, 1) if enough else None


def _time(lessons: Sequence[Mapping[str, Any]]) -> Plot:
    shown = lessons[:BARS]
    return Plot(
        "time",
        "Time per lesson",
        "Minutes that learners spent on each lesson: half of them less than the median, nine in"
        " ten less than the other figure." + _first(lessons),
        "minutes",
        [entry["title"] for entry in shown],
        {
            "Median": [_minutes(entry["seconds"], "median") for entry in shown],
            "Nine in ten": [_minutes(entry["seconds"], "p90") for entry in shown],
        },
        ("Lesson", "Learners with time", "Median", "Nine in ten", "Days from enrolment to done"),
        [
            (
                entry["title"],
                number(entry["seconds"]["learners"]),
                number(_minutes(entry["seconds"], "median"), " min"),
                number(_minutes(entry["seconds"], "p90"), " min"),
                number(entry["days_to_completion"] if entry["completed"] >= FEWEST else None),
            )
            for entry in lessons
        ],
        sideways=True,
    )


def _hard(hard: Sequence[Mapping[str, Any]], lessons: Sequence[Mapping[str, Any]]) -> Plot:
    scored = {
        entry["lesson_id"]: entry["quiz"]["scores"]["count"] for entry in lessons if entry["quiz"]
    }
    return Plot(
        "hard",
        "Hard lessons",
        "Attempts that were needed for each pass, the hardest lesson first.",
        "attempts per pass",
        [entry["title"] for entry in hard],
        {"Attempts per pass": [entry["attempts_per_pass"] for entry in hard]},
        ("Lesson", "Completed", "Attempts per pass", "Fail rate", "Average score"),
        [
            (
                entry["title"],
                number(entry["completed"]),
                number(entry["attempts_per_pass"]),
                number(entry["fail_rate"], " %"),
                number(entry["average_score"] if scored[entry["lesson_id"]] >= FEWEST else None),
            )
            for entry in hard
        ],
        sideways=True,
    )


def _first(lessons: Sequence[Any]) -> str:
    return f" The plot shows the first {BARS}." if len(lessons) > BARS else ""
