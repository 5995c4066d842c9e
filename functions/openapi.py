"""Function `openapi.json`: what all functions take, for programs that make clients of it."""

from __future__ import annotations

from pydantic_core import to_json

from shared.http import Call, target
from shared.routing import Answer, Function, Route


async def describe(call: Call) -> Answer:
    """The description, as OpenAPI 3.1. It is the same for everyone."""
    # Imported at the first call: learners' calls need neither, and all functions are known by then.
    from functions import FUNCTIONS
    from shared.openapi import document

    content = to_json(document(FUNCTIONS, call.config.functions_url))
    return Answer(content, headers={"Cache-Control": "public, max-age=600"})


ROUTES = (Route("GET", "", None, "This description", body=None, who="anyone", handler=describe),)

FUNCTION = Function("openapi.json", ROUTES)
openapi = target("openapi", FUNCTION)
