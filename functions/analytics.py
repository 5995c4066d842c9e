"""Function `analytics`: how far a learner is, on one page; how a course is doing, for its staff.

What is counted, and for whom, is decided in the database: every route is one RPC, but that a list
as CSV asks for it page by page.
"""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic_core import from_json

from shared import spreadsheet
from shared.http import Call, target
from shared.models import (
    DashboardPage,
    EventsPage,
    LearnersPage,
    LessonReportFilter,
    ReportFilter,
    ReportPage,
)
from shared.routing import Answer, Function, Route

CSV_PAGE = 1000
COLUMNS = (
    "user_id", "name", "cohort", "status", "percent", "completed_lessons", "total_lessons", "score",
    "view_time_seconds", "cycle", "enrolled_at", "last_accessed_at", "completed_at", "expires_at",
    "needs_help",
)  # fmt: skip
_VARY = {"Vary": "Accept"}


async def page(call: Call) -> Answer:
    """The report for people: one self-contained page, or one of its plots as a picture."""
    assert isinstance(call.body, ReportPage)
    report = from_json(await call.rpc())
    # Here, since drawing is for this route alone; in a thread, since it takes a while.
    from shared import html, reports

    plot, form = call.body.plot, call.body.format
    if plot is None:
        content = await asyncio.to_thread(reports.page, report)
        return Answer(content, type=html.TYPE, headers=reports.HEADERS)
    if form == "png":
        picture = await asyncio.to_thread(reports.png, report, plot)
        return Answer(picture, type="image/png")
    content = await asyncio.to_thread(reports.svg, report, plot)
    return Answer(content, type="image/svg+xml", headers=reports.SVG_HEADERS)


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
        answer="dashboard.Dashboard",
    ),
    Route(
        "GET",
        "courses/{course}",
        "get_course_report",
        "How a course's learners are doing",
        body=ReportFilter,
        answer="reports.CourseReport",
    ),
    Route(
        "GET",
        "courses/{course}/lessons",
        "get_lesson_report",
        "How learners fare with a course's lessons",
        body=LessonReportFilter,
        answer="reports.LessonReport",
    ),
    Route(
        "GET",
        "courses/{course}/report",
        "get_report_page",
        "Both reports as a printable page, or one of its plots",
        body=ReportPage,
        handler=page,
        types=("text/html", "image/svg+xml", "image/png"),
    ),
    Route(
        "GET",
        "courses/{course}/learners",
        "get_course_learners",
        "The learners of a course",
        body=LearnersPage,
        handler=learners,
        types=("application/json", "text/csv"),
        answer="learners.CourseLearners",
    ),
    Route(
        "GET",
        "courses/{course}/learners/{user}",
        "get_course_learner",
        "One learner of a course, with lessons and attempts",
        answer="learners.LearnerDetail",
    ),
    Route(
        "GET",
        "events",
        "get_events",
        "Everybody's history, for servers",
        body=EventsPage,
        answer="history.Events",
    ),
)

FUNCTION = Function("analytics", ROUTES)
analytics = target("analytics", FUNCTION)
