"""Large courses are settled after an edit: counters are counted again, slice by slice."""

from __future__ import annotations

import time
from typing import Any

from shared.worker.kinds import Facts, Kind

# A job's turn, well within its lease; what is left then comes back as a new job.
SECONDS = 8.0


class Settlings(Kind):
    """Settles one course per job, until it is done or others have waited long enough."""

    noun = "settling"
    done = "advanced"

    def subject(self, facts: Facts) -> dict[str, Any]:
        return {"course": facts["course_id"]}

    async def do(self, facts: Facts) -> dict[str, Any]:
        until = time.monotonic() + SECONDS
        cursor, settled, settling = None, 0, True
        while settling and time.monotonic() < until:
            arguments = {"p_course_id": facts["course_id"], "p_cursor": cursor}
            answer = await self.service.rpc("settle_course", arguments)
            cursor, settling = answer["cursor"], answer["settling"]
            settled += answer["settled"]
        return {"settled": settled, "settling": settling}
