"""Reports on large courses are computed slice by slice, and kept in the database as snapshots."""

from __future__ import annotations

import time
from typing import Any

from shared.worker.kinds import Facts, Kind

# A job's turn, well within its lease; what is left then comes back as a new job.
SECONDS = 8.0


class Reports(Kind):
    """Computes one snapshot per job, until it is done or others have waited long enough."""

    noun = "report"
    done = "advanced"

    def subject(self, facts: Facts) -> dict[str, Any]:
        return {"report": facts["report_id"]}

    async def do(self, facts: Facts) -> dict[str, Any]:
        until = time.monotonic() + SECONDS
        lessons, done = 0, False
        while not done and time.monotonic() < until:
            answer = await self.service.rpc("compute_report", {"p_report_id": facts["report_id"]})
            lessons += answer["lessons"]
            done = answer["done"]
        return {"lessons": lessons, "done": done}
