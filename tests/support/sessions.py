"""Database sessions that tests hand on to one another, as PostgREST's pool does.

Tests are many and short, and a new session compiles and plans our functions anew: half of the
processor time of a test.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, LiteralString, Protocol

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row


class Database(Protocol):
    """What can be connected to: a stack, or a scratch database."""

    def connect(self, **options: Any) -> psycopg.Connection[Any]: ...


MOST_IDLE = 12
# All that makes a session somebody's.
FORGET: LiteralString = (
    "reset role; reset all; select pg_advisory_unlock_all(); discard temporary;"
    # Statistics of this test come now, and not into the counts of another one.
    " select pg_stat_force_next_flush()"
)
_idle: defaultdict[Database, list[psycopg.Connection[Any]]] = defaultdict(list)


def take(database: Database, row_factory: Any = tuple_row) -> psycopg.Connection[Any]:
    """Return an idle session that still answers, or a new one: autocommit, role postgres."""
    while _idle[database]:
        connection = _idle[database].pop()
        with suppress(psycopg.Error):
            connection.execute("select")
            connection.row_factory = row_factory
            return connection
    return database.connect(autocommit=True, row_factory=row_factory)


def hand_on(database: Database, connection: psycopg.Connection[Any]) -> None:
    """Keep the session for the next test, unless it is in the middle of something."""
    if connection.info.transaction_status == TransactionStatus.IDLE:
        with suppress(psycopg.Error):
            connection.execute(FORGET)
    else:
        connection.close()
    idle = _idle[database]
    if connection.closed or connection in idle or len(idle) >= MOST_IDLE:
        connection.close()
    else:
        idle.append(connection)


@contextmanager
def undone(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """A session in a transaction that is rolled back in the end."""
    connection = take(database)
    with connection.transaction(force_rollback=True):
        yield connection
    hand_on(database, connection)


def end() -> None:
    """Hang up, after the last test."""
    for idle in _idle.values():
        while idle:
            idle.pop().close()
