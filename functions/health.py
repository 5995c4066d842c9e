"""Function `health`: whether this process lives and can serve; a part of every deployment.

For load balancers and monitors. Neither answer names a version, an address or a reason: those are
in the log.
"""

from __future__ import annotations

from shared.http import Call, everywhere, target
from shared.routing import Answer, Function, Route

_OK = b'{"status":"ok"}'


async def live(call: Call) -> Answer:
    """The process answers. A database that is away is no reason to restart it: not looked at."""
    return Answer(_OK)


async def ready(call: Call) -> Answer:
    """The database answers, through PostgREST. Raises Problem database_unavailable."""
    await call.database.ping()
    return Answer(_OK)


ROUTES = (
    Route(
        "GET",
        "",
        None,
        "Whether the process lives",
        body=None,
        who="anyone",
        handler=live,
        answer="machines.Health",
    ),
    Route(
        "GET",
        "ready",
        None,
        "Whether the database can be reached",
        body=None,
        who="anyone",
        handler=ready,
        answer="machines.Health",
    ),
)

FUNCTION = Function("health", ROUTES)
health = target("health", FUNCTION)
everywhere(FUNCTION)
