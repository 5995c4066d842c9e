"""Whatever finishes a course issues its certificate, in the same transaction, once."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.certificates.scene import ESSAY, QUESTION, Scene
from tests.database.actors import Actor, Course, make_users
from tests.database.storm import together

CODE = r"[0-9A-HJKMNP-TV-Z]{5}(-[0-9A-HJKMNP-TV-Z]{5}){3}"


def test_finishing_a_course_issues_one_certificate(scene: Scene) -> None:
    course = scene.course(title="Knots", author="B. Owline", certificate_hours=12.5)
    ann = scene.learner(course)
    first, last = course.all
    assert scene.complete(ann, first)["certificate"] is None
    assert scene.certificates(ann) == []
    answer = scene.complete(ann, last)
    row = scene.certificate(ann)
    held = answer["certificate"]
    assert held["id"] == str(row["id"])
    assert re.fullmatch(CODE, held["code"])
    assert (held["status"], held["is_ready"], held["expires_at"]) == ("valid", False, None)
    assert (row["learner_name"], row["course_title"], row["author"]) == (
        "Ann Example",
        "Knots",
        "B. Owline",
    )
    assert (float(row["hours"]), row["score"], row["cycle"]) == (12.5, None, 1)
    assert row["completed_at"] == datetime.fromisoformat(answer["enrollment"]["completed_at"])
    assert row["enrollment_id"] == uuid.UUID(answer["enrollment"]["id"])
    (job,) = scene.jobs(str(row["id"]))
    assert (job["kind"], job["priority"], job["dedupe_key"]) == (
        "certificate.render",
        10,
        f"certificate.render:{row['id']}",
    )
    (told,) = scene.messages(ann)
    assert (told["kind"], told["course_id"], told["is_mailed"]) == (
        "course_completed",
        course.id,
        False,
    )
    # Again: the same answer, and nothing new.
    again = scene.complete(ann, last)
    assert (again["changed"], again["certificate"]) == (False, held)
    assert len(scene.certificates(ann)) == len(scene.jobs(str(row["id"]))) == 1
    assert len(scene.messages(ann)) == 1


# Every door: given a learner who lacks one lesson, it finishes the course.


def put(scene: Scene, ann: Actor, course: Course, last: uuid.UUID) -> Any:
    return ann.call("put_lesson_progress", p_lesson_id=last, p_status="completed")


def module(scene: Scene, ann: Actor, course: Course, last: uuid.UUID) -> Any:
    return ann.call("complete_module", p_module_id=course.modules[0])


def quiz(scene: Scene, ann: Actor, course: Course, last: uuid.UUID) -> Any:
    scene.quiz(last, completion_rule="pass")
    return scene.answer(ann, last)


def attempt(scene: Scene, ann: Actor, course: Course, last: uuid.UUID) -> Any:
    scene.quiz(last, completion_rule="pass")
    begun = ann.call("start_attempt", p_lesson_id=last)
    answers = Jsonb([{"question_id": "q", "answer": True}])
    return ann.call("submit_attempt", p_attempt_id=begun["attempt"]["id"], p_answers=answers)


def grading(scene: Scene, ann: Actor, course: Course, last: uuid.UUID) -> None:
    scene.quiz(last, ESSAY, completion_rule="pass")
    sent = ann.call("submit_quiz", p_lesson_id=last)
    grades = Jsonb([{"question_id": "essay", "points": 9}])
    scene.operator.call("grade_attempt", p_attempt_id=sent["attempt"]["id"], p_grades=grades)


def regrading(scene: Scene, ann: Actor, course: Course, last: uuid.UUID) -> None:
    scene.quiz(last, completion_rule="pass")
    scene.answer(ann, last, right=False)
    scene.quiz(last, {**QUESTION, "correct": False})
    scene.operator.call("regrade_lesson", p_lesson_id=last, p_dry_run=False)


def banking(scene: Scene, ann: Actor, course: Course, last: uuid.UUID) -> None:
    scene.quiz(last, completion_rule="pass")
    scene.server().call("import_attempt", p_user_id=ann.user, p_lesson_id=last, p_percent=90.0)


def expiry(scene: Scene, ann: Actor, course: Course, last: uuid.UUID) -> None:
    scene.quiz(last, completion_rule="pass", time_limit_seconds=60)
    begun = ann.call("start_attempt", p_lesson_id=last)
    answers = Jsonb([{"question_id": "q", "answer": True}])
    ann.call("save_answers", p_attempt_id=begun["attempt"]["id"], p_answers=answers)
    scene.operator.at(datetime.now(UTC) + timedelta(minutes=5))
    scene.operator.call("expire_attempts", p_limit=1000)
    scene.operator.at(None)


def archiving(scene: Scene, ann: Actor, course: Course, last: uuid.UUID) -> None:
    scene.operator.call("archive_lesson", p_lesson_id=last)


def deleting(scene: Scene, ann: Actor, course: Course, last: uuid.UUID) -> None:
    scene.operator.call("delete_lesson", p_lesson_id=last, p_force=True)


def moving(scene: Scene, ann: Actor, course: Course, last: uuid.UUID) -> None:
    other = scene.course()
    scene.operator.call("move_lesson", p_lesson_id=last, p_module_id=other.modules[0], p_position=9)


def making_optional(scene: Scene, ann: Actor, course: Course, last: uuid.UUID) -> None:
    scene.operator.run("update public.lessons set is_required = false where id = %s", last)


def enrolling(scene: Scene, ann: Actor, course: Course, last: uuid.UUID) -> None:
    scene.operator.run("delete from public.enrollments where user_id = %s", ann.user)
    scene.operator.run("update public.lessons set is_required = false where id = %s", last)
    scene.server().run(
        "insert into public.enrollments (user_id, course_id) values (%s, %s)", ann.user, course.id
    )


def recalculating(scene: Scene, ann: Actor, course: Course, last: uuid.UUID) -> None:
    scene.operator.run(
        "insert into public.user_progress (user_id, lesson_id, course_id, status, progress,"
        " started_at, last_accessed, completed_at, completed_on)"
        " values (%s, %s, %s, 'completed', 1, now(), now(), now(), current_date)",
        ann.user,
        last,
        course.id,
    )
    scene.server().call("recalculate", p_course_id=course.id)


@pytest.mark.parametrize(
    "door",
    [
        put,
        module,
        quiz,
        attempt,
        grading,
        regrading,
        banking,
        expiry,
        archiving,
        deleting,
        moving,
        making_optional,
        enrolling,
        recalculating,
    ],
    ids=lambda door: door.__name__,
)
def test_every_door_issues(
    scene: Scene, door: Callable[[Scene, Actor, Course, uuid.UUID], Any]
) -> None:
    course = scene.course()
    ann = scene.learner(course)
    first, last = course.all
    scene.complete(ann, first)
    answer = door(scene, ann, course, last)
    row = scene.certificate(ann)
    assert [job["kind"] for job in scene.jobs(str(row["id"]))] == ["certificate.render"]
    kinds = [(told["kind"], told["is_mailed"]) for told in scene.messages(ann)]
    assert kinds.count(("course_completed", False)) == 1
    events = scene.operator.run(
        "select data from public.progress_events where user_id = %s and kind = 'course_completed'",
        ann.user,
    )
    assert len(events) == 1
    assert events[0]["data"]["snapshot"]["lessons"] in (1, 2)
    if answer is not None:
        assert answer["certificate"]["code"] == row["code"]


def test_an_import_that_drops_the_last_lesson_issues(scene: Scene) -> None:
    def document(*slugs: str) -> dict[str, Any]:
        lessons = [{"slug": slug, "title": slug, "content": "Text"} for slug in slugs]
        return {
            "waymark": 1,
            "slug": f"c-{mark}",
            "title": "Course",
            "status": "published",
            "modules": [{"slug": "m", "title": "M", "lessons": lessons}],
        }

    mark = uuid.uuid4().hex
    report = scene.operator.call("import_course", p_document=document("a", "b"))
    (a,) = scene.operator.run(
        "select id from public.lessons where course_id = %s and slug = 'a'", report["course_id"]
    )
    ann = scene.learner()
    ann.call("enroll", p_course_id=report["course_id"])
    scene.complete(ann, a["id"])
    assert scene.certificates(ann) == []
    # A rehearsal takes everything back, the certificate too.
    scene.operator.call("import_course", p_document=document("a"), p_dry_run=True)
    assert scene.certificates(ann) == []
    scene.operator.call("import_course", p_document=document("a"))
    assert scene.certificate(ann)["course_title"] == "Course"


def test_an_edit_that_finishes_many_issues_to_all_in_one_go(scene: Scene) -> None:
    course = scene.course()
    first, last = course.all
    users = make_users(scene.operator, 2000)
    scene.operator.run(
        "insert into public.enrollments (user_id, course_id)"
        " select u, %s from unnest(%s::uuid[]) u",
        course.id,
        users,
    )
    scene.operator.run(
        "insert into public.user_progress (user_id, lesson_id, course_id, status, progress,"
        " started_at, last_accessed, completed_at, completed_on)"
        " select u, %s, %s, 'completed', 1, now(), now(), now(), current_date"
        " from unnest(%s::uuid[]) u",
        first,
        course.id,
        users[:-1],
    )
    scene.operator.run(
        "update public.enrollments set completed_lessons = 1, completed_weight = 1,"
        " progress_percent = 50 where course_id = %s and user_id = any (%s)",
        course.id,
        users[:-1],
    )
    scene.operator.run("update public.lessons set archived_at = now() where id = %s", last)
    counts = scene.operator.run(
        "select count(*) as all, count(distinct c.user_id) as users,"
        " count(distinct c.code) as codes,"
        " count(j.id) as jobs, max(j.priority) as priority, count(n.id) as messages"
        " from public.certificates c"
        " left join private.jobs j on j.dedupe_key = 'certificate.render:' || c.id"
        " left join public.notifications n on n.user_id = c.user_id"
        " and n.kind = 'course_completed' where c.course_id = %s",
        course.id,
    )
    # The one who had nothing done has none; nobody else's rendering waits behind these.
    assert counts == [
        {"all": 1999, "users": 1999, "codes": 1999, "jobs": 1999, "priority": 0, "messages": 1999}
    ]


def test_a_hundred_completions_of_the_last_lesson_issue_one(
    scene: Scene, actors: Callable[..., Actor]
) -> None:
    course = scene.course()
    ann = scene.learner(course)
    scene.complete(ann, course.all[0])
    tabs = [actors("authenticated", ann.user) for _ in range(25)]

    def press(tab: Actor) -> list[Any]:
        return [tab.call("complete_lesson", p_lesson_id=course.all[1]) for _ in range(4)]

    rounds = together([lambda tab=tab: press(tab) for tab in tabs])
    answers = [answer for answered in rounds for answer in answered]
    assert len(answers) == 100
    assert sum(answer["changed"] for answer in answers) == 1
    row = scene.certificate(ann)
    assert {answer["certificate"]["code"] for answer in answers} == {row["code"]}
    assert len(scene.jobs(str(row["id"]))) == 1
    assert [told["kind"] for told in scene.messages(ann)] == ["course_completed"]


def test_twenty_learners_who_finish_at_once_get_one_each(scene: Scene) -> None:
    course = scene.course()
    first, last = course.all
    class_ = [scene.learner(course) for _ in range(20)]
    for learner in class_:
        scene.complete(learner, first)
    answers = together([lambda who=who: scene.complete(who, last) for who in class_])
    codes = {answer["certificate"]["code"] for answer in answers}
    assert len(codes) == 20
    assert codes == {scene.certificate(learner)["code"] for learner in class_}


def test_an_edit_and_a_completion_that_race_issue_one(
    scene: Scene, actors: Callable[..., Actor]
) -> None:
    for _ in range(10):
        course = scene.course()
        ann = scene.learner(course)
        first, last = course.all
        scene.complete(ann, first)
        author = actors()
        together(
            [
                lambda ann=ann, last=last: scene.complete(ann, last),
                lambda author=author, last=last: author.call("archive_lesson", p_lesson_id=last),
            ]
        )
        assert len(scene.certificates(ann)) == 1
        assert [told["kind"] for told in scene.messages(ann)] == ["course_completed"]


def test_what_is_rolled_back_was_never_issued(scene: Scene, actors: Callable[..., Actor]) -> None:
    course = scene.course()
    ann = scene.learner(course)
    scene.complete(ann, course.all[0])
    other_tab = actors("authenticated", ann.user)
    other_tab.connection.execute("begin")
    held = scene.complete(other_tab, course.all[1])["certificate"]
    assert held["code"]
    other_tab.connection.execute("rollback")
    assert scene.certificates(ann) == []
    assert scene.jobs(held["id"]) == []
    assert scene.messages(ann) == []


def test_no_read_issues_anything(scene: Scene) -> None:
    """Not even to one who has earned it: they finished while the course issued none."""
    course = scene.course(certificate_enabled=False)
    ann = scene.learner(course)
    assert scene.complete(ann, *course.all)["certificate"] is None
    scene.set(course, certificate_enabled=True)
    ann.run("set default_transaction_read_only = on")  # as PostgREST reads
    standing = ann.call("get_certificate_eligibility", p_course_id=course.id)
    assert standing == {"eligible": True, "blocks": [], "certificate": None}
    assert ann.call("get_course_summary", p_course_id=course.id)["certificate"] == standing
    ann.call("get_course_progress", p_course_id=course.id)
    ann.call("get_next_lesson", p_course_id=course.id)
    assert ann.call("get_my_certificates") == {"certificates": [], "cursor": None}
    assert scene.certificates(ann) == []


def test_who_finished_before_certificates_gets_none_by_itself(scene: Scene) -> None:
    """Neither learners who go on nor edits of the course set off a wave of mails."""
    course = scene.course([{}, {}, {"is_required": False}], certificate_enabled=False)
    ann = scene.learner(course)
    first, last, more = course.all
    scene.complete(ann, first, last)
    (told,) = scene.messages(ann)
    assert (told["kind"], told["is_mailed"]) == ("course_completed", True)
    scene.set(course, certificate_enabled=True)
    scene.complete(ann, more)
    scene.quiz(more)
    scene.answer(ann, more)
    added = scene.operator.call(
        "create_lesson", p_module_id=course.modules[0], p_fields={"title": "New"}
    )
    scene.operator.call("archive_lesson", p_lesson_id=added["id"])
    scene.server().call("recalculate", p_course_id=course.id)
    scene.set(course, certificate_min_percent=50)
    assert scene.certificates(ann) == []
    assert len(scene.messages(ann)) == 1


def test_a_course_without_certificates_says_so_by_mail(scene: Scene) -> None:
    course = scene.course(certificate_enabled=False)
    ann = scene.learner(course)
    scene.complete(ann, *course.all)
    (told,) = scene.messages(ann)
    assert (told["kind"], told["is_mailed"], told["data"]["certificate_id"]) == (
        "course_completed",
        True,
        None,
    )


# The snapshot


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("Ann Example", "Ann Example"),
        ("  Ann\n\tExample ", "Ann Example"),
        ("Ólafur Þór Ñandú", "Ólafur Þór Ñandú"),
        ("عمر الخيام", "عمر الخيام"),
        ("Ann \u202eelpmaxE", "Ann elpmaxE"),
        ("ann@example.com", None),
        ("Ann <ann@example.com>", None),
        ("Ann @ Home", "Ann @ Home"),
        (None, None),
    ],
)
def test_the_name_on_a_certificate_is_no_address(
    scene: Scene, name: str | None, printed: str | None
) -> None:
    course = scene.course(1)
    ann = scene.learner(course, name=name)
    scene.complete(ann, *course.all)
    row = scene.certificate(ann)
    assert row["learner_name"] == printed
    facts = scene.operator.one("select private.render_facts(%s)", row["id"])
    assert facts["learner_name"] == (printed or "Learner")
    assert "@example.test" not in str({**row, **facts})


def test_the_first_name_completes_the_snapshot_and_stays(scene: Scene) -> None:
    course = scene.course(1)
    ann = scene.learner(course, name=None)
    scene.complete(ann, *course.all)
    issued = scene.certificate(ann)
    scene.rendered(issued["id"])
    scene.name(ann.user, "ann@example.com")
    assert scene.certificate(ann)["learner_name"] is None
    scene.name(ann.user, "Ann Example")
    assert scene.certificate(ann)["learner_name"] == "Ann Example"
    # The file is made anew, under another key than one that a worker may hold just now.
    assert [job["dedupe_key"] for job in scene.jobs(str(issued["id"]))] == [
        f"certificate.render.named:{issued['id']}"
    ]
    scene.name(ann.user, "Somebody Else")
    assert scene.certificate(ann)["learner_name"] == "Ann Example"
    assert scene.certificate(ann)["code"] == issued["code"]


@pytest.mark.parametrize("first", ["name", "certificate"])
def test_a_name_given_while_the_course_is_finished_is_on_it(scene: Scene, first: str) -> None:
    """Whichever of the two comes first, the other waits and sees it."""
    course = scene.course(1)
    ann = scene.learner(course, name=None)
    writes: dict[str, tuple[Actor, Callable[[], Any]]] = {
        "name": (scene.operator, lambda: scene.name(ann.user, "Ann Example")),
        "certificate": (ann, lambda: scene.complete(ann, *course.all)),
    }
    actor, write = writes.pop(first)
    ((_, second),) = writes.values()
    actor.run("begin")
    write()
    later = threading.Thread(target=second)
    later.start()
    watcher = scene.actors()
    while not watcher.one(
        "select exists (select from pg_stat_activity where wait_event_type = 'Lock'"
        " and datname = current_database())"
    ):
        assert later.is_alive()
    actor.run("commit")
    later.join()
    assert scene.certificate(ann)["learner_name"] == "Ann Example"


def test_renaming_and_deleting_leave_the_snapshot_alone(scene: Scene) -> None:
    course = scene.course(title="Knots", author="B. Owline")
    ann = scene.learner(course)
    scene.complete(ann, *course.all)
    before = scene.certificate(ann)
    scene.set(course, title="Ropes", author="Nobody", certificate_hours=3)
    scene.name(ann.user, "Ann Other")
    assert scene.certificate(ann) == before
    facts = scene.operator.one("select private.render_facts(%s)", before["id"])
    scene.operator.call("delete_course", p_course_id=course.id, p_force=True)
    assert scene.certificate(ann) == before
    assert scene.operator.one("select private.render_facts(%s)", before["id"]) == facts


def test_days_are_those_where_the_learner_was(scene: Scene) -> None:
    course = scene.course(1)
    ann = scene.learner(course)
    scene.operator.run(
        "update public.profiles set timezone = 'Pacific/Auckland' where id = %s", ann.user
    )
    ann.at(datetime(2027, 1, 1, 20, tzinfo=UTC))
    scene.complete(ann, *course.all)
    row = scene.certificate(ann)
    assert (row["completed_on"], row["issued_on"]) == (date(2027, 1, 2), date(2027, 1, 2))
    assert scene.operator.one("select private.render_facts(%s)", row["id"])["completed_on"] == (
        "2027-01-02"
    )


def test_codes_are_many_and_even(scene: Scene) -> None:
    """100 random bits: in some thousands of codes every place shows every letter, and evenly."""
    codes = [
        row["code"]
        for row in scene.operator.run(
            "select private.certificate_code() as code from generate_series(1, 6400)"
        )
    ]
    assert all(re.fullmatch(CODE, code) for code in codes)
    assert len(set(codes)) == 6400
    for place in (i for i in range(23) if i % 6 != 5):
        letters = [code[place] for code in codes]
        counts = {letter: letters.count(letter) for letter in set(letters)}
        assert len(counts) == 32, place
        # 200 expected of each, with a deviation of 14: eight of them.
        assert 90 < min(counts.values()) <= max(counts.values()) < 310, place


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("4G7KX-9QTZM-ABCDE-FGH01", "4G7KX-9QTZM-ABCDE-FGH01"),
        ("4g7kx9qtzmabcdefgh01", "4G7KX-9QTZM-ABCDE-FGH01"),
        (" 4g7kx 9qtzm\u2013abcde.fgh01\n", "4G7KX-9QTZM-ABCDE-FGH01"),
        ("4G7KX-9QTZM-ABCDE-FGHOI", "4G7KX-9QTZM-ABCDE-FGH01"),
        ("4G7KX-9QTZM-ABCDE-FGHol", "4G7KX-9QTZM-ABCDE-FGH01"),
        ("4G7KX-9QTZM-ABCDE-FGH0", None),
        ("4G7KX-9QTZM-ABCDE-FGH012", None),
        ("4G7KX-9QTZM-ABCDE-FGH0U", None),
        ("", None),
        (None, None),
        ("4" * 100_000, None),
    ],
)
def test_a_code_is_read_as_people_type_it(
    scene: Scene, typed: str | None, meant: str | None
) -> None:
    assert scene.operator.one("select private.normalise_code(%s)", typed) == meant
