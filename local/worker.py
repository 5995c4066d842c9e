"""What wakes the job worker here: LISTEN on the database, and a sweep now and then.

On hosted Supabase pg_net and pg_cron do the same. The work itself is done in the functions, behind
`POST certificates/work`. It runs as a process of its own: `python -m local.worker <stack>`.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime

import aiohttp
import psycopg

from local.stack import Stack

SWEEP_SECONDS = 15.0
PAUSE_SECONDS = 1.0


async def wake(stack: Stack) -> None:
    """Call the worker whenever a job comes in, and every few seconds; for ever."""
    while True:
        try:
            await _listen(stack)
        except (psycopg.Error, aiohttp.ClientError, TimeoutError) as problem:
            _say(f"{type(problem).__name__}: {problem}")
        await asyncio.sleep(PAUSE_SECONDS)


async def _listen(stack: Stack) -> None:
    # The role that PostgREST listens with too: it may log in, and nothing else by itself.
    url = stack.database_url("authenticator")
    async with (
        await psycopg.AsyncConnection.connect(
            url, autocommit=True, application_name="waymark worker"
        ) as connection,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session,
    ):
        await connection.execute("listen waymark_jobs")
        while True:
            while await _work(session, stack):
                pass
            async for _ in connection.notifies(timeout=SWEEP_SECONDS, stop_after=1):
                pass


async def _work(session: aiohttp.ClientSession, stack: Stack) -> bool:
    """Have some work done; whether there was any, and there is more."""
    headers = {"X-Worker-Secret": stack.secrets.worker}
    async with session.post(
        f"{stack.url('functions')}/certificates/work", headers=headers
    ) as answer:
        if answer.status != 200:
            _say(f"the worker answered {answer.status}: {await answer.text()}")
            return False
        report = await answer.json()
        if report["leased"]:
            _say(" ".join(f"{name} {count}" for name, count in report.items()))
        return bool(report["leased"] and report["remaining"])


def _say(text: str) -> None:
    print(datetime.now(UTC).isoformat(timespec="milliseconds"), text, flush=True)


def main() -> None:
    """Wake the worker of the stack named by the first argument."""
    stack = Stack(sys.argv[1])
    stack.load()
    asyncio.run(wake(stack))


if __name__ == "__main__":
    main()
