"""Reading everybody's history: nothing is missed, learners' order holds, and a file resumes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from ralph.models.xapi.base.statements import BaseXapiStatement

from shared.client import WaymarkError
from shared.history_commands import Broken, _resumed
from tests.database.actors import Actor, Course, Refused, make_course
from tests.http.test_import_command import command
from tests.stack import Stack
from tests.support.learners import Learner


class Reader:
    """Who reads on from where they were."""

    def __init__(self, server: Actor, limit: int = 5000) -> None:
        self.server = server
        self.limit = limit
        self.cursor: str | None = None
        self.read()

    def read(self) -> list[tuple[str, str | None]]:
        """Everything that is new, as (user, lesson) of completions."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.server.call("get_events", p_cursor=self.cursor, p_limit=self.limit)
            assert len(page["events"]) <= self.limit
            self.cursor = page["cursor"]
            if not page["events"]:
                return [
                    (x["user_id"], x["lesson_id"]) for x in found if x["kind"] == "lesson_completed"
                ]
            found += page["events"]


@pytest.fixture
def course(operator: Actor) -> Course:
    return make_course(operator, [6])


@pytest.fixture
def enrolled(
    course: Course, learner: Callable[[], Actor], actors: Callable[..., Actor]
) -> Callable[[], Actor]:
    def make() -> Actor:
        someone = learner()
        someone.call("enroll", p_course_id=course.id)
        return someone

    return make


def test_what_commits_late_is_not_missed(
    server: Actor, course: Course, enrolled: Callable[[], Actor]
) -> None:
    ann, ben = enrolled(), enrolled()
    reader = Reader(server)
    with ann.connection.transaction():
        ann.call("complete_lesson", p_lesson_id=course.all[0])
        ben.call("complete_lesson", p_lesson_id=course.all[0])
        # A reader by id would take Ben's, and go on behind it.
        assert reader.read() == []
    lesson = str(course.all[0])
    assert reader.read() == [(str(ann.user), lesson), (str(ben.user), lesson)]
    assert reader.read() == []


def test_of_two_tabs_the_order_of_their_events_holds(
    server: Actor,
    operator: Actor,
    course: Course,
    enrolled: Callable[[], Actor],
    actors: Callable[..., Actor],
) -> None:
    ann = enrolled()
    tab = actors("authenticated", ann.user)
    reader = Reader(server)
    number = "select pg_current_xact_id()::text::bigint"
    with tab.connection.transaction():
        early = tab.one(number)
        with operator.connection.transaction():
            between = operator.one(number)
            ann.call("complete_lesson", p_lesson_id=course.all[0])
            tab.call("complete_lesson", p_lesson_id=course.all[1])
            tab.connection.execute("commit")
            numbers = [
                row["x"]
                for row in server.run(
                    "select transaction_id::text::bigint as x from public.progress_events"
                    " where user_id = %s and kind = 'lesson_completed' order by id",
                    ann.user,
                )
            ]
            # The second event has the lower number, and what runs between hides the first.
            assert numbers[1] == early < between < numbers[0]
            assert reader.read() == []
    assert reader.read() == [(str(ann.user), str(x)) for x in course.all[:2]]


def test_pages_of_any_size_are_the_same_history(
    server: Actor, course: Course, enrolled: Callable[[], Actor]
) -> None:
    one, many = Reader(server, 1), Reader(server)
    people = [enrolled() for _ in range(3)]
    for lesson in course.all:
        for someone in people:
            someone.call("complete_lesson", p_lesson_id=lesson)
    found = one.read()
    assert found == many.read()
    assert found == [(str(x.user), str(lesson)) for lesson in course.all for x in people]


def test_a_cursor_must_be_one(server: Actor) -> None:
    for cursor in ("", "1", "1:2", "x:1:1", "1:2:3:4", "-1:2:3", "9" * 19 + ":1:1"):
        with pytest.raises(Refused, match="invalid_value"):
            server.call("get_events", p_cursor=cursor)
    for limit in (0, 5001):
        with pytest.raises(Refused, match="invalid_value"):
            server.call("get_events", p_limit=limit)


def test_a_reader_finds_its_place_by_the_index(operator: Actor) -> None:
    """In a month with many events, the pages of a window, not the month."""
    with operator.connection.transaction(force_rollback=True):
        operator.run(
            "insert into public.progress_events (occurred_at, user_id, course_id, kind,"
            " transaction_id) select now(), gen_random_uuid(), 1, 'enrolled',"
            " ((1000000000000 + n)::text)::xid8 from generate_series(1, 100000) as n"
        )
        operator.run("analyze public.progress_events")
        name = operator.one("select 'private.progress_events_' || to_char(now(), 'YYYY_MM')")
        operator.run(
            "select brin_summarize_new_values(i.indexrelid) from pg_index i"
            f" join pg_class c on c.oid = i.indexrelid where i.indrelid = '{name}'::regclass"
            " and c.relam = (select oid from pg_am where amname = 'brin')"
        )
        plan = operator.one(
            "explain (analyze, buffers, format json) select * from public.progress_events e"
            " where (e.transaction_id::text)::bigint >= 1000000040000"
            " and (e.transaction_id::text)::bigint < 1000000041000 and e.id > 0 order by e.id"
        )[0]["Plan"]
        pages = operator.one(f"select pg_relation_size('{name}') / 8192")
        size = operator.one(
            "select sum(pg_relation_size(i.indexrelid)) / 8192 from pg_index i"
            " join pg_class c on c.oid = i.indexrelid where c.relname like 'progress_events%%'"
            " and c.relam = (select oid from pg_am where amname = 'brin')"
            f" and i.indrelid = '{name}'::regclass"
        )
    assert plan["Actual Rows"] == 1000
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < pages / 5
    assert size <= 10


def test_a_killed_export_goes_on_where_it_was(
    stack: Stack,
    server: Actor,
    course: Course,
    enrolled: Callable[[], Actor],
    tmp_path: Path,
) -> None:
    ann = enrolled()
    ann.call("complete_lesson", p_lesson_id=course.all[0])
    file = tmp_path / "events.jsonl"
    assert command(stack, "history", "export", "--to", file).returncode == 0
    # What had been written, but not yet told to the cursor.
    with file.open("a") as half:
        half.write('{"id": 1, "kind": "lesson_com')
    ann.call("complete_lesson", p_lesson_id=course.all[1])
    done = command(stack, "history", "export", "--to", file)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 events added")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    ids = [line["id"] for line in lines]
    assert len(set(ids)) == len(ids) == server.one("select count(*) from public.progress_events")
    assert [x["kind"] for x in lines if x["user_id"] == str(ann.user)] == [
        "enrolled", "lesson_completed", "lesson_completed",
    ]  # fmt: skip
    file.write_text("")
    with file.open("ab") as short, pytest.raises(Broken, match="is shorter"):
        _resumed(short, file.with_name("events.jsonl.cursor"))
    other = tmp_path / "other"
    other.write_text("mine")
    with other.open("ab") as mine, pytest.raises(Broken, match="no cursor"):
        _resumed(mine, tmp_path / "none")
    assert other.read_text() == "mine"


def test_the_whole_history_is_valid_xapi(
    stack: Stack, course: Course, enrolled: Callable[[], Actor]
) -> None:
    ann = enrolled()
    ann.call("complete_lesson", p_lesson_id=course.all[0])
    base = "https://learn.example.org"
    done = command(stack, "history", "export", "--format", "xapi", "--base", base)
    assert done.returncode == 0, done.stderr
    statements = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(statements) >= 2
    for statement in statements:
        BaseXapiStatement.model_validate(statement)
    assert len({x["id"] for x in statements}) == len(statements)
    mine = [x for x in statements if x["actor"]["account"]["name"] == str(ann.user)]
    assert [x["verb"]["display"]["en"] for x in mine] == ["registered", "completed"]
    cursor = done.stderr.split("cursor ")[-1].strip()
    again = command(stack, "history", "export", "--cursor", cursor)
    assert (again.returncode, again.stdout) == (0, "")


def test_admins_read_it_over_http(
    stack: Stack, operator: Actor, course: Course, enrolled: Callable[[], Actor]
) -> None:
    ann = enrolled()
    me = Learner(stack, str(ann.user))
    url = f"{stack.functions_url}/analytics/events"
    admin = me.headers(app_metadata={"waymark_role": "admin"})
    seen: list[dict[str, Any]] = []
    cursor = None
    while True:
        query = {"limit": "1000", **({"cursor": cursor} if cursor else {})}
        page = httpx.get(url, params=query, headers=admin).json()
        seen += page["events"]
        cursor = page["cursor"]
        if not page["events"]:
            break
    assert [x["kind"] for x in seen if x["user_id"] == me.id] == ["enrolled"]
    with me.client() as client, pytest.raises(WaymarkError, match="Only admins"):
        client.events()
    assert httpx.get(url, headers={"apikey": stack.publishable_key}).status_code == 401
