"""What all our HTML has in common: templates that escape, and a policy that names what is ours."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TYPE = "text/html; charset=utf-8"
# Names, and what people did, are for whoever was given the address, not for search engines.
HEADERS = {"Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex, nofollow"}


def templates(folder: Path) -> Environment:
    """The templates of a folder: all that is filled in is escaped, and nothing may be missing."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def digest(text: str) -> str:
    """How a Content-Security-Policy names a style or a script that stands in the page."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
