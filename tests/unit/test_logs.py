"""The log: one line per call, lines for what happened, and nothing of what a caller wrote."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx
import pytest

from shared import logs
from tests.support import keys
from tests.support.upstream import Reply, Upstream
from tests.unit.conftest import PUBLISHABLE, Serve

# Constant, since they are part of test names, which every worker must spell alike.
USER, LESSON, MODULE = (f"00000000-0000-4000-8000-00000000000{n}" for n in range(3))
TOKEN = keys.hs256(keys.claims(USER, email="someone@example.com"))
SIGNED_IN = {"Authorization": f"Bearer {TOKEN}", "apikey": PUBLISHABLE}
DONE = {
    "progress": {
        "lesson_id": LESSON,
        "course_id": 7,
        "is_completed": True,
        "completed_at": "2026-01-01T00:00:00+00:00",
        "last_accessed": "2026-01-01T00:00:00+00:00",
    },
    "changed": True,
}
COMPLETION = {"user": USER, "lesson": LESSON, "course": 7, "time": "2026-01-01T00:00:00+00:00"}


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_one_line_per_call(
    functions: httpx.Client, database: Upstream, capsys: pytest.CaptureFixture[str]
) -> None:
    headers = {**SIGNED_IN, "X-Request-Id": "request-0001"}
    functions.get(f"/functions/v1/progress/lessons/{LESSON}", headers=headers)
    (line,) = lines(capsys)
    assert line["severity"] == "INFO"
    assert line["httpRequest"]["requestMethod"] == "GET"
    assert line["httpRequest"]["requestUrl"].endswith(LESSON)
    assert line["httpRequest"]["status"] == 200
    assert line["httpRequest"]["latency"].endswith("s")
    assert line["request_id"] == "request-0001"
    assert line["user_id"] == USER
    assert line["function"] == "progress"
    assert line["route"] == "lessons/{lesson}"
    assert line["status"] == 200
    assert line["duration_ms"] > 0
    assert line["logging.googleapis.com/labels"]["request_id"] == "request-0001"
    assert "remoteIp" not in line["httpRequest"]


@pytest.mark.parametrize(
    ("reply", "severity"),
    [
        (Reply(404, {"code": "lesson_not_found", "message": "x"}), "WARNING"),
        (Reply(500, {"code": "XX000", "message": "x"}), "ERROR"),
    ],
)
def test_severity_follows_the_status(
    functions: httpx.Client,
    database: Upstream,
    capsys: pytest.CaptureFixture[str],
    reply: Reply,
    severity: str,
) -> None:
    database.script(reply)
    functions.get(f"/progress/lessons/{LESSON}", headers=SIGNED_IN)
    line = lines(capsys)[-1]
    assert line["severity"] == severity
    assert line["error"]


def test_a_completion_has_its_line(
    functions: httpx.Client, database: Upstream, capsys: pytest.CaptureFixture[str]
) -> None:
    database.script(Reply(200, DONE))
    functions.post(f"/progress/lessons/{LESSON}/complete", headers=SIGNED_IN)
    event, call = lines(capsys)
    assert (event["message"], event["completion"]) == ("completion", COMPLETION)
    assert event["logging.googleapis.com/labels"] == call["logging.googleapis.com/labels"]


def test_a_repeat_is_a_repeat_and_no_completion(
    functions: httpx.Client, database: Upstream, capsys: pytest.CaptureFixture[str]
) -> None:
    database.script(Reply(200, {**DONE, "changed": False}))
    functions.post(f"/progress/lessons/{LESSON}/complete", headers=SIGNED_IN)
    event, _ = lines(capsys)
    assert (event["message"], event["repeated"]) == ("repeated", {"user": USER, "lesson": LESSON})


@pytest.mark.parametrize(
    ("sent", "later", "logged"),
    [
        ({"status": "completed"}, {}, True),
        ({"status": "completed"}, {"last_accessed": "2026-01-02T00:00:00+00:00"}, False),
        ({"position_seconds": 5}, {}, False),
        ({"status": "completed"}, {"is_completed": False}, False),
    ],
)
def test_a_report_of_state_is_a_completion_only_when_it_completed(
    functions: httpx.Client,
    database: Upstream,
    capsys: pytest.CaptureFixture[str],
    sent: dict[str, Any],
    later: dict[str, Any],
    logged: bool,
) -> None:
    progress = {**DONE["progress"], **later}  # type: ignore[dict-item]
    database.script(Reply(200, {"progress": progress, "changed": True}))
    functions.put(f"/progress/lessons/{LESSON}", headers=SIGNED_IN, json=sent)
    assert any("completion" in line for line in lines(capsys)) == logged


def test_a_module_logs_every_lesson_it_completed(
    functions: httpx.Client, database: Upstream, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = [str(uuid.uuid4()) for _ in range(3)]
    answer = {
        "enrollment": {"course_id": 7, "last_accessed_at": "2026-01-01T00:00:00+00:00"},
        "completed_lesson_ids": ids,
        "changed": True,
    }
    database.script(Reply(200, answer))
    functions.post(f"/progress/modules/{MODULE}/complete", headers=SIGNED_IN)
    logged = [line["completion"] for line in lines(capsys) if "completion" in line]
    assert logged == [{**COMPLETION, "lesson": lesson} for lesson in ids]


def test_a_recalculation_logs_old_and_new(
    functions: httpx.Client, database: Upstream, capsys: pytest.CaptureFixture[str]
) -> None:
    one = {"enrollment_id": LESSON, "old_percent": 20, "progress_percent": 25, "changed": 1}
    database.script(Reply(200, one), Reply(200, {"checked": 9, "changed": 2, "cursor": None}))
    functions.post("/recalculate", headers=SIGNED_IN, json={"enrollment_id": LESSON})
    functions.post("/recalculate", headers=SIGNED_IN, json={"course_id": 7})
    logged = [line["recalculation"] for line in lines(capsys) if "recalculation" in line]
    assert logged == [
        {"enrollment": LESSON, "old_percent": 20, "new_percent": 25},
        {"checked": 9, "changed": 2, "cursor": None},
    ]


def test_not_enrolled_has_its_line(
    functions: httpx.Client, database: Upstream, capsys: pytest.CaptureFixture[str]
) -> None:
    database.script(Reply(403, {"code": "not_enrolled", "message": "Not enrolled in this course"}))
    functions.post(f"/progress/lessons/{LESSON}/start", headers=SIGNED_IN)
    event, _ = lines(capsys)
    assert event["not_enrolled"] == {"user": USER, "lesson": LESSON}


@pytest.mark.parametrize(
    ("headers", "trace", "span", "sampled"),
    [
        ({"X-Cloud-Trace-Context": "a" * 32 + "/255;o=1"}, "a" * 32, "00000000000000ff", True),
        ({"X-Cloud-Trace-Context": "a" * 32}, "a" * 32, None, False),
        ({"traceparent": f"00-{'b' * 32}-{'c' * 16}-01"}, "b" * 32, "c" * 16, True),
        ({"traceparent": "00-junk"}, None, None, None),
        ({}, None, None, None),
    ],
)
def test_the_callers_trace(
    serve: Serve,
    capsys: pytest.CaptureFixture[str],
    headers: dict[str, str],
    trace: str | None,
    span: str | None,
    sampled: bool | None,
) -> None:
    serve(GOOGLE_CLOUD_PROJECT="shop").get("/progress/courses/7", headers=headers)
    line = lines(capsys)[-1]
    expected = f"projects/shop/traces/{trace}" if trace else None
    assert line.get("logging.googleapis.com/trace") == expected
    assert line.get("logging.googleapis.com/spanId") == span
    assert line.get("logging.googleapis.com/trace_sampled") == sampled


def test_the_level_silences_calls_that_went_well(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    client = serve(LOG_LEVEL="WARNING")
    client.get("/progress/courses/7", headers=SIGNED_IN)
    assert lines(capsys) == []
    client.get("/progress/courses/7")
    assert len(lines(capsys)) == 1
    logs.configure("INFO")


def test_the_frameworks_execution_ids_join_our_lines(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    """With LOG_EXECUTION_ID, as on Google, the framework sets logging up anew around us."""
    client = serve(LOG_EXECUTION_ID="true")
    client.get("/progress/courses/7", headers={"Function-Execution-Id": "execution-7"})
    (line,) = lines(capsys)
    labels = line["logging.googleapis.com/labels"]
    assert labels["execution_id"] == "execution-7"
    assert labels["request_id"] == line["request_id"]


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/", "/"),
        ("/functions/v1/progress/courses/7/next", "/functions/v1/progress/courses/7/next"),
        (f"/progress/lessons/{LESSON}", f"/progress/lessons/{LESSON}"),
        ("/progress//me@example.com/x/", "/progress/…/x"),
        ("/eyJhbGciOiJub25lIn0/sb_secret_1", "/…/…"),
        ("/" + "a/" * 50, "/" + "/".join("a" * 8)),
    ],
)
def test_paths_are_shown_without_what_may_be_private(path: str, shown: str) -> None:
    assert logs.harmless_path(path) == shown


def test_nothing_a_caller_wrote_is_logged(
    functions: httpx.Client,
    database: Upstream,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Secrets in every place a caller can write to, over every outcome."""
    secret = "s3cret-someone@example.com"
    bad = keys.hs256(keys.claims(USER, email=secret), secret="x" * 40)
    noise = {
        "X-Request-Id": secret,
        "User-Agent": secret,
        "Referer": f"https://x/?{secret}",
        "X-Cloud-Trace-Context": secret,
        "traceparent": secret,
        "Cookie": secret,
        "apikey": secret,
    }
    outcomes = [
        Reply(200, {**DONE, "note": secret}),
        Reply(200, {"changed": False, "answer": secret}),
        Reply(403, {"code": "not_enrolled", "message": secret, "details": secret}),
        Reply(400, {"code": "22P02", "message": secret}),
        Reply(500, {"code": "XX000", "message": secret, "details": secret}),
        Reply(500, {"code": secret, "message": secret}),
        Reply(502, secret.encode()),
        Reply(drop=True),
    ]
    for authorization in (f"Bearer {TOKEN}", f"Bearer {bad}", f"Basic {secret}", secret):
        for where in (
            f"/progress/lessons/{LESSON}/complete",
            f"/progress/lessons/{secret}/complete",
            f"/progress/{secret}",
            f"/{secret}/{secret}",
        ):
            for content in (b"", json.dumps({secret: secret}).encode(), secret.encode()):
                database.script(*outcomes)
                for _ in outcomes:
                    functions.post(
                        f"{where}?token={secret}&apikey={TOKEN}",
                        headers={**noise, "Authorization": authorization},
                        content=content,
                    )
    captured = capsys.readouterr()
    written = captured.out + captured.err
    assert len(written.splitlines()) > 100
    assert USER in written
    for leaked in (secret, "s3cret", "someone", TOKEN, TOKEN.split(".")[2], bad, PUBLISHABLE):
        assert leaked not in written
    assert keys.SECRET not in written
