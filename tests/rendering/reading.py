"""What others find in a PDF: pdfium its looks and text, pypdf its structure, ZXing its code."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pypdf
import pypdf.generic
import pypdfium2
import pypdfium2.raw
import zxingcpp
from PIL import Image

MM = 72 / 25.4
INVISIBLE = "\u200b\u200c\u200d\u2068\u2069\ufeff"


@dataclass(frozen=True)
class Box:
    """The ink of a piece of text, in millimetres from the upper left corner of the page."""

    left: float
    top: float
    right: float
    bottom: float


def size(pdf: bytes) -> tuple[float, float]:
    """Width and height of the one page, in millimetres."""
    document = pypdfium2.PdfDocument(pdf)
    assert len(document) == 1
    width, height = document[0].get_size()
    return round(width / MM, 1), round(height / MM, 1)


def picture(pdf: bytes, scale: float = 2.0) -> Image.Image:
    return pypdfium2.PdfDocument(pdf)[0].render(scale=scale).to_pil()


def text(pdf: bytes) -> str:
    """The page's text as pdfium reads it, in normal form, without spaces and invisible characters.

    Letters that pdfium takes from a font's own presentation forms read as the letters they are.
    """
    found: str = pypdfium2.PdfDocument(pdf)[0].get_textpage().get_text_range()
    return squeezed(found)


def squeezed(words: str) -> str:
    kept = unicodedata.normalize("NFKC", words)
    return "".join(c for c in kept if not c.isspace() and c not in INVISIBLE)


def ink(pdf: bytes) -> list[Box]:
    """Where the pieces of text are."""
    page = pypdfium2.PdfDocument(pdf)[0]
    height = page.get_height()
    boxes = []
    for thing in page.get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_TEXT], max_depth=8):
        left, bottom, right, top = thing.get_bounds()
        boxes.append(Box(left / MM, (height - top) / MM, right / MM, (height - bottom) / MM))
    return boxes


def place(pdf: bytes, letter: str, top: float, bottom: float) -> float:
    """How far from the left the first such letter between two heights is, in millimetres."""
    page = pypdfium2.PdfDocument(pdf)[0]
    height, found = page.get_height(), page.get_textpage()
    for index in range(found.count_chars()):
        left, _, _, upper = found.get_charbox(index)
        if found.get_text_range(index, 1) == letter and top < (height - upper) / MM < bottom:
            return float(left / MM)
    raise AssertionError(f"no {letter} there")


def codes(pdf: bytes) -> list[str]:
    """What the QR codes on the printed page say."""
    return [found.text for found in zxingcpp.read_barcodes(picture(pdf, 3.0))]


def reader(pdf: bytes) -> pypdf.PdfReader:
    return pypdf.PdfReader(io.BytesIO(pdf))


def links(pdf: bytes) -> set[str]:
    annotations = reader(pdf).pages[0].get("/Annots", [])
    return {str(a.get_object()["/A"]["/URI"]) for a in annotations}


def missing_glyphs(pdf: bytes) -> int:
    """How many glyphs on the page are .notdef, the box that stands for a letter no font has."""
    page = reader(pdf).pages[0]
    return sum(codes.count(b"\x00\x00") for codes in _shown(page, page.get_contents()))


def _shown(page: Any, content: Any) -> Iterator[list[bytes]]:
    stream = pypdf.generic.ContentStream(content, page.pdf)
    for operands, operator in stream.operations:
        if operator in (b"Tj", b"TJ"):
            parts = operands[0] if operator == b"TJ" else operands
            for part in parts:
                if isinstance(part, bytes | str):
                    raw = part.original_bytes if hasattr(part, "original_bytes") else bytes(part)
                    yield [raw[i : i + 2] for i in range(0, len(raw), 2)]
