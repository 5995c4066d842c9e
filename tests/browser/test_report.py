"""The report's page in a frame of a site, as the how-to shows it: its looks and its buttons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.stack import Stack
from tests.support.catalog import Course, make_course
from tests.support.learners import Learner, enroll, make_learner, make_learners

ROOT = Path(__file__).resolve().parents[2]
HOW_TO = (ROOT / "docs" / "how-to" / "build-a-report.md").read_text("utf-8")
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"


def site(stack: Stack, staff: Learner, course: Course) -> str:
    """The page of the how-to, with what a site knows filled in."""
    known = (
        f"const session = {{access_token: '{staff.token()}'}}, course = {course.id},"
        f" PUBLISHABLE_KEY = '{stack.publishable_key}',"
        f" FUNCTIONS_URL = '{stack.api_url}/functions/v1'"
    )
    html = HOW_TO.partition("```html\n")[2].partition("```")[0]
    return "<!doctype html><title>Site</title>" + html.replace(
        '<script type="module">', f'<script type="module">\n{known}'
    )


@pytest.fixture
def shown(open_browser: Open, stack: Stack) -> tuple[Page, Course, list[Learner]]:
    course, learners = make_course(stack, 2), make_learners(stack, 2)
    enroll(stack, learners, course.id)
    staff = make_learner(stack)
    with stack.connect() as connection:
        connection.execute(
            "insert into public.course_staff values (%s, %s, 'instructor')", (course.id, staff.id)
        )
    page = open_browser().new_page()
    page.route(
        "**/site.html",
        lambda route: route.fulfill(content_type="text/html", body=site(stack, staff, course)),
    )
    page.goto("/site.html")
    return page, course, learners


def test_a_button_in_the_frame_excuses_a_learner(
    shown: tuple[Page, Course, list[Learner]], stack: Stack
) -> None:
    page, course, (learner, _) = shown
    frame = page.frame_locator("#report")
    expect(frame.get_by_role("heading", level=1)).to_contain_text("Report: Course")
    frame.get_by_label("Learner (user id)").fill(learner.id)
    frame.get_by_label("Reason").fill("Done at school")
    frame.get_by_role("button", name="Excuse").click()
    expect(frame.get_by_role("status")).to_have_text("Done.")
    with stack.connect() as connection:
        waived = connection.execute(
            "select lesson_id::text from public.lesson_waivers where user_id = %s", (learner.id,)
        ).fetchall()
    assert waived == [(course.lessons[0],)]
    # What is refused says so: the learner of nobody.
    frame.get_by_label("Learner (user id)").fill("00000000-0000-4000-8000-000000000000")
    frame.get_by_label("Reason").fill("Typo")
    frame.get_by_role("button", name="Excuse").click()
    expect(frame.get_by_role("status")).to_contain_text("Refused: ")


def test_it_is_accessible_and_printable(shown: tuple[Page, Course, list[Learner]]) -> None:
    page, _, _ = shown
    frame = next(frame for frame in page.frames if frame != page.main_frame)
    frame.wait_for_selector("h1")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        html = frame.content()
        whole = page.context.new_page()
        whole.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        # As a document of its own: the checker's script could not get into the sandbox.
        whole.set_content(html.replace("http-equiv", "data-was"))
        whole.add_script_tag(path=AXE)
        found: Any = whole.evaluate("axe.run()")
        assert [(v["id"], v["nodes"][0]["html"]) for v in found["violations"]] == []
        whole.close()
    page.emulate_media(media="print")
    assert not frame.locator(".commands").is_visible()
