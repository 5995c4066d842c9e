"""What the player weighs, whether its types are right, and how it is served."""

from __future__ import annotations

import gzip
import re
import subprocess

import httpx

from local import types
from local.bootstrap import NODE_MODULES, PLAYER, ROOT
from tests.stack import Stack


def test_the_player_weighs_less_than_150_kb_beside_supabase_js() -> None:
    files = [path for path in PLAYER.glob("assets/*") if not path.name.startswith("supabase-")]
    assert len(list(PLAYER.glob("assets/*"))) > len(files) >= 2
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) < 150_000


def test_types_are_right() -> None:
    tsc = NODE_MODULES / "typescript" / "bin" / "tsc"
    done = subprocess.run(
        ["node", tsc, "-p", "web"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout + done.stderr == ""


def test_the_client_module_stands_alone() -> None:
    """A site can lift it out: it imports types, of supabase-js and generated ones, and no code."""
    source = (ROOT / "web" / "src" / "waymark.ts").read_text()
    assert re.findall(r"^import (.*)$", source, re.MULTILINE) == [
        "type { SupabaseClient } from '@supabase/supabase-js'",
        "type { Database } from './generated/database'",
        "type { components, paths } from './generated/functions'",
    ]


def test_generated_types_are_of_this_stack(stack: Stack) -> None:
    """After a change of tables, RPCs or routes: bin/dev types."""
    made = types.generate(stack.db_url, stack.functions_url)
    assert set(made) == {path.name for path in types.FOLDER.iterdir()}
    for name, text in made.items():
        assert (types.FOLDER / name).read_text() == text, f"{name}: run bin/dev types"


def test_the_player_is_served_with_a_policy_and_nothing_around_it(stack: Stack) -> None:
    page = httpx.get(f"{stack.api_url}/")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    config = httpx.get(f"{stack.api_url}/config.json").json()
    assert config["publishableKey"] == stack.publishable_key
    assert stack.secret_key not in str(config)
    for path in ("/..%2f..%2fpackage.json", "/../package.json", "/assets", "/.waymark-stamp/x"):
        assert httpx.get(f"{stack.api_url}{path}").status_code == 404
    assert httpx.post(f"{stack.api_url}/").status_code == 404


def test_films_can_be_wound(stack: Stack) -> None:
    """Browsers ask for parts of a film."""
    answer = httpx.get(f"{stack.api_url}/demo/welcome.webm", headers={"Range": "bytes=100-199"})
    assert answer.status_code == 206
    assert len(answer.content) == 100
