"""Draws plots: pygal sets the bars, axes and letters; colours and fonts come from one style sheet.

pygal's own style and script are left out of what it draws, so that a page full of plots has one
style, which follows light and dark, and needs no script.
"""

from __future__ import annotations

import re
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pygal
from pygal.style import Style

from shared.reports.plots import Plot

# For its maps, which we have none of: a finder of an old kind, that every later import would ask.
sys.meta_path[:] = [
    finder for finder in sys.meta_path if type(finder).__name__ != "PluginImportFixer"
]

FONTS = Path(__file__).resolve().parents[1] / "rendering" / "fonts"
STYLE = (Path(__file__).parent / "chart.css").read_text("utf-8")
WIDTH = 800
HEADING = 34

# XML has no letters for these, and a title may hold them.
_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# For a reader that knows neither variables nor media, and has its own fonts.
_LIGHT = re.sub(r"var\(--\w+, ([^)]+)\)", r"\1", STYLE.partition("@media")[0]).replace(
    "system-ui", "'Noto Serif'"
)
_DROPPED = ("script", "style", "title", "desc")
_LETTERS = Style(
    label_font_size=13, major_label_font_size=13, legend_font_size=14, title_font_size=18
)
_one_at_a_time = threading.Lock()
_NEEDS_CJK = re.compile("[\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff]")


def svg(plot: Plot) -> str:
    """The plot as an element for a page that has STYLE, and a heading for it."""
    return ElementTree.tostring(_tree(plot), encoding="unicode")


def file(plot: Plot, style: str = STYLE) -> bytes:
    """The plot as an SVG file, its style in it."""
    root = _tree(plot, headed=True)
    element = ElementTree.Element("style")
    element.text = style
    root.insert(2, element)
    made: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return made


def png(plot: Plot) -> bytes:
    """The plot as a picture: light, and twice as large as it is meant to be shown.

    By the typesetter of certificates, which reads SVG and brings letters of many scripts along.
    """
    picture = file(plot, _LIGHT)
    height = _height(plot) + HEADING
    page = (
        f"#set page(width: {WIDTH}pt, height: {height}pt, margin: 0pt, fill: white)\n"
        f'#image("plot.svg", width: {WIDTH}pt)'
    )
    typesetter = _typesetter(_NEEDS_CJK.search(picture.decode()) is not None)
    with _one_at_a_time:
        made = typesetter.compile(
            {"main.typ": page.encode(), "plot.svg": picture}, format="png", ppi=144.0
        )
    assert isinstance(made, bytes)
    return made


@cache
def _typesetter(cjk: bool) -> Any:
    import typst

    fonts = typst.Fonts(
        include_system_fonts=False,
        include_embedded_fonts=False,
        font_paths=[FONTS / "common", *([FONTS / "cjk"] if cjk else [])],
    )
    return typst.Compiler(b"", root=FONTS, font_paths=fonts)


def _height(plot: Plot) -> int:
    if not plot.sideways:
        return 320
    return 110 + max(len(plot.labels), 1) * (20 + 18 * len(plot.series))


def _tree(plot: Plot, *, headed: bool = False) -> ElementTree.Element:
    kind = pygal.HorizontalBar if plot.sideways else pygal.Bar
    many = len(plot.labels) > 12 and not plot.sideways
    chart = kind(
        js=[],
        css=[],
        no_prefix=True,
        classes=["chart"],
        width=WIDTH,
        height=_height(plot) + headed * HEADING,
        title=plot.title if headed else None,
        style=_LETTERS,
        legend_at_bottom=True,
        show_legend=len(plot.series) > 1,
        truncate_label=32,
        truncate_legend=-1,
        include_x_axis=True,
        x_title=None if not plot.sideways else plot.unit,
        x_labels_major_every=max(1, len(plot.labels) // 7) if many else None,
        show_minor_x_labels=not many,
        no_data_text="Nothing yet",
        spacing=14,
        x_label_rotation=0,
    )
    # Sideways the first one is drawn at the bottom: turned round, the first lesson is on top.
    turned = slice(None, None, -1 if plot.sideways else 1)
    chart.x_labels = [_NO_XML.sub("", label) for label in plot.labels[turned]]
    for name, values in plot.series.items():
        chart.add(name, list(values[turned]))
    root: ElementTree.Element = chart.render_tree()
    return _plain(root, plot)


def _plain(root: ElementTree.Element, plot: Plot) -> ElementTree.Element:
    """Without pygal's style, script, tool tips and ids; with a name and a description."""
    for parent in list(root.iter()):
        for child in list(parent):
            if not isinstance(child.tag, str) or (
                child.tag.rpartition("}")[2] in _DROPPED
                or "tooltip-overlay" in child.get("class", "")
            ):
                parent.remove(child)
            else:
                child.attrib.pop("id", None)
                child.attrib.pop("style", None)
    root.attrib.pop("id", None)
    root.set("role", "img")
    root.set("aria-labelledby", f"{plot.name}-title {plot.name}-summary")
    for place, (tag, name, text) in enumerate(
        (("title", "title", plot.title), ("desc", "summary", plot.summary))
    ):
        element = ElementTree.Element(tag, {"id": f"{plot.name}-{name}"})
        element.text = text
        root.insert(place, element)
    return root
