"""Pages for people, without script or foreign resources: what a code says, the way out of mails.

Everything that is filled in is escaped by the template engine; the only styles are the page's own,
which its Content-Security-Policy names by their digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from shared import html

_FOLDER = Path(__file__).parent
_STYLE = (_FOLDER / "style.css").read_text("utf-8")
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src {html.digest(_STYLE)}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    **html.HEADERS,
}
FORM_HEADERS = {
    **HEADERS,
    "Content-Security-Policy": HEADERS["Content-Security-Policy"].replace(
        "form-action 'none'", "form-action 'self'"
    ),
}


def _day(value: str) -> Markup:
    """A date, or the UTC day of a time, to be read by people and by machines."""
    when = (
        datetime.fromisoformat(value).astimezone(UTC).date()
        if "T" in value
        else date.fromisoformat(value)
    )
    return Markup('<time datetime="{0}">{1}</time>').format(
        when.isoformat(), f"{when.day} {when:%B %Y}"
    )


_templates = html.templates(_FOLDER)
_templates.filters |= {"day": _day, "number": lambda value: f"{value:.10g}"}
_templates.globals["style"] = Markup(_STYLE)
_page = _templates.get_template("certificate.html")
_unsubscribe = _templates.get_template("unsubscribe.html")


def certificate(facts: Mapping[str, Any], *, base: str, has_credential: bool) -> bytes:
    """What verify_certificate tells, as a page. `base` is the address of the routes."""
    return _page.render(
        state=facts["status"], c=facts, base=base, has_credential=has_credential
    ).encode()


def no_certificate(state: str) -> bytes:
    """The page of a code that is `unknown`, or that cannot be looked up now (`busy`)."""
    return _page.render(state=state, c=None, base="", has_credential=False).encode()


def unsubscribe(*, done: bool) -> bytes:
    """The page behind a mail's link: the question, or that it is done."""
    return _unsubscribe.render(done=done).encode()
