"""How watch time is credited, in plain Python: sets of seconds, nothing clever.

Written from docs/explanation/watch-time.md. Times are whole seconds of one clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SLACK = 60
HORIZON = 28 * 86400


@dataclass
class Session:
    """What one session has reported."""

    seconds: int
    begun: int
    until: int


@dataclass
class Lesson:
    """What a learner has of one lesson."""

    duration: int | None = None
    view_seconds: int = 0
    watched: set[int] = field(default_factory=set)


@dataclass
class Learner:
    """One learner's clock, sessions and lessons."""

    enrolled: int
    spent: set[int] = field(default_factory=set)
    sessions: dict[tuple[int, object], Session] = field(default_factory=dict)
    lessons: dict[int, Lesson] = field(default_factory=dict)

    def view(
        self,
        now: int,
        lesson: int,
        session: object,
        seconds: int,
        watched: list[tuple[int, int]] = [],  # noqa: B006 - never changed
    ) -> int:
        """A heartbeat; gives the seconds credited."""
        row = self.lessons.setdefault(lesson, Lesson())
        known = self.sessions.get((lesson, session))
        credit = 0
        if known is None or seconds > known.seconds:
            wanted = seconds - (known.seconds if known else 0)
            elsewhere = [s.begun for (_, name), s in self.sessions.items() if name == session]
            begun = known.begun if known else max(now - seconds, min(elsewhere, default=-(10**9)))
            start = now - wanted
            if known and 0 <= start - known.until <= SLACK:
                start = known.until
            self.sessions[lesson, session] = Session(
                seconds, begun, max(known.until if known else start + wanted, start + wanted)
            )
            first = max(begun - SLACK, self.enrolled - SLACK, now - HORIZON)
            free = [second for second in range(first, now) if second not in self.spent]
            block = set(range(start, start + wanted))
            taken = [second for second in free if second in block]
            others = [second for second in reversed(free) if second not in block]
            taken += others[: wanted - len(taken)]
            self.spent |= set(taken)
            credit = len(taken)
        row.view_seconds += credit
        end = row.duration if row.duration is not None else 604800
        new = {s for a, b in watched for s in range(a, min(b, end))} - row.watched
        for piece in pieces(new):
            left = 2 * row.view_seconds - len(row.watched)
            if len(piece) <= 2 * left:
                row.watched |= set(piece[:left])
        return credit


def pieces(seconds: set[int]) -> list[list[int]]:
    """Runs of seconds that follow one another."""
    found: list[list[int]] = []
    for second in sorted(seconds):
        if found and found[-1][-1] == second - 1:
            found[-1].append(second)
        else:
            found.append([second])
    return found
