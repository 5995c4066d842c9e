"""The Dockerfile as data: what it would build can be laid out and started without Docker."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from local.bootstrap import ROOT


@dataclass
class Image:
    """The last stage: what it copies from the repository, its environment and its commands."""

    copies: list[tuple[str, str]] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "root"
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    def lay_out(self, folder: Path) -> None:
        """Copy what the image would hold of the repository, as .dockerignore lets it through."""
        for source, target in self.copies:
            for path in sorted((ROOT / source).rglob("*")) or [ROOT / source]:
                name = path.relative_to(ROOT)
                if path.is_file() and sent(str(name)):
                    goal = folder / target / path.relative_to(ROOT / source)
                    goal.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, goal)


def sent(name: str) -> bool:
    """Whether a file of the repository reaches the build at all."""
    found = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern = line.lstrip("!").removeprefix("**/")
            parts = ["/".join(name.split("/")[: n + 1]) for n in range(name.count("/") + 1)]
            if any(fnmatch.fnmatch(part, pattern) for part in [*parts, *name.split("/")]):
                found = line.startswith("!")
    return found


def read() -> Image:
    """The image that the Dockerfile describes."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    image = Image()
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            image = Image()
        elif word == "COPY" and not rest.startswith("--from"):
            source, target = rest.split()
            image.copies.append((source, target))
        elif word == "ENV":
            image.environment |= dict(each.split("=", 1) for each in shlex.split(rest))
        elif word == "USER":
            image.user = rest
        elif word == "HEALTHCHECK":
            image.health = json.loads(rest[rest.index("[") :])
        elif word == "CMD":
            image.command = json.loads(rest)
    return image
