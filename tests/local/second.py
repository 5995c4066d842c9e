"""A second stack beside the one under test, driven through bin/dev as a developer would."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests.stack import REQUIRED

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
OWN_NAMES = {
    *REQUIRED,
    "POSTGREST_URL",
    "FUNCTIONS_DIRECT_URL",
    "SIGNING_KEY_FILE",
    "WORKER_SECRET",
    "MAIL_FOLDER",
    "MAIL_PORT",
}


def run(*words: str, root: Path = ROOT, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run bin/dev and return what it said, with both outputs in `stdout`."""
    environment = {k: v for k, v in os.environ.items() if k not in OWN_NAMES and k != "PYTHONPATH"}
    options.setdefault("env", environment)
    return subprocess.run(
        [str(root / "bin" / "dev"), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
        **options,
    )


def copy_of_clone(folder: Path) -> Path:
    """Return a copy of the repository that shares what is installed."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.split("\0")
    clone = folder / "clone"
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, clone / name)
    for name in (".venv", "node_modules"):
        (clone / name).symlink_to(ROOT / name)
    return clone


def lives(pid: int) -> bool:
    """Say whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def processes_of(place: Path) -> list[str]:
    """Return the command lines of all processes that name a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if any(str(place) in word for word in words):
            found.append(shlex.join(filter(None, words)))
    return found


def wait_for(what: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


class Second:
    """A stack with a name of its own."""

    def __init__(self) -> None:
        self.name = f"second-{secrets.token_hex(3)}"
        self.folder = ROOT / ".waymark" / self.name
        self.environment: dict[str, str] = {}

    def dev(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of bin/dev on this stack."""
        return run(*words, "--name", self.name)

    def up(self) -> str:
        """Start it, note its URLs and keys, and return what bin/dev said."""
        done = self.dev("up", "--detach")
        assert done.returncode == 0, done.stdout
        self.note()
        return done.stdout

    def note(self) -> None:
        """Note the URLs and keys as `status -o env` prints them."""
        done = self.dev("status", "-o", "env")
        assert done.returncode == 0, done.stdout
        pairs = (line.split("=", 1) for line in done.stdout.splitlines())
        self.environment = {name: json.loads(value) for name, value in pairs}

    def __getitem__(self, name: str) -> str:
        return self.environment[name]

    def pids(self) -> dict[str, int]:
        """Return the process of every part."""
        data = json.loads((self.folder / "running.json").read_text())
        return {key: pid for key, (pid, _) in data["processes"].items()}

    def connect(self) -> psycopg.Connection[Any]:
        """Connect as postgres."""
        return psycopg.connect(self["DB_URL"], autocommit=True)

    def get(self, path: str, key: str | None = None, bearer: str | None = None) -> httpx.Response:
        """GET a path of the gateway."""
        headers = {"apikey": key} if key else {}
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        return httpx.get(self["API_URL"] + path, headers=headers, timeout=30)
