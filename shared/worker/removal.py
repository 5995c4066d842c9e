"""Files of people who are gone are taken out of Storage."""

from __future__ import annotations

from typing import Any

from shared.worker.kinds import Facts, Kind
from shared.worker.render import BUCKET


class Removals(Kind):
    """Removes one file per job; one that is not there any more is as good."""

    noun = "file"
    done = "removed"

    async def do(self, facts: Facts) -> dict[str, Any]:
        await self.service.remove(BUCKET, facts["path"])
        return {}
