"""What the figures depend on: cores, memory, versions; and the CPU time that each part burns."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psycopg

_TICK = os.sysconf("SC_CLK_TCK")
_PACKAGES = ("functions-framework", "uvicorn", "uvloop", "aiohttp", "pydantic", "psycopg")


def describe(db_url: str) -> list[tuple[str, str]]:
    """Pairs of what and value, for the head of the report."""
    with psycopg.connect(db_url, connect_timeout=10) as db:
        row = db.execute("show server_version").fetchone()
    found = [
        ("cores", f"{len(os.sched_getaffinity(0))} for database, PostgREST, functions and clients"),
        # Near zero on a quiet machine; else the clock's figures tell of the neighbours, too.
        ("load before", f"{os.getloadavg()[0]:.1f} processes waiting or running"),
        ("processor", _processor()),
        ("memory", _memory()),
        ("system", f"{platform.system()} {platform.release()}"),
        ("PostgreSQL", str(row[0]) if row else "?"),
        ("Python", platform.python_version()),
    ]
    for package in _PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> str:
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemTotal"):
            return f"{int(line.split()[1]) / 1024**2:.1f} GiB"
    return "?"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def cpu_seconds(parts: Mapping[str, int]) -> dict[str, float]:
    """CPU time burnt so far by each part's process, with all its descendants living or reaped."""
    parents: dict[int, list[int]] = {}
    burnt: dict[int, float] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The command in parentheses may hold anything, parentheses included.
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(entry.parent.name)
        parents.setdefault(int(fields[1]), []).append(pid)
        burnt[pid] = sum(map(int, fields[11:15])) / _TICK
    totals = {}
    for name, pid in parts.items():
        waiting, total = [pid], 0.0
        while waiting:
            one = waiting.pop()
            total += burnt.get(one, 0.0)
            waiting += parents.get(one, [])
        totals[name] = total
    return totals
