"""The declared policy against the functions' routes, by calling every one as every persona."""

from __future__ import annotations

import importlib
import pkgutil
import uuid
from typing import Any

import pytest

import functions
from shared.routing import Function
from tests.access.policy import policy
from tests.access.rest import Rest, code
from tests.access.world import COLLEAGUE, PERSONAS
from tests.support import answers

CALLERS = (*(persona for persona in PERSONAS if persona != "waymark_writer"), COLLEAGUE)


def every_route() -> list[str]:
    """Every route there is, as the policy file spells it."""
    found = []
    for module in pkgutil.iter_modules(functions.__path__):
        function = importlib.import_module(f"functions.{module.name}").FUNCTION
        assert isinstance(function, Function)
        for route in function.routes:
            found.append(f"{route.method} {function.name}/{route.path}".rstrip("/"))
    return found


def test_every_route_is_declared() -> None:
    assert sorted(set(every_route()) ^ policy().routes.keys()) == []


@pytest.mark.parametrize("persona", CALLERS)
def test_calling_routes(rest: Rest, persona: str) -> None:
    world, wrong, allowed = rest.world, [], set()
    ids = {
        "course": str(world.courses["main"]),
        "lesson": world.lessons["fresh"],
        "module": world.modules["first"],
        "program": str(world.ids["program published"]),
        "user": str(world.users["learner"]),
        "certificate": world.ids["certificate of learner"],
        "cohort": world.ids["cohort"],
        "enrollment": world.ids["enrollment of learner"],
        "list": "0",
        "token": str(uuid.uuid4()),
    }
    [(ids["code"],)] = world.connection.execute(
        "select code from public.certificates where id = %s", (ids["certificate"],)
    ).fetchall()
    [key] = rest.request("anon", "GET", "/functions/v1/certificates/jwks.json").json()["keys"]
    ids["key"] = key["kid"].rpartition("/")[2]
    bodies = {
        "POST recalculate": {"enrollment_id": world.ids["enrollment of learner"]},
        "POST progress/lessons/{lesson}/view": {"session_id": str(uuid.uuid4()), "seconds": 5},
        "POST progress/batch": {"events": []},
        "PATCH assessments/attempts/{attempt}": {"answers": []},
        "POST assessments/attempts/{attempt}/grade": {
            "grades": [{"question_id": "essay", "points": 1}]
        },
    }
    for command in ("retry", "revoke", "reinstate", "reissue"):
        bodies[f"POST certificates/{{certificate}}/{command}"] = {"reason": "Because"}
    for command in ("excuse", "unexcuse", "complete", "reopen"):
        bodies[f"POST admin/lessons/{{lesson}}/{command}"] = {
            "user_id": world.users["learner"],
            "reason": "Because",
        }
    for command in ("extend", "withdraw", "reinstate"):
        bodies[f"POST admin/enrollments/{{enrollment}}/{command}"] = {"reason": "Because"}
    bodies |= {
        "POST admin/lessons/{lesson}/replace": {
            "new_lesson_id": world.lessons["archived"],
            "reason": "Because",
        },
        "POST admin/courses/{course}/enrollments": {"learners": ["nobody"], "reason": "Because"},
        "POST admin/courses/{course}/cohorts": {"name": "Winter", "reason": "Because"},
        "POST admin/courses/{course}/cohorts/assign": {
            "user_ids": [world.users["learner"]],
            "reason": "Because",
        },
        "POST admin/cohorts/{cohort}/rename": {"name": "Summer", "reason": "Because"},
        "POST admin/courses/{course}/cycles": {
            "user_id": world.users["learner"],
            "reason": "Because",
        },
        "POST admin/users/merge": {
            "from": str(uuid.uuid4()),
            "into": str(uuid.uuid4()),
            "reason": "Because",
        },
        "POST admin/programs": {"document": {"slug": "by-route", "title": "New"}},
    }
    quiz = {"lesson": world.lessons["quiz"], "attempt": world.ids["open attempt of learner"]}
    graded = {"attempt": world.ids["attempt of learner"]}
    # A secret key alone says which app calls, not who.
    server = {"Authorization": f"Bearer {rest.stack.service_role_key}"}
    # Leaving ends what a learner may do, and enrolling makes a stranger a learner: they come last.
    for route, verdict in sorted(
        policy().routes.items(),
        key=lambda entry: (entry[0].endswith("/enroll"), entry[0].endswith("/leave")),
    ):
        method, path = route.split(" ", 1)
        body = bodies.get(route, None if method == "GET" else {})
        about = {**ids, **(quiz if path.startswith("assessments/") else {})}
        if path.endswith("/grade"):
            about |= graded
        response = rest.request(
            persona,
            method,
            f"/functions/v1/{path.format_map(about)}",
            json=body,
            headers=server if persona == "service_role" else {},
        )
        got = code(response) or "allow"
        declared = verdict["other" if persona == COLLEAGUE else persona]
        if got != declared:
            wrong.append((route, declared, got))
        elif got == "allow":
            allowed.add((f"/{path}".rstrip("/"), method.lower()))
    assert wrong == []
    assert allowed & answers.json_places() <= answers.seen


def test_every_json_answer_is_checked_somewhere(rest: Rest) -> None:
    """The routes that let no persona through above, each as its own rule wants it."""
    world, people = rest.world, rest.world.users
    left = answers.json_places() - {
        (f"/{path}".rstrip("/"), method.lower())
        for route, verdict in policy().routes.items()
        for method, path in [route.split(" ", 1)]
        if "allow" in verdict.by_persona.values()
    }
    answers.seen.difference_update(left)

    def call(persona: str, method: str, path: str, **options: Any) -> Any:
        response = rest.request(persona, method, f"/functions/v1/{path}", **options)
        assert response.is_success, response.text
        return response.json()

    # Nothing is due: the worker says so, and no job of this world is done behind it.
    world.connection.execute("delete from private.jobs")
    secret = {"X-Worker-Secret": rest.stack.extra("WORKER_SECRET")}
    call("anon", "POST", "certificates/work", headers=secret)
    world.connection.execute(
        "update public.courses set max_cycles = 2 where id = %s", [world.courses["open"]]
    )
    call("other", "POST", f"progress/courses/{world.courses['open']}/retake")
    made = call(
        "admin", "POST", "admin/programs", json={"document": {"slug": "gone", "title": "G"}}
    )
    call("admin", "POST", f"admin/programs/{made['program_id']}/delete", json={})
    who = {"from": people["newcomer"], "into": people[COLLEAGUE], "reason": "One person"}
    call("admin", "POST", "admin/users/merge", json=who)
    certificate = world.ids["certificate of other"]
    path = f"{people['other']}/{certificate}.pdf"
    bucket = "/storage/v1/object/certificates"
    server = {
        "apikey": rest.stack.service_role_key,
        "Authorization": f"Bearer {rest.stack.service_role_key}",
    }
    pdf = {"Content-Type": "application/pdf", **server}
    assert rest.request("anon", "POST", f"{bucket}/{path}", content=b"%PDF", headers=pdf).is_success
    world.connection.execute(
        "update public.certificates set pdf_path = %s, pdf_sha256 = repeat('0', 64), pdf_bytes = 4,"
        " rendered_at = now() where id = %s",
        [path, certificate],
    )
    call("other", "GET", f"certificates/{certificate}/pdf")
    assert rest.request(
        "anon", "DELETE", bucket, json={"prefixes": [path]}, headers=server
    ).is_success
    assert sorted(left - answers.seen) == []


def test_the_data_api_offers_what_is_declared(shared_rest: Rest) -> None:
    """PostgREST describes all that service_role may reach; nothing in it is undeclared."""
    paths = shared_rest.table("service_role", "GET", "").json()["paths"]
    offered = {path.strip("/") for path in paths} - {""}
    tables = {
        name.removeprefix("public.") for name in policy().tables if name.startswith("public.")
    }
    rpcs = {
        f"rpc/{name.removeprefix('public.')}"
        for name in policy().functions
        if name.startswith("public.")
    }
    assert tables <= offered
    assert sorted(offered - tables - rpcs) == []
