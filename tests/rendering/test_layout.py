"""Whatever the names and titles, all stays in its place: no text in the border or in other text."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from shared.rendering import CertificateFacts, Paper
from tests.rendering import reading
from tests.rendering.conftest import Render
from tests.rendering.reading import MM
from tests.rendering.samples import ADA, LONG, SCRIPTS

# Where each row of text lies on the certificate as shipped, in millimetres from the top.
ROWS = {
    "issuer": (21, 29), "heading": (29, 50), "certify": (50, 60), "name": (60, 89),
    "completed": (96, 106), "title": (106, 134), "author": (134, 143),
}  # fmt: skip
FOOT = {"dates and code": (61, 27), "address": (27, 19)}  # from the bottom
SIDE = 27  # from the left, and from the right but for the code under the QR code
PAPERS: dict[Paper, tuple[float, float]] = {"a4": (297.0, 210.0), "letter": (279.4, 215.9)}
SLACK = 0.8  # what ink may stand out of its line, as accents on capitals do


def name_of(pdf: bytes) -> list[reading.Box]:
    return [box for box in reading.ink(pdf) if 60 < (box.top + box.bottom) / 2 < 89]


@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize(
    "sample",
    [*LONG.values(), *SCRIPTS.values()],
    ids=[*(f"long {name}" for name in LONG), *SCRIPTS],
)
def test_text_stays_in_its_row_and_within_the_border(
    rendered: Render, sample: CertificateFacts, paper: Paper
) -> None:
    pdf = rendered(sample, paper=paper)
    width, height = PAPERS[paper]
    rows = [*ROWS.values(), *((height - top, height - bottom) for top, bottom in FOOT.values())]
    found = reading.ink(pdf)
    assert len(found) > 8
    for box in found:
        assert any(
            top - SLACK <= box.top and box.bottom <= bottom + SLACK for top, bottom in rows
        ), box
        assert SIDE - SLACK <= box.left <= box.right <= width - SIDE + 3 + SLACK, box

    # The same by eye: blank paper around the border, and between the border and the text.
    page = reading.picture(pdf).convert("L")
    edge, border, text = (round(mm * MM * 2) for mm in (8.5, 16.5, SIDE - 4))
    for strip in (
        (0, 0, page.width, edge), (0, page.height - edge, page.width, page.height),
        (0, 0, edge, page.height), (page.width - edge, 0, page.width, page.height),
        (border, border, text, page.height - border),
        (page.width - text, border, page.width - border, page.height - border),
    ):  # fmt: skip
        assert page.crop(strip).getextrema() == (255, 255), strip


@pytest.mark.parametrize("sample", LONG.values(), ids=LONG.keys())
def test_no_text_covers_the_code(rendered: Render, sample: CertificateFacts) -> None:
    assert reading.codes(rendered(sample, paper="letter")) == [sample.verify_url]


def test_a_long_name_is_set_on_lines_of_like_length_that_do_not_touch(rendered: Render) -> None:
    lines = sorted(name_of(rendered(LONG["words"])), key=lambda box: box.top)
    assert len(lines) == 3
    widths = sorted(line.right - line.left for line in lines)
    assert widths[0] > 0.75 * widths[-1]
    assert all(upper.bottom < lower.top for upper, lower in pairwise(lines))


def test_a_short_name_is_set_large_and_in_the_middle(rendered: Render) -> None:
    (name,) = name_of(rendered(ADA))
    assert name.bottom - name.top > 10
    assert abs((name.left + name.right) / 2 - 297 / 2) < 0.5


def test_longer_names_are_set_smaller_and_in_full(rendered: Render) -> None:
    heights = []
    for count in (1, 2, 4, 8, 16):
        pdf = rendered(replace(ADA, learner_name=" ".join(["Adelheid"] * count)))
        assert reading.text(pdf).count("Adelheid") == count
        heights.append(max(box.bottom - box.top for box in name_of(pdf)))
    assert all(longer <= shorter + 0.01 for shorter, longer in pairwise(heights))
