"""The docs become a site, their anchors exist, and the queries that they give run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from local.bootstrap import ROOT
from tests.stack import Stack

DOCS = ROOT / "docs"


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    mkdocs = Path(sys.executable).with_name("mkdocs")
    site = ["--config-file", ROOT / "local" / "site.yml", "--site-dir", tmp_path]
    done = subprocess.run(
        [mkdocs, "build", "--strict", "--quiet", *site], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    built = {path.relative_to(tmp_path).with_suffix(".md") for path in tmp_path.rglob("*.html")}
    assert {path.relative_to(DOCS) for path in DOCS.rglob("*.md")} <= built
    # It fetches nothing from anywhere.
    page = (tmp_path / "index.html").read_text("utf-8")
    assert re.findall(r"<(?:script|link rel=.stylesheet)[^>]*https?://", page) == []


@pytest.mark.parametrize("page", ["how-to/monitor.md", "explanation/left-out.md"])
def test_the_queries_of_a_page_run(stack: Stack, page: str) -> None:
    queries = re.findall(r"```sql\n(select.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)
    assert queries
    with stack.connect() as connection:
        for query in queries:
            text = re.sub(r"<[a-z][^>]*>", "1", query)
            connection.execute(text.encode())
