"""Function `recalculate`: counts an enrolment's progress again from its rows.

Admins have a whole course, or everyone, counted in slices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shared.http import target
from shared.models import Body, Recalculation
from shared.routing import Event, Function, Route


def recalculated(user: str | None, body: Body, answer: Mapping[str, Any]) -> Iterator[Event]:
    """Old and new percent of one enrolment; of a slice, how many were wrong."""
    if "enrollment_id" in answer:
        facts = {
            "enrollment": answer["enrollment_id"],
            "old_percent": answer["old_percent"],
            "new_percent": answer["progress_percent"],
        }
    else:
        facts = {name: answer[name] for name in ("checked", "changed", "cursor")}
    yield Event("recalculation", facts)


ROUTES = (
    Route(
        "POST",
        "",
        "recalculate",
        "Count progress again",
        body=Recalculation,
        report=recalculated,
        answer="recounts.Recount",
    ),
)

FUNCTION = Function("recalculate", ROUTES)
recalculate = target("recalculate", FUNCTION)
