"""Attacks on what is stored: a valid JWT, straight at /rest/v1, writing past the rules.

Each test shows the honest path first. An attack must fail with the right code and leave every row
of the learner and of the other learner as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jwt
import pytest

from tests.access.rest import Rest, code
from tests.access.world import World

LEARNER_TABLES = (
    "enrollments",
    "user_progress",
    "module_progress",
    "daily_activity",
    "progress_events",
)
DENIED = {
    "learner": (403, "42501"),
    "other": (403, "42501"),
    "author": (403, "42501"),
    "admin": (403, "42501"),
    "anon": (401, "42501"),
}
MERGE = {"Prefer": "resolution=merge-duplicates"}


@contextmanager
def unchanged(world: World) -> Iterator[None]:
    """Every row of the learner and the other learner is afterwards what it was before."""

    def everything() -> dict[tuple[str, str], list[dict[str, Any]]]:
        return {
            (table, user): world.rows(table, user)
            for table in (*LEARNER_TABLES, "profiles")
            for user in ("learner", "other")
        }

    before = everything()
    assert all(before.values())
    yield
    assert everything() == before


def forged_rows(world: World, owner: str) -> dict[str, dict[str, Any]]:
    """A row for each learner table that would be worth having."""
    user, at = world.users[owner], "2026-01-01T00:00:00Z"
    return {
        "enrollments": {"user_id": user, "course_id": world.courses["invite"]},
        "user_progress": {
            "user_id": user,
            "lesson_id": world.lessons["last"],
            "course_id": world.courses["main"],
            "status": "completed",
            "progress": 1,
            "started_at": at,
            "completed_at": at,
            "completed_on": "2026-01-01",
        },
        "module_progress": {
            "user_id": user,
            "module_id": world.modules["second"],
            "course_id": world.courses["main"],
            "completed_lessons": 2,
            "total_lessons": 2,
            "started_at": at,
            "completed_at": at,
        },
        "daily_activity": {
            "user_id": user,
            "day": "2026-01-01",
            "lessons_completed": 9,
            "first_at": at,
            "last_at": at,
        },
        "progress_events": {
            "user_id": user,
            "occurred_at": at,
            "course_id": world.courses["main"],
            "kind": "course_completed",
        },
    }


WISHES: dict[str, list[dict[str, Any]]] = {
    "enrollments": [
        {"progress_percent": 100},
        {"completed_lessons": 6, "completed_weight": 6},
        {"total_lessons": 1, "total_weight": 1},
        {"completed_at": "2026-01-01T00:00:00Z"},
        {"expires_at": None},
        {"status": "active"},
        {"course_id": 1},
        {"view_time_seconds": 100000},
    ],
    "user_progress": [
        {"status": "completed", "completed_at": "2026-01-01T00:00:00Z"},
        {"progress": 1},
        {"best_score": 100},
        {"attempts": 0},
        {"view_time_seconds": 100000},
        {"watched": "{[0,100000)}"},
        {"status": "not_started", "started_at": None},
    ],
    "module_progress": [{"completed_lessons": 0}, {"completed_at": "2026-01-01T00:00:00Z"}],
    "daily_activity": [{"lessons_completed": 50}, {"view_seconds": 5000}],
    "progress_events": [{"kind": "course_completed"}, {"data": {}}],
}


@pytest.mark.parametrize("persona", DENIED)
@pytest.mark.parametrize("table", LEARNER_TABLES)
def test_no_learner_table_takes_inserts(shared_rest: Rest, table: str, persona: str) -> None:
    rest, world = shared_rest, shared_rest.world
    assert rest.read("learner", table)
    keys = {
        "enrollments": "user_id,course_id",
        "user_progress": "user_id,lesson_id",
        "module_progress": "user_id,module_id",
        "daily_activity": "user_id,day",
        "progress_events": "user_id,id,occurred_at",
    }[table]
    with unchanged(world):
        for owner in ("learner", "other"):
            row = forged_rows(world, owner)[table]
            for answer in (
                rest.table(persona, "POST", table, json=row),
                rest.table(persona, "POST", table, json=[row]),
                rest.table(persona, "POST", f"{table}?columns=user_id", json=[row]),
                rest.table(persona, "POST", table, json=row, headers={"Prefer": "missing=default"}),
                rest.table(persona, "POST", f"{table}?on_conflict={keys}", json=row, headers=MERGE),
                rest.table(
                    persona,
                    "POST",
                    f"{table}?on_conflict={keys}",
                    json=row,
                    headers={"Prefer": "resolution=ignore-duplicates"},
                ),
                rest.table(
                    persona,
                    "POST",
                    table,
                    content=f"user_id\n{row['user_id']}\n",
                    headers={"Content-Type": "text/csv"},
                ),
            ):
                assert (answer.status_code, code(answer)) == DENIED[persona]


@pytest.mark.parametrize("persona", DENIED)
@pytest.mark.parametrize("table", LEARNER_TABLES)
def test_no_learner_table_takes_updates_or_deletes(
    shared_rest: Rest, table: str, persona: str
) -> None:
    rest, world = shared_rest, shared_rest.world
    assert rest.read("learner", table)
    with unchanged(world):
        for owner in ("learner", "other"):
            where = f"{table}?user_id=eq.{world.users[owner]}"
            for wish in WISHES[table]:
                answer = rest.table(persona, "PATCH", where, json=wish)
                assert (answer.status_code, code(answer)) == DENIED[persona], wish
            answer = rest.table(persona, "DELETE", where)
            assert (answer.status_code, code(answer)) == DENIED[persona]


@pytest.mark.parametrize("persona", ["learner", "other"])
def test_a_single_upsert_by_primary_key_is_denied(shared_rest: Rest, persona: str) -> None:
    rest, world = shared_rest, shared_rest.world
    done, learner = world.lessons["done"], world.users["learner"]
    where = f"user_progress?user_id=eq.{learner}&lesson_id=eq.{done}"
    [row] = rest.read("learner", where)
    row.pop("is_completed")
    with unchanged(world):
        answer = rest.table(persona, "PUT", where, json={**row, "best_score": 100})
        assert (answer.status_code, code(answer)) == (403, "42501")


@pytest.mark.parametrize("persona", ["learner", "author", "admin", "anon"])
@pytest.mark.parametrize(
    "table", ["courses", "modules", "lessons", "resources", "course_staff", "cohorts", "audit_log"]
)
def test_the_catalogue_is_not_written_as_tables(
    shared_rest: Rest, table: str, persona: str
) -> None:
    rest, world = shared_rest, shared_rest.world
    main = world.courses["main"]
    rows: dict[str, dict[str, Any]] = {
        "courses": {"slug": "mine", "title": "Mine"},
        "modules": {"course_id": main, "title": "Mine"},
        "lessons": {"module_id": world.modules["first"], "course_id": main, "title": "Mine"},
        "resources": {"course_id": main, "title": "Mine", "url": "https://example.org/mine"},
        "course_staff": {"course_id": main, "user_id": world.users["learner"], "role": "author"},
        "cohorts": {"course_id": main, "name": "Mine"},
        "audit_log": {"actor_role": "me", "action": "nothing"},
    }
    changes: dict[str, dict[str, Any]] = {
        "courses": {"total_lessons": 0},
        "modules": {"total_lessons": 0},
        "lessons": {"is_required": False},
        "resources": {"title": "Mine"},
        "course_staff": {"role": "author"},
        "cohorts": {"name": "Mine"},
        "audit_log": {"reason": "none"},
    }
    where = f"{table}?{'id' if table == 'courses' else 'course_id'}=eq.{main}"
    honest = rest.read("service_role", where)
    assert honest
    for answer in (
        rest.table(persona, "POST", table, json=rows[table]),
        rest.table(persona, "POST", table, json=rows[table], headers=MERGE),
        rest.table(persona, "PATCH", where, json=changes[table]),
        rest.table(persona, "DELETE", where),
    ):
        assert (answer.status_code, code(answer)) == DENIED[persona]
    assert rest.read("service_role", where) == honest


def test_servers_set_no_counters_either(rest: Rest) -> None:
    learner = rest.world.users["learner"]
    where = f"enrollments?user_id=eq.{learner}"
    assert (
        rest.table("service_role", "PATCH", where, json={"purchase_id": "p-1"}).status_code == 204
    )
    with unchanged(rest.world):
        for wish in WISHES["enrollments"][:4]:
            answer = rest.table("service_role", "PATCH", where, json=wish)
            assert (answer.status_code, code(answer)) == (403, "42501")
        for table in LEARNER_TABLES[1:]:
            row = forged_rows(rest.world, "learner")[table]
            answer = rest.table("service_role", "POST", table, json=row)
            assert (answer.status_code, code(answer)) == (403, "42501")


# Profiles: a plain owner table


def test_a_profile_is_its_owners(rest: Rest) -> None:
    world = rest.world
    learner, other = world.users["learner"], world.users["other"]
    honest = rest.table(
        "learner", "PATCH", f"profiles?id=eq.{learner}", json={"display_name": "Me"}
    )
    assert honest.status_code == 204
    assert world.rows("profiles", "learner")[0]["display_name"] == "Me"

    with unchanged(world):
        stolen = rest.table(
            "learner",
            "PATCH",
            f"profiles?id=eq.{other}",
            json={"display_name": "Stolen"},
            headers={"Prefer": "return=representation"},
        )
        assert (stolen.status_code, stolen.json()) == (200, [])
        for row in ({"id": other, "display_name": "Stolen"}, {"id": world.users["newcomer"]}):
            answer = rest.table("learner", "POST", "profiles", json=row)
            assert (answer.status_code, code(answer)) == (403, "42501")
            answer = rest.table("learner", "POST", "profiles", json=row, headers=MERGE)
            assert (answer.status_code, code(answer)) == (403, "42501")
        for change in ({"id": other}, {"created_at": "2020-01-01"}, {"updated_at": "2020-01-01"}):
            answer = rest.table("learner", "PATCH", f"profiles?id=eq.{learner}", json=change)
            assert (answer.status_code, code(answer)) == (403, "42501")
        answer = rest.table("learner", "DELETE", f"profiles?id=eq.{learner}")
        assert (answer.status_code, code(answer)) == (403, "42501")
    # Without a filter it still reaches one row only.
    everyone = rest.table(
        "learner",
        "PATCH",
        "profiles",
        json={"display_name": "All"},
        headers={"Prefer": "return=representation"},
    )
    assert [row["id"] for row in everyone.json()] == [learner]


def test_a_nonsense_time_zone_becomes_utc(rest: Rest) -> None:
    where = f"profiles?id=eq.{rest.world.users['learner']}"
    for given, kept in (
        ("America/Lima", "America/Lima"),
        ("Mars/Olympus", "UTC"),
        ("FOO+3", "UTC"),
        ("'; drop table profiles --", "UTC"),
    ):
        answer = rest.table("learner", "PATCH", where, json={"timezone": given})
        assert answer.status_code == 204
        assert rest.world.rows("profiles", "learner")[0]["timezone"] == kept


# The RPCs


def test_no_progress_without_enrolment(rest: Rest) -> None:
    world = rest.world
    lesson = {"p_lesson_id": world.lessons["fresh"]}
    assert rest.rpc("learner", "complete_lesson", **lesson).status_code == 200
    with unchanged(world):
        for persona in ("other", "author", "instructor", "assistant", "admin"):
            for rpc in (
                "start_lesson",
                "complete_lesson",
                "uncomplete_lesson",
                "put_lesson_progress",
            ):
                answer = rest.rpc(persona, rpc, **lesson)
                assert (answer.status_code, code(answer)) == (403, "not_enrolled")
            for rpc in ("start_module", "complete_module"):
                answer = rest.rpc(persona, rpc, p_module_id=world.modules["first"])
                assert (answer.status_code, code(answer)) == (403, "not_enrolled")
        answer = rest.rpc("anon", "complete_lesson", **lesson)
        assert (answer.status_code, code(answer)) == (401, "42501")
    for person in ("author", "admin"):
        assert world.rows("user_progress", person) == []


def test_invitation_courses_take_no_self_enrolment(rest: Rest) -> None:
    world = rest.world
    invite = world.courses["invite"]
    assert rest.rpc("other", "enroll", p_course_id=world.courses["main"]).status_code == 200
    with unchanged(world):
        answer = rest.rpc("other", "enroll", p_course_id=invite)
        assert (answer.status_code, code(answer)) == (403, "enrollment_closed")
    invited = rest.table(
        "service_role",
        "POST",
        "enrollments",
        json={"user_id": world.users["other"], "course_id": invite},
    )
    assert invited.status_code == 201
    assert rest.rpc("other", "complete_lesson", p_lesson_id=world.lessons["invite"]).is_success


def test_preview_lessons_take_no_progress(rest: Rest) -> None:
    world = rest.world
    preview = {"p_lesson_id": world.lessons["preview"]}
    assert rest.rpc("learner", "complete_lesson", p_lesson_id=world.lessons["fresh"]).is_success
    with unchanged(world):
        for rpc, more in (
            ("start_lesson", {}),
            ("complete_lesson", {}),
            ("uncomplete_lesson", {}),
            ("put_lesson_progress", {"p_status": "completed"}),
            ("put_lesson_progress", {"p_progress": 1}),
        ):
            answer = rest.rpc("learner", rpc, **preview, **more)
            assert (answer.status_code, code(answer)) == (422, "preview_lesson")
    done = rest.rpc("learner", "complete_module", p_module_id=world.modules["first"]).json()
    assert world.lessons["preview"] not in done["completed_lesson_ids"]


def test_archived_lessons_are_not_begun(rest: Rest) -> None:
    world = rest.world
    assert rest.rpc("learner", "start_lesson", p_lesson_id=world.lessons["fresh"]).is_success
    with unchanged(world):
        for rpc in ("start_lesson", "complete_lesson", "put_lesson_progress"):
            answer = rest.rpc("learner", rpc, p_lesson_id=world.lessons["archived"])
            assert (answer.status_code, code(answer)) == (404, "lesson_not_found")


def test_a_rule_is_not_met_by_saying_so(rest: Rest) -> None:
    world = rest.world
    timed = {"p_lesson_id": world.lessons["timed"]}
    assert rest.rpc("learner", "complete_lesson", p_lesson_id=world.lessons["last"]).is_success
    assert rest.rpc("learner", "start_lesson", **timed).is_success
    with unchanged(world):
        for rpc, more in (
            ("complete_lesson", {}),
            ("put_lesson_progress", {"p_status": "completed"}),
            ("put_lesson_progress", {"p_status": "completed", "p_progress": 1}),
        ):
            answer = rest.rpc("learner", rpc, **timed, **more)
            assert (answer.status_code, code(answer)) == (422, "rule_not_met")
    said = rest.rpc("learner", "put_lesson_progress", **timed, p_progress=1, p_position_seconds=60)
    assert said.json()["progress"]["status"] == "in_progress"
    module = rest.rpc("learner", "complete_module", p_module_id=world.modules["second"]).json()
    assert [lesson["lesson_id"] for lesson in module["open"]] == [world.lessons["timed"]]


@pytest.mark.parametrize(
    "report",
    [
        {"p_status": "not_started"},
        {"p_status": "in_progress"},
        {"p_progress": 0},
        {"p_status": "in_progress", "p_progress": 0, "p_last_accessed": "2020-01-01T00:00:00Z"},
        {"p_status": "not_started", "p_progress": 0.5},
        {"p_progress": -5},
        {"p_progress": "NaN"},
        {"p_last_accessed": "-infinity"},
    ],
)
def test_a_completed_row_is_never_lowered(rest: Rest, report: dict[str, Any]) -> None:
    world = rest.world
    done = {"p_lesson_id": world.lessons["done"]}
    again = rest.rpc("learner", "put_lesson_progress", **done, p_status="completed").json()
    assert again["progress"]["status"] == "completed"
    before = again["progress"]
    percent = rest.read("learner", "enrollments")[0]["progress_percent"]

    answer = rest.rpc("learner", "put_lesson_progress", **done, **report)
    assert answer.is_success, answer.text
    after = answer.json()["progress"]
    for field in ("status", "progress", "completed_at", "started_at", "attempts", "best_score"):
        assert after[field] == before[field]
    assert after["last_accessed"] >= before["last_accessed"]
    [enrollment] = rest.read("learner", "enrollments")
    assert enrollment["progress_percent"] == percent


@pytest.mark.parametrize("status", ["finished", "", "COMPLETED"])
def test_an_unknown_status_is_refused(shared_rest: Rest, status: str) -> None:
    with unchanged(shared_rest.world):
        answer = shared_rest.rpc(
            "learner",
            "put_lesson_progress",
            p_lesson_id=shared_rest.world.lessons["fresh"],
            p_status=status,
        )
        assert (answer.status_code, code(answer)) == (422, "invalid_value")


@pytest.mark.parametrize("time", ["infinity", "2999-01-01T00:00:00Z"])
def test_nobody_was_there_in_the_future(rest: Rest, time: str) -> None:
    world = rest.world
    lesson = {"p_lesson_id": world.lessons["fresh"]}
    first = rest.rpc("learner", "put_lesson_progress", **lesson, p_position_seconds=10).json()
    future = rest.rpc("learner", "put_lesson_progress", **lesson, p_last_accessed=time).json()
    for row, field in (("progress", "last_accessed"), ("enrollment", "last_accessed_at")):
        assert first[row][field] <= future[row][field] < "2900"


def test_rpcs_take_no_user(rest: Rest) -> None:
    world = rest.world
    lesson = world.lessons["fresh"]
    assert rest.rpc("learner", "start_lesson", p_lesson_id=lesson).is_success
    with unchanged(world):
        for extra in (
            {"p_user_id": world.users["other"]},
            {"user_id": world.users["other"]},
            {"p_completed_at": "2020-01-01T00:00:00Z"},
            {"p_best_score": 100},
        ):
            for rpc in ("start_lesson", "complete_lesson", "put_lesson_progress"):
                answer = rest.rpc("learner", rpc, p_lesson_id=lesson, **extra)
                assert (answer.status_code, code(answer)) == (404, "PGRST202")


@pytest.mark.parametrize("persona", ["learner", "admin", "service_role", "anon"])
def test_private_functions_are_no_rpcs(rest: Rest, persona: str) -> None:
    world = rest.world
    assert rest.rpc("learner", "start_lesson", p_lesson_id=world.lessons["fresh"]).is_success
    names = [
        name
        for (name,) in world.connection.execute(
            "select distinct p.proname from pg_proc p"
            " where p.pronamespace = 'private'::regnamespace and not exists (select from pg_proc q"
            " where q.pronamespace = 'public'::regnamespace and q.proname = p.proname)"
        )
    ]
    assert "record_completion" in names
    if persona != "learner":  # PostgREST's list of functions is the same for all
        names = names[:20]
    with unchanged(world):
        for name in (*names, "set_config", "pg_sleep", "uid", "pg_read_file"):
            answer = rest.rpc(persona, name)
            assert (answer.status_code, code(answer)) == (404, "PGRST202"), name
        for name in ("record_completion", "complete_lesson", "settle_lessons"):
            for header in ("Content-Profile", "Accept-Profile"):
                answer = rest.request(
                    persona,
                    "POST" if header == "Content-Profile" else "GET",
                    f"/rest/v1/rpc/{name}",
                    json={} if header == "Content-Profile" else None,
                    headers={header: "private"},
                )
                assert (answer.status_code, code(answer)) == (406, "PGRST106")


def test_a_get_never_writes(rest: Rest) -> None:
    world = rest.world
    lesson = world.lessons["fresh"]
    assert rest.table("learner", "GET", f"rpc/get_lesson_progress?p_lesson_id={lesson}").is_success
    with unchanged(world):
        for rpc in ("start_lesson", "complete_lesson", "uncomplete_lesson", "put_lesson_progress"):
            answer = rest.table("learner", "GET", f"rpc/{rpc}?p_lesson_id={lesson}")
            assert (answer.status_code, code(answer)) == (405, "25006")


def test_preferences_and_headers_change_no_rule(rest: Rest) -> None:
    """Neither a rollback behind a good answer, nor another time, zone, role or user."""
    world = rest.world
    learner = world.users["learner"]
    assert rest.rpc("learner", "start_lesson", p_lesson_id=world.lessons["fresh"]).is_success
    answer = rest.request(
        "learner",
        "POST",
        "/rest/v1/rpc/complete_lesson",
        json={"p_lesson_id": world.lessons["fresh"]},
        headers={
            "Prefer": "tx=rollback, timezone=Pacific/Kiritimati",
            "waymark.now": "2001-01-01T00:00:00Z",
            "request.jwt.claims": f'{{"sub": "{world.users["other"]}"}}',
            "X-Role": "service_role",
            "Role": "service_role",
        },
    )
    assert answer.is_success
    with unchanged(world):
        pass
    [row] = [
        row
        for row in world.rows("user_progress", "learner")
        if str(row["lesson_id"]) == world.lessons["fresh"]
    ]
    assert row["status"] == "completed"
    [(today, near)] = world.connection.execute(
        "select (%s at time zone 'Europe/Vienna')::date, now() - %s < interval '5 minutes'",
        [row["completed_at"], row["completed_at"]],
    ).fetchall()
    assert near
    assert row["completed_on"] == today
    assert str(row["user_id"]) == learner


# Commands of others


def test_learners_and_lesser_staff_edit_no_course(rest: Rest) -> None:
    world = rest.world
    main, fresh, first = world.courses["main"], world.lessons["fresh"], world.modules["first"]
    made = rest.rpc("author", "create_lesson", p_module_id=first, p_fields={"title": "New"})
    assert made.is_success
    [before] = rest.read("service_role", f"courses?id=eq.{main}")
    with unchanged(world):
        for persona in ("learner", "other", "instructor", "assistant"):
            for rpc, arguments in (
                ("create_lesson", {"p_module_id": first, "p_fields": {"title": "Mine"}}),
                ("move_lesson", {"p_lesson_id": fresh, "p_module_id": first, "p_position": 9}),
                ("archive_lesson", {"p_lesson_id": fresh}),
                ("restore_lesson", {"p_lesson_id": world.lessons["archived"]}),
                ("delete_lesson", {"p_lesson_id": fresh, "p_force": True}),
                ("move_module", {"p_module_id": first, "p_course_id": main, "p_position": 9}),
                ("delete_course", {"p_course_id": main, "p_force": True}),
                ("import_course", {"p_document": {}}),
                ("recalculate", {"p_course_id": main}),
                ("recalculate", {"p_all": True}),
            ):
                answer = rest.rpc(persona, rpc, **arguments)
                assert (answer.status_code, code(answer)) == (403, "not_allowed"), rpc
    [after] = rest.read("service_role", f"courses?id=eq.{main}")
    assert after == before


def test_an_author_is_author_of_their_courses_only(rest: Rest) -> None:
    world = rest.world
    honest = rest.rpc(
        "author",
        "move_lesson",
        p_lesson_id=world.lessons["last"],
        p_module_id=world.modules["first"],
        p_position=5,
    )
    assert honest.is_success
    with unchanged(world):
        for rpc, arguments in (
            ("archive_lesson", {"p_lesson_id": world.lessons["open"]}),
            ("delete_lesson", {"p_lesson_id": world.lessons["open"], "p_force": True}),
            (
                "move_lesson",
                {
                    "p_lesson_id": world.lessons["last"],
                    "p_module_id": world.modules["open"],
                    "p_position": 0,
                },
            ),
            (
                "move_lesson",
                {
                    "p_lesson_id": world.lessons["open"],
                    "p_module_id": world.modules["first"],
                    "p_position": 0,
                },
            ),
            (
                "move_module",
                {
                    "p_module_id": world.modules["open"],
                    "p_course_id": world.courses["main"],
                    "p_position": 0,
                },
            ),
            ("create_lesson", {"p_module_id": world.modules["open"], "p_fields": {"title": "x"}}),
        ):
            answer = rest.rpc("author", rpc, **arguments)
            assert (answer.status_code, code(answer)) == (403, "not_allowed"), rpc


@pytest.mark.parametrize(
    "fields",
    [
        {"title": "x", "id": "00000000-0000-4000-8000-000000000000"},
        {"title": "x", "course_id": 1},
        {"title": "x", "is_countable": True},
        {"title": "x", "archived_at": "2020-01-01"},
        {"title": "x", "created_at": "2020-01-01"},
    ],
)
def test_new_lessons_have_known_fields_only(shared_rest: Rest, fields: dict[str, Any]) -> None:
    first = shared_rest.world.modules["first"]
    answer = shared_rest.rpc("author", "create_lesson", p_module_id=first, p_fields=fields)
    assert (answer.status_code, code(answer)) == (422, "unknown_field")


# Who one is


def test_admin_is_what_app_metadata_says_and_nothing_else(rest: Rest) -> None:
    world, course = rest.world, rest.world.courses["main"]
    learner = world.users["learner"]
    assert rest.rpc("admin", "recalculate", p_course_id=course).json()["checked"] == 1
    with unchanged(world):
        for claims in (
            {"user_metadata": {"waymark_role": "admin"}},
            {"waymark_role": "admin"},
            {"app_metadata": {"role": "admin"}},
            {"app_metadata": {"waymark_role": "Admin"}},
            {"app_metadata": {"waymark_role": ["admin"]}},
            {"app_metadata": "admin"},
        ):
            token = rest.stack.token(learner, **claims)
            answer = rest.request(
                "learner",
                "POST",
                "/rest/v1/rpc/recalculate",
                json={"p_course_id": course},
                headers={"Authorization": f"Bearer {token}"},
            )
            assert (answer.status_code, code(answer)) == (403, "not_allowed"), claims


def test_a_token_opens_no_other_role(shared_rest: Rest) -> None:
    """Even a well-signed one: PostgREST's login may become the three API roles and no more."""
    rest, learner = shared_rest, shared_rest.world.users["learner"]
    honest = rest.request("learner", "GET", "/rest/v1/enrollments?select=id")
    assert len(honest.json()) == 1
    for role in ("waymark_writer", "postgres", "supabase_admin", "authenticator"):
        token = rest.stack.token(learner, role=role)
        answer = rest.request(
            "learner",
            "GET",
            "/rest/v1/enrollments?select=id",
            headers={"Authorization": f"Bearer {token}"},
        )
        assert answer.status_code in (401, 403), (role, answer.text)


@pytest.mark.parametrize("forgery", ["none", "wrong secret", "expired", "cut", "anon as user"])
def test_forged_tokens_are_nobody(shared_rest: Rest, forgery: str) -> None:
    rest, learner = shared_rest, shared_rest.world.users["learner"]
    claims = rest.stack.claims(learner)
    token = {
        "none": lambda: jwt.encode(claims, None, algorithm="none"),
        "wrong secret": lambda: jwt.encode(claims, "w" * 40, algorithm="HS256"),
        "expired": lambda: rest.stack.token(learner, exp=claims["iat"] - 600),
        "cut": lambda: rest.stack.token(learner)[:-6],
        "anon as user": lambda: jwt.encode(claims, rest.stack.anon_key[:40], algorithm="HS256"),
    }[forgery]()
    assert rest.read("learner", "enrollments")
    with unchanged(rest.world):
        for method, path, body in (
            ("GET", "/rest/v1/enrollments", None),
            # What anyone may read is refused too: a bad token is not anonymous.
            ("GET", "/rest/v1/courses", None),
            (
                "POST",
                "/rest/v1/rpc/complete_lesson",
                {"p_lesson_id": rest.world.lessons["fresh"]},
            ),
            ("POST", f"/functions/v1/progress/lessons/{rest.world.lessons['fresh']}/complete", {}),
        ):
            answer = rest.request(
                "learner", method, path, json=body, headers={"Authorization": f"Bearer {token}"}
            )
            assert answer.status_code == 401, answer.text
