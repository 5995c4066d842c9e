"""Prerequisites that would wait for one another are refused and named, whoever adds them, and
however many do so at once."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from tests.database.actors import Actor, Course, Refused, make_course, make_lesson
from tests.locks.scene import refusal

KINDS = ("lesson", "module", "course")
RAW = "insert into public.{0}_prerequisites ({0}_id, requires_{0}_id) values (%s, %s)"


def things(operator: Actor, kind: str, count: int) -> list[Any]:
    """So many lessons or modules of one course, or so many courses."""
    if kind == "course":
        return [make_course(operator, [1]).id for _ in range(count)]
    course = make_course(operator, [count] if kind == "lesson" else [1] * count)
    return course.all if kind == "lesson" else course.modules


def require(actor: Actor, kind: str, one: Any, other: Any) -> Any:
    return actor.call(f"set_{kind}_prerequisites", **{f"p_{kind}_id": one, "p_requires": [other]})


def ring(refused: Refused) -> list[str]:
    assert (refused.code, refused.status) == ("prerequisite_cycle", 409)
    found = json.loads(refused.details or "")["cycle"]
    assert all(node["title"] for node in found)
    return [str(node["id"]) for node in found]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", range(1, 6))
def test_a_ring_is_refused_and_named_in_order(
    operator: Actor, server: Actor, kind: str, length: int
) -> None:
    found = things(operator, kind, length)
    for one, other in pairwise(found):
        assert require(server, kind, one, other)["changed"]
    expected = [str(x) for x in (found[-1], *found[:-1])]
    assert ring(refusal(require, server, kind, found[-1], found[0])) == expected
    # The raw way is refused in the same words.
    with pytest.raises(psycopg.errors.Error) as caught:
        server.run(RAW.format(kind), found[-1], found[0])
    assert ring(Refused.of(caught.value)) == expected
    (count,) = operator.run(
        f"select count(*) as n from public.{kind}_prerequisites where {kind}_id = any (%s)", found
    )
    assert count["n"] == length - 1


def test_one_statement_that_closes_a_ring_in_itself_is_refused(
    operator: Actor, server: Actor
) -> None:
    a, b, c = things(operator, "lesson", 3)
    with pytest.raises(psycopg.errors.Error) as caught:
        server.run(
            "insert into public.lesson_prerequisites (lesson_id, requires_lesson_id) "
            "values (%s, %s), (%s, %s), (%s, %s)",
            *(a, b, b, c, c, a),
        )
    assert set(ring(Refused.of(caught.value))) == {str(x) for x in (a, b, c)}


def test_rings_across_kinds_are_refused(operator: Actor, server: Actor) -> None:
    course = make_course(operator, [2, 2])
    require(server, "module", course.modules[1], course.modules[0])
    found = ring(refusal(require, server, "lesson", course.all[0], course.all[2]))
    assert found[:2] == [str(course.all[0]), str(course.all[2])]
    # What comes later in a sequence waits for what comes before already.
    sequence = make_course(operator, [3], sequential=True)
    assert require(server, "lesson", sequence.all[2], sequence.all[0])
    assert ring(refusal(require, server, "lesson", sequence.all[0], sequence.all[2])) == [
        str(sequence.all[0]),
        str(sequence.all[2]),
    ]


def test_a_ring_through_one_lesson_of_a_module_or_course_is_refused(
    operator: Actor, server: Actor
) -> None:
    """What a module or course requires, each of its lessons waits for."""
    course = make_course(operator, [2, 1])
    (one, _), (other,) = course.lessons
    require(server, "lesson", other, one)
    first, second = course.modules
    found = ring(refusal(require, server, "module", first, second))
    assert found == [str(x) for x in (one, second, other)]
    # Lessons of several courses: one has moved.
    near, far = make_course(operator, [2]), make_course(operator, [1])
    a, b = near.all
    require(server, "lesson", b, a)
    server.call("move_lesson", p_lesson_id=b, p_module_id=far.modules[0], p_position=9)
    found = ring(refusal(require, server, "course", near.id, far.id))
    assert found == [str(x) for x in (a, far.id, far.modules[0], b)]


def closes_by_order(operator: Actor, server: Actor) -> tuple[str, dict[str, Any], str, list[Any]]:
    """A course becomes sequential in which a lesson requires a later one."""
    course = make_course(operator, [3])
    first, second, _ = course.all
    require(server, "lesson", first, second)
    arguments = {"p_course_id": course.id, "p_fields": {"sequential": True}}
    raw = f"update public.courses set sequential = true where id = {course.id}"
    return "update_course", arguments, raw, [first, second]


def closes_by_place(operator: Actor, server: Actor) -> tuple[str, dict[str, Any], str, list[Any]]:
    """Of a sequential course a lesson comes to stand before the one that it requires."""
    course = make_course(operator, [2], sequential=True)
    first, second = course.all
    require(server, "lesson", second, first)
    arguments = {"p_module_id": course.modules[0], "p_lesson_ids": [second, first]}
    raw = f"update public.lessons set position = 9 where id = '{first}'"
    return "reorder_lessons", arguments, raw, [second, first]


def closes_by_module(operator: Actor, server: Actor) -> tuple[str, dict[str, Any], str, list[Any]]:
    """A lesson moves into a module that waits for it."""
    course = make_course(operator, [1, 1, 2])
    (first,), _, (third, _) = course.lessons
    require(server, "module", course.modules[1], course.modules[0])
    require(server, "lesson", first, third)
    arguments = {"p_lesson_id": third, "p_module_id": course.modules[1], "p_position": 9}
    raw = f"update public.lessons set module_id = '{course.modules[1]}' where id = '{third}'"
    return "move_lesson", arguments, raw, [first, third, course.modules[0]]


def closes_by_count(operator: Actor, server: Actor) -> tuple[str, dict[str, Any], str, list[Any]]:
    """An optional lesson of a sequential course becomes required."""
    course = make_course(operator, [[{}, {"is_required": False}]], sequential=True)
    first, second = course.all
    require(server, "lesson", first, second)
    arguments = {"p_lesson_id": second, "p_fields": {"is_required": True}}
    raw = f"update public.lessons set is_required = true where id = '{second}'"
    return "update_lesson", arguments, raw, [first, second]


def closes_by_modules(operator: Actor, server: Actor) -> tuple[str, dict[str, Any], str, list[Any]]:
    """The modules of a sequential course change places."""
    course = make_course(operator, [1, 1], sequential=True)
    first, second = course.all
    require(server, "lesson", second, first)
    arguments = {"p_module_id": course.modules[0], "p_course_id": course.id, "p_position": 9}
    raw = f"update public.modules set position = 9 where id = '{course.modules[0]}'"
    return "move_module", arguments, raw, [second, first]


@pytest.mark.parametrize(
    "scenario",
    [closes_by_order, closes_by_place, closes_by_module, closes_by_count, closes_by_modules],
)
def test_an_edit_that_closes_a_ring_is_refused(
    operator: Actor, server: Actor, scenario: Callable[..., Any]
) -> None:
    function, arguments, raw, expected = scenario(operator, server)
    assert ring(refusal(server.call, function, **arguments)) == [str(x) for x in expected]
    with pytest.raises(psycopg.errors.Error) as caught:
        operator.run(raw)
    assert ring(Refused.of(caught.value)) == [str(x) for x in expected]


def test_an_import_may_turn_order_and_prerequisites_round_together(
    operator: Actor, server: Actor
) -> None:
    def document(*lessons: dict[str, Any]) -> dict[str, Any]:
        return {
            "waymark": 1,
            "slug": slug,
            "title": "Course",
            "status": "published",
            "sequential": True,
            "modules": [{"slug": "m", "title": "Module", "lessons": list(lessons)}],
        }

    def lesson(name: str, *requires: str) -> dict[str, Any]:
        written: dict[str, Any] = {"slug": name, "title": name}
        return {**written, "requires": list(requires)} if requires else written

    slug = f"rings-{uuid.uuid4()}"
    server.call("import_course", p_document=document(lesson("a"), lesson("b", "a")))
    turned = document(lesson("b"), lesson("a", "b"))
    assert server.call("import_course", p_document=turned)["changed"]
    # The prerequisite stays and the order does not: no row of prerequisites is new.
    wrong = document(lesson("a", "b"), lesson("b"))
    refused = refusal(server.call, "import_course", p_document=wrong)
    assert len(ring(refused)) == 2
    assert not server.call("import_course", p_document=turned)["changed"]


def test_many_ways_to_one_lesson_are_no_ring(operator: Actor, server: Actor) -> None:
    lessons = things(operator, "lesson", 40)
    for place, lesson in enumerate(lessons):
        server.call("set_lesson_prerequisites", p_lesson_id=lesson, p_requires=lessons[:place][-8:])
    assert len(ring(refusal(require, server, "lesson", lessons[0], lessons[-1]))) == 6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("door", ["rpc", "raw"])
def test_two_edits_at_once_that_close_a_ring_together_do_not_both_pass(
    operator: Actor, actors: Callable[..., Actor], kind: str, door: str
) -> None:
    """Each would pass alone, and neither sees the other's row before it commits."""
    one, other = things(operator, kind, 2)
    first, second = actors("service_role"), actors("service_role")

    def add(actor: Actor, a: Any, b: Any) -> None:
        if door == "rpc":
            require(actor, kind, a, b)
        else:
            actor.run(RAW.format(kind), a, b)

    outcome: list[str] = []

    def late() -> None:
        try:
            add(second, other, one)
            outcome.append("passed")
        except Refused as refused:
            outcome.append(refused.code)
        except psycopg.Error as problem:
            outcome.append(Refused.of(problem).code)

    thread = threading.Thread(target=late)
    with first.connection.transaction():
        add(first, one, other)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive(), "it did not wait"
    thread.join(10)
    assert outcome == ["prerequisite_cycle"]


def test_a_prerequisite_is_never_changed(operator: Actor, server: Actor) -> None:
    a, b, c = things(operator, "lesson", 3)
    require(server, "lesson", b, a)
    with pytest.raises(psycopg.errors.CheckViolation, match="never changed"):
        operator.run("update public.lesson_prerequisites set requires_lesson_id = %s", c)


def test_only_authors_say_what_is_required(operator: Actor, learner: Callable[[], Actor]) -> None:
    course = make_course(operator, [2, 1])
    calls: tuple[tuple[str, dict[str, Any]], ...] = (
        ("set_lesson_prerequisites", {"p_lesson_id": course.all[1], "p_requires": course.all[:1]}),
        (
            "set_module_prerequisites",
            {"p_module_id": course.modules[1], "p_requires": course.modules[:1]},
        ),
        (
            "set_course_prerequisites",
            {"p_course_id": course.id, "p_requires": [make_course(operator, [1]).id]},
        ),
    )
    author, instructor = learner(), learner()
    for role, staff in (("author", author), ("instructor", instructor)):
        operator.run(
            "insert into public.course_staff values (%s, %s, %s)", course.id, staff.user, role
        )
    for function, arguments in calls:
        assert refusal(instructor.call, function, **arguments).code == "not_allowed"
        answer = author.call(function, **arguments)
        assert answer["changed"]
        assert answer["requires"] == [
            str(x) if isinstance(x, uuid.UUID) else x for x in arguments["p_requires"]
        ]
        assert not author.call(function, **arguments)["changed"]
    audited = operator.run(
        "select action from public.audit_log where course_id = %s order by id", course.id
    )
    assert [row["action"] for row in audited] == [
        "lesson.require",
        "module.require",
        "course.require",
    ]


def test_what_cannot_be_required_is_refused(operator: Actor, server: Actor) -> None:
    course, other = make_course(operator, [1]), make_course(operator, [1])
    for kind, one, wrong in (
        ("lesson", course.all[0], other.all[0]),
        ("lesson", course.all[0], uuid.uuid4()),
        ("module", course.modules[0], other.modules[0]),
        ("course", course.id, 987654321),
    ):
        refused = refusal(require, server, kind, one, wrong)
        assert (refused.code, refused.details) == ("invalid_value", str(wrong))
    refused = refusal(
        server.call,
        "set_lesson_prerequisites",
        p_lesson_id=course.all[0],
        p_requires=[uuid.uuid4() for _ in range(51)],
    )
    assert refused.code == "invalid_value"
    for kind, nothing, code in (
        ("lesson", uuid.uuid4(), "lesson_not_found"),
        ("module", uuid.uuid4(), "module_not_found"),
        ("course", 987654321, "course_not_found"),
    ):
        assert refusal(require, server, kind, nothing, nothing).code == code


def test_a_prerequisite_goes_along_when_its_lesson_moves_to_another_course(
    operator: Actor, server: Actor, learner: Callable[[], Actor]
) -> None:
    course, other = make_course(operator, [2]), make_course(operator, [1])
    first, second = course.all
    require(server, "lesson", second, first)
    server.call("move_lesson", p_lesson_id=second, p_module_id=other.modules[0], p_position=5)
    ann = learner()
    for each in (course, other):
        ann.call("enroll", p_course_id=each.id)
    assert refusal(ann.call, "complete_lesson", p_lesson_id=second).code == "lesson_locked"
    ann.call("complete_lesson", p_lesson_id=first)
    assert ann.call("complete_lesson", p_lesson_id=second)["changed"]


def test_who_sees_a_course_sees_its_prerequisites(
    operator: Actor, server: Actor, actors: Callable[..., Actor]
) -> None:
    course = make_course(operator, [2])
    draft: Course = make_course(operator, [1], status="draft")
    make_lesson(operator, draft.modules[0], position=9)
    require(server, "lesson", course.all[1], course.all[0])
    require(server, "course", draft.id, course.id)
    visitor = actors("anon")
    rows = visitor.run("select lesson_id from public.lesson_prerequisites")
    assert {"lesson_id": course.all[1]} in rows
    assert not visitor.run("select from public.course_prerequisites where course_id = %s", draft.id)
