"""Heartbeats are HOT updates: no index is written, and pages are used again.

Counted by PostgreSQL itself, over learners whose rows lie side by side as a seed or an import
leaves them.
"""

from __future__ import annotations

import uuid
from typing import Any

from tests.database.actors import Actor, make_course, make_users
from tests.stack import Stack
from tests.watch.conftest import VIDEO, Player

LEARNERS, BEATS = 40, 20
TABLES = (
    "public.user_progress",
    "public.enrollments",
    "public.daily_activity",
    "private.watch_sessions",
    "private.watch_credit",
    "private.rate_buckets",
)


def counts(operator: Actor) -> dict[str, Any]:
    rows = operator.run(
        "select schemaname || '.' || relname as name, n_tup_upd, n_tup_hot_upd,"
        " pg_relation_size(relid) as bytes,"
        " (select sum(pg_relation_size(i.indexrelid)) from pg_index i where i.indrelid = relid)"
        "   as index_bytes"
        " from pg_stat_user_tables where schemaname || '.' || relname = any (%s)",
        list(TABLES),
    )
    return {row["name"]: row for row in rows}


def test_heartbeats_write_no_index_and_need_no_new_pages(stack: Stack, operator: Actor) -> None:
    course = make_course(operator, [[VIDEO, {}]])
    users = make_users(operator, LEARNERS)
    actor = Actor(stack, "authenticated")
    players = []
    for user in users:
        players.append((Player(actor, course, user), uuid.uuid4()))
        players[-1][0].actor.call("enroll", p_course_id=course.id)

    def play(beats: range) -> None:
        for n in beats:
            for me, session in players:
                me.view(30 * n, session, 30 * n, position_seconds=30 * n, watched=[[0, 30 * n]])
        # Counters of other connections come late; these are to come now.
        actor.run("select pg_stat_force_next_flush()")
        actor.run("select 1")

    play(range(1, 6))
    before = counts(operator)
    play(range(6, BEATS + 6))
    after = counts(operator)
    actor.close()
    for name in TABLES:
        updates = after[name]["n_tup_upd"] - before[name]["n_tup_upd"]
        hot = after[name]["n_tup_hot_upd"] - before[name]["n_tup_hot_upd"]
        assert updates >= LEARNERS * (BEATS - 1), name
        assert hot >= 0.95 * updates, (name, hot, updates)
        # Twenty versions of each row went into the pages that were there, but for a few.
        grown = after[name]["bytes"] - before[name]["bytes"]
        assert grown <= 0.5 * before[name]["bytes"] + 8 * 8192, (name, grown)
        assert after[name]["index_bytes"] <= before[name]["index_bytes"] + 8192, name
