"""Token buckets: by the clock, exact, cheap, and safe when everybody comes at once."""

from __future__ import annotations

import math
import threading
from fractions import Fraction

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.database.actors import Actor
from tests.limits.conftest import Limits
from tests.stack import Stack


def test_a_bucket_gives_its_burst_and_then_says_how_long(limits: Limits) -> None:
    assert [limits.take() for _ in range(10)] == [0] * 10
    assert limits.take() == 1
    limits.at(0.4)
    assert limits.take() == 1
    limits.at(0.5)
    assert (limits.take(), limits.take()) == (0, 1)
    assert limits.take(cost=7) == 4
    limits.at(4)
    assert (limits.take(cost=7), limits.take(cost=1)) == (0, 1)


def test_a_refused_call_takes_nothing(limits: Limits) -> None:
    limits.take(cost=10)
    for _ in range(100):
        assert limits.take(cost=4) == 2
    limits.at(2)
    assert limits.take(cost=4) == 0


def test_a_bucket_never_holds_more_than_its_burst(limits: Limits) -> None:
    limits.take()
    limits.at(10_000)
    assert [limits.take() for _ in range(11)] == [0] * 10 + [1]


def test_every_key_has_its_own_bucket(limits: Limits) -> None:
    limits.take("one", 10)
    assert (limits.take("one"), limits.take("other")) == (1, 0)


def test_what_costs_more_than_a_bucket_takes_all_of_it(limits: Limits) -> None:
    assert limits.take(cost=500) == 0
    assert limits.take(cost=500) == 5
    limits.at(5)
    assert limits.take(cost=500) == 0


def test_without_a_row_there_is_no_limit(limits: Limits) -> None:
    limits.take(cost=10)
    limits.operator.run("delete from private.rate_limits where bucket = %s", limits.bucket)
    assert [limits.take() for _ in range(50)] == [0] * 50


def test_new_rates_hold_from_the_next_call(limits: Limits) -> None:
    limits.take(cost=10)
    limits.set(0.1, 1)
    # What is owed is owed in time: five seconds, of the ten that the bucket now takes.
    assert limits.take() == 5
    limits.set(1000, 10)
    # An empty bucket is no emptier than that, though it emptied under slower rates.
    assert limits.take(cost=10) == 1
    limits.at(0.01)
    assert limits.take(cost=10) == 0


def test_a_clock_set_back_finds_a_bucket_that_is_empty_at_worst(limits: Limits) -> None:
    limits.at(1_000_000)
    limits.take(cost=10)
    limits.at(0)
    assert limits.take() == 1
    limits.at(1)
    assert limits.take() == 0


@settings(
    max_examples=60, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(
    rate=st.sampled_from([1, 2, 5, 8]),
    burst=st.integers(1, 20),
    calls=st.lists(st.tuples(st.integers(0, 4000), st.integers(1, 6)), max_size=25),
)
def test_it_is_a_token_bucket(
    limits: Limits, rate: int, burst: int, calls: list[tuple[int, int]]
) -> None:
    limits.set(rate, burst)
    limits.operator.run("delete from private.rate_buckets where bucket = %s", limits.bucket)
    tokens, now = Fraction(burst), 0
    for pause, wanted in calls:
        now += pause
        tokens = min(Fraction(burst), tokens + Fraction(pause * rate, 1000))
        limits.at(now / 1000)
        cost = min(wanted, burst)
        expected = 0
        if tokens >= cost:
            tokens -= cost
        else:
            expected = max(1, math.ceil((cost - tokens) / rate))
        assert limits.take(cost=wanted) == expected


def test_a_thousand_takes_at_once_give_the_burst(stack: Stack, limits: Limits) -> None:
    limits.set(0.001, 100)
    allowed: list[int] = []

    def take() -> None:
        with stack.connect(autocommit=True) as connection:
            for _ in range(125):
                row = connection.execute(
                    "select private.take_token(%s, 'all')", [limits.bucket]
                ).fetchone()
                assert row is not None
                allowed.append(row[0] == 0)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(allowed), sum(allowed)) == (1000, 100)


def test_full_buckets_are_purged_and_others_stay(limits: Limits) -> None:
    for key in ("old", "new"):
        limits.take(key)
        limits.at(100)
    purged = 0
    while (count := limits.operator.one("select private.purge_rate_buckets(2)")) > 0:
        assert count <= 2
        purged += count
    assert purged >= 1
    assert limits.keys() == {"new"}


def test_a_token_is_a_hot_update(limits: Limits) -> None:
    """No index is written, and a page keeps room for the next version."""
    limits.set(1_000_000, 1_000_000)
    limits.take()
    with limits.operator.connection.transaction():
        for _ in range(50):
            limits.take()
        [row] = limits.operator.run(
            "select n_tup_upd, n_tup_hot_upd from pg_stat_xact_user_tables"
            " where relname = 'rate_buckets'"
        )
    assert row["n_tup_upd"] == 50
    assert row["n_tup_hot_upd"] >= 48


def test_the_default_buckets_are_there(operator: Actor) -> None:
    rows = operator.run("select bucket, per_second, burst from private.rate_limits")
    names = {row["bucket"] for row in rows if not row["bucket"].startswith("t_")}
    assert {"view", "batch", "search", "verify", "attempts"} <= names


@pytest.mark.parametrize(("per_second", "burst"), [(0, 1), (-1, 1), (1, 0.5), ("NaN", 1)])
def test_senseless_rates_are_refused(limits: Limits, per_second: float, burst: float) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        limits.set(per_second, burst)
