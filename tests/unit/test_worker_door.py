"""The worker's door before a stand-in database: not configured, wrong secret, database away."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from shared import pool
from shared.admin import Service
from shared.settings import Worker as Config
from shared.worker import queue
from shared.worker.kinds import Facts, Kind
from tests.support.shape import assert_refusal
from tests.support.upstream import Reply, Upstream
from tests.unit.conftest import Serve

SECRET = "the-worker-secret-of-forty-characters-oh"
WORKER = {
    "WAYMARK_WORKER_SECRET": SECRET,
    "WAYMARK_FUNCTIONS_URL": "https://fn.example",
    "SUPABASE_SECRET_KEY": "sb_secret_x",
}


@pytest.fixture(autouse=True)
def _fresh() -> None:
    queue.worker.cache_clear()


def work(client: httpx.Client, secret: str | None = SECRET) -> httpx.Response:
    headers = {} if secret is None else {"X-Worker-Secret": secret}
    return client.post("/certificates/work", headers=headers)


def test_without_a_secret_of_its_own_the_door_is_closed(
    functions: httpx.Client, database: Upstream
) -> None:
    for secret in (None, "", SECRET):
        assert_refusal(work(functions, secret), 503, "worker_not_configured")
    assert database.seen == []


def test_a_wrong_secret_reaches_nothing(serve: Serve, database: Upstream) -> None:
    client = serve(**WORKER)
    for secret in (None, "", SECRET[:-1], SECRET + "x", SECRET.upper()):
        refused = work(client, secret)
        assert_refusal(refused, 401, "invalid_worker_secret")
        assert refused.headers["www-authenticate"] == "X-Worker-Secret"
    assert database.seen == []


def test_the_right_one_takes_jobs_with_the_service_key_and_no_more(
    serve: Serve, database: Upstream
) -> None:
    client = serve(**WORKER)
    nothing = {"jobs": [], "settled": 0, "remaining": 0}
    database.script(Reply(200, nothing), Reply(200, {"busy": False}))
    answer = work(client)
    assert answer.json() == {"leased": 0, "done": 0, "failed": 0, "dead": 0, "remaining": 0}
    lease, upkeep = database.seen
    assert [seen.path for seen in database.seen] == [
        "/rest/v1/rpc/lease_jobs",
        "/rest/v1/rpc/run_maintenance",
    ]
    assert lease.headers["apikey"] == "sb_secret_x"
    assert "authorization" not in lease.headers
    assert "x-worker-secret" not in lease.headers | upkeep.headers
    # The upkeep has its own rhythm.
    database.script(Reply(200, nothing))
    assert work(client).status_code == 200
    assert len(database.seen) == 1


def test_while_the_database_is_away_the_caller_is_told_to_come_again(
    serve: Serve, database: Upstream
) -> None:
    client = serve(**WORKER)
    database.usual = Reply(503, {"message": "away"})
    assert_refusal(work(client), 503, "database_unavailable")
    database.usual = Reply(drop=True)
    assert_refusal(work(client), 503, "database_unavailable")


def test_a_report_that_is_lost_is_made_again(serve: Serve, database: Upstream) -> None:
    client = serve(**WORKER)
    job = {"id": 1, "lease": "x", "kind": "mail", "attempts": 1, "payload": {}}
    facts = {"kind": "no such mail", "notification_id": "n", "data": {}, "certificate": None,
             "name": "", "course_title": "", "email": "a@example.org",
             "unsubscribe_token": "t"}  # fmt: skip
    database.script(
        Reply(200, {"jobs": [{**job, "facts": facts}], "settled": 0, "remaining": 0}),
        Reply(503, {"message": "away"}),
        Reply(drop=True),
        Reply(200, {"finished": True}),
        Reply(200, {"jobs": [], "settled": 0, "remaining": 0}),
        Reply(200, {"busy": False}),
    )
    assert work(client).json()["done"] == 1
    assert [seen.path.rpartition("/")[2] for seen in database.seen] == [
        "lease_jobs", "finish_job", "finish_job", "finish_job", "lease_jobs", "run_maintenance",
    ]  # fmt: skip


class Slow(Kind):
    """Takes its time, or stumbles."""

    async def do(self, facts: Facts) -> dict[str, Any]:
        if facts.get("stumbles"):
            raise RuntimeError("x" * 5000)
        await asyncio.sleep(facts["seconds"])
        return {}


def test_nothing_is_done_on_a_lease_that_is_over(
    database: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes too long is given up before the lease ends, and what comes after it in the batch;
    other kinds go on beside it."""
    monkeypatch.setattr(queue, "KINDS", {"slow": Slow, "quick": Slow})

    def job(number: int, kind: str, **facts: Any) -> dict[str, Any]:
        return {"id": number, "lease": "x", "kind": kind, "attempts": 1, "payload": {},
                "facts": facts}  # fmt: skip

    jobs = [
        job(1, "slow", seconds=30),
        job(2, "slow", seconds=0.5),
        job(3, "quick", seconds=0),
        job(4, "quick", stumbles=True),
    ]
    database.script(Reply(200, {"jobs": jobs, "settled": 0, "remaining": 0}))
    nothing = {"jobs": [], "settled": 0, "remaining": 0}
    database.usual = Reply(200, {"finished": True, "failed": True, "dead": False, **nothing})

    async def drain() -> queue.Report:
        worker = queue.Worker(Config("https://fn.example", None, None, SECRET),
                              Service(database.url, "sb_secret_x"))  # fmt: skip
        try:
            return await worker.drain(lease_seconds=1)
        finally:
            await pool.close()

    report = asyncio.run(drain())
    assert (report.leased, report.done, report.failed, report.dead) == (4, 1, 3, 0)
    failed = {
        seen.json["p_job_id"]: (seen.json["p_error"], seen.json["p_permanent"])
        for seen in database.seen
        if seen.path.endswith("fail_job")
    }
    late = ("not done before the lease ended", False)
    assert (failed[1], failed[2]) == (late, late)
    assert failed[4] == (f"RuntimeError: {'x' * 5000}"[:1000], False)
