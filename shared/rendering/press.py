"""The process that typesets certificates: it reads orders from its input and answers with PDFs.

A template is a program, so it runs in a process of its own: the parent can end it, the limits below
bound it, and while it runs nothing at all can be opened, neither file nor connection. The parent
hands over no environment, so there is no secret here either.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
import resource
import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import segno
import typst

from shared.rendering import ornament, words

FOLDER = Path(__file__).resolve().parent
FONTS = FOLDER / "fonts"
TEMPLATES = FOLDER / "templates"

MEMORY = 320 * 1024**2  # of address space; an honest template takes half of it, fonts and all
SECONDS = 5  # of CPU for one certificate; an honest one takes a hundredth

_TEXTS = ("learner_name", "course_title", "author", "issuer_name")
# The one large font is looked at only for pages that may need it.
_NEEDS_CJK = re.compile(
    r"[\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef"
    r"\U0001f200-\U0001f2ff\U00020000-\U0003ffff]|CJK|\\u\{"
)
_MASK = 2  # of the QR code; to compare all eight, as is usual, costs half a certificate
_MARGIN = 4  # modules of white around a QR code, as readers expect
_WHERE = re.compile(r"┌─ (?:.*/)?template\.typ:(\d+):")


class Press:
    """Typesets orders, one after the other."""

    def __init__(self) -> None:
        self._compilers: dict[bool, typst.Compiler] = {}
        self._files = {
            "main.typ": (TEMPLATES / "main.typ").read_bytes(),
            "waymark.typ": (TEMPLATES / "waymark.typ").read_bytes(),
            "template.typ": (TEMPLATES / "completion.typ").read_bytes(),
            "ornament.json": _json({"wave": ornament.wave(), "rosette": ornament.rosette()}),
        }
        self._compiler(cjk=False)

    def pdf(self, order: Mapping[str, Any]) -> bytes:
        """The certificate of an order. Raises TypstError where its template is wrong."""
        facts = _cleaned(order["facts"])
        texts = [facts[name] for name in _TEXTS if facts[name] is not None]
        page = {"paper": order["paper"], "voices": _voices(texts), "qr": _qr(facts["verify_url"])}
        # Any, as typst's own types do not know of files given as bytes.
        files: Any = {**self._files, "certificate.json": _json(facts), "page.json": _json(page)}
        if (template := order["template"]) is not None:
            files["template.typ"] = template.encode(errors="replace")
            texts.append(template)
        compiler = self._compiler(cjk=any(map(_NEEDS_CJK.search, texts)))
        issued = datetime.datetime.fromisoformat(facts["issued_on"] + "T00:00:00+00:00")

        def made(*standards: typst.PDFStandard) -> bytes:
            with _sealed():
                pdf = compiler.compile(
                    files, format="pdf", timestamp=issued, pdf_standards=list(standards)
                )
            assert isinstance(pdf, bytes)
            return pdf

        try:
            return made("a-2a", "ua-1")  # for archives and for screen readers
        except typst.TypstError:
            return made()  # as where a letter is in no font, or a template's picture has no name

    def _compiler(self, *, cjk: bool) -> typst.Compiler:
        if cjk not in self._compilers:
            fonts = typst.Fonts(
                include_system_fonts=False,
                include_embedded_fonts=False,
                font_paths=[FONTS / "common", *([FONTS / "cjk"] if cjk else [])],
            )
            # Fonts are read at their first use, which must not be when nothing can be opened.
            specimen = "".join(
                f"#text(font: {json.dumps(face.family)}, style: {json.dumps(face.style)}, "
                f"weight: {face.weight}, fallback: false)[a]"
                for face in fonts.fonts()
            )
            compiler = typst.Compiler(
                specimen.encode(),
                root=TEMPLATES,
                font_paths=fonts,
                # No such folders: whatever packages this machine has, a template has none.
                package_path=FOLDER / "packages",
                package_cache_path=FOLDER / "packages",
            )
            compiler.compile(format="svg")
            self._compilers[cjk] = compiler
        return self._compilers[cjk]


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(errors="replace")


def _cleaned(facts: Mapping[str, str | None]) -> dict[str, Any]:
    cleaned = dict(facts)
    for name in _TEXTS:
        cleaned[name] = words.clean(cleaned[name] or "") or None
    for name in ("learner_name", "course_title"):
        cleaned[name] = cleaned[name] or "—"
    return cleaned


def _voices(texts: Sequence[str]) -> dict[str, tuple[str, str | None, bool]]:
    """How each text is to be set: its language, its region, and whether from right to left."""
    return {
        text: (*(voice or ("en", None)), words.is_right_to_left(text))
        for text, voice in words.voices(texts).items()
    }


def _qr(address: str) -> dict[str, Any]:
    """A QR code: its width, margin included, and a path with a bar for each run of dark modules."""
    rows = segno.make_qr(address, error="m", mask=_MASK).matrix
    path = ""
    for y, row in enumerate(rows, _MARGIN):
        x = _MARGIN
        for is_dark, run in groupby(row):
            width = len(list(run))
            if is_dark:
                path += f"M{x} {y}h{width}v1h-{width}z"
            x += width
    return {"size": len(rows) + 2 * _MARGIN, "path": path}


@contextlib.contextmanager
def _sealed() -> Iterator[None]:
    """Nothing can be opened in here, and there is an end to the time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + SECONDS + 1)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    _limit(resource.RLIMIT_NOFILE, 0)
    try:
        yield
    finally:
        _limit(resource.RLIMIT_NOFILE, files)


def _limit(kind: int, soft: int) -> None:
    resource.setrlimit(kind, (soft, resource.getrlimit(kind)[1]))


def _reason(error: typst.TypstError) -> str:
    """One line: where in the template, and what. Paths and addresses are left out."""
    line = _WHERE.search(error.diagnostic)
    message = re.sub(r" \((?:searched |https?:).*", "", " ".join(error.message.split()))
    return (f"line {line[1]}: " if line else "") + message


def main() -> None:
    """Answer orders until the input ends."""
    orders = os.fdopen(0, "rb")
    # Answers have a way of their own: whatever prints goes where errors go.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_AS, MEMORY)
    press = Press()
    while len(head := orders.read(4)) == 4:
        order = json.loads(orders.read(struct.unpack("!I", head)[0]))
        try:
            kind, answer = b"+", press.pdf(order)
        except typst.TypstError as error:
            kind, answer = b"-", _reason(error).encode()
        answers.write(struct.pack("!I", len(answer)) + kind + answer)
        answers.flush()


if __name__ == "__main__":
    main()
