"""Structured logs on stdout: one JSON line per call, in Google Cloud Logging's field names.

A line holds ids, numbers and words of ours. It never holds a token, a key, an e-mail address, a
query string or anything else that a caller wrote.
"""

from __future__ import annotations

import json
import re
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

# In order of weight; the words are Cloud Logging's.
SEVERITIES = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

_CLOUD_TRACE = re.compile(r"([0-9a-f]{32})(?:/(\d{1,20}))?(?:;o=([01]))?", re.IGNORECASE)
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
# Parts of an unknown path that cannot be anyone's secret.
_HARMLESS = re.compile(r"[a-z]{1,16}|v[0-9]|[0-9]{1,10}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_NOTHING: Mapping[str, Any] = {}
_silent: frozenset[str] = frozenset()


def configure(level: str) -> None:
    """Leave out what weighs less than `level`."""
    global _silent
    _silent = frozenset(SEVERITIES[: SEVERITIES.index(level)])


def write(severity: str, message: str, fields: Mapping[str, Any] = _NOTHING) -> None:
    """One line on stdout with `fields` at its top level.

    Not through `logging`: the framework's own set-up under LOG_EXECUTION_ID, which Google sets,
    silences every logger that it finds; and this is half the price.
    """
    if severity in _silent:
        return
    now = datetime.now(UTC).isoformat()
    line = {"severity": severity, "time": now, "message": message, **fields}
    # Looked up each time: the framework swaps stdout per call to add its execution id.
    out = sys.stdout
    with suppress(OSError):  # a log that cannot be written is no reason to refuse a learner
        out.write(json.dumps(line, separators=(",", ":"), default=str) + "\n")
        out.flush()


def trace_fields(headers: Mapping[str, str], project: str | None) -> dict[str, Any]:
    """The caller's trace, so that Cloud Logging shows our lines beside the request's."""
    if match := _CLOUD_TRACE.fullmatch(headers.get("x-cloud-trace-context", "")):
        trace, span, sampled = match[1], match[2], match[3] == "1"
        span = f"{int(span):016x}" if span else None
    elif match := _TRACEPARENT.fullmatch(headers.get("traceparent", "")):
        trace, span, sampled = match[1], match[2], bool(int(match[3], 16) & 1)
    else:
        return {}
    fields: dict[str, Any] = {
        "logging.googleapis.com/trace": f"projects/{project}/traces/{trace}" if project else trace,
        "logging.googleapis.com/trace_sampled": sampled,
    }
    if span:
        fields["logging.googleapis.com/spanId"] = span
    return fields


def harmless_path(path: str) -> str:
    """`path` with every part replaced that is neither a plain word nor an id."""
    parts = [part for part in path.split("/") if part][:8]
    return "/" + "/".join(part if _HARMLESS.fullmatch(part) else "…" for part in parts)


def fault(error: BaseException) -> str:
    """Where an unexpected error came from: type and frames. Its text may quote data: left out."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return "\n".join([type(error).__name__, *places])
