"""What the functions answer, for the OpenAPI document, the typed client and the tests.

The database makes every answer: nothing here is consulted while one is given, so no function
imports these modules until it is asked for the document. A route names its answer as
"module.Name"; the tests hold every answer that they receive against it, field by field.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def find(name: str) -> Any:
    """The type of a route's answer: "progress.Completed". Raises ImportError, AttributeError."""
    module, _, kind = name.partition(".")
    return getattr(import_module(f"{__name__}.{module}"), kind)
