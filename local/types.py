"""The player's generated types: the database's by the Supabase CLI, the functions' by OpenAPI.

`bin/dev types` writes them into web/src/generated; a test compares them with what a stack says.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from local.bootstrap import NODE_MODULES, ROOT
from local.parts import base_environment, node
from local.process import StartError

FOLDER = ROOT / "web" / "src" / "generated"


def write(database_url: str, functions_url: str) -> None:
    """Write the types of a running stack. Raises StartError with a generator's words."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in generate(database_url, functions_url).items():
        (FOLDER / name).write_text(text)


def generate(database_url: str, functions_url: str) -> dict[str, str]:
    """The files by their names."""
    with tempfile.TemporaryDirectory() as home:
        settings = {"SUPABASE_HOME": home, "SUPABASE_TELEMETRY_DISABLED": "1", "DO_NOT_TRACK": "1"}
        cli = NODE_MODULES / "supabase" / "dist" / "supabase.js"
        words = ["gen", "types", "--lang=typescript", "--schema=public", f"--db-url={database_url}"]
        database = _run([str(cli), *words], **settings, PGSSLMODE="disable", CI="1")
    program = NODE_MODULES / "openapi-typescript" / "bin" / "cli.js"
    words = [f"{functions_url}/openapi.json", "--default-non-nullable=false"]
    functions = _run([str(program), *words])
    return {
        # It indents as it finds it, and a formatter would be one more program.
        "database.ts": "".join(
            f"{line.strip()}\n" for line in database.splitlines() if line.strip()
        ),
        "functions.ts": functions,
    }


def _run(command: list[str], **settings: str) -> str:
    done = subprocess.run(
        [node(), *command],
        cwd=ROOT,
        env={**base_environment(), **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StartError(f"types: {Path(command[0]).name} failed\n{done.stdout}{done.stderr}")
    return done.stdout
