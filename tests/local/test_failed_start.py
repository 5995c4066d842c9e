"""A start that fails says which part, shows why, and leaves nothing behind."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local.second import Second, copy_of_clone, processes_of, run

PORTS = ["--port", "--database-port", "--auth-port", "--postgrest-port", "--functions-port"]


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    folder = copy_of_clone(tmp_path)
    yield folder
    run("reset", "--no-start", root=folder)


@pytest.mark.parametrize("option", PORTS)
def test_a_taken_port_is_named(option: str) -> None:
    name = Second().name
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("up", "--detach", "--name", name, option, str(port))
    run("reset", "--no-start", "--name", name)
    assert done.returncode == 1
    part = "gateway" if option == "--port" else option[2:].removesuffix("-port")
    assert f"{part}: port {port} is taken" in done.stdout
    assert not processes_of(Path(f"/.waymark/{name}/"))


def test_a_broken_migration_shows_the_words_of_the_cli(clone: Path) -> None:
    broken = clone / "supabase" / "migrations" / "29990101000000_broken.sql"
    broken.write_text("create tabel public.nothing ();\n")
    done = run("up", "--detach", root=clone)
    assert done.returncode == 1
    assert "migrations: supabase db push failed" in done.stdout
    assert broken.name in done.stdout
    assert 'syntax error at or near "tabel"' in done.stdout
    assert not processes_of(clone / ".waymark")
    assert not (clone / ".waymark" / "dev" / "running.json").exists()


def test_a_part_that_ends_at_once_shows_its_last_lines(clone: Path) -> None:
    (clone / "main.py").write_text("raise RuntimeError('no functions today')\n")
    done = run("up", "--detach", root=clone)
    assert done.returncode == 1
    assert "functions: ended with status 1" in done.stdout
    assert "RuntimeError: no functions today" in done.stdout
    assert not processes_of(clone)


@pytest.mark.long
def test_the_foreground_fails_alike(clone: Path) -> None:
    (clone / "main.py").write_text("raise RuntimeError('no functions today')\n")
    done = run(root=clone)
    assert done.returncode == 1
    assert "functions: ended with status 1" in done.stdout
    assert not processes_of(clone)
