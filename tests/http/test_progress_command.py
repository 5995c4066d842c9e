"""bin/admin progress on the running stack: imports that are killed and run again, and drift."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.http.test_import_command import ROOT, command
from tests.stack import Stack
from tests.support.catalog import Course, make_course
from tests.support.learners import make_learners

BEGIN = datetime(2023, 1, 1, tzinfo=UTC)


def write(path: Path, users: list[str], course: Course) -> Path:
    """Every user completes every lesson, an hour after the other."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "user_id", "lesson_id", "status", "completed_at"])
        for u, user in enumerate(users):
            for n, lesson in enumerate(course.lessons):
                at = BEGIN + timedelta(hours=u + n)
                writer.writerow([uuid.uuid4(), user, lesson, "completed", at.isoformat(sep=" ")])
    return path


@pytest.fixture
def database(stack: Stack) -> Iterator[psycopg.Connection[Any]]:
    with stack.connect(autocommit=True) as connection:
        yield connection


def completions(database: psycopg.Connection[Any], course: Course) -> int:
    row = database.execute(
        "select count(*) from public.user_progress where course_id = %s and is_completed",
        [course.id],
    ).fetchone()
    assert row is not None
    return int(row[0])


def imported(stack: Stack, file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return command(stack, "progress", "import", file, *options)


def check_exact(stack: Stack, database: psycopg.Connection[Any], course: Course, n: int) -> None:
    """Everything is there once: rows, days, events, certificates and counters."""
    counts = database.execute(
        """
        select (select count(*) from public.user_progress p where p.course_id = c.id),
               (select count(*) from public.progress_events v
                 where v.course_id = c.id and v.kind = 'lesson_completed'),
               (select sum(d.lessons_completed) from public.daily_activity d
                 where d.user_id in (select e.user_id from public.enrollments e
                                      where e.course_id = c.id)),
               (select count(*) from public.certificates x where x.course_id = c.id),
               (select count(*) from public.progress_events v
                 where v.course_id = c.id and v.kind = 'course_completed')
          from public.courses c where c.id = %s
        """,
        [course.id],
    ).fetchone()
    users = n // len(course.lessons)
    assert counts == (n, n, n, users, users)
    told = command(stack, "progress", "recalculate", "--course", str(course.id), "--dry-run")
    assert (told.returncode, told.stdout) == (
        0,
        f"{users:,} enrolments counted, 0 differ, 0 failed\n",
    )


def killed_and_run_again(
    stack: Stack, database: psycopg.Connection[Any], course: Course, file: Path, n: int
) -> subprocess.CompletedProcess[str]:
    """SIGKILL in the middle, then the same command again."""
    env = {"SUPABASE_URL": stack.api_url, "SUPABASE_SECRET_KEY": stack.secret_key}
    first = subprocess.Popen(
        [sys.executable, "-m", "shared.command", "progress", "import", str(file)],
        cwd=ROOT,
        env={**os.environ, **env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not (there := completions(database, course)):
        assert first.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert 0 < there < n
    done = imported(stack, file)
    assert done.returncode == 0, done.stderr
    check_exact(stack, database, course, n)
    return done


def test_an_import_that_was_killed_is_run_again(
    stack: Stack, database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    course = make_course(stack, 6, 6)
    users = [learner.id for learner in make_learners(stack, 200)]
    file = write(tmp_path / "past.csv", users, course)
    n = len(users) * len(course.lessons)
    told = imported(stack, file, "--dry-run")
    # Who stands in two batches is counted in both while nothing is written.
    assert re.match(r"2,400 rows: 20\d would be enrolled, 2,400 would be completed", told.stdout)
    assert completions(database, course) == 0

    done = killed_and_run_again(stack, database, course, file, n)
    # No bar where there is no terminal; the rate is told.
    assert "\r" not in done.stderr
    assert re.search(r"^2,400 rows: .*; 0 refused\n[0-9.]+ s, [0-9,]+ rows a second$", done.stdout)
    again = imported(stack, file)
    assert "0 enrolled, 0 completed, 0 started, 0 scored; 0 refused" in again.stdout


@pytest.mark.long
def test_fifty_thousand_completions(
    stack: Stack, database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    course = make_course(stack, 25, 25)
    users = [learner.id for learner in make_learners(stack, 1000)]
    file = write(tmp_path / "past.csv", users, course)
    done = killed_and_run_again(stack, database, course, file, 50_000)
    print(done.stdout)


def test_bad_lines_are_told_and_the_others_taken(
    stack: Stack, database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    course = make_course(stack, 2)
    [ann] = make_learners(stack, 1)
    file = tmp_path / "past.jsonl"
    file.write_text(
        f'{{"email": "{ann.id}@example.com", "completed_lessons": ["{course.lessons[0]}"],'
        ' "updated_at": "2024-01-01"}\n'
        f'{{"user_id": "{uuid.uuid4()}", "lesson_id": "{course.lessons[0]}",'
        ' "completed_at": "2024-01-01"}\n'
        "{\n"
        f'{{"user_id": "{ann.id}", "lesson_id": "{course.lessons[1]}", "completed_at": "May"}}\n'
    )
    done = imported(stack, file)
    assert done.returncode == 1
    assert done.stderr.splitlines()[1:] == [
        f"{file}:2: user: there is no such user",
        f"{file}:3: line: is no JSON",
        f"{file}:4: completed_at: is no date",
    ]
    assert "1 completed, 0 started, 0 scored; 3 refused" in done.stdout
    assert completions(database, course) == 1
    none = imported(stack, tmp_path / "none.csv")
    assert (none.returncode, none.stderr.splitlines()[-1]) == (
        1, f"{tmp_path / 'none.csv'}: No such file or directory"
    )  # fmt: skip


def test_memory_does_not_grow_with_the_file(stack: Stack, tmp_path: Path) -> None:
    """A file of 8 MB, refused line by line, takes no more than one of 30 KB and some room."""
    course = make_course(stack, 1)
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from shared.progress_files import ProgressFile\n"
        "with ProgressFile(Path(sys.argv[1])) as file:\n"
        "    count = sum(1 for _ in file)\n"
        "print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    peaks = {}
    for lines in (400, 100_000):
        file = tmp_path / f"{lines}.csv"
        with file.open("w") as out:
            out.write("user_id,lesson_id,completed_at\n")
            out.writelines(
                f"{uuid.UUID(int=n)},{course.lessons[0]},2024-01-01\n" for n in range(lines)
            )
        done = subprocess.run(
            [sys.executable, "-c", script, str(file)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        count, peaks[lines] = map(int, done.stdout.split())
        assert count == lines
    assert peaks[100_000] < peaks[400] + 4 * 1024


def test_what_had_drifted_is_told_and_mended(
    stack: Stack, database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    course = make_course(stack, 2)
    [ann] = make_learners(stack, 1)
    file = write(tmp_path / "past.csv", [ann.id], course)
    assert imported(stack, file).returncode == 0
    database.execute(
        "update public.enrollments set completed_lessons = 1, completed_weight = 1,"
        " progress_percent = 50 where course_id = %s",
        [course.id],
    )
    which = ("progress", "recalculate", "--course", str(course.id))
    for options, word in (("--dry-run",), "differ"), ((), "mended"):
        told = command(stack, *which, *options)
        lines = told.stdout.splitlines()
        assert lines[0].endswith(f"(course {course.id}) had drifted")
        assert lines[1:4] == [
            "  completed_lessons: 1 -> 2",
            "  completed_weight: 1 -> 2",
            "  progress_percent: 50.00 -> 100.00",
        ] or set(lines[1:4]) == {
            "  completed_lessons: 1 -> 2",
            "  completed_weight: 1 -> 2",
            "  progress_percent: 50.0 -> 100",
        }
        assert lines[-1] == f"1 enrolments counted, 1 {word}, 0 failed"
    assert command(stack, *which).stdout == "1 enrolments counted, 0 mended, 0 failed\n"
    assert "last_run_at" in command(stack, "progress", "health").stdout
