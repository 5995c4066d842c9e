"""One learner's days: in the database, and in a plain model that counts streaks day by day."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any, LiteralString
from zoneinfo import ZoneInfo

import psycopg

Streak = tuple[int, int, date | None]


class Diary:
    """The database's: every instant is set on the clock or reported late."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self.user = uuid.uuid4()
        self.run(
            "insert into auth.users (id, email) values (%s, %s)", self.user, f"{self.user}@x.test"
        )

    def run(self, statement: LiteralString, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement of the operator; a single mapping names its values."""
        named = len(values) == 1 and isinstance(values[0], dict)
        cursor = self._connection.execute(statement, values[0] if named else values)
        return cursor.fetchall() if cursor.description else []

    def move(self, now: datetime, zone: str) -> None:
        """Live in another zone from now on."""
        self.run("select set_config('waymark.now', %s, true)", now.isoformat())
        self.run("update public.profiles set timezone = %s where id = %s", zone, self.user)

    def do(self, *instants: datetime, lessons: int = 1, attempts: int = 0) -> None:
        """Complete a lesson at each of the instants, in any order, however late."""
        for at in instants:
            self.run(
                "select private.touch_day(%(user)s, private.local_day(%(user)s, %(at)s), %(at)s,"
                " %(at)s, p_lessons => %(lessons)s, p_attempts => %(attempts)s)",
                {"user": self.user, "at": at, "lessons": lessons, "attempts": attempts},
            )

    def days(self) -> list[date]:
        """The days that have a row."""
        return [
            row[0]
            for row in self.run(
                "select day from public.daily_activity where user_id = %s order by day", self.user
            )
        ]

    def streak(self, now: datetime) -> Streak:
        """What private.streak() says."""
        [found] = self.run("select * from private.streak(%s, %s)", self.user, now)
        return found


@dataclass
class Span:
    """First and last instant of a day's activity."""

    first: datetime
    last: datetime


@dataclass
class Model:
    """The same by the rules as they are written, without a thought to speed."""

    zone: str = "UTC"
    moves: list[tuple[datetime, str]] = field(default_factory=list)
    days: dict[date, Span] = field(default_factory=dict)

    def move(self, now: datetime, zone: str) -> None:
        """A zone that has counted no day is forgotten."""
        if zone != self.zone and self.days:
            self.moves.append((now, self.zone))
        self.zone = zone

    def day(self, at: datetime) -> date:
        """The day in the zone of that time."""
        zone = next((zone for until, zone in self.moves if at < until), self.zone)
        return at.astimezone(ZoneInfo(zone)).date()

    def do(self, *instants: datetime) -> None:
        """Complete a lesson at each."""
        for at in instants:
            span = self.days.setdefault(self.day(at), Span(at, at))
            span.first, span.last = min(span.first, at), max(span.last, at)

    def follows(self, day: date, span: Span, next_day: date, next_span: Span) -> bool:
        """Whether a streak goes on from one day to the next."""
        if next_day - day <= timedelta(days=1):
            return True
        apart = next_span.first - span.last
        begin, end = min(span.first, next_span.first), max(span.last, next_span.last)
        moved = any(begin <= until <= end for until, _ in self.moves)
        return moved and apart < timedelta(hours=48)

    def streak(self, now: datetime) -> Streak:
        """Current, longest and last day."""
        if not self.days:
            return 0, 0, None
        listed = sorted(self.days.items())
        length = longest = 1
        for before, after in pairwise(listed):
            length = length + 1 if self.follows(*before, *after) else 1
            longest = max(longest, length)
        alive = self.follows(*listed[-1], self.day(now), Span(now, now))
        return length if alive else 0, longest, listed[-1][0]


def at(text: str) -> datetime:
    """An instant; without an offset it is UTC."""
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
