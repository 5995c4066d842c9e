"""What the kinds of jobs have in common, and what becomes of one that nobody here knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.admin import Service
from shared.settings import Worker as Config

Facts = Mapping[str, Any]


class Failure(Exception):
    """An attempt that failed; its text is the reason that an operator reads.

    After `tries` attempts a person must look: 1 where no retry can mend it; None leaves it to the
    queue, which is patient enough for a day's outage.
    """

    def __init__(self, reason: str, *, tries: int | None = None) -> None:
        self.tries = tries
        super().__init__(reason)


class Kind:
    """Does the jobs of one kind, one after another; made anew for each batch.

    This one knows no kind: its jobs wait for a worker that does, since a newer database may be
    ahead of us.
    """

    noun = "job"
    done = "done"

    def __init__(self, config: Config, service: Service) -> None:
        self.config = config
        self.service = service

    def subject(self, facts: Facts) -> dict[str, Any]:
        """What a log line says of a job: ids, no more."""
        return {}

    async def do(self, facts: Facts) -> dict[str, Any]:
        """Do one job and return what the database should know. Raises Failure, or anything."""
        raise Failure("this worker does not know such jobs")

    async def close(self) -> None:
        """The batch is over."""
