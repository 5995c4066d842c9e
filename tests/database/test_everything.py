"""All commands of learners, authors, staff and admins at random, over courses of all kinds.

After every step the rows are counted anew in plain Python, and the step itself is judged: see
tests/support/world_model.py. Where test_model.py predicts each answer of a few commands, this looks
at what must hold whatever the answer was.
"""

from __future__ import annotations

import os
import random
import re
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
from tests.support.world_model import Command, wrong

# A world grows older with its steps; then a new one begins.
HISTORY = 500
# A long run says how far it is, every so many steps.
TOLD = 10000
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
            world.count_events()
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


# What may go wrong with rows, by hand and past all triggers, and what is said of it.
FAULTS = {
    "enrollments set (completed_lessons, total_lessons)"
    " = (completed_lessons + 1, total_lessons + 1)": "has .*, counted",
    "enrollments set completed_at = completed_at + interval '1 s' where completed_at is not null":
        "was completed at",
    "enrollments set settled_version = settled_version, cycle = cycle + 1": "went from cycle",
    "module_progress set total_lessons = total_lessons + 1": "in module .* counted",
    "module_progress set completed_at = completed_at + interval '1 s'"
    " where completed_at is not null": "no longer completed",
    "user_progress set (status, completed_at, completed_on) = ('in_progress', null, null)"
    " where status = 'completed'": "lesson_uncompleted is told of",
    "daily_activity set lessons_completed = lessons_completed + 1": "days changed",
    "certificates set cycle = cycle + 9": "which is not completed",
    "certificates set id = gen_random_uuid() where id not in (select superseded_by"
    " from public.certificates where superseded_by is not null)": "certificates disappeared",
    "past_cycles set view_time_seconds = view_time_seconds + 1": "past_cycles was changed",
    "past_progress set attempts = attempts + 1": "past_progress was changed",
    "user_assessment_attempts set number = number + 9": "are numbered",
    "courses set total_lessons = total_lessons + 1": "course .* counted",
    "modules set total_quizzes = total_quizzes + 1": "other totals",
}  # fmt: skip


def test_whatever_goes_wrong_is_seen(stack: Stack) -> None:
    """The judge of these tests, on trial."""
    cast = Cast(stack)
    command = Command("admin", "settle_course", {})
    chance = random.Random(3)
    left = dict(FAULTS)
    try:
        world = World(cast)
        # Until there is a row of each kind to spoil.
        while left and world.tried.total() < 2000:
            for _ in range(50):
                world.step(chance)
            world.settle_all()
            for fault, words in list(left.items()):
                table = fault.split()[0]
                with cast.operator.connection.transaction(force_rollback=True):
                    cast.operator.run(f"alter table public.{table} disable trigger user")
                    cast.operator.run(f"update public.{fault}")
                    after = world.look()
                if not after.changes(world.state):
                    continue
                found = list(wrong(world.state, after, command, None, None, world.now))
                assert any(re.search(words, x) for x in found), (fault, found)
                refused = next(wrong(world.state, after, command, None, "conflict", world.now))
                assert refused == f"refused with conflict, but {[table]} changed"
                del left[fault]
        assert left == {}
    finally:
        cast.close()


@pytest.mark.long
def test_whatever_is_done_for_long_every_promise_holds(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = int(os.environ.get("WAYMARK_TEST_STEPS", "20000"))
    seed = int(os.environ.get("WAYMARK_TEST_SEED", str(time.time_ns())))
    tried: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    with capsys.disabled():
        print(f"\nseed {seed}")
        begun = time.monotonic()
        for done in range(0, steps, TOLD):
            part = play(stack, min(TOLD, steps - done), seed + done)
            tried += part[0]
            refused += part[1]
            print(
                f"{min(done + TOLD, steps)} steps, {tried.total()} commands tried, "
                f"{refused.total()} refused, {time.monotonic() - begun:.0f} s"
            )
        print(dict(tried.most_common()), dict(refused.most_common()), sep="\n")


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [
        pytest.param("5000", 5, id="settled at once"),
        pytest.param("2", 5, id="settled by the job"),
        pytest.param("2", 600, id="ten minutes", marks=pytest.mark.long),
    ],
)
def test_whatever_is_done_at_once_every_promise_holds(
    stack: Stack, actors: Callable[..., Actor], operator: Actor, limit: str, seconds: int
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
        storm.rage(seconds, act=200)
        world.settle_all()
        rows = world.state.rows
        done = Counter(
            (x["user_id"], x["lesson_id"])
            for name in ("user_progress", "past_progress")
            for x in rows[name].values()
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
        assert sum(x["lessons_completed"] for x in rows["daily_activity"].values()) == done.total()
        assert done.total() >= 20
        print(f"{seconds} s: {world.tried.total()} commands, {world.refused.total()} refused,")
        print(f"{done.total()} completions, {len(rows['past_cycles'])} cycles behind")
    finally:
        operator.run(LIMIT, world.limit)
        operator.run("delete from private.jobs where kind = 'course.settle'")
        cast.close()
