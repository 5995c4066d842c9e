"""The job worker: takes jobs out of the queue, does what the database cannot, and reports back.

Here is its door alone, which every function may import; what lies behind it brings the service key
along, and is loaded where a worker is configured.
"""

from __future__ import annotations

import hmac
from dataclasses import asdict
from typing import TYPE_CHECKING

from pydantic_core import to_json

from shared.errors import Problem
from shared.routing import Answer, Route

if TYPE_CHECKING:
    from shared.http import Call


async def work(call: Call) -> Answer:
    """Do a bounded batch of what is waiting; {leased, done, failed, dead, remaining}."""
    config = call.config.worker
    if config is None:
        raise Problem("worker_not_configured")
    given = call.request.headers.get("x-worker-secret", "")
    if not hmac.compare_digest(given.encode(), config.secret.encode()):
        raise Problem("invalid_worker_secret")
    from shared.worker.queue import worker

    return Answer(to_json(asdict(await worker().work())))


WORK = Route(
    "POST",
    "work",
    None,
    "Do waiting jobs",
    body=None,
    who="machine",
    handler=work,
    answer="machines.Worked",
)
