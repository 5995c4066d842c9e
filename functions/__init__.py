"""The deployable HTTP functions, one file each: a table of routes, and what they add to the log.

A new function is a file, an entry here and a target in main.py; tests and docs find it here.
"""

from __future__ import annotations

from functions import (
    admin,
    analytics,
    assessments,
    certificates,
    health,
    notifications,
    openapi,
    progress,
    recalculate,
)

FUNCTIONS = (
    admin.FUNCTION,
    analytics.FUNCTION,
    assessments.FUNCTION,
    certificates.FUNCTION,
    health.FUNCTION,
    notifications.FUNCTION,
    openapi.FUNCTION,
    progress.FUNCTION,
    recalculate.FUNCTION,
)
