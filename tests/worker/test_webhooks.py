"""Webhooks by the real worker, to a receiver that fails in every way; others' code verifies."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from shared.worker import webhooks
from tests.http.test_import_command import command
from tests.support.catalog import Course, make_course
from tests.support.learners import Learner
from tests.worker.conftest import Office


@dataclass
class Message:
    """One that came in."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)["data"]
        return found

    @property
    def what(self) -> tuple[str, str | None]:
        return self.data["user_id"], self.data["lesson_id"]


class Receiver:
    """Somebody's server: `behave` says what it does with a message."""

    def __init__(self) -> None:
        self.behave: Callable[[Message], int | None] = lambda _: 204
        self.seen: list[Message] = []
        self.taken: list[Message] = []
        self.moved_to = ""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                headers = {name.lower(): value for name, value in self.headers.items()}
                message = Message(headers, self.rfile.read(length))
                outer.seen.append(message)
                status = outer.behave(message)
                if status is None:
                    self.close_connection = True
                    return
                if status < 300:
                    outer.taken.append(message)
                self.send_response(status)
                self.send_header("Location", outer.moved_to)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Desk:
    """An endpoint at a receiver, told of one course."""

    def __init__(self, office: Office, receiver: Receiver) -> None:
        self.office = office
        self.receiver = receiver
        self.course: Course = make_course(office.stack, 6, certificate_enabled=False)
        answer = office.one(
            "select private.put_webhook(null, %s, null, null, %s, true)",
            receiver.url,
            [self.course.id],
        )
        self.id = answer["webhook"]["id"]
        self.secret = answer["secret"]

    def people(self, count: int) -> list[Learner]:
        """Enrolled, and the receiver knows."""
        made = self.office.learners(count, self.course)
        self.work()
        self.receiver.seen.clear()
        self.receiver.taken.clear()
        return made

    def complete(self, learner: Learner, *places: int) -> None:
        with learner.client() as me:
            for place in places:
                me.complete_lesson(self.course.lessons[place])

    def work(self) -> None:
        self.office.work()

    def hurry(self) -> None:
        """What waits for its next attempt is due."""
        self.office.rows("update private.webhook_deliveries set run_at = now()")
        self.office.rows("update private.webhooks set run_at = now()")

    @property
    def row(self) -> dict[str, Any]:
        found = self.office.one(
            "select private.webhook_json(w) from private.webhooks w where w.id = %s", self.id
        )
        assert isinstance(found, dict)
        return found

    def expected(self, learner: Learner, *places: int) -> list[tuple[str, str]]:
        return [(learner.id, self.course.lessons[place]) for place in places]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def desk(office: Office, receiver: Receiver) -> Iterator[Desk]:
    setting = "update private.settings set value = %s where name = 'webhook_local_urls'"
    office.rows(setting, "on")
    office.rows("delete from private.webhooks")
    yield Desk(office, receiver)
    office.rows("delete from private.webhooks")
    office.rows(setting, "off")


def whats(messages: list[Message], learner: Learner) -> list[tuple[str, str | None]]:
    return [x.what for x in messages if x.data["user_id"] == learner.id and x.what[1]]


def test_events_come_signed_and_in_order(desk: Desk, receiver: Receiver) -> None:
    ann, ben = desk.people(2)
    desk.complete(ann, 0, 1)
    desk.complete(ben, 0)
    desk.complete(ann, 2)
    assert receiver.seen == []
    desk.work()
    assert whats(receiver.taken, ann) == desk.expected(ann, 0, 1, 2)
    assert whats(receiver.taken, ben) == desk.expected(ben, 0)
    assert len({x.id for x in receiver.taken}) == len(receiver.taken) == 4
    for message in receiver.taken:
        body = Webhook(desk.secret).verify(message.body, message.headers)
        assert body["type"] == "lesson.completed"
        with pytest.raises(WebhookVerificationError):
            Webhook(desk.secret).verify(message.body + b" ", message.headers)
    # Nothing is left but the cursor.
    assert desk.office.one("select count(*) from private.webhook_deliveries") == 0
    desk.work()
    assert len(receiver.seen) == 4


def test_of_two_secrets_both_sign_until_the_former_ends(desk: Desk, receiver: Receiver) -> None:
    (ann,) = desk.people(1)
    new = desk.office.one("select private.rotate_webhook_secret(%s, 24)", desk.id)["secret"]
    desk.complete(ann, 0)
    desk.work()
    for secret in (desk.secret, new):
        Webhook(secret).verify(receiver.taken[0].body, receiver.taken[0].headers)
    desk.office.rows("update private.webhooks set former_until = now()")
    desk.complete(ann, 1)
    desk.work()
    Webhook(new).verify(receiver.taken[1].body, receiver.taken[1].headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(desk.secret).verify(receiver.taken[1].body, receiver.taken[1].headers)


def test_one_learners_failure_holds_back_nobody_else(desk: Desk, receiver: Receiver) -> None:
    ann, ben = desk.people(2)
    stuck = desk.expected(ann, 1)[0]
    receiver.behave = lambda x: 500 if x.what == stuck else 204
    desk.complete(ann, 0, 1, 2)
    desk.complete(ben, 0, 1)
    desk.work()
    desk.complete(ann, 3)
    desk.complete(ben, 2)
    desk.work()
    assert whats(receiver.taken, ann) == desk.expected(ann, 0)
    assert whats(receiver.taken, ben) == desk.expected(ben, 0, 1, 2)
    assert (desk.row["held"], desk.row["dead"], desk.row["last_error"]) == (3, 0, "HTTP 500")
    desk.hurry()
    desk.work()
    receiver.behave = lambda _: 200
    desk.hurry()
    desk.work()
    assert whats(receiver.taken, ann) == desk.expected(ann, 0, 1, 2, 3)
    tries = [x for x in receiver.seen if x.what == stuck]
    assert (len(tries), len({x.id for x in tries})) == (3, 1)
    assert desk.row["held"] == 0


@pytest.mark.parametrize("how", ["500", "closes", "hangs", "redirects", "away"])
def test_while_nothing_gets_through_nothing_piles_up(
    desk: Desk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(webhooks, "TIMEOUT", webhooks.aiohttp.ClientTimeout(total=0.5))
    people = desk.people(3)
    receiver.moved_to = receiver.url.replace("/hook", "/other")
    ended = threading.Event()

    def fail(_: Message) -> int | None:
        if how == "hangs":
            ended.wait(5)
        return {"500": 500, "redirects": 307}.get(how)

    receiver.behave = fail
    if how == "away":
        desk.office.rows("update private.webhooks set url = 'http://127.0.0.1:1/hook'")
    for place in range(2):
        for someone in people:
            desk.complete(someone, place)
    for _ in range(2):
        desk.work()
        desk.hurry()
    ended.set()
    row = desk.row
    assert (row["held"], row["failures"], row["state"]) == (0, 2, "failing")
    assert row["last_error"]
    assert receiver.taken == []
    receiver.behave = lambda _: 204
    desk.office.rows("update private.webhooks set url = %s", receiver.url)
    desk.work()
    for someone in people:
        assert whats(receiver.taken, someone) == desk.expected(someone, 0, 1)
    assert (desk.row["held"], desk.row["state"]) == (0, "working")


def test_after_many_attempts_a_delivery_is_dead_until_it_is_retried(
    desk: Desk, receiver: Receiver
) -> None:
    ann, ben = desk.people(2)
    stuck = desk.expected(ann, 0)[0]
    receiver.behave = lambda x: 500 if x.what == stuck else 204
    desk.complete(ann, 0, 1)
    desk.complete(ben, 0)
    desk.work()
    desk.office.rows("update private.webhook_deliveries set attempts = 15 where attempts > 0")
    desk.hurry()
    desk.work()
    assert (desk.row["held"], desk.row["dead"]) == (2, 1)
    desk.hurry()
    desk.work()
    assert len([x for x in receiver.seen if x.what == stuck]) == 2
    receiver.behave = lambda _: 204
    told = command(desk.office.stack, "webhooks", "deliveries", desk.id).stdout
    assert "dead  HTTP 500" in told
    assert "waits behind another" in told
    desk.office.rows("select private.retry_webhook(%s, false)", desk.id)
    desk.work()
    assert whats(receiver.taken, ann) == desk.expected(ann, 0, 1)

    receiver.behave = lambda x: 500 if x.what == desk.expected(ann, 2)[0] else 204
    desk.complete(ann, 2, 3)
    desk.work()
    desk.office.rows("update private.webhook_deliveries set attempts = 15 where attempts > 0")
    desk.hurry()
    desk.work()
    desk.office.rows("select private.retry_webhook(%s, true)", desk.id)
    desk.work()
    assert whats(receiver.taken, ann) == desk.expected(ann, 0, 1, 3)


def test_who_says_gone_is_left_alone(desk: Desk, receiver: Receiver) -> None:
    (ann,) = desk.people(1)
    receiver.behave = lambda _: 410
    desk.complete(ann, 0)
    desk.work()
    desk.hurry()
    desk.work()
    assert (len(receiver.seen), desk.row["state"]) == (1, "disabled")


def test_only_what_was_asked_for_comes(desk: Desk, receiver: Receiver) -> None:
    desk.office.rows("update private.webhooks set kinds = '{course_completed}'")
    (ann,) = desk.people(1)
    desk.complete(ann, *range(6))
    desk.work()
    assert [x.data["kind"] for x in receiver.taken] == ["course_completed"]


def test_a_completion_pays_nothing_for_them(desk: Desk) -> None:
    """No row of theirs is written, with six endpoints."""
    ann, ben = desk.people(2)

    def rows() -> list[Any]:
        # Where a row lies and who wrote it: whatever writes, even the same again, changes that.
        return [
            desk.office.rows(f"select ctid::text, xmin::text from private.{table} order by 1")
            for table in ("jobs", "webhooks", "webhook_deliveries")
        ]

    for _ in range(5):
        desk.office.one(
            "select private.put_webhook(null, %s, null, null, null, true)", "https://x.y"
        )
    before = rows()
    desk.complete(ann, 0, 1)
    desk.complete(ben, 0)
    assert rows() == before


def test_admins_manage_endpoints_by_command(desk: Desk, receiver: Receiver) -> None:
    stack = desk.office.stack
    done = command(stack, "webhooks", "put", receiver.url, "--kind", "enrolled", "--course", "1")
    assert done.returncode == 0, done.stderr
    assert "whsec_" in done.stdout
    made = done.stdout.split()[1].rstrip(":")
    with pytest.raises(psycopg.Error, match="no kind of event"):
        desk.office.rows(
            "select private.put_webhook(null, %s, null, '{no_such}', null, true)", receiver.url
        )
    desk.office.rows("select private.test_webhook(%s)", made)
    desk.work()
    message = receiver.taken[-1]
    assert json.loads(message.body)["type"] == "webhook.test"
    secret = done.stdout.split()[-1]
    Webhook(secret).verify(message.body, message.headers)
    desk.office.rows("select private.rotate_webhook_secret(%s, 1)", made)
    listed = command(stack, "webhooks", "list").stdout
    assert made in listed
    assert "whsec_" not in listed
    assert command(stack, "webhooks", "delete", made).returncode == 0
    audit = desk.office.rows(
        "select action, before::text, after::text from public.audit_log where subject = %s",
        f"webhook:{made}",
    )
    assert {action for action, *_ in audit} == {"webhook.put", "webhook.rotate", "webhook.delete"}
    assert "whsec_" not in str(audit)


INSIDE = (
    "127.0.0.1", "localhost", "10.1.2.3", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254",
    "[fd00::1]", "[64:ff9b::a01:203]", "[2002:a01:203::]", "100.64.0.1", "0.0.0.0",
    "2130706433", "127.1",
)  # fmt: skip


def test_no_event_goes_inside(desk: Desk, receiver: Receiver) -> None:
    (ann,) = desk.people(1)
    port = receiver.url.rsplit(":", 1)[1].split("/")[0]
    desk.office.rows("update private.settings set value = 'off' where name = 'webhook_local_urls'")
    desk.complete(ann, 0)
    told = set()
    for host in INSIDE:
        desk.office.rows("update private.webhooks set url = %s", f"https://{host}:{port}/hook")
        desk.hurry()
        desk.work()
        told.add(desk.row["last_error"])
        desk.office.rows("update private.webhooks set last_error = null")
    assert receiver.seen == []
    # The last two are no addresses to aiohttp.
    assert told == {
        "the address is a private one", "localhost has no public address", "InvalidUrlClientError",
    }  # fmt: skip


def test_only_https_goes_out(desk: Desk, receiver: Receiver) -> None:
    (ann,) = desk.people(1)
    desk.office.rows("update private.settings set value = 'off' where name = 'webhook_local_urls'")
    desk.complete(ann, 0)
    desk.work()
    assert (receiver.seen, desk.row["last_error"]) == ([], "the address is not https")
    put = "select private.put_webhook(null, %s, null, null, null, true)"
    for url in (receiver.url, "ftp://x.y", "https://a:b@x.y/", "https://x.y/#f", "https:///x", ""):
        with pytest.raises(psycopg.Error, match="url must"):
            desk.office.rows(put, url)


def test_a_name_that_turns_inward_is_not_followed() -> None:
    async def resolve(name: str) -> Any:
        return await webhooks._Public().resolve(name, 443)

    with pytest.raises(webhooks.Forbidden):
        asyncio.run(resolve("localhost"))
    assert asyncio.run(resolve("8.8.8.8"))[0]["host"] == "8.8.8.8"


@pytest.mark.long
def test_a_killed_worker_sends_again_what_it_did_not_report(desk: Desk, receiver: Receiver) -> None:
    ann, ben = desk.people(2)
    reached, go = threading.Event(), threading.Event()

    def behave(_: Message) -> int:
        if not go.is_set():
            reached.set()
            go.wait(20)
        return 204

    receiver.behave = behave
    desk.complete(ann, 0, 1)
    desk.complete(ben, 0)
    desk.office.hire()
    assert reached.wait(20)
    desk.office.dismiss()
    go.set()
    desk.office.hire()
    desk.office.until(lambda: len({x.id for x in receiver.taken}) == 3 and not desk.office.depth())
    order = list(dict.fromkeys(x.what for x in receiver.taken if x.what[0] == ann.id))
    assert order == desk.expected(ann, 0, 1)
    assert len(receiver.seen) > 3
