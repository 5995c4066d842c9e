"""Queries that would be more than words, texts more than text, and searches without end."""

from __future__ import annotations

import html
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.access.rest import Rest, code
from tests.database.actors import Actor, make_course

Learners = Callable[[], Actor]

NASTY = [
    "",
    " ",
    "'",
    "''",
    "\\",
    "\\'",
    "a'b",
    "'; drop table public.courses; --",
    "%",
    "_",
    "%%%",
    "a%b",
    "a:*",
    ":*",
    "a & b",
    "a | !b",
    "!",
    "!!!",
    "(",
    "((a)",
    "a <-> b",
    "<->",
    "a <2> b",
    "a:ABCD",
    "$1",
    "$$",
    "%s",
    "%I",
    "{}",
    '"',
    '""',
    '"a',
    'a"',
    "-",
    "--",
    "-a",
    "or",
    "or or",
    "- or -",
    "the",
    "a or",
    "<script>alert(1)</script>",
    "StopSel=x, StartSel=y",
    "\x01\x02\x03",
    "\u202e\ufeff\u200b",
    "\U0001f600",
    "é\u0301",
    "日本語",
    "x" * 200,
    "a " * 100,
    '"' * 200,
    "-" * 200,
    "(-" * 100,
    "- " * 100,
    "(" * 200,
    "word" + "'" * 100,
]


@pytest.mark.parametrize("query", NASTY)
def test_a_query_is_never_more_than_words(rest: Rest, query: str) -> None:
    for persona in ("anon", "learner"):
        answer = rest.rpc(persona, "search_catalog", p_query=query)
        assert answer.status_code == 200, answer.text
        answer = rest.rpc(persona, "get_course_cards", p_search=query)
        assert answer.status_code == 200, answer.text
    assert rest.read("anon", "courses?limit=1")


def test_a_query_with_a_null_character_is_bad_json(rest: Rest) -> None:
    answer = rest.rpc("anon", "search_catalog", p_query="a\0b")
    assert answer.status_code == 400


def test_wildcards_and_operators_are_not_read_as_such(operator: Actor, learner: Learners) -> None:
    tag = "q" + uuid.uuid4().hex[:12].translate(str.maketrans("0123456789", "ghijklmnop"))
    make_course(
        operator,
        [[{"title": "one", "content": f"{tag} alpha"}, {"title": "two", "content": f"{tag} beta"}]],
        content_access="public",
    )
    someone = learner()

    def found(query: str) -> set[str]:
        answer = someone.call("search_catalog", p_query=query)
        return {hit["title"] for hit in answer["results"] if not answer["similar"]}

    assert found(f"{tag} alpha") == {"one"}
    for query in (
        f"{tag} alpha | beta",
        f"{tag} & alph:* & x",
        f"{tag} %",
        f"{tag} al%",
        f"{tag} a_pha",
    ):
        assert found(query) <= {"one", "two"} - ({"two"} if "alpha" in query else set())
    assert found(f"{tag} al%") == set()
    assert found(f"{tag} a_pha") == set()


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    database=None,
)
@given(
    query=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=200)
    | st.text('a-"!( or', max_size=200)
)
def test_any_text_may_be_asked(asker: Asker, query: str) -> None:
    answer = asker.one("select private.search_catalog(%s, null, 5)", query)
    assert set(answer) == {"similar", "results", "next"}
    asker.one("select private.get_course_cards(%s, null, null, 5)", query)


class Asker(Actor):
    """The operator on a connection that is there already."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.user = None

    def one(self, statement: str, *values: Any) -> Any:
        row = self.connection.execute(statement.encode(), values).fetchone()
        assert row is not None
        return row[0]


@pytest.fixture
def asker(maker: psycopg.Connection[Any]) -> Iterator[Asker]:
    """Someone who may ask as often as they like."""
    limit = maker.execute(
        "delete from private.rate_limits where bucket = 'search' returning per_second, burst"
    ).fetchone()
    assert limit is not None
    yield Asker(maker)
    maker.execute(
        "insert into private.rate_limits (bucket, per_second, burst) values ('search', %s, %s)",
        limit,
    )


# Highlights --------------------------------------------------------------------------------------

PAYLOADS = [
    "<script>alert('{w}')</script> {w}",
    "<img src=x onerror=alert(1)> {w} <img src=x onerror=alert(2)",
    "{w}<svg/onload=alert(1)>",
    "<<b>script>{w}</script>",
    "< script >{w}< / script >",
    "<!-- {w} --> <![CDATA[ {w} ]]>",
    "&lt;script&gt;{w}&lt;/script&gt;",
    "&#60;script&#62;{w}",
    "&amp;lt;b&amp;gt; {w}",
    "<mark>{w}</mark> </mark><mark onclick=x> {w}",
    "\x02<b>{w}\x03 \x02script\x03",
    "{w} \" onmouseover=\"x' y='",
    "](javascript:alert(1)) [{w}](javascript:alert(2)) ![{w}](x onerror=y)",
    '<a href="{w}">{w}</a',
    "a<b {w} c>d e<{w}",
    "\u2028{w}\u202e<b>",
]


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("query", ["{w}", "{w} script", "zz{w}", "{w} b"])
def test_a_highlight_holds_no_markup_but_its_own(
    operator: Actor, learner: Learners, payload: str, query: str
) -> None:
    word = "q" + uuid.uuid4().hex[:12].translate(str.maketrans("0123456789", "ghijklmnop"))
    text = payload.format(w=word)
    make_course(
        operator,
        [[{"title": text, "content": f"{text} {word}"}]],
        content_access="public",
        title=text,
        description=text,
    )
    answer = learner().call("search_catalog", p_query=query.format(w=word))
    for found in answer["results"]:
        for shown in found["highlight"].values():
            bare = re.sub("</?mark>", "", shown)
            assert not re.search("[<>\"'\x00-\x1f]", bare), shown
            # Every & begins an entity of ours.
            assert bare.count("&") == len(re.findall("&(?:amp|lt|gt|quot|#39);", bare))
            # Marks open and close in turn.
            marks = re.findall("</?mark>", shown)
            assert marks == ["<mark>", "</mark>"] * (len(marks) // 2)
            assert html.unescape(bare) is not None
    if query == "{w}":
        assert any("<mark>" in str(found["highlight"]) for found in answer["results"])


# Large texts -------------------------------------------------------------------------------------


def letters(count: int) -> Iterator[str]:
    """Different letters beyond the first plane, four bytes each."""
    return (chr(0x20000 + n) for n in range(count))


HUGE = {
    "a megabyte of prose": "The quick brown fox jumps over the lazy dog. " * 22_000,
    "different words": " ".join(f"w{n:x}" for n in range(150_000)),
    "words of four-byte letters": " ".join(a + b for a in letters(500) for b in letters(600)),
    "hyphens": "-".join(f"{n:x}" for n in range(150_000)),
    "hyphened pairs of four-byte letters": " ".join(
        f"{a}{b}-{b}{a}-{a}{a}" for a in letters(300) for b in letters(330)
    ),
    "one word": "x" * 1_000_000,
    "addresses": " ".join(f"https://e{n:x}.example.org/p{n:x}/q{n:x}" for n in range(22_000)),
    "open tags": "<" * 1_000_000,
    "open brackets": "[" * 1_000_000,
    "brackets and parentheses": "[a](" * 250_000,
    "ampersands": "&a" * 500_000,
    "stars": "*" * 1_000_000,
    "spaces": " " * 999_999 + "x",
    "line ends": "\n" * 999_999 + "x",
    "line ends and spaces": " \n" * 499_999 + "x",
    "headings": "\n# " * 333_000,
    "emoji": "\U0001f9ed" * 1_000_000,
}


@pytest.mark.parametrize("text", HUGE, ids=str)
def test_no_content_breaks_a_write(operator: Actor, learner: Learners, text: str) -> None:
    """In the time that a request has, and what comes after it is written as before."""
    word = "q" + uuid.uuid4().hex[:12].translate(str.maketrans("0123456789", "ghijklmnop"))
    content = f"{word} {HUGE[text]}"[:1_000_000]
    operator.run("set statement_timeout = '8s'")
    course = make_course(operator, [[{"title": word, "content": content}]], content_access="public")
    operator.run(
        "update public.lessons set content = content || '' where course_id = %s", course.id
    )
    answer = learner().call("search_catalog", p_query=word)
    assert [found["kind"] for found in answer["results"]] == ["lesson"]
    assert len(answer["results"][0]["highlight"]["text"]) < 20_000


def test_a_search_over_long_texts_ends_in_time(operator: Actor, learner: Learners) -> None:
    """Marking all of a text that says two words over and over takes a second; fifty are a page."""
    word = "q" + uuid.uuid4().hex[:12].translate(str.maketrans("0123456789", "ghijklmnop"))
    lessons = [{"title": f"L{n}", "content": f"{word} cat " * 8000} for n in range(50)]
    make_course(operator, [lessons], content_access="public")
    someone = learner()
    someone.connection.execute("set statement_timeout = '3s'")
    answer = someone.call("search_catalog", p_query=f"{word} cat", p_limit=50)
    assert len(answer["results"]) == 50


# Rate limit --------------------------------------------------------------------------------------


@pytest.fixture
def three_searches(maker: psycopg.Connection[Any]) -> Iterator[None]:
    """A bucket that a slow machine empties too."""
    [limit] = maker.execute(
        "select per_second, burst from private.rate_limits where bucket = 'search'"
    ).fetchall()
    set_limit = "update private.rate_limits set per_second = %s, burst = %s where bucket = 'search'"
    maker.execute(set_limit, [0.01, 3])
    yield
    maker.execute(set_limit, limit)


@pytest.mark.usefixtures("three_searches")
def test_searching_without_end_is_stopped_429(rest: Rest) -> None:
    for persona in ("learner", "anon"):
        said = [rest.rpc(persona, "search_catalog", p_query="zzz") for _ in range(5)]
        assert [answer.status_code for answer in said] == [200] * 3 + [429] * 2
        for answer in said[3:]:
            assert code(answer) == "rate_limited"
            assert 1 <= int(answer.headers["Retry-After"]) <= 100
            assert "results" not in answer.json()
        # Everybody has a bucket of their own.
        assert rest.rpc("other", "search_catalog", p_query="zzz").status_code == 200
    # A refusal for another reason takes nothing, and cards are not searches.
    assert rest.rpc("other", "search_catalog", p_query="z", p_limit=0).status_code == 422
    assert rest.rpc("anon", "get_course_cards", p_search="zzz").status_code == 200
    assert rest.rpc("other", "search_catalog", p_query="zzz").status_code == 200
    assert rest.rpc("other", "search_catalog", p_query="zzz").status_code == 429
