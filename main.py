"""Every function target, where functions-framework and gcloud look for them.

`--target progress` serves one function; `--target waymark` serves all of them in one process, by
the first part of the path.
"""

from __future__ import annotations

import sys

import functions.assessments
import functions.progress
import functions.recalculate
from shared import http
from shared.settings import SettingsError

assessments = functions.assessments.assessments
progress = functions.progress.progress
recalculate = functions.recalculate.recalculate
waymark = http.target("waymark", *functions.FUNCTIONS)

# A wrong environment is to stop the start, not the first learner.
try:
    http.app()
except SettingsError as error:
    sys.exit(f"waymark: {error}")
