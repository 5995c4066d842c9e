"""A list as CSV: what a cell may hold, and what becomes of a list whose later pages fail."""

from __future__ import annotations

import httpx
import pytest

from functions.analytics import COLUMNS
from shared import spreadsheet
from tests.support.upstream import Reply, Upstream

BROKEN = "# incomplete: the list broke off here ({})"


def page(*names: str, cursor: str | None = None) -> Reply:
    learner = dict.fromkeys(COLUMNS)
    return Reply(body={"learners": [{**learner, "name": name} for name in names], "cursor": cursor})


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("=1", "'=1"), ("+1", "'+1"), ("-1", "'-1"), ("@x", "'@x"), ("\t1", "'\t1"),
        ("\r1", "'\r1"), ("1=", "1="), ("", ""), (None, None), (-1, -1), (1.5, 1.5), (True, "true"),
    ],
)  # fmt: skip
def test_cells(value: object, shown: object) -> None:
    assert spreadsheet.cell(value) == shown


def test_lines_are_quoted_where_they_must_be() -> None:
    assert spreadsheet.lines([["a", None, 'b"c', "d,e"], ["é", 1]]) == (
        'a,,"b""c","d,e"\r\né,1\r\n'.encode()
    )


def ask(functions: httpx.Client, headers: dict[str, str]) -> httpx.Response:
    path = "/analytics/courses/1/learners?sort=percent&limit=2"
    return functions.get(path, headers={**headers, "Accept": "text/csv"})


def test_each_page_follows_the_cursor_of_the_last(
    functions: httpx.Client, database: Upstream, signed_in: dict[str, str]
) -> None:
    database.script(page("a", "b", cursor="x"), page("c", cursor="y"), page("d"))
    response = ask(functions, signed_in)
    assert [line.split(",")[1] for line in response.text.splitlines()] == ["name", *"abcd"]
    asked = [call.json for call in database.seen]
    common = {"p_course_id": 1, "p_sort": "percent", "p_limit": 1000}
    assert asked == [common, {**common, "p_cursor": "x"}, {**common, "p_cursor": "y"}]
    assert "content-length" not in response.headers


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(403, {"code": "not_allowed", "message": "no"}), "not_allowed"),
        (Reply(401, {"code": "PGRST301", "message": "JWT expired"}), "invalid_token"),
        (Reply(500, {"code": "XX000", "message": "secret"}), "internal_error"),
        (Reply(body=b"{"), "internal_error"),
        (Reply(body={}), "internal_error"),
    ],
)
def test_a_broken_stream_says_so_in_its_last_line(
    functions: httpx.Client, database: Upstream, signed_in: dict[str, str], reply: Reply, code: str
) -> None:
    database.script(page("a", cursor="x"), reply)
    response = ask(functions, signed_in)
    assert response.status_code == 200
    lines = response.text.splitlines()
    assert len(lines) == 3
    assert lines[-1] == BROKEN.format(code)
    assert "secret" not in response.text


def test_what_fails_at_once_is_refused(
    functions: httpx.Client, database: Upstream, signed_in: dict[str, str]
) -> None:
    database.script(Reply(403, {"code": "not_allowed", "message": "no"}))
    response = ask(functions, signed_in)
    assert (response.status_code, response.json()["code"]) == (403, "not_allowed")
