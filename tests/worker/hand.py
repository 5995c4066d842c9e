"""A worker's process for the tests: the real worker without the functions around it, to be killed.

`python -m tests.worker.hand LEASE_SECONDS` works until it is ended.
"""

from __future__ import annotations

import asyncio
import sys

from shared.admin import Refused
from shared.worker.queue import worker


async def work(lease_seconds: int) -> None:
    """Drain the queue over and over."""
    hand = worker()
    while True:
        try:
            report = await hand.drain(lease_seconds=lease_seconds)
        except Refused as problem:
            print(f"hand: {problem}", flush=True)
            report = None
        if report is None or not report.leased:
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(work(int(sys.argv[1])))
