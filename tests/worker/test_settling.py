"""A large course is settled by real workers, one of which is killed at it."""

from __future__ import annotations

import json
from typing import Any

from psycopg.rows import dict_row

from tests.database.actors import DRIFT
from tests.support.catalog import make_course
from tests.support.learners import make_learners
from tests.worker.conftest import Office

LEARNERS = 3000


def test_a_killed_worker_leaves_the_rest_to_the_next(office: Office) -> None:
    course = make_course(office.stack, 3)
    users = [learner.id for learner in make_learners(office.stack, LEARNERS)]
    office.rows(
        "insert into public.enrollments (user_id, course_id) select u, %s"
        " from unnest(%s::uuid[]) as u",
        course.id,
        users,
    )
    was = office.one("select value from private.settings where name = 'settle_limit'")
    setting = "update private.settings set value = %s where name = 'settle_limit'"
    office.rows(setting, "100")
    try:
        office.rows(
            "insert into public.lessons (module_id, position, title) values (%s, 9, 'Added')",
            course.modules[0].id,
        )

        def settled() -> int:
            return int(
                office.one(
                    "select count(*) from public.enrollments e join public.courses c"
                    " on c.id = e.course_id where c.id = %s"
                    " and e.settled_version = c.settle_version",
                    course.id,
                )
            )

        def drift() -> list[dict[str, Any]]:
            cursor = office.database.cursor(row_factory=dict_row)
            return cursor.execute(DRIFT, {"courses": [course.id]}).fetchall()

        assert settled() == 0
        office.hire()
        office.until(lambda: settled() > 0)
        office.dismiss()
        left = LEARNERS - settled()
        assert left > 0
        assert len(drift()) >= left - 200
        office.hire()
        office.until(
            lambda: (
                not office.one("select is_settling from public.courses where id = %s", course.id)
            )
        )
        assert (settled(), drift()) == (LEARNERS, [])
        office.until(lambda: office.depth() == 0)
        assert "settling_advanced" in json.dumps(office.lines())
    finally:
        office.rows(setting, was)
