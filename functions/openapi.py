"""Function `openapi.json`: what all functions take, for programs that make clients of it."""

from __future__ import annotations

from functools import cache

from pydantic_core import to_json

from shared.http import Call, target
from shared.routing import Answer, Function, Route


async def describe(call: Call) -> Answer:
    """The description, as OpenAPI 3.1. It is the same for everyone."""
    content = _description(call.config.functions_url)
    return Answer(content, headers={"Cache-Control": "public, max-age=600"})


@cache
def _description(url: str) -> bytes:
    # Imported at the first call: learners' calls need neither, and all functions are known by then.
    from functions import FUNCTIONS
    from shared.openapi import document

    return to_json(document(FUNCTIONS, url))


ROUTES = (
    Route(
        "GET",
        "",
        None,
        "This description",
        body=None,
        who="anyone",
        handler=describe,
        answer="machines.Document",
    ),
)

FUNCTION = Function("openapi.json", ROUTES)
openapi = target("openapi", FUNCTION)
