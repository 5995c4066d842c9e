"""All commands of learners, authors, staff and admins at random, over courses of all kinds.

After every step the rows are counted anew in plain Python, and the step itself is judged: see
tests/support/world_model.py. Where test_model.py predicts each answer of a few commands, this looks
at what must hold whatever the answer was.
"""

from __future__ import annotations

import os
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from tests.database.actors import Actor
from tests.database.storm import Storm
from tests.database.world import LIMIT, Cast, World
from tests.stack import Stack

# A world grows older with its steps; then a new one begins.
HISTORY = 250
# What gives or takes progress without an event is left out where events are counted.
UNTOLD = {"merge_users", "delete_lesson", "replace_lesson"}
CREW = ["learner"] * 5 + ["author", "instructor", "admin"]


def play(stack: Stack, steps: int, seed: int) -> tuple[Counter[str], Counter[str]]:
    """So many steps, in histories of their own; returns what was tried and what was refused."""
    tried: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    cast = Cast(stack)
    limit = cast.operator.one("select value from private.settings where name = 'settle_limit'")
    try:
        for first in range(0, steps, HISTORY):
            world = World(cast)
            chance = random.Random(seed + first)
            for _ in range(min(HISTORY, steps - first)):
                world.step(chance)
            world.settle_all()
            world.replay_all()
            tried += world.tried
            refused += world.refused
    finally:
        cast.operator.run(LIMIT, limit)
        cast.operator.run("delete from private.jobs where kind = 'course.settle'")
        cast.close()
    return tried, refused


def test_whatever_is_done_every_promise_holds(stack: Stack) -> None:
    tried, refused = play(stack, 1000, seed=1)
    # Chance must have reached all that it is meant to reach.
    assert len(tried) >= 35, tried
    assert sum(refused.values()) < 0.6 * sum(tried.values()), refused


@pytest.mark.long
def test_whatever_is_done_for_long_every_promise_holds(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = int(os.environ.get("WAYMARK_TEST_STEPS", "20000"))
    seed = int(os.environ.get("WAYMARK_TEST_SEED", str(time.time_ns())))
    with capsys.disabled():
        print(f"\nseed {seed}")
        begun = time.monotonic()
        tried, refused = play(stack, steps, seed)
        print(
            f"{steps} steps, {sum(tried.values())} commands tried, "
            f"{sum(refused.values())} refused, {time.monotonic() - begun:.0f} s"
        )
        print(dict(tried.most_common()), dict(refused.most_common()), sep="\n")


@pytest.mark.parametrize("limit", ["5000", "2"], ids=["settled at once", "settled by the job"])
def test_whatever_is_done_at_once_every_promise_holds(
    stack: Stack, actors: Callable[..., Actor], operator: Actor, limit: str
) -> None:
    cast = Cast(stack)
    world = World(cast)
    operator.run(LIMIT, limit)
    storm = Storm(seed=7)

    def worker(kind: str) -> Callable[[random.Random], None]:
        leader = cast.actors[kind]
        hand = actors("service_role" if kind == "admin" else "authenticated", leader.user)

        def act(chance: random.Random) -> None:
            command = None
            while command is None or command.actor != kind or command.function in UNTOLD:
                command = world.choose(chance)
            if kind == "learner":
                assert command.user is not None
                hand.become(uuid.UUID(command.user))
            world.call(command, hand)

        return act

    def look(_: random.Random) -> None:
        world.now = datetime.now(UTC)
        world.state = world.look()

    try:
        for kind in CREW:
            storm.add(worker(kind))
        storm.add(look, pause=0.2)
        storm.rage(5, act=200)
        world.settle_all()
        rows = world.state.rows
        done = Counter(
            (x["user_id"], x["lesson_id"])
            for name in ("user_progress", "past_progress")
            for x in rows[name]
            if x["status"] == "completed"
        )
        told: Counter[tuple[str, str]] = Counter()
        for event in operator.run(
            "select kind, user_id, lesson_id from public.progress_events"
            " where user_id = any (%s) and kind in ('lesson_completed', 'lesson_uncompleted')",
            [uuid.UUID(x) for x in world.everyone],
        ):
            sign = 1 if event["kind"] == "lesson_completed" else -1
            told[str(event["user_id"]), str(event["lesson_id"])] += sign
        assert {k: n for k, n in told.items() if n} == dict(done)
        assert sum(x["lessons_completed"] for x in rows["daily_activity"]) == done.total()
        assert done.total() >= 20
    finally:
        operator.run(LIMIT, world.limit)
        operator.run("delete from private.jobs where kind = 'course.settle'")
        cast.close()
