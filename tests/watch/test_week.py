"""A week of one learner on two devices: what the network does to the reports changes no row.

A script says what was really played. It is told twice: by one learner beat by beat, by the
other through a network that loses, repeats, delays and reorders, from devices that are offline for
hours and then send batches. Both end with the same rows, and with what a plain sum gives.
"""

from __future__ import annotations

import math
import random
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.database.actors import Actor, Course, drift, make_course
from tests.watch.conftest import DAWN, Player

Enrolled = Callable[..., Player]
ZONE = "America/St_Johns"
HOUR, DAY = 3600, 86400
LESSONS: list[dict[str, Any]] = [
    {"type": "video", "duration_seconds": 300, "completion_rule": "watch"},
    {"type": "video", "duration_seconds": 900, "completion_rule": "manual"},
    {"type": "article", "completion_rule": "view", "min_view_seconds": 200},
    {"type": "article", "completion_rule": "manual"},
]


@dataclass(frozen=True)
class Beat:
    """One heartbeat as the player sends it; `sure` ones are sent until they are answered."""

    at: int
    seconds: int
    position: int
    watched: list[list[int]]
    sure: bool


@dataclass
class Bout:
    """One sitting on one device, as it really was."""

    device: int
    lesson: int
    begin: int
    offline: bool
    synced: int
    beats: list[Beat]
    completed_at: int | None
    played: set[int]
    seen: set[int]
    session: uuid.UUID = field(default_factory=uuid.uuid4)


@st.composite
def weeks(draw: st.DrawFn) -> list[Bout]:
    """Sittings that follow one another; nobody watches on two devices at once."""
    bouts: list[Bout] = []
    now = 0
    for _ in range(draw(st.integers(1, 7))):
        now += draw(st.sampled_from([130, 400, HOUR, 5 * HOUR, 11 * HOUR, DAY + 999]))
        lesson = draw(st.integers(0, len(LESSONS) - 1))
        every = draw(st.sampled_from([10, 30, 60]))
        duration = LESSONS[lesson].get("duration_seconds", 10**6)
        position = draw(st.sampled_from([0, 0, 40, 200]))
        begin = now
        played: set[int] = set()
        seen: set[int] = set()
        ranges: list[list[int]] = []
        beats = [Beat(now, 0, position, [], sure=False)]
        for length in draw(st.lists(st.integers(1, 260), min_size=1, max_size=3)):
            length = min(length, duration - position)
            if length <= 0:
                break
            ranges.append([position, position])
            for second in range(1, length + 1):
                played.add(now)
                seen.add(position)
                now, position = now + 1, position + 1
                ranges[-1][1] = position
                if second == length or len(played) % every == 0:
                    told = [[*pair] for pair in ranges]
                    beats.append(Beat(now, len(played), position, told, second == length))
            now += draw(st.sampled_from([0, 61, 500]))
        offline = draw(st.booleans())
        completed_at = None
        if LESSONS[lesson]["completion_rule"] == "manual" and draw(st.booleans()):
            now += 5
            completed_at = now
        synced = now + draw(st.sampled_from([1, HOUR, 30 * HOUR, 6 * DAY]))
        bout = Bout(
            draw(st.integers(0, 1)),
            lesson,
            begin,
            offline,
            synced,
            beats,
            completed_at,
            played,
            seen,
        )
        bouts.append(bout)
    return bouts


def clean(me: Player, bouts: list[Bout]) -> None:
    """Every heartbeat at its time."""
    for bout in bouts:
        for beat in bout.beats:
            view(me, beat.at, bout, beat)
        if bout.completed_at is not None:
            me.at(bout.completed_at)
            me.actor.call("complete_lesson", p_lesson_id=me.course.all[bout.lesson])


def view(me: Player, at: int, bout: Bout, beat: Beat) -> None:
    me.view(
        at,
        bout.session,
        beat.seconds,
        bout.lesson,
        position_seconds=beat.position,
        watched=beat.watched,
        section=f"section {bout.begin}",
    )


def messy(me: Player, bouts: list[Bout], noise: random.Random) -> None:
    """The same through a bad network: calls at the times at which they arrive."""
    arrivals: list[tuple[float, Callable[[], None]]] = []

    def arrive(at: float, call: Callable[[float], None]) -> None:
        arrivals.append((at, lambda: call(at)))

    # A device's outbox goes out in order; what is in one batch is in any.
    outbox: dict[int, list[tuple[int, list[dict[str, Any]]]]] = {0: [], 1: []}
    for bout in bouts:
        if bout.offline:
            events = [me.event("start", bout.begin, bout.lesson)] if noise.random() < 0.5 else []
            for beat in bout.beats:
                if beat.sure or noise.random() < 0.7:
                    events.append(
                        me.event(
                            "view", beat.at, bout.lesson, session_id=bout.session,
                            seconds=beat.seconds, position_seconds=beat.position,
                            watched=beat.watched, section=f"section {bout.begin}",
                        )
                    )  # fmt: skip
            if bout.completed_at is not None:
                events.append(me.event("complete", bout.completed_at, bout.lesson))
            outbox[bout.device].append((bout.synced, events))
            continue
        for beat in bout.beats:
            delay = 0.0 if beat.sure else noise.choice([0, 0, noise.uniform(0, 40)])
            times = [beat.at + delay] if beat.sure or noise.random() < 0.6 else []
            times += [
                beat.at + noise.choice([1, 20, 300, 4 * HOUR])
                for _ in range(noise.choice([0, 0, 1]))
            ]
            if not beat.sure and times and times[0] > beat.at + 40:
                times = times[1:]  # the network forgets what it held for so long
            for at in times:
                arrive(at, lambda at, bout=bout, beat=beat: view(me, at, bout, beat))  # type: ignore[misc]
        if bout.completed_at is not None:
            for at in [bout.completed_at, *([bout.completed_at + 99] * noise.choice([0, 1]))]:
                arrive(at, lambda at, bout=bout: complete(me, at, bout))  # type: ignore[misc]
    for batches in outbox.values():
        earliest = 0.0
        for synced, events in batches:
            cuts = sorted(
                noise.sample(range(1, len(events)), min(len(events) - 1, noise.choice([0, 0, 1])))
            )
            for begin, end in zip([0, *cuts], [*cuts, len(events)], strict=True):
                part = events[begin:end]
                noise.shuffle(part)
                part += noise.sample(part, min(len(part), noise.choice([0, 0, 2])))
                earliest = max(earliest + 0.001, synced)
                for again in range(noise.choice([1, 1, 2])):
                    arrive(earliest + again * 7 * HOUR, lambda at, part=part: told(me, at, part))  # type: ignore[misc]
    for _, call in sorted(arrivals, key=lambda arrival: arrival[0]):
        call()


def complete(me: Player, at: float, bout: Bout) -> None:
    me.at(at)
    me.actor.call("complete_lesson", p_lesson_id=me.course.all[bout.lesson])


def told(me: Player, at: float, events: list[dict[str, Any]]) -> None:
    answer = me.send(at, events)
    assert {result["status"] for result in answer["results"]} <= {
        "applied",
        "unchanged",
        "repeated",
    }
    assert all(result["clamped"] is None for result in answer["results"])


def rows(operator: Actor, me: Player) -> dict[str, Any]:
    """What is left of the week, but for the instants at which it became known."""
    lessons = {lesson: place for place, lesson in enumerate(me.course.all)}
    progress = operator.run(
        "select p.*, (select coalesce(array_agg(array[lower(r), upper(r)] order by r), '{}')"
        " from unnest(p.watched) as r) as ranges"
        " from public.user_progress p where user_id = %s",
        me.user,
    )
    [enrollment] = operator.run("select * from public.enrollments where user_id = %s", me.user)
    days = operator.run("select * from public.daily_activity where user_id = %s", me.user)
    modules = operator.run("select * from public.module_progress where user_id = %s", me.user)
    # That a lesson was begun earlier than was known is told as well.
    events = operator.run(
        "select kind, lesson_id from public.progress_events"
        " where user_id = %s and not data ? 'earlier'",
        me.user,
    )
    return {
        "lessons": {
            lessons[row["lesson_id"]]: {
                "status": row["status"],
                "seconds": row["view_time_seconds"],
                "position": row["position_seconds"],
                "watched": row["ranges"],
                "progress": row["progress"],
            }
            for row in progress
        },
        "enrollment": {
            "seconds": enrollment["view_time_seconds"],
            "completed": enrollment["completed_lessons"],
            "percent": enrollment["progress_percent"],
            "done": enrollment["completed_at"] is not None,
            "lesson": lessons.get(enrollment["current_lesson_id"]),
            "section": enrollment["current_section"],
        },
        "modules": [(row["completed_lessons"], row["status"]) for row in modules],
        "seconds by day": {row["day"]: row["view_seconds"] for row in days if row["view_seconds"]},
        "completions": sum(row["lessons_completed"] for row in days),
        "events": Counter((row["kind"], lessons.get(row["lesson_id"])) for row in events),
    }


def times(operator: Actor, me: Player) -> dict[Any, datetime]:
    """Instants that a delay on the way may shift by so much, and no more."""
    found = {}
    for row in operator.run("select * from public.user_progress where user_id = %s", me.user):
        for name in ("started_at", "last_accessed"):
            found[row["lesson_id"], name] = row[name]
    [enrollment] = operator.run("select * from public.enrollments where user_id = %s", me.user)
    found["enrollment"] = enrollment["last_accessed_at"]
    return found


def expected(bouts: list[Bout]) -> dict[str, Any]:
    """Plain sums over what was really played."""
    lessons: dict[int, dict[str, Any]] = {}
    by_day: Counter[date] = Counter()
    for bout in bouts:
        row = lessons.setdefault(bout.lesson, {"seconds": 0, "seen": set(), "manual": False})
        row["seconds"] += len(bout.played)
        row["seen"] |= bout.seen
        row["position"] = bout.beats[-1].position
        row["manual"] |= bout.completed_at is not None
        for second in bout.played:
            by_day[(DAWN + timedelta(seconds=second)).astimezone(ZoneInfo(ZONE)).date()] += 1
    done = 0
    for place, row in lessons.items():
        lesson = LESSONS[place]
        row["completed"] = (
            row["manual"]
            or {
                "watch": len(row["seen"]) >= math.ceil(lesson.get("duration_seconds", 0) * 0.9),
                "view": row["seconds"] >= lesson.get("min_view_seconds", 0),
                "manual": False,
            }[lesson["completion_rule"]]
        )
        done += row["completed"]
    return {"lessons": lessons, "days": dict(by_day), "completed": done}


def check_week(enrolled: Enrolled, operator: Actor, bouts: list[Bout], noises: list[int]) -> None:
    course: Course = make_course(operator, [LESSONS])
    first = enrolled(course=course, zone=ZONE)
    clean(first, bouts)
    wanted, seen = expected(bouts), rows(operator, first)
    for place, row in wanted["lessons"].items():
        found = seen["lessons"][place]
        assert found["seconds"] == row["seconds"]
        assert found["position"] == row["position"]
        assert {s for a, b in found["watched"] for s in range(a, b)} == row["seen"]
        assert (found["status"] == "completed") == row["completed"]
        if row["completed"]:
            assert found["progress"] == 1
        elif LESSONS[place]["type"] == "video":
            whole = LESSONS[place]["duration_seconds"]
            assert found["progress"] == Decimal(len(row["seen"]) * 10000 // whole) / 10000
    assert seen["seconds by day"] == wanted["days"]
    assert seen["enrollment"]["seconds"] == sum(wanted["days"].values())
    assert seen["enrollment"]["completed"] == seen["completions"] == wanted["completed"]
    for noise in noises:
        other = enrolled(course=course, zone=ZONE)
        messy(other, bouts, random.Random(noise))
        assert rows(operator, other) == seen
        late = times(operator, other)
        for name, instant in times(operator, first).items():
            assert abs(late[name] - instant) <= timedelta(seconds=60), name
    assert drift(operator, [course.id]) == []


@settings(
    max_examples=10, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(bouts=weeks(), noise=st.integers(0, 10**6))
def test_the_network_changes_nothing(
    enrolled: Enrolled, operator: Actor, bouts: list[Bout], noise: int
) -> None:
    check_week(enrolled, operator, bouts, [noise])


@pytest.mark.long
@settings(
    max_examples=400, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(bouts=weeks(), noise=st.integers(0, 10**6))
def test_the_network_changes_nothing_for_long(
    enrolled: Enrolled, operator: Actor, bouts: list[Bout], noise: int
) -> None:
    check_week(enrolled, operator, bouts, [noise + n for n in range(5)])
