"""bin/dev from outside: up, status, down and reset of a second stack beside the first."""

from __future__ import annotations

import os
import signal
import stat
import subprocess

import httpx
import pytest

from local import command
from tests.local.second import ROOT, Second, lives, run, wait_for
from tests.stack import REQUIRED, Stack


def test_up_again_says_that_it_is_up(second: Second) -> None:
    pids = second.pids()
    assert "It was up already." in second.up()
    assert second.pids() == pids


def test_status_prints_the_names_that_the_cli_prints(second: Second) -> None:
    lines = second.dev("status", "-o", "env").stdout.splitlines()
    names = [line.split("=", 1)[0] for line in lines]
    assert set(REQUIRED) <= set(names)
    assert all(line.split("=", 1)[1].startswith('"') and line.endswith('"') for line in lines)


def test_two_stacks_serve_side_by_side(second: Second, stack: Stack) -> None:
    assert second["API_URL"] != stack.api_url
    assert second["JWT_SECRET"] != stack.jwt_secret
    for url, key in ((second["API_URL"], second["ANON_KEY"]), (stack.api_url, stack.anon_key)):
        answer = httpx.get(f"{url}/rest/v1/courses?select=id&limit=1", headers={"apikey": key})
        assert answer.status_code == 200
    # Keys of one stack mean nothing to the other.
    assert second.get("/rest/v1/courses", stack.publishable_key).status_code == 401


def test_secrets_are_readable_by_their_owner_only(second: Second) -> None:
    for name in ("state.json", "tokens.json", "signing_key.pem", "auth.json"):
        assert stat.S_IMODE((second.folder / name).stat().st_mode) == 0o600, name


def test_down_ends_every_process_and_a_later_up_keeps_data_keys_and_ports(second: Second) -> None:
    with second.connect() as connection:
        connection.execute("create table if not exists public.kept (word text)")
        connection.execute("insert into public.kept values ('still here')")
    before, pids = dict(second.environment), second.pids()
    assert len(pids) == 9
    assert second.dev("down").returncode == 0
    assert not [key for key, pid in pids.items() if lives(pid)]
    assert second.dev("status").returncode == 1
    assert "was not running" in second.dev("down").stdout

    second.up()
    with second.connect() as connection:
        assert connection.execute("select word from public.kept").fetchall() == [("still here",)]
        connection.execute("drop table public.kept")
    assert second.environment == before


def test_reset_starts_with_an_empty_database_and_new_keys(second: Second) -> None:
    with second.connect() as connection:
        connection.execute("create table public.gone ()")
    before, pids = dict(second.environment), second.pids()
    done = second.dev("reset")
    assert done.returncode == 0, done.stdout
    second.note()
    assert not [key for key, pid in pids.items() if lives(pid)]
    assert second["SECRET_KEY"] != before["SECRET_KEY"]
    with second.connect() as connection:
        assert connection.execute("select to_regclass('public.gone')").fetchone() == (None,)


@pytest.mark.skipif(not os.path.exists("/proc/self"), reason="needs Linux")
def test_a_killed_supervisor_takes_everything_along(second: Second) -> None:
    pids = second.pids()
    os.kill(pids["supervisor"], signal.SIGKILL)
    wait_for(lambda: not any(lives(pid) for pid in pids.values()))
    assert second.dev("status").returncode == 1
    second.up()
    assert second.get("/rest/v1/courses?limit=1", second["ANON_KEY"]).status_code == 200


def test_ctrl_c_ends_the_foreground_and_everything_with_it(second: Second) -> None:
    second.dev("down")
    with subprocess.Popen(
        [str(ROOT / "bin" / "dev"), "--name", second.name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        # A terminal sends Ctrl-C to the whole group of its foreground program.
        process_group=0,
    ) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if line.startswith("Up in"):
                break
        assert second["API_URL"] in said
        assert second["SECRET_KEY"] in said
        pids = second.pids()
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 0
    assert not [key for key, pid in pids.items() if lives(pid)]


def test_an_impossible_name_is_refused() -> None:
    done = run("status", "--name", "../up")
    assert done.returncode == 1
    assert "is no stack name" in done.stdout


def test_options_may_stand_before_or_after_the_command() -> None:
    before = command._parse(["--name", "x", "--port", "1234", "up"])
    after = command._parse(["up", "--name", "x", "--port", "1234"])
    assert before.name == after.name == "x"
    assert before.gateway_port == after.gateway_port == 1234
    assert command._parse(["status"]).name == "dev"
