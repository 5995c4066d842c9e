"""Leases, retries, dead letters: what the queue promises to workers that die at any moment."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.database.actors import Actor, Refused
from tests.database.storm import together
from tests.support.scratch import Scratch

KIND = "test"


def put(operator: Actor, count: int = 1, kind: str = KIND, **columns: Any) -> list[int]:
    """Put jobs into the queue and return their ids."""
    ids = [
        operator.one("select private.enqueue(%s, '{}', %s)", kind, f"k:{uuid.uuid4()}")
        for _ in range(count)
    ]
    for name, value in columns.items():
        operator.run(f"update private.jobs set {name} = %s where id = any (%s)", value, ids)
    return ids


def lease(worker: Actor, limit: int = 100, seconds: int = 60) -> list[dict[str, Any]]:
    """Take jobs."""
    jobs: list[dict[str, Any]] = worker.call("lease_jobs", p_limit=limit, p_seconds=seconds)["jobs"]
    return jobs


def ids(jobs: list[dict[str, Any]]) -> list[int]:
    return [job["id"] for job in jobs]


def row(operator: Actor, job: int) -> dict[str, Any] | None:
    found = operator.run("select * from private.jobs where id = %s", job)
    return found[0] if found else None


def finish(worker: Actor, job: dict[str, Any]) -> bool:
    return bool(worker.call("finish_job", p_job_id=job["id"], p_lease=job["lease"])["finished"])


def fail(worker: Actor, job: dict[str, Any], permanent: bool = False) -> dict[str, Any]:
    return worker.call(  # type: ignore[no-any-return]
        "fail_job", p_job_id=job["id"], p_lease=job["lease"], p_error="no luck",
        p_permanent=permanent,
    )  # fmt: skip


@pytest.fixture
def now(operator: Actor) -> datetime:
    """A minute ahead: whatever a test puts into the queue is due."""
    return operator.one("select now() + interval '1 minute'")  # type: ignore[no-any-return]


def test_a_job_exists_exactly_when_its_transaction_commits(
    operator: Actor, worker: Actor, alone: Scratch
) -> None:
    with alone.connect() as other:
        other.execute("select private.enqueue('test', '{}', 'k')")
        assert lease(worker) == []
        other.rollback()
    assert lease(worker) == []
    [job] = put(operator)
    assert ids(lease(worker)) == [job]


def test_a_dedupe_key_waits_once_and_a_dead_job_comes_back_to_life(
    operator: Actor, worker: Actor
) -> None:
    enqueue = "select private.enqueue('test', %s::jsonb, 'the key')"
    job = operator.one(enqueue, '{"n": 1}')
    assert operator.one(enqueue, '{"n": 2}') is None
    [taken] = lease(worker)
    assert (taken["id"], taken["payload"]) == (job, {"n": 1})
    assert operator.one(enqueue, '{"n": 2}') is None
    assert fail(worker, taken, permanent=True)["dead"]
    assert operator.one(enqueue, '{"n": 3}') == job
    [again] = lease(worker)
    assert (again["id"], again["payload"], again["attempts"]) == (job, {"n": 3}, 1)
    assert finish(worker, again)
    assert operator.one(enqueue, '{"n": 4}') != job


def test_a_lease_hides_a_job_until_it_ends_and_a_late_answer_is_void(
    operator: Actor, worker: Actor, now: datetime
) -> None:
    [job] = put(operator)
    worker.at(now)
    [first] = lease(worker, seconds=60)
    assert lease(worker) == []
    worker.at(now + timedelta(seconds=59))
    assert lease(worker) == []
    worker.at(now + timedelta(seconds=61))
    [second] = lease(worker)
    assert (first["id"], second["id"]) == (job, job)
    assert first["lease"] != second["lease"]
    assert (first["attempts"], second["attempts"]) == (1, 2)

    assert not finish(worker, first)
    assert fail(worker, first) == {"failed": False, "dead": False, "run_at": None}
    assert row(operator, job)["lease"] == uuid.UUID(second["lease"])  # type: ignore[index]
    assert finish(worker, second)
    assert row(operator, job) is None
    assert not finish(worker, second)


def test_an_answer_after_the_end_counts_while_nobody_else_has_the_job(
    operator: Actor, worker: Actor, now: datetime
) -> None:
    put(operator)
    [job] = lease(worker, seconds=60)
    worker.at(now + timedelta(hours=1))
    assert finish(worker, job)


def test_the_more_important_come_first_then_the_older(
    operator: Actor, worker: Actor, now: datetime
) -> None:
    [low] = put(operator, priority=-10, run_at=now - timedelta(hours=3))
    [new] = put(operator, run_at=now - timedelta(hours=1))
    [old] = put(operator, run_at=now - timedelta(hours=2))
    [high] = put(operator, priority=10)
    put(operator, run_at=now + timedelta(hours=1))
    answer = worker.call("lease_jobs", p_limit=3, p_seconds=60)
    assert ids(answer["jobs"]) == [high, old, new]
    assert answer["remaining"] == 1
    assert ids(lease(worker)) == [low]


def test_eight_workers_at_once_never_take_the_same_job(
    operator: Actor, actors: Callable[..., Actor]
) -> None:
    put(operator, 400)
    hands = [actors("service_role") for _ in range(8)]

    def work(hand: Actor, batch: int) -> list[int]:
        taken: list[int] = []
        while jobs := lease(hand, limit=batch, seconds=600):
            taken += ids(jobs)
            for job in jobs[::2]:
                assert finish(hand, job)
        return taken

    answers = together([lambda n=n, hand=hand: work(hand, n + 1) for n, hand in enumerate(hands)])
    for answer in answers:
        assert isinstance(answer, list), answer
    taken = [job for answer in answers for job in answer]
    assert len(taken) == len(set(taken)) == 400
    assert min(map(len, answers)) > 0


def test_workers_that_die_at_random_leave_nothing_undone_and_nothing_done_twice(
    operator: Actor, actors: Callable[..., Actor], now: datetime
) -> None:
    """Each round's leases have ended by the next: of every three jobs one is simply forgotten."""
    put(operator, 120)
    hands = [actors("service_role") for _ in range(8)]
    finished: list[int] = []

    def work(hand: Actor) -> None:
        while jobs := lease(hand, limit=7, seconds=60):
            for job in jobs:
                if (job["id"] + job["attempts"]) % 3:
                    assert finish(hand, job)
                    finished.append(job["id"])

    for turn in range(4):
        for hand in hands:
            hand.at(now + turn * timedelta(minutes=2))
        answers = together([lambda hand=hand: work(hand) for hand in hands])
        assert answers == [None] * 8
    assert len(finished) == len(set(finished)) == 120
    assert operator.one("select count(*) from private.jobs") == 0


def test_an_attempt_that_failed_comes_back_later_and_later(
    operator: Actor, worker: Actor, now: datetime
) -> None:
    [job] = put(operator)
    at, waits = now, []
    for attempt in range(1, 25):
        worker.at(at)
        [taken] = lease(worker)
        assert taken["attempts"] == attempt
        answer = fail(worker, taken)
        assert (answer["failed"], answer["dead"]) == (True, False)
        assert lease(worker) == []
        again = row(operator, job)["run_at"]  # type: ignore[index]
        waits.append((again - at).total_seconds())
        at = again
        assert row(operator, job)["last_error"] == "no luck"  # type: ignore[index]
    for attempt, wait in enumerate(waits, 1):
        middle = min(7200, 5 * 2 ** (attempt - 1))
        assert 0.75 * middle <= wait <= 1.25 * middle
    # Not in step: what failed together does not come back together.
    assert len({wait % 5 for wait in waits}) > 12
    assert sum(waits) > 20 * 3600

    worker.at(at)
    [taken] = lease(worker)
    assert fail(worker, taken) == {"failed": True, "dead": True, "run_at": None}
    worker.at(at + timedelta(days=30))
    assert lease(worker) == []
    dead = row(operator, job)
    assert dead is not None
    assert (dead["attempts"], dead["last_error"], dead["lease"]) == (25, "no luck", None)


def test_what_no_retry_can_mend_is_dead_at_once(operator: Actor, worker: Actor) -> None:
    [job] = put(operator)
    [taken] = lease(worker)
    assert fail(worker, taken, permanent=True)["dead"]
    assert row(operator, job)["died_at"] is not None  # type: ignore[index]


def test_a_job_that_every_worker_dies_of_is_dead_in_the_end(
    operator: Actor, worker: Actor, now: datetime
) -> None:
    [job] = put(operator, max_attempts=3)
    for attempt in range(3):
        worker.at(now + attempt * timedelta(minutes=2))
        assert ids(lease(worker)) == [job]
    worker.at(now + timedelta(minutes=10))
    answer = worker.call("lease_jobs", p_limit=10, p_seconds=60)
    assert (answer["jobs"], answer["settled"]) == ([], 1)
    dead = row(operator, job)
    assert dead is not None
    assert dead["died_at"] is not None
    assert "died" in dead["last_error"]


def test_who_may_have_killed_a_worker_is_handed_out_alone(
    operator: Actor, worker: Actor, now: datetime
) -> None:
    """A job that kills its worker takes the rest of a batch with it once, not for ever."""
    jobs = put(operator, 4)
    assert ids(lease(worker)) == jobs
    worker.at(now + timedelta(minutes=2))
    fresh = put(operator, 2, run_at=now + timedelta(minutes=1))
    taken = [ids(lease(worker)) for _ in range(5)]
    assert taken == [[jobs[0]], [jobs[1]], [jobs[2]], [jobs[3]], fresh]
    # Who failed in an orderly way is no suspect.
    orderly = put(operator, 2)
    for job in lease(worker):
        fail(worker, job)
    operator.run("update private.jobs set run_at = %s where id = any (%s)", now, orderly)
    assert ids(lease(worker)) == orderly


def test_facts_that_cannot_be_read_block_nobody(operator: Actor, worker: Actor) -> None:
    broken = operator.one("select private.enqueue('mail', '{\"notification_id\": \"x\"}')")
    [good] = put(operator)
    answer = worker.call("lease_jobs", p_limit=10, p_seconds=60)
    assert (ids(answer["jobs"]), answer["settled"]) == ([good], 1)
    found = row(operator, broken)
    assert found is not None
    assert (found["attempts"], found["lease"]) == (1, None)
    assert "invalid input syntax" in found["last_error"]


def test_a_job_with_nothing_left_to_do_is_finished_unseen(operator: Actor, worker: Actor) -> None:
    operator.run(
        "select private.enqueue(kind, jsonb_build_object(name, gen_random_uuid())) from (values"
        " ('mail', 'notification_id'), ('certificate.render', 'certificate_id')) as v (kind, name)"
    )
    answer = worker.call("lease_jobs", p_limit=10, p_seconds=60)
    assert answer == {"jobs": [], "settled": 2, "remaining": 0}
    assert operator.one("select count(*) from private.jobs") == 0


@pytest.mark.parametrize(
    "arguments",
    [
        {"p_limit": 0, "p_seconds": 60},
        {"p_limit": 101, "p_seconds": 60},
        {"p_limit": 1, "p_seconds": 0},
        {"p_limit": 1, "p_seconds": 3601},
    ],
)
def test_leases_are_bounded(worker: Actor, arguments: dict[str, int]) -> None:
    with pytest.raises(Refused) as caught:
        worker.call("lease_jobs", **arguments)
    assert (caught.value.code, caught.value.status) == ("invalid_value", 422)


# Operators


def test_the_queue_is_listed_by_state_kind_and_page(
    operator: Actor, worker: Actor, now: datetime
) -> None:
    [dead] = put(operator)
    fail(worker, lease(worker)[0], permanent=True)
    [leased] = put(operator)
    lease(worker)
    [due] = put(operator, kind="other")
    [waiting] = put(operator, run_at=now + timedelta(hours=1))

    def listed(**arguments: Any) -> list[int]:
        return ids(worker.call("list_jobs", **arguments)["jobs"])

    assert listed() == [dead, leased, due, waiting]
    for state, job in (("dead", dead), ("leased", leased), ("due", due), ("waiting", waiting)):
        assert listed(p_state=state) == [job]
    assert listed(p_kind="other") == [due]
    page = worker.call("list_jobs", p_limit=2)
    assert (ids(page["jobs"]), page["cursor"]) == ([dead, leased], leased)
    assert listed(p_cursor=page["cursor"]) == [due, waiting]
    assert page["jobs"][0]["last_error"] == "no luck"
    with pytest.raises(Refused):
        listed(p_state="asleep")

    health = worker.call("get_queue_health")
    assert {name: health[name] for name in ("depth", "due", "leased", "waiting", "dead")} == {
        "depth": 3, "due": 1, "leased": 1, "waiting": 1, "dead": 1,
    }  # fmt: skip
    worker.at(now + timedelta(minutes=10))
    assert worker.call("get_queue_health")["oldest_due_seconds"] >= 599


def test_dead_jobs_start_afresh_and_nobody_loses_a_lease_by_it(
    operator: Actor, worker: Actor, now: datetime
) -> None:
    [dead] = put(operator)
    fail(worker, lease(worker)[0], permanent=True)
    [held] = put(operator)
    [mine] = lease(worker)
    [waiting] = put(operator, run_at=now + timedelta(hours=1))

    assert worker.call("retry_jobs", p_kind="other") == {"retried": 0, "changed": False}
    assert worker.call("retry_jobs", p_reason="fixed") == {"retried": 1, "changed": True}
    again = lease(worker)
    assert [(job["id"], job["attempts"]) for job in again] == [(dead, 1)]
    assert worker.call("retry_jobs", p_job_ids=[held, waiting])["retried"] == 1
    assert ids(lease(worker)) == [waiting]
    assert finish(worker, mine)
    [audit, _] = operator.run(
        "select actor_role, reason, after from public.audit_log where action = 'jobs.retry'"
        " order by id desc limit 2"
    )[::-1]
    assert audit == {"actor_role": "service_role", "reason": "fixed", "after": {"ids": [dead]}}


def test_jobs_are_dropped_by_id_and_the_dead_by_kind(operator: Actor, worker: Actor) -> None:
    [dead] = put(operator)
    fail(worker, lease(worker)[0], permanent=True)
    [held] = put(operator)
    [mine] = lease(worker)
    with pytest.raises(Refused, match="invalid_value"):
        worker.call("drop_jobs")
    assert worker.call("drop_jobs", p_kind=KIND, p_reason="obsolete")["dropped"] == 1
    assert row(operator, dead) is None
    assert worker.call("drop_jobs", p_job_ids=[held])["dropped"] == 1
    assert not finish(worker, mine)
    assert worker.call("drop_jobs", p_job_ids=[held]) == {"dropped": 0, "changed": False}
    before = operator.one(
        "select before from public.audit_log where action = 'jobs.drop' and reason = 'obsolete'"
    )
    assert [(entry["id"], entry["last_error"]) for entry in before] == [(dead, "no luck")]


def test_taking_the_next_jobs_reads_no_more_than_it_takes(
    operator: Actor, worker: Actor, alone: Scratch
) -> None:
    """With 20,000 waiting for another time and as many dead, the index leads to the due ones."""
    operator.run(
        "insert into private.jobs (kind, priority, run_at, died_at) select 'bulk', -1,"
        " now() + interval '1 day', case when n % 2 = 0 then now() end"
        " from generate_series(1, 40000) n"
    )
    put(operator, 10)
    with psycopg.connect(alone.url, autocommit=True) as other:
        other.execute("vacuum analyze private.jobs")
    plan = operator.one(
        "explain (analyze, buffers, format json) select * from private.jobs x"
        " where x.died_at is null and x.run_at <= now()"
        " order by x.priority desc, x.run_at, x.id limit 10 for update skip locked"
    )[0]["Plan"]
    assert "jobs_due_idx" in str(plan)
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 60
