"""Reads tests/policy.yaml, the one file that says who may do what.

A verdict of the file names every persona exactly once, in lists `allow`, `none`, `refuse` and
`deny`; a list may name groups. `rest` stands for all that no other list names.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.access.world import PERSONAS

FILE = Path(__file__).parent.parent / "policy.yaml"
OPERATIONS = ("select", "insert", "update", "delete")


class PolicyError(Exception):
    """The policy file contradicts itself."""


@dataclass(frozen=True)
class Verdict:
    """What one operation means for each persona: allow, none, deny, or a code that refuses."""

    by_persona: dict[str, str]

    def __getitem__(self, persona: str) -> str:
        return self.by_persona[persona]

    def granted(self, persona: str) -> bool:
        """Whether the persona's role must hold the privilege."""
        return self.by_persona[persona] != "deny"


@dataclass(frozen=True)
class TablePolicy:
    """One table: for each operation a verdict per kind of row; columns where a grant lists them."""

    name: str
    verdicts: dict[str, dict[str, Verdict]]
    columns: dict[str, dict[str, list[str]]]

    def granted(self, operation: str, persona: str) -> bool:
        """Whether the persona's role must hold the privilege."""
        return any(verdict.granted(persona) for verdict in self.verdicts[operation].values())

    def granted_columns(self, operation: str, role: str) -> list[str] | None:
        """The columns of a role's grant; None when it is the whole table's."""
        return self.columns.get(operation, {}).get(role)


@dataclass(frozen=True)
class Policy:
    """The whole file, resolved."""

    tables: dict[str, TablePolicy]
    functions: dict[str, Verdict]
    closed: dict[str, str]
    routes: dict[str, Verdict]

    def covers(self, name: str) -> bool:
        """Whether the file says anything about a table, view or sequence."""
        return name in self.tables or any(fnmatchcase(name, pattern) for pattern in self.closed)


@cache
def policy() -> Policy:
    """The declared policy. Raises PolicyError when the file is not total and unambiguous."""
    return read(yaml.safe_load(FILE.read_text()))


def read(document: dict[str, Any]) -> Policy:
    """Resolve a parsed policy file."""
    groups: dict[str, list[str]] = document["groups"]
    tables = {}
    for name, entry in document["tables"].items():
        if set(entry) - {*OPERATIONS, "columns"} or set(OPERATIONS) - set(entry):
            raise PolicyError(f"{name}: wants {', '.join(OPERATIONS)} and maybe columns")
        verdicts = {
            operation: {
                row: _verdict(f"{name} {operation} {row}", told, groups, PERSONAS)
                for row, told in entry[operation].items()
            }
            for operation in OPERATIONS
        }
        tables[name] = TablePolicy(name, verdicts, entry.get("columns", {}))
    functions: dict[str, Verdict] = {}
    for title, entry in document["functions"].items():
        if "functions" in entry:
            told = {key: value for key, value in entry.items() if key != "functions"}
            verdict = _verdict(title, told, groups, PERSONAS)
            named = {f"private.{name}": verdict for name in entry["functions"]}
        else:
            named = {title: _verdict(title, entry, groups, PERSONAS)}
        if twice := functions.keys() & named.keys():
            raise PolicyError(f"declared twice: {', '.join(sorted(twice))}")
        functions.update(named)
    callers = tuple(persona for persona in PERSONAS if persona != "waymark_writer")
    routes = {
        name: _verdict(name, told, groups, callers) for name, told in document["routes"].items()
    }
    return Policy(tables, functions, document["closed"], routes)


def _verdict(
    where: str, told: dict[str, Any], groups: dict[str, list[str]], personas: tuple[str, ...]
) -> Verdict:
    found: dict[str, str] = {}

    def put(name: str, word: str) -> None:
        for persona in groups.get(name, [name]):
            if persona not in personas:
                raise PolicyError(f"{where}: {persona} is no persona here")
            if persona in found:
                raise PolicyError(f"{where}: {persona} is named twice")
            found[persona] = word

    rest = ""
    for word, names in told.items():
        if word not in ("allow", "none", "refuse", "deny", "door"):
            raise PolicyError(f"{where}: {word} is no verdict")
        if names == "rest":
            if rest:
                raise PolicyError(f"{where}: two verdicts for the rest")
            rest = word
        elif word == "refuse":
            for name, code in names.items():
                put(name, code)
        else:
            for name in names:
                put(name, word)
    for persona in personas:
        if persona not in found:
            if not rest:
                raise PolicyError(f"{where}: says nothing about {persona}")
            found[persona] = rest
    return Verdict(found)
