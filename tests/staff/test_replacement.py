"""Lessons replaced with progress carried over, and what is new since a learner finished."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.database.actors import Refused, make_lesson
from tests.staff.scene import Scene

REASON = "A better recording"


def replace(scene: Scene, old: Any, new: Any) -> Any:
    return scene.act("author").call(
        "replace_lesson", p_lesson_id=old, p_new_lesson_id=new, p_reason=REASON
    )


def test_progress_is_carried_over(scene: Scene) -> None:
    old, second = scene.course.lessons[0]
    for name in ("stranger", "newcomer", "admin"):
        scene.enroll(name)
    scene.operator.run("update public.lessons set weight = 4 where id = %s", old)
    learner = scene.act("learner")
    learner.call("complete_lesson", p_lesson_id=old)
    done = scene.operator.run("select * from public.user_progress where lesson_id = %s", old)
    scene.act("stranger").call("start_lesson", p_lesson_id=old)
    scene.act("server").call(
        "excuse_lesson", p_user_id=scene.users["newcomer"], p_lesson_id=old, p_reason=REASON
    )
    # Done the optional way before: it counts from now on, waiver or not.
    scene.act("server").call(
        "excuse_lesson", p_user_id=scene.users["admin"], p_lesson_id=old, p_reason=REASON
    )
    scene.act("admin").call("complete_lesson", p_lesson_id=scene.spare)
    before = {name: scene.row(name)["progress_percent"] for name in ("learner", "stranger")}
    answer = replace(scene, old, scene.spare)
    assert (answer["learners"], answer["replaced_lesson_id"]) == (2, str(old))
    assert answer["lesson"]["weight"] == 4
    after = {name: scene.row(name)["progress_percent"] for name in before}
    assert after == before == {"learner": Decimal("57.14"), "stranger": Decimal(0)}
    assert scene.row("admin")["progress_percent"] == Decimal("57.14")
    assert scene.row("newcomer")["total_lessons"] == 3
    rows = scene.operator.run(
        "select * from public.user_progress where lesson_id = %s order by status", scene.spare
    )
    mine = next(row for row in rows if row["user_id"] == scene.users["learner"])
    assert (mine["status"], mine["completed_at"]) == ("completed", done[0]["completed_at"])
    view = learner.call("get_course_progress", p_course_id=scene.course.id)
    assert [x["lesson_id"] for x in view["lessons"]][:2] == [str(scene.spare), str(second)]
    assert learner.call("get_next_lesson", p_course_id=scene.course.id)["lesson_id"] == str(second)
    # The old one's rows stay as history.
    assert scene.operator.run("select * from public.user_progress where lesson_id = %s", old)[0][
        "status"
    ]
    (audit,) = [a for a in scene.audits() if a["action"] == "lesson.replace"]
    assert audit["before"]["replaced_by"]["id"] == str(scene.spare)
    assert len(scene.events("lesson_completed")) == 1
    scene.sound()


def test_a_finished_course_stays_finished(scene: Scene) -> None:
    for lesson_id in scene.course.all:
        scene.act("learner").call("complete_lesson", p_lesson_id=lesson_id)
    before = scene.row()
    replace(scene, scene.course.all[0], scene.spare)
    after = scene.row()
    assert (after["progress_percent"], after["completed_at"]) == (100, before["completed_at"])
    assert len(scene.events("course_completed")) == len(scene.certificates()) == 1
    view = scene.act("learner").call("get_course_progress", p_course_id=scene.course.id)
    assert view["new_lessons"] == {"count": 0, "lesson_ids": []}
    scene.sound()


@pytest.mark.parametrize("what", ["counts already", "archived", "itself", "elsewhere"])
def test_what_is_no_replacement_is_refused(scene: Scene, what: str) -> None:
    old, second = scene.course.lessons[0]
    new: Any = scene.spare
    if what == "counts already":
        new = second
    elif what == "archived":
        scene.act("author").call("archive_lesson", p_lesson_id=old)
    elif what == "itself":
        new = old
    else:
        new = Scene(scene.actors).spare
    before = scene.look()
    with pytest.raises(Refused) as refused:
        replace(scene, old, new)
    expected = "conflict" if what in ("counts already", "archived") else "invalid_value"
    assert refused.value.code == expected
    assert scene.look() == before


def test_new_lessons_since_the_learner_finished(scene: Scene) -> None:
    learner, author = scene.act("learner"), scene.act("author")

    def new() -> Any:
        course = learner.call("get_course_progress", p_course_id=scene.course.id)["new_lessons"]
        summary = learner.call("get_course_summary", p_course_id=scene.course.id)
        (card,) = learner.call("get_my_dashboard")["courses"]
        assert course == summary["new_lessons"] == card["new_lessons"]
        return course

    assert new() is None
    for lesson_id in scene.course.all:
        learner.call("complete_lesson", p_lesson_id=lesson_id)
    assert new() == {"count": 0, "lesson_ids": []}
    # Each way to become countable: made, made required, restored, moved in from another course.
    made = author.call(
        "create_lesson", p_module_id=scene.course.modules[1], p_fields={"title": "New"}
    )["id"]
    assert new() == {"count": 1, "lesson_ids": [made]}
    author.call("update_lesson", p_lesson_id=scene.spare, p_fields={"is_required": True})
    assert new() == {"count": 2, "lesson_ids": [str(scene.spare), made]}
    other = Scene(scene.actors)
    scene.act("server").call(
        "move_lesson",
        p_lesson_id=other.course.all[0],
        p_module_id=scene.course.modules[1],
        p_position=9,
    )
    assert new()["count"] == 3
    author.call("archive_lesson", p_lesson_id=made)
    assert new()["count"] == 2
    author.call("restore_lesson", p_lesson_id=made)
    assert new()["count"] == 3
    # What was there before is not new, though open again; nor is what was done or waived since.
    learner.call("uncomplete_lesson", p_lesson_id=scene.course.all[0])
    author.call(
        "move_lesson",
        p_lesson_id=scene.course.all[0],
        p_module_id=scene.course.modules[1],
        p_position=0,
    )
    author.call("update_lesson", p_lesson_id=scene.course.all[0], p_fields={"weight": 7})
    assert new()["count"] == 3
    learner.call("complete_lesson", p_lesson_id=made)
    scene.act("instructor").call(
        "excuse_lesson",
        p_user_id=scene.users["learner"],
        p_lesson_id=scene.spare,
        p_reason="Not for you",
    )
    assert new() == {"count": 1, "lesson_ids": [str(other.course.all[0])]}
    scene.sound()


def test_a_long_list_of_new_lessons_is_cut(scene: Scene) -> None:
    learner = scene.act("learner")
    for lesson_id in scene.course.all:
        learner.call("complete_lesson", p_lesson_id=lesson_id)
    scene.operator.run(
        "insert into public.lessons (module_id, position, title)"
        " select %s, i, 'New' from generate_series(20, 139) as i",
        scene.course.modules[0],
    )
    found = learner.call("get_course_summary", p_course_id=scene.course.id)["new_lessons"]
    assert (found["count"], len(found["lesson_ids"])) == (120, 100)


# Edits by command ---------------------------------------------------------------------------------


def test_authors_change_a_lesson_and_learners_are_settled(scene: Scene) -> None:
    author = scene.act("author")
    lesson_id = scene.course.all[0]
    scene.act("learner").call("complete_lesson", p_lesson_id=lesson_id)
    answer = author.call("update_lesson", p_lesson_id=lesson_id, p_fields={"weight": 7})
    assert answer["weight"] == 7
    assert scene.row()["progress_percent"] == 70
    before = scene.look()
    author.call("update_lesson", p_lesson_id=lesson_id, p_fields={"weight": 7})
    for fields, code in (
        ({"weight": 0}, "invalid_value"),
        ({"weight": "heavy"}, "invalid_value"),
        ({"weight": 10**12}, "invalid_value"),
        ({"title": None}, "invalid_value"),
        ({"completion_rule": "view"}, "invalid_value"),
        ({"is_countable": False}, "unknown_field"),
        ({"counts_from": 1}, "unknown_field"),
    ):
        with pytest.raises(Refused) as refused:
            author.call("update_lesson", p_lesson_id=lesson_id, p_fields=fields)
        assert refused.value.code == code
    assert scene.look() == before
    author.call("update_lesson", p_lesson_id=lesson_id, p_fields={"is_preview": True})
    assert scene.row()["total_lessons"] == 3
    opens = "2100-01-01T00:00:00+00:00"
    author.call("update_lesson", p_lesson_id=lesson_id, p_fields={"available_from": opens})
    author.call(
        "update_module", p_module_id=scene.course.modules[0], p_fields={"available_after_days": 9}
    )
    assert scene.operator.run(
        "select l.available_from = %s as dated, m.available_after_days, c.has_rules"
        " from public.lessons l join public.modules m on m.id = l.module_id"
        " join public.courses c on c.id = l.course_id where l.id = %s",
        opens,
        lesson_id,
    ) == [{"dated": True, "available_after_days": 9, "has_rules": True}]
    scene.sound()


def test_completions_carried_over_are_taken_back_one_by_one(scene: Scene) -> None:
    """From the day, too: never what other lessons have there."""
    learner, (old, other) = scene.act("learner"), scene.course.lessons[0]
    for lesson_id in (old, other):
        learner.call("complete_lesson", p_lesson_id=lesson_id)
    scene.act("author").call(
        "replace_lesson", p_lesson_id=old, p_new_lesson_id=scene.spare, p_reason="Newer"
    )
    for lesson_id, left in ((None, 3), (scene.spare, 2), (old, 1)):
        if lesson_id:
            learner.call("uncomplete_lesson", p_lesson_id=lesson_id)
        day = "select sum(lessons_completed) from public.daily_activity where user_id = %s"
        assert scene.operator.one(day, scene.users["learner"]) == left
    scene.sound()


def test_authors_change_a_course(scene: Scene) -> None:
    author, course = scene.act("author"), {"p_course_id": scene.course.id}
    fields = {"sequential": True, "max_cycles": None, "badges": ["new"], "certificate_hours": 2.5}
    answer = author.call("update_course", **course, p_fields=fields)
    assert fields.items() <= answer.items()
    (audit,) = scene.audits()
    assert (audit["action"], audit["before"]["max_cycles"]) == ("course.update", 1)
    before = scene.look()
    # The same again writes nothing.
    assert author.call("update_course", **course, p_fields=fields) == answer
    for wrong, code in (
        ({"max_cycles": 0}, "invalid_value"),
        ({"title": None}, "invalid_value"),
        ({"badges": "new"}, "invalid_value"),
        ({"enrollment_mode": "all"}, "invalid_value"),
        ({"slug": "other"}, "unknown_field"),
        ({"rating": 5}, "unknown_field"),
        ({"total_lessons": 0}, "unknown_field"),
        ({"status": "archived"}, "unknown_field"),
        # Who may complete lessons for learners is not for them to say.
        ({"staff_may_override": True}, "not_allowed"),
    ):
        with pytest.raises(Refused) as refused:
            author.call("update_course", **course, p_fields=wrong)
        assert refused.value.code == code, wrong
    assert scene.look() == before
    learner, lessons = scene.act("learner"), scene.course.all
    with pytest.raises(Refused, match="lesson_locked"):
        learner.call("complete_lesson", p_lesson_id=lessons[1])
    scene.act("admin").call("update_course", **course, p_fields={"staff_may_override": True})
    mine = {"p_user_id": scene.users["learner"], "p_reason": "Seen"}
    assert author.call("complete_lesson_for", p_lesson_id=lessons[0], **mine)["changed"]
    scene.sound()


def test_authors_make_and_change_modules(scene: Scene) -> None:
    author = scene.act("author")
    made = author.call("create_module", p_course_id=scene.course.id, p_fields={"title": "Third"})
    assert (made["position"], made["completion_rule"]) == (2, "all_lessons")
    changed = author.call(
        "update_module", p_module_id=made["id"], p_fields={"completion_rule": "quiz_passed"}
    )
    assert changed["completion_rule"] == "quiz_passed"
    make_lesson(scene.operator, made["id"])
    for fields in ({"completion_rule": "never"}, {"title": ""}, {"duration_minutes": "long"}):
        with pytest.raises(Refused, match="invalid_value"):
            author.call("update_module", p_module_id=made["id"], p_fields=fields)
    with pytest.raises(Refused, match="unknown_field"):
        author.call("create_module", p_course_id=scene.course.id, p_fields={"total_lessons": 3})
    scene.sound()


def test_authors_publish_and_order(scene: Scene) -> None:
    author, first, second = scene.act("author"), *scene.course.lessons[0]
    wanted = [second, scene.spare, first]
    arguments = {"p_module_id": scene.course.modules[0], "p_lesson_ids": wanted}
    assert author.call("reorder_lessons", **arguments)["changed"] is True
    assert author.call("reorder_lessons", **arguments)["changed"] is False
    view = scene.act("learner").call("get_course_progress", p_course_id=scene.course.id)
    assert [x["lesson_id"] for x in view["lessons"]][:3] == [str(x) for x in wanted]
    for wrong in ([second, first], [second, second, first], [*wanted, scene.course.all[3]], None):
        with pytest.raises(Refused, match="invalid_value"):
            author.call("reorder_lessons", p_module_id=scene.course.modules[0], p_lesson_ids=wrong)
    for status, changed in (("draft", True), ("draft", False), ("published", True)):
        answer = author.call("set_course_status", p_course_id=scene.course.id, p_status=status)
        assert answer["changed"] is changed
    for status in ("open", None):
        with pytest.raises(Refused, match="invalid_value"):
            author.call("set_course_status", p_course_id=scene.course.id, p_status=status)
    scene.sound()
