"""Among a million rows of progress and five million sessions a learner's calls read their own."""

from __future__ import annotations

import uuid

import pytest

from bench import dashboard
from bench.cost import Cost, CpuClock, become, explain
from bench.seed import Db
from tests.stack import Stack
from tests.support.scratch import scratch_database

SESSIONS_EACH = 1_000


@pytest.mark.long
def test_a_million_rows(stack: Stack) -> None:
    plan = dashboard.Plan(measured=5)
    with scratch_database(stack) as database:
        done = database.push()
        assert done.returncode == 0, done.stdout
        found = dashboard.measure(database.url, "large", plan)
        with database.connect(autocommit=True) as db:
            watched(db)
            beat = Cost()
            [(learner, lesson)] = db.execute(
                "select user_id::text, lesson_id::text from public.user_progress"
                " where status = 'in_progress' limit 1"
            ).fetchall()
            clock = CpuClock(db.info.backend_pid)
            become(db, learner)
            for _ in range(7):
                call = "select public.view_lesson(%s, %s, 30, 30)"
                explain(db, clock, beat, call, lesson, str(uuid.uuid4()))
            seen = Cost()
            explain(db, clock, seen, dashboard.CALL)
    assert found.rows >= 1_000_000
    ordinary, lately_edited, collector, veteran = (
        cost.page_count for cost in found.by_kind.values()
    )
    # Days, modules, and what was done in two months; a row found by its key costs five pages or so.
    own = plan.days_each + 10 * plan.courses_each + plan.courses_each * plan.lessons // 2
    assert ordinary <= 60 + 6 * own
    assert lately_edited <= 1.5 * ordinary
    assert collector <= 60 + 6 * plan.many_courses
    assert veteran <= ordinary + 2 * plan.many_days
    assert seen.page_count <= 60 + 6 * own
    assert beat.page_count <= 200


def watched(db: Db) -> None:
    """Give every learner a thousand sessions."""
    users = [row[0] for row in db.execute("select id from auth.users")]
    for first in range(0, len(users), dashboard.CHUNK):
        db.execute(
            """
            insert into private.watch_sessions
              (user_id, session_id, lesson_id, seconds, begun, until)
            select u, gen_random_uuid(), gen_random_uuid(), 60, 0, 60
              from unnest(%s::uuid[]) as u, generate_series(1, %s)
            """,
            [users[first : first + dashboard.CHUNK], SESSIONS_EACH],
        )
    db.execute("vacuum analyze private.watch_sessions")
    counted = db.execute("select count(*) from private.watch_sessions").fetchone()
    assert counted is not None
    assert counted[0] >= 5_000_000
