"""First step of bin/dev and bin/test: make .venv, node_modules and the player, then run a module.

It runs under whatever Python started the script, so it imports the standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
NODE_MODULES = ROOT / "node_modules"
PLAYER = ROOT / "web" / "dist"
STATE = ROOT / ".waymark"

# These look at a stack or end it; they must not start a download.
WITHOUT_INSTALL = {"status", "down"}


class SetupError(Exception):
    """The machine lacks something that the stack needs; the text says what."""


def enter(module: str, arguments: Sequence[str]) -> NoReturn:
    """Install what is missing and replace this process by `module` inside the environment."""
    try:
        words = [word for word in arguments if not word.startswith("-")]
        if not (words and words[0] in WITHOUT_INSTALL):
            install()
        elif not PYTHON.exists():
            raise SetupError("nothing is installed here, so no stack is running")
    except SetupError as problem:
        sys.exit(f"waymark: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)
    environment = dict(os.environ)
    path = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = f"{ROOT}{os.pathsep}{path}" if path else str(ROOT)
    # -P: not the current folder's modules, which may be another clone's.
    os.execve(PYTHON, [str(PYTHON), "-P", "-m", module, *arguments], environment)


def install() -> None:
    """Bring .venv, node_modules and the built player up to the files that they are made from.

    Raises SetupError when Python's venv, Node, an installation or the build fails.
    """
    STATE.mkdir(mode=0o755, exist_ok=True)
    python_stamp, node_stamp = _stamps()
    player_stamp = f"{node_stamp}\n{_hash(*_player_sources())}"
    if (
        _is_stamped(VENV, python_stamp)
        and _is_stamped(NODE_MODULES, node_stamp)
        and _is_stamped(PLAYER, player_stamp)
    ):
        return
    with _locked(STATE / "install.lock"):
        if not _is_stamped(VENV, python_stamp):
            _install_python(python_stamp)
        if not _is_stamped(NODE_MODULES, node_stamp):
            _install_node(node_stamp)
        if not _is_stamped(PLAYER, player_stamp):
            _build_player(player_stamp)


def _stamps() -> tuple[str, str]:
    # An environment cannot be moved, nor serve another Python: both are part of its stamp.
    environment = f"Python {sys.version_info.major}.{sys.version_info.minor} in {VENV.resolve()}"
    packages = _hash("requirements.txt", "requirements-dev.txt")
    return f"{environment}\n{packages}", _hash("package.json", "package-lock.json")


def _player_sources() -> list[str]:
    folder = PLAYER.parent
    files = [folder / "index.html", *folder.glob("*.mts"), *folder.glob("src/**/*")]
    files += folder.glob("public/**/*")
    return sorted(str(path.relative_to(ROOT)) for path in files if path.is_file())


def _hash(*names: str) -> str:
    digest = hashlib.sha256()
    for name in names:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def _is_stamped(folder: Path, stamp: str) -> bool:
    return _stamp(folder) == stamp


def _stamp(folder: Path) -> str:
    try:
        return (folder / ".waymark-stamp").read_text()
    except OSError:
        return ""


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file, so that two scripts started at one moment install once."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _install_python(stamp: str) -> None:
    print("waymark: installing Python packages into .venv", file=sys.stderr, flush=True)
    if _stamp(VENV).split("\n")[0] != stamp.split("\n")[0]:
        _run([sys.executable, "-m", "venv", "--clear", str(VENV)], "making .venv (venv module)")
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "-r", str(ROOT / "requirements-dev.txt")], "installing Python packages")
    (VENV / ".waymark-stamp").write_text(stamp)


def _install_node(stamp: str) -> None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        raise SetupError("Node 20 or newer with npm is needed and was not found on PATH")
    version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout.strip()
    if not version[1:].split(".")[0].isdigit() or int(version[1:].split(".")[0]) < 20:
        raise SetupError(f"Node 20 or newer is needed, this is {version or 'unknown'}")
    print("waymark: installing Node packages into node_modules", file=sys.stderr, flush=True)
    _run([npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"], "installing Node packages")
    (NODE_MODULES / ".waymark-stamp").write_text(stamp)


def _build_player(stamp: str) -> None:
    print("waymark: building the course player", file=sys.stderr, flush=True)
    vite = NODE_MODULES / "vite" / "bin" / "vite.js"
    _run(["node", str(vite), "build", "web", "--logLevel", "warn"], "building the course player")
    (PLAYER / ".waymark-stamp").write_text(stamp)


def _run(command: Sequence[str], what: str) -> None:
    done = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False
    )
    if done.returncode:
        raise SetupError(f"{what} failed; the lines above say why")
