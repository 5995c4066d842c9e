"""Function `analytics`: how far a learner is, and how fast, on one page.

Every route is one RPC; what is counted, and for whom, is decided in the database.
"""

from __future__ import annotations

from shared.http import target
from shared.models import DashboardPage, EventsPage
from shared.routing import Function, Route

ROUTES = (
    # Visitors pass the door: the database asks them to sign in, in words for an interface to show.
    Route(
        "GET",
        "me",
        "get_my_dashboard",
        "The caller's dashboard",
        body=DashboardPage,
        who="anyone",
    ),
    Route("GET", "events", "get_events", "Everybody's history, for servers", body=EventsPage),
)

FUNCTION = Function("analytics", ROUTES)
analytics = target("analytics", FUNCTION)
