"""Live updates: how soon another window sees a change, and what telling it costs a completion.

Fifty learners listen, each on a websocket of their own, while they complete lessons by HTTP at a
steady rate. Then, while they go on listening, one learner's two browsers: from the click in the
first to the percent in the second. And how soon the player can be used, from an empty cache.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import struct
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import psycopg
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from bench import seed
from bench.cost import Cost, CpuClock, become, explain
from bench.seed import Course, Db
from bench.stats import median
from bench.target import Target, say
from tests.browser import chromium

TRIGGERS = [
    f"alter table public.{table} {{}} trigger {name}"
    for table in ("user_progress", "enrollments", "notifications", "certificates")
    for name in ("_950_tell", "_950_tell_change")
]
# Written down by the page itself, before its scripts run.
WATCH = """
const now = () => performance.timeOrigin + performance.now()
window.marks = []
new MutationObserver(() => {
  const text = document.querySelector('.percent span')?.textContent ?? ''
  if (text !== window.marks.at(-1)?.text) window.marks.push({ text, at: now() })
  if (!window.usable && document.querySelector('.card h3 a')) {
    // Drawn, and the thread is free to answer a click.
    requestAnimationFrame(() => setTimeout(() => (window.usable ??= performance.now())))
  }
}).observe(document, { childList: true, subtree: true, characterData: true })
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.largest = entry.startTime
}).observe({ type: 'largest-contentful-paint', buffered: true })
"""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    subscribers: int = 50
    changes: int = 300
    rate: float = 20.0
    clicks: int = 40
    openings: int = 7
    completions: int = 300


@dataclass
class Lives:
    """The figures of a run, in seconds."""

    plan: Plan
    # From the request, and from its answer, to the message.
    from_request: list[float] = field(default_factory=list)
    from_answer: list[float] = field(default_factory=list)
    # From the click in one browser to the percent in the other.
    windows: list[float] = field(default_factory=list)
    # From the address to a catalogue that can be clicked; and to its largest part.
    usable: list[float] = field(default_factory=list)
    largest: list[float] = field(default_factory=list)
    told: Cost = field(default_factory=Cost)
    untold: Cost = field(default_factory=Cost)
    # Bytes of WAL of a whole transaction, the commit included.
    told_wal: float = math.nan
    untold_wal: float = math.nan


def measure(stack: Target, tag: str, plan: Plan) -> Lives:
    """Make learners and a course, and measure."""
    found = Lives(plan)
    with psycopg.connect(stack["DB_URL"], autocommit=True) as db:
        db.execute("set statement_timeout = 0")
        course = seed.make_course(db, tag, 50)
        users = seed.make_learners(db, tag, plan.subscribers + 1)
        seed.enrol(db, course.id, users)
        seed.settle(db)
        if stack.is_own:
            _costs(db, tag, plan, found)
    asyncio.run(_measure(stack, course, users, plan, found))
    return found


async def _measure(
    stack: Target, course: Course, users: list[str], plan: Plan, found: Lives
) -> None:
    reader, *listeners = users
    arrivals: dict[tuple[str, str], float] = {}
    async with AsyncExitStack() as opened:
        session = await opened.enter_async_context(aiohttp.ClientSession())
        for user in listeners:
            await opened.enter_async_context(_subscribed(stack, session, user, arrivals))
        say(f"live: {len(listeners)} subscribers")
        await _changes(stack, session, course, listeners, plan, found, arrivals)
        if plan.clicks:
            say("live: two browsers")
            await _browsers(stack, course, reader, plan, found)


@asynccontextmanager
async def _subscribed(
    stack: Target, session: aiohttp.ClientSession, user: str, arrivals: dict[tuple[str, str], float]
) -> AsyncIterator[None]:
    """Keep a learner's channel open, and write down when the message about each lesson came."""
    address = stack["API_URL"].replace("http", "ws", 1) + "/realtime/v1/websocket"
    query = {"apikey": stack["PUBLISHABLE_KEY"], "vsn": "2.0.0"}
    async with session.ws_connect(address, params=query) as socket:
        payload = {"config": {"private": True}, "access_token": stack.token(user)}
        await socket.send_json(["1", "1", f"realtime:waymark:{user}", "phx_join", payload])
        reply = await socket.receive_json()
        if reply[4]["status"] != "ok":
            raise RuntimeError(f"Realtime refuses a learner's own channel: {reply[4]}")

        async def listen() -> None:
            async for frame in socket:
                at = time.perf_counter()
                if frame.type is aiohttp.WSMsgType.BINARY:
                    sizes = struct.unpack(">BBBBB", frame.data[:5])
                    news = json.loads(frame.data[5 + sum(sizes[1:4]) :])
                    if news.get("progress"):
                        arrivals[user, news["progress"]["lesson_id"]] = at

        task = asyncio.create_task(listen())
        yield
        task.cancel()


async def _changes(
    stack: Target,
    session: aiohttp.ClientSession,
    course: Course,
    users: list[str],
    plan: Plan,
    found: Lives,
    arrivals: dict[tuple[str, str], float],
) -> None:
    todo = [(user, lesson) for lesson in course.lessons[:20] for user in users]
    random.Random(3).shuffle(todo)
    asked: dict[tuple[str, str], tuple[float, float]] = {}

    async def complete(user: str, lesson: str) -> None:
        headers = {
            "Authorization": f"Bearer {stack.token(user)}",
            "apikey": stack["PUBLISHABLE_KEY"],
        }
        url = f"{stack['API_URL']}/functions/v1/progress/lessons/{lesson}/complete"
        begun = time.perf_counter()
        async with session.post(url, headers=headers) as answer:
            await answer.read()
            answer.raise_for_status()
        asked[user, lesson] = begun, time.perf_counter()

    # What is measured begins when everything is warm.
    for one in todo[-20:]:
        await complete(*one)
    asked.clear()
    tasks = []
    for one in todo[: plan.changes]:
        tasks.append(asyncio.create_task(complete(*one)))
        await asyncio.sleep(1 / plan.rate)
    await asyncio.gather(*tasks)
    await asyncio.sleep(2)
    lost = [one for one in asked if one not in arrivals]
    if lost:
        raise RuntimeError(f"{len(lost)} of {len(asked)} changes were never told")
    for one, (begun, answered) in asked.items():
        found.from_request.append(arrivals[one] - begun)
        found.from_answer.append(max(0.0, arrivals[one] - answered))


async def _browsers(stack: Target, course: Course, user: str, plan: Plan, found: Lives) -> None:
    try:
        program = chromium.find()
    except (OSError, ValueError) as problem:
        say(f"live: no browser, so no windows: {problem}")
        return
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program.path,
            env={**os.environ, **program.environment},
            args=["--no-sandbox", "--disable-dev-shm-usage"],
        )
        for _ in range(plan.openings):
            await _open(stack, browser, user, found)
        first = await (await _context(stack, browser, user)).new_page()
        second = await (await _context(stack, browser, user)).new_page()
        await second.goto(f"/#/course/{course.id}")
        await second.locator("html[data-live=true]").wait_for()
        await second.locator(".percent span").wait_for()
        for lesson in course.lessons[: plan.clicks]:
            await _click(first, second, course, lesson, found)
        await browser.close()


async def _context(stack: Target, browser: Browser, user: str) -> BrowserContext:
    session = {
        "access_token": stack.token(user),
        "refresh_token": "none",
        "token_type": "bearer",
        "expires_in": 7200,
        "expires_at": int(time.time()) + 7200,
        "user": {"id": user, "email": "", "user_metadata": {}, "app_metadata": {}},
    }
    kept = [{"name": "sb-127-auth-token", "value": json.dumps(session)}]
    state: Any = {"cookies": [], "origins": [{"origin": stack["API_URL"], "localStorage": kept}]}
    context = await browser.new_context(base_url=stack["API_URL"], storage_state=state)
    await context.add_init_script(WATCH)
    return context


async def _open(stack: Target, browser: Browser, user: str, found: Lives) -> None:
    """The catalogue, in a browser whose cache is empty."""
    context = await _context(stack, browser, user)
    page = await context.new_page()
    await page.goto("/")
    await _until(page, "!!(window.usable && window.largest)")
    await page.wait_for_load_state("networkidle")
    found.usable.append(await page.evaluate("window.usable") / 1000)
    found.largest.append(await page.evaluate("window.largest") / 1000)
    await context.close()


async def _click(first: Page, second: Page, course: Course, lesson: str, found: Lives) -> None:
    await first.goto(f"/#/course/{course.id}/lesson/{lesson}")
    await first.locator(".complete").wait_for()
    # Opening a lesson is news, too: let it pass.
    await first.wait_for_timeout(300)
    before = await second.evaluate("window.marks.length")
    clicked = await first.evaluate(
        "() => { const at = performance.timeOrigin + performance.now();"
        " document.querySelector('.complete').click(); return at }"
    )
    await _until(second, f"window.marks.length > {before}")
    shown = await second.evaluate(f"window.marks[{before}].at")
    found.windows.append((shown - clicked) / 1000)


async def _until(page: Page, wanted: str) -> None:
    """Wait for an expression; the player's policy forbids Playwright's own way to."""
    deadline = time.monotonic() + 30
    while not await page.evaluate(wanted):
        if time.monotonic() > deadline:
            raise RuntimeError(f"not after 30 s: {wanted}")
        await asyncio.sleep(0.02)


def _costs(db: Db, tag: str, plan: Plan, found: Lives) -> None:
    """Completions with and without their message, turn by turn in one session."""
    say("live: what a message costs")
    course = seed.make_course(db, tag, 50)
    users = seed.make_learners(db, tag, 2 * max(1, plan.completions // 20) + 2)
    seed.enrol(db, course.id, users)
    clock = CpuClock(db.info.backend_pid)
    logged: dict[bool, list[float]] = {True: [], False: []}
    for turn, user in enumerate(users):
        is_told = turn % 2 == 0
        for statement in TRIGGERS:
            db.execute(statement.format("enable" if is_told else "disable"))  # type: ignore[arg-type]
        become(db, user)
        # New triggers, new plans.
        for lesson in course.lessons[:5]:
            db.execute("select public.complete_lesson(%s)", [lesson])
        for lesson in course.lessons[5:25] if turn > 1 else ():
            before = _written(db)
            cost = found.told if is_told else found.untold
            explain(db, clock, cost, "select public.complete_lesson(%s)", lesson)
            logged[is_told].append(_written(db) - before)
        db.execute("reset role")
        db.execute("select set_config('request.jwt.claims', '', false)")
    for statement in TRIGGERS:
        db.execute(statement.format("enable"))  # type: ignore[arg-type]
    found.told_wal, found.untold_wal = median(logged[True]), median(logged[False])


def _written(db: Db) -> float:
    row = db.execute("select pg_current_wal_insert_lsn() - '0/0'").fetchone()
    assert row is not None
    return float(row[0])
