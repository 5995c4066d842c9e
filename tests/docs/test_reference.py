"""The reference is complete: what the catalogue and the code hold, the docs name."""

from __future__ import annotations

import pkgutil
import re
from collections import Counter
from importlib import import_module
from pathlib import Path

import psycopg
import pytest

import functions
from shared.errors import CODES
from tests.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
PAGES = [
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
]


def reference(name: str) -> str:
    return (REFERENCE / name).read_text("utf-8")


def names_in_table(text: str) -> set[str]:
    """What stands in backquotes in the first column of the tables of a page."""
    return set(re.findall(r"^\| `([\w.]+)[`(]", text, re.MULTILINE))


def catalog(stack: Stack, query: str) -> set[str]:
    with psycopg.connect(stack.db_url) as connection:
        return {row[0] for row in connection.execute(query)}


def test_every_table_is_in_the_reference(stack: Stack) -> None:
    tables = catalog(
        stack,
        "select relname from pg_class where relnamespace = 'public'::regnamespace"
        " and relkind in ('r', 'p', 'v', 'm') and not relispartition",
    )
    assert tables == names_in_table(reference("tables.md").split("## What deleting")[0])


def test_every_rpc_is_in_the_reference(stack: Stack) -> None:
    functions = catalog(
        stack,
        "select p.proname from pg_proc p where p.pronamespace = 'public'::regnamespace"
        " and p.prokind = 'f' and not exists (select from pg_depend d"
        " where d.objid = p.oid and d.deptype = 'e')",
    )
    documented = set(re.findall(r"`(\w+)\(", reference("rpc.md")))
    assert functions == documented


def test_every_rpc_parameter_is_in_the_reference(stack: Stack) -> None:
    parameters = catalog(
        stack,
        "select distinct unnest(p.proargnames) from pg_proc p"
        " where p.pronamespace = 'public'::regnamespace",
    )
    assert parameters <= set(re.findall(r"\bp_\w+", reference("rpc.md")))


def test_every_route_is_in_the_reference() -> None:
    served = [
        import_module(f"functions.{module.name}").FUNCTION
        for module in pkgutil.iter_modules(functions.__path__)
    ]
    routes = {
        (f"{route.method} {function.name}/{route.path}".rstrip("/"), route.rpc)
        for function in served
        for route in function.routes
    }
    rows = re.findall(
        r"^\| `([A-Z]+ [^`]+)` \| (?:`(\w+)`|\u2013)", reference("routes.md"), re.MULTILINE
    )
    assert routes == {(route, rpc or None) for route, rpc in rows}


def test_every_error_code_is_in_the_reference() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", reference("errors.md"), re.MULTILINE)
    assert {(code, str(entry.status)) for code, entry in CODES.items()} == set(rows)


def test_every_code_that_sql_raises_is_registered() -> None:
    raised = set()
    for migration in (ROOT / "supabase" / "migrations").glob("*.sql"):
        raised |= set(
            re.findall(r"private\.fail\(\s*'(\w+)',\s*(\d+)", migration.read_text("utf-8"))
        )
    assert len(raised) > 10
    assert raised <= {(code, str(entry.status)) for code, entry in CODES.items()}


# What supabase-js' methods become in a request to PostgREST, where it is not their own name.
BECOMES = {
    "select": "select=",
    "order": "order=",
    "limit": "limit=",
    "range": "Range",
    "upsert": "resolution=merge-duplicates",
    "textSearch": "wfts",
    "rpc": "POST /rpc/<name>",
}
FILTERS = (
    "eq|neq|gt|gte|lt|lte|like|ilike|is|in|or|not|match|contains|containedBy|overlaps|rangeGt|csv"
    "|filter|maybeSingle|single|explain|rollback|schema"
)


def test_every_feature_of_postgrest_in_use_is_in_the_reference() -> None:
    pages = [*(ROOT / "web" / "src").rglob("*.ts"), *(ROOT / "docs").rglob("*.md")]
    called = re.compile(rf"\.({FILTERS}|{'|'.join(BECOMES)})\(")
    # Of the player and of the examples; filters follow a table there.
    text = "\n".join(
        found
        for page in pages
        for found in re.findall(
            r"\.(?:from|rpc)\('\w+'.*?(?:\n\n|\n```|;|\Z)", page.read_text(), re.S
        )
    )
    used = {BECOMES.get(name, name) for name in called.findall(text)}
    assert {"eq", "neq", "in", "wfts", "order="} <= used
    listed = reference("postgrest.md").split("Not used:")[0]
    assert sorted(name for name in used if f"`{name}" not in listed) == []


def test_every_environment_variable_is_in_the_reference() -> None:
    code = "".join(
        (ROOT / "shared" / name).read_text("utf-8") for name in ("settings.py", "admin.py")
    )
    used = set(re.findall(r'env(?:iron)?(?:\.get\(|\[|, )"([A-Z][A-Z_]+)"', code))
    used |= set(re.findall(r'_url\(env, "([A-Z_]+)"', code))
    assert len(used) > 8
    assert used <= names_in_table(reference("environment.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        if not re.match(r"[a-z]+:", link):
            assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_nothing_is_said_twice(page: Path) -> None:
    """Two branches that mend the same paragraph leave both: twelve words, or a row of a table."""
    text = page.read_text("utf-8")
    words = re.sub(r"```(?s:.*?)```|^\|.*$", "", text, flags=re.MULTILINE).split()
    runs = Counter(tuple(words[n : n + 12]) for n in range(len(words) - 11))
    assert [" ".join(run) for run, times in runs.items() if times > 1] == []
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        keys = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
        assert [key for key in keys if keys.count(key) > 1] == []


def test_the_drawing_of_a_request_is_of_this_code(stack: Stack) -> None:
    """Its files exist; of its functions each is called by the one that it is drawn under."""
    page = (ROOT / "docs" / "explanation" / "design.md").read_text("utf-8")
    drawing = page.partition("```\n")[2].partition("```")[0]
    for file in re.findall(r"[\w/]+\.py", drawing):
        assert (ROOT / file).is_file(), file
    for table in re.findall(r"(?:public|private)\.\w+(?=[,\n])", drawing):
        [row] = catalog(stack, f"select to_regclass('{table}') is not null")
        assert row, table
    drawn = re.findall(r"^( +)((?:public|private)\.\w+)  ", drawing, re.MULTILINE)
    assert len(drawn) > 5
    called = [("", "public.complete_lesson"), *drawn[1:]]
    for n, (indent, name) in enumerate(called[1:], 1):
        caller = next(other for deep, other in reversed(called[:n]) if len(deep) < len(indent))
        [body] = catalog(stack, f"select pg_get_functiondef('{caller}'::regproc::oid)")
        assert f"{name}(" in body, (caller, name)


def test_readme_names_every_folder() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    table = text.partition("| folder | what |")[2].partition("\n\n")[0]
    named = re.findall(r"^\| `([\w/]+)/` \|", table, re.MULTILINE)
    assert [name for name in named if not (ROOT / name).is_dir()] == []
    folders = {
        path.name for path in ROOT.iterdir() if path.is_dir() and not re.match(r"[._]", path.name)
    }
    assert folders - {"node_modules"} == {name.split("/")[0] for name in named}
    path = text.partition("A request passes through")[2].partition("[How it works]")[0]
    for file in re.findall(r"`([\w/…]+\.\w+)`", path):
        assert list(ROOT.glob(file.replace("…", "*"))), file
