"""Finds a Chromium to test with; where there is none, fetches one from npm into .waymark/chromium.

The package is a headless build with the libraries that it needs beside it, so it runs without being
installed, and for any user.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from local.bootstrap import ROOT, STATE

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
PACKAGE = "@sparticuz/chromium@149.0.0"
SHA512 = (
    "d8d1020552a5500f712145dbe1f4fc3a818a74026cf88dad358b1c3bc1707310"
    "8a09603b166a4f2347dd571189a0826096b159627fb860426a0a1ab8addaf142"
)
UNPACK = """
const { brotliDecompressSync } = require('node:zlib')
const { readFileSync, writeFileSync } = require('node:fs')
for (const name of ['chromium', 'al2023.tar']) {
  const packed = readFileSync(`package/bin/${name}.br`)
  writeFileSync(name, brotliDecompressSync(packed), { mode: 0o755 })
}
"""


@dataclass(frozen=True)
class Chromium:
    """A browser, and the environment that it needs."""

    path: Path
    environment: dict[str, str] = field(default_factory=dict)


def find() -> Chromium:
    """The browser named by WAYMARK_CHROMIUM, one on PATH, or one that is fetched.

    Raises OSError or subprocess.SubprocessError when there is none and none can be had.
    """
    named = os.environ.get("WAYMARK_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if named:
        return Chromium(Path(named))
    folder = STATE / "chromium" / PACKAGE.rpartition("@")[2]
    with (STATE / "chromium.lock").open("a") as lock:
        # Two workers of one run fetch once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            _fetch(folder)
    return Chromium(folder / "chromium", {"LD_LIBRARY_PATH": str(folder / "lib")})


def _fetch(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = ["npm", "pack", "--silent", "--pack-destination", str(folder), PACKAGE]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (archive,) = folder.glob("*.tgz")
    if hashlib.sha512(archive.read_bytes()).hexdigest() != SHA512:
        raise OSError(f"{PACKAGE} is not the one that was tried")
    subprocess.run(["tar", "xf", archive.name], cwd=folder, check=True)
    subprocess.run(["node", "-e", UNPACK], cwd=folder, check=True)
    subprocess.run(["tar", "xf", "al2023.tar"], cwd=folder, check=True)
    for rest in (archive, folder / "al2023.tar"):
        rest.unlink()
    shutil.rmtree(folder / "package")
    (folder / "ready").touch()
