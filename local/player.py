"""The course player's files, and where its backend is, for the gateway to serve under `/`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from local.bootstrap import ROOT

FILES = ROOT / "web" / "dist"
# Lessons may show films, pictures and pages from anywhere; scripts come from here alone.
POLICY = (
    "default-src 'self'; img-src 'self' https: data:; media-src 'self' https:; frame-src https:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


class Player:
    """A folder of static files, and the `config.json` that a deployment writes beside them."""

    def __init__(self, config: Mapping[str, Any], folder: Path = FILES) -> None:
        self._config = dict(config)
        self._folder = folder.resolve()

    def answer(self, path: str) -> web.StreamResponse | None:
        """The answer to a GET, or None for what is no file of the player's."""
        if path == "/config.json":
            return web.json_response(self._config, headers={"Cache-Control": "no-store"})
        file = (self._folder / (path[1:] or "index.html")).resolve()
        if not file.is_relative_to(self._folder) or not file.is_file():
            return None
        # A file under assets/ has its content's hash in its name.
        age = "max-age=31536000, immutable" if path.startswith("/assets/") else "no-cache"
        headers = {
            "Cache-Control": age,
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "strict-origin-when-cross-origin",
        }
        return web.FileResponse(file, headers=headers)
