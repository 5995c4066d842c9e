"""The course report for people: a page that needs nothing from elsewhere, its plots as pictures.

It may be printed and passed on, so it shows no average of fewer than five learners. Importing this
costs a tenth of a second, which only the route of the page pays.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from shared import html
from shared.reports import drawing
from shared.reports.plots import FEWEST, NOT_SHOWN, Plot, number, plots

# More lessons than anybody prints; the routes have them all.
LESSONS = 500

_FOLDER = Path(__file__).parent
_STYLE = (_FOLDER / "page.css").read_text("utf-8") + drawing.STYLE
_SCRIPT = (_FOLDER / "page.js").read_text("utf-8")

# In the page too: whoever shows it in a frame of theirs leaves the headers behind.
POLICY = (
    f"default-src 'none'; style-src {html.digest(_STYLE)}; script-src {html.digest(_SCRIPT)}; "
    "base-uri 'none'; form-action 'none'"
)
HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    **html.HEADERS,
}
SVG_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src {html.digest(drawing.STYLE)}"
}


def _moment(value: str) -> Markup:
    when = datetime.fromisoformat(value).astimezone(UTC)
    return Markup('<time datetime="{0}">{1}</time>').format(
        when.isoformat(timespec="seconds"), f"{when.day} {when:%B %Y, %H:%M} UTC"
    )


_templates = html.templates(_FOLDER)
_templates.filters |= {"moment": _moment, "number": number}
_templates.globals |= {
    "style": Markup(_STYLE),
    "script": Markup(_SCRIPT),
    "policy": POLICY,
    "fewest": FEWEST,
    "not_shown": NOT_SHOWN,
}
_page = _templates.get_template("page.html")


def page(report: Mapping[str, Any]) -> bytes:
    """The page of what get_report_page answers."""
    drawn = [(plot, Markup(drawing.svg(plot))) for plot in plots(report)]
    return _page.render(
        r=report, drawn=drawn, lessons=report["lessons"][:LESSONS], left_out=LESSONS
    ).encode()


def svg(report: Mapping[str, Any], name: str) -> bytes:
    """One plot as a file of its own."""
    return drawing.file(_plot(report, name))


def png(report: Mapping[str, Any], name: str) -> bytes:
    """One plot as a picture, for what shows no SVG."""
    return drawing.png(_plot(report, name))


def _plot(report: Mapping[str, Any], name: str) -> Plot:
    (found,) = (plot for plot in plots(report) if plot.name == name)
    return found
