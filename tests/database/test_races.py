"""Promises 1, 4, 5 and 6 under concurrency: real connections, all at once, for some seconds.

Nothing may deadlock; the only error a caller may see is a documented refusal; and when the storm is
over, every counter equals a recount.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.database.actors import Actor, Course, Refused, drift, insert, make_course, make_users
from tests.database.storm import Storm, together

Learner = Callable[[], Actor]
Actors = Callable[..., Actor]

# Long enough for each storm below to have broken a schema without its lock.
SECONDS = 3

TITLE = "update public.lessons set title = %s where id = %s"


@pytest.fixture
def author(actors: Actors) -> Callable[..., Actor]:
    """Appoint an author of some courses."""

    def make(operator: Actor, *courses: Course) -> Actor:
        (user,) = make_users(operator)
        for course in courses:
            insert(
                operator,
                "course_staff",
                {"course_id": course.id, "user_id": user, "role": "author"},
            )
        return actors("authenticated", user)

    return make


def crowd(actors: Actors, operator: Actor, courses: list[Course], count: int) -> list[Actor]:
    """Learners, enrolled in all of these courses, each on a connection of their own."""
    users = make_users(operator, count)
    for course in courses:
        operator.run(
            "insert into public.enrollments (user_id, course_id) select u, %s "
            "from unnest(%s::uuid[]) as u",
            course.id,
            users,
        )
    return [actors("authenticated", user) for user in users]


def shuffled(server: Actor, chance: random.Random, ids: list[uuid.UUID], change: str) -> None:
    """One raw statement over many lessons, which locks them in the order given."""
    chance.shuffle(ids)
    server.run(
        f"update public.lessons l set {change} from unnest(%s::uuid[]) as x (id) where l.id = x.id",
        ids,
    )


def raw(actors: Actors) -> Actor:
    """A server whose plans keep the order of what it is given."""
    server = actors("service_role")
    for method in ("hashjoin", "mergejoin", "seqscan"):
        server.run(f"set enable_{method} = off")
    return server


def live(operator: Actor, *courses: Course) -> list[uuid.UUID]:
    """The lessons of these courses as they are now."""
    rows = operator.run(
        "select id from public.lessons where course_id = any (%s)", [c.id for c in courses]
    )
    return [row["id"] for row in rows]


def finish(learner: Actor, course: Course) -> None:
    """Follow `next` until there is nothing left to do."""
    while following := learner.call("get_next_lesson", p_course_id=course.id):
        if following["review"]:
            return
        learner.call("complete_lesson", p_lesson_id=following["lesson_id"])


def test_one_completion_however_many_ask(actors: Actors, operator: Actor, learner: Learner) -> None:
    course = make_course(operator, [2])
    ann = learner()
    ann.call("enroll", p_course_id=course.id)
    tabs = [actors("authenticated", ann.user) for _ in range(40)]

    def complete(tab: Actor) -> list[Any]:
        return [tab.call("complete_lesson", p_lesson_id=course.all[0]) for _ in range(5)]

    rounds = together([lambda tab=tab: complete(tab) for tab in tabs])
    answers = [answer for answered in rounds for answer in answered]
    assert len(answers) == 200
    assert sum(answer["changed"] for answer in answers) == 1
    assert {answer["progress"]["completed_at"] for answer in answers} == {
        answers[0]["progress"]["completed_at"]
    }
    assert {answer["enrollment"]["progress_percent"] for answer in answers} == {50}
    assert {answer["next_lesson_id"] for answer in answers} == {str(course.all[1])}
    rows = "select count(*) from public.user_progress where user_id = %s"
    assert operator.one(rows, ann.user) == 1
    events = (
        "select count(*) from public.progress_events "
        "where user_id = %s and kind = 'lesson_completed'"
    )
    assert operator.one(events, ann.user) == 1
    days = "select sum(lessons_completed) from public.daily_activity where user_id = %s"
    assert operator.one(days, ann.user) == 1
    assert drift(operator, [course.id]) == []


def test_one_enrolment_however_many_ask(actors: Actors, operator: Actor) -> None:
    course = make_course(operator, [1])
    (user,) = make_users(operator)
    tabs = [actors("authenticated", user) for _ in range(30)]
    answers = together([lambda t=t: t.call("enroll", p_course_id=course.id) for t in tabs])
    assert sum(answer["changed"] for answer in answers) == 1
    assert len({answer["enrollment"]["id"] for answer in answers}) == 1
    events = "select count(*) from public.progress_events where user_id = %s"
    assert operator.one(events, user) == 1


def test_tabs_of_one_learner_do_as_they_like(
    actors: Actors, operator: Actor, learner: Learner
) -> None:
    course = make_course(operator, [4, 3])
    ann = learner()
    ann.call("enroll", p_course_id=course.id)
    storm = Storm(seed=1)

    def tab() -> Callable[[random.Random], None]:
        actor = actors("authenticated", ann.user)

        def act(chance: random.Random) -> None:
            lesson = chance.choice(course.all)
            match chance.randrange(7):
                case 0:
                    actor.call("start_lesson", p_lesson_id=lesson)
                case 1 | 2:
                    actor.call("complete_lesson", p_lesson_id=lesson)
                case 3:
                    actor.call("uncomplete_lesson", p_lesson_id=lesson, p_reason=None)
                case 4:
                    actor.call("complete_module", p_module_id=chance.choice(course.modules))
                case 5:
                    actor.call(
                        "put_lesson_progress",
                        p_lesson_id=lesson,
                        p_status="completed",
                        p_position_seconds=chance.randrange(100),
                    )
                case 6:
                    actor.call("recalculate", p_course_id=None, p_enrollment_id=mine)

        return act

    mine = operator.one("select id from public.enrollments where user_id = %s", ann.user)
    for _ in range(8):
        storm.add(tab())
    storm.rage(SECONDS, act=50)
    assert drift(operator, [course.id]) == []
    # Every transition is in the history: what was completed and not taken back is completed.
    open_transitions = operator.run(
        "select p.lesson_id from public.user_progress p where p.user_id = %s and "
        "p.is_completed::integer <> (select count(*) filter (where kind = 'lesson_completed') - "
        "count(*) filter (where kind = 'lesson_uncompleted') from public.progress_events e "
        "where e.user_id = p.user_id and e.lesson_id = p.lesson_id)",
        ann.user,
    )
    assert open_transitions == []
    days = "select sum(lessons_completed) from public.daily_activity where user_id = %s"
    done = "select count(*) from public.user_progress where user_id = %s and is_completed"
    assert operator.one(days, ann.user) == operator.one(done, ann.user)


def test_fifty_learners_finish_while_authors_edit(
    actors: Actors, operator: Actor, author: Callable[..., Actor]
) -> None:
    course = make_course(operator, [8, 7, 5])
    learners = crowd(actors, operator, [course], 50)
    by_rpc, by_hand, looker = author(operator, course), raw(actors), actors()
    storm = Storm(seed=2, refusals=("try_again", "lesson_not_found"))

    def study(actor: Actor) -> Callable[[random.Random], None]:
        def complete(chance: random.Random) -> None:
            lesson = chance.choice(course.all)
            actor.call(
                chance.choice(["complete_lesson"] * 4 + ["start_lesson"]), p_lesson_id=lesson
            )
            if chance.random() < 0.1:
                actor.call("complete_module", p_module_id=chance.choice(course.modules))

        return complete

    def edit_by_rpc(chance: random.Random) -> None:
        lesson = chance.choice(course.all)
        match chance.randrange(4):
            case 0:
                by_rpc.call(
                    "create_lesson",
                    p_module_id=chance.choice(course.modules),
                    p_fields={"title": "More", "weight": chance.randrange(1, 4)},
                )
            case 1:
                by_rpc.call("archive_lesson", p_lesson_id=lesson)
            case 2:
                by_rpc.call("restore_lesson", p_lesson_id=lesson)
            case 3:
                by_rpc.call(
                    "move_lesson",
                    p_lesson_id=lesson,
                    p_module_id=chance.choice(course.modules),
                    p_position=chance.randrange(9),
                )

    def edit_by_hand(chance: random.Random) -> None:
        lessons = chance.sample(course.all, 8)
        change = chance.choice(
            [
                "title = l.title || '.'",
                "position = (l.position + 3) %% 10",
                "weight = 1 + l.weight %% 3",
                "archived_at = case when l.archived_at is null then now() end",
                f"module_id = '{chance.choice(course.modules)}'",
            ]
        )
        shuffled(by_hand, chance, lessons, change)

    for actor in learners:
        storm.add(study(actor), pause=0.05)
    storm.add(edit_by_rpc, pause=0.02)
    storm.add(edit_by_hand, pause=0.05)
    storm.rage(SECONDS, complete=100, edit_by_rpc=10, edit_by_hand=5)
    assert drift(looker, [course.id]) == []

    by_hand.run("update public.lessons set archived_at = null where course_id = %s", course.id)
    answers = together([lambda x=x: finish(x, course) for x in learners])
    assert [answer for answer in answers if answer is not None] == []
    assert drift(looker, [course.id]) == []
    rows = operator.run(
        "select e.progress_percent, e.completed_at is not null as done, (select count(*) from "
        "public.progress_events v where v.user_id = e.user_id and v.kind = 'course_completed') "
        "as events from public.enrollments e where e.course_id = %s",
        course.id,
    )
    assert [(r["progress_percent"], r["done"], r["events"]) for r in rows] == [(100, True, 1)] * 50


def test_lessons_move_both_ways_between_two_courses(
    actors: Actors, operator: Actor, author: Callable[..., Actor]
) -> None:
    left, right = make_course(operator, [6, 4]), make_course(operator, [5, 5])
    modules = left.modules + right.modules
    lessons = left.all + right.all
    learners = crowd(actors, operator, [left, right], 12)
    storm = Storm(seed=3)

    def study(actor: Actor) -> Callable[[random.Random], None]:
        def complete(chance: random.Random) -> None:
            lesson = chance.choice(lessons)
            if chance.random() < 0.3:
                actor.call("uncomplete_lesson", p_lesson_id=lesson)
            elif chance.random() < 0.2:
                actor.call("complete_module", p_module_id=chance.choice(modules))
            else:
                actor.call("complete_lesson", p_lesson_id=lesson)

        return complete

    def move_with(actor: Actor) -> Callable[[random.Random], None]:
        def move(chance: random.Random) -> None:
            if chance.random() < 0.2:
                actor.call(
                    "move_module",
                    p_module_id=chance.choice(modules),
                    p_course_id=chance.choice([left.id, right.id]),
                    p_position=chance.randrange(4),
                )
            else:
                actor.call(
                    "move_lesson",
                    p_lesson_id=chance.choice(lessons),
                    p_module_id=chance.choice(modules),
                    p_position=chance.randrange(9),
                )

        return move

    by_hand = raw(actors)

    def move_by_hand(chance: random.Random) -> None:
        change = f"module_id = '{chance.choice(modules)}'"
        shuffled(by_hand, chance, chance.sample(lessons, 6), change)

    tidier = actors("service_role")

    def recalculate(chance: random.Random) -> None:
        tidier.call("recalculate", p_all=True, p_cursor=uuid.UUID(int=0), p_limit=30)

    for actor in learners:
        storm.add(study(actor))
    for _ in range(3):
        storm.add(move_with(author(operator, left, right)))
    storm.add(move_by_hand, pause=0.05)
    storm.add(recalculate, pause=0.1)
    storm.rage(SECONDS, complete=50, move=20)
    assert drift(operator, [left.id, right.id]) == []


def test_authors_who_retitle_meet_authors_who_move(
    actors: Actors, operator: Actor, author: Callable[..., Actor]
) -> None:
    # No counter changes with a title, but its rows are locked all the same, in any order.
    left, right = make_course(operator, [6]), make_course(operator, [6])
    lessons = left.all + right.all
    storm = Storm(seed=4)

    def move_with(actor: Actor) -> Callable[[random.Random], None]:
        def move(chance: random.Random) -> None:
            actor.call(
                "move_module",
                p_module_id=chance.choice(left.modules + right.modules),
                p_course_id=chance.choice([left.id, right.id]),
                p_position=chance.randrange(4),
            )

        return move

    def retitle_with(server: Actor) -> Callable[[random.Random], None]:
        def retitle(chance: random.Random) -> None:
            if chance.random() < 0.5:
                shuffled(server, chance, list(lessons), "title = 'T'")
                return
            ids = [left.id, right.id]
            chance.shuffle(ids)
            with server.connection.transaction():
                for course_id in ids:
                    server.run("update public.courses set rating = 4 where id = %s", course_id)
                    lesson = chance.choice(lessons)
                    server.run(TITLE, "U", lesson)
                server.run("update public.lessons set weight = 2 where id = %s", lesson)

        return retitle

    for _ in range(2):
        storm.add(move_with(author(operator, left, right)))
        storm.add(retitle_with(raw(actors)))
    storm.rage(SECONDS, move=10, retitle=10)
    assert drift(operator, [left.id, right.id]) == []


def test_enrolments_while_lessons_are_added(
    actors: Actors, operator: Actor, author: Callable[..., Actor]
) -> None:
    courses = [make_course(operator, [3]) for _ in range(3)]
    free = iter(make_users(operator, 5000))
    by_rpc, seller = author(operator, *courses), actors("service_role")
    visitors = [actors("authenticated") for _ in range(6)]
    storm = Storm(seed=5)

    def join(actor: Actor) -> Callable[[random.Random], None]:
        def enroll(chance: random.Random) -> None:
            actor.become(next(free))
            actor.call("enroll", p_course_id=chance.choice(courses).id)

        return enroll

    def sell(chance: random.Random) -> None:
        user = next(free)
        ids = [course.id for course in courses]
        chance.shuffle(ids)
        seller.run(
            "insert into public.enrollments (user_id, course_id) select %s, c "
            "from unnest(%s::bigint[]) as c",
            user,
            ids,
        )

    def add(chance: random.Random) -> None:
        one, other = chance.sample(courses, 2)
        made = by_rpc.call("create_lesson", p_module_id=one.modules[0], p_fields={"title": "More"})
        by_rpc.call(
            "move_lesson", p_lesson_id=made["id"], p_module_id=other.modules[0], p_position=1
        )

    for actor in visitors:
        storm.add(join(actor), pause=0.01)
    storm.add(sell)
    storm.add(add, pause=0.02)
    storm.rage(SECONDS, enroll=20, sell=5, add=5)
    assert drift(operator, [course.id for course in courses]) == []


def test_recalculation_beside_completions_mends_nothing(actors: Actors, operator: Actor) -> None:
    course = make_course(operator, [5, 5])
    learners = crowd(actors, operator, [course], 8)
    server = actors("service_role")
    storm = Storm(seed=6)
    mended: list[Any] = []

    def study(actor: Actor) -> Callable[[random.Random], None]:
        def complete(chance: random.Random) -> None:
            lesson = chance.choice(course.all)
            function = chance.choice(["complete_lesson", "uncomplete_lesson", "start_lesson"])
            actor.call(function, p_lesson_id=lesson)

        return complete

    def recalculate(chance: random.Random) -> None:
        answer = server.call("recalculate", p_course_id=course.id)
        if answer["changed"]:
            mended.append(answer)

    for actor in learners:
        storm.add(study(actor))
    storm.add(recalculate)
    storm.rage(SECONDS, recalculate=5)
    assert mended == []
    assert drift(operator, [course.id]) == []


def test_a_learner_deleted_in_the_middle_leaves_nothing(
    actors: Actors, operator: Actor, author: Callable[..., Actor]
) -> None:
    course = make_course(operator, [6])
    learners = crowd(actors, operator, [course], 24)
    by_rpc, remover = author(operator, course), actors()
    storm = Storm(seed=7, refusals=("try_again", "not_enrolled", "lesson_not_found"))
    leaving = [actor.user for actor in learners]

    def study(actor: Actor) -> Callable[[random.Random], None]:
        def complete(chance: random.Random) -> None:
            # Whoever is gone is told so, by a refusal or by the foreign key.
            try:
                actor.call("complete_lesson", p_lesson_id=chance.choice(course.all))
                actor.call("uncomplete_lesson", p_lesson_id=chance.choice(course.all))
            except psycopg.errors.ForeignKeyViolation:
                raise Refused("not_enrolled", 403, "", None) from None

        return complete

    def edit(chance: random.Random) -> None:
        lesson = chance.choice(course.all)
        by_rpc.call("archive_lesson", p_lesson_id=lesson)
        by_rpc.call("restore_lesson", p_lesson_id=lesson)

    def remove(chance: random.Random) -> None:
        if leaving:
            remover.run("delete from auth.users where id = %s", leaving.pop())

    for actor in learners:
        storm.add(study(actor), pause=0.01)
    storm.add(edit)
    storm.add(remove, pause=0.05)
    storm.rage(SECONDS)
    assert drift(operator, [course.id]) == []
    for table in ("enrollments", "user_progress", "module_progress", "daily_activity"):
        left = operator.one(
            f"select count(*) from public.{table} t where t.user_id = any (%s) and not exists "
            "(select from auth.users u where u.id = t.user_id)",
            [actor.user for actor in learners],
        )
        assert left == 0
