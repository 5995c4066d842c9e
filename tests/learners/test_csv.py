"""The learner table over HTTP: JSON and CSV by Accept, in pages, for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from functions.analytics import COLUMNS
from tests.stack import Stack
from tests.support.catalog import make_course
from tests.support.learners import Learner, make_learner
from tests.support.shape import assert_refusal

FEW, MANY = 2_500, 100_000


@dataclass
class Class:
    """A course, its instructor, and a way to ask."""

    course: int
    staff: Learner
    http: httpx.Client

    def get(self, accept: str = "text/csv", path: str = "", **query: str) -> httpx.Response:
        """Ask for the list, or what stands below it."""
        return self.http.get(
            f"analytics/courses/{self.course}/learners{path}",
            headers={**self.staff.headers(), "Accept": accept},
            params=query,
        )


@pytest.fixture
def room(stack: Stack) -> Iterator[Class]:
    course, staff = make_course(stack, 2), make_learner(stack)
    with stack.connect(autocommit=True) as db:
        db.execute(
            "insert into public.course_staff (course_id, user_id, role)"
            " values (%s, %s, 'instructor')",
            [course.id, staff.id],
        )
        url = f"{stack.functions_url}/"
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            yield Class(course.id, staff, client)
        db.execute("set session_replication_role = replica")
        for table, column in (("profiles", "id"), ("enrollments", "user_id")):
            db.execute(
                f"delete from public.{table} where {column} in"
                " (select id from auth.users where email like %s)",
                [f"%@class-{course.id}.test"],
            )
        db.execute("delete from auth.users where email like %s", [f"%@class-{course.id}.test"])


def fill(stack: Stack, room: Class, count: int, names: str = "'Learner ' || n") -> None:
    """Enrol so many, named by an expression of n."""
    with stack.connect() as db:
        db.execute("set local statement_timeout = 0")
        db.execute("set local session_replication_role = replica")
        db.execute(
            "create temp table who on commit drop as select gen_random_uuid() as id, n"
            " from generate_series(1, %s) as n",
            [count],
        )
        db.execute(
            "insert into auth.users (id, email)"
            " select id, id || '@class-' || %s || '.test' from who",
            [room.course],
        )
        db.execute(f"insert into public.profiles (id, display_name) select id, {names} from who")
        db.execute(
            "insert into public.enrollments (user_id, course_id, total_lessons, total_weight,"
            " sort_name) select w.id, %s, 2, 2, private.sort_name(p.display_name)"
            " from who w join public.profiles p on p.id = w.id",
            [room.course],
        )


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_all_learners_page_by_page(stack: Stack, room: Class) -> None:
    fill(stack, room, FEW)
    response = room.get()
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["vary"] == "Accept"
    name = f'attachment; filename="learners-{room.course}.csv"'
    assert response.headers["content-disposition"] == name
    found = rows(response.text)
    assert tuple(found[0]) == COLUMNS
    assert len(found) == FEW
    assert len({row["user_id"] for row in found}) == FEW
    assert [row["name"] for row in found] == sorted(row["name"] for row in found)
    assert found[0]["score"] == ""
    assert found[0]["status"] == "not_started"


def test_json_by_pages(stack: Stack, room: Class) -> None:
    fill(stack, room, 5)
    for accept in ("application/json", "*/*", "text/html"):
        response = room.get(accept, limit="3")
        assert response.headers["content-type"] == "application/json; charset=utf-8"
        assert response.headers["vary"] == "Accept"
        page = response.json()
        assert len(page["learners"]) == 3
    rest = room.get("application/json", limit="3", cursor=page["cursor"]).json()
    assert (len(rest["learners"]), rest["cursor"]) == (2, None)
    one = room.get("application/json", f"/{rest['learners'][0]['user_id']}").json()
    assert one["learner"] == rest["learners"][0]


def test_the_typed_client(stack: Stack, room: Class) -> None:
    fill(stack, room, 3)
    with room.staff.client() as client:
        page = client.learners(room.course, sort="percent", direction="desc", needs_help=False)
        assert len(page["learners"]) == 3
        one = client.learner(room.course, page["learners"][0]["user_id"])
        assert len(one["lessons"]) == 2
        text = client.learners_csv(room.course, status="not_started")
    assert len(rows(text)) == 3


def test_no_cell_is_a_formula(stack: Stack, room: Class) -> None:
    evil = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", 'a,"b"\r\nc', "fine"]
    fill(stack, room, len(evil), f"('{json.dumps(evil)}'::jsonb) ->> (n - 1)")
    found = {row["name"] for row in rows(room.get().text)}
    assert found == {*(f"'{name}" for name in evil[:8]), *evil[8:]}


def test_refusals_come_before_the_first_line(stack: Stack, room: Class) -> None:
    assert_refusal(room.get(sort="email"), 422, "invalid_value")
    assert_refusal(room.get(email="x"), 422, "unknown_field")
    assert_refusal(room.get(sort="percent", cursor="x"), 422, "invalid_value")
    stranger = Class(room.course, make_learner(stack), room.http)
    assert_refusal(stranger.get(), 403, "not_allowed")
    assert_refusal(stranger.get(path=f"/{uuid.uuid4()}"), 403, "not_allowed")
    assert_refusal(room.get("application/json", "/x"), 400, "invalid_id")
    unknown = room.get("application/json", f"/{uuid.uuid4()}")
    assert_refusal(unknown, 404, "enrollment_not_found")
    anonymous = room.http.get(f"analytics/courses/{room.course}/learners")
    assert_refusal(anonymous, 401, "not_authenticated")
    head = room.http.head(
        f"analytics/courses/{room.course}/learners",
        headers={**room.staff.headers(), "Accept": "text/csv"},
    )
    assert (head.status_code, head.text) == (200, "")


@pytest.mark.long
def test_a_hundred_thousand_learners_in_constant_memory(stack: Stack, room: Class) -> None:
    running = Path(os.environ.get("MAIL_FOLDER", "nowhere")).with_name("running.json")
    if not running.exists():
        pytest.skip("the processes of this stack are not known")
    pid = json.loads(running.read_text())["processes"]["functions"][0]
    fill(stack, room, 10)
    room.get()  # warm: what the first call imports is not the list's
    fill(stack, room, MANY)
    before = resident(pid)
    peak, over = before, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.05):
            peak = max(peak, resident(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        path = f"analytics/courses/{room.course}/learners"
        headers = {**room.staff.headers(), "Accept": "text/csv"}
        began, size, first = time.monotonic(), 0, 0.0
        with room.http.stream("GET", path, headers=headers, timeout=600) as response:
            last = b""
            for part in response.iter_raw():
                first = first or time.monotonic() - began
                size += len(part)
                last = part[-500:]
        whole = time.monotonic() - began
    finally:
        over.set()
        watcher.join()
    assert b"incomplete" not in last
    assert size > 10_000_000
    assert first < whole / 4
    print(f"{size:,} bytes, {whole:.1f} s, memory {before / 1e6:.0f} to {peak / 1e6:.0f} MB")
    assert peak - before < 50_000_000


def resident(pid: int) -> int:
    """Bytes of memory of a process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(entry.parent.name))
    waiting, total = [pid], 0
    while waiting:
        one = waiting.pop()
        waiting += children.get(one, [])
        try:
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * 4096
        except OSError:
            continue
    return total
