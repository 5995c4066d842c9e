"""Mails: what names and titles cannot do to them, and what becomes of each answer of a server."""

from __future__ import annotations

import asyncio
import email
import email.policy
import re
import smtplib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP

from shared.settings import Mail, Worker
from shared.worker import mail as module
from shared.worker.kinds import Failure
from shared.worker.mail import Mails, clean, compose

BASE = "https://learn.example/functions/v1"
SERVER = Mail("127.0.0.1", 25, "learn@school.example", "The School", None, None)
KINDS = (
    "course_completed",
    "certificate_ready",
    "certificate_revoked",
    "certificate_reinstated",
    "certificate_reissued",
    "attempt_graded",
    "completion_expiring",
    "program_completed",
)
FACTS: dict[str, Any] = {
    "notification_id": "0b9c2a5e-7c1d-4f7e-9a43-1f6d2a1b3c4d",
    "kind": "certificate_ready",
    "data": {"percent": 66.67, "passed": False, "reason": "Sat by someone else"},
    "occurred_at": "2026-11-21T12:00:00+00:00",
    "email": "ada@example.org",
    "name": "Ada Lovelace",
    "course_id": 7,
    "course_title": "Reading Maps",
    "certificate": {"id": "x", "code": "ABCDE-FGHJK-MNPQR-STVWX"},
    "unsubscribe_token": "5e2f4a0c-0000-4000-8000-000000000000",
}
EVIL = (
    "Eve\r\nBcc: victim@example.org",
    "Eve\nSubject: hello\n\nbody",
    "Eve\r\n\r\n<script>alert(1)</script>",
    "Eve\u2028Bcc: victim@example.org",
    "Eve\x00\x0b\x0c\x85Bcc: victim@example.org",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }} {% raw %} ${7*7}",
    "</title></head><body onload=alert(1)>",
    'x" <victim@example.org>, "y',
    "=?utf-8?q?=0d=0aBcc:_victim=40example=2eorg?=",
    "Eve\u202egnp.exe",
    "E\ud800ve",
    "M" * 5000,
)


def written(**changed: Any) -> EmailMessage:
    """The mail as its reader's program parses it."""
    raw = compose({**FACTS, **changed}, SERVER, BASE).as_bytes()
    assert raw.isascii()
    assert max(map(len, raw.splitlines())) < 998
    parsed = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    assert parsed.defects == []
    return parsed


def texts(mail: EmailMessage) -> tuple[str, str]:
    """The plain text and the HTML."""
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert html is not None
    return plain.get_content(), html.get_content()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_mail_in_text_and_html(kind: str) -> None:
    mail = written(kind=kind)
    assert mail["From"] == "The School <learn@school.example>"
    assert mail["To"] == "Ada Lovelace <ada@example.org>"
    assert "Reading Maps" in mail["Subject"]
    plain, html = texts(mail)
    unsubscribe = f"{BASE}/notifications/unsubscribe/{FACTS['unsubscribe_token']}"
    for text in (plain, html):
        assert "Dear Ada Lovelace," in text
        assert "Reading Maps" in text
        assert unsubscribe in text
        verify = f"{BASE}/certificates/verify/ABCDE-FGHJK-MNPQR-STVWX"
        assert (verify in text) == (kind != "certificate_revoked")
        assert ("Sat by someone else" in text) == (kind == "certificate_revoked")
        assert ("66.67 %: not passed" in text) == (kind == "attempt_graded")
        assert "{" not in text.replace("{{", "")
    without = texts(written(kind=kind, certificate=None, data={}, name=None, course_title=None))
    assert "verify" not in without[0]
    assert without[0].startswith("Hello,")


def test_programs_learn_that_it_is_a_machine_and_how_to_end_it() -> None:
    """RFC 3834, RFC 2369 and RFC 8058; the same event has the same Message-ID."""
    mail = written()
    assert mail["Message-ID"] == f"<{FACTS['notification_id']}@school.example>"
    assert written()["Message-ID"] == mail["Message-ID"]
    assert written(notification_id="another")["Message-ID"] != mail["Message-ID"]
    assert mail["Auto-Submitted"] == "auto-generated"
    link = f"{BASE}/notifications/unsubscribe/{FACTS['unsubscribe_token']}"
    assert mail["List-Unsubscribe"] == f"<{link}>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["Date"] is not None
    # In one piece, though it is longer than a line: programs do not decode it.
    base = f"https://{'a' * 60}.{'b' * 60}.example/functions/v1"
    raw = compose(FACTS, SERVER, base).as_bytes()
    assert re.search(rb"^List-Unsubscribe: <https://[^\s?]+>\r?$", raw, re.MULTILINE)


@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
@pytest.mark.parametrize("field", ["name", "course_title", "reason", "code"])
def test_no_text_breaks_out_of_its_place(field: str, evil: str) -> None:
    changed: dict[str, Any] = {field: evil}
    kind = "certificate_ready"
    if field == "reason":
        kind, changed = "certificate_revoked", {"data": {"reason": evil}}
    elif field == "code":
        changed = {"certificate": {"id": "x", "code": evil}}
    mail, usual = written(kind=kind, **changed), written(kind=kind)
    # Not a header more, not a part more, not a reader more.
    assert mail.keys() == usual.keys()
    assert [part.get_content_type() for part in mail.walk()] == [
        "multipart/alternative", "text/plain", "text/html",
    ]  # fmt: skip
    [reader] = mail["To"].addresses
    assert reader.addr_spec == "ada@example.org"
    assert len(mail["Subject"]) < 300
    plain, html = texts(mail)
    assert len(plain.splitlines()) == len(texts(usual)[0].splitlines())
    assert not re.search(r"<(script|img)|onload=alert[^&]*>(?!.*&gt;)", html.replace("&#34;", ""))
    tags = re.findall(r"<(/?\w+)", html)
    assert tags == re.findall(r"<(/?\w+)", texts(usual)[1])
    assert "49" not in plain.replace("a49", "")
    assert not set(plain + html + str(mail["Subject"])) & set("\u202e\u2028\x00\x0b\x85")


def test_a_name_that_advertises_is_not_repeated() -> None:
    """Who signs up with another's address and such a name would have us send the advertisement."""
    for name in ("Win at https://evil.example", "www.evil.example", "call me @evil", "a/b"):
        plain, html = texts(written(name=name))
        assert plain.startswith("Hello,")
        assert name not in plain + html


def test_text_is_cleaned_not_mangled() -> None:
    assert clean("  Łukasz \t Żółć\n") == "Łukasz Żółć"
    assert clean("محمد عبد الله") == "محمد عبد الله"
    assert clean("क्\u200dष") == "क्\u200dष"  # a joiner that changes how letters look stays
    assert clean(None) == ""
    assert clean("é" * 300) == "é" * 199 + "…"


@pytest.mark.parametrize(
    ("address", "written_as"),
    [
        ("ada@example.org", "ada@example.org"),
        ("a.d+a@sub.example.org", "a.d+a@sub.example.org"),
        # By today's rule: the older one would have sent it to strasse.de.
        ("ada@straße.de", "ada@xn--strae-oqa.de"),
        ("dörte@bücher.example", "dörte@xn--bcher-kva.example"),
    ],
)
def test_addresses_of_all_countries(address: str, written_as: str) -> None:
    mail = compose({**FACTS, "email": address}, SERVER, BASE)
    assert mail["To"].addresses[0].addr_spec == written_as


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "@example.org",
        "ada@",
        "a@b\r\nBcc: c@d",
        "a@b, c@d",
        "<a@b> c",
        "a b@c.d",
        "ä\n@b.c",
    ],
)
def test_what_is_no_address_is_told_so_for_good(address: str) -> None:
    with pytest.raises(Failure) as caught:
        compose({**FACTS, "email": address}, SERVER, BASE)
    assert caught.value.tries == 1
    assert address == "" or address not in str(caught.value)


def test_a_kind_that_is_not_known_fails_for_good() -> None:
    with pytest.raises(Failure) as caught:
        compose({**FACTS, "kind": "../mail"}, SERVER, BASE)
    assert caught.value.tries == 1


# A server that answers as it is told to


class Keeper:
    """Keeps mails, and answers by `rcpt` and `data` once they are set."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], bytes]] = []
        self.rcpt: Callable[[str], str | None] = lambda address: None
        self.data: Callable[[], str | None] = lambda: None
        self.sessions = 0

    async def handle_EHLO(
        self, server: SMTP, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        self.sessions += 1
        session.host_name = hostname
        return responses

    async def handle_RCPT(
        self, server: SMTP, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        refused = self.rcpt(address)
        if refused:
            return refused
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        answer = self.data()
        if answer == "die":
            server.transport.abort()
            return "421 gone"
        if answer:
            return answer
        self.mails.append((list(envelope.rcpt_tos), envelope.content))
        return "250 OK"


@contextmanager
def serving(keeper: Keeper, **options: Any) -> Iterator[int]:
    """Serve on a port of our own."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    port = 0

    async def serve() -> None:
        nonlocal port
        server = await loop.create_server(
            lambda: SMTP(keeper, loop=loop, **options), "127.0.0.1", 0
        )
        port = server.sockets[0].getsockname()[1]
        ready.set()
        async with server:
            await stop.wait()

    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    ready.wait()
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.fixture
def keeper() -> Keeper:
    return Keeper()


@pytest.fixture
def port(keeper: Keeper) -> Iterator[int]:
    with serving(keeper, enable_SMTPUTF8=True) as number:
        yield number


def send(port: int, *facts: dict[str, Any], server: Mail = SERVER) -> list[Any]:
    """Send a batch; answers and failures in order."""
    config = Worker(BASE, None, Mail(server.host, port, server.sender, None, None, None), "s" * 32)

    async def batch() -> list[Any]:
        mails, answers = Mails(config, None), []  # type: ignore[arg-type]
        for entry in facts:
            try:
                answers.append(await mails.do(entry))
            except Failure as failure:
                answers.append(failure)
        await mails.close()
        return answers

    return asyncio.run(batch())


def to(address: str) -> dict[str, Any]:
    return {**FACTS, "email": address}


def test_a_batch_goes_over_one_connection(keeper: Keeper, port: int) -> None:
    addresses = ["a@example.org", "b@example.org", "dörte@bücher.example"]
    assert send(port, *map(to, addresses)) == [{"sent": True}] * 3
    assert [readers for readers, _ in keeper.mails] == [
        ["a@example.org"], ["b@example.org"], ["dörte@xn--bcher-kva.example"],
    ]  # fmt: skip
    assert keeper.sessions == 1


def test_a_reader_who_is_refused_holds_up_nobody(keeper: Keeper, port: int) -> None:
    answers = {
        "no@example.org": "550 5.1.1 <no@example.org> is not here",
        "full@example.org": "452 4.2.2 Mailbox full",
    }
    keeper.rcpt = answers.get
    no, full, ok = send(port, to("no@example.org"), to("full@example.org"), to("ok@example.org"))
    assert ok == {"sent": True}
    assert (no.tries, str(no)) == (1, "550 5.1.1 <…> is not here")
    assert (full.tries, str(full)) == (None, "452 4.2.2 Mailbox full")
    assert [readers for readers, _ in keeper.mails] == [["ok@example.org"]]


def test_a_mail_that_is_refused_for_what_it_says_is_dead_and_a_busy_server_is_not(
    keeper: Keeper, port: int
) -> None:
    script = ["554 5.7.1 Looks like spam", "451 4.3.0 Try later", None]
    keeper.data = lambda: script.pop(0)
    spam, later, ok = send(port, *[to("a@example.org")] * 3)
    assert (spam.tries, later.tries, ok) == (1, None, {"sent": True})


def test_a_connection_that_breaks_is_made_anew(keeper: Keeper, port: int) -> None:
    script = ["die", None]
    keeper.data = lambda: script.pop(0)
    broken, ok = send(port, *[to("a@example.org")] * 2)
    assert broken.tries is None
    assert "broke" in str(broken)
    assert ok == {"sent": True}


def test_a_server_that_is_away_is_asked_once_per_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        number = taken.getsockname()[1]
        real = module._connect
        monkeypatch.setattr(module, "_connect", lambda mail: asked.append(mail) or real(mail))
        answers = send(number, *[to("a@example.org")] * 3)
    assert len(asked) == 1
    assert [answer.tries for answer in answers] == [None] * 3
    assert all("cannot be reached" in str(answer) for answer in answers)


def test_letters_that_the_server_does_not_take_are_told_for_good(keeper: Keeper) -> None:
    with serving(keeper, enable_SMTPUTF8=False) as number:
        [failure] = send(number, to("dörte@example.org"))
    assert failure.tries == 1
    assert "SMTPUTF8" in str(failure)


def test_a_password_never_travels_in_the_clear(keeper: Keeper, port: int) -> None:
    """A server that is not this machine must offer TLS, or nothing is said to it."""
    server = Mail("waymark.invalid", port, "a@b.example", None, "user", "s3cret")
    real = smtplib.SMTP

    def here(host: str, *rest: Any, **options: Any) -> smtplib.SMTP:
        return real("127.0.0.1", *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(smtplib, "SMTP", here)
        with pytest.raises(smtplib.SMTPNotSupportedError, match="STARTTLS"):
            module._connect(server)
    assert keeper.mails == []


def test_without_a_mail_server_mails_are_dropped() -> None:
    mails = Mails(Worker(BASE, None, None, "s" * 32), None)  # type: ignore[arg-type]
    assert asyncio.run(mails.do(FACTS)) == {"sent": False}
