"""The report of a large course is computed by the worker, and then there for who asks."""

from __future__ import annotations

import pytest

from shared.client import WaymarkError
from tests.support.catalog import make_course
from tests.support.learners import enroll, make_learner, make_learners
from tests.worker.conftest import Office


def test_the_worker_computes_what_was_asked_for(office: Office) -> None:
    course, learners = make_course(office.stack, 3), make_learners(office.stack, 2)
    enroll(office.stack, learners, course.id)
    with learners[0].client() as client:
        client.complete_lesson(course.lessons[0])
    staff = make_learner(office.stack)
    office.rows("insert into public.course_staff values (%s, %s, 'assistant')", course.id, staff.id)
    was = office.one("select value from private.settings where name = 'report_live_rows'")
    setting = "update private.settings set value = %s where name = 'report_live_rows'"
    office.rows(setting, "1")
    try:
        with staff.client(retries=0) as client:
            with pytest.raises(WaymarkError) as refused:
                client.lesson_report(course.id)
            assert (refused.value.status, refused.value.code) == (409, "report_not_ready")
            assert refused.value.retry_after
            office.work()
            assert office.depth() == 0
            found = client.lesson_report(course.id)
            whole = client.course_report(course.id)
    finally:
        office.rows(setting, was)
    assert not found["live"]
    assert [entry["completed"] for entry in found["lessons"]] == [1, 0, 0]
    assert (found["as_of"], whole["learners"]["enrolled"]) == (whole["as_of"], 2)
