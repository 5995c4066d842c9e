"""What a search finds, in which order, how it is shown, and how its pages go on."""

from __future__ import annotations

import html
import re
import uuid
from collections.abc import Callable
from typing import Any, get_args

import pytest

from shared import courses
from tests.database.actors import Actor, Refused, make_course
from tests.stack import Stack
from tests.support.scratch import scratch_database

Learners = Callable[[], Actor]


def search(actor: Actor, query: str, **options: Any) -> dict[str, Any]:
    answer: dict[str, Any] = actor.call("search_catalog", p_query=query, **options)
    return answer


def titles(actor: Actor, query: str) -> list[str]:
    return [found["title"] for found in search(actor, query, p_limit=50)["results"]]


def word() -> str:
    """A word that no other test's course has."""
    return (
        "q"
        + re.sub(
            "[aeiou]", "x", uuid.uuid4().hex.translate(str.maketrans("0123456789", "bcdghjklmn"))
        )[:11]
    )


def published(operator: Actor, *lessons: dict[str, Any], **fields: Any) -> int:
    return make_course(operator, [list(lessons)], **{"content_access": "public", **fields}).id


# Matching ----------------------------------------------------------------------------------------


def test_courses_and_lessons_are_found_by_their_words(operator: Actor, learner: Learners) -> None:
    one = word()
    course = published(
        operator,
        {"title": f"About {one}", "content": "Nothing of it"},
        {
            "title": "Elsewhere",
            "content": f"# Text\n\nHere is the **{one}** at last.",
            "type": "video",
        },
        {"title": "Unrelated", "content": "Something else"},
        title=f"A course on {one}",
        author="Ada",
    )
    results = search(learner(), one)["results"]
    assert {(found["kind"], found["title"]) for found in results} == {
        ("course", f"A course on {one}"),
        ("lesson", f"About {one}"),
        ("lesson", "Elsewhere"),
    }
    assert {found["course_id"] for found in results} == {course}
    [inside] = [found for found in results if found["title"] == "Elsewhere"]
    assert inside["course_title"] == f"A course on {one}"
    assert inside["type"] == "video"
    [row] = operator.run(
        "select id, module_id from public.lessons where title = 'Elsewhere' and course_id = %s",
        course,
    )
    assert (inside["lesson_id"], inside["module_id"]) == (str(row["id"]), str(row["module_id"]))
    assert inside["highlight"] == {
        "title": "Elsewhere",
        "text": f"Text Here is the <mark>{one}</mark> at last",
    }


def test_titles_weigh_more_than_subtitles_and_these_more_than_text(
    operator: Actor, learner: Learners
) -> None:
    one = word()
    for title, category, description in (
        ("In the text", None, f"It says {one} here"),
        (f"In the title {one}", None, None),
        ("In the category", one, None),
    ):
        published(operator, title=title, category=category, description=description)
    assert titles(learner(), one) == [f"In the title {one}", "In the category", "In the text"]


def test_a_query_is_what_people_type(operator: Actor, learner: Learners) -> None:
    a, b, c = word(), word(), word()
    published(
        operator,
        {"title": "one", "content": f"{a} then {b}"},
        {"title": "two", "content": f"{b} then {a}"},
        {"title": "three", "content": f"{a} and {c}"},
        title="None of them",
    )
    someone = learner()
    assert set(titles(someone, f"{a}")) == {"one", "two", "three"}
    assert set(titles(someone, f"{b} {a}")) == {"one", "two"}
    assert titles(someone, f'"{b} then {a}"') == ["two"]
    assert set(titles(someone, f"{a} -{b}")) == {"three"}
    assert set(titles(someone, f"{b} or {c}")) == {"one", "two", "three"}
    assert titles(someone, f"{a.upper()} {c.title()}") == ["three"]
    assert titles(someone, f"{b} {c}") == []


def test_the_last_word_may_be_the_beginning_of_one(operator: Actor, learner: Learners) -> None:
    one, two = word(), word()
    published(operator, {"title": "both", "content": f"{one} and {two}"}, title="Course")
    someone = learner()
    for typed in (one[:4], one[:-1], f"{two} {one[:5]}", f"{one} {two[:2]}"):
        assert titles(someone, typed) == ["both"], typed
    # Only the last, and not within quotation marks.
    assert titles(someone, f"{one[:-1]} {two}") == []
    assert titles(someone, f'"{one} and {two[:-1]}') == []
    assert titles(someone, f"{one} -{two[:-1]}") == ["both"]


@pytest.mark.parametrize(
    ("language", "text", "query"),
    [
        ("english", "The runners were running", "run"),
        ("german", "Die Häuser am Fluss", "haus"),
        ("french", "les chevaux blancs", "cheval"),
        ("russian", "новые книги", "книга"),
    ],
)
def test_words_are_compared_in_the_courses_language(
    operator: Actor, learner: Learners, language: str, text: str, query: str
) -> None:
    tag = word()
    published(operator, {"title": "found", "content": f"{tag} {text}"}, language=language)
    published(operator, {"title": "as it is", "content": f"{tag} {text}"}, language="simple")
    # In brackets: the query's word is not the last, so no beginning of a word.
    assert titles(learner(), f"{query} {tag}") == ["found"]


def test_changing_the_language_reads_the_course_anew(operator: Actor, learner: Learners) -> None:
    tag = word()
    course = published(operator, {"title": "text", "content": f"{tag} Häuser"}, language="simple")
    someone = learner()
    assert titles(someone, f"haus {tag}") == []
    operator.run("update public.courses set language = 'german' where id = %s", course)
    assert titles(someone, f"haus {tag}") == ["text"]


def test_stop_words_alone_find_what_begins_so(operator: Actor, learner: Learners) -> None:
    tag = word()
    published(operator, {"title": tag, "content": "theory"})
    assert search(learner(), f"{tag} the")["results"] != []


# Typos -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "typed"),
    [
        ("Introduction to {}graphy", "intoduction {}grafy"),
        ("Linear {} regression", "{} regresion"),
        ("{}", "{}"),
    ],
)
def test_titles_that_look_alike_are_offered_when_nothing_matches(
    operator: Actor, learner: Learners, title: str, typed: str
) -> None:
    one = word()
    broken = one[:4] + one[5:] if typed == "{}" else one
    published(operator, {"title": title.format(one)}, title="Course")
    answer = search(learner(), typed.format(broken))
    assert answer["similar"] is True
    assert answer["results"][0]["title"] == title.format(one)
    assert "<mark>" not in str(answer["results"])


def test_nothing_similar_is_offered_beside_a_match(operator: Actor, learner: Learners) -> None:
    one = word()
    published(operator, {"title": one}, {"title": f"{one[:5]}z{one[6:]}"})
    answer = search(learner(), one)
    assert (answer["similar"], len(answer["results"])) == (False, 1)


def test_the_extension_may_live_in_another_schema(stack: Stack) -> None:
    """A project that has it in public keeps it there."""
    one = word()
    with scratch_database(stack) as project:
        project.execute("create extension pg_trgm with schema public")
        done = project.push()
        assert done.returncode == 0, done.stdout
        with project.connect() as connection:
            connection.execute(
                "insert into public.courses (slug, title, status) values ('c', %s, 'published')",
                [f"{one} regression"],
            )
            row = connection.execute(
                "select private.search_catalog(%s, null, 5)", [f"{one} regresion"]
            ).fetchone()
    assert row is not None
    assert row[0]["similar"] is True
    assert row[0]["results"][0]["title"] == f"{one} regression"


# Keeping up with the catalogue -------------------------------------------------------------------


def test_what_is_edited_is_found_by_its_new_words(operator: Actor, learner: Learners) -> None:
    old, new = word(), word()
    course = make_course(operator, [[{"title": old, "content": old}]], content_access="public")
    lesson, someone = course.lessons[0][0], learner()

    def found(one: str) -> set[str]:
        return {hit["kind"] for hit in search(someone, one)["results"]}

    assert found(old) == {"lesson"}
    operator.run("update public.lessons set title = %s, content = null where id = %s", new, lesson)
    assert (found(old), found(new)) == (set(), {"lesson"})
    operator.run("update public.courses set title = %s where id = %s", old, course.id)
    assert found(old) == {"course"}
    operator.call("archive_lesson", p_lesson_id=lesson)
    assert found(new) == set()
    operator.run("update public.lessons set title = %s where id = %s", f"{new} again", lesson)
    assert found(new) == set()
    operator.call("restore_lesson", p_lesson_id=lesson)
    assert titles(someone, new) == [f"{new} again"]
    operator.call("delete_lesson", p_lesson_id=lesson)
    operator.call("delete_course", p_course_id=course.id)
    assert found(new) == found(old) == set()
    assert (
        operator.one("select count(*) from private.search_entries where course_id = %s", course.id)
        == 0
    )


def test_a_moved_lesson_is_found_in_its_new_course(operator: Actor, learner: Learners) -> None:
    tag = word()
    here = make_course(
        operator,
        [[{"title": "text", "content": f"{tag} Häuser"}]],
        content_access="public",
        language="simple",
    )
    there = make_course(operator, [1], content_access="public", language="german")
    operator.call(
        "move_lesson", p_lesson_id=here.lessons[0][0], p_module_id=there.modules[0], p_position=5
    )
    [found] = search(learner(), f"haus {tag}")["results"]
    assert found["course_id"] == there.id
    # By the raw way too: the module takes its lessons along.
    operator.run(
        "update public.modules set course_id = %s where id = %s", here.id, there.modules[0]
    )
    assert search(learner(), f"haus {tag}")["results"] == []
    [found] = search(learner(), f"häuser {tag}")["results"]
    assert found["course_id"] == here.id


def test_every_row_has_its_entry_and_no_more(operator: Actor) -> None:
    """Whatever the tests before have done to the catalogue."""
    missing = operator.run(
        """
        select coalesce(x.course_id, s.course_id), coalesce(x.lesson_id, s.lesson_id)
          from (
            select c.id as course_id, null::uuid as lesson_id, c.language, c.title, false as preview
              from public.courses c
            union all
            select l.course_id, l.id, c.language, l.title, l.is_preview
              from public.lessons l join public.courses c on c.id = l.course_id
             where l.archived_at is null
          ) as x
          full join private.search_entries s
            -- Equal, not "not distinct": the latter is compared pair by pair.
            on s.course_id = x.course_id
           and coalesce(s.lesson_id::text, '') = coalesce(x.lesson_id::text, '')
           and s.language = x.language and s.is_preview = x.preview
           and s.title = regexp_replace(x.title, '[[:cntrl:]]', ' ', 'g')
         where s.id is null or x.course_id is null
        """
    )
    assert missing == []


def test_an_import_brings_its_language(server: Actor, operator: Actor, learner: Learners) -> None:
    tag, slug = word(), f"s-{uuid.uuid4()}"
    document: dict[str, Any] = {
        "waymark": 1,
        "slug": slug,
        "title": "Kurs",
        "status": "published",
        "content_access": "public",
        "language": "german",
        "modules": [
            {"slug": "m", "title": "M",
             "lessons": [{"slug": "l", "title": "L", "content": f"{tag} Häuser"}]}
        ],
    }  # fmt: skip
    server.call("import_course", p_document=document)
    someone = learner()
    assert titles(someone, f"haus {tag}") == ["L"]
    again = server.call("import_course", p_document=document)
    assert again["changed"] is False
    del document["language"]
    changed = server.call("import_course", p_document=document)
    assert changed["updated"]["course"] == ["language"]
    assert operator.one("select language from public.courses where slug = %s", slug) == "english"
    assert titles(someone, f"haus {tag}") == []
    with pytest.raises(Refused) as refused:
        server.call("import_course", p_document={**document, "language": "klingon"})
    assert refused.value.code == "invalid_course"
    assert "language_is_known" in (refused.value.details or "")


# Highlights --------------------------------------------------------------------------------------


def test_the_excerpt_is_where_the_words_stand(operator: Actor, learner: Learners) -> None:
    one = word()
    long = "filler words go on. " * 4000
    published(operator, {"title": "Long", "content": f"{long} Here {one} stands. {long}"})
    [found] = search(learner(), one)["results"]
    assert f"Here <mark>{one}</mark> stands." in found["highlight"]["text"]
    assert len(found["highlight"]["text"]) < 1000


def test_markup_of_the_course_is_not_shown(operator: Actor, learner: Learners) -> None:
    one = word()
    text = (
        f"## {one}\n\n- *soft* **bold** `code` [a link](https://example.org/x) ![pic](y.png)\n"
        f"> quote&nbsp;<b onclick='x'>strong</b> snake_case C# 2*3 a<b end"
    )
    published(operator, {"title": "T", "content": text})
    [found] = search(learner(), f"{one} end")["results"]
    assert html.unescape(found["highlight"]["text"]) == (
        f"<mark>{one}</mark> *soft* bold code a link pic quote strong snake_case C# 2*3 a<b"
        " <mark>end</mark>"
    )


# Pages -------------------------------------------------------------------------------------------


def test_pages_hold_every_result_once_best_first(operator: Actor, learner: Learners) -> None:
    one = word()
    for place in range(3):
        published(
            operator,
            *({"title": f"L{place}.{n}", "content": f"{one} " * (1 + n % 3)} for n in range(5)),
            {"title": f"{one} {place}"},
        )
    someone = learner()
    whole = search(someone, one, p_limit=50)["results"]
    assert len(whole) == 18
    scores = [found["score"] for found in whole]
    assert scores == sorted(scores, reverse=True)
    assert [found["title"].startswith(one) for found in whole] == [True] * 3 + [False] * 15
    for size in (1, 4, 18):
        pages, after = [], None
        while True:
            page = search(someone, one, p_limit=size, p_after=after)
            pages += page["results"]
            after = page["next"]
            if after is None:
                break
            assert len(page["results"]) == size
        assert pages == whole


def test_pages_of_what_looks_alike_go_on_alike(operator: Actor, learner: Learners) -> None:
    one = word()
    broken = one[:5] + one[6:]
    published(operator, *({"title": f"{one} {n}"} for n in range(5)))
    someone = learner()
    found, after = [], None
    for _ in range(3):
        page = search(someone, broken, p_limit=2, p_after=after)
        assert page["similar"] is True
        found += [hit["title"] for hit in page["results"]]
        after = page["next"]
    assert after is None
    assert sorted(found) == [f"{one} {n}" for n in range(5)]


def test_beyond_the_last_page_nothing_similar_is_offered(
    operator: Actor, learner: Learners
) -> None:
    one = word()
    published(operator, {"title": one})
    answer = search(learner(), one, p_after="0.000001:1")
    assert (answer["similar"], answer["results"], answer["next"]) == (False, [], None)


@pytest.mark.parametrize(
    "bad",
    [
        {"p_query": None},
        {"p_query": "x" * 201},
        {"p_limit": 0},
        {"p_limit": 51},
        {"p_limit": None},
        {"p_after": ""},
        {"p_after": "1"},
        {"p_after": "0.1:x"},
        {"p_after": "0.5:1' or true --"},
        {"p_after": "~~0.5:1"},
        {"p_after": "-0.5:1"},
        {"p_after": "9.999999:" + "9" * 19},
    ],
)
def test_what_is_no_search_is_refused_422(learner: Learners, bad: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        learner().call("search_catalog", **{"p_query": "x", **bad})
    assert (refused.value.code, refused.value.status) == ("invalid_value", 422)


def test_the_database_knows_the_languages_of_the_format(operator: Actor) -> None:
    known = operator.one(
        "select array_agg(m[1] order by m[1]) from regexp_matches(("
        "select pg_get_constraintdef(oid) from pg_constraint where conname = 'language_is_known'),"
        " '''(\\w+)''', 'g') m"
    )
    assert known == sorted(get_args(courses.Language))
    configured = operator.one(
        "select array_agg(cfgname::text order by cfgname::text) from pg_ts_config"
        " where cfgnamespace = 'pg_catalog'::regnamespace"
    )
    assert set(known) <= set(configured)
