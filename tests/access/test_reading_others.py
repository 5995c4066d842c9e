"""Attacks on what others have: a valid JWT, straight at /rest/v1, reading."""

from __future__ import annotations

import pytest

from tests.access.rest import Rest, code

LEARNER_TABLES = (
    "enrollments",
    "user_progress",
    "module_progress",
    "daily_activity",
    "progress_events",
    "profiles",
    "notes",
    "collections",
    "collection_items",
)
SNOOPS = ("other", "author", "instructor", "assistant", "admin")


def owner(table: str) -> str:
    return "id" if table == "profiles" else "user_id"


@pytest.mark.parametrize("snoop", SNOOPS)
@pytest.mark.parametrize("table", LEARNER_TABLES)
def test_nobody_reads_anothers_rows(shared_rest: Rest, table: str, snoop: str) -> None:
    rest, users, column = shared_rest, shared_rest.world.users, owner(table)
    mine = f"{column}=eq.{users['learner']}"
    honest = rest.read("learner", f"{table}?{mine}")
    assert honest
    assert honest == rest.read("learner", table)

    own = [row[column] for row in rest.read(snoop, table)]
    assert set(own) <= {users[snoop]}
    for trick in (
        mine,
        f"or=({column}.eq.{users['learner']},{column}.eq.{users[snoop]})&{column}=neq.{users[snoop]}",
        f"{column}=not.eq.{users[snoop]}",
        f"not.or=({column}.eq.{users[snoop]})",
        f"{column}=in.({users['learner']},{users[snoop]})&{column}=neq.{users[snoop]}",
        f"{column}=not.is.null&{column}=neq.{users[snoop]}",
    ):
        assert rest.read(snoop, f"{table}?{trick}") == []


@pytest.mark.parametrize("table", LEARNER_TABLES)
def test_counts_say_nothing_of_others(shared_rest: Rest, table: str) -> None:
    rest, users, column = shared_rest, shared_rest.world.users, owner(table)
    mine = f"{table}?{column}=eq.{users['learner']}&limit=1"
    exact = {"Prefer": "count=exact"}
    honest = rest.table("learner", "GET", mine, headers=exact)
    assert int(honest.headers["content-range"].split("/")[1]) > 0
    for method in ("GET", "HEAD"):
        answer = rest.table("other", method, mine, headers=exact)
        assert answer.headers["content-range"] == "*/0"
        everyone = rest.table("other", method, table, headers=exact)
        count = int(everyone.headers["content-range"].split("/")[1])
        assert count == len(rest.read("other", table))


@pytest.mark.parametrize("snoop", SNOOPS)
@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("courses?select=id,enrollments(user_id)&id=eq.{course}", "enrollments"),
        ("lessons?select=id,user_progress(user_id)&course_id=eq.{course}", "user_progress"),
        (
            "courses?select=id,modules(lessons(id,user_progress(user_id)))&id=eq.{course}",
            "modules.lessons.user_progress",
        ),
        ("modules?select=id,module_progress(user_id)&course_id=eq.{course}", "module_progress"),
        ("courses?select=id,enrollments!inner(user_id)&id=eq.{course}", "enrollments"),
        ("courses?select=id,notes(user_id)&id=eq.{course}", "notes"),
        ("lessons?select=id,notes(user_id)&course_id=eq.{course}", "notes"),
        ("courses?select=id,collection_items(user_id)&id=eq.{course}", "collection_items"),
    ],
)
def test_embedding_shows_no_others(shared_rest: Rest, query: str, path: str, snoop: str) -> None:
    rest = shared_rest
    query = query.format(course=rest.world.courses["main"])

    def found(persona: str) -> set[str]:
        rows = rest.read(persona, query)
        for name in path.split("."):
            rows = [inner for row in rows for inner in row[name]]
        return {row["user_id"] for row in rows}

    assert found("learner") == {rest.world.users["learner"]}
    assert found(snoop) == set()


@pytest.mark.parametrize("table", [*LEARNER_TABLES, "course_staff", "cohorts", "audit_log"])
def test_anonymous_reads_no_learner_table(shared_rest: Rest, table: str) -> None:
    answer = shared_rest.table("anon", "GET", table)
    assert (answer.status_code, code(answer)) == (401, "42501")
    answer = shared_rest.table("anon", "HEAD", table, headers={"Prefer": "count=exact"})
    assert answer.status_code == 401


@pytest.mark.parametrize("persona", ["learner", "other", "author", "admin"])
def test_the_audit_log_is_for_servers(shared_rest: Rest, persona: str) -> None:
    learner = shared_rest.world.users["learner"]
    entries = shared_rest.read("service_role", f"audit_log?user_id=eq.{learner}&order=id")
    assert [entry["action"] for entry in entries] == [
        "lesson.uncomplete",
        "certificate.exception",
        "lesson.excuse",
    ]
    answer = shared_rest.table(persona, "GET", f"audit_log?user_id=eq.{learner}")
    assert (answer.status_code, code(answer)) == (403, "42501")


@pytest.mark.parametrize("persona", ["learner", "other", "anon"])
@pytest.mark.parametrize("schema", ["private", "auth", "storage", "pg_catalog", "extensions"])
def test_other_schemas_are_not_exposed(shared_rest: Rest, persona: str, schema: str) -> None:
    assert shared_rest.read(persona, "courses", headers={"Accept-Profile": "public"})
    for table in ("progress_events", "users", "pg_class"):
        answer = shared_rest.table(persona, "GET", table, headers={"Accept-Profile": schema})
        assert (answer.status_code, code(answer)) == (406, "PGRST106")


def test_plans_are_not_shown(shared_rest: Rest) -> None:
    assert shared_rest.read("learner", "enrollments")
    answer = shared_rest.table(
        "learner",
        "GET",
        "enrollments",
        headers={"Accept": 'application/vnd.pgrst.plan+json; for="application/json"'},
    )
    assert answer.status_code in (406, 415)


def test_partitions_cannot_be_named(shared_rest: Rest) -> None:
    [(child,)] = shared_rest.world.connection.execute(
        "select relname from pg_class where relispartition and relkind = 'r' "
        "and relnamespace = 'private'::regnamespace order by 1 limit 1"
    ).fetchall()
    assert shared_rest.read("learner", "progress_events")
    answer = shared_rest.table("learner", "GET", child)
    assert answer.status_code == 404


# The catalogue


@pytest.mark.parametrize("persona", ["learner", "other", "anon"])
def test_drafts_do_not_show(shared_rest: Rest, persona: str) -> None:
    rest, world = shared_rest, shared_rest.world
    draft, main = world.courses["draft"], world.courses["main"]
    for editor in ("author", "admin"):
        assert rest.read(editor, f"lessons?course_id=eq.{draft}&select=content")
    assert rest.read(persona, f"courses?id=eq.{main}")
    for table, column in (("courses", "id"), ("modules", "course_id"), ("lessons", "course_id")):
        assert rest.read(persona, f"{table}?{column}=eq.{draft}") == []
    assert rest.read(persona, f"resources?course_id=eq.{draft}") == []
    assert rest.read(persona, "courses?status=neq.published") == []
    answer = rest.rpc(persona, "get_course_outline", p_course_id=draft)
    assert (answer.status_code, code(answer)) == (404, "course_not_found")
    if persona != "anon":
        for rpc in ("enroll", "get_course_progress", "get_course_summary", "get_next_lesson"):
            assert code(rest.rpc(persona, rpc, p_course_id=draft)) == "course_not_found"
        for rpc in ("start_lesson", "complete_lesson", "get_lesson_progress"):
            answer = rest.rpc(persona, rpc, p_lesson_id=world.lessons["draft"])
            assert (answer.status_code, code(answer)) == (404, "lesson_not_found")
        for rpc in ("start_module", "complete_module"):
            answer = rest.rpc(persona, rpc, p_module_id=world.modules["draft"])
            assert (answer.status_code, code(answer)) == (404, "module_not_found")


@pytest.mark.parametrize("persona", ["other", "anon"])
def test_content_is_for_the_enrolled(shared_rest: Rest, persona: str) -> None:
    rest, main = shared_rest, shared_rest.world.courses["main"]
    fresh = shared_rest.world.lessons["fresh"]
    [honest] = rest.read("learner", f"lessons?id=eq.{fresh}&select=content")
    assert honest["content"] == "Secret of fresh"

    shown = rest.read(persona, f"lessons?course_id=eq.{main}")
    assert [lesson["title"] for lesson in shown] == ["Lesson preview"]
    hidden = f"modules?course_id=eq.{main}&select=lessons(content)&lessons.is_preview=is.false"
    assert rest.read(persona, hidden) == [{"lessons": []}, {"lessons": []}]
    assert rest.read(persona, "lessons?content=like.*fresh*") == []
    titles = {row["title"] for row in rest.read(persona, f"resources?course_id=eq.{main}")}
    assert titles == {"File of a preview"}
    # The outline tells titles, and no content.
    outline = rest.rpc(persona, "get_course_outline", p_course_id=main)
    assert outline.status_code == 200
    assert "Lesson fresh" in outline.text
    assert "Secret of" not in outline.text
    assert "Lesson archived" not in outline.text


@pytest.mark.parametrize(
    "ending", [{"status": "withdrawn"}, {"expires_at": "2020-01-01T00:00:00Z"}]
)
def test_content_ends_with_the_enrolment(rest: Rest, ending: dict[str, str]) -> None:
    world = rest.world
    fresh = f"lessons?id=eq.{world.lessons['fresh']}&select=content"
    link = f"resources?lesson_id=eq.{world.lessons['fresh']}"
    assert rest.read("learner", fresh) == [{"content": "Secret of fresh"}]
    assert rest.read("learner", link)
    before = world.rows("user_progress", "learner")

    ended = rest.table(
        "service_role", "PATCH", f"enrollments?user_id=eq.{world.users['learner']}", json=ending
    )
    assert ended.status_code == 204
    assert rest.read("learner", fresh) == []
    assert rest.read("learner", link) == []
    expected = "enrollment_inactive" if "status" in ending else "enrollment_expired"
    for rpc in ("start_lesson", "complete_lesson", "uncomplete_lesson", "put_lesson_progress"):
        answer = rest.rpc("learner", rpc, p_lesson_id=world.lessons["begun"])
        assert (answer.status_code, code(answer)) == (403, expected)
    answer = rest.rpc("learner", "enroll", p_course_id=world.courses["main"])
    assert code(answer) == expected
    assert world.rows("user_progress", "learner") == before
    # What was done stays the learner's to read.
    assert len(rest.read("learner", "user_progress")) == len(before)
