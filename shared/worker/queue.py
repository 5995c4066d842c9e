"""The worker's round: lease a few jobs, do each by its kind, report each by itself, until enough.

It may be killed anywhere. What was not reported is handed out again once its lease is over, so each
kind of job can be done twice: a PDF has the same bytes and path, a mail the same Message-ID.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from shared import admin, logs
from shared.errors import Problem
from shared.settings import SettingsError, environment, settings
from shared.settings import Worker as Config
from shared.worker.kinds import Failure, Kind
from shared.worker.mail import Mails
from shared.worker.removal import Removals
from shared.worker.render import Certificates
from shared.worker.settling import Settlings
from shared.worker.webhooks import Webhooks

# One lease lasts for all its jobs: few enough that slow ones are done before it ends.
BATCH = 8
LEASE_SECONDS = 120
# One call: shorter than any host's limit, long enough to be worth a start.
JOBS = 200
SECONDS = 25.0
UPKEEP_SECONDS = 30.0
TRIES = 3

KINDS: Mapping[str, type[Kind]] = {
    "certificate.render": Certificates,
    "course.settle": Settlings,
    "mail": Mails,
    "storage.remove": Removals,
    "webhook.deliver": Webhooks,
}


@dataclass
class Report:
    """What came of a call. `remaining` counts what was due at the last look, up to 1000."""

    leased: int = 0
    done: int = 0
    failed: int = 0
    dead: int = 0
    remaining: int = 0


class Worker:
    """Works for one project."""

    def __init__(self, config: Config, service: admin.Service) -> None:
        self._config = config
        self._service = service
        self._kept_up = -UPKEEP_SECONDS

    async def work(self) -> Report:
        """What waits, as far as one call may go, and the upkeep when it is time.

        Raises Problem database_unavailable.
        """
        try:
            report = await self.drain()
        except admin.Away as error:
            logs.write("ERROR", f"the queue cannot be asked: {error}")
            raise Problem("database_unavailable") from None
        if time.monotonic() - self._kept_up >= UPKEEP_SECONDS:
            self._kept_up = time.monotonic()
            try:
                answer = await self._service.rpc("run_maintenance", {})
            except admin.Refused as error:
                logs.write("ERROR", f"maintenance failed: {type(error).__name__}")
            else:
                drift = answer.get("drift")
                drifted = isinstance(drift, dict) and drift["drifted"] > 0
                severity = "ERROR" if drifted else "INFO"
                logs.write(severity, "maintenance", {"maintenance": answer})
        return report

    async def drain(
        self, jobs: int = JOBS, seconds: float = SECONDS, lease_seconds: int = LEASE_SECONDS
    ) -> Report:
        """Do jobs until none is due, or so many are done, or so much time has passed.

        Raises admin.Refused when the queue cannot be asked.
        """
        report = Report()
        until = time.monotonic() + seconds
        while report.leased < jobs and time.monotonic() < until:
            # Before the call: the lease begins on its way.
            deadline = asyncio.get_running_loop().time() + 0.9 * lease_seconds
            answer = await self._service.rpc(
                "lease_jobs",
                {"p_limit": min(BATCH, jobs - report.leased), "p_seconds": lease_seconds},
            )
            leased: list[dict[str, Any]] = answer["jobs"]
            report.leased += len(leased)
            report.remaining = answer["remaining"]
            if not leased and not answer["settled"]:
                break
            await self._run(leased, deadline, report)
        return report

    async def _run(self, jobs: list[dict[str, Any]], deadline: float, report: Report) -> None:
        """Kinds side by side, so that a slow mail server keeps no certificate waiting."""
        kinds = dict.fromkeys(job["kind"] for job in jobs)
        async with asyncio.TaskGroup() as group:
            for kind in kinds:
                group.create_task(
                    self._lane(kind, [job for job in jobs if job["kind"] == kind], deadline, report)
                )

    async def _lane(
        self, kind: str, jobs: list[dict[str, Any]], deadline: float, report: Report
    ) -> None:
        hands = KINDS.get(kind, Kind)(self._config, self._service)
        try:
            for job in jobs:
                await self._do(hands, job, deadline, report)
        finally:
            await hands.close()

    async def _do(self, hands: Kind, job: dict[str, Any], deadline: float, report: Report) -> None:
        facts = {"job": job["id"], "attempt": job["attempts"], **hands.subject(job["facts"])}
        _log("INFO", f"{hands.noun}_triggered", facts)
        try:
            # Nothing is done on a lease that has ended: others may be at it by then.
            async with asyncio.timeout_at(deadline):
                result = await hands.do(job["facts"])
        except TimeoutError:
            late = Failure("not done before the lease ended")
            await self._fail(hands, job, late, facts, report)
            return
        except Exception as error:
            await self._fail(hands, job, error, facts, report)
            return
        if await self._report("finish_job", job, {"p_result": result}, "finished"):
            report.done += 1
            _log("INFO", f"{hands.noun}_{hands.done}", {**facts, **result})
        else:
            _log("WARNING", f"{hands.noun}_lost", facts)

    async def _fail(
        self,
        hands: Kind,
        job: dict[str, Any],
        error: Exception,
        facts: dict[str, Any],
        report: Report,
    ) -> None:
        reason = str(error) if isinstance(error, (Failure, admin.Refused)) else _reason(error)
        tries = error.tries if isinstance(error, Failure) else None
        permanent = tries is not None and job["attempts"] >= tries
        answer = await self._report(
            "fail_job", job, {"p_error": reason, "p_permanent": permanent}, "failed"
        )
        report.failed += 1
        dead = bool(answer and answer["dead"])
        report.dead += dead
        # The reason may quote what people wrote: it stands in the queue, not in the log.
        facts = {**facts, "error": type(error).__name__, "dead": dead}
        _log("ERROR" if dead else "WARNING", f"{hands.noun}_failed", facts)

    async def _report(
        self, function: str, job: dict[str, Any], what: dict[str, Any], word: str
    ) -> dict[str, Any] | None:
        """The database's answer, or None when the lease was lost.

        Tried again for a while: a mail that was sent and cannot be reported is sent again.
        """
        arguments = {"p_job_id": job["id"], "p_lease": job["lease"], **what}
        for attempt in range(1, TRIES + 1):
            try:
                answer = await self._service.rpc(function, arguments)
            except admin.Away:
                if attempt < TRIES:
                    await asyncio.sleep(0.5 * attempt)
                    continue
            except admin.Refused as error:
                logs.write("ERROR", f"{function} was refused: {error}")
            else:
                return answer if answer[word] else None
            return None
        return None


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:1000]


def _log(severity: str, name: str, facts: Mapping[str, Any]) -> None:
    logs.write(severity, name, {name: facts})


@cache
def worker() -> Worker:
    """This process's worker. Raises SettingsError, naming the variable that is wrong."""
    config = settings().worker
    if config is None:
        raise SettingsError("WAYMARK_WORKER_SECRET is not set")
    try:
        return Worker(config, admin.service(environment()))
    except admin.NoProject as error:
        raise SettingsError(str(error)) from None
