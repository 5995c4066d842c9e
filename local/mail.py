"""A mail server that keeps what it is given: one .eml file per mail, in the stack's folder.

It runs as a process of its own: `python -m local.mail <stack>`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from local.ports import HOST
from local.stack import Stack


class Keeper:
    """Takes every mail, and writes it down whole before it says yes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(exist_ok=True)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep one mail; its recipients stand in a header of ours, as the envelope had them."""
        content = envelope.content
        assert isinstance(content, bytes)
        recipients = ", ".join(envelope.rcpt_tos).encode()
        path = self._folder / f"{time.time_ns()}.eml"
        fresh = path.with_suffix(".part")
        fresh.write_bytes(b"X-Envelope-To: " + recipients + b"\r\n" + content)
        fresh.rename(path)
        return "250 OK"


async def serve(stack: Stack) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    keeper = Keeper(stack.mail_folder)
    server = await loop.create_server(
        lambda: SMTP(keeper, enable_SMTPUTF8=True, loop=loop), HOST, stack.ports["mail"]
    )
    async with server:
        await stop.wait()


def main() -> None:
    """Keep the mails of the stack named by the first argument."""
    stack = Stack(sys.argv[1])
    stack.load()
    asyncio.run(serve(stack))


if __name__ == "__main__":
    main()
