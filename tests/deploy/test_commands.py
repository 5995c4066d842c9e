"""What the docs tell people to type: workflows fit GitHub's schema, gcloud's flags exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from local.bootstrap import ROOT
from tests.deploy.test_image import TARGETS
from tests.stack import Stack

BIN = Path(sys.executable).parent
DOCS = ROOT / "docs" / "how-to"
PAGES = ("deploy.md", "upgrade.md", "jobs.md")
COMMON = {"--region", "--project", "--quiet"}
SERVICE = COMMON | {
    "--allow-unauthenticated", "--concurrency", "--cpu", "--max-instances", "--memory",
    "--min-instances", "--service-account", "--set-env-vars", "--set-secrets", "--timeout",
    "--update-env-vars", "--update-secrets",
}  # fmt: skip
# From the reference of gcloud: the flags of each command that a page of ours uses.
GCLOUD = {
    "functions deploy": SERVICE
    | {"--gen2", "--runtime", "--source", "--entry-point", "--trigger-http",
       "--set-build-env-vars"},
    "run deploy": SERVICE | {"--image", "--port", "--no-traffic", "--tag", "--no-cpu-throttling"},
    "run services update-traffic": COMMON | {"--to-revisions", "--to-latest", "--to-tags"},
    "run revisions list": COMMON | {"--service", "--limit"},
    "builds submit": COMMON | {"--tag"},
    "secrets create": COMMON | {"--data-file", "--replication-policy"},
    "secrets versions add": COMMON | {"--data-file"},
    "secrets versions access": COMMON | {"--secret"},
    "secrets versions disable": COMMON | {"--secret"},
    "secrets add-iam-policy-binding": COMMON | {"--member", "--role"},
    "artifacts repositories create": COMMON | {"--repository-format", "--location"},
    "scheduler jobs create http": COMMON
    | {"--schedule", "--http-method", "--uri", "--headers", "--attempt-deadline", "--location"},
}  # fmt: skip


def blocks(page: str) -> list[str]:
    return re.findall(r"```sh\n(.*?)```", (DOCS / page).read_text("utf-8"), re.S)


def commands(word: str) -> list[list[str]]:
    """Every command of the pages that begins with a word, as a shell splits it."""
    found = []
    for block in (block for page in PAGES for block in blocks(page)):
        # A text in angle brackets stands for the reader's own.
        text = re.sub(r"<[^>]*>", "x", block).replace("\\\n", " ")
        for line in text.splitlines():
            inner = re.findall(r"\$\(([^)]*)\)", line)
            for part in [*re.split(r"\s*(?:\||&&)\s*", line.split("  #")[0]), *inner]:
                if part.strip().startswith(f"{word} "):
                    found.append(shlex.split(part.strip())[1:])
    return found


def test_gcloud_knows_every_command_and_flag() -> None:
    assert len(commands("gcloud")) > 8
    for words in commands("gcloud"):
        text = " ".join(words)
        [name] = [known for known in GCLOUD if text.startswith(f"{known} ")]
        flags = {word.split("=")[0] for word in words if word.startswith("--")}
        assert flags <= GCLOUD[name], (name, flags - GCLOUD[name])


def test_entry_points_and_variables_exist() -> None:
    known = (ROOT / "docs" / "reference" / "environment.md").read_text("utf-8")
    entries, variables = set(), set()
    for words in commands("gcloud"):
        for flag, value in pairwise(words):
            if flag == "--entry-point":
                entries.add(value)
            if flag in ("--set-env-vars", "--set-secrets", "--update-secrets"):
                variables |= {each.split("=")[0] for each in value.split(",")}
    assert entries <= {*TARGETS, "$function"}
    assert len(variables) > 3
    assert [name for name in variables if f"`{name}`" not in known] == []


def test_deploying_one_by_one_deploys_every_function(tmp_path: Path) -> None:
    [loop] = [block for block in blocks("deploy.md") if block.startswith("for file in functions/")]
    text = f'gcloud() {{ echo "$3" >> {tmp_path}/deployed; }}\n' + re.sub(r"<[^>]*>", "x", loop)
    subprocess.run(["bash", "-euc", text], cwd=ROOT, check=True)
    deployed = (tmp_path / "deployed").read_text().split()
    assert sorted(deployed) == sorted(set(TARGETS) - {"waymark"})


@pytest.mark.parametrize("page", PAGES)
def test_a_shell_can_read_every_block(page: str) -> None:
    for block in blocks(page):
        text = re.sub(r"<[^>]*>", "x", block)
        done = subprocess.run(["bash", "-n", "-c", text], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_what_is_named_in_passing_exists() -> None:
    """Variables, files, routes and commands of ours, wherever deploy.md and README name them."""
    variables = (ROOT / "docs" / "reference" / "environment.md").read_text("utf-8")
    routes = (ROOT / "docs" / "reference" / "routes.md").read_text("utf-8")
    named = set()
    for page in (DOCS / "deploy.md", ROOT / "README.md"):
        text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
        named |= set(re.findall(r"`([^`]+)`", text))
    ours = [name for name in named if re.fullmatch(r"[A-Z][A-Z_]+(=.*)?", name)]
    assert len(ours) > 6
    assert [name for name in ours if f"`{name.split('=')[0]}`" not in variables] == []
    called = [name for name in named if re.match(r"(GET|POST) ", name)]
    assert len(called) > 2
    assert [name for name in called if f"`{name}`" not in routes] == []
    top = {path.name for path in ROOT.iterdir()}
    files = [
        name for name in named if re.fullmatch(r"[\w./-]+", name) and name.split("/")[0] in top
    ]
    assert len(files) > 8
    assert [name for name in files if not (ROOT / name).exists()] == []
    for name in named:
        if name.startswith("bin/admin "):
            done = subprocess.run(
                [ROOT / "bin" / "admin", *name.split()[1:], "--help"],
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stderr


def test_the_statements_of_deploying_run(stack: Stack) -> None:
    """But those for Vault and pg_cron, which the local stack has not."""
    text = (DOCS / "deploy.md").read_text("utf-8")
    statements = [block for block in re.findall(r"```sql\n(.*?)```", text, re.S)
                  if "vault" not in block]  # fmt: skip
    assert len(statements) == 3
    with stack.connect() as connection:
        connection.execute('drop policy "Learners read their own certificates" on storage.objects')
        for statement in statements:
            connection.execute(statement.encode())
        found = connection.execute(
            "select u.raw_app_meta_data->>'waymark_role', s.role, p.polname is not null"
            "  from auth.users u join public.course_staff s on s.user_id = u.id"
            "  join public.courses c on c.id = s.course_id"
            "  join pg_policy p on p.polname = 'Learners read their own certificates'"
            " where u.email = 'ada@example.com' and c.slug = 'reading-maps'"
        ).fetchone()
        assert found == ("admin", "author", True)
        connection.rollback()


def test_workflows_fit_the_schema_of_github() -> None:
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    assert len(workflows) == 3
    done = subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    for path in workflows:
        workflow = yaml.safe_load(path.read_text())
        # The token that a workflow holds reads, and writes only where a job says so.
        assert workflow["permissions"] == {"contents": "read"}
        for job in workflow["jobs"].values():
            assert job["timeout-minutes"] <= 90
            for step in job["steps"]:
                for line in str(step.get("run", "")).splitlines():
                    assert "${{" not in line, "a value belongs into env, not into the script"
                    script = re.match(r"\s*(bin/\w+|\.ci/\w+)", line)
                    assert script is None or (ROOT / script[1]).exists()
