"""What a release promises: nothing public is taken away or changed, unless the changelog says so.

supabase/schema.txt of the latest release's tag against the present one. Functions of the release
before must be able to call this schema (docs/how-to/upgrade.md), and so must sites, by supabase-js.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.catalog.catalog import ROOT

SCHEMA = "supabase/schema.txt"
FUNCTION = re.compile(
    r"function public\.(\w+)\((.*)\) returns (.*), (\w+), (?:invoker|definer \w+)"
)
COLUMN = re.compile(r"column public\.(\w+\.\w+): (.*)")
ARGUMENT = re.compile(r"(\w+) (.*?)(?: DEFAULT (.*))?")


def arguments(text: str) -> dict[str, tuple[str, bool]]:
    """Type of each argument by name, and whether it has a default."""
    found = [ARGUMENT.fullmatch(part) for part in re.split(r", (?=p_\w+ )", text) if part]
    return {x[1]: (x[2], x[3] is not None) for x in found if x}


def breaches(old: list[str], new: list[str]) -> list[str]:
    """What a caller of the old schema would miss in the new one: each begins with the name."""
    told = []
    functions = {found[1]: found for line in new if (found := FUNCTION.fullmatch(line))}
    columns = {found[1]: found[2] for line in new if (found := COLUMN.fullmatch(line))}
    known = {found[1] for line in old if (found := COLUMN.fullmatch(line))}
    for line in old:
        if was := FUNCTION.fullmatch(line):
            name = was[1]
            if name not in functions:
                told.append(f"{name}: gone")
                continue
            now = functions[name]
            before, after = arguments(was[2]), arguments(now[2])
            for argument, (type_, optional) in before.items():
                if argument not in after:
                    told.append(f"{name}: argument {argument} gone")
                elif after[argument][0] != type_:
                    told.append(f"{name}: argument {argument} is no {type_} any more")
                elif optional and not after[argument][1]:
                    told.append(f"{name}: argument {argument} has no default any more")
            told += [
                f"{name}: new argument {argument} has no default"
                for argument, (_, optional) in after.items()
                if argument not in before and not optional
            ]
            if now[3] != was[3]:
                told.append(f"{name}: returns {now[3]}")
            if now[4] == "volatile" != was[4]:
                told.append(f"{name}: cannot be called by GET any more")
        elif (column := COLUMN.fullmatch(line)) and column[1] not in columns:
            told.append(f"{column[1]}: gone")
        elif column and shape(columns[column[1]]) != shape(column[2]):
            told.append(f"{column[1]}: is {shape(columns[column[1]])}")
        elif line.startswith("view public.") and line not in new:
            told.append(f"{line[12:].split(':')[0]}: changed or gone")
    tables = {name.split(".")[0] for name in known}
    told += [
        f"{name}: new, and an insert that does not know it fails"
        for name, column in columns.items()
        if name not in known
        and name.split(".")[0] in tables
        and " not null" in column
        and not re.search(r" (default|generated) ", column)
    ]
    return told


def shape(column: str) -> str:
    """A column's type and whether it is ever null."""
    return re.split(r" (?:default|generated) ", column)[0]


def removed(changelog: str, version: str) -> str:
    """What the changelog calls removed since that version."""
    newer = re.split(rf"^## \[?{re.escape(version)}\b", changelog, maxsplit=1, flags=re.M)[0]
    return "\n".join(re.findall(r"^### Removed\n(.*?)(?=^##|\Z)", newer, re.M | re.S))


def unannounced(told: list[str], said: str) -> list[str]:
    """Breaches whose name no "Removed" has in code quotes."""
    return [breach for breach in told if f"`{breach.split(':')[0]}`" not in said]


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def released(folder: Path) -> list[str] | None:
    """What the schema here breaks of the latest release's; None when nothing is released yet."""
    tag = git(folder, "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*")
    if not tag:
        return None
    old = git(folder, "show", f"{tag}:{SCHEMA}").splitlines()
    assert old, f"{tag} has no {SCHEMA}"
    said = removed((folder / "CHANGELOG.md").read_text("utf-8"), tag.removeprefix("v"))
    return unannounced(breaches(old, (folder / SCHEMA).read_text("utf-8").splitlines()), said)


def test_what_was_released_is_still_there() -> None:
    found = released(ROOT)
    if found is None:
        pytest.skip("no release tag (v…) leads here: nothing is promised, or the clone is shallow")
    assert found == []


def test_the_latest_tag_is_what_is_compared(tmp_path: Path) -> None:
    """A repository with two releases: only what the latest one had is missed."""
    (tmp_path / "supabase").mkdir()
    schema, changelog = tmp_path / SCHEMA, tmp_path / "CHANGELOG.md"
    changelog.write_text("## Unreleased\n")
    git(tmp_path, "init", "--quiet")
    assert released(tmp_path) is None
    for version, name in (("v1.0.0", "first"), ("v1.1.0", "second")):
        schema.write_text(f"function public.{name}(p_id uuid) {RETURNS}\n")
        git(tmp_path, "add", ".")
        author = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        git(tmp_path, *author, "commit", "--quiet", "--message", name)
        git(tmp_path, "tag", version)
    assert released(tmp_path) == []
    schema.write_text("\n")
    assert released(tmp_path) == ["second: gone"]
    changelog.write_text("## Unreleased\n\n### Removed\n- `second`\n\n## 1.1.0\n")
    assert released(tmp_path) == []


NOW = (ROOT / SCHEMA).read_text("utf-8").splitlines()


def edited(old: str, new: str | None) -> list[str]:
    """The present schema with one line changed, or taken out."""
    [place] = [number for number, line in enumerate(NOW) if line.startswith(old)]
    return [*NOW[:place], *([new] if new else []), *NOW[place + 1 :]]


COHORT = "function public.create_cohort("
GIVEN = "p_course_id bigint, p_name text, p_reason text"
RETURNS = "returns jsonb, volatile, invoker"


@pytest.mark.parametrize(
    ("line", "was", "told"),
    [
        (
            COHORT,
            f"{COHORT}{GIVEN}, p_color text) {RETURNS}",
            "create_cohort: argument p_color gone",
        ),
        (
            COHORT,
            f"{COHORT}{GIVEN.replace('p_name text', 'p_name uuid')}) {RETURNS}",
            "create_cohort: argument p_name is no uuid any more",
        ),
        (
            COHORT,
            f"{COHORT}{GIVEN} DEFAULT 'x, y'::text) {RETURNS}",
            "create_cohort: argument p_reason has no default any more",
        ),
        (
            COHORT,
            f"{COHORT}p_course_id bigint, p_name text) {RETURNS}",
            "create_cohort: new argument p_reason has no default",
        ),
        (
            COHORT,
            f"{COHORT}{GIVEN}) returns void, volatile, invoker",
            "create_cohort: returns jsonb",
        ),
        (
            COHORT,
            f"{COHORT}{GIVEN}) returns jsonb, stable, invoker",
            "create_cohort: cannot be called by GET any more",
        ),
        (
            "column public.courses.author:",
            "column public.courses.author: integer",
            "courses.author: is text",
        ),
        (
            "column public.courses.author:",
            "column public.courses.author: text not null",
            "courses.author: is text",
        ),
    ],
    ids=[
        "argument gone", "argument's type", "default gone", "argument demanded", "result",
        "no more GET", "column's type", "null",
    ],
)  # fmt: skip
def test_what_is_changed_is_told(line: str, was: str, told: str) -> None:
    assert breaches(edited(line, was), NOW) == [told]


def test_what_is_gone_is_told_and_what_is_new_is_not() -> None:
    old = [*NOW, f"function public.old_rpc(p_id uuid) {RETURNS}", "column public.courses.hue: text"]
    assert breaches(old, NOW) == ["old_rpc: gone", "courses.hue: gone"]
    assert breaches(edited(COHORT, None), NOW) == []
    assert breaches(edited(COHORT, f"{COHORT}{GIVEN}) {RETURNS}"), NOW) == []
    assert breaches(edited("column public.courses.author:", None), NOW) == []
    assert breaches(edited("column public.courses.title:", None), NOW) == [
        "courses.title: new, and an insert that does not know it fails"
    ]
    assert sum(bool(FUNCTION.fullmatch(line)) for line in NOW) > 100
    assert [line for line in NOW if line.startswith("function public.")] == [
        line for line in NOW if FUNCTION.fullmatch(line)
    ]


def test_the_changelog_may_take_away() -> None:
    changelog = (
        "## Unreleased\n\n### Added\n- `kept_rpc`\n\n### Removed\n- `old_rpc`, unused.\n\n"
        "## 1.0.0\n\n### Removed\n- `older_rpc`\n"
    )
    said = removed(changelog, "1.0.0")
    told = ["old_rpc: gone", "older_rpc: gone", "kept_rpc: argument p_x gone"]
    assert unannounced(told, said) == told[1:]
