"""The image and the cloud's start, as far as they go without Docker and without a cloud."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from functions import FUNCTIONS
from local.bootstrap import ROOT
from tests.deploy import image
from tests.stack import Stack
from tests.support.serving import OURS, serving

BIN = Path(sys.executable).parent
# What the framework finds in main.py.
TARGETS = tuple(
    re.findall(
        r"^(\w+) = (?:functions\.|http\.target)", (ROOT / "main.py").read_text(), re.MULTILINE
    )
)


def unused_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(stack: Stack) -> dict[str, str]:
    """What docs/how-to/deploy.md says that a function needs, and nothing of this shell."""
    return {
        "SUPABASE_URL": stack.api_url,
        "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
        "SUPABASE_JWT_SECRET": stack.jwt_secret,
    }


@contextmanager
def started(
    folder: Path, command: list[str], given: Mapping[str, str], log: Path | None = None
) -> Iterator[httpx.Client]:
    """A process as a host starts it, from a folder that holds the source, once it answers.

    What it writes to stdout comes into `log`.
    """
    port = unused_port()
    whole = {"HOME": str(folder), **given, "PORT": str(port), "PATH": f"{BIN}:{os.defpath}"}
    with (log or Path(os.devnull)).open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, env=whole, stdout=out)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            until = time.monotonic() + 60
            while True:
                assert process.poll() is None, "it ended"
                try:
                    client.get("/health")
                    break
                except httpx.TransportError:
                    assert time.monotonic() < until
                    time.sleep(0.1)
            yield client
    finally:
        process.terminate()
        process.wait()


def test_the_dockerfile_has_no_lint() -> None:
    done = subprocess.run(
        [BIN / "hadolint", "--failure-threshold", "style", ROOT / "Dockerfile"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_the_image_holds_what_functions_import_and_no_more(tmp_path: Path) -> None:
    image.read().lay_out(tmp_path)
    held = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    for kept_out in (
        ".env",
        "supabase/seed.sql",
        "tests/conftest.py",
        "local/keys.py",
        ".git/HEAD",
    ):
        assert not image.sent(kept_out)
        assert kept_out not in held
    assert {name.split("/")[0] for name in held} == {"main.py", "functions", "shared"}
    assert not [name for name in held if name.endswith(".pyc")]


def test_the_image_starts_and_serves_as_nobody_in_particular(stack: Stack, tmp_path: Path) -> None:
    built = image.read()
    assert built.user.isdecimal()
    assert int(built.user) > 1000
    built.lay_out(tmp_path)
    given = {**built.environment, **environment(stack)}
    with started(tmp_path, built.command, given) as client:
        assert client.get("/health").json() == {"status": "ok"}
        assert client.get("/health/ready").json() == {"status": "ok"}
        assert client.get("/functions/v1/progress/courses/1").status_code == 401
        assert client.get("/nothing").json()["code"] == "route_not_found"
        port = str(client.base_url.port)
        check = [sys.executable if word == "python" else word for word in built.health]
        assert subprocess.run(check, env={"PORT": port}).returncode == 0
        for path in ("openapi.json", "certificates/issuer"):
            assert client.get(path).status_code in (200, 404)
    # Nobody there any more: the check says so.
    gone = subprocess.run(check, env={"PORT": port}, capture_output=True)
    assert gone.returncode != 0


def test_readiness_tells_of_a_database_that_is_away(stack: Stack, tmp_path: Path) -> None:
    built = image.read()
    built.lay_out(tmp_path)
    away = {**environment(stack), "POSTGREST_URL": f"http://127.0.0.1:{unused_port()}"}
    with started(tmp_path, built.command, {**built.environment, **away}) as client:
        assert client.get("/health").status_code == 200
        refusal = client.get("/health/ready")
        assert (refusal.status_code, refusal.json()["code"]) == (503, "database_unavailable")
        assert refusal.headers["retry-after"] == "1"


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_one_that_the_framework_finds(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    for name in list(os.environ):
        if name.startswith(OURS):
            monkeypatch.delenv(name)
    for name, value in environment(stack).items():
        monkeypatch.setenv(name, value)
    with serving(target) as client:
        assert client.get("/health").json() == {"status": "ok"}


def test_every_function_is_a_target() -> None:
    names = {function.name.removesuffix(".json") for function in FUNCTIONS}
    assert names | {"waymark"} == set(TARGETS)


@pytest.mark.long
@pytest.mark.parametrize("target", TARGETS)
def test_every_target_starts_as_in_the_cloud(stack: Stack, target: str) -> None:
    """Google's build sets FUNCTION_TARGET and PORT, and starts the framework without arguments."""
    given = {**environment(stack), "FUNCTION_TARGET": target}
    with started(ROOT, ["functions-framework"], given) as client:
        assert client.get("/health").status_code == 200
        assert client.get("/health/ready").status_code == 200
        # With a host to itself a function needs no name in the path.
        assert client.get("/nothing/there").json()["code"] == "route_not_found"
