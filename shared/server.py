"""The server's own limits: how much may come before a body, and how long a connection may idle.

functions-framework runs gunicorn with uvicorn's worker and passes no setting on. Uvicorn takes
headers without end, and gunicorn ends a connection that has been idle for 2 s, which a front end
may be about to use again: its call is lost. So the worker is told here; main.py does that before
any worker starts.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn_worker import UvicornWorker

MAX_HEAD = 64 * 1024
# Longer than front ends keep theirs (mostly up to a minute), so that it is they who end one.
IDLE_SECONDS = 75
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)


class Protocol(HttpToolsProtocol):
    """Uvicorn's HTTP, with an end to what it reads of a request's head."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head = 0
        self._in_head = False

    def on_message_begin(self) -> None:
        """A request begins."""
        self._head, self._in_head = 0, True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is whole; bodies are counted in shared/http.py."""
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Take what came, and hang up on a head that does not end."""
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > MAX_HEAD and not self.transport.is_closing():
                self.transport.write(_TOO_LARGE)
                self.transport.close()


def limit() -> None:
    """Have every worker of this process speak `Protocol`, and keep idle connections."""
    ours = {"http": Protocol, "timeout_keep_alive": IDLE_SECONDS}
    UvicornWorker.CONFIG_KWARGS = {**UvicornWorker.CONFIG_KWARGS, **ours}
