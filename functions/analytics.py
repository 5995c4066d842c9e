"""Function `analytics`: how far a learner is, and how fast, on one page.

Every route is one RPC; what is counted, and for whom, is decided in the database.
"""

from __future__ import annotations

from shared.http import target
from shared.models import Page
from shared.routing import Function, Route

ROUTES = (
    Route(
        "GET",
        "me",
        "get_my_dashboard",
        "The caller's dashboard",
        query=Page,
        sign_in="Sign in to track your progress",
    ),
)

FUNCTION = Function("analytics", ROUTES)
analytics = target("analytics", FUNCTION)
