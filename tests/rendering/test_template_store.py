"""Templates in the database, and the commands that put them there."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.database.actors import Actor, Refused
from tests.rendering import reading
from tests.rendering.test_templates import SHIPPED
from tests.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
OTHER = '#import "waymark.typ": certificate\n#certificate.learner_name hat bestanden.\n'


@pytest.fixture
def server(stack: Stack) -> Iterator[Actor]:
    """A server with the service role."""
    actor = Actor(stack, "service_role")
    yield actor
    actor.close()


@pytest.fixture
def operator(stack: Stack) -> Iterator[Actor]:
    actor = Actor(stack)
    yield actor
    actor.close()


@pytest.fixture
def name(operator: Actor) -> Iterator[str]:
    made = f"t-{uuid.uuid4()}"
    yield made
    operator.run("delete from private.certificate_templates where name = %s", made)


def put(actor: Actor, name: str | None, source: str | None, paper: str | None = "a4") -> Any:
    return actor.call("put_certificate_template", p_name=name, p_source=source, p_paper=paper)


def kept(actor: Actor, name: str) -> Any:
    return actor.call("get_certificate_templates", p_name=name)["templates"]


def audited(operator: Actor, name: str) -> list[tuple[Any, Any]]:
    rows = operator.run(
        "select before, after from public.audit_log where action = 'certificate_template.put'"
        " and subject = %s order by id",
        f"certificate_template:{name}",
    )
    return [(row["before"], row["after"]) for row in rows]


def test_a_template_is_kept_changed_and_left_alone(
    server: Actor, operator: Actor, name: str
) -> None:
    assert put(server, name, SHIPPED) == {"name": name, "paper": "a4", "changed": True}
    (first,) = kept(server, name)
    assert (first["source"], first["paper"]) == (SHIPPED, "a4")
    assert not put(server, name, SHIPPED)["changed"]
    assert kept(server, name) == [first]
    assert put(server, name, SHIPPED, "letter")["changed"]
    assert put(server, name, OTHER, "letter")["changed"]
    (last,) = kept(server, name)
    assert (last["source"], last["paper"]) == (OTHER, "letter")
    assert last["updated_at"] > first["updated_at"]
    assert last["created_at"] == first["created_at"]
    shipped, shipped_letter, other = (
        {"source": source, "paper": paper}
        for source, paper in ((SHIPPED, "a4"), (SHIPPED, "letter"), (OTHER, "letter"))
    )
    assert audited(operator, name) == [
        (None, shipped), (shipped, shipped_letter), (shipped_letter, other)
    ]  # fmt: skip


def test_the_list_has_no_sources(server: Actor, name: str) -> None:
    put(server, name, OTHER)
    listed = server.call("get_certificate_templates")["templates"]
    (mine,) = (template for template in listed if template["name"] == name)
    assert set(mine) == {"name", "paper", "created_at", "updated_at"}
    assert kept(server, "no-such-template") == []


@pytest.mark.parametrize(
    ("bad", "source", "paper"),
    [
        *((bad, "x", "a4") for bad in (None, "", "A", "a b", "../x", "-a", "a--b", "x" * 101)),
        *(("good", bad, "a4") for bad in (None, "", "x" * 262_145)),
        *(("good", "x", bad) for bad in (None, "", "a5", "A4")),
    ],
)
def test_bad_templates_are_refused(
    server: Actor, bad: str | None, source: str | None, paper: str | None
) -> None:
    with pytest.raises(Refused) as caught:
        put(server, bad, source, paper)
    assert (caught.value.code, caught.value.status) == ("invalid_value", 422)


def test_of_two_who_put_at_once_each_is_audited_with_what_it_replaced(
    stack: Stack, server: Actor, operator: Actor, name: str
) -> None:
    actors = [Actor(stack, "service_role") for _ in range(4)]
    threads = [
        threading.Thread(target=put, args=(actor, name, f"text {number}"))
        for number, actor in enumerate(actors)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for actor in actors:
        actor.close()
    chain = audited(operator, name)
    assert len(chain) == 4
    afters = [after["source"] for _, after in chain]
    befores = [before["source"] for before, _ in chain if before]
    assert sorted(afters) == [f"text {number}" for number in range(4)]
    # Each but the first replaced another's text, the last one's is there.
    assert len(set(befores)) == 3
    (row,) = kept(server, name)
    assert {row["source"]} == set(afters) - set(befores)


def admin(stack: Stack, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    """Run `bin/admin templates` as it runs once it has made its environment."""
    settings = {"SUPABASE_URL": stack.api_url, "SUPABASE_SECRET_KEY": stack.secret_key}
    return subprocess.run(
        [sys.executable, "-m", "shared.command", "templates", *arguments],
        cwd=ROOT,
        env={**os.environ, **settings},
        capture_output=True,
        check=False,
    )


def test_an_operator_changes_the_template_by_command(
    stack: Stack, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "mine.typ"
    shipped = admin(stack, "show")
    assert shipped.stdout.decode() == SHIPPED
    file.write_text(SHIPPED.replace("Certificate of Completion", "Urkunde"), "utf-8")
    done = admin(stack, "put", file, "--as", name, "--paper", "letter")
    assert (done.returncode, done.stdout.decode()) == (0, f"template {name}: kept\n")
    again = admin(stack, "put", file, "--as", name, "--paper", "letter")
    assert again.stdout.decode() == f"template {name}: nothing to change\n"
    listed = admin(stack, "list").stdout.decode()
    assert f"{name}  letter  changed 20" in listed
    assert admin(stack, "show", name).stdout.decode() == file.read_text("utf-8")

    preview = admin(
        stack, "preview", file, "--name", "김하늘", "--title", "지도", "--paper", "letter"
    )
    assert preview.returncode == 0
    text = reading.text(preview.stdout)
    assert "Urkunde" in text
    assert "김하늘" in text
    assert reading.size(preview.stdout) == (279.4, 215.9)


def test_a_broken_template_never_reaches_the_project(
    stack: Stack, server: Actor, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "mine.typ"
    file.write_text("Good\n#nope")
    for command in (("put", file, "--as", name), ("preview", file)):
        done = admin(stack, *command)
        assert done.returncode == 1
        assert done.stdout == b""
        assert done.stderr.decode() == f"{file}: line 2: unknown variable: nope\n"
    assert kept(server, name) == []


def test_commands_say_what_is_wrong(stack: Stack, tmp_path: Path) -> None:
    done = admin(stack, "show", "no-such-template")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"there is no template no-such-template" in done.stderr
    done = admin(stack, "preview", tmp_path / "nowhere.typ")
    assert (done.returncode, done.stderr) == (
        1, f"{tmp_path / 'nowhere.typ'}: No such file or directory\n".encode()
    )  # fmt: skip
    binary = tmp_path / "binary.typ"
    binary.write_bytes(b"\xff\xfe")
    assert b"is not UTF-8 text" in admin(stack, "put", binary).stderr
    file = tmp_path / "Bad Name.typ"
    file.write_text("x")
    done = admin(stack, "put", file)
    assert done.returncode == 1
    assert b"name must be lower-case letters" in done.stderr
