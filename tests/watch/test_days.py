"""Credited seconds stand on the learner's own days, on which they passed."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.database.actors import Actor
from tests.watch.conftest import Player

Enrolled = Callable[..., Player]


def days(operator: Actor, player: Player) -> dict[date, int]:
    rows = operator.run(
        "select day, view_seconds from public.daily_activity where user_id = %s", player.user
    )
    return {row["day"]: row["view_seconds"] for row in rows}


def midnight(zone: str, after: int = 3) -> tuple[datetime, date]:
    """A midnight to come in that zone, and the day that it begins."""
    day = (datetime.now(UTC) + timedelta(days=after)).date()
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)), day


@pytest.mark.parametrize(
    "zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu", "America/St_Johns"]
)
def test_a_session_across_midnight_is_split(enrolled: Enrolled, operator: Actor, zone: str) -> None:
    me, session = enrolled(zone=zone), uuid.uuid4()
    begins, day = midnight(zone)
    me.actor.at(begins + timedelta(seconds=70))
    me.actor.call("view_lesson", p_lesson_id=me.course.all[0], p_session_id=session, p_seconds=100)
    assert days(operator, me) == {day - timedelta(days=1): 30, day: 70}
    [today] = operator.run(
        "select first_at, last_at from public.daily_activity where user_id = %s and day = %s",
        me.user,
        day,
    )
    assert today == {"first_at": begins, "last_at": begins + timedelta(seconds=70)}


def test_a_session_of_days_counts_on_each(enrolled: Enrolled, operator: Actor) -> None:
    me, session = enrolled(zone="Europe/Vienna"), uuid.uuid4()
    begins, day = midnight("Europe/Vienna", after=6)
    me.actor.at(begins)
    for seconds, at in ((0, begins), (2 * 86400 + 90, begins + timedelta(days=2, seconds=100))):
        me.actor.at(at)
        me.actor.call(
            "view_lesson", p_lesson_id=me.course.all[0], p_session_id=session, p_seconds=seconds
        )
    found = days(operator, me)
    assert sum(found.values()) == 2 * 86400 + 90
    assert found[day + timedelta(days=1)] == 86400
    assert set(found) == {day, day + timedelta(days=1), day + timedelta(days=2)}


def test_the_hour_that_comes_twice_counts_twice(enrolled: Enrolled, operator: Actor) -> None:
    """A day of 25 hours, watched as a whole."""
    zone = ZoneInfo("Europe/Vienna")
    year = datetime.now(UTC).year + 1
    last_sunday = max(
        date(year, 10, day) for day in range(25, 32) if date(year, 10, day).weekday() == 6
    )
    begins = datetime(year, 10, last_sunday.day, tzinfo=zone)
    ends = datetime(year, 10, last_sunday.day, tzinfo=zone) + timedelta(days=1)
    length = int((ends.astimezone(UTC) - begins.astimezone(UTC)).total_seconds())
    assert length == 25 * 3600
    me, session = enrolled(zone="Europe/Vienna"), uuid.uuid4()
    for seconds, at in ((0, begins), (length + 20, ends.astimezone(UTC) + timedelta(seconds=20))):
        me.actor.at(at.astimezone(UTC))
        me.actor.call(
            "view_lesson", p_lesson_id=me.course.all[0], p_session_id=session, p_seconds=seconds
        )
    assert days(operator, me) == {last_sunday: length, last_sunday + timedelta(days=1): 20}


def test_what_was_watched_offline_counts_on_its_own_day(
    enrolled: Enrolled, operator: Actor
) -> None:
    me, session = enrolled(), uuid.uuid4()
    begins, day = midnight("UTC", after=5)
    me.actor.at(begins + timedelta(days=3))
    event = {
        "id": str(uuid.uuid4()), "kind": "view", "lesson_id": str(me.course.all[0]),
        "session_id": str(session), "seconds": 600,
        "at": (begins + timedelta(hours=20)).isoformat(),
    }  # fmt: skip
    from psycopg.types.json import Jsonb

    me.actor.call("apply_events", p_events=Jsonb([event]))
    assert days(operator, me) == {day: 600}
