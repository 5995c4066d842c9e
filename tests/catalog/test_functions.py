"""Sweeps over functions: search_path, volatility, definer rights, grants and comments."""

from __future__ import annotations

import re
from typing import Any, LiteralString

from tests.catalog.catalog import DOCS, Catalog

FUNCTIONS: LiteralString = """
select n.nspname as schema, p.proname as name, p.oid::regprocedure::text as signature,
       p.prosecdef as is_definer, p.provolatile as volatility, p.proconfig as settings,
       coalesce(p.prosrc, '') || coalesce(pg_get_function_sqlbody(p.oid), '') as body,
       pg_get_userbyid(p.proowner) as owner, p.prorettype = 'trigger'::regtype as is_trigger,
       has_function_privilege('anon', p.oid, 'execute') as anon_may,
       obj_description(p.oid, 'pg_proc') as comment, p.prokind as kind
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace
 where n.nspname in ('public', 'private')
   and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
 order by 1, 2
"""
WRITES = re.compile(
    r"\b(insert\s+into|delete\s+from|update\s+(?!skip|of|set)[\w.]+|merge\s+into|nextval|setval"
    r"|pg_advisory_\w*lock\w*|pg_notify|notify|set_config|truncate|for\s+(?:no\s+key\s+)?update)\b",
    re.IGNORECASE,
)


def functions(catalog: Catalog) -> list[dict[str, Any]]:
    return catalog.rows(FUNCTIONS)


def test_every_function_has_an_empty_search_path(catalog: Catalog) -> None:
    def loose() -> list[str]:
        return [
            function["signature"]
            for function in functions(catalog)
            if 'search_path=""' not in (function["settings"] or [])
        ]

    assert len(functions(catalog)) > 90
    assert loose() == []
    with catalog.broken("create function public.loose() returns int return 1"):
        assert loose() == ["loose()"]


def code_of(body: str) -> str:
    """A function's body without comments and string literals."""
    return re.sub(r"'(?:[^']|'')*'", "''", re.sub(r"--[^\n]*", "", body))


def liars(catalog: Catalog) -> list[str]:
    """Functions that say stable or immutable and write, or call one that is volatile.

    PostgREST runs what is not volatile read-only: a wrong word is a 405 at run time.
    """
    all_functions = functions(catalog)
    volatile = {
        f"{function['schema']}.{function['name']}"
        for function in all_functions
        # Refusing raises, and changes nothing.
        if function["volatility"] == "v" and function["name"] != "fail"
    }
    found = []
    for function in all_functions:
        if function["volatility"] == "v":
            continue
        code = code_of(function["body"])
        called = set(re.findall(r"\b((?:public|private)\.\w+)\(", code))
        if WRITES.search(code) or called & volatile:
            found.append(function["signature"])
    return found


def test_volatility_is_true(catalog: Catalog) -> None:
    assert liars(catalog) == []
    with catalog.broken(
        "set local role waymark_writer",
        "alter function private.open_lesson(uuid, uuid, boolean) stable",
    ):
        assert liars(catalog) == ["private.open_lesson(uuid,uuid,boolean)"]
    with catalog.broken("alter function public.enroll(bigint) stable"):
        assert liars(catalog) == ["enroll(bigint)"]


def test_reads_are_not_called_writes(catalog: Catalog) -> None:
    """Every public get_ function is stable, so that it also works by GET."""
    # One mends what it finds wrong by POST, and leaves it so by GET: tests/http/test_drift.py.
    # Reports order a snapshot by POST, and answer from the one there is by GET.
    mending = {
        "get_course_progress", "get_course_report", "get_lesson_report", "get_report_page",
    }  # fmt: skip
    for function in functions(catalog):
        if function["schema"] == "public":
            reads = function["name"].startswith("get_") and function["name"] not in mending
            assert function["volatility"] == ("s" if reads else "v")


def test_public_functions_are_doors_only(catalog: Catalog) -> None:
    """Invokers that call the one private function behind them and know nothing themselves."""
    for function in functions(catalog):
        if function["schema"] == "public":
            assert not function["is_definer"], function["signature"]
            assert len(re.findall(r"private\.\w+\(", function["body"])) == 1, function["signature"]
            assert "public." not in function["body"]


def test_definer_functions_are_private_and_explained(catalog: Catalog) -> None:
    definers = {
        function["name"]: function for function in functions(catalog) if function["is_definer"]
    }
    assert len(definers) > 30
    assert {function["schema"] for function in definers.values()} == {"private"}

    page = (DOCS / "explanation" / "security.md").read_text()
    rows = re.findall(r"^\| `private\.(\w+)` \| ([^|]*) \| ([^|]*) \| ([^|]*) \|$", page, re.M)
    assert sorted(name for name, *_ in rows) == sorted(definers)
    for name, owner, why, boundary in rows:
        assert owner.strip() == definers[name]["owner"], name
        assert why.strip() == "as above" or len(why.strip()) > 15, name
        assert boundary.strip() == "as above" or len(boundary.strip()) > 15, name


def test_the_writer_is_nobody(catalog: Catalog) -> None:
    """The write path's role cannot log in, is nobody's superior, and owns functions only."""
    [role] = catalog.rows("select * from pg_roles where rolname = 'waymark_writer'")
    for right in (
        "rolsuper",
        "rolinherit",
        "rolcreaterole",
        "rolcreatedb",
        "rolcanlogin",
        "rolreplication",
        "rolbypassrls",
    ):
        assert role[right] is False, right
    assert (
        catalog.column(
            "select m.roleid::regrole::text from pg_auth_members m"
            " where m.member = 'waymark_writer'::regrole"
        )
        == []
    )
    # The migrating role has its rights too, since its functions for staff call the write path; it
    # owns the tables, so it gains nothing. No API role gets there, by whatever detour.
    assert catalog.column(
        "select m.member::regrole::text from pg_auth_members m"
        " where m.roleid = 'waymark_writer'::regrole and m.inherit_option"
    ) == ["postgres"]
    assert (
        catalog.column(
            "select rolname from pg_roles"
            " where rolname in ('anon', 'authenticated', 'service_role', 'authenticator')"
            " and pg_has_role(oid, 'waymark_writer', 'member')"
        )
        == []
    )
    assert (
        catalog.column("select relname from pg_class where relowner = 'waymark_writer'::regrole")
        == []
    )


def test_writes_to_a_learners_rows_run_as_the_writer(catalog: Catalog) -> None:
    """Each definer of the migrating role bypasses policies, so each is listed here by intent."""
    reach_everyone = {
        # Settling and counting again reach every learner of a course.
        "settle_lessons",
        "settle_enrollments",
        # Progress from another system, which an operator vouches for.
        "import_progress",
        "delete_lesson",
        "delete_course",
        # A module's new rule judges every learner who has begun it.
        "tg_modules__settle",
        # Staff grade, and admins record, for somebody else.
        "regrade_attempt",
        "import_attempt",
        # Staff make exceptions, enrol, and move deadlines; authors carry progress along.
        "excuse_lesson",
        "unexcuse_lesson",
        "count_lesson",
        "complete_lesson_for",
        "extend_enrollment",
        "set_enrollment_status",
        "assign_cohort",
        "bulk_enroll",
        "replace_lesson",
        # Ends a cycle, for a learner as for staff; tells of completions that expire; a lesson that
        # moves takes everybody's attempts along into their cycles.
        "begin_cycle",
        "tg_lessons__cycles",
        "tell_renewals",
        # Admins make one account of two.
        "merge_users",
        "record_merge",
        "merge_enrollments",
        "merge_progress",
        "merge_attempts",
        "merge_days",
        # What follows a completion, for a learner as for all whom a catalogue edit finishes.
        "finish_courses",
        # Triggers: history has no other writer.
        "tg_enrollments__event",
        # Triggers: what staff's list is sorted by follows grades and names.
        "tg_user_progress__score",
        "tg_profiles__name",
        "tg_enrollments__told",
        # Triggers: what a learner no longer wants kept, and a removed learner's id in the log.
        "tg_profiles__forget",
        "tg_users__forget",
    }
    tables = r"(?:user_progress|module_progress|enrollments|daily_activity|progress_events"
    tables += r"|user_assessment_attempts|lesson_waivers)"
    write = re.compile(rf"\b(?:insert\s+into|update|delete\s+from)\s+public\.{tables}\b", re.I)
    found = {
        function["name"]
        for function in functions(catalog)
        if function["owner"] != "waymark_writer" and write.search(code_of(function["body"]))
    }
    assert found == reach_everyone


def test_the_user_is_never_a_parameter_of_a_door(catalog: Catalog) -> None:
    # An import says whose attempt it was, an exception whose certificate or lesson, an override
    # whose date, a new cycle whose it is, a cohort who is in it, a report whom it is about: staff
    # and admins only.
    others = [
        "import_attempt",
        "set_certificate_exception",
        "clear_certificate_exception",
        "excuse_lesson",
        "unexcuse_lesson",
        "complete_lesson_for",
        "reopen_lesson_for",
        "assign_cohort",
        "start_cycle",
        "set_access_override",
        "get_course_learner",
    ]
    names = catalog.column(
        """
        select p.oid::regprocedure::text from pg_proc p
         where has_function_privilege('authenticated', p.oid, 'execute')
           and p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
           and (p.proargnames::text ~ 'user' or exists (
             select from unnest(p.proargnames) as name where name !~ '^p_'))
           and p.proname <> all (%s)
        """,
        others,
    )
    assert names == []


def test_anonymous_calls_what_is_meant_for_everyone(catalog: Catalog) -> None:
    """The built-in grant to PUBLIC is revoked function by function."""

    def open_to_all() -> list[str]:
        return [f["signature"] for f in functions(catalog) if f["anon_may"]]

    doors = [
        "get_course_cards(text,text,bigint,integer)",
        "get_course_outline(bigint)",
        "get_course_resources(bigint)",
        # It tells a visitor to sign in.
        "get_my_dashboard(text,integer)",
        "get_programs(bigint,integer)",
        "get_status_list(bigint)",
        "search_catalog(text,text,integer)",
        "unsubscribe_mail(uuid)",
        "verify_certificate(text)",
    ]
    assert sorted(open_to_all()) == sorted([*doors, *(f"private.{door}" for door in doors)])
    with catalog.broken("create function public.forgotten() returns int return 1"):
        assert "forgotten()" in open_to_all()


def test_default_privileges_are_the_hosts(catalog: Catalog) -> None:
    """A global revoke would break the host's own functions; none is of our making."""
    assert (
        catalog.column(
            "select defaclrole::regrole::text from pg_default_acl d"
            " where d.defaclnamespace = 0 and d.defaclrole = 'postgres'::regrole"
        )
        == []
    )
    assert (
        catalog.column(
            "select defaclnamespace from pg_default_acl"
            " where defaclnamespace = 'private'::regnamespace"
        )
        == []
    )


def test_every_function_is_described(catalog: Catalog) -> None:
    assert [f["signature"] for f in functions(catalog) if not f["comment"]] == []


def test_no_overloads(catalog: Catalog) -> None:
    """PostgREST answers 300 for what it cannot tell apart."""
    names = [(f["schema"], f["name"]) for f in functions(catalog)]
    assert len(names) == len(set(names))


def test_trigger_functions_are_named_so(catalog: Catalog) -> None:
    for function in functions(catalog):
        assert function["is_trigger"] == function["name"].startswith("tg_"), function["signature"]
        if function["is_trigger"]:
            assert function["schema"] == "private"
