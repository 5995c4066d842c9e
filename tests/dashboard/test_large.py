"""A dashboard among a million rows of progress still reads its own learner's."""

from __future__ import annotations

import pytest

from bench import dashboard
from tests.stack import Stack
from tests.support.scratch import scratch_database


@pytest.mark.long
def test_a_million_rows(stack: Stack) -> None:
    plan = dashboard.Plan(measured=5)
    with scratch_database(stack) as database:
        done = database.push()
        assert done.returncode == 0, done.stdout
        found = dashboard.measure(database.url, "large", plan)
    assert found.rows >= 1_000_000
    ordinary, lately_edited, collector, veteran = (
        cost.page_count for cost in found.by_kind.values()
    )
    # Days, modules, and what was done in two months; a row found by its key costs five pages or so.
    own = plan.days_each + 10 * plan.courses_each + plan.courses_each * plan.lessons // 2
    assert ordinary <= 60 + 6 * own
    assert lately_edited <= 1.5 * ordinary
    assert collector <= 60 + 6 * plan.many_courses
    assert veteran <= ordinary + 2 * plan.many_days
