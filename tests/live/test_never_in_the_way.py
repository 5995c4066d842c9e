"""A completion does not depend on Realtime: whatever is wrong there, it goes through as before."""

from __future__ import annotations

import json
from typing import LiteralString

import pytest

from tests.stack import Stack
from tests.support.catalog import Course
from tests.support.learners import Learner

BROKEN: dict[str, LiteralString] = {
    "nothing wrong": "select",
    "no function": "drop function realtime.send cascade",
    "another function": "drop function realtime.send cascade;"
    " create function realtime.send(text) returns void language sql return null",
    "a function that fails": "create or replace function realtime.send("
    "payload jsonb, event text, topic text, private boolean default true) returns void"
    " language plpgsql as 'begin raise exception ''no''; end'",
    "no table": "drop table realtime.messages cascade",
    "no days": "do $$ declare d record; begin for d in select inhrelid::regclass as name"
    " from pg_inherits where inhparent = 'realtime.messages'::regclass"
    " loop execute format('drop table %s', d.name); end loop; end $$",
    "a table that refuses": "alter table realtime.messages add check (false) not valid",
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_completion_goes_through(
    stack: Stack, learner: Learner, course: Course, what: str
) -> None:
    with stack.connect() as connection:
        connection.execute("set local role supabase_realtime_admin")
        connection.execute(BROKEN[what])
        connection.execute("reset role")
        claims = json.dumps({"sub": learner.id, "role": "authenticated"})
        connection.execute("select set_config('request.jwt.claims', %s, true)", (claims,))
        connection.execute("set local role authenticated")
        row = connection.execute(
            "select public.complete_lesson(%s)", (course.lessons[0],)
        ).fetchone()
        assert row
        assert row[0]["progress"]["status"] == "completed"
        assert row[0]["enrollment"]["progress_percent"] == 25
        # What would happen at commit.
        connection.execute("set constraints all immediate")
        connection.rollback()


def test_what_fails_is_tried_a_bounded_number_of_times(stack: Stack, course: Course) -> None:
    with stack.connect() as connection:
        said: list[str | None] = []
        connection.add_notice_handler(lambda notice: said.append(notice.message_primary))
        connection.execute("set local role supabase_realtime_admin")
        connection.execute(BROKEN["a function that fails"])
        connection.execute("reset role")
        connection.execute(
            "with made as (insert into auth.users (id, email)"
            " select gen_random_uuid(), gen_random_uuid() || '@example.com'"
            " from generate_series(1, 50) returning id)"
            " insert into public.enrollments (user_id, course_id) select id, %s from made",
            (course.id,),
        )
        connection.execute("set constraints all immediate")
        assert said == ["waymark: no live update: no"] * 32
        connection.rollback()
