"""Rows as they are inserted: a stream of logical replication, read with libpq's own functions.

psycopg has no interface for PostgreSQL's replication protocol, but libpq does, and `psycopg.pq`
wraps it. The slot is temporary: it goes with the connection, and nothing piles up for nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import time
from collections.abc import AsyncIterator

from psycopg import OperationalError, pq
from psycopg.conninfo import make_conninfo

Row = dict[str, str | None]

# PostgreSQL counts microseconds from the year 2000.
_EPOCH = 946_684_800
_FEEDBACK_SECONDS = 10.0


@contextlib.asynccontextmanager
async def inserted(url: str, publication: str) -> AsyncIterator[AsyncIterator[Row]]:
    """Stream the rows that are inserted into a publication's tables, each when it is committed.

    The first row is one of the time after entry. Raises OperationalError when the connection ends.
    """
    connection = await asyncio.to_thread(_start, url, publication)
    try:
        yield _rows(connection)
    finally:
        connection.finish()


def _start(url: str, publication: str) -> pq.abc.PGconn:
    address = make_conninfo(url, replication="database", connect_timeout=5)
    connection = pq.PGconn.connect(address.encode())
    slot = f"waymark_{os.getpid()}_{time.monotonic_ns()}"
    # The words of these commands must be in capitals.
    for command, wanted in (
        (f"CREATE_REPLICATION_SLOT {slot} TEMPORARY LOGICAL pgoutput", pq.ExecStatus.TUPLES_OK),
        (
            f"START_REPLICATION SLOT {slot} LOGICAL 0/0"
            f" (proto_version '1', publication_names '{publication}')",
            pq.ExecStatus.COPY_BOTH,
        ),
    ):
        result = connection.exec_(command.encode())
        if result.status != wanted:
            problem = connection.error_message.decode(errors="replace")
            connection.finish()
            raise OperationalError(f"no logical replication: {problem}")
    connection.nonblocking = 1
    return connection


async def _rows(connection: pq.abc.PGconn) -> AsyncIterator[Row]:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    # libpq closes it when the server goes, and the loop must forget it all the same: its number is
    # the next connection's.
    socket = connection.socket
    loop.add_reader(socket, readable.set)
    columns: dict[int, list[str]] = {}
    position = 0
    told = loop.time()
    try:
        while True:
            length, message = connection.get_copy_data(1)
            if length < 0:
                raise OperationalError("the stream of replication has ended")
            if length:
                data = bytes(message)
                position = max(position, int.from_bytes(data[1:9], "big"))
                if data[:1] == b"w":
                    row = _decode(data[25:], columns)
                    if row is not None:
                        yield row
                # "k" is a sign of life; its last byte asks for one in return.
                elif data[-1]:
                    told = 0
                continue
            if loop.time() - told > _FEEDBACK_SECONDS:
                _tell(connection, position)
                told = loop.time()
            readable.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(readable.wait(), _FEEDBACK_SECONDS)
            connection.consume_input()
    finally:
        loop.remove_reader(socket)


def _tell(connection: pq.abc.PGconn, position: int) -> None:
    """Say how far the stream was read, or the server ends it after a minute."""
    now = int((time.time() - _EPOCH) * 1_000_000)
    connection.put_copy_data(b"r" + struct.pack(">QQQQB", position, position, position, now, 0))
    connection.flush()


def _decode(message: bytes, columns: dict[int, list[str]]) -> Row | None:
    """Read one message of pgoutput: the row of an insert, else None; names of columns are kept."""
    kind, reader = message[:1], _Reader(message[1:])
    if kind == b"R":
        relation = reader.number(4)
        reader.text()
        reader.text()
        reader.number(1)
        names = []
        for _ in range(reader.number(2)):
            reader.number(1)
            names.append(reader.text())
            reader.number(8)
        columns[relation] = names
    elif kind == b"I":
        names = columns[reader.number(4)]
        # "N" for the new row, and the number of its columns.
        reader.number(3)
        return {name: reader.value() for name in names}
    return None


class _Reader:
    """Takes the fields of a message one by one."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, size: int) -> int:
        self._at += size
        return int.from_bytes(self._data[self._at - size : self._at], "big")

    def text(self) -> str:
        end = self._data.index(b"\0", self._at)
        text = self._data[self._at : end].decode()
        self._at = end + 1
        return text

    def value(self) -> str | None:
        if self.number(1) != ord("t"):
            return None
        size = self.number(4)
        self._at += size
        return self._data[self._at - size : self._at].decode()
