"""The reports through the function's routes, and the page: whole, accessible, safe to pass on."""

from __future__ import annotations

import io
import re
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from PIL import Image

from shared import reports
from shared.client import WaymarkError
from shared.reports.plots import plots
from tests.quiz.world import World, choice
from tests.stack import Stack
from tests.support.learners import Learner
from tests.support.shape import assert_refusal

HOSTILE = '</title><script>alert(1)</script>"\x01 & Ünïcode 课程 مرحبا'
NAMES = ("enrollments", "percent", "funnel", "time", "scores", "hard")


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=f"{stack.functions_url}/analytics/courses", timeout=30, trust_env=False
    ) as client:
        yield client


@pytest.fixture(scope="module")
def course(stack: Stack) -> Iterator[World]:
    """Six learners who passed a quiz at the first or second try; titles that would break out."""
    world = World.make(stack)
    world.run("update public.courses set title = %s where id = %s", HOSTILE, world.course)
    quiz = world.quiz([choice(HOSTILE), choice("Two")], title=HOSTILE)
    world.lesson(title="Read", position=1)
    for n in range(6):
        learner = world.learner()
        for answers in ([], world.right(quiz))[n % 2 :]:
            learner.call("submit_quiz", lesson_id=quiz, answers=answers)
    yield world
    world.close()


def staff(world: World, role: str = "instructor") -> Learner:
    user = world.staff(role).id
    assert user is not None
    return Learner(world.stack, user)


def test_reports_through_the_client(course: World) -> None:
    with staff(course).client() as client:
        whole = client.course_report(course.course)
        assert whole["learners"]["enrolled"] == 6
        of_lessons = client.lesson_report(course.course, min_completions=5)
        assert [entry["fail_rate"] for entry in of_lessons["hard_lessons"]] == [33.33]
        assert client.lesson_report(course.course)["hard_lessons"] == []
        later = client.course_report(course.course, enrolled_from="2100-01-01T00:00:00Z")
        assert later["learners"]["enrolled"] == 0
        with pytest.raises(WaymarkError, match="cohort_not_found"):
            client.course_report(course.course, cohort=uuid.UUID(int=0))
        assert client.report_page(course.course).startswith("<!doctype html>")


def test_who_may_ask_over_http(worlds: Callable[..., World], http: httpx.Client) -> None:
    world, other = worlds(), worlds()
    learner = world.learner()
    assert learner.id is not None
    for path in ("", "/lessons", "/report", "/report?plot=funnel&format=png"):
        url = f"/{world.course}{path}"
        assert_refusal(http.get(url), 401, "not_authenticated")
        for person in (Learner(world.stack, learner.id), staff(other)):
            assert_refusal(http.get(url, headers=person.headers()), 403, "not_allowed")
        assert http.get(url, headers=staff(world, "assistant").headers()).status_code == 200


@pytest.mark.parametrize(
    ("path", "code", "status"),
    [
        ("?cohort_id=7", "invalid_id", 400),
        ("?enrolled_from=yesterday", "invalid_type", 400),
        ("?min_completions=3", "unknown_field", 422),
        ("/lessons?min_completions=-1", "invalid_value", 422),
        ("/report?format=png", "invalid_value", 422),
        ("/report?plot=pie", "invalid_value", 422),
        ("?enrolled_from=2026-01-02T00:00:00Z&enrolled_to=2026-01-02T00:00:00Z",
         "invalid_value", 422),
    ],
)  # fmt: skip
def test_bad_questions(world: World, http: httpx.Client, path: str, code: str, status: int) -> None:
    response = http.get(f"/{world.course}{path}", headers=staff(world).headers())
    assert_refusal(response, status, code)


def test_the_first_ask_for_a_large_course(world: World, http: httpx.Client) -> None:
    was = world.one("select value from private.settings where name = 'report_live_rows'")
    change = "update private.settings set value = %s where name = 'report_live_rows'"
    world.lesson()
    world.learner()
    headers = staff(world).headers()
    world.run(change, "0")
    try:
        for path in ("", "/lessons", "/report"):
            response = http.get(f"/{world.course}{path}", headers=headers)
            assert (response.status_code, response.json()["code"]) == (409, "report_not_ready")
            assert int(response.headers["retry-after"]) > 0
        jobs = world.one(
            "select count(*) from private.jobs j join private.course_reports r"
            " on j.dedupe_key = 'report:' || r.id where r.course_id = %s",
            world.course,
        )
        # By GET on PostgREST itself nothing can be ordered; the answer is the same.
        other = httpx.get(
            f"{world.stack.api_url}/rest/v1/rpc/get_course_report",
            params={"p_course_id": world.course}, headers=headers, trust_env=False,
        )  # fmt: skip
        assert (other.status_code, other.json()["code"]) == (409, "report_not_ready")
    finally:
        world.run(change, was)
        world.run("delete from private.course_reports where course_id = %s", world.course)
        world.run("delete from private.jobs where kind = 'report.compute'")
    assert jobs == 1


# The page --------------------------------------------------------------------------------------


def fetch(http: httpx.Client, world: World, **query: str) -> httpx.Response:
    response = http.get(f"/{world.course}/report", params=query, headers=staff(world).headers())
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    return response


def test_the_page_needs_nothing_from_elsewhere(course: World, http: httpx.Client) -> None:
    response = fetch(http, course)
    page, policy = response.text, response.headers["content-security-policy"]
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in policy
    assert "'unsafe" not in policy
    assert policy.startswith(
        re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1].replace("&#39;", "'")  # type: ignore[index]
    )
    # The SVG namespace names a page, and fetches none.
    assert not re.search(r"(?:src|href|url)\s*[=(]|https?://(?!www\.w3\.org/2000/svg)", page)
    assert not re.search(r"\sstyle=|\son\w+=", page)
    assert "<script>alert" not in page
    assert page.count("<script>") == page.count("<style>") == 1
    assert 'hidden>\n<h2 id="commands">' in page


def test_every_plot_has_a_name_and_a_table(course: World, http: httpx.Client) -> None:
    page = fetch(http, course, min_completions="1").text
    assert re.findall(r'<h2 id="(\w+)">', page)[1:7] == list(NAMES)
    for name in NAMES:
        assert page.count(f'aria-labelledby="{name}-title {name}-summary"') == 1
        assert page.count(f'id="{name}-title"') == page.count(f'id="{name}-summary"') == 1
    assert page.count('role="img"') == 6
    assert len(re.findall(r"<caption>", page)) == 6
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert page.count("<h1>") == 1


@pytest.mark.parametrize("name", NAMES)
def test_pictures_for_mails(course: World, http: httpx.Client, name: str) -> None:
    drawn = fetch(http, course, plot=name)
    assert drawn.headers["content-type"] == "image/svg+xml"
    root = ElementTree.fromstring(drawn.content)
    assert root.get("role") == "img"
    assert not re.search(r"<script|href|https?://(?!www\.w3\.org)", drawn.text)
    picture = Image.open(io.BytesIO(fetch(http, course, plot=name, format="png").content))
    assert picture.format == "PNG"
    assert picture.width == 1600
    # There is something on it: a heading, axes, bars.
    assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 20


def test_pictures_are_drawn_side_by_side(course: World) -> None:
    found = course.staff().call("get_report_page", course_id=course.course)
    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(lambda name: reports.png(found, name), ["funnel", "percent"] * 4))
    assert len(set(drawn)) == 2


def test_who_may_excuse_is_offered_to(course: World, http: httpx.Client) -> None:
    for role, offered in (("instructor", True), ("assistant", False)):
        page = http.get(f"/{course.course}/report", headers=staff(course, role).headers()).text
        assert ('data-path="admin/lessons/{}/excuse"' in page) == offered
        assert "certificates/{}/retry" not in page


def test_admins_see_certificates_that_could_not_be_made(world: World) -> None:
    world.lesson()
    [(lesson,)] = world.run("select id from public.lessons where course_id = %s", world.course)
    learner = world.learner()
    learner.call("complete_lesson", lesson_id=lesson)
    [(certificate,)] = world.run(
        "update private.jobs j set died_at = now() from public.certificates c"
        " where j.kind = 'certificate.render' and c.course_id = %s"
        "   and j.payload ->> 'certificate_id' = c.id::text returning c.id::text",
        world.course,
    )
    admin = world.person(None, "service_role")
    found = admin.call("get_report_page", course_id=world.course)
    assert [entry["certificate_id"] for entry in found["failed_certificates"]] == [certificate]
    assert f'value="{certificate}"' in reports.page(found).decode()
    assert (
        world.staff().call("get_report_page", course_id=world.course)["failed_certificates"] == []
    )


def test_averages_of_few_are_not_printed(world: World) -> None:
    """Staff see everyone's numbers; what they print may end up with learners."""
    quiz = world.quiz([choice("One"), choice("Two"), choice("Three")])
    people = [world.learner() for _ in range(4)]
    for learner in people:
        learner.call("submit_quiz", lesson_id=quiz, answers=world.right(quiz)[:2])
    person = world.staff()

    def seen() -> tuple[Any, str]:
        found = person.call("get_report_page", course_id=world.course, min_completions=0)
        return found, reports.page(found).decode()

    found, page = seen()
    assert found["scores"]["average"] == 66.67
    assert "66.67" not in page
    world.learner().call("submit_quiz", lesson_id=quiz, answers=world.right(quiz)[:2])
    _, page = seen()
    assert "66.67 %" in page


def test_an_empty_course_has_a_page(world: World) -> None:
    found = world.staff().call("get_report_page", course_id=world.course)
    assert "Nothing yet" in reports.page(found).decode()
    for plot in plots(found):
        assert reports.png(found, plot.name).startswith(b"\x89PNG")


def test_a_course_of_many_lessons(world: World) -> None:
    world.run(
        "insert into public.lessons (module_id, position, title)"
        " select %s, n, 'Lesson ' || n from generate_series(1, 600) as n",
        world.module,
    )
    found = world.staff().call("get_report_page", course_id=world.course)
    assert len(found["lessons"]) == 600
    page = reports.page(found).decode()
    assert "The first 500 of 600." in page
    assert "Lesson 500<" in page
    assert "The plot shows the first 40." in page


def test_other_functions_do_not_load_the_drawing() -> None:
    import subprocess
    import sys

    program = "import sys, functions.analytics; print([m for m in sys.modules if 'pygal' in m])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
