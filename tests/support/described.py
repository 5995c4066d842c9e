"""The operations of a served OpenAPI description, and paths for them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

ABSENT = {"uuid": "00000000-0000-4000-8000-000000000000", "integer": "999999999", "string": "none"}


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    ids: Mapping[str, str]  # the kind of each: uuid, integer or string
    is_for_machines: bool
    told: Mapping[str, Any] = field(repr=False)

    @property
    def route(self) -> str:
        """As tests/policy.yaml spells it."""
        return f"{self.method} {self.path.strip('/')}"

    def at(self, ids: Mapping[str, Any] | None = None) -> str:
        """The path with these ids; those that are left out lead to nothing."""
        absent = {name: ABSENT[kind] for name, kind in self.ids.items()}
        return re.sub(r"{(\w+)}", lambda m: str({**absent, **(ids or {})}[m[1]]), self.path)


def operations(document: Mapping[str, Any]) -> list[Operation]:
    """All of them, in the document's order."""
    return list(_operations(document))


def _operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            ids = {
                entry["name"]: entry["schema"].get("format") or entry["schema"]["type"]
                for entry in told["parameters"]
                if entry["in"] == "path"
            }
            kinds = {name: "integer" if kind == "int64" else kind for name, kind in ids.items()}
            yield Operation(method.upper(), path, kinds, {"worker": []} in told["security"], told)
