"""Two accounts become one: against a union in plain Python, and recounts of everything derived."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.certificates.scene import Scene
from tests.database.actors import Actor, Course, Refused, drift

START = datetime(2026, 10, 1, 8, tzinfo=UTC)
MODULE: list[dict[str, Any]] = [
    {"completion_rule": "view", "min_view_seconds": 20, "type": "video", "duration_seconds": 300},
    {},
    {"type": "quiz", "completion_rule": "pass", "weight": 3},
]
MERGED = ("user_progress", "past_progress")


def merge(scene: Scene, source: Actor, target: Actor) -> Any:
    return scene.server().call(
        "merge_users", p_from=source.user, p_into=target.user, p_reason="One person, two mails"
    )


def rows(scene: Scene, table: str, *users: Actor) -> list[dict[str, Any]]:
    return scene.operator.run(
        f"select * from {table} where user_id = any (%s)", [user.user for user in users]
    )


def traces(scene: Scene, user: uuid.UUID | None) -> list[str]:
    """Where the id of a user stands in any row of ours."""
    tables = scene.operator.run(
        "select c.oid::regclass::text as name from pg_class c where c.relkind in ('r', 'p')"
        " and c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)"
        " and not c.relispartition"
    )
    return [
        t["name"]
        for t in tables
        if scene.operator.one(
            f"select exists (select from {t['name']} t where t::text like %s)", f"%{user}%"
        )
    ]


def live(scene: Scene, chance: random.Random, who: Actor, courses: list[Course]) -> None:
    """Some weeks of somebody's learning, errors of theirs included."""
    now = START + timedelta(hours=chance.randrange(100))
    for _ in range(chance.randrange(5, 90)):
        now += timedelta(minutes=chance.randrange(1, 3000))
        course = chance.choice(courses)
        lesson = chance.choice(course.all)
        who.at(now)
        try:
            match min(chance.randrange(9), 6):
                case 0:
                    who.call("start_lesson", p_lesson_id=lesson)
                case 1:
                    who.call(
                        "put_lesson_progress",
                        p_lesson_id=lesson,
                        p_position_seconds=chance.randrange(300),
                    )
                case 2:
                    seconds = chance.randrange(1, 60)
                    begin = chance.randrange(200)
                    who.connection.execute(
                        "select public.view_lesson(%s, %s, %s, p_watched => %s::text::jsonb)",
                        [lesson, uuid.uuid4(), seconds, f"[[{begin}, {begin + seconds}]]"],
                    )
                case 3:
                    scene.answer(who, lesson, chance.random() < 0.6)
                case 4:
                    who.call("start_attempt", p_lesson_id=lesson)
                case 5:
                    who.call("retake_course", p_course_id=course.id)
                case _:
                    who.call("complete_lesson", p_lesson_id=lesson)
        except Refused:
            pass
    who.at(None)


def united(mine: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> dict[str, Any]:
    """What several rows of one lesson and cycle say together; no SQL of ours."""
    both = mine + theirs
    done = sorted(
        (r["completed_at"], r["completed_on"]) for r in both if r["completed_at"] is not None
    )
    watched = sorted(
        {second for r in both for part in r["watched"] for second in range(part.lower, part.upper)}
    )
    return {
        "status": "completed"
        if done
        else max((r["status"] for r in both), key=["not_started", "in_progress"].index),
        "completed_at": done[0][0] if done else None,
        "completed_on": done[0][1] if done else None,
        "view_time_seconds": max(r["view_time_seconds"] for r in both),
        "attempts": sum(r["attempts"] for r in both),
        "progress": max(r["progress"] for r in both),
        "best_score": max(
            (r["best_score"] for r in both if r["best_score"] is not None), default=None
        ),
        "watched": watched,
    }


@pytest.mark.parametrize("seed", range(6))
def test_merging_unites_what_both_did(scene: Scene, seed: int) -> None:
    chance = random.Random(seed)
    courses = [scene.course(MODULE, 2, max_cycles=None) for _ in range(3)]
    for course in courses:
        scene.quiz(course.all[2])
    ann, old = scene.learner(courses[0], courses[1]), scene.learner(courses[1], courses[2])
    ids = [course.id for course in courses]
    scene.operator.run(
        "update public.enrollments set enrolled_at = %s where course_id = any (%s)", START, ids
    )
    live(scene, chance, ann, courses[:2])
    live(scene, chance, old, courses[1:])

    before: dict[tuple[int, int, Any], tuple[list[Any], list[Any]]] = {}
    cycles = {
        (e["user_id"], e["course_id"]): e["cycle"]
        for e in rows(scene, "public.enrollments", ann, old)
    }
    for table in MERGED:
        for row in rows(scene, f"public.{table}", ann, old):
            cycle = row.get("cycle") or cycles[row["user_id"], row["course_id"]]
            place = before.setdefault((row["course_id"], cycle, row["lesson_id"]), ([], []))
            place[row["user_id"] == old.user].append(row)
    expected = {place: united(*two) for place, two in before.items()}
    attempts = Counter(
        (a["lesson_id"], a["cycle"])
        for a in rows(scene, "public.user_assessment_attempts", ann, old)
    )

    answer = merge(scene, old, ann)
    assert (answer["user_id"], answer["changed"]) == (str(ann.user), True)
    assert drift(scene.operator, ids) == []
    now = {e["course_id"]: e for e in rows(scene, "public.enrollments", ann)}
    assert {c: e["cycle"] for c, e in now.items()} == {
        course: max(cycle for (_, c), cycle in cycles.items() if c == course) for course in ids
    }
    found = {}
    for table in MERGED:
        for row in rows(scene, f"public.{table}", ann):
            cycle = row.get("cycle") or now[row["course_id"]]["cycle"]
            found[row["course_id"], cycle, row["lesson_id"]] = {
                name: row[name] for name in united([row], [])
            } | {"watched": united([row], [])["watched"]}
    # Attempts that were open twice ended in the merge, and count since.
    for place, was in expected.items():
        assert found[place]["attempts"] >= was["attempts"]
        if found[place]["attempts"] > was["attempts"]:
            was.update({k: found[place][k] for k in ("attempts", "progress", "best_score")})
            if found[place]["status"] == "completed" and was["status"] != "completed":
                was.update({k: found[place][k] for k in ("status", "completed_at", "completed_on")})
    assert found == expected

    kept = rows(scene, "public.user_assessment_attempts", ann)
    assert Counter((a["lesson_id"], a["cycle"]) for a in kept) == attempts
    for place, count in attempts.items():
        of_place = [a for a in kept if (a["lesson_id"], a["cycle"]) == place]
        assert sorted(a["number"] for a in of_place) == list(range(1, count + 1))
        begun = [a["started_at"] for a in sorted(of_place, key=lambda a: a["number"])]
        assert begun == sorted(begun)
    days = Counter(r["completed_on"] for r in found.values() if r["completed_on"])
    assert {
        d["day"]: d["lessons_completed"]
        for d in rows(scene, "public.daily_activity", ann)
        if d["lessons_completed"]
    } == days
    issued = Counter(
        (c["course_id"], c["cycle"])
        for c in rows(scene, "public.certificates", ann)
        if c["superseded_at"] is None
    )
    assert all(n == 1 for n in issued.values())
    for course, e in now.items():
        assert (e["completed_at"] is not None) == ((course, e["cycle"]) in issued)
    # Who merged what is written down, files are to be removed; buckets are forgotten by themselves.
    assert set(traces(scene, old.user)) <= {
        "audit_log",
        "private.rate_buckets",
        "private.jobs",
    }
    assert scene.operator.run("select from auth.users where id = %s", old.user) == []


def test_waivers_move_and_count_once(scene: Scene) -> None:
    course = scene.course(2, 2)
    ann, old = scene.learner(course), scene.learner(course)
    server = scene.server()
    for who, lesson in ((ann, 0), (old, 0), (old, 3)):
        server.call(
            "excuse_lesson",
            p_user_id=who.user,
            p_lesson_id=course.all[lesson],
            p_reason="Known",
        )
    scene.complete(old, course.all[1])
    merge(scene, old, ann)
    (row,) = rows(scene, "public.enrollments", ann)
    assert (row["completed_lessons"], row["total_lessons"]) == (1, 2)
    assert len(rows(scene, "public.lesson_waivers", ann)) == 2
    assert drift(scene.operator, [course.id]) == []


def test_halves_of_a_course_finish_it_once(scene: Scene) -> None:
    course = scene.course(2)
    ann, old = scene.learner(course), scene.learner(course)
    scene.complete(ann, course.all[0])
    scene.complete(old, course.all[1])
    merge(scene, old, ann)
    (row,) = rows(scene, "public.enrollments", ann)
    assert (row["completed_lessons"], float(row["progress_percent"])) == (2, 100)
    assert row["completed_at"] is not None
    assert scene.certificate(ann)["enrollment_id"] == row["id"]
    assert drift(scene.operator, [course.id]) == []


def test_who_finished_while_away_is_certified_in_the_account_that_stayed(scene: Scene) -> None:
    course = scene.course(2)
    ann, old = scene.learner(course), scene.learner(course)
    scene.complete(old, course.all[0])
    old.call("leave_course", p_course_id=course.id)
    scene.server().call("archive_lesson", p_lesson_id=course.all[1])
    assert rows(scene, "public.enrollments", old)[0]["completed_at"] is not None
    assert rows(scene, "public.certificates", old, ann) == []
    merge(scene, old, ann)
    (row,) = rows(scene, "public.enrollments", ann)
    assert (row["status"], float(row["progress_percent"])) == ("active", 100)
    assert scene.certificate(ann)["enrollment_id"] == row["id"]


def test_of_two_certificates_the_earlier_stays_and_moves_its_file(scene: Scene) -> None:
    course = scene.course(1)
    ann, old = scene.learner(course), scene.learner(course, name="Ann Former")
    scene.complete(old, *course.all)
    scene.complete(ann, *course.all)
    earlier, later = scene.certificate(old), scene.certificate(ann)
    scene.rendered(earlier["id"])
    merge(scene, old, ann)
    now = scene.by_id(earlier["id"])
    assert (now["user_id"], now["code"], now["superseded_at"]) == (ann.user, earlier["code"], None)
    assert scene.by_id(later["id"])["superseded_by"] == earlier["id"]
    assert (now["pdf_path"], now["rendered_at"]) == (None, None)
    jobs = [(j["kind"], j["payload"].get("path")) for j in scene.jobs(str(earlier["id"]))]
    assert ("certificate.render", None) in jobs
    assert ("storage.remove", f"{old.user}/{earlier['id']}.pdf") in jobs


def test_a_revoked_certificate_does_not_hide_a_valid_one(scene: Scene) -> None:
    course = scene.course(1)
    ann, old = scene.learner(course), scene.learner(course)
    scene.complete(old, *course.all)
    scene.complete(ann, *course.all)
    bad, good = scene.certificate(old), scene.certificate(ann)
    scene.server().call("revoke_certificate", p_certificate_id=bad["id"], p_reason="Shared")
    merge(scene, old, ann)
    assert scene.by_id(good["id"])["superseded_at"] is None
    assert scene.by_id(bad["id"])["superseded_by"] == good["id"]
    verdict = scene.operator.one("select public.verify_certificate(%s)", bad["code"])
    assert verdict["status"] == "revoked"


def test_notes_collections_and_messages_move(scene: Scene) -> None:
    course = scene.course(2)
    ann, old = scene.learner(course), scene.learner(course)
    for who in (ann, old):
        who.run("insert into public.collections (name) values ('Later')")
        # Both save the course by default, and one saves a note too.
        who.run("insert into public.collection_items (course_id) values (%s)", course.id)
    note = old.one(
        "insert into public.notes (lesson_id, body) values (%s, 'Mine') returning id", course.all[0]
    )
    old.run("insert into public.collections (name) values ('Only here')")
    old.run("insert into public.collection_items (note_id) values (%s)", note)
    scene.complete(old, *course.all)
    messages = len(scene.messages(old))
    scene.operator.run("update public.profiles set mail_opt_out = true where id = %s", old.user)
    merge(scene, old, ann)
    assert ann.one("select body from public.notes where id = %s", note) == "Mine"
    assert sorted(x["name"] for x in ann.run("select name from public.collections")) == [
        "Later",
        "Only here",
        "Saved",
    ]
    items = ann.run("select course_id, note_id from public.collection_items")
    assert sorted((x["course_id"] or 0) for x in items) == [0, course.id]
    assert len(scene.messages(ann)) == messages
    assert ann.one("select mail_opt_out from public.profiles") is True
    kinds = {x["kind"] for x in ann.run("select kind from public.progress_events")}
    assert "course_completed" in kinds


def test_enrolments_unite_to_the_better_of_both(scene: Scene) -> None:
    course = scene.course(2)
    ann, old = scene.learner(course), scene.learner(course)
    scene.operator.run(
        "update public.enrollments set status = 'withdrawn', expires_at = null,"
        " purchase_id = 'old' where user_id = %s",
        ann.user,
    )
    soon = datetime.now(UTC) + timedelta(days=9)
    scene.operator.run(
        "update public.enrollments set expires_at = %s, purchase_id = 'new' where user_id = %s",
        soon,
        old.user,
    )
    merge(scene, old, ann)
    (row,) = rows(scene, "public.enrollments", ann)
    assert (row["status"], row["expires_at"], row["purchase_id"]) == ("active", soon, "old")


def test_only_admins_merge_and_only_two_accounts(scene: Scene) -> None:
    ann, bob = scene.learner(), scene.learner()
    server = scene.server()
    given = {"p_from": bob.user, "p_into": ann.user, "p_reason": "Mine"}
    for actor, change, code in (
        (ann, {}, "not_allowed"),
        (server, {"p_reason": ""}, "invalid_value"),
        (server, {"p_from": ann.user}, "invalid_value"),
        (server, {"p_from": uuid.uuid4()}, "user_not_found"),
        (server, {"p_into": uuid.uuid4()}, "user_not_found"),
    ):
        with pytest.raises(Refused) as refused:
            actor.call("merge_users", **{**given, **change})
        assert refused.value.code == code
    assert (
        scene.operator.one(
            "select count(*) from auth.users where id in (%s, %s)", ann.user, bob.user
        )
        == 2
    )
