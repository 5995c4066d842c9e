"""The certificate as shipped: what others find in the file, and how it looks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

import pytest
from PIL import ImageChops

from shared.rendering import CertificateFacts, Paper, RenderError
from shared.rendering import render as render_anew
from tests.rendering import reading
from tests.rendering.conftest import Render
from tests.rendering.samples import ADA, MORE_NAMES, SCRIPTS, facts

KB = 1000
BARE = CertificateFacts(
    learner_name="Ada Lovelace",
    course_title="Reading Maps",
    completed_on=date(2026, 11, 1),
    issued_on=date(2026, 11, 2),
    code="K7QW-3MPX",
    verify_url="http://127.0.0.1:54321/functions/v1/certificates/verify/K7QW-3MPX",
)

each_script = pytest.mark.parametrize("sample", SCRIPTS.values(), ids=SCRIPTS.keys())


def test_the_same_facts_give_the_same_bytes_in_every_process(
    rendered: Render, new_press: Callable[[], None]
) -> None:
    first = [rendered(ADA), rendered(SCRIPTS["Japanese"], paper="letter")]
    new_press()
    # In the other order, too: nothing of one certificate is left for the next.
    again = [render_anew(SCRIPTS["Japanese"], paper="letter"), render_anew(ADA)]
    assert first == again[::-1]
    assert rendered(replace(ADA, code="K7QW-3MPX-9DTR-HV4D")) != first[0]


@pytest.mark.parametrize(("paper", "size"), [("a4", (297.0, 210.0)), ("letter", (279.4, 215.9))])
def test_it_is_one_page_on_either_paper(
    rendered: Render, paper: Paper, size: tuple[float, float]
) -> None:
    assert reading.size(rendered(ADA, paper=paper)) == size


@each_script
def test_it_is_small(rendered: Render, sample: CertificateFacts) -> None:
    assert len(rendered(sample)) < 100 * KB


def test_the_document_says_what_it_is(rendered: Render) -> None:
    reader = reading.reader(rendered(ADA))
    about = reader.metadata
    assert about is not None
    assert about.title == (
        "Certificate of Completion: Reading Maps: Contours, Bearings and Scale \u2013 Ada Lovelace"
    )
    assert about.author == "The Open Cartography School"
    assert about.subject == ("Ada Lovelace completed Reading Maps: Contours, Bearings and Scale")
    assert about.get("/Keywords") == f"certificate, {ADA.code}, {ADA.verify_url}"
    assert about.creation_date == datetime.fromisoformat("2026-11-21T00:00:00+00:00")
    root = reader.root_object
    assert root["/Lang"] == "en"
    assert root["/MarkInfo"]["/Marked"]
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]


@each_script
def test_it_claims_to_be_fit_for_archives_and_screen_readers(
    rendered: Render, sample: CertificateFacts
) -> None:
    metadata = reading.reader(rendered(sample)).root_object["/Metadata"].get_data().decode()
    assert re.search(r"<pdfaid:part>2</pdfaid:part><pdfaid:conformance>A<", metadata)
    assert "<pdfuaid:part>1</pdfuaid:part>" in metadata


@each_script
def test_every_script_is_drawn_from_a_font_and_can_be_read_back(
    rendered: Render, sample: CertificateFacts
) -> None:
    pdf = rendered(sample)
    assert reading.missing_glyphs(pdf) == 0
    text = reading.text(pdf)
    assert reading.squeezed(sample.learner_name) in text
    # Of what stands in a line with others, pdfium guesses the order when directions mix.
    for words in (sample.course_title, sample.author or ""):
        assert Counter(reading.squeezed(words)) <= Counter(text)


@pytest.mark.parametrize("name", MORE_NAMES)
def test_names_in_other_scripts_are_drawn_from_a_font(rendered: Render, name: str) -> None:
    assert reading.missing_glyphs(rendered(facts(name, "Reading Maps"))) == 0


def test_a_letter_that_no_font_has_shows_as_a_box(rendered: Render) -> None:
    pdf = rendered(facts("Ada \U00010500\u13e3", "Reading Maps \ue000"))
    assert reading.missing_glyphs(pdf) == 3
    assert "AdaLovelace" not in reading.text(pdf)
    assert "ReadingMaps" in reading.text(pdf)


@each_script
def test_the_code_on_the_print_leads_to_the_verify_page(
    rendered: Render, sample: CertificateFacts
) -> None:
    for paper in ("a4", "letter"):
        assert reading.codes(rendered(sample, paper=paper)) == [ADA.verify_url]


@pytest.mark.parametrize("length", [10, 60, 150, 300, 420])
def test_the_code_is_read_however_long_the_address(rendered: Render, length: int) -> None:
    address = "https://example.org/" + ("k7Qw3mPx" * 60)[:length]
    pdf = rendered(replace(ADA, verify_url=address))
    assert reading.codes(pdf) == [address]
    assert reading.links(pdf) == {address}


def test_everything_it_is_told_is_on_it(rendered: Render) -> None:
    text = reading.text(rendered(ADA))
    for words in (
        "The Open Cartography School", "Ada Lovelace", "Reading Maps: Contours, Bearings and Scale",
        "taught by Inge Lehmann", "24 hours", "final score 92.5%", "20 November 2026",
        "21 November 2026", "21 November 2029", ADA.code, ADA.verify_url,
    ):  # fmt: skip
        assert reading.squeezed(words) in text, words


def test_what_it_is_not_told_is_left_out(rendered: Render) -> None:
    text = reading.text(rendered(BARE))
    assert "1November2026" in text
    for words in ("none", "None", "taught", "hours", "score", "until", "%", "·"):
        assert words not in text, words


@pytest.mark.parametrize(
    ("number", "text"),
    [("100", "100%"), ("100.00", "100%"), ("1E+2", "100%"), ("66.67", "66.67%"), ("0", "0%")],
)
def test_numbers_are_written_as_people_write_them(rendered: Render, number: str, text: str) -> None:
    assert f"finalscore{text}" in reading.text(rendered(replace(BARE, score=Decimal(number))))


def test_digits_within_text_from_right_to_left_keep_their_order(rendered: Render) -> None:
    pdf = rendered(facts("فاطمة", "مقدمة 2026 (GIS)", "زهبة"))
    text = reading.text(pdf)
    assert "2026" in text
    # The author's name moves nothing beside it.
    assert "24hours" in text
    # The word, then the year to its left, then what is in brackets.
    brackets, year, word = (reading.place(pdf, letter, 100, 135) for letter in "G2م")
    assert brackets < year < word


def test_one_character_is_drawn_as_its_language_draws_it(rendered: Render) -> None:
    """Chinese and Japanese share code points, not shapes; the course tells whose name it is."""
    pictures = [
        reading.picture(rendered(facts("骨直", title))).crop((0, 340, 1684, 500))
        for title in ("地图阅读", "地圖閱讀", "地図の読み方", "Maps")
    ]
    simplified, traditional, japanese, unknown = pictures
    for one, other in ((simplified, traditional), (simplified, japanese), (traditional, japanese)):
        assert ImageChops.difference(one, other).getbbox() is not None
    assert ImageChops.difference(simplified, unknown).getbbox() is None


@pytest.mark.parametrize("address", ["javascript:alert(1)", "", "/certificates/verify/x", "x" * 9])
def test_only_a_web_address_becomes_a_link(address: str) -> None:
    with pytest.raises(RenderError, match="verify_url must start with"):
        render_anew(replace(ADA, verify_url=address))


def test_an_address_too_long_for_a_code_is_refused() -> None:
    with pytest.raises(RenderError, match="longer than 500"):
        render_anew(replace(ADA, verify_url="https://example.org/" + "x" * 600))


def test_an_unknown_paper_is_refused() -> None:
    with pytest.raises(RenderError, match="paper must be a4 or letter"):
        render_anew(ADA, paper="a5")  # type: ignore[arg-type]
