"""Function `analytics`: how far a learner is, on one page; how a course is doing, for its staff.

Every route is one RPC; what is counted, and for whom, is decided in the database.
"""

from __future__ import annotations

import asyncio

from pydantic_core import from_json

from shared.http import Call, target
from shared.models import CourseReport, DashboardPage, LessonReport, ReportPage
from shared.routing import Answer, Function, Route


async def page(call: Call) -> Answer:
    """The report for people: one self-contained page, or one of its plots as a picture."""
    assert isinstance(call.body, ReportPage)
    report = from_json(await call.rpc())
    # Here, since drawing is for this route alone; in a thread, since it takes a while.
    from shared import reports

    plot, form = call.body.plot, call.body.format
    if plot is None:
        content = await asyncio.to_thread(reports.page, report)
        return Answer(content, type=reports.HTML, headers=reports.HEADERS)
    if form == "png":
        picture = await asyncio.to_thread(reports.png, report, plot)
        return Answer(picture, type="image/png")
    content = await asyncio.to_thread(reports.svg, report, plot)
    return Answer(content, type="image/svg+xml", headers=reports.SVG_HEADERS)


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
        "courses/{course}",
        "get_course_report",
        "How a course's learners are doing",
        body=CourseReport,
    ),
    Route(
        "GET",
        "courses/{course}/lessons",
        "get_lesson_report",
        "How learners fare with a course's lessons",
        body=LessonReport,
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
)

FUNCTION = Function("analytics", ROUTES)
analytics = target("analytics", FUNCTION)
