"""What a running process and its children hold: memory of their own, and open files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Held:
    """Kilobytes that are nobody else's, and open file descriptors."""

    memory: int
    files: int


def held(pid: int) -> Held:
    """What a process tree holds. Memory that PostgreSQL's processes share is not counted."""
    memory = files = 0
    for one in family(pid):
        try:
            rollup = (PROC / str(one) / "smaps_rollup").read_text()
            files += len(list((PROC / str(one) / "fd").iterdir()))
        except OSError:
            continue  # it has just ended
        found = re.search(r"^Pss_Anon: +(\d+) kB$", rollup, re.MULTILINE)
        memory += int(found[1]) if found else 0
    return Held(memory, files)


def family(pid: int) -> list[int]:
    """A process and all that descends from it."""
    found = [pid]
    for one in found:
        for children in (PROC / str(one) / "task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:
                continue
    return found
