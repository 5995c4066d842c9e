"""The code that README and tutorial show is run as it stands there, and prints what they show.

A page's blocks run in order, in a folder that looks like a clone:

- `sh` is typed in; what would start a stack (`bin/dev`, `bin/test`) is only looked for, since the
  stack under test stands already
- a block that begins with a comment naming a file is that file's text, or is added to its end
- other `js`, `ts` and `python` is a program of its own; what its reader has in hand is in GIVEN
- `text` is what the block before it prints, or the end of that; a word that ends with … stands for
  what differs from run to run
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.bootstrap import ROOT
from shared.client import WaymarkClient
from tests.stack import REQUIRED, Stack

PAGES = ["README.md", *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/tutorial/*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"(?:#|//) ([\w./-]+\.(?:yaml|mjs))\n")
# What a browser has and Node 20 has not.
BROWSER = """
import ws from 'ws'
globalThis.WebSocket ??= ws
globalThis.localStorage ??= { getItem: () => null, setItem() {}, removeItem() {} }
globalThis.addEventListener ??= () => {}
if (!globalThis.navigator?.onLine)
  Object.defineProperty(globalThis, 'navigator', { value: { onLine: true } })
"""
SIGNED_IN = """
import { createClient } from '@supabase/supabase-js'
globalThis.supabase = createClient(API_URL, PUBLISHABLE_KEY)
await supabase.auth.setSession(session)
"""


@dataclass
class Reader:
    """Somebody who types a page into a shell and an editor."""

    stack: Stack
    folder: Path
    given: Mapping[str, Any]

    def run(self, *command: str | Path) -> str:
        env = {name: os.environ[name] for name in (*REQUIRED, "PATH")}
        env |= {"SUPABASE_URL": self.stack.api_url, "SUPABASE_SECRET_KEY": self.stack.secret_key}
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def type(self, text: str) -> str:
        commands = []
        for line in text.splitlines():
            if re.match(r"bin/(dev|test)\b", line):
                assert os.access(ROOT / line.split()[0], os.X_OK)
            else:
                commands.append(line)
        return self.run("bash", "-euc", "\n".join(commands))

    def keep(self, name: str, text: str) -> str:
        path = self.folder / name
        known = path.exists()
        with path.open("a") as file:
            file.write(text)
        return self.run("node", name) if known else ""

    def javascript(self, text: str) -> str:
        given = f"Object.assign(globalThis, {json.dumps(self.given)})\n"
        (self.folder / "given.mjs").write_text(given + BROWSER)
        (self.folder / "block.mjs").write_text(text)
        return self.run("node", "--import", "./given.mjs", "block.mjs")

    def typescript(self, text: str) -> str:
        """Beside a copy of the client module, which the page says to make."""
        site = self.folder / "site"
        site.mkdir()
        shutil.copy(ROOT / "web" / "src" / "waymark.ts", site)
        shutil.copytree(ROOT / "web" / "src" / "generated", site / "generated")
        (site / "block.ts").write_text(text)
        rolldown = ROOT / "node_modules" / ".bin" / "rolldown"
        self.run(rolldown, "site/block.ts", "--format", "esm", "--file", "site/block.mjs")
        return self.javascript(f"{SIGNED_IN}\nawait import('./site/block.mjs')\n")

    def python(self, text: str) -> str:
        """Beside a copy of the client, likewise."""
        shutil.copy(ROOT / "shared" / "client.py", self.folder / "waymark_client.py")
        lines = [f"{name} = {value!r}\n" for name, value in self.given.items()]
        (self.folder / "block.py").write_text("".join(lines) + text)
        return self.run(sys.executable, "block.py")


@pytest.fixture
def reader(stack: Stack, tmp_path: Path) -> Iterator[Reader]:
    for name in ("bin", "node_modules"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "docs").mkdir()
    shutil.copytree(ROOT / "docs" / "tutorial", tmp_path / "docs" / "tutorial")
    with stack.connect(autocommit=True) as connection:
        row = connection.execute(
            "select c.id, l.id::text from public.courses c"
            " join public.modules m on m.course_id = c.id"
            " join public.lessons l on l.module_id = m.id"
            " where c.slug = 'reading-maps' and l.is_countable"
            " order by m.position, l.position limit 1"
        ).fetchone()
        assert row
        course, lesson = row
        connection.execute("delete from public.courses where slug = 'knots'")
        yield Reader(stack, tmp_path, given(stack, course, lesson))
        connection.execute("delete from public.courses where slug = 'knots'")


def given(stack: Stack, course: int, lesson: str) -> dict[str, Any]:
    """What a reader has: addresses, a course, and the session of a learner who is enrolled."""
    answer = httpx.post(
        f"{stack.api_url}/auth/v1/signup",
        timeout=60,
        headers={"apikey": stack.publishable_key},
        json={"email": address(), "password": secrets.token_urlsafe()},
    )
    session = answer.raise_for_status().json()
    with WaymarkClient(stack.functions_url, token=session["access_token"], timeout=60) as client:
        client.enroll(course)
    return {
        "API_URL": stack.api_url,
        "PUBLISHABLE_KEY": stack.publishable_key,
        "publishableKey": stack.publishable_key,
        "functionsUrl": stack.functions_url,
        "functions_url": stack.functions_url,
        "email": address(),
        "password": secrets.token_urlsafe(),
        "course": course,
        "courseId": course,
        "lesson": lesson,
        "lessonId": lesson,
        "lesson_id": lesson,
        "users_jwt": session["access_token"],
        "session": {name: session[name] for name in ("access_token", "refresh_token")},
    }


def address() -> str:
    return f"reader-{secrets.token_hex(8)}@example.com"


def pattern(shown: str) -> str:
    parts = re.split(r"\w*…", shown.strip())
    return r"(?:^|\n)" + r"\S+".join(re.escape(part) for part in parts) + r"\n*\Z"


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs_and_prints_what_it_shows(reader: Reader, page: str) -> None:
    printed: str | None = None
    programs = {
        "sh": reader.type,
        "js": reader.javascript,
        "ts": reader.typescript,
        "python": reader.python,
    }
    blocks = BLOCK.findall((ROOT / page).read_text("utf-8"))
    assert [language for language, _ in blocks if language == "text"]
    for language, text in blocks:
        if language == "text":
            assert printed is not None
            assert re.search(pattern(text), printed), printed
        elif named := FILE.match(text):
            printed = reader.keep(named[1], text)
        else:
            printed = programs[language](text)


def test_what_is_shown_is_compared() -> None:
    assert re.search(pattern("b (id …)\n"), "a\nb (id 17)\n")
    assert re.search(pattern("0b5c…\n1\n"), "f00d-1\n1\n")
    for other in ("a\nb (id 17)\nc\n", "bb (id 17)\n", "b (id )\n", "b\n"):
        assert not re.search(pattern("b (id …)\n"), other)
