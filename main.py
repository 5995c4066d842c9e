"""Every function target, where functions-framework and gcloud look for them.

`--target progress` serves one function; `--target waymark` serves all of them in one process, by
the first part of the path.
"""

from __future__ import annotations

import gc
import sys

# What imports make stays for good: looking through it for garbage is a seventh of a cold start.
gc.disable()

import functions.admin  # noqa: E402
import functions.analytics  # noqa: E402
import functions.assessments  # noqa: E402
import functions.certificates  # noqa: E402
import functions.health  # noqa: E402
import functions.notifications  # noqa: E402
import functions.openapi  # noqa: E402
import functions.progress  # noqa: E402
import functions.recalculate  # noqa: E402
from shared import http, server  # noqa: E402
from shared.settings import SettingsError  # noqa: E402

admin = functions.admin.admin
analytics = functions.analytics.analytics
assessments = functions.assessments.assessments
certificates = functions.certificates.certificates
health = functions.health.health
notifications = functions.notifications.notifications
openapi = functions.openapi.openapi
progress = functions.progress.progress
recalculate = functions.recalculate.recalculate
waymark = http.target("waymark", *functions.FUNCTIONS)

server.limit()

# A wrong environment is to stop the start, not the first learner.
try:
    if http.app().config.worker is not None:
        # With it comes the service key: only where somebody works.
        from shared.worker.queue import worker

        worker()
except SettingsError as error:
    sys.exit(f"waymark: {error}")

gc.freeze()
gc.enable()
