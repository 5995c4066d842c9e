"""Function `analytics`: how far a learner is, and how fast, on one page; for staff, who learns.

What is counted, and for whom, is decided in the database: every route is one RPC, but that a list
as CSV asks for it page by page.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from shared import spreadsheet
from shared.http import Call, target
from shared.models import DashboardPage, LearnersPage
from shared.routing import Answer, Function, Route

CSV_PAGE = 1000
COLUMNS = (
    "user_id", "name", "cohort", "status", "percent", "completed_lessons", "total_lessons", "score",
    "view_time_seconds", "cycle", "enrolled_at", "last_accessed_at", "completed_at", "expires_at",
    "needs_help",
)  # fmt: skip
_VARY = {"Vary": "Accept"}


async def learners(call: Call) -> Answer:
    """The learners of a course: a page as JSON, or all of them as CSV."""
    if call.accepts("application/json", "text/csv") != "text/csv":
        return Answer(await call.rpc(), headers=_VARY)

    async def following(cursor: str) -> spreadsheet.Page:
        return _page(await call.rpc(p_cursor=cursor, p_limit=CSV_PAGE))

    def failed(code: str) -> None:
        call.error = code

    first = _page(await call.rpc(p_limit=CSV_PAGE))
    name = f"learners-{call.ids['p_course_id']}.csv"
    return Answer(
        spreadsheet.lines([COLUMNS]),
        type=spreadsheet.CSV,
        headers={"Content-Disposition": f'attachment; filename="{name}"', **_VARY},
        stream=spreadsheet.pages(first, following, _lines, failed),
    )


def _page(raw: bytes) -> spreadsheet.Page:
    page: dict[str, Any] = from_json(raw)
    return page


def _lines(page: spreadsheet.Page) -> bytes:
    return spreadsheet.lines([row[name] for name in COLUMNS] for row in page["learners"])


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
    Route(
        "GET",
        "courses/{course}/learners",
        "get_course_learners",
        "The learners of a course",
        body=LearnersPage,
        handler=learners,
        also=("text/csv",),
    ),
    Route(
        "GET",
        "courses/{course}/learners/{user}",
        "get_course_learner",
        "One learner of a course, with lessons and attempts",
    ),
)

FUNCTION = Function("analytics", ROUTES)
analytics = target("analytics", FUNCTION)
