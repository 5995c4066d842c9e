"""Free loopback ports for the parts of a stack."""

from __future__ import annotations

import contextlib
import random
import socket
from pathlib import Path

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Say whether a server could listen on the port now."""
    with contextlib.closing(socket.socket()) as probe:
        # As servers do: connections of an earlier run that linger do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
        return True


class Reservations:
    """Ports held for parts that start soon, so that a stack starting beside us takes others."""

    def __init__(self) -> None:
        self._held: dict[int, socket.socket] = {}

    def take(self) -> int:
        """Return a free port below the range from which the system serves outgoing connections.

        From within that range a client that retries a dead server can, by chance, be given the
        server's own port as its source, and then the server cannot come back.
        """
        first_outgoing = _first_outgoing_port()
        for _ in range(1000):
            port = random.randrange(max(10_000, first_outgoing - 16_000), first_outgoing)
            holder = socket.socket()
            try:
                holder.bind((HOST, port))
            except OSError:
                holder.close()
                continue
            self._held[port] = holder
            return port
        raise OSError("no free port found on 127.0.0.1")

    def release(self, port: int) -> None:
        """Let the port go to the part that is about to listen on it."""
        holder = self._held.pop(port, None)
        if holder is not None:
            holder.close()

    def release_all(self) -> None:
        """Let all ports go."""
        for port in list(self._held):
            self.release(port)


def _first_outgoing_port() -> int:
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
        return max(12_000, int(text.split()[0]))
    except (OSError, ValueError, IndexError):
        return 32_768
