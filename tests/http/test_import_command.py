"""bin/admin on the running stack, through the gateway; and the people that the seed makes."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "supabase" / "demo" / "reading-maps.yaml"


def admin(stack: Stack, *arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command about courses."""
    return command(stack, "courses", *arguments, **env)


def command(stack: Stack, *arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command as bin/admin does, once it has made its environment."""
    settings = {"SUPABASE_URL": stack.api_url, "SUPABASE_SECRET_KEY": stack.secret_key, **env}
    return subprocess.run(
        [sys.executable, "-m", "shared.command", *arguments],
        cwd=ROOT,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def course() -> dict[str, Any]:
    made: dict[str, Any] = yaml.safe_load(DEMO.read_text("utf-8"))
    return {**made, "slug": f"t-{uuid.uuid4()}"}


def write(tmp_path: Path, course: dict[str, Any]) -> Path:
    file = tmp_path / "course.json"
    file.write_text(json.dumps(course))
    return file


def test_a_course_is_imported_edited_and_left_alone(
    stack: Stack, tmp_path: Path, course: dict[str, Any]
) -> None:
    file = write(tmp_path, course)
    told = admin(stack, "import", file, "--dry-run")
    assert (told.returncode, told.stdout.splitlines()[0]) == (
        0, f"course {course['slug']}: would change"
    )  # fmt: skip
    done = admin(stack, "import", file)
    assert done.returncode == 0
    assert done.stdout.splitlines()[1:] == told.stdout.splitlines()[1:]
    assert "  create   lesson  route-card" in done.stdout.splitlines()
    assert stack.secret_key not in done.stdout + done.stderr

    again = admin(stack, "import", file)
    assert (again.returncode, again.stdout.endswith(": nothing to change\n")) == (0, True)

    edited = copy.deepcopy(course)
    sheet, direction, *_ = edited["modules"]
    direction["lessons"].append(sheet["lessons"].pop(1))
    direction["lessons"][0]["title"] = "Norths"
    del edited["modules"][3]["lessons"][2]
    changed = admin(stack, "import", write(tmp_path, edited))
    assert changed.stdout.splitlines()[1:] == [
        "  update   lesson  north  title",
        "  move     lesson  scale  from the-sheet to direction",
        "  archive  lesson  questions",
        "  renumber 1 lesson, order kept",
    ]


def test_the_legacy_key_is_good_too(stack: Stack, tmp_path: Path, course: dict[str, Any]) -> None:
    legacy = {"SUPABASE_SECRET_KEY": "", "SUPABASE_SERVICE_ROLE_KEY": stack.service_role_key}
    assert admin(stack, "import", write(tmp_path, course), "--dry-run", **legacy).returncode == 0


def test_who_may_not_import_is_told(stack: Stack, tmp_path: Path, course: dict[str, Any]) -> None:
    file = write(tmp_path, course)
    for key, status in (
        ("sb_secret_wrong", 1),
        (stack.anon_key, 1),
        (stack.token(str(uuid.uuid4())), 1),
        (stack.publishable_key, 2),
    ):
        refused = admin(stack, "import", file, SUPABASE_SECRET_KEY=key)
        assert refused.returncode == status, refused.stderr
        assert key not in refused.stdout + refused.stderr
        assert "Traceback" not in refused.stderr
    nowhere = admin(stack, "import", file, SUPABASE_URL="http://127.0.0.1:9")
    assert nowhere.returncode == 1
    assert "does not answer" in nowhere.stderr
    with stack.connect() as connection:
        made = connection.execute(
            "select 1 from public.courses where slug = %s", (course["slug"],)
        ).fetchall()
    assert made == []


def test_a_bad_file_is_refused_before_any_call(
    stack: Stack, tmp_path: Path, course: dict[str, Any]
) -> None:
    course["modules"][0]["lessons"][0]["weight"] = -1
    file = write(tmp_path, course)
    refused = admin(stack, "import", file, SUPABASE_URL="http://127.0.0.1:9")
    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [
        f"{file}: modules[0].lessons[0].weight: must be at least 1, not -1",
        "1 problem; nothing was imported",
    ]


def test_what_only_the_database_knows_is_told(
    stack: Stack, tmp_path: Path, course: dict[str, Any]
) -> None:
    """A document that got past the format meets the same rules in the database."""
    from shared import admin as admins

    course["modules"][0]["lessons"][0]["weight"] = 0
    with (
        admins.Project(stack.api_url, stack.secret_key) as project,
        pytest.raises(admins.Refused, match="invalid_course") as caught,
    ):
        project.import_course(course, dry_run=True)
    assert len(caught.value.details) == 1
    assert "lesson welcome breaks lessons_weight_check" in caught.value.details[0]


@pytest.mark.parametrize("name", ["ada", "chandra", "mary", "admin"])
def test_the_demo_people_sign_in(stack: Stack, name: str) -> None:
    answer = httpx.post(
        f"{stack.api_url}/auth/v1/token?grant_type=password",
        json={"email": f"{name}@example.com", "password": "waymark-demo"},
        headers={"apikey": stack.publishable_key},
    )
    assert answer.status_code == 200
    session = answer.json()
    assert session["user"]["app_metadata"].get("waymark_role") == (
        "admin" if name == "admin" else None
    )
    rows = httpx.get(
        f"{stack.api_url}/rest/v1/enrollments?select=course_id,total_lessons",
        headers={
            "apikey": stack.publishable_key,
            "Authorization": f"Bearer {session['access_token']}",
        },
    ).json()
    assert [row["total_lessons"] for row in rows] == ([] if name == "admin" else [12])


def test_a_secret_is_set_by_its_digest_and_never_shown(stack: Stack) -> None:
    with stack.connect(autocommit=True) as connection:
        before = connection.execute(
            "select encode(digest, 'hex') from private.secrets where name = 'proxy'"
        ).fetchone()
        try:
            secret = "s3cret-" * 5
            for told in ("set", "nothing to change"):
                done = command(stack, "secrets", "set", "proxy", WAYMARK_PROXY_SECRET=secret)
                assert (done.returncode, f"secret proxy: {told} in" in done.stdout) == (0, True)
                assert "s3cret" not in done.stdout + done.stderr
            stored = connection.execute(
                "select encode(digest, 'hex') from private.secrets where name = 'proxy'"
            ).fetchone()
            assert stored == (hashlib.sha256(secret.encode()).hexdigest(),)
            short = command(stack, "secrets", "set", "proxy", WAYMARK_PROXY_SECRET="s3cret")
            assert (short.returncode, "s3cret" in short.stderr) == (2, False)
            learner = command(
                stack, "secrets", "set", "proxy",
                WAYMARK_PROXY_SECRET=secret, SUPABASE_SECRET_KEY=stack.anon_key,
            )  # fmt: skip
            assert learner.returncode == 1
        finally:
            if before is not None:
                connection.execute(
                    "update private.secrets set digest = decode(%s, 'hex') where name = 'proxy'",
                    before,
                )
