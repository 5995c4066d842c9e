"""A certificate's PDF: rendered from the facts that were frozen when it was issued, and stored.

The same facts give the same bytes at the same place, so doing it twice changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from shared.worker.kinds import Facts, Kind

BUCKET = "certificates"


class Certificates(Kind):
    """Renders and stores certificates."""

    noun = "certificate"
    done = "rendered"

    def subject(self, facts: Facts) -> dict[str, Any]:
        return {"certificate": facts["certificate_id"]}

    async def do(self, facts: Facts) -> dict[str, Any]:
        # Here: the first rendering loads fonts, which nobody else has to wait for.
        from shared.rendering import render

        # In a thread: the renderer is busy for tens of milliseconds, and holds up nobody's call.
        pdf = await asyncio.to_thread(render, facts, facts["template"], facts["paper"])
        await self.service.upload(BUCKET, facts["path"], pdf, "application/pdf")
        return {"sha256": hashlib.sha256(pdf).hexdigest(), "bytes": len(pdf)}
