"""Every function target, where functions-framework and gcloud look for them.

`--target progress` serves one function; `--target waymark` serves all of them in one process, by
the first part of the path.
"""

from __future__ import annotations

import sys

from functions import progress as _progress
from functions import recalculate as _recalculate
from shared import http
from shared.settings import SettingsError

__all__ = ["progress", "recalculate", "waymark"]

FUNCTIONS = (_progress.FUNCTION, _recalculate.FUNCTION)

progress = _progress.progress
recalculate = _recalculate.recalculate
waymark = http.target("waymark", *FUNCTIONS)

try:
    http.app()
except SettingsError as error:
    sys.exit(f"waymark: {error}")
