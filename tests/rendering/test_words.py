"""Names and titles as people type them, made fit to print."""

from __future__ import annotations

import pytest

from shared.rendering import words


@pytest.mark.parametrize(
    ("typed", "printed"),
    [
        ("  Ada \t\n Lovelace\u2028", "Ada Lovelace"),
        ("Ada\u00a0Lovelace\u3000x", "Ada Lovelace x"),
        ("A\x00d\x07a\x1b[31m\x7f", "Ada[31m"),
        ("\u202eecalevoL\u202c \u2066Ada\u2069\u200f", "ecalevoL Ada"),
        ("soft\u00adhyphen\ufeff\u200b\u2060", "softhyphen"),
        ("e\u0301", "é"),
        ("lone \ud800 half", "lone \ufffd half"),
        ("flag \U000e0067\U000e007f", "flag"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # Persian needs the non-joiner
        ("क्\u200dष", "क्\u200dष"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("\u200d\u200c", ""),
        ("\u0301\u0302x", "x"),
        ("", ""),
    ],
)
def test_what_draws_nothing_or_breaks_lines_goes(typed: str, printed: str) -> None:
    assert words.clean(typed) == printed


def test_marks_pile_up_no_higher_than_any_language_piles_them() -> None:
    assert words.clean("x" + "\u0316" * 50 + "y") == "x" + "\u0316" * words.MAX_MARKS + "y"


def test_joiners_do_not_make_room_for_more_marks() -> None:
    assert words.clean("a" + "\u200d\u0316" * 50).count("\u0316") == words.MAX_MARKS


def test_ordinary_text_stays_as_it_is() -> None:
    for text in ("Ada Lovelace", "שָׂרָה", "Nguyễn", "กี้", "ปิ่น", "O'Brien", "#[$\\<&>\"'`*_@~"):
        assert words.clean(text) == text


def test_text_has_an_end() -> None:
    made = words.clean("x" * 10_000)
    assert len(made) == words.MAX_CHARACTERS
    assert made.endswith("…")


@pytest.mark.parametrize(
    ("text", "is_right_to_left"),
    [
        ("Ada", False), ("محمد", True), ("שרה", True), ("123 محمد", True), ("Ada محمد", False),
        ("محمد Ada", True), ("123", False), ("", False), ("ނަން", True),
    ],
)  # fmt: skip
def test_direction_is_that_of_the_first_letter(text: str, is_right_to_left: bool) -> None:
    assert words.is_right_to_left(text) is is_right_to_left


@pytest.mark.parametrize(
    ("text", "voice"),
    [
        ("Ada", None), ("123", None), ("Ἀριστοτέλης", ("el", None)), ("Анна", ("ru", None)),
        ("محمد", ("ar", None)), ("שרה", ("he", None)), ("लक्ष्मी", ("hi", None)),
        ("ปรีชา", ("th", None)), ("김하늘", ("ko", None)), ("김 金", ("ko", None)),
        ("さくら", ("ja", None)), ("佐藤さくら", ("ja", None)),
        ("欧阳静怡", ("zh", "CN")), ("歐陽靜怡", ("zh", "TW")), ("ㄅ 王", ("zh", "TW")),
        ("桜井", ("ja", None)), ("王小明", ("zh", "CN")), ("張䶮", ("zh", "CN")),
        ("Ada 王小明", ("zh", "CN")),
    ],
)  # fmt: skip
def test_letters_tell_the_language(text: str, voice: tuple[str, str | None] | None) -> None:
    assert words.voices([text]) == {text: voice}


def test_unclear_characters_follow_the_rest_of_the_page() -> None:
    assert words.voices(["山田太郎", "地図の読み方"])["山田太郎"] == ("ja", None)
    assert words.voices(["王小明", "地圖閱讀"])["王小明"] == ("zh", "TW")
    assert words.voices(["王小明", "Maps", "欧阳"])["王小明"] == ("zh", "CN")
    assert words.voices(["李", "지도"])["李"] == ("ko", None)
