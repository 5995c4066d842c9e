"""The player for everybody: screen readers, keyboards, phones, the dark; and its pictures."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from local.bootstrap import NODE_MODULES, ROOT
from tests.browser.conftest import Account, KnotsCourse, Open, make_account
from tests.browser.test_journeys import start
from tests.stack import Stack

DESKTOP = {"width": 1280, "height": 860}
PHONE = {"width": 375, "height": 740}
PICTURES = ROOT / "docs" / "pictures"


def views(course: KnotsCourse) -> dict[str, str]:
    """Every kind of page, and what stands on it when it is ready."""
    return {
        "/": ".card",
        course.url(): ".trail",
        course.url("rope"): ".end",
        course.url("film"): ".end",
        course.url("quiz"): ".questions",
        "/#/dashboard": ".heat",
        f"{course.url()}/report": "table.report",
        "/#/search/knots": ".results",
        "/#/certificates": "h1",
        "/#/verify/AAAA": ".verdict",
        "/#/notifications": "h1",
        "/#/sign-in": "form",
    }


def report_on(account: Account, course: KnotsCourse) -> None:
    """Make them an assistant of the course, in which somebody else has tried the quiz."""
    stack = account.learner.stack
    other = make_account(stack, "Mary Learner")
    start(other, course)
    with other.learner.client() as client:
        client.complete_lesson(course.lessons["rope"])
        client.submit_quiz(course.lessons["quiz"], [])
    with stack.connect() as connection:
        connection.execute(
            "insert into public.course_staff (user_id, course_id, role)"
            " values (%s, %s, 'assistant')",
            (account.id, course.id),
        )


def show(page: Page, url: str, ready: str) -> None:
    page.goto(url)
    page.locator(ready).first.wait_for()
    page.locator(".loading").wait_for(state="detached")


@pytest.mark.parametrize(("scheme", "size"), [("light", DESKTOP), ("dark", PHONE)])
def test_no_page_has_a_serious_fault_for_screen_readers_or_eyes(
    open_browser: Open, account: Account, course: KnotsCourse, scheme: str, size: dict[str, int]
) -> None:
    start(account, course)
    with account.learner.client() as client:
        client.complete_lesson(course.lessons["rope"])
    report_on(account, course)
    page = open_browser(
        account, color_scheme=scheme, viewport=size, reduced_motion="reduce"
    ).new_page()
    axe = (NODE_MODULES / "axe-core" / "axe.min.js").read_text()
    page.goto(course.url("quiz"))
    page.get_by_role("button", name="Start the quiz").click()
    faults = []
    pages = list(views(course).items())
    # Small and dark: the pages that differ most.
    for url, ready in pages if scheme == "light" else pages[2:7]:
        show(page, url, ready)
        page.evaluate(f"() => {{ {axe} }}")
        found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
        faults += [
            (url, fault["id"], [node["html"][:200] for node in fault["nodes"]])
            for fault in found["violations"]
            if fault["impact"] in ("serious", "critical")
        ]
        # Nothing is wider than the screen.
        wide = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
        if wide > 0:
            faults.append((url, "wider than the screen", [str(wide)]))
    assert faults == []


def tab_to(page: Page, name: str, role: str) -> None:
    """Press Tab until it has the focus, and see that the focus shows."""
    wanted = page.get_by_role(role, name=name).last  # type: ignore[arg-type]
    wanted.wait_for()
    for _ in range(60):
        page.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            outline = wanted.evaluate("element => getComputedStyle(element).outlineStyle")
            assert outline != "none"
            return
    pytest.fail(f"the keyboard does not reach {name}")


def test_a_keyboard_is_enough(page: Page, account: Account, course: KnotsCourse) -> None:
    page.goto(course.url())
    page.get_by_role("button", name="Enrol").wait_for()
    reach = partial(tab_to, page)
    reach("Skip to content", "link")
    page.keyboard.press("Enter")
    reach("Enrol", "button")
    page.keyboard.press("Enter")
    reach("Start learning", "link")
    page.keyboard.press("Enter")
    # The heading of the new page has the focus, so a screen reader says where one is.
    expect(page.get_by_role("heading", name="What makes a good rope")).to_be_focused()
    reach("Mark as complete", "button")
    page.keyboard.press("Enter")
    expect(page.get_by_text("33 % · 1 of 3")).to_be_visible()
    page.goto(course.url("quiz"))
    expect(page.get_by_role("heading", name="Quiz: knots")).to_be_focused()
    reach("Start the quiz", "button")
    page.keyboard.press("Enter")
    reach("behind the tree", "radio")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_label("out of the hole")).to_be_checked()
    reach("Hand in", "button")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Not passed")).to_be_visible()


def test_a_report_is_read_by_keyboard_where_it_is_wider_than_the_screen(
    open_browser: Open, account: Account, course: KnotsCourse
) -> None:
    report_on(account, course)
    page = open_browser(account, viewport=PHONE).new_page()
    page.goto(course.url())
    tab_to(page, "Report", "link")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="How learners are doing")).to_be_focused()
    tab_to(page, "Lessons", "group")
    table = page.get_by_role("group", name="Lessons")
    assert table.evaluate("element => element.scrollWidth > element.clientWidth")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.activeElement.scrollLeft > 0")


def test_the_menu_of_a_phone_opens(open_browser: Open, account: Account) -> None:
    page = open_browser(account, viewport=PHONE, has_touch=True).new_page()
    page.goto("/")
    expect(page.get_by_role("link", name="My learning")).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="My learning").click()
    expect(page.get_by_role("heading", name="My learning")).to_be_visible()
    expect(page.get_by_role("link", name="Certificates")).to_be_hidden()


def test_the_pictures_in_the_docs_can_be_taken(open_browser: Open, stack: Stack) -> None:
    """With WAYMARK_PICTURES=1 they are kept."""
    kept = PICTURES if os.environ.get("WAYMARK_PICTURES") else None
    with stack.connect() as connection:
        row = connection.execute("select id from public.courses where slug = 'reading-maps'")
        found = row.fetchone()
        if not found:
            pytest.skip("this stack has no demo course")
        lessons = connection.execute(
            "select slug, id::text from public.lessons where course_id = %s"
            " order by module_position, module_id, position, id",
            found,
        ).fetchall()
    course = KnotsCourse(found[0], "Reading Maps", dict(lessons))
    account = make_account(stack, "Ada Walker")
    start(account, course)
    with account.learner.client() as client:
        for lesson in ("scale", "symbols", "grid-references"):
            client.complete_lesson(course.lessons[lesson])
    with stack.connect() as connection:
        # A year of learning, for the heat map.
        connection.execute(
            "insert into public.daily_activity"
            " (user_id, day, lessons_completed, view_seconds, attempts, first_at, last_at)"
            " select %s, current_date - d, abs(hashtext(d || 'a')) %% 5,"
            " abs(hashtext(d || 'b')) %% 3600, 0, now(), now()"
            " from generate_series(1, 330) d where abs(hashtext(d || 'c')) %% 9 < 4 or d < 9",
            (account.id,),
        )
    light = open_browser(account, viewport=DESKTOP, color_scheme="light").new_page()
    dark = open_browser(account, viewport=DESKTOP, color_scheme="dark").new_page()
    phone = open_browser(account, viewport={"width": 390, "height": 844}).new_page()
    show(light, course.url("contours"), ".end")
    take(light, kept, "player")
    show(dark, "/#/dashboard", ".heat")
    take(dark, kept, "dashboard")
    show(phone, course.url("where-quiz"), ".quiz")
    phone.get_by_role("button", name="Start the quiz").click()
    phone.locator(".questions").wait_for()
    phone.locator(".quiz").evaluate("quiz => scrollTo(0, quiz.offsetTop - 72)")
    take(phone, kept, "phone")


def take(page: Page, folder: Path | None, name: str) -> None:
    page.evaluate("() => document.activeElement?.blur()")
    page.wait_for_timeout(400)
    shot = page.screenshot()
    assert len(shot) > 20_000
    if not folder:
        return
    path = folder / f"{name}.png"
    folder.mkdir(exist_ok=True)
    path.write_bytes(shot)
    # A palette is a third of the size, and looks the same.
    Image.open(path).quantize(128).save(path, optimize=True)
