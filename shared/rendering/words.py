"""Names and titles as they may be printed: what people typed, without what would break a page.

Nothing here is about template languages: text reaches a template as data and stays literal there.
This is about characters that draw nothing, turn others around, or pile up without end.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

MAX_CHARACTERS = 500
MAX_MARKS = 4  # on one letter: Vietnamese needs two, pointed Hebrew with accents up to four

# Kept though they draw nothing: joiners, which Persian, Indic scripts and emoji are spelled with.
_JOINERS = "\u200c\u200d"

_LANGUAGES = {
    "ARABIC": "ar", "ARMENIAN": "hy", "BENGALI": "bn", "BOPOMOFO": "zh", "CYRILLIC": "ru",
    "DEVANAGARI": "hi", "ETHIOPIC": "am", "GEORGIAN": "ka", "GREEK": "el", "GUJARATI": "gu",
    "GURMUKHI": "pa", "HANGUL": "ko", "HEBREW": "he", "HIRAGANA": "ja", "KANNADA": "kn",
    "KATAKANA": "ja", "KHMER": "km", "LAO": "lo", "MALAYALAM": "ml", "MYANMAR": "my",
    "ORIYA": "or", "SINHALA": "si", "TAMIL": "ta", "TELUGU": "te", "THAI": "th", "TIBETAN": "bo",
}  # fmt: skip

Voice = tuple[str, str | None]  # language and region, as in zh and TW

_TRADITIONAL, _SIMPLIFIED = ("zh", "TW"), ("zh", "CN")


def clean(text: str) -> str:
    """`text` in normal form, on one line, without control characters, and bounded.

    Bidirectional overrides, tags and other invisible format characters go; so do marks piled up
    beyond what any language writes.
    """
    kept: list[str] = []
    marks = 0
    for character in unicodedata.normalize("NFC", text):
        category = unicodedata.category(character)
        if category in ("Mn", "Me"):
            marks += 1
            if marks > MAX_MARKS or not kept:
                continue
        elif character not in _JOINERS:
            marks = 0
        if category == "Cs":
            kept.append("\ufffd")
        elif category in ("Zs", "Zl", "Zp") or character in "\t\n\r\v\f\x85":
            kept.append(" ")
        elif category not in ("Cc", "Cf") or character in _JOINERS:
            kept.append(character)
    line = " ".join("".join(kept).split(" ")).strip(_JOINERS + " ")
    line = re.sub(" {2,}", " ", line)
    return line if len(line) <= MAX_CHARACTERS else line[: MAX_CHARACTERS - 1].rstrip() + "…"


def is_right_to_left(text: str) -> bool:
    """Whether the first letter with a direction is one that runs from right to left."""
    for character in text:
        direction = unicodedata.bidirectional(character)
        if direction in ("L", "R", "AL"):
            return direction != "L"
    return False


def voices(texts: Iterable[str]) -> dict[str, Voice | None]:
    """The language of each text as its script shows it, None where that is the page's own.

    Chinese characters alone may be Chinese or Japanese, which draw them differently: then the
    other texts of the same page decide.
    """
    found = {text: _voice(text) for text in texts}
    unclear = [text for text, voice in found.items() if voice == ("zh", None)]
    if unclear:
        known = (
            voice
            for voice in found.values()
            if voice is not None and voice[0] in ("zh", "ja", "ko") and voice != ("zh", None)
        )
        found |= dict.fromkeys(unclear, next(known, _SIMPLIFIED))
    return found


def _voice(text: str) -> Voice | None:
    scripts: dict[str, int] = {}
    for character in text:
        if character.isalpha():
            script = _script(character)
            scripts[script] = scripts.get(script, 0) + 1
    if not scripts:
        return None
    for script in ("HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"):
        if script in scripts:
            language = _LANGUAGES[script]
            return _TRADITIONAL if language == "zh" else (language, None)
    if "CJK" in scripts:
        return _chinese("".join(c for c in text if _script(c) == "CJK"))
    most = max(scripts, key=lambda script: scripts[script])
    return (_LANGUAGES[most], None) if most in _LANGUAGES else None


def _chinese(text: str) -> Voice:
    """Whose characters these are, by the national standards that hold all of them."""
    simplified, traditional = _fits(text, "gb2312"), _fits(text, "big5")
    if simplified and traditional:
        return ("zh", None)
    if simplified:
        return _SIMPLIFIED
    if traditional:
        return _TRADITIONAL
    return ("ja", None) if _fits(text, "shift_jis") else _SIMPLIFIED


def _fits(text: str, standard: str) -> bool:
    try:
        text.encode(standard)
    except UnicodeEncodeError:
        return False
    return True


def _script(character: str) -> str:
    """The first word of the character's name, which is its script for all letters."""
    return unicodedata.name(character, "?").split(" ")[0].split("-")[0]
