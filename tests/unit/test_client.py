"""The typed client, both kinds: what it sends, makes of answers, and when it tries again."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pkgutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints

import pytest

from functions import FUNCTIONS
from shared import answers
from shared import client as module
from shared.answers import find
from shared.client import AsyncWaymarkClient, WaymarkClient, WaymarkError, endpoint
from shared.routing import locate
from tests.support.upstream import Reply, Upstream

ROOT = Path(__file__).resolve().parents[2]
# Constant, since they are part of test names, which every worker must spell alike.
LESSON, MODULE = (uuid.UUID(f"00000000-0000-4000-8000-00000000000{n}") for n in range(2))
AWAY = Reply(503, {"code": "try_again", "message": "Busy"}, {"Retry-After": "2"})

Ask = Callable[[Any], Any]
Run = Callable[..., Any]


def blocking(url: str, ask: Ask, **options: Any) -> Any:
    with WaymarkClient(url, "token", apikey="key", **options) as client:
        return ask(client)


def awaited(url: str, ask: Ask, **options: Any) -> Any:
    async def main() -> Any:
        async with AsyncWaymarkClient(url, "token", apikey="key", **options) as client:
            answer: Awaitable[Any] = ask(client)
            return await answer

    return asyncio.run(main())


both = pytest.mark.parametrize("run", [blocking, awaited])


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses that the client asked for, none of them slept."""
    taken: list[float] = []

    async def nap(seconds: float) -> None:
        taken.append(seconds)

    # For the client alone: a server in another thread sleeps, too.
    monkeypatch.setattr("shared.client.time", SimpleNamespace(sleep=taken.append))
    monkeypatch.setattr("shared.client.asyncio", SimpleNamespace(sleep=nap))
    return taken


COMMANDS: dict[str, Ask] = {
    "revoke": lambda c: c.revoke_certificate(LESSON, "Because"),
    "reinstate": lambda c: c.reinstate_certificate(LESSON, "Because"),
    "reissue": lambda c: c.reissue_certificate(LESSON, "Because"),
    "retry": lambda c: c.retry_certificate(LESSON, "Because"),
}
EXCEPTIONS: dict[str, Ask] = {
    "excuse": lambda c: c.excuse_lesson(LESSON, MODULE, "So"),
    "unexcuse": lambda c: c.unexcuse_lesson(LESSON, MODULE, "So"),
    "complete": lambda c: c.complete_lesson_for(LESSON, MODULE, "So"),
    "reopen": lambda c: c.reopen_lesson_for(LESSON, MODULE, "So"),
}
CALLS: list[tuple[Ask, str, str, Any]] = [
    (lambda c: c.enroll(7), "POST", "progress/courses/7/enroll", {}),
    (lambda c: c.leave(7), "POST", "progress/courses/7/leave", {}),
    (lambda c: c.retake(7), "POST", "progress/courses/7/retake", {}),
    (lambda c: c.programs(), "GET", "progress/programs", None),
    (lambda c: c.enroll_program(7), "POST", "progress/programs/7/enroll", {}),
    (lambda c: c.cycles(7), "GET", "progress/courses/7/cycles", None),
    (lambda c: c.start_lesson(LESSON), "POST", f"progress/lessons/{LESSON}/start", {}),
    (lambda c: c.complete_lesson(str(LESSON)), "POST", f"progress/lessons/{LESSON}/complete", {}),
    (
        lambda c: c.uncomplete_lesson(LESSON, "by mistake"),
        "POST",
        f"progress/lessons/{LESSON}/uncomplete",
        {"reason": "by mistake"},
    ),
    (
        lambda c: c.put_lesson(
            LESSON, status="completed", last_accessed=datetime(2026, 1, 1, tzinfo=UTC), progress=0.5
        ),
        "PUT",
        f"progress/lessons/{LESSON}",
        {"status": "completed", "last_accessed": "2026-01-01T00:00:00+00:00", "progress": 0.5},
    ),
    (
        lambda c: c.view_lesson(
            LESSON, MODULE, 60, position_seconds=55, watched=[(0, 30), (40, 55)], section="a"
        ),
        "POST",
        f"progress/lessons/{LESSON}/view",
        {
            "session_id": str(MODULE),
            "seconds": 60,
            "position_seconds": 55,
            "watched": [[0, 30], [40, 55]],
            "section": "a",
        },
    ),
    (
        lambda c: c.apply_events([{"id": "e", "kind": "start"}]),
        "POST",
        "progress/batch",
        {"events": [{"id": "e", "kind": "start"}]},
    ),
    (lambda c: c.lesson(LESSON), "GET", f"progress/lessons/{LESSON}", None),
    (lambda c: c.start_module(MODULE), "POST", f"progress/modules/{MODULE}/start", {}),
    (lambda c: c.complete_module(MODULE), "POST", f"progress/modules/{MODULE}/complete", {}),
    (lambda c: c.course(7), "GET", "progress/courses/7", None),
    (lambda c: c.summary(7), "GET", "progress/courses/7/summary", None),
    (lambda c: c.module(7, MODULE), "GET", f"progress/courses/7/modules/{MODULE}", None),
    (lambda c: c.next_lesson(7), "GET", "progress/courses/7/next", None),
    (lambda c: c.notifications(), "GET", "notifications", None),
    (
        lambda c: c.notifications(after=LESSON, limit=5),
        "GET",
        f"notifications?after={LESSON}&limit=5",
        None,
    ),
    (lambda c: c.mark_notifications_read(), "POST", "notifications/read", {}),
    (
        lambda c: c.mark_notifications_read([LESSON]),
        "POST",
        "notifications/read",
        {"ids": [str(LESSON)]},
    ),
    (lambda c: c.start_attempt(LESSON), "POST", f"assessments/lessons/{LESSON}/attempts", {}),
    (lambda c: c.attempts(LESSON), "GET", f"assessments/lessons/{LESSON}/attempts", None),
    (
        lambda c: c.save_answers(MODULE, [{"question_id": "q1", "answer": None, "seq": 3}]),
        "PATCH",
        f"assessments/attempts/{MODULE}",
        {"answers": [{"question_id": "q1", "answer": None, "seq": 3}]},
    ),
    (
        lambda c: c.submit_attempt(MODULE, client_key="k"),
        "POST",
        f"assessments/attempts/{MODULE}/submit",
        {"answers": [], "client_key": "k"},
    ),
    (
        lambda c: c.submit_quiz(LESSON, [{"question_id": "q1", "answer": "o1"}], client_key="k"),
        "POST",
        f"assessments/lessons/{LESSON}/submit",
        {"answers": [{"question_id": "q1", "answer": "o1"}], "client_key": "k"},
    ),
    (
        lambda c: c.grade_attempt(MODULE, {"q1": 8.5}, feedback="Good"),
        "POST",
        f"assessments/attempts/{MODULE}/grade",
        {"grades": [{"question_id": "q1", "points": 8.5}], "feedback": "Good"},
    ),
    (
        lambda c: c.regrade(LESSON, dry_run=False, limit=9),
        "POST",
        f"assessments/lessons/{LESSON}/regrade",
        {"dry_run": False, "allow_fail": False, "limit": 9},
    ),
    *(
        (ask, "POST", f"admin/lessons/{LESSON}/{command}", {"user_id": str(MODULE), "reason": "So"})
        for command, ask in EXCEPTIONS.items()
    ),
    (
        lambda c: c.replace_lesson(LESSON, MODULE, "So"),
        "POST",
        f"admin/lessons/{LESSON}/replace",
        {"new_lesson_id": str(MODULE), "reason": "So"},
    ),
    (
        lambda c: c.extend_enrollment(LESSON, "So", expires_at=datetime(2030, 1, 2, tzinfo=UTC)),
        "POST",
        f"admin/enrollments/{LESSON}/extend",
        {"reason": "So", "expires_at": "2030-01-02T00:00:00+00:00"},
    ),
    (
        lambda c: c.withdraw_enrollment(LESSON, "So"),
        "POST",
        f"admin/enrollments/{LESSON}/withdraw",
        {"reason": "So"},
    ),
    (
        lambda c: c.reinstate_enrollment(LESSON, "So"),
        "POST",
        f"admin/enrollments/{LESSON}/reinstate",
        {"reason": "So"},
    ),
    (
        lambda c: c.enroll_many(7, ["a@example.com"], "So", cohort=MODULE),
        "POST",
        "admin/courses/7/enrollments",
        {"learners": ["a@example.com"], "reason": "So", "cohort_id": str(MODULE)},
    ),
    (
        lambda c: c.create_cohort(7, "Spring", "So"),
        "POST",
        "admin/courses/7/cohorts",
        {"name": "Spring", "reason": "So"},
    ),
    (
        lambda c: c.rename_cohort(MODULE, "Autumn", "So"),
        "POST",
        f"admin/cohorts/{MODULE}/rename",
        {"name": "Autumn", "reason": "So"},
    ),
    (
        lambda c: c.assign_cohort(7, [LESSON], "So"),
        "POST",
        "admin/courses/7/cohorts/assign",
        {"user_ids": [str(LESSON)], "reason": "So"},
    ),
    (
        lambda c: c.start_cycle(7, LESSON, "So"),
        "POST",
        "admin/courses/7/cycles",
        {"user_id": str(LESSON), "reason": "So"},
    ),
    (
        lambda c: c.merge_users(LESSON, MODULE, "So"),
        "POST",
        "admin/users/merge",
        {"from": str(LESSON), "into": str(MODULE), "reason": "So"},
    ),
    (
        lambda c: c.put_program({"slug": "p", "title": "P"}),
        "POST",
        "admin/programs",
        {"document": {"slug": "p", "title": "P"}},
    ),
    (lambda c: c.delete_program(7, force=True), "POST", "admin/programs/7/delete", {"force": True}),
    (lambda c: c.certificates(), "GET", "certificates", None),
    (
        lambda c: c.certificates(cursor=LESSON, limit=9),
        "GET",
        f"certificates?cursor={LESSON}&limit=9",
        None,
    ),
    (lambda c: c.certificate_pdf(LESSON), "GET", f"certificates/{LESSON}/pdf", None),
    (lambda c: c.verify_certificate("CODE"), "GET", "certificates/verify/CODE", None),
    (lambda c: c.verify_certificate("A B/C"), "GET", "certificates/verify/A%20B%2FC", None),
    (lambda c: c.credential("CODE"), "GET", "certificates/CODE/credential", None),
    *(
        (ask, "POST", f"certificates/{LESSON}/{command}", {"reason": "Because"})
        for command, ask in COMMANDS.items()
    ),
    (lambda c: c.events(), "GET", "analytics/events", None),
    (lambda c: c.dashboard(), "GET", "analytics/me", None),
    (
        lambda c: c.dashboard(cursor="1_2", limit=5),
        "GET",
        "analytics/me?cursor=1_2&limit=5",
        None,
    ),
    (
        lambda c: c.course_report(7, cohort=MODULE, enrolled_to="2026-01-01T00:00:00Z"),
        "GET",
        f"analytics/courses/7?cohort_id={MODULE}&enrolled_to=2026-01-01T00%3A00%3A00Z",
        None,
    ),
    (
        lambda c: c.lesson_report(7, min_completions=0),
        "GET",
        "analytics/courses/7/lessons?min_completions=0",
        None,
    ),
    (lambda c: c.report_page(7), "GET", "analytics/courses/7/report", None),
    (
        lambda c: c.learners(7, sort="percent", needs_help=True, cohort=MODULE),
        "GET",
        f"analytics/courses/7/learners?sort=percent&cohort_id={MODULE}&needs_help=true",
        None,
    ),
    (
        lambda c: c.learners_csv(7, status="completed"),
        "GET",
        "analytics/courses/7/learners?sort=name&status=completed",
        None,
    ),
    (lambda c: c.learner(7, LESSON), "GET", f"analytics/courses/7/learners/{LESSON}", None),
    (
        lambda c: c.recalculate(LESSON),
        "POST",
        "recalculate",
        {"enrollment_id": str(LESSON), "dry_run": False},
    ),
    (
        lambda c: c.recalculate_course(7, cursor=str(MODULE), limit=9),
        "POST",
        "recalculate",
        {"course_id": 7, "dry_run": False, "cursor": str(MODULE), "limit": 9},
    ),
    (
        lambda c: c.recalculate_all(dry_run=True),
        "POST",
        "recalculate",
        {"all": True, "dry_run": True},
    ),
]


@both
@pytest.mark.parametrize(("ask", "method", "path", "body"), CALLS)
def test_what_is_sent(
    database: Upstream, run: Run, ask: Ask, method: str, path: str, body: Any
) -> None:
    database.usual = Reply(200, {"changed": True})
    answer = run(f"{database.url}/functions/v1/", ask)
    assert answer in ({"changed": True}, '{"changed": true}')
    (seen,) = database.seen
    assert (seen.method, seen.path) == (method, f"/functions/v1/{path}")
    assert seen.headers["authorization"] == "Bearer token"
    assert seen.headers["apikey"] == "key"
    assert (seen.json if seen.body else None) == body


class Names:
    """A client whose methods say their names."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: name


def test_methods_promise_what_the_routes_are_said_to_answer() -> None:
    # The client imports them for type checkers alone.
    types = {
        name: kind
        for found in pkgutil.iter_modules(answers.__path__, f"{answers.__name__}.")
        for name, kind in vars(importlib.import_module(found.name)).items()
    }
    for ask, method, path, _ in CALLS:
        describe = vars(module._Base)[ask(Names())]._describe
        (promised,) = get_args(get_type_hints(describe, {**types, **vars(module)})["return"])
        function, rest = locate(FUNCTIONS, path.partition("?")[0])
        route, _ = function.find(method, rest)
        if promised is str:
            assert {*route.types} != {"application/json"}, path
        else:
            assert route.answer, path
            told = find(route.answer)
            # What is counted again answers by what was asked for.
            assert promised == told or promised in get_args(told), path


def test_every_route_has_its_method_and_both_clients_have_them_all() -> None:
    methods = {name for name, kind in vars(module._Base).items() if isinstance(kind, endpoint)}
    for name in methods:
        assert inspect.getdoc(getattr(WaymarkClient, name))
        assert getattr(AsyncWaymarkClient, name) is getattr(WaymarkClient, name)
    described = {(method, path.partition("?")[0]) for _, method, path, _ in CALLS}
    ids = {
        "attempt": MODULE,
        "certificate": LESSON,
        "code": "CODE",
        "cohort": MODULE,
        "course": 7,
        "enrollment": LESSON,
        "lesson": LESSON,
        "module": MODULE,
        "program": 7,
        "user": LESSON,
    }
    for function in FUNCTIONS:
        for route in function.routes:
            if route.path not in OTHERS and function.name not in OTHERS:
                path = f"{function.name}/{route.path.format(**ids)}".rstrip("/")
                assert (route.method, path) in described


# Verifiers of credentials, mail programs, generators of clients and whoever wakes the worker call
# these by their URLs; monitors ask for health.
OTHERS = (
    "jwks.json",
    "keys/{key}",
    "issuer",
    "status/{list}",
    "unsubscribe/{token}",
    "work",
    "openapi.json",
    "health",
)


@both
def test_a_credential_is_a_text(database: Upstream, run: Run) -> None:
    database.usual = Reply(200, b"a.b.c", {"Content-Type": "text/plain"})
    assert run(database.url, lambda c: c.credential("CODE")) == "a.b.c"
    database.usual = Reply(404, {"code": "certificate_not_found", "message": "x"})
    with pytest.raises(WaymarkError, match="certificate_not_found"):
        run(database.url, lambda c: c.credential("CODE"))


@both
def test_null_is_none(database: Upstream, run: Run) -> None:
    database.usual = Reply(200, b"null")
    assert run(database.url, lambda c: c.next_lesson(7)) is None


@both
def test_a_refusal_is_an_exception_with_all_it_said(database: Upstream, run: Run) -> None:
    body = {"code": "rule_not_met", "message": "Watch", "details": {"seconds": 5}, "hint": "h"}
    database.usual = Reply(422, body, {"X-Request-Id": "request-1"})
    with pytest.raises(WaymarkError) as caught:
        run(database.url, lambda c: c.complete_lesson(LESSON))
    error = caught.value
    assert (error.code, error.status, error.details, error.hint, error.retry_after) == (
        "rule_not_met",
        422,
        {"seconds": 5},
        "h",
        None,
    )
    assert error.request_id == "request-1"
    assert "token" not in str(error)


@both
@pytest.mark.parametrize(
    ("reply", "code", "status"),
    [
        (Reply(502, b"<html>"), "unknown", 502),
        (Reply(500, [1]), "unknown", 500),
        (Reply(200, b"<html>"), "bad_answer", 200),
        (Reply(drop=True), "unreachable", 0),
    ],
)
def test_what_is_no_answer_of_ours_is_an_error_too(
    database: Upstream, run: Run, reply: Reply, code: str, status: int
) -> None:
    database.usual = reply
    with pytest.raises(WaymarkError) as caught:
        run(database.url, lambda c: c.course(7))
    assert (caught.value.code, caught.value.status) == (code, status)


@both
def test_silence_ends_with_the_timeout(run: Run) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(WaymarkError, match="unreachable"),
    ):
        run(f"http://127.0.0.1:{silent.getsockname()[1]}", lambda c: c.course(7), timeout=0.2)


@both
def test_503_is_tried_again_after_the_seconds_it_asks_for(
    database: Upstream, run: Run, naps: list[float]
) -> None:
    database.script(AWAY, AWAY, Reply(200, {"changed": True}))
    assert run(database.url, lambda c: c.complete_lesson(LESSON), retries=2)
    assert len(database.seen) == 3
    assert all(2 <= nap <= 2.25 for nap in naps)
    assert len(naps) == 2


@both
def test_503_is_given_up_after_so_many_tries(
    database: Upstream, run: Run, naps: list[float]
) -> None:
    for retries in (0, 2):
        database.script(*[AWAY] * 9)
        with pytest.raises(WaymarkError) as caught:
            run(database.url, lambda c: c.course(7), retries=retries)
        assert (caught.value.code, caught.value.retry_after) == ("try_again", 2)
        assert len(database.seen) == retries + 1
    assert len(naps) == 2


@both
@pytest.mark.parametrize("status", [400, 401, 409, 429, 500])
def test_nothing_else_is_tried_again(
    database: Upstream, run: Run, naps: list[float], status: int
) -> None:
    database.script(*[Reply(status, {"code": "x", "message": "x"}, {"Retry-After": "1"})] * 5)
    with pytest.raises(WaymarkError):
        run(database.url, lambda c: c.course(7), retries=3)
    assert len(database.seen) == 1
    assert naps == []


def test_another_user_on_the_same_connections(database: Upstream) -> None:
    with WaymarkClient(database.url, "first", apikey="key") as client:
        other = client.acting_as("second")
        other.course(7)
        client.course(7)
        assert other._http is client._http
    assert [seen.headers["authorization"] for seen in database.seen] == [
        "Bearer second",
        "Bearer first",
    ]


def test_an_id_cannot_change_the_path(database: Upstream) -> None:
    with WaymarkClient(database.url) as client:
        client.lesson("../courses/7?x=")
    assert database.seen[0].path == "/progress/lessons/..%2Fcourses%2F7%3Fx%3D"
    assert "authorization" not in database.seen[0].headers


def test_a_time_without_zone_is_refused(database: Upstream) -> None:
    with WaymarkClient(database.url) as client, pytest.raises(ValueError, match="time zone"):
        client.put_lesson(LESSON, last_accessed=datetime(2026, 1, 1))
    assert database.seen == []


def test_types_are_known_to_callers(tmp_path: Path) -> None:
    """What mypy makes of a caller's code: answers typed, the asynchronous ones awaitable."""
    (tmp_path / "caller.py").write_text(
        "from shared.client import AsyncWaymarkClient, WaymarkClient\n"
        "def a(c: WaymarkClient) -> float:\n"
        "    return c.complete_lesson('x')['enrollment']['progress_percent']\n"
        "async def b(c: AsyncWaymarkClient) -> str | None:\n"
        "    return (await c.acting_as('t').complete_lesson('x'))['next_lesson_id']\n"
        "def wrong(c: WaymarkClient) -> None:\n"
        "    c.complete_lesson(5)\n"
        "    c.complete_lesson('x')['nothing']\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(tmp_path)],
        cwd=ROOT,
        env={"MYPYPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert [line.split(":")[1] for line in done.stdout.splitlines() if "error" in line] == [
        "7",
        "8",
    ]


def test_functions_do_not_load_what_they_do_not_need() -> None:
    """Start time is every cold call's wait: no client, no SDK, no types of answers."""
    script = (
        "import sys, main\n"
        "unwanted = ('shared.client', 'httpx', 'supabase', 'postgrest', 'dotenv', 'yaml')\n"
        "print([m for m in sys.modules if m in unwanted or m.startswith('shared.answers')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={
            "PATH": "/usr/bin:/bin",
            "SUPABASE_URL": "http://127.0.0.1:9",
            "SUPABASE_ANON_KEY": "anon",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "[]", done.stderr
