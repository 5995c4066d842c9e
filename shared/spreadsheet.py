"""Lists as CSV, for spreadsheets and other programs: a page at a time, in constant memory."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from shared import logs
from shared.errors import Problem

CSV = "text/csv; charset=utf-8"

# What a spreadsheet would run as a formula, full-width forms included.
_FORMULA = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def cell(value: Any) -> Any:
    """A value as a spreadsheet may have it: an apostrophe keeps text from being a formula."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def lines(rows: Iterable[Sequence[Any]]) -> bytes:
    """Rows as lines of CSV (RFC 4180); None is an empty cell."""
    text = io.StringIO()
    csv.writer(text).writerows([cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


Page = Mapping[str, Any]


async def pages(
    first: Page,
    following: Callable[[str], Awaitable[Page]],
    render: Callable[[Page], bytes],
    failed: Callable[[str], None],
) -> AsyncIterator[bytes]:
    """The pages from `first` on, each asked for by the cursor of the one before it.

    The status is long sent when a later page fails: then `failed` is told the error's code, and a
    last line of one cell that begins with "# incomplete" tells the reader.
    """
    page = first
    try:
        yield render(page)
        while page["cursor"] is not None:
            page = await following(page["cursor"])
            yield render(page)
    except Problem as problem:
        code = problem.code
    except Exception as error:
        code = "internal_error"
        logs.write("ERROR", f"unexpected: {logs.fault(error)}")
    else:
        return
    failed(code)
    yield lines([[f"# incomplete: the list broke off here ({code})"]])
