"""What a caller may not see answers as what is not there: same status, same words, at every door.

Course and program numbers are counted up, so they are what a stranger would try. Uuids are 122
random bits: who knows one has been shown it; what learners' commands say of those of others is in
tests/access/test_reading_others.py.
"""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.access.rest import Rest
from tests.access.test_policy import ARGUMENTS, FUNCTIONS, GIVEN, INSTEAD, fetch, filled
from tests.access.world import COLLEAGUE, World
from tests.support.described import operations

STRANGERS = ("anon", "learner", "other", COLLEAGUE)
HIDDEN = {"p_course_id": "{draft}", "p_program_id": "{program draft}"}
NOTHING = "999999999"


def outcome(world: World, persona: str, call: str) -> Any:
    """What a call answers or how it is refused, in full."""
    with world.act(persona) as connection:
        try:
            return connection.execute(call.encode()).fetchall()
        except psycopg.Error as error:
            return error.sqlstate, error.diag.message_primary, error.diag.message_detail


@pytest.mark.parametrize("persona", STRANGERS)
def test_rpcs_hide_courses_and_programs(shared_rest: Rest, persona: str) -> None:
    world, told, asked = shared_rest.world, [], 0
    for name, _, parameters, count, defaults in fetch(world, FUNCTIONS):
        numbered = HIDDEN.keys() & set(parameters or [])
        if not name.startswith("public.") or not numbered:
            continue
        needed = {*(parameters or [])[: count - defaults], *GIVEN.get(name, []), *numbered}
        if name == "public.recalculate":
            needed.discard("p_enrollment_id")
        given = {**ARGUMENTS, **INSTEAD.get(name, {})}
        for parameter in numbered:
            calls = [
                ", ".join(
                    f"{each} => {id_ if each == parameter else given[each]}" for each in needed
                )
                for id_ in (HIDDEN[parameter], NOTHING)
            ]
            # At one time, which answers may tell.
            with world.connection.transaction(force_rollback=True):
                answers = [
                    outcome(world, persona, filled(f"select {name}({call})", world))
                    for call in calls
                ]
            asked += 1
            if answers[0] != answers[1]:
                told.append((name, *answers))
    assert asked > 20
    assert told == []


@pytest.mark.parametrize("persona", STRANGERS)
def test_routes_hide_courses_and_programs(shared_rest: Rest, persona: str) -> None:
    world, told, asked = shared_rest.world, [], 0
    described = operations(shared_rest.request("anon", "GET", "/functions/v1/openapi.json").json())
    hidden = {"course": world.courses["draft"], "program": world.ids["program draft"]}
    for operation in described:
        for name in hidden.keys() & operation.ids.keys():
            answers = []
            for id_ in (hidden[name], NOTHING):
                answer = shared_rest.request(
                    persona,
                    operation.method,
                    f"/functions/v1{operation.at({name: id_})}",
                    json={"reason": "Because"}
                    if operation.route.startswith("POST admin/")
                    else None,
                )
                answers.append((answer.status_code, answer.text))
            asked += 1
            if answers[0] != answers[1]:
                told.append((operation.route, *answers))
    assert asked > 8
    assert told == []
