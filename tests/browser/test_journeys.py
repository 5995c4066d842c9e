"""What learners do in the player, from the catalogue to the certificate."""

from __future__ import annotations

import re
import time
import uuid

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Account, KnotsCourse, Open, make_account
from tests.stack import Stack
from tests.support.catalog import make_course
from tests.support.learners import enroll

PASSWORD = "as long as it takes"


def start(account: Account, course: KnotsCourse) -> None:
    enroll(account.learner.stack, [account.learner], course.id)


def mark(page: Page) -> None:
    page.get_by_role("button", name="Mark as complete").click()


def tick(page: Page, title: str):  # type: ignore[no-untyped-def]
    """The mark of a lesson on the trail."""
    named = page.locator(".name > span", has_text=title)
    return page.locator(".trail li li").filter(has=named).locator(".waypoint")


def events(stack: Stack, account: Account, kind: str = "lesson_completed") -> int:
    with stack.connect() as connection:
        row = connection.execute(
            "select count(*) from public.progress_events where user_id = %s and kind = %s",
            (account.id, kind),
        ).fetchone()
    assert row
    return int(row[0])


def test_a_visitor_sees_the_catalogue_and_is_asked_to_sign_in(
    open_browser: Open, course: KnotsCourse
) -> None:
    page = open_browser().new_page()
    page.goto("/")
    expect(page.get_by_role("link", name=course.title)).to_be_visible()
    expect(page.get_by_role("link", name="Sign in to track your progress")).to_be_visible()
    page.get_by_role("link", name=course.title).click()
    expect(page.get_by_text("Farewell")).to_be_visible()
    page.get_by_role("link", name="Sign in to track your progress").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_sign_up_enrol_learn_sign_out_and_in_again(
    open_browser: Open, stack: Stack, course: KnotsCourse
) -> None:
    page = open_browser().new_page()
    email = f"player-{uuid.uuid4()}@example.com"
    page.goto(f"/#/sign-in/course%2F{course.id}")
    page.get_by_role("button", name="Sign up").click()
    page.get_by_label("Your name").fill("Grace Player")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign up", exact=True).click()
    page.get_by_role("button", name="Enrol").click()
    page.get_by_role("link", name="Start learning").click()
    expect(page.get_by_role("heading", name="What makes a good rope")).to_be_visible()
    # What authors write is made safe.
    expect(page.locator(".prose img")).not_to_have_attribute("onerror", re.compile(".*"))
    mark(page)
    expect(page.get_by_text("33 % · 1 of 3")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("link", name="Sign in", exact=True)).to_be_visible()
    page.goto(course.url())
    expect(page.get_by_text("1 of 3")).to_have_count(0)
    page.goto("/#/sign-in")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Good to see you, Grace Player")).to_be_visible()
    # Continue learning leads past what is done.
    page.get_by_role("link", name="Continue learning").click()
    expect(page.get_by_role("heading", name="Quiz: knots")).to_be_visible()
    expect(tick(page, "What makes a good rope")).to_have_class(re.compile("completed"))


def test_the_second_window_follows_without_reload(
    open_browser: Open, account: Account, course: KnotsCourse
) -> None:
    start(account, course)
    context = open_browser(account)
    first, second = context.new_page(), context.new_page()
    second.goto(course.url())
    expect(second.get_by_text("0 % · 0 of 3 lessons")).to_be_visible()
    second.evaluate("window.stays = true")
    first.goto(course.url("rope"))
    mark(first)
    expect(second.get_by_text("33 % · 1 of 3 lessons")).to_be_visible()
    expect(tick(second, "What makes a good rope")).to_have_class(re.compile("completed"))
    first.get_by_role("button", name="Undo").click()
    expect(second.get_by_text("0 % · 0 of 3 lessons")).to_be_visible()
    assert second.evaluate("window.stays")


def follow(page: Page, url: str) -> None:
    """Open a page, and wait until it hears what happens elsewhere."""
    page.goto(url)
    page.locator("html[data-live=true]").wait_for()
    page.locator(".loading").wait_for(state="detached")
    page.evaluate("window.stays = true")


def test_two_devices_stay_in_step_without_reload(
    open_browser: Open, stack: Stack, account: Account, course: KnotsCourse
) -> None:
    """Two browsers share nothing but the learner: what one does reaches the other by Realtime."""
    start(account, course)
    first, second = open_browser(account).new_page(), open_browser(account).new_page()
    follow(second, course.url())
    expect(second.get_by_text("0 % · 0 of 3 lessons")).to_be_visible()
    first.goto(course.url("rope"))
    mark(first)
    expect(second.get_by_text("33 % · 1 of 3 lessons")).to_be_visible()
    expect(tick(second, "What makes a good rope")).to_have_class(re.compile("completed"))
    expect(second.get_by_role("link", name="Continue learning")).to_be_visible()
    first.get_by_role("button", name="Undo").click()
    expect(second.get_by_text("0 % · 0 of 3 lessons")).to_be_visible()
    assert second.evaluate("window.stays")


def test_the_other_device_shows_the_message_and_the_certificate(
    open_browser: Open, stack: Stack, account: Account
) -> None:
    small = make_course(stack, 1, title="Splicing")
    enroll(stack, [account.learner], small.id)
    first, second = open_browser(account).new_page(), open_browser(account).new_page()
    follow(second, "/#/certificates")
    expect(second.get_by_text("Complete a course")).to_be_visible()
    first.goto(f"/#/course/{small.id}/lesson/{small.lessons[0]}")
    mark(first)
    expect(second.get_by_role("heading", name="Splicing")).to_be_visible()
    expect(second.get_by_label("1 unread")).to_be_visible()
    assert second.evaluate("window.stays")
    follow(first, "/#/certificates")
    # Read on one device is read on the other.
    second.goto("/#/notifications")
    expect(second.locator(".messages")).to_contain_text("Splicing")
    expect(first.get_by_label("1 unread")).to_have_count(0)
    assert first.evaluate("window.stays")


def test_nothing_is_heard_once_signed_out(
    open_browser: Open, stack: Stack, account: Account, course: KnotsCourse
) -> None:
    start(account, course)
    page = open_browser(account).new_page()
    sent: list[str] = []
    page.on(
        "websocket",
        lambda socket: socket.on("framereceived", lambda frame: sent.append(str(frame))),
    )
    follow(page, course.url())
    page.get_by_role("button", name="Sign out").click()
    page.locator("html[data-live=false]").wait_for()
    page.wait_for_timeout(300)
    sent.clear()
    with account.learner.client() as client:
        client.complete_lesson(course.lessons["rope"])
    page.wait_for_timeout(500)
    assert not [frame for frame in sent if course.lessons["rope"] in frame]


def test_the_tick_comes_before_the_answer_and_a_double_click_is_one_event(
    page: Page, stack: Stack, account: Account, course: KnotsCourse
) -> None:
    start(account, course)
    page.goto(course.url("rope"))
    asked: list[str] = []

    def slowly(route: Route) -> None:
        asked.append(route.request.url)
        page.wait_for_timeout(2000)
        route.continue_()

    page.route("**/complete", slowly)
    button = page.get_by_role("button", name="Mark as complete")
    button.wait_for()
    begun = time.monotonic()
    # Both clicks before the page is drawn again.
    button.evaluate("button => { button.click(); button.click() }")
    expect(tick(page, "What makes a good rope")).to_have_class(re.compile("completed"))
    expect(page.get_by_text("being saved")).to_be_visible()
    shown = time.monotonic() - begun
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    answered = time.monotonic() - begun
    assert shown < 1.5 < 2 <= answered
    assert len(asked) == 1
    assert events(stack, account) == 1


def test_a_refused_completion_is_taken_back_with_its_reason(
    page: Page, stack: Stack, account: Account, course: KnotsCourse
) -> None:
    start(account, course)
    page.goto(course.url("patience"))
    page.route("**/complete", lambda route: (page.wait_for_timeout(500), route.continue_()))
    mark(page)
    expect(tick(page, "Patience")).to_have_class(re.compile("completed"))
    expect(page.get_by_text("Not marked as complete: stay 1 h longer.")).to_be_visible()
    expect(tick(page, "Patience")).not_to_have_class(re.compile("completed"))
    expect(page.get_by_role("button", name="Mark as complete")).to_be_visible()
    assert events(stack, account) == 0


def test_offline_work_is_kept_and_sent_later(
    page: Page, stack: Stack, account: Account, course: KnotsCourse
) -> None:
    start(account, course)
    page.goto(course.url("rope"))
    page.get_by_role("button", name="Mark as complete").wait_for()
    page.context.set_offline(True)
    expect(page.get_by_text("You are offline.")).to_be_visible()
    mark(page)
    page.get_by_label("New note").fill("Hemp rots")
    page.get_by_role("button", name="Add note").click()
    expect(page.get_by_text("2 things are kept on this device")).to_be_visible()
    # The next lesson opens all the same, and keeps the tick of this one.
    page.get_by_role("link", name="The bowline, slowly").last.click()
    expect(page.get_by_role("heading", name="The bowline, slowly")).to_be_visible()
    expect(tick(page, "What makes a good rope")).to_have_class(re.compile("completed"))
    assert events(stack, account) == 0
    page.context.set_offline(False)
    expect(page.get_by_text("everything was sent")).to_be_visible()
    expect(page.get_by_text("33 % · 1 of 3")).to_be_visible()
    expect(page.get_by_text("kept on this device")).to_have_count(0)
    assert events(stack, account) == 1
    page.goto(course.url("rope"))
    expect(page.locator(".notes")).to_contain_text("Hemp rots")


def test_what_was_refused_later_is_told_and_taken_back(
    page: Page, stack: Stack, account: Account, course: KnotsCourse
) -> None:
    start(account, course)
    page.goto(course.url("patience"))
    page.get_by_role("button", name="Mark as complete").wait_for()
    page.context.set_offline(True)
    mark(page)
    expect(tick(page, "Patience")).to_have_class(re.compile("completed"))
    page.context.set_offline(False)
    expect(page.get_by_text("Not accepted:")).to_be_visible()
    expect(tick(page, "Patience")).not_to_have_class(re.compile("completed"))


def test_commands_wait_as_long_as_they_are_told(
    page: Page, stack: Stack, account: Account, course: KnotsCourse
) -> None:
    start(account, course)
    page.goto(course.url("rope"))
    asked: list[float] = []

    def busy_once(route: Route) -> None:
        asked.append(time.monotonic())
        if len(asked) > 1:
            route.continue_()
            return
        body = '{"code": "try_again", "message": "Busy", "details": null, "hint": null}'
        headers = {"Retry-After": "1", "Access-Control-Expose-Headers": "Retry-After"}
        route.fulfill(status=503, body=body, headers=headers)

    page.route("**/complete", busy_once)
    mark(page)
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    assert len(asked) == 2
    assert asked[1] - asked[0] >= 1


def answer_quiz(page: Page, name: str) -> None:
    quiz = page.locator(".quiz")
    quiz.get_by_label("out of the hole").check()
    quiz.get_by_label("the working end").check()
    quiz.get_by_label("the standing end").check()
    quiz.get_by_label("True").check()
    fields = quiz.get_by_label("Your answer")
    fields.nth(0).fill("2")
    fields.nth(1).fill(name)
    quiz.get_by_label("Bowline").select_option("a loop")
    quiz.get_by_label("Sheet bend").select_option("two ropes")


def test_quiz_failed_then_passed_last_lesson_certificate_and_its_check(
    page: Page, open_browser: Open, stack: Stack, account: Account, course: KnotsCourse
) -> None:
    start(account, course)
    page.goto(course.url("rope"))
    mark(page)
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    page.goto(course.url("quiz"))
    page.get_by_role("button", name="Start the quiz").click()
    page.get_by_label("behind the tree").check()
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    # Answers are on the server: a reload finds them.
    page.reload()
    expect(page.get_by_label("behind the tree")).to_be_checked()
    page.get_by_role("button", name="Hand in").click()
    expect(page.get_by_role("heading", name="Not passed")).to_be_visible()
    # Where they are handed in, the result is not: it gets the focus.
    expect(page.get_by_role("heading", name="Not passed")).to_be_focused()
    for right in (
        "out of the hole",
        "the working end, the standing end",
        "True",
        "2",
        "bowline",
        "Bowline: a loop; Sheet bend: two ropes",
    ):
        expect(page.get_by_text(f"Right: {right}", exact=True)).to_be_visible()
    expect(tick(page, "Quiz: knots")).not_to_have_class(re.compile("completed"))

    page.get_by_role("button", name="Try again").click()
    answer_quiz(page, "Bowline")
    steps = ["Make a loop", "Up through it", "Round and down"]
    for place, step in enumerate(steps):
        up = page.get_by_role("button", name=f"Up: {step}")
        while page.locator(".order li").nth(place).inner_text().strip() != step:
            up.click()
    expect(page.get_by_text("7 of 7 answered")).to_be_visible()
    page.get_by_role("button", name="Hand in").click()
    expect(page.get_by_role("heading", name="Passed with 100 %")).to_be_visible()
    expect(tick(page, "Quiz: knots")).to_have_class(re.compile("completed"))

    page.get_by_role("link", name="Farewell").last.click()
    mark(page)
    expect(page.get_by_text("You have completed the course.")).to_be_visible()
    page.get_by_role("link", name="See your certificate").click()
    expect(page.get_by_role("heading", name="Noor Player")).to_be_visible()
    expect(page.get_by_role("heading", name=course.title)).to_be_visible()

    page.get_by_role("button", name="Download PDF").click()
    expect(page.get_by_text("The PDF is being made")).to_be_visible()
    work(stack)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download PDF").click()
    assert download.value.path().read_bytes().startswith(b"%PDF")

    code = page.locator(".code").inner_text()
    visitor = open_browser().new_page()
    visitor.goto(f"/#/verify/{code}")
    expect(visitor.get_by_text("This certificate is valid.")).to_be_visible()
    expect(visitor.get_by_role("heading", name="Noor Player")).to_be_visible()
    visitor.goto("/#/verify/AAAA-AAAA-AAAA-AAAA")
    expect(visitor.get_by_text("No certificate has this code.")).to_be_visible()

    page.goto("/#/notifications")
    expect(page.locator(".messages")).to_contain_text(course.title)
    page.goto("/#/dashboard")
    expect(page.get_by_text("day in a row")).to_be_visible()
    expect(page.locator(".heat .level0")).not_to_have_count(365)


def work(stack: Stack) -> None:
    """Let the worker do what is queued; in tests it sleeps."""
    headers = {"X-Worker-Secret": stack.extra("WORKER_SECRET")}
    for _ in range(5):
        answer = httpx.post(f"{stack.functions_url}/certificates/work", headers=headers, timeout=30)
        if not answer.raise_for_status().json()["remaining"]:
            return


def test_a_film_goes_on_where_it_was_left(
    page: Page, stack: Stack, account: Account, course: KnotsCourse
) -> None:
    start(account, course)
    page.goto(course.url("film"))
    video = page.locator("video")
    expect(video).to_have_js_property("readyState", 4)
    video.evaluate("video => { video.muted = true; video.currentTime = 60; return video.play() }")
    video.evaluate(
        "video => new Promise(done => video.addEventListener('timeupdate',"
        " () => video.currentTime > 61.5 && done()))"
    )
    with page.expect_response("**/view"):
        video.evaluate("video => video.pause()")
    page.reload()
    expect(page.get_by_text(re.compile(r"Going on at 1:0[12]"))).to_be_visible()
    position = video.evaluate("video => video.currentTime")
    assert 61 <= position < 64
    with stack.connect() as connection:
        row = connection.execute(
            "select view_time_seconds, watched::text from public.user_progress"
            " where user_id = %s and lesson_id = %s",
            (account.id, course.lessons["film"]),
        ).fetchone()
    assert row
    assert row[0] >= 1
    assert row[1] != "{}"


def test_saved_courses_search_and_notes(
    page: Page, stack: Stack, account: Account, course: KnotsCourse
) -> None:
    start(account, course)
    page.goto("/")
    save = page.get_by_role("button", name=f"Save {course.title}")
    save.click()
    expect(save).to_have_attribute("aria-pressed", "true")
    page.reload()
    expect(save).to_have_attribute("aria-pressed", "true")
    page.goto("/#/search")
    page.get_by_label("Words to look for").fill(course.title)
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".results")).to_contain_text(course.title)
    page.goto(course.url("rope"))
    page.get_by_label("New note").fill("A *good* rope <script>alert(1)</script>")
    page.get_by_role("button", name="Add note").click()
    expect(page.locator(".notes em")).to_have_text("good")
    page.reload()
    expect(page.locator(".notes em")).to_have_text("good")
    page.get_by_role("button", name="Delete this note").click()
    expect(page.locator(".notes em")).to_have_count(0)


def test_a_locked_lesson_says_why_and_opens_when_its_turn_comes(
    page: Page, stack: Stack, account: Account, course: KnotsCourse
) -> None:
    with stack.connect() as connection:
        connection.execute(
            "update public.courses set sequential = true where id = %s", (course.id,)
        )
    start(account, course)
    page.goto(course.url())
    expect(tick(page, "Quiz: knots")).to_have_class(re.compile("locked"))
    expect(page.get_by_role("link", name="Quiz: knots")).to_have_count(0)
    page.goto(course.url("quiz"))
    expect(page.locator(".lesson")).to_contain_text("First: What makes a good rope")
    page.goto(course.url("rope"))
    mark(page)
    # Without reload.
    expect(tick(page, "Quiz: knots")).not_to_have_class(re.compile("locked"))
    expect(tick(page, "Farewell")).to_have_class(re.compile("locked"))


def test_staff_are_led_to_the_report_and_learners_are_not(
    open_browser: Open, stack: Stack, account: Account, course: KnotsCourse
) -> None:
    with stack.connect() as connection:
        connection.execute(
            "insert into public.course_staff (user_id, course_id, role)"
            " values (%s, %s, 'assistant')",
            (account.id, course.id),
        )
    other = make_account(stack, "Ada Learner")
    start(other, course)
    learner = open_browser(other).new_page()
    learner.goto(course.url())
    expect(learner.get_by_role("link", name="Start learning")).to_be_visible()
    expect(learner.get_by_role("link", name="Report")).to_have_count(0)
    page = open_browser(account).new_page()
    page.goto(course.url())
    link = page.get_by_role("link", name="Report")
    expect(link).to_be_visible()
    with other.learner.client() as client:
        client.complete_lesson(course.lessons["rope"])
    link.click()
    expect(page.get_by_role("heading", name="How learners are doing")).to_be_visible()
    expect(page.locator(".tiles")).to_contain_text("1 have started")
    row = page.locator(".report tbody tr").filter(has_text="What makes a good rope")
    expect(row).to_contain_text("1 of 1")


@pytest.mark.parametrize(
    ("mode", "words"), [("invite", "by invitation"), ("paid", "who has bought it")]
)
def test_a_course_that_takes_nobody_says_why_and_has_no_button(
    page: Page, stack: Stack, course: KnotsCourse, mode: str, words: str
) -> None:
    with stack.connect() as connection:
        connection.execute(
            "update public.courses set enrollment_mode = %s where id = %s", (mode, course.id)
        )
    page.goto(course.url())
    expect(page.locator(".banner")).to_contain_text(words)
    expect(page.get_by_role("button", name="Enrol")).to_have_count(0)


def test_what_a_grader_has_written_is_read_beside_the_result(
    page: Page, stack: Stack, account: Account, course: KnotsCourse
) -> None:
    start(account, course)
    with account.learner.client() as client:
        client.submit_quiz(course.lessons["quiz"], [])
    with stack.connect() as connection:
        connection.execute(
            "update public.user_assessment_attempts set feedback = 'Tie it once more.'"
            " where user_id = %s",
            (account.id,),
        )
    page.goto(course.url("quiz"))
    page.get_by_role("button", name="Attempt 1").click()
    expect(page.locator(".result")).to_contain_text("Tie it once more.")


def test_a_quiz_with_a_time_limit_is_handed_in_when_it_ends(
    page: Page, stack: Stack, account: Account, course: KnotsCourse
) -> None:
    with stack.connect() as connection:
        connection.execute(
            "update public.lessons set time_limit_seconds = 5 where id = %s",
            (course.lessons["quiz"],),
        )
    start(account, course)
    page.goto(course.url("quiz"))
    page.get_by_role("button", name="Start the quiz").click()
    expect(page.get_by_role("timer")).to_have_text(re.compile("0:0[1-5]"))
    page.get_by_label("out of the hole").check()
    expect(page.get_by_role("heading", name="Not passed")).to_be_visible(timeout=9000)
    expect(page.get_by_text("1 of 7 right")).to_be_visible()
