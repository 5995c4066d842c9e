"""A certificate's PDF: rendered from the facts that were frozen when it was issued, and stored.

The same facts give the same bytes at the same place, so doing it twice changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from shared.rendering import CertificateFacts, RenderError, render
from shared.worker.kinds import Facts, Failure, Kind

BUCKET = "certificates"
# A broken template stays broken; but a renderer that was killed deserves another try.
TRIES = 3


class Certificates(Kind):
    """Renders and stores certificates."""

    noun = "certificate"
    done = "rendered"

    def subject(self, facts: Facts) -> dict[str, Any]:
        return {"certificate": facts["certificate_id"]}

    async def do(self, facts: Facts) -> dict[str, Any]:
        told = self._told(facts)
        try:
            # In a thread: it waits for the renderer's process, and nobody else shall.
            pdf = await asyncio.to_thread(render, told, facts["template"], facts["paper"])
        except RenderError as error:
            raise Failure(str(error), tries=TRIES) from None
        await self.service.upload(BUCKET, facts["path"], pdf, "application/pdf")
        return {"sha256": hashlib.sha256(pdf).hexdigest(), "bytes": len(pdf)}

    def _told(self, facts: Facts) -> CertificateFacts:
        return CertificateFacts(
            learner_name=facts["learner_name"],
            course_title=facts["course_title"],
            author=facts["author"],
            issuer_name=self.config.issuer_name,
            completed_on=date.fromisoformat(facts["completed_on"]),
            issued_on=date.fromisoformat(facts["issued_on"]),
            expires_on=_or_none(date.fromisoformat, facts["expires_on"]),
            hours=_or_none(_decimal, facts["hours"]),
            score=_or_none(_decimal, facts["score"]),
            code=facts["code"],
            verify_url=f"{self.config.functions_url}/certificates/verify/{quote(facts['code'])}",
        )


def _decimal(number: float) -> Decimal:
    return Decimal(str(number))


def _or_none(read: Any, value: Any) -> Any:
    return None if value is None else read(value)
