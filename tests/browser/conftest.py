"""A browser, learners who are signed in, and a course with every kind of lesson's end."""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

from tests.browser import chromium
from tests.stack import Stack
from tests.support.learners import Learner


# Not for the session: while it runs, no other test of this process could run an event loop.
@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright, stack: Stack) -> Iterator[Browser]:
    page = httpx.get(f"{stack.api_url}/")
    if "<title>Waymark</title>" not in page.text:
        pytest.skip("this stack does not serve the course player")
    try:
        found = chromium.find()
    except (OSError, subprocess.SubprocessError) as problem:
        pytest.skip(f"NO BROWSER, so nothing of the player was tested: {problem}")
    running = playwright.chromium.launch(
        executable_path=found.path,
        env={**os.environ, **found.environment},
        # As root there is no sandbox; the pages are our own.
        args=[
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--autoplay-policy=no-user-gesture-required",
        ],
    )
    yield running
    running.close()


@dataclass(frozen=True)
class Account:
    """Somebody who has signed up."""

    email: str
    session: dict[str, Any]
    learner: Learner

    @property
    def id(self) -> str:
        return self.learner.id


@pytest.fixture
def account(stack: Stack) -> Account:
    """A new learner who is signed in; one test signs up by the form, the others need not wait."""
    return make_account(stack, "Noor Player")


def make_account(stack: Stack, name: str) -> Account:
    user = {"id": str(uuid.uuid4()), "user_metadata": {"display_name": name}}
    email = f"player-{user['id']}@example.com"
    with stack.connect() as connection:
        connection.execute(
            "insert into auth.users (id, email, raw_user_meta_data) values (%s, %s, %s)",
            (user["id"], email, json.dumps(user["user_metadata"])),
        )
    learner = Learner(stack, str(user["id"]))
    session = {
        "access_token": learner.token(email=email),
        "refresh_token": "none",
        "token_type": "bearer",
        "expires_in": 3600,
        "expires_at": int(time.time()) + 3600,
        "user": {**user, "email": email, "aud": "authenticated", "app_metadata": {}},
    }
    return Account(email, session, learner)


Open = Callable[..., BrowserContext]

# What a browser says about answers that tests provoke; everything else it says is a fault.
EXPECTED = ("Failed to load resource", "net::ERR_INTERNET_DISCONNECTED")


@pytest.fixture
def open_browser(browser: Browser, stack: Stack) -> Iterator[Open]:
    """Opens a browser of its own, for an account or for a visitor, and reads its console."""
    opened: list[BrowserContext] = []
    said: list[str] = []

    def hear(page: Page) -> None:
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on(
            "console",
            lambda message: (
                message.type in ("error", "warning")
                and not any(known in message.text for known in EXPECTED)
                and said.append(message.text)
            ),
        )

    def open_one(account: Account | None = None, **options: Any) -> BrowserContext:
        kept = {
            "origin": stack.api_url,
            "localStorage": [
                {"name": "sb-127-auth-token", "value": json.dumps(account.session)}
            ] if account else [],
        }  # fmt: skip
        context = browser.new_context(
            base_url=stack.api_url,
            locale="en-GB",
            storage_state={"cookies": [], "origins": [kept]},  # type: ignore[typeddict-item]
            **options,
        )
        context.set_default_timeout(8000)
        context.on("page", hear)
        opened.append(context)
        return context

    yield open_one
    for context in opened:
        context.close()
    assert said == []


@pytest.fixture
def page(open_browser: Open, account: Account) -> Page:
    """A page of a learner who is signed in."""
    return open_browser(account).new_page()


@dataclass(frozen=True)
class KnotsCourse:
    """A published course; lessons by their slugs."""

    id: int
    title: str
    lessons: dict[str, str]

    def url(self, lesson: str | None = None) -> str:
        return f"/#/course/{self.id}" + (f"/lesson/{self.lessons[lesson]}" if lesson else "")


QUIZ = {
    "questions": [
        {"id": "hole", "kind": "single_choice", "text": "Where does the rabbit come from?",
         "options": [{"id": "tree", "text": "behind the tree"},
                     {"id": "hole", "text": "out of the *hole*", "correct": True}],
         "explanation": "Out of the hole, round the tree."},
        {"id": "ends", "kind": "multiple_choice", "text": "Which are ends of a rope?",
         "options": [{"id": "working", "text": "the working end", "correct": True},
                     {"id": "standing", "text": "the standing end", "correct": True},
                     {"id": "happy", "text": "the happy end"}]},
        {"id": "slips", "kind": "true_false", "text": "A granny knot slips.", "correct": True},
        {"id": "turns", "kind": "numeric", "text": "A round turn and how many half hitches?",
         "answer": 2},
        {"id": "name", "kind": "short_text", "text": "The king of knots?", "accepted": ["bowline"]},
        {"id": "steps", "kind": "ordering", "text": "In which order?",
         "items": ["Make a loop", "Up through it", "Round and down"]},
        {"id": "uses", "kind": "matching", "text": "What is it for?",
         "pairs": [{"left": "Bowline", "right": "a loop"},
                   {"left": "Sheet bend", "right": "two ropes"}]},
    ]
}  # fmt: skip


@pytest.fixture
def course(stack: Stack) -> KnotsCourse:
    """Two articles with a quiz between them, a lesson that must be read for an hour, a film."""
    slug = f"knots-{uuid.uuid4().hex[:8]}"
    title = f"Knots {slug[-8:]}"
    article = {"type": "article", "content": "Make a **loop**. <img src=x onerror=alert(1)>"}
    document = {
        "waymark": 1, "slug": slug, "title": title, "status": "published", "modules": [
            {"slug": "start", "title": "Getting started", "lessons": [
                {"slug": "rope", "title": "What makes a good rope", **article},
                {"slug": "film", "title": "The bowline, slowly", "type": "video",
                 "video_url": "https://example.com/waymark-demo/welcome.mp4",
                 "duration_seconds": 180, "is_required": False},
                {"slug": "patience", "title": "Patience", **article, "is_required": False,
                 "completion_rule": "view", "min_view_seconds": 3600}]},
            {"slug": "end", "title": "The end of the rope", "lessons": [
                {"slug": "quiz", "title": "Quiz: knots", "type": "quiz", "completion_rule": "pass",
                 "pass_percent": 60, "quiz": QUIZ},
                {"slug": "farewell", "title": "Farewell", **article}]}],
    }  # fmt: skip
    with stack.connect() as connection:
        connection.execute("select public.import_course(%s)", (json.dumps(document),))
        rows = connection.execute(
            "select l.slug, l.id::text, c.id from public.lessons l"
            " join public.courses c on c.id = l.course_id where c.slug = %s",
            (slug,),
        ).fetchall()
    return KnotsCourse(rows[0][2], title, {row[0]: row[1] for row in rows})
