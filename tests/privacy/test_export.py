"""The learner's copy: all that is held on them, nothing of others, and no table forgotten."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any, LiteralString

import pytest

from tests.access.world import World
from tests.catalog.catalog import Catalog
from tests.database.actors import Actor, Refused, insert, make_course

Learners = Callable[[], Actor]

# Tables that could hold somebody's rows and are not in the export, each for a reason.
LEFT_OUT = {
    "private.attempt_results": "in the attempt's row, once the reveal policy opens them",
    "private.mail_tokens": "secrets of the links in mails; they say nothing about anybody",
}

# A user's id under any name, a key that leads to a user, or one that leads to a row of somebody's.
SUSPECTS: LiteralString = """
with ours as (
  select c.oid, c.oid::regclass::text as name, n.nspname || '.' || c.relname as full_name
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where n.nspname in ('public', 'private') and c.relkind in ('r', 'p') and not c.relispartition
     and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
),
personal as (
  select o.oid, o.full_name from ours o
   where exists (
     select from pg_attribute a
      where a.attrelid = o.oid and not a.attisdropped
        and a.attname ~ '^(user|actor|owner|learner|profile|author|creator|sender|recipient)_id$'
         or a.attrelid = o.oid and a.attname ~ '_by$' and a.atttypid = 'uuid'::regtype
        and not exists (
          select from pg_constraint k
           where k.conrelid = o.oid and k.contype = 'f' and a.attnum = any (k.conkey)))
      or exists (
     select from pg_constraint k
      where k.conrelid = o.oid and k.contype = 'f'
        and k.confrelid in ('auth.users'::regclass, 'public.profiles'::regclass))
)
select full_name from personal
union
select o.full_name from ours o
  join pg_constraint k on k.conrelid = o.oid and k.contype = 'f'
  join personal p on p.oid = k.confrelid
 order by 1
"""


def export(world: World, persona: str = "learner") -> dict[str, Any]:
    answer: dict[str, Any] = world.call(persona, "select public.export_my_data()")
    return answer


def forgotten(catalog: Catalog) -> list[str]:
    listed = catalog.column("select relation::text from private.personal_tables()")
    full = {name if "." in name else f"public.{name}" for name in listed}
    return sorted(set(catalog.column(SUSPECTS)) - full - LEFT_OUT.keys())


# Complete ----------------------------------------------------------------------------------------


def test_no_table_is_forgotten(catalog: Catalog) -> None:
    """A new table with somebody's rows is exported, or says above why not."""
    assert len(catalog.column("select name from private.personal_tables()")) >= 12
    assert forgotten(catalog) == []
    assert all(len(reason) > 30 for reason in LEFT_OUT.values())
    for careless in (
        "create table private.moods (user_id uuid, mood text)",
        "create table public.friends (id int primary key, who uuid references auth.users (id))",
        "create table private.graded (id int, graded_by uuid)",
        "create table private.pages (id int, note_id uuid, user_id_ uuid,"
        " foreign key (note_id, user_id_) references public.notes (id, user_id))",
    ):
        with catalog.broken(careless):  # type: ignore[arg-type]
            assert len(forgotten(catalog)) == 1, careless


def test_every_listed_table_says_whose_a_row_is(catalog: Catalog) -> None:
    rows = catalog.rows("select * from private.personal_tables()")
    names = [row["name"] for row in rows]
    assert len(set(names)) == len(names)
    for row in rows:
        assert row["owner_column"] == ("id" if row["name"] == "profiles" else "user_id")
        # One row a user, or a key to go on from.
        assert row["keys"] or row["name"] in ("profiles", "watch_credit")


@pytest.mark.parametrize("persona", ["learner", "other"])
def test_every_row_of_the_caller_is_there_as_it_is(world: World, persona: str) -> None:
    tables = export(world, persona)["tables"]
    connection = world.connection
    more_than_one = 0
    for name, relation, owner, _ in connection.execute(
        "select name, relation::text, owner_column, keys from private.personal_tables()"
    ).fetchall():
        rows = connection.execute(
            f"select to_jsonb(t) from {relation} t where t.{owner} = %s".encode(),
            [world.users[persona]],
        ).fetchall()
        held = [row for (row,) in rows]
        told = tables[name]
        more_than_one += bool(held)
        assert len(told) == len(held), name
        for row in told:
            row.pop("results", None)
        for row in held:
            row.pop("words", None)
            if name == "audit_log" and row["actor_id"] != world.users[persona]:
                row.pop("actor_id")
        assert sorted(map(json.dumps, told)) == sorted(map(json.dumps, held)), name
    assert more_than_one >= 10
    assert set(tables) == {
        *(row[0] for row in connection.execute("select name from private.personal_tables()")),
        "acts",
    }


def test_the_account_is_there_without_its_secrets(world: World) -> None:
    world.connection.execute(
        "update auth.users set encrypted_password = 'pbkdf2:secret', recovery_token = 'token-1',"
        " phone = '0123' where id = %s",
        [world.users["learner"]],
    )
    answer = export(world)
    assert answer["account"]["id"] == answer["user_id"] == world.users["learner"]
    assert answer["account"]["email"].startswith("learner.")
    assert answer["account"]["phone"] == "0123"
    assert answer["account"]["raw_user_meta_data"]["timezone"] == "Europe/Vienna"
    assert "pbkdf2" not in json.dumps(answer)
    assert "token-1" not in json.dumps(answer)


def test_stored_files_are_listed(world: World) -> None:
    connection, learner = world.connection, world.users["learner"]
    if connection.execute("select to_regclass('storage.objects')").fetchone() == (None,):
        pytest.skip("this stack has no Storage")
    connection.execute("insert into storage.buckets (id, name) values ('b', 'b')")
    for name, owner in (
        ("essay.pdf", learner),
        (f"{learner}/certificate.pdf", None),
        ("theirs.pdf", world.users["other"]),
        (f"{world.users['other']}/{learner}.pdf", None),
    ):
        connection.execute(
            "insert into storage.objects (id, bucket_id, name, owner_id, metadata)"
            " values (%s, 'b', %s, %s, '{\"size\": 7}')",
            [uuid.uuid4(), name, owner],
        )
    files = export(world)["files"]
    assert {(file["bucket"], file["name"], file["size"]) for file in files} == {
        ("b", f"{learner}/certificate.pdf", 7),
        ("b", "essay.pdf", 7),
    }


# Nobody else's -----------------------------------------------------------------------------------


@pytest.mark.parametrize("persona", ["learner", "other", "author", "admin"])
def test_nothing_of_anybody_else_is_in_it(world: World, persona: str) -> None:
    world.call(
        "instructor",
        "select public.grade_attempt(%s, %s, p_feedback => 'Well argued', p_reason => 'late')",
        world.ids["attempt of learner"],
        json.dumps([{"question_id": "essay", "points": 1}]),
    )
    told = json.dumps(export(world, persona))
    for name, user in world.users.items():
        assert (user in told) == (name == persona), name
    for person in ("learner", "other"):
        assert (f"Thought of {person}" in told) == (person == persona)
        assert (f"{person}.".encode() in told.encode()) == (person == persona)


def test_what_staff_did_says_not_to_whom(world: World) -> None:
    world.call(
        "instructor",
        "select public.grade_attempt(%s, %s, p_feedback => 'Well argued', p_reason => 'late')",
        world.ids["attempt of learner"],
        json.dumps([{"question_id": "essay", "points": 1}]),
    )
    [act] = export(world, "instructor")["tables"]["acts"]
    assert (act["action"], act["reason"]) == ("attempt.grade", "late")
    assert set(act) == {"id", "occurred_at", "action", "course_id", "reason"}
    # The learner reads what was done, with its effect, and not by whom.
    log = export(world)["tables"]["audit_log"]
    [graded] = [entry for entry in log if entry["action"] == "attempt.grade"]
    assert graded["after"]["status"] == "graded"
    assert "actor_id" not in graded
    [own] = [entry for entry in log if entry["action"] == "lesson.uncomplete"]
    assert own["actor_id"] == world.users["learner"]


@pytest.mark.parametrize(("policy", "shown"), [("never", False), ("after_submit", True)])
def test_results_and_keys_open_by_the_lessons_policy(
    world: World, policy: str, shown: bool
) -> None:
    world.connection.execute(
        "update public.lessons set reveal_policy = %s where id = %s",
        [policy, world.lessons["quiz"]],
    )
    attempts = export(world)["tables"]["user_assessment_attempts"]
    by_id = {attempt["id"]: attempt for attempt in attempts}
    submitted = by_id[world.ids["attempt of learner"]]
    assert submitted["questions"]
    assert (submitted["results"] is not None) == shown
    assert ('"key"' in json.dumps(submitted)) == shown
    assert by_id[world.ids["open attempt of learner"]]["results"] is None


def test_visitors_and_servers_have_no_copy(world: World, actors: Any) -> None:
    for role in ("anon", "service_role"):
        with pytest.raises(Exception, match="permission denied"):
            actors(role).call("export_my_data")


# Large -------------------------------------------------------------------------------------------


def test_a_long_history_goes_on_where_it_stopped(operator: Actor, learner: Learners) -> None:
    course, someone = make_course(operator, [1]), learner()
    insert(someone, "notes", {"course_id": course.id, "body": "Note"})
    operator.run(
        "insert into public.progress_events (occurred_at, user_id, course_id, kind)"
        " select now() + make_interval(days => n %% 60), %s, %s, 'lesson_started'"
        "   from generate_series(1, 20001) n",
        someone.user,
        course.id,
    )
    operator.run(
        "insert into public.audit_log (actor_id, actor_role, action)"
        " select %s, 'authenticated', 'tried' from generate_series(1, 10001)",
        someone.user,
    )
    first = someone.call("export_my_data")
    assert len(first["tables"]["progress_events"]) == 10_000
    assert set(first["next"]) == {"progress_events", "acts"}
    ids = [event["id"] for event in first["tables"]["progress_events"]]
    acts = [act["id"] for act in first["tables"]["acts"]]
    pages, after = 1, first["next"]
    while after:
        page = someone.call("export_my_data", p_after=after)
        assert set(page["tables"]) == set(after)
        assert "account" not in page
        ids += [event["id"] for event in page["tables"].get("progress_events", [])]
        acts += [act["id"] for act in page["tables"].get("acts", [])]
        pages, after = pages + 1, page["next"]
    assert pages == 3
    assert (len(ids), len(set(ids))) == (20_001, 20_001)
    assert (len(acts), len(set(acts))) == (10_001, 10_001)
    assert set(ids) == {
        row["id"]
        for row in operator.run(
            "select id from public.progress_events where user_id = %s", someone.user
        )
    }


@pytest.mark.parametrize(
    "after",
    [
        [],
        "x",
        {"pg_class": {}},
        {"questions": {"lesson_id": None}},
        {"progress_events": {}},
        {"progress_events": {"user_id": "00000000-0000-4000-8000-000000000001"}},
        {"progress_events where true --": {}},
    ],
)
def test_a_made_up_cursor_shows_nothing_more(
    operator: Actor, learner: Learners, after: Any
) -> None:
    course, someone, other = make_course(operator, [1]), learner(), learner()
    other.call("enroll", p_course_id=course.id)
    statement = "select public.export_my_data(%s::jsonb) as answer"
    if not isinstance(after, dict):
        with pytest.raises(Exception, match="invalid_value"):
            someone.one(statement, json.dumps(after))
        return
    answer = someone.one(statement, json.dumps(after))
    assert set(answer["tables"]) <= {"progress_events"}
    assert all(row == [] for row in answer["tables"].values())
    with pytest.raises(Refused):
        someone.call("start_lesson", p_lesson_id=uuid.uuid4())
