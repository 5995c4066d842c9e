"""Function `notifications`: what a learner was told, and the way out of the mails."""

from __future__ import annotations

from shared import html, pages
from shared.http import Call, target
from shared.models import NotificationsPage, NotificationsRead
from shared.routing import Answer, Function, Route


async def ask(call: Call) -> Answer:
    """A page with a button. Opening it changes nothing: mail scanners open every link."""
    return Answer(pages.unsubscribe(done=False), type=html.TYPE, headers=pages.FORM_HEADERS)


async def unsubscribe(call: Call) -> Answer:
    """No more mails: by the page's button, or by the mail program's own (RFC 8058)."""
    answer = await call.rpc()
    if call.accepts("application/json", "text/html") != "text/html":
        return Answer(answer)
    return Answer(pages.unsubscribe(done=True), type=html.TYPE, headers=pages.FORM_HEADERS)


ROUTES = (
    Route(
        "GET",
        "",
        "get_notifications",
        "Own notifications",
        body=NotificationsPage,
        answer="notifications.Notifications",
    ),
    Route(
        "POST",
        "read",
        "mark_notifications_read",
        "Mark notifications read",
        body=NotificationsRead,
        answer="notifications.Marked",
    ),
    Route(
        "GET",
        "unsubscribe/{token}",
        None,
        "Ask before unsubscribing",
        who="anyone",
        handler=ask,
        types=("text/html",),
    ),
    Route(
        "POST",
        "unsubscribe/{token}",
        "unsubscribe_mail",
        "No more mails",
        body=None,
        who="anyone",
        handler=unsubscribe,
        types=("application/json", "text/html"),
        answer="notifications.Unsubscribed",
    ),
)

FUNCTION = Function("notifications", ROUTES)
notifications = target("notifications", FUNCTION)
