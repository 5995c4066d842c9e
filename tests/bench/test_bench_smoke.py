"""The benchmarks still run and measure. What they find is never asserted: machines differ."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from local.bootstrap import ROOT
from tests.stack import Stack

pytestmark = pytest.mark.bench

TAGGED = """
  select (select count(*) from auth.users where email like '%@bench-%.invalid'),
         (select count(*) from public.courses where slug like 'bench-%')
"""


@pytest.fixture(scope="module")
def report(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[str]]]:
    """Rows of the tables of a quick run, by the title they stand under."""
    for extra in ("POSTGREST_URL", "FUNCTIONS_DIRECT_URL"):
        stack.extra(extra)
    path: Path = tmp_path_factory.mktemp("bench") / "report.md"
    done = subprocess.run(
        [sys.executable, "-m", "bench.command", "--quick", "--output", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == path.read_text()
    tables: dict[str, list[list[str]]] = {}
    rows: list[list[str]] = []
    for line in done.stdout.splitlines():
        if line.startswith("#"):
            rows = tables[line.lstrip("# ")] = []
        elif line.startswith("| "):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return tables


def _is_positive(cell: str) -> bool:
    return re.fullmatch(r"[\d,.]+", cell) is not None and float(cell.replace(",", "")) > 0


def test_live_updates_are_measured(report: dict[str, list[list[str]]]) -> None:
    rows = report["Live updates with 4 subscribers"][1:]
    assert [row[1] for row in rows[:2]] == ["8", "8"]
    assert _is_positive(rows[0][2])


def test_every_operation_is_measured_through_every_door(report: dict[str, list[list[str]]]) -> None:
    rows = report["Closed loop"][1:]
    assert {(row[0], row[2]) for row in rows} == {
        (operation, door)
        for operation in ("complete", "course", "next", "recalculate")
        for door in ("function", "PostgREST", "SQL")
    }
    for row in rows:
        assert all(_is_positive(cell) for cell in row[3:8]), row
        assert row[8] == "0", row


def test_open_loop_is_measured(report: dict[str, list[list[str]]]) -> None:
    rows = report["Open loop"][1:]
    assert [row[0] for row in rows] == ["function", "PostgREST"]
    assert all(_is_positive(cell) for row in rows for cell in row[1:6])


def test_cost_of_a_completion_is_measured(report: dict[str, list[list[str]]]) -> None:
    rows = report["One completion, its next lesson included, in the database"][1:]
    assert {row[0] for row in rows} == {"start", "half", "end"}
    assert all(_is_positive(row[column]) for row in rows for column in (3, 4, 6, 7, 8))
    rest = report["Other learners, and a lower bound"][1:]
    assert all(_is_positive(cell) for row in rest for cell in row[2:5])


def test_heartbeats_are_measured(report: dict[str, list[list[str]]]) -> None:
    rows = report["Heartbeats"]
    tables = [row for row in rows if "." in row[0]]
    assert len(tables) == 6
    assert all(_is_positive(row[1]) for row in tables)
    doors = [row for row in rows if row[0] in ("function", "PostgREST")]
    assert len(doors) == 2
    for row in doors:
        assert all(_is_positive(cell) for cell in row[1:5]), row
        assert row[5] == "0", row


def test_cost_of_a_quiz_is_measured(report: dict[str, list[list[str]]]) -> None:
    rows = report["Starting, grading and submitting 200 questions, in the database"][1:]
    assert len(rows) == 1 + 3
    assert all(_is_positive(row[column]) for row in rows for column in (2, 3, 4, 5))


def test_certificates_are_measured_in_every_script(report: dict[str, list[list[str]]]) -> None:
    rows = [row for row in report["Certificates"] if len(row) == 6][1:]
    assert {"Latin", "Arabic", "Devanagari", "Thai", "Chinese"} <= {row[0] for row in rows}
    assert all(_is_positive(cell) for row in rows for cell in row[1:])


def test_the_dashboard_is_measured(report: dict[str, list[list[str]]]) -> None:
    rows = report["A dashboard, in the database"][1:]
    assert len(rows) == 4
    assert all(_is_positive(row[column]) for row in rows for column in (1, 4))


def test_targets_are_printed_with_the_machine(report: dict[str, list[list[str]]]) -> None:
    assert len(report["Targets"]) == 1 + 14
    assert {"cores", "memory", "PostgreSQL", "PostgREST", "Python"} <= {
        row[0] for row in report["Benchmark"]
    }


@pytest.mark.usefixtures("report")
def test_nothing_of_it_stays_on_a_stack_that_is_not_its_own(stack: Stack) -> None:
    with stack.connect() as db:
        assert db.execute(TAGGED).fetchone() == (0, 0)
