"""What a learner was told."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict

from shared.answers.kinds import Time, Uuid


class Notification(TypedDict):
    """A message in the app."""

    id: Uuid
    kind: str
    course_id: int | None
    data: dict[str, Any]
    """What it holds depends on the kind."""
    occurred_at: Time
    read_at: Time | None


class Notifications(TypedDict):
    """A page of messages, latest first."""

    unread: int
    """Of all, not of this page."""
    items: list[Notification]


class Marked(TypedDict):
    """Messages were marked read."""

    marked: int
    unread: int
    changed: bool


class Unsubscribed(TypedDict):
    """No more mails; the same for every token."""

    unsubscribed: Literal[True]
