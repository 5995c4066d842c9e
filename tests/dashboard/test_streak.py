"""The rule of streaks: cases by hand, and random lives against the model."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, LiteralString

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.dashboard.diary import Diary, Model, at
from tests.stack import Stack

# A life, line by line: zones moved to, lessons completed (late ones too), and what the streak is at
# an instant: current, longest, last day. Offsets are written out, to be checked by hand.
LIVES = {
    "nothing done": """
        streak 2027-01-01 = 0 0 never
    """,
    "today or yesterday keeps it alive": """
        do 2027-01-04T12:00
        do 2027-01-05T12:00
        streak 2027-01-05T12:00 = 2 2 2027-01-05
        streak 2027-01-06T23:59:59.999999 = 2 2 2027-01-05
        streak 2027-01-07T00:00 = 0 2 2027-01-05
    """,
    "midnight divides the days": """
        go 2027-01-01T00:00 Europe/Vienna
        do 2027-01-04T23:59:59.999999+01:00
        do 2027-01-05T00:00+01:00
        streak 2027-01-05T00:00+01:00 = 2 2 2027-01-05
        streak 2027-01-06T23:59:59.999999+01:00 = 2 2 2027-01-05
        streak 2027-01-07T00:00+01:00 = 0 2 2027-01-05
    """,
    "many lessons of a day are one day": """
        do 2027-01-04T00:00
        do 2027-01-04T12:00
        do 2027-01-04T23:00
        streak 2027-01-04T23:30 = 1 1 2027-01-04
    """,
    "a day left out ends it, the longest stays": """
        do 2027-01-04T12:00
        do 2027-01-05T12:00
        do 2027-01-06T12:00
        do 2027-01-08T12:00
        do 2027-01-09T12:00
        streak 2027-01-09T12:00 = 2 3 2027-01-09
        streak 2027-02-09T12:00 = 0 3 2027-01-09
    """,
    "24 hours and a second around a day left out are no excuse": """
        do 2027-01-04T23:59:59
        do 2027-01-06T00:00
        streak 2027-01-06T00:00 = 1 1 2027-01-06
    """,
    "late reports mend it, in any order": """
        do 2027-01-09T12:00
        do 2027-01-04T12:00
        do 2027-01-06T12:00
        do 2027-01-08T12:00
        do 2027-01-05T12:00
        do 2027-01-07T12:00
        streak 2027-01-09T13:00 = 6 6 2027-01-09
    """,
    "summer time begins": """
        go 2027-03-01T00:00 America/Los_Angeles
        do 2027-03-13T00:00-08:00
        do 2027-03-14T23:59:59-07:00
        do 2027-03-15T23:59:59-07:00
        streak 2027-03-16T23:59:59-07:00 = 3 3 2027-03-15
        streak 2027-03-17T00:00-07:00 = 0 3 2027-03-15
    """,
    "summer time ends: 49 hours lie within two days in a row": """
        go 2027-11-01T00:00 America/Los_Angeles
        do 2027-11-06T00:00-07:00
        do 2027-11-07T23:59:59-08:00
        streak 2027-11-08T23:59:59-08:00 = 2 2 2027-11-07
    """,
    "a day left out on the short weekend: 23 hours": """
        go 2027-03-01T00:00 America/Los_Angeles
        do 2027-03-13T23:59:59-08:00
        do 2027-03-15T00:00-07:00
        streak 2027-03-15T00:00-07:00 = 1 1 2027-03-15
    """,
    "midnight comes twice, where summer time ends at midnight": """
        go 2027-10-01T00:00 Africa/Cairo
        do 2027-10-28T23:30+03:00
        do 2027-10-28T23:30+02:00
        do 2027-10-29T00:00+02:00
        streak 2027-10-29T00:00+02:00 = 2 2 2027-10-29
    """,
    "fourteen hours ahead": """
        go 2027-01-01T00:00 Pacific/Kiritimati
        do 2027-01-04T09:59:59
        do 2027-01-04T10:00
        do 2027-01-05T10:00
        streak 2027-01-07T09:59:59 = 3 3 2027-01-06
        streak 2027-01-07T10:00 = 0 3 2027-01-06
    """,
    "eleven hours behind": """
        go 2027-01-01T00:00 Pacific/Pago_Pago
        do 2027-01-04T10:59:59
        do 2027-01-04T11:00
        do 2027-01-06T10:59
        streak 2027-01-07T10:59:59 = 3 3 2027-01-05
        streak 2027-01-07T11:00 = 0 3 2027-01-05
    """,
    "across a leap day": """
        do 2028-02-28T12:00
        do 2028-02-29T12:00
        do 2028-03-01T12:00
        streak 2028-03-02T12:00 = 3 3 2028-03-01
    """,
    "a leap day left out": """
        do 2028-02-27T12:00
        do 2028-02-28T12:00
        do 2028-03-01T12:00
        streak 2028-03-02T12:00 = 1 2 2028-03-01
    """,
    "no leap day": """
        do 2027-02-28T12:00
        do 2027-03-01T12:00
        streak 2027-03-01T12:00 = 2 2 2027-03-01
    """,
    "across the year": """
        do 2027-12-31T12:00
        do 2028-01-01T12:00
        streak 2028-01-01T12:00 = 2 2 2028-01-01
    """,
    "from Tokyo to Los Angeles": """
        go 2027-01-01T00:00 Asia/Tokyo
        do 2027-01-04T20:00+09:00
        do 2027-01-05T09:00+09:00
        go 2027-01-05T16:00+09:00 America/Los_Angeles
        do 2027-01-05T19:00-08:00
        do 2027-01-06T21:00-08:00
        streak 2027-01-07T23:59-08:00 = 3 3 2027-01-06
        streak 2027-01-08T00:00-08:00 = 0 3 2027-01-06
    """,
    "from Los Angeles to Tokyo": """
        go 2027-01-01T00:00 America/Los_Angeles
        do 2027-01-04T20:00-08:00
        do 2027-01-05T09:00-08:00
        go 2027-01-07T06:00+09:00 Asia/Tokyo
        do 2027-01-07T20:00+09:00
        streak 2027-01-08T20:00+09:00 = 3 3 2027-01-07
    """,
    "there and back": """
        go 2027-01-01T00:00 Asia/Tokyo
        do 2027-01-04T20:00+09:00
        go 2027-01-05T16:00+09:00 America/Los_Angeles
        do 2027-01-05T19:00-08:00
        do 2027-01-06T19:00-08:00
        go 2027-01-08T16:00+09:00 Asia/Tokyo
        do 2027-01-08T20:00+09:00
        do 2027-01-09T20:00+09:00
        streak 2027-01-09T20:00+09:00 = 5 5 2027-01-09
    """,
    "48 hours less a second after the move": """
        go 2027-01-01T00:00 America/Los_Angeles
        do 2027-01-04T20:00-08:00
        go 2027-01-05T20:00-08:00 Asia/Tokyo
        do 2027-01-07T12:59:59+09:00
        streak 2027-01-07T13:00+09:00 = 2 2 2027-01-07
    """,
    "48 hours after the move": """
        go 2027-01-01T00:00 America/Los_Angeles
        do 2027-01-04T20:00-08:00
        go 2027-01-05T20:00-08:00 Asia/Tokyo
        do 2027-01-07T13:00+09:00
        streak 2027-01-07T13:00+09:00 = 1 1 2027-01-07
    """,
    "arrived, and nothing done yet": """
        go 2027-01-01T00:00 America/Los_Angeles
        do 2027-01-03T20:00-08:00
        do 2027-01-04T20:00-08:00
        go 2027-01-06T06:00+09:00 Asia/Tokyo
        streak 2027-01-06T20:00+09:00 = 2 2 2027-01-04
        streak 2027-01-07T12:59:59+09:00 = 2 2 2027-01-04
        streak 2027-01-07T13:00+09:00 = 0 2 2027-01-04
    """,
    "back before the day that was lived already": """
        go 2027-01-01T00:00 Pacific/Kiritimati
        do 2027-01-09T12:00+14:00
        do 2027-01-10T00:30+14:00
        go 2027-01-10T01:00+14:00 Pacific/Pago_Pago
        streak 2027-01-08T23:59-11:00 = 2 2 2027-01-10
        streak 2027-01-11T12:00-11:00 = 2 2 2027-01-10
    """,
    "two days back: both are one life": """
        go 2027-01-01T00:00 Pacific/Kiritimati
        do 2027-01-10T00:30+14:00
        go 2027-01-10T00:40+14:00 Pacific/Pago_Pago
        do 2027-01-08T23:59-11:00
        streak 2027-01-08T23:59-11:00 = 2 2 2027-01-10
    """,
    "a move excuses the gap that it lies in, and no other": """
        go 2027-01-01T00:00 America/Los_Angeles
        do 2027-01-04T20:00-08:00
        go 2027-01-06T06:00+09:00 Asia/Tokyo
        do 2027-01-06T20:00+09:00
        do 2027-01-07T23:00+09:00
        do 2027-01-09T01:00+09:00
        streak 2027-01-09T02:00+09:00 = 1 3 2027-01-09
    """,
    "moved on the first of the two days, which is one day in both zones": """
        go 2027-01-01T00:00 Asia/Tokyo
        do 2027-01-04T09:00+09:00
        go 2027-01-04T16:00+09:00 America/Los_Angeles
        do 2027-01-04T07:00-08:00
        do 2027-01-06T06:00-08:00
        streak 2027-01-06T06:00-08:00 = 2 2 2027-01-06
    """,
    "moved on the second of the two days": """
        go 2027-01-01T00:00 Asia/Tokyo
        do 2027-01-04T20:00+09:00
        do 2027-01-06T08:00+09:00
        streak 2027-01-06T08:00+09:00 = 1 1 2027-01-06
        go 2027-01-06T20:00+09:00 America/Los_Angeles
        streak 2027-01-06T04:00-08:00 = 1 1 2027-01-06
        do 2027-01-06T10:00-08:00
        streak 2027-01-06T10:00-08:00 = 2 2 2027-01-06
    """,
    "what is late counts in the zone of its time": """
        go 2027-01-01T00:00 Asia/Tokyo
        do 2027-01-04T20:00+09:00
        do 2027-01-06T00:30+09:00
        go 2027-01-06T16:00+09:00 America/Los_Angeles
        do 2027-01-05T08:00+09:00
        streak 2027-01-06T00:30-08:00 = 3 3 2027-01-06
    """,
    "the first zone told holds from the start": """
        go 2027-01-05T00:00 Asia/Tokyo
        do 2027-01-03T15:30
        do 2027-01-02T14:30
        streak 2027-01-05T14:59:59 = 1 1 2027-01-04
        streak 2027-01-05T15:00 = 0 1 2027-01-04
    """,
}


def live(book: Diary | Model, life: str) -> list[tuple[str, str]]:
    """Go through a life, and return the lines that ask: as answered, and as they should be."""
    asked = []
    for line in life.strip().splitlines():
        word, when, *rest = line.split()
        if word == "go":
            book.move(at(when), rest[0])
        elif word == "do":
            book.do(at(when))
        else:
            current, longest, last = book.streak(at(when))
            asked.append(
                (f"{when} = {current} {longest} {last or 'never'}", " ".join([when, *rest]))
            )
    return asked


@pytest.mark.parametrize("name", LIVES)
def test_by_hand(diary: Diary, name: str) -> None:
    for answer, expected in live(diary, LIVES[name]):
        assert answer == expected


@pytest.mark.parametrize("name", LIVES)
def test_the_model_agrees_with_the_hand(name: str) -> None:
    asked = live(Model(), LIVES[name])
    assert asked
    for answer, expected in asked:
        assert answer == expected


@pytest.mark.parametrize(
    ("lessons", "attempts", "seconds", "counts"),
    [(0, 0, 0, 0), (0, 0, 59, 0), (0, 0, 60, 1), (0, 1, 0, 1), (1, 0, 0, 1), (2, 3, 3600, 1)],
)
def test_what_makes_a_streak_day(
    diary: Diary, lessons: int, attempts: int, seconds: int, counts: int
) -> None:
    noon = at("2027-01-04T12:00")
    diary.do(noon, lessons=lessons, attempts=attempts)
    diary.run("update public.daily_activity set view_seconds = %s", seconds)
    assert diary.streak(noon) == (counts, counts, noon.date() if counts else None)


def test_late_reports_stretch_their_day(diary: Diary) -> None:
    for hour in (12, 9, 18, 15):
        diary.do(at(f"2027-01-04T{hour:02}:00"))
    found = diary.run("select lessons_completed, first_at, last_at from public.daily_activity"
                       " where user_id = %s", diary.user)  # fmt: skip
    assert found == [(4, at("2027-01-04T09:00"), at("2027-01-04T18:00"))]


def test_days_already_counted_stay_when_the_zone_changes(diary: Diary) -> None:
    diary.do(at("2027-01-04T23:00"), at("2027-01-05T01:00"))
    before = diary.days()
    for hour, zone in enumerate(("Pacific/Kiritimati", "Pacific/Pago_Pago", "UTC")):
        diary.move(at(f"2027-01-05T{hour + 2:02}:00"), zone)
        assert diary.days() == before
    assert diary.streak(at("2027-01-05T12:00")) == (2, 2, date(2027, 1, 5))


def test_past_zones_are_the_databases_to_write_and_bounded(diary: Diary) -> None:
    now = at("2027-01-04T12:00")
    diary.move(now, "Asia/Tokyo")
    diary.do(now)
    past: LiteralString = "select past_timezones from public.profiles where id = %s"
    assert diary.run(past, diary.user) == [([],)]
    for hour in range(1, 61):
        diary.move(now + timedelta(hours=hour), "UTC" if hour % 2 else "Asia/Tokyo")
        # The same zone again, or a bad one that becomes it, is no move.
        diary.move(
            now + timedelta(hours=hour, minutes=1), "Moon/Base" if hour % 2 else "Asia/Tokyo"
        )
    [(kept,)] = diary.run(past, diary.user)
    assert len(kept) == 50
    assert [datetime.fromisoformat(zone["until"]) for zone in kept] == [
        now + timedelta(hours=hour) for hour in range(11, 61)
    ]
    assert [zone["timezone"] for zone in kept[-2:]] == ["Asia/Tokyo", "UTC"]


ZONES = (
    "UTC",
    "Asia/Tokyo",
    "America/Los_Angeles",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "Europe/London",
    "Australia/Lord_Howe",
)
# Around both changes of the clocks, a leap day and the turn of a year.
STARTS = st.sampled_from(["2027-03-10", "2027-11-03", "2028-02-26", "2026-12-29"])
# Hours that pass, and then a lesson, a move, or a lesson of some hours before.
STEPS = st.lists(
    st.tuples(
        st.one_of(st.sampled_from([0, 1, 12, 23, 24, 25, 47, 48, 49]), st.integers(0, 60)),
        st.one_of(
            st.just(("do", 0)),
            st.tuples(st.just("late"), st.integers(1, 120)),
            st.tuples(st.just("go"), st.sampled_from(ZONES)),
        ),
    ),
    max_size=25,
)


def random_lives(stack: Stack, examples: int) -> None:
    with stack.connect() as connection:

        @settings(
            max_examples=examples,
            deadline=None,
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        @given(start=STARTS, steps=STEPS, asked=st.integers(0, 80))
        def check(start: str, steps: list[tuple[int, Any]], asked: int) -> None:
            diary, model = Diary(connection), Model()
            now = datetime.fromisoformat(start).replace(tzinfo=UTC)
            try:
                for hours, (word, what) in steps:
                    now += timedelta(hours=hours)
                    for book in (diary, model):
                        if word == "go":
                            book.move(now, what)
                        else:
                            book.do(now - timedelta(hours=what))
                assert diary.days() == sorted(model.days)
                later = now + timedelta(hours=asked)
                for when in (now, later):
                    assert diary.streak(when) == model.streak(when)
            finally:
                connection.rollback()

        check()


def test_random_lives(stack: Stack) -> None:
    random_lives(stack, 150)


@pytest.mark.long
def test_many_random_lives(stack: Stack) -> None:
    random_lives(stack, 5000)
