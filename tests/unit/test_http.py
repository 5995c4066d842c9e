"""The boundary itself: paths, origins, bodies as they arrive, request ids, faults within."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from shared import http
from shared.http import MAX_BODY
from tests.support import keys
from tests.support.upstream import Reply, Upstream
from tests.unit.conftest import Serve

LESSON = str(uuid.uuid4())
COMPLETE = f"/progress/lessons/{LESSON}/complete"


@pytest.mark.parametrize("prefix", ["/functions/v1/progress", "/progress"])
@pytest.mark.parametrize("ending", ["", "/"])
def test_prefixes_mean_the_same(
    functions: httpx.Client, signed_in: dict[str, str], prefix: str, ending: str
) -> None:
    response = functions.get(f"{prefix}/courses/7/next{ending}", headers=signed_in)
    assert response.status_code == 200


@pytest.mark.parametrize("prefix", ["/functions/v1/progress", "/progress", ""])
def test_a_function_with_a_host_to_itself_needs_no_name(
    serve: Serve, signed_in: dict[str, str], database: Upstream, prefix: str
) -> None:
    client = serve("progress")
    assert client.get(f"{prefix}/courses/7", headers=signed_in).status_code == 200
    assert database.seen[0].path == "/rest/v1/rpc/get_course_progress"
    assert client.get("/recalculate", headers=signed_in).status_code == 404


@pytest.mark.parametrize("where", ["/", "/recalculate", "/functions/v1/recalculate/"])
def test_the_recalculate_target(serve: Serve, signed_in: dict[str, str], where: str) -> None:
    client = serve("recalculate")
    assert client.post(where, headers=signed_in, json={"course_id": 7}).status_code == 200


def test_postgrest_can_be_called_without_its_gateway(
    serve: Serve, database: Upstream, signed_in: dict[str, str]
) -> None:
    client = serve(POSTGREST_URL=f"{database.url}/")
    client.get("/progress/courses/7", headers=signed_in)
    assert database.seen[0].path == "/rpc/get_course_progress"
    assert database.seen[0].headers["apikey"] == "sb_publishable_for_tests"


def test_head_answers_as_get_without_the_body(
    functions: httpx.Client, database: Upstream, signed_in: dict[str, str]
) -> None:
    database.usual = Reply(200, b'{"total":3}')
    got = functions.get("/progress/courses/7", headers=signed_in)
    head = functions.head("/progress/courses/7", headers=signed_in)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"] == "11"
    assert functions.head("/progress/courses/7").status_code == 401
    # The connection is still in step.
    assert functions.get("/progress/courses/7", headers=signed_in).json() == {"total": 3}


def test_commands_take_no_body_or_an_empty_one(
    functions: httpx.Client, database: Upstream, signed_in: dict[str, str]
) -> None:
    for content in (b"", b"{}", b" \n"):
        response = functions.post(COMPLETE, headers=signed_in, content=content)
        assert response.status_code == 200
    assert all(seen.json == {"p_lesson_id": LESSON} for seen in database.seen)


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("application/vnd.api+json", 200),
        ("text/plain;charset=UTF-8", 415),
        ("application/jsonp", 415),
        ("multipart/form-data; boundary=x", 415),
        ("", 415),
    ],
)
def test_only_json_is_read(
    functions: httpx.Client, signed_in: dict[str, str], content_type: str, status: int
) -> None:
    headers = {**signed_in, "Content-Type": content_type}
    assert functions.post(COMPLETE, headers=headers, content=b"{}").status_code == status


def test_a_compressed_body_is_not_read(functions: httpx.Client, signed_in: dict[str, str]) -> None:
    headers = {**signed_in, "Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert functions.post(COMPLETE, headers=headers, content=b"{}").status_code == 415


def test_a_stream_is_cut_at_the_limit_whatever_it_claims(
    functions: httpx.Client, signed_in: dict[str, str]
) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 4 * MAX_BODY:
            sent += 65536
            yield b" " * 65536

    headers = {**signed_in, "Content-Type": "application/json"}
    response = functions.post(COMPLETE, headers=headers, content=endless())
    assert response.status_code == 413
    assert response.json()["code"] == "body_too_large"
    assert functions.post(COMPLETE, headers=headers, content=b" " * MAX_BODY).status_code == 200


def test_a_body_that_does_not_come_is_given_up(
    functions: httpx.Client, signed_in: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.http.BODY_SECONDS", 0.2)

    def slow() -> Iterator[bytes]:
        for _ in range(20):
            yield b" "
            time.sleep(0.1)

    headers = {**signed_in, "Content-Type": "application/json"}
    response = functions.post(COMPLETE, headers=headers, content=slow())
    assert response.status_code == 408
    assert response.json()["code"] == "body_too_slow"
    # What may still come is nobody's next request.
    assert response.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("abcdefgh", True),
        ("0b8e9d3c-5a5f-4b6e-9c3d-2f1e0a9b8c7d", True),
        ("01J:req.42_x", True),
        ("short", False),
        ("x" * 65, False),
        ("someone@example.com", False),
        ("two words", False),
        ('"quote"8', False),
    ],
)
def test_request_ids(functions: httpx.Client, given: str, kept: bool) -> None:
    response = functions.get("/progress/courses/7", headers={"X-Request-Id": given})
    answered = response.headers["x-request-id"]
    assert (answered == given) == kept
    assert kept or re.fullmatch(r"[0-9a-f]{32}", answered)


def test_listed_origins_only(serve: Serve, signed_in: dict[str, str]) -> None:
    client = serve(WAYMARK_ALLOWED_ORIGINS="https://a.example, https://b.example/")
    for origin in ("https://a.example", "https://b.example"):
        for method in ("GET", "OPTIONS"):
            response = client.request(method, "/progress/courses/7", headers={"Origin": origin})
            assert response.headers["access-control-allow-origin"] == origin
            assert response.headers["vary"] == "Origin"
    for headers in ({"Origin": "https://c.example"}, {}):
        response = client.get("/progress/courses/7", headers=headers)
        assert "access-control-allow-origin" not in response.headers
        assert response.headers["vary"] == "Origin"


def test_a_fault_within_is_our_500_and_tells_nothing(
    functions: httpx.Client,
    signed_in: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def broken(*_: Any, **__: Any) -> bytes:
        raise RuntimeError("secret inside")

    monkeypatch.setattr(http.app().database, "call", broken)
    response = functions.get("/progress/courses/7", headers=signed_in)
    assert response.status_code == 500
    assert response.json()["code"] == "internal_error"
    assert response.headers["access-control-allow-origin"] == "*"
    out = capsys.readouterr()
    assert "RuntimeError" in out.out
    assert "secret inside" not in response.text + out.out + out.err


def test_a_report_that_fails_does_not_deny_what_was_done(
    functions: httpx.Client,
    database: Upstream,
    signed_in: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    database.script(Reply(200, {"changed": True, "progress": {"unexpected": 1}}))
    assert functions.post(COMPLETE, headers=signed_in).status_code == 200
    assert "report failed" in capsys.readouterr().out


def test_a_bad_environment_stops_the_start(serve: Serve) -> None:
    with pytest.raises(SystemExit, match="SUPABASE_JWT_SECRET"):
        serve(SUPABASE_JWT_SECRET="short")


def test_keys_are_fetched_from_the_project(serve: Serve, database: Upstream) -> None:
    key = keys.ec_key()
    database.paths["/auth/v1/.well-known/jwks.json"] = Reply(200, keys.jwks(key).encode())
    client = serve()
    for _ in range(2):
        headers = {"Authorization": f"Bearer {key.sign(keys.claims())}"}
        assert client.get("/progress/courses/7", headers=headers).status_code == 200
    fetched = [seen for seen in database.seen if seen.path.endswith("jwks.json")]
    assert len(fetched) == 1
    assert "authorization" not in fetched[0].headers


def test_keys_that_cannot_be_fetched_are_503(serve: Serve, database: Upstream) -> None:
    database.paths["/auth/v1/.well-known/jwks.json"] = Reply(500, b"<html>")
    client = serve()
    headers = {"Authorization": f"Bearer {keys.ec_key().sign(keys.claims())}"}
    response = client.get("/progress/courses/7", headers=headers)
    assert (response.status_code, response.json()["code"]) == (503, "auth_unavailable")
    assert response.headers["retry-after"]


def test_no_cookie_of_one_call_goes_with_the_next(
    serve: Serve, database: Upstream, signed_in: dict[str, str]
) -> None:
    # By name: cookie jars pass over addresses that are numbers.
    client = serve(SUPABASE_URL=database.url.replace("127.0.0.1", "localhost"))
    database.usual = Reply(200, b"null", {"Set-Cookie": "session=someone; Path=/"})
    for _ in range(2):
        response = client.get("/progress/courses/7", headers=signed_in)
        assert response.status_code == 200
        assert "set-cookie" not in response.headers
    assert len(database.seen) == 2
    assert all("cookie" not in seen.headers for seen in database.seen)


def test_methods_the_framework_answers_itself_are_never_html(functions: httpx.Client) -> None:
    """PROPFIND and /robots.txt do not reach a function: short plain text, no page."""
    for method, where in (("PROPFIND", "/progress"), ("GET", "/robots.txt")):
        response = functions.request(method, where)
        assert response.status_code in (404, 405)
        assert response.headers["content-type"].startswith("text/plain")
