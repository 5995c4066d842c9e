"""The declared policy against the catalogue: is everything declared, and is it so?"""

from __future__ import annotations

import fnmatch
import json
from typing import Any

import psycopg
import pytest
from psycopg import errors, sql

from tests.access.policy import OPERATIONS, PolicyError, policy, read
from tests.access.world import PERSONAS, ROLES, World

DENIED = errors.InsufficientPrivilege
COLUMN_OPERATIONS = ("select", "insert", "update")
NEVER = ("truncate", "references", "trigger", "maintain")

# Where each kind of row that the policy names is found.
ROWS: dict[str, dict[str, str]] = {
    "public.profiles": {"the learner's": "id = {learner}"},
    "public.courses": {"published": "id = {main}", "draft": "id = {draft}"},
    "public.course_staff": {"the author's": "user_id = {author} and course_id = {main}"},
    "public.cohorts": {"of the course": "id = {cohort}"},
    "public.modules": {
        "of a published course": "id = {module first}",
        "of a draft": "id = {module draft}",
    },
    "public.lessons": {
        "for the enrolled": "id = {lesson fresh}",
        "archived": "id = {lesson archived}",
        "preview": "id = {lesson preview}",
        "open to all": "id = {lesson open}",
        "of a draft": "id = {lesson draft}",
    },
    **{
        f"public.{kind}_prerequisites": {
            "of a published course": f"{kind}_id = {{{prefix}invite{suffix}}}",
            "of a draft": f"{kind}_id = {{{prefix}draft{suffix}}}",
        }
        for kind, prefix, suffix in (
            ("lesson", "lesson ", " second"),
            ("module", "module ", " second"),
            ("course", "", ""),
        )
    },
    "public.access_overrides": {
        f"the {person}'s": f"user_id = {{{person}}}" for person in ("learner", "other")
    },
    "public.resources": {
        name: f"id = {{{name}}}"
        for name in (
            "of the course",
            "of a lesson",
            "of a preview",
            "of the open course",
            "of a draft",
        )
    },
    "public.enrollments": {
        "the learner's": "id = {enrollment of learner}",
        "the other's": "id = {enrollment of other}",
    },
    "public.user_progress": {
        "the learner's": "user_id = {learner} and lesson_id = {lesson done}",
        "the other's": "user_id = {other} and lesson_id = {lesson open}",
    },
    "public.module_progress": {
        "the learner's": "user_id = {learner} and module_id = {module first}",
        "the other's": "user_id = {other} and module_id = {module open}",
    },
    "public.lesson_waivers": {"the learner's": "user_id = {learner} and lesson_id = {lesson quiz}"},
    **{
        f"public.{table}": {
            f"the {person}'s": f"user_id = {{{person}}}" for person in ("learner", "other")
        }
        for table in ("daily_activity", "past_cycles", "past_progress", "program_enrollments")
    },
    "public.programs": {name: f"id = {{program {name}}}" for name in ("published", "draft")},
    "public.program_courses": {
        name: f"program_id = {{program {name}}}" for name in ("published", "draft")
    },
    "public.progress_events": {
        "the learner's": "user_id = {learner} and kind = 'lesson_uncompleted'",
        "the other's": "user_id = {other} and kind = 'lesson_completed'",
    },
    "public.user_assessment_attempts": {
        f"the {person}'s": f"id = {{attempt of {person}}}" for person in ("learner", "other")
    },
    "private.attempt_results": {
        f"the {person}'s": f"attempt_id = {{attempt of {person}}}"
        for person in ("learner", "other")
    },
    **{
        f"public.{table}": {
            f"the {person}'s": f"id = {{{kind} of {person}}}" for person in ("learner", "other")
        }
        for table, kind in (
            ("notes", "note"),
            ("collections", "collection"),
            ("collection_items", "item"),
        )
    },
    "private.search_entries": {"of the course": "course_id = {main} and lesson_id is null"},
    **{
        f"private.{table}": {
            f"the {person}'s": f"user_id = {{{person}}}" for person in ("learner", "other")
        }
        for table in ("watch_sessions", "watch_credit", "client_events")
    },
    "public.notifications": {
        f"the {person}'s": f"user_id = {{{person}}} and kind = 'attempt_graded'"
        for person in ("learner", "other")
    },
    "public.certificates": {
        f"the {person}'s": f"id = {{certificate of {person}}}" for person in ("learner", "other")
    },
    "public.audit_log": {
        "the learner's correction": "user_id = {learner} and action = 'lesson.uncomplete'"
    },
}

# A row that is not there yet, for each kind that the policy says may be inserted or not.
NEW_ROWS: dict[str, dict[str, dict[str, str]]] = {
    "public.profiles": {
        "the learner's": {"id": "{learner}", "display_name": "'Again'", "timezone": "'UTC'"}
    },
    "public.courses": {"new": {"slug": "'brand-new-course'", "title": "'New'"}},
    "public.course_staff": {
        "new": {"course_id": "{main}", "user_id": "{newcomer}", "role": "'assistant'"}
    },
    "public.cohorts": {"new": {"course_id": "{main}", "name": "'Spring'"}},
    "public.modules": {"new": {"course_id": "{main}", "title": "'New'"}},
    "public.lessons": {"new": {"module_id": "{module first}", "title": "'New'"}},
    "public.lesson_prerequisites": {
        "new": {"lesson_id": "{lesson last}", "requires_lesson_id": "{lesson done}"}
    },
    "public.module_prerequisites": {
        "new": {"module_id": "{module second}", "requires_module_id": "{module first}"}
    },
    "public.course_prerequisites": {"new": {"course_id": "{main}", "requires_course_id": "{open}"}},
    "public.access_overrides": {
        "the learner's": {
            "user_id": "{learner}",
            "lesson_id": "{lesson last}",
            "available_from": "now()",
        }
    },
    "public.resources": {
        "new": {"course_id": "{main}", "title": "'New'", "url": "'https://example.org/new'"}
    },
    "public.enrollments": {
        "the learner's": {"user_id": "{learner}", "course_id": "{open}"},
        "the other's": {"user_id": "{other}", "course_id": "{invite}"},
    },
    "public.user_progress": {
        f"the {person}'s": {
            "user_id": f"{{{person}}}",
            "lesson_id": "{lesson fresh}",
            "course_id": "{main}",
            "status": "'in_progress'",
            "started_at": "now()",
        }
        for person in ("learner", "other")
    },
    "public.module_progress": {
        f"the {person}'s": {
            "user_id": f"{{{person}}}",
            "module_id": "{module second}",
            "course_id": "{main}",
            "started_at": "now()",
        }
        for person in ("learner", "other")
    },
    "public.lesson_waivers": {
        "the learner's": {
            "user_id": "{learner}",
            "lesson_id": "{lesson fresh}",
            "reason": "'Because'",
        }
    },
    "public.daily_activity": {
        f"the {person}'s": {
            "user_id": f"{{{person}}}",
            "day": "date '2001-01-01'",
            "first_at": "now()",
            "last_at": "now()",
        }
        for person in ("learner", "other")
    },
    "public.progress_events": {
        f"the {person}'s": {
            "occurred_at": "now()",
            "user_id": f"{{{person}}}",
            "course_id": "{main}",
            "kind": "'enrolled'",
        }
        for person in ("learner", "other")
    },
    "public.user_assessment_attempts": {
        f"the {person}'s": {
            "user_id": f"{{{person}}}",
            "lesson_id": "{lesson fresh}",
            "course_id": "{main}",
            "number": "1",
            "started_at": "now()",
            "pass_percent": "70",
            "questions": "'[]'",
            "total_questions": "0",
            "max_score": "0",
        }
        for person in ("learner", "other")
    },
    "private.attempt_results": {
        f"the {person}'s": {
            "attempt_id": f"{{open attempt of {person}}}",
            "lesson_id": "{lesson quiz}",
            "points": "'{{}}'",
        }
        for person in ("learner", "other")
    },
    "public.notes": {
        f"the {person}'s": {
            "user_id": f"{{{person}}}",
            "lesson_id": "{lesson preview}",
            "body": "'New'",
        }
        for person in ("learner", "other")
    },
    "public.collections": {
        f"the {person}'s": {"user_id": f"{{{person}}}", "name": "'New'"}
        for person in ("learner", "other")
    },
    "public.collection_items": {
        f"the {person}'s": {
            "user_id": f"{{{person}}}",
            "collection_id": f"{{collection of {person}}}",
            "course_id": "{invite}",
        }
        for person in ("learner", "other")
    },
    "private.search_entries": {
        "new": {"course_id": "{main}", "language": "'english'", "title": "'New'"}
    },
    "private.watch_sessions": {
        f"the {person}'s": {
            "user_id": f"{{{person}}}",
            "lesson_id": "{lesson fresh}",
            "session_id": "gen_random_uuid()",
            "seconds": "0",
            "begun": "0",
            "until": "0",
        }
        for person in ("learner", "other")
    },
    "private.client_events": {
        f"the {person}'s": {"user_id": f"{{{person}}}", "event_id": "gen_random_uuid()"}
        for person in ("learner", "other")
    },
    "private.watch_credit": {
        f"the {person}'s": {"user_id": f"{{{person}}}"} for person in ("learner", "other")
    },
    "public.notifications": {
        "the learner's": {"user_id": "{learner}", "kind": "'attempt_graded'", "dedupe_key": "'new'"}
    },
    "public.certificates": {
        "the learner's": {
            "user_id": "{learner}",
            "course_id": "{open}",
            "code": "'00000-00000-00000-00000'",
            "course_title": "'Forged'",
            "completed_at": "now()",
            "completed_on": "current_date",
            "issued_at": "now()",
            "issued_on": "current_date",
        }
    },
    "public.programs": {"new": {"slug": "'brand-new-program'", "title": "'New'"}},
    "public.program_courses": {
        "new": {
            "program_id": "{program published}",
            "course_id": "{invite}",
            "position": "7",
        }
    },
    "public.program_enrollments": {
        f"the {person}'s": {"user_id": f"{{{person}}}", "program_id": "{program draft}"}
        for person in ("learner", "other")
    },
    "public.past_cycles": {
        "the learner's": {
            "user_id": "{learner}",
            "course_id": "{main}",
            "cycle": "1",
            "enrollment_id": "{enrollment of learner}",
            "course_title": "'Forged'",
        }
    },
    "public.past_progress": {
        "the learner's": {
            "user_id": "{learner}",
            "course_id": "{main}",
            "cycle": "1",
            "lesson_id": "{lesson fresh}",
            "status": "'completed'",
        }
    },
    "public.audit_log": {"new": {"actor_role": "'learner'", "action": "'nothing'"}},
}

# Tables with one row a user: the learner's own goes before another is tried.
ONE_EACH = {"public.profiles": "id", "private.watch_credit": "user_id"}

# What the RPCs are called with, by parameter; what has a default keeps it unless it stands here.
ARGUMENTS = {
    "p_webhook_id": "gen_random_uuid()",
    "p_url": "'https://example.org/hook'",
    "p_cursor": "'0:0:0'",
    "p_next": "'0:0:0'",
    "p_results": "'[]'::jsonb",
    "p_course_id": "{main}",
    "p_lesson_id": "{lesson fresh}",
    "p_module_id": "{module first}",
    "p_enrollment_id": "{enrollment of learner}",
    "p_position": "7",
    "p_fields": """'{{"title": "New"}}'::jsonb""",
    "p_force": "true",
    "p_document": """'{{"waymark": 1,
        "slug": "imported-by-policy", "title": "New", "status": "draft",
        "modules": [{{"slug": "m", "title": "M", "lessons": [{{"slug": "l", "title": "L"}}]}}]}}'
        ::jsonb""",
    "p_attempt_id": "{open attempt of learner}",
    "p_answers": "'[]'::jsonb",
    "p_quiz": "null::jsonb",
    "p_grades": """'[{{"question_id": "essay", "points": 1}}]'::jsonb""",
    "p_user_id": "{learner}",
    "p_percent": "80",
    "p_query": "'lesson'",
    "p_session_id": "gen_random_uuid()",
    "p_seconds": "5",
    "p_events": "'[]'::jsonb",
    "p_rows": "'[]'::jsonb",
    "p_job_id": "0",
    "p_lease": "gen_random_uuid()",
    "p_error": "'no luck'",
    "p_token": "gen_random_uuid()",
    "p_certificate_id": "{certificate of learner}",
    "p_reason": "'Because'",
    "p_code": "'nothing'",
    "p_list": "0",
    "p_kind": "'deny'",
    "p_digest": "repeat('0', 64)",
    "p_name": "'policy'",
    "p_source": "'x'",
    "p_cohort_id": "{cohort}",
    "p_learners": "array['nobody']",
    "p_user_ids": "array[{learner}]::uuid[]",
    "p_new_lesson_id": "{lesson archived}",
    "p_status": "'archived'",
    "p_lesson_ids": "(select array_agg(id) from public.lessons"
    " where module_id = {module first} and archived_at is null)",
    "p_from": "{other}",
    "p_into": "{learner}",
    "p_requires": "null",
    "p_program_id": "{program published}",
}
# What one function is called with instead.
QUIZ = {"p_lesson_id": "{lesson quiz}"}
INSTEAD = {
    **dict.fromkeys(
        (
            "public.set_quiz",
            "public.get_quiz",
            "public.start_attempt",
            "public.submit_quiz",
            "public.get_attempts",
            "public.get_lesson_attempts",
            "public.regrade_lesson",
            "public.import_attempt",
        ),
        QUIZ,
    ),
    "public.set_lesson_prerequisites": {"p_requires": "array[{lesson done}::uuid]"},
    "public.set_module_prerequisites": {"p_requires": "array[{module second}::uuid]"},
    "public.set_course_prerequisites": {"p_requires": "array[{open}::bigint]"},
    "public.put_program": {
        "p_document": """'{{"slug": "put-by-policy", "title": "New", "courses": []}}'::jsonb"""
    },
    "public.grade_attempt": {"p_attempt_id": "{attempt of learner}"},
}
# Parameters with a default that are given all the same.
GIVEN = {
    "public.recalculate": ["p_enrollment_id"],
    "public.delete_course": ["p_force"],
    "public.delete_program": ["p_force"],
    "public.drop_jobs": ["p_kind"],
    "public.set_access_override": ["p_lesson_id"],
}


def literals(world: World) -> dict[str, str]:
    """The world's ids, quoted, under the names that the templates above use."""
    names: dict[str, Any] = {
        **world.users,
        **world.courses,
        **{f"module {name}": value for name, value in world.modules.items()},
        **{f"lesson {name}": value for name, value in world.lessons.items()},
        **world.ids,
    }
    names.pop("admin")
    return {name: sql.Literal(value).as_string(world.connection) for name, value in names.items()}


def filled(template: str, world: World) -> str:
    """A template with the world's ids in it."""
    return template.format_map(literals(world))


def fetch(world: World, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
    return world.connection.execute(query.encode(), arguments).fetchall()


RELATIONS = """
select n.nspname || '.' || c.relname, c.relkind
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where n.nspname in ('public', 'private') and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
   and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
"""
FUNCTIONS = """
select n.nspname || '.' || p.proname, p.oid::regprocedure::text, p.proargnames, p.pronargs,
       p.pronargdefaults
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace
 where n.nspname in ('public', 'private')
   and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
 order by 1
"""
COLUMNS = """
select attname, attgenerated from pg_attribute
 where attrelid = %s::regclass and attnum > 0 and not attisdropped
"""


# Is everything declared?


def test_every_table_view_and_sequence_is_declared(world: World) -> None:
    found = {name for name, _ in fetch(world, RELATIONS)}
    assert [name for name in sorted(found) if not policy().covers(name)] == []
    assert sorted(policy().tables.keys() - found) == []


def test_every_pattern_of_closed_objects_means_something(world: World) -> None:
    found = [name for name, _ in fetch(world, RELATIONS)]
    assert [pattern for pattern in policy().closed if not fnmatch.filter(found, pattern)] == []


def test_every_function_is_declared_and_none_twice(world: World) -> None:
    found = [row[0] for row in fetch(world, FUNCTIONS)]
    assert sorted(set(found) ^ policy().functions.keys()) == []
    # PostgREST cannot tell overloads apart.
    assert [name for name in found if found.count(name) > 1] == []


def test_an_undeclared_object_is_noticed(world: World) -> None:
    connection = world.connection
    connection.execute("savepoint undeclared")
    try:
        connection.execute("create table private.surprise (id int)")
        connection.execute("create view public.surprise as select 1 as one")
        connection.execute("create function public.surprise() returns int return 1")
        found = {name for name, _ in fetch(world, RELATIONS)}
        assert {name for name in found if not policy().covers(name)} == {
            "private.surprise",
            "public.surprise",
        }
        functions = {row[0] for row in fetch(world, FUNCTIONS)}
        assert functions ^ policy().functions.keys() == {"public.surprise"}
    finally:
        connection.execute("rollback to savepoint undeclared")


@pytest.mark.parametrize(
    "verdict",
    [
        {"allow": ["anon"]},
        {"allow": ["anon", "anon"], "deny": "rest"},
        {"allow": ["nobody"], "deny": "rest"},
        {"allow": "rest", "deny": "rest"},
        {"perhaps": "rest"},
    ],
)
def test_a_verdict_must_be_total_and_unambiguous(verdict: dict[str, Any]) -> None:
    document = {"groups": {}, "tables": {}, "closed": {}, "routes": {}, "functions": {"f": verdict}}
    with pytest.raises(PolicyError):
        read(document)


# Do the grants say the same?


@pytest.mark.parametrize("persona", PERSONAS)
def test_table_grants(world: World, persona: str) -> None:
    role, wrong = ROLES[persona], []
    for table in policy().tables.values():
        names = [name for name, _ in fetch(world, COLUMNS, table.name)]
        for operation in COLUMN_OPERATIONS:
            declared = table.granted(operation, persona)
            listed = table.granted_columns(operation, role)
            expected = set(names if listed is None else listed) if declared else set()
            held = {
                row[0]
                for row in fetch(
                    world,
                    "select name from unnest(%s::text[]) as name"
                    " where has_column_privilege(%s, %s, name, %s)",
                    names,
                    role,
                    table.name,
                    operation,
                )
            }
            if held != expected:
                wrong.append((table.name, operation, sorted(held ^ expected)))
        for privilege in ("delete", *NEVER):
            declared = privilege == "delete" and table.granted("delete", persona)
            if has_privilege(world, role, table.name, privilege) != declared:
                wrong.append((table.name, privilege, not declared))
    assert wrong == []


@pytest.mark.parametrize("role", sorted({*ROLES.values()}))
def test_closed_objects_are_closed(world: World, role: str) -> None:
    wrong = []
    for name, kind in fetch(world, RELATIONS):
        if name in policy().tables:
            continue
        if kind == "S":
            held = fetch(
                world,
                "select privilege from unnest(array['usage', 'select', 'update']) as privilege"
                " where has_sequence_privilege(%s, %s, privilege)",
                role,
                name,
            )
        else:
            held = [
                (privilege,)
                for privilege in (*OPERATIONS, *NEVER)
                if has_privilege(world, role, name, privilege)
            ]
        wrong += [(name, privilege) for (privilege,) in held]
    assert wrong == []


@pytest.mark.parametrize("persona", PERSONAS)
def test_function_grants(world: World, persona: str) -> None:
    rows = fetch(
        world,
        "select f.name, has_function_privilege(%s, f.signature, 'execute')"
        f" from ({FUNCTIONS}) as f (name, signature)",
        ROLES[persona],
    )
    assert [name for name, held in rows if held != policy().functions[name].granted(persona)] == []


def test_no_api_role_can_name_what_is_private(world: World) -> None:
    for role in ("anon", "authenticated", "service_role", "authenticator"):
        assert fetch(world, "select has_schema_privilege(%s, 'private', 'usage')", role) == [
            (False,)
        ]
    for role in ("anon", "authenticated", "service_role", "waymark_writer"):
        for schema in ("public", "private"):
            assert fetch(world, "select has_schema_privilege(%s, %s, 'create')", role, schema) == [
                (False,)
            ]


def test_a_stray_grant_is_noticed(world: World) -> None:
    connection = world.connection
    connection.execute("savepoint stray")
    try:
        connection.execute("grant update (best_score) on public.user_progress to authenticated")
        connection.execute("grant execute on function private.uid() to anon")
        with pytest.raises(AssertionError, match="best_score"):
            test_table_grants(world, "learner")
        with pytest.raises(AssertionError, match=r"private\.uid"):
            test_function_grants(world, "anon")
    finally:
        connection.execute("rollback to savepoint stray")


def has_privilege(world: World, role: str, table: str, privilege: str) -> bool:
    [(held,)] = fetch(world, "select has_table_privilege(%s, %s, %s)", role, table, privilege)
    return bool(held)


# And does it happen so?


def attempt(world: World, statement: str) -> int | str:
    """Rows that a statement reaches, or "denied"; nothing of it stays."""
    connection = world.connection
    connection.execute("savepoint attempt")
    try:
        return connection.execute(filled(statement, world).encode()).rowcount
    except DENIED:
        return "denied"
    finally:
        connection.execute("rollback to savepoint attempt")


@pytest.mark.parametrize("persona", PERSONAS)
def test_reading_rows(world: World, persona: str) -> None:
    expected = {"allow": 1, "none": 0, "deny": "denied"}
    wrong = []
    with world.act(persona):
        for table in policy().tables.values():
            for row, verdict in table.verdicts["select"].items():
                got = attempt(world, f"select from {table.name} where {ROWS[table.name][row]}")
                if got != expected[verdict[persona]]:
                    wrong.append((table.name, row, verdict[persona], got))
    assert wrong == []


@pytest.mark.parametrize("persona", PERSONAS)
def test_inserting_rows(world: World, persona: str) -> None:
    wrong = []
    for table in policy().tables.values():
        for row, verdict in table.verdicts["insert"].items():
            values = NEW_ROWS[table.name][row]
            columns, expressions = ", ".join(values), ", ".join(values.values())
            with world.act(persona) as connection:
                if table.name in ONE_EACH:
                    connection.execute("reset role")
                    owner = ONE_EACH[table.name]
                    connection.execute(
                        filled(
                            f"delete from {table.name} where {owner} = {{learner}}", world
                        ).encode()
                    )
                    connection.execute(
                        sql.SQL("set local role {}").format(sql.Identifier(ROLES[persona]))
                    )
                got = attempt(world, f"insert into {table.name} ({columns}) values ({expressions})")
            if got != (1 if verdict[persona] == "allow" else "denied"):
                wrong.append((table.name, row, verdict[persona], got))
    assert wrong == []


@pytest.mark.parametrize("persona", PERSONAS)
def test_updating_rows(world: World, persona: str) -> None:
    """Column by column: those of the grant reach the row or not, all others are denied."""
    wrong = []
    # Looked up before: API roles cannot name what is private.
    columns_of = {name: fetch(world, COLUMNS, name) for name in policy().tables}
    with world.act(persona):
        for table in policy().tables.values():
            columns = columns_of[table.name]
            for row, verdict in table.verdicts["update"].items():
                listed = table.granted_columns("update", ROLES[persona])
                for column, _ in columns:
                    if verdict.granted(persona) and (listed is None or column in listed):
                        expected: int | str = 1 if verdict[persona] == "allow" else 0
                        where = ROWS[table.name][row]
                        got = attempt(
                            world, f"update {table.name} set {column} = {column} where {where}"
                        )
                    else:
                        expected = "denied"
                        got = attempt(
                            world, f"update {table.name} set {column} = default where false"
                        )
                    if got != expected:
                        wrong.append((table.name, row, column, verdict[persona], got))
    assert wrong == []


@pytest.mark.parametrize("persona", PERSONAS)
def test_deleting_rows(world: World, persona: str) -> None:
    wrong = []
    with world.act(persona):
        for table in policy().tables.values():
            for row, verdict in table.verdicts["delete"].items():
                if verdict.granted(persona):
                    got = attempt(world, f"delete from {table.name} where {ROWS[table.name][row]}")
                    expected: int | str = 1 if verdict[persona] == "allow" else 0
                else:
                    got = attempt(world, f"delete from {table.name} where false")
                    expected = "denied"
                if got != expected:
                    wrong.append((table.name, row, verdict[persona], got))
    assert wrong == []


@pytest.mark.parametrize("persona", PERSONAS)
def test_calling_rpcs(world: World, persona: str) -> None:
    wrong = []
    for name, _, parameters, count, defaults in fetch(world, FUNCTIONS):
        if not name.startswith("public."):
            continue
        needed = [*(parameters or [])[: count - defaults], *GIVEN.get(name, [])]
        given = {**ARGUMENTS, **INSTEAD.get(name, {})}
        arguments = ", ".join(f"{parameter} => {given[parameter]}" for parameter in needed)
        verdict = policy().functions[name][persona]
        with world.act(persona) as connection:
            try:
                connection.execute(filled(f"select {name}({arguments})", world).encode())
                got = "allow"
            except psycopg.Error as error:
                got = refusal(error)
        if got != verdict:
            wrong.append((name, verdict, got))
    assert wrong == []


@pytest.mark.parametrize("persona", PERSONAS)
def test_calling_private_functions(world: World, persona: str) -> None:
    """By name, with nulls: only the write path gets as far as their first line."""
    wrong = []
    types = dict(
        fetch(
            world,
            "select p.oid::regprocedure::text, (select string_agg('null::' || format_type(t, null),"
            " ', ' order by n) from unnest(p.proargtypes) with ordinality as a (t, n))"
            " from pg_proc p where p.pronamespace = 'private'::regnamespace",
        )
    )
    for name, signature, *_ in fetch(world, FUNCTIONS):
        if not name.startswith("private."):
            continue
        may = policy().functions[name][persona] == "allow"
        with world.act(persona) as connection:
            try:
                connection.execute(f"select {name}({types[signature] or ''})".encode())
                got = True
            except DENIED as error:
                # Inside, the write path may still meet something that is not its own.
                short = name.removeprefix("private.")
                message = error.diag.message_primary or ""
                got = message not in (
                    f"permission denied for function {short}",
                    "permission denied for schema private",
                )
            except psycopg.Error:
                got = True
        if got != may:
            wrong.append((name, may, got))
    assert wrong == []


def refusal(error: psycopg.Error) -> str:
    """Our own code of a refusal, or "deny" for what PostgreSQL itself forbids."""
    if isinstance(error, DENIED):
        return "deny"
    message = error.diag.message_primary or ""
    return (
        json.loads(message)["code"] if error.sqlstate == "PGRST" else f"{error.sqlstate} {message}"
    )
