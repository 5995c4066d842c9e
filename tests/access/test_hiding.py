"""What a caller may not see answers as what is not there: same status, words and headers.

Course and program numbers are counted up, so they are what a stranger would try. Uuids are 122
random bits, and are hidden all the same. The lessons and modules of a published course are no
secret (its outline shows them), and a code or a link's token is good for whoever has it.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from tests.access.rest import Rest
from tests.access.test_policy import ARGUMENTS, FUNCTIONS, GIVEN, INSTEAD, fetch, filled
from tests.access.world import COLLEAGUE, World
from tests.support.described import operations

STRANGERS = ("anon", "learner", "other", COLLEAGUE)
# Of the main and the draft course; strangers to everybody's who is in the open one.
STAFF = ("instructor", "assistant", "author")
ROUNDS = 60
MOST_SCANS = 8
NUMBER, UUID = "999999999", "00000000-0000-4000-8000-000000000000"
ID_TYPES = ("uuid", "bigint", "uuid[]", "bigint[]")
# Ids that are no matter of hiding: pages go on after the caller's own rows, sessions are the
# caller's, tokens tell everybody the same; what is of operators is not for strangers at all,
# whatever the id.
OPEN = {
    "p_after", "p_cursor", "p_ids", "p_session_id", "p_token", "p_lease", "p_list", "p_job_id",
    "p_job_ids", "p_report_id", "p_webhook_id", "p_course_ids", "p_requires",
}  # fmt: skip


def hidden(persona: str) -> dict[str, tuple[str, str]]:
    """For each parameter what is there and the persona may not see, and what is not there."""
    whose = "learner" if persona in ("anon", "other", COLLEAGUE) else "other"
    found = {
        **dict.fromkeys(("p_user_id", "p_from", "p_into"), ("{newcomer}", f"'{UUID}'")),
        "p_user_ids": ("array[{newcomer}]::uuid[]", f"array['{UUID}']::uuid[]"),
        "p_attempt_id": (f"{{attempt of {whose}}}", f"'{UUID}'"),
        "p_enrollment_id": (f"{{enrollment of {whose}}}", f"'{UUID}'"),
        "p_certificate_id": (f"{{certificate of {whose}}}", f"'{UUID}'"),
    }
    if persona in STRANGERS:
        found |= {
            "p_course_id": ("{draft}", NUMBER),
            "p_program_id": ("{program draft}", NUMBER),
            "p_cohort_id": ("{cohort}", f"'{UUID}'"),
            "p_module_id": ("{module draft}", f"'{UUID}'"),
            **dict.fromkeys(("p_lesson_id", "p_new_lesson_id"), ("{lesson draft}", f"'{UUID}'")),
            "p_lesson_ids": ("array[{lesson draft}]::uuid[]", f"array['{UUID}']::uuid[]"),
            # Staff enrol by address those who have an account, and are told who has none.
            "p_learners": ("array[{newcomer}]", f"array['{UUID}']"),
        }
    return found


def calls(world: World, persona: str) -> Iterator[tuple[str, str, dict[str, str], tuple[str, str]]]:
    """Every public function with every parameter that can name something hidden.

    Yields (function, parameter, what else it is given, the two ids), all of them SQL.
    """
    ids = hidden(persona)
    for name, _, parameters, count, defaults in fetch(world, FUNCTIONS):
        for parameter in ids.keys() & set(parameters or []):
            if not name.startswith("public."):
                continue
            needed = {*(parameters or [])[: count - defaults], *GIVEN.get(name, []), parameter}
            if name == "public.recalculate":
                needed = {parameter}
            given = {**ARGUMENTS, **INSTEAD.get(name, {})}
            others = {each: given[each] for each in needed if each != parameter}
            there, absent = (filled(id_, world) for id_ in ids[parameter])
            filled_in = {each: filled(value, world) for each, value in others.items()}
            yield name, parameter, filled_in, (there, absent)


def outcome(world: World, persona: str, call: str) -> Any:
    """What a call answers or how it is refused, in full."""
    with world.act(persona) as connection:
        try:
            return connection.execute(call.encode()).fetchall()
        except psycopg.Error as error:
            return error.sqlstate, error.diag.message_primary, error.diag.message_detail


def without(answer: object, id_: str) -> str:
    """An answer as text; an id that the caller has named is no news."""
    return re.sub("|".join(re.findall(r"[0-9a-f-]{36}", id_)) or "$^", "*", str(answer))


def statement(name: str, given: dict[str, str]) -> str:
    return f"select {name}({', '.join(f'{key} => {value}' for key, value in given.items())})"


def test_every_id_is_judged(shared_rest: Rest) -> None:
    """A new kind of id comes into the sweep, or among those that need none."""
    taken = fetch(
        shared_rest.world,
        "select distinct a.name from pg_proc p cross join lateral"
        " unnest(p.proargnames, p.proargtypes::oid[]) as a (name, type)"
        " where p.pronamespace = 'public'::regnamespace and format_type(a.type, null) = any (%s)",
        list(ID_TYPES),
    )
    assert {name for (name,) in taken} - hidden("anon").keys() == OPEN


@pytest.mark.parametrize("persona", [*STRANGERS, *STAFF])
def test_rpcs_hide_what_is_there(shared_rest: Rest, persona: str) -> None:
    world, told, asked = shared_rest.world, [], 0
    for name, parameter, others, ids in calls(world, persona):
        # At one time, which answers may tell.
        with world.connection.transaction(force_rollback=True):
            answers = [
                without(outcome(world, persona, statement(name, {**others, parameter: id_})), id_)
                for id_ in ids
            ]
        asked += 1
        if answers[0] != answers[1]:
            told.append((name, parameter, *answers))
    assert asked > 20
    assert told == []


# Of tables and indexes, in this transaction; an answer that is a refusal counts too.
SCANS = """
select coalesce(sum(pg_stat_get_xact_numscans(c.oid)), 0) from pg_class c
 where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
   and c.relkind in ('r', 'i') and not c.relispartition
"""


def test_what_is_hidden_takes_hardly_more_work(shared_rest: Rest) -> None:
    """A few looks by index, of microseconds: there is nothing in it to time from outside."""
    world, worked = shared_rest.world, []
    for name, parameter, others, ids in calls(world, COLLEAGUE):
        with world.connection.transaction(force_rollback=True):
            scans = []
            for id_ in ids:
                before = fetch(world, SCANS)[0][0]
                outcome(world, COLLEAGUE, statement(name, {**others, parameter: id_}))
                scans.append(int(fetch(world, SCANS)[0][0] - before))
        worked.append((scans[0] - scans[1], name, parameter, *scans))
    assert len(worked) > 50
    assert sum(there + absent for *_, there, absent in worked) > 100
    assert [found for found in worked if found[0] > MOST_SCANS] == []


# Its own for each answer.
OWN = ("date", "x-request-id", "server-timing", "content-length", "sb-request-id")


def shown(response: httpx.Response, id_: str) -> tuple[Any, ...]:
    """All of an answer that could tell something."""
    headers = {name: text for name, text in response.headers.items() if name not in OWN}
    return response.status_code, without(headers, id_), without(response.text, id_)


def refusals(world: World, persona: str) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """The calls that are refused, as JSON: (function, parameter, the two bodies)."""
    for name, parameter, others, ids in calls(world, persona):
        with world.connection.transaction(force_rollback=True):
            answer = outcome(world, persona, statement(name, {**others, parameter: ids[0]}))
        if isinstance(answer, list):
            continue
        bodies = []
        for id_ in ids:
            columns = ", ".join(f"{v} as {k}" for k, v in {**others, parameter: id_}.items())
            bodies.append(fetch(world, f"select to_jsonb(x) from (select {columns}) as x")[0][0])
        yield name.removeprefix("public."), parameter, bodies


def test_postgrest_hides_what_is_there(shared_rest: Rest) -> None:
    """Byte by byte, with headers."""
    told, asked = [], 0
    for name, parameter, bodies in refusals(shared_rest.world, COLLEAGUE):
        answers = [
            shown(shared_rest.rpc(COLLEAGUE, name, **body), str(body[parameter])) for body in bodies
        ]
        asked += 1
        if answers[0] != answers[1]:
            told.append((name, parameter, *answers))
    assert asked > 50
    assert told == []


@pytest.mark.long
def test_time_tells_little(shared_rest: Rest) -> None:
    """Asked in turn, many times: how often is what is there slower than what is not?

    Half of the time says nothing, always says it all. What is there but hidden is looked at by a
    few more index scans, which the noise of one machine over loopback must bury.
    """
    rest, told = shared_rest, {}
    for name, parameter, bodies in refusals(rest.world, COLLEAGUE):
        seconds: list[list[float]] = [[], []]
        for turn in range(2 * ROUNDS):
            # Which comes first changes from round to round.
            which = (turn + turn // 2) % 2
            begun = time.perf_counter()
            rest.rpc(COLLEAGUE, name, **bodies[which])
            seconds[which].append(time.perf_counter() - begun)
        there, absent = seconds
        slower = sum((a > b) + (a == b) / 2 for a in there for b in absent) / ROUNDS**2
        told[f"{name} {parameter}"] = round(slower, 2)
    print(sorted(told.items(), key=lambda item: item[1]))
    # Over so many pairs chance alone gives 0.5 ± 4 · sqrt((2n + 1) / 12n²).
    assert len(told) > 50
    assert {name for name, slower in told.items() if not 0.2 < slower < 0.8} == set()
    assert 0.4 < statistics.median(told.values()) < 0.65


@pytest.mark.parametrize("persona", STRANGERS)
def test_routes_hide_what_is_there(shared_rest: Rest, persona: str) -> None:
    world, told, asked = shared_rest.world, [], 0
    described = operations(shared_rest.request("anon", "GET", "/functions/v1/openapi.json").json())
    pairs = {
        parameter.removeprefix("p_").removesuffix("_id"): [
            filled(id_, world).strip("'") for id_ in ids
        ]
        for parameter, ids in hidden(persona).items()
        if parameter.endswith("_id")
    }
    for operation in described:
        for name in pairs.keys() & operation.ids.keys():
            answers = []
            for id_ in pairs[name]:
                answer = shared_rest.request(
                    persona,
                    operation.method,
                    f"/functions/v1{operation.at({name: id_})}",
                    json={"reason": "Because"}
                    if operation.route.startswith("POST admin/")
                    else None,
                )
                answers.append(shown(answer, id_))
            asked += 1
            if answers[0] != answers[1]:
                told.append((operation.route, *answers))
    assert asked > 30
    assert told == []
