"""Who may run a stack: root from a clone that others cannot enter, and an ordinary user."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local.second import copy_of_clone, processes_of, run

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become someone else")


def owner(pid: str) -> str:
    """Return the name of the account that a process runs as."""
    return pwd.getpwuid(Path(f"/proc/{pid}").stat().st_uid).pw_name


@needs_root
@pytest.mark.long
def test_root_runs_postgresql_as_nobody_from_a_clone_that_nobody_can_enter(tmp_path: Path) -> None:
    clone = copy_of_clone(tmp_path)
    clone.chmod(0o700)
    before = set(Path("/var/tmp").glob("waymark-*"))
    try:
        done = run("up", "--detach", root=clone)
        assert done.returncode == 0, done.stdout
        (outside,) = set(Path("/var/tmp").glob("waymark-*")) - before
        pid = (outside / "dev" / "data" / "postmaster.pid").read_text().split("\n")[0]
        assert owner(pid) == "nobody"
    finally:
        run("reset", "--no-start", root=clone)
    assert set(Path("/var/tmp").glob("waymark-*")) == before
    assert not processes_of(clone)


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder of an ordinary user, where that user can come."""
    folder = Path(tempfile.mkdtemp(prefix="waymark-user-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@needs_root
@pytest.mark.long
def test_an_ordinary_user_starts_a_fresh_clone_with_nothing_installed(home: Path) -> None:
    user = pwd.getpwnam("nobody")
    clone = copy_of_clone(home)
    for name in (".venv", "node_modules"):
        (clone / name).unlink()
    for path in [home, *home.rglob("*")]:
        os.chown(path, user.pw_uid, user.pw_gid)
    kept = ("PIP_CERT", "PIP_FIND_LINKS", "PIP_INDEX_URL", "SSL_CERT_FILE", "HTTPS_PROXY")
    environment = {
        # The system's own Python and Node: root's may lie where others cannot read.
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        **{name: os.environ[name] for name in kept if name in os.environ},
    }
    as_user = {
        "env": environment,
        "user": user.pw_uid,
        "group": user.pw_gid,
        "extra_groups": [],
        "cwd": home,
    }
    probe = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"
    if subprocess.run(["python3", "-c", probe], check=False, **as_user).returncode:
        pytest.skip("this machine has no Python 3.11 with venv for ordinary users")
    try:
        done = run("up", "--detach", root=clone, **as_user)
        assert done.returncode == 0, done.stdout
        again = run("up", "--detach", root=clone, **as_user)
        assert "It was up already." in again.stdout
        assert "installing" not in again.stdout
        data = clone / ".waymark" / "dev" / "database" / "data"
        assert owner((data / "postmaster.pid").read_text().split("\n")[0]) == "nobody"
    finally:
        run("reset", "--no-start", root=clone, **as_user)
    assert not processes_of(clone)
