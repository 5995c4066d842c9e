"""Mails about what a learner is told in the app: composed from the facts, and sent by SMTP.

The standard library does both: one connection carries a batch of mails one after another, so an
asynchronous client would gain nothing, and `email` writes headers that no name can break out of.
"""

from __future__ import annotations

import asyncio
import re
import smtplib
import ssl
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime, localtime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import idna
import jinja2

from shared.settings import LOOPBACK, Mail
from shared.worker.kinds import Facts, Failure, Kind

TIMEOUT = 10.0
LONGEST = 200
TEMPLATES = Path(__file__).parent / "templates"

# Letters that turn the line around, or end it: a name could make a mail read as it was not written.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


class _Policy(EmailPolicy):
    """Headers as RFC 5322 wants them, but for addresses that must stay in one piece.

    `email` would encode what is longer than a line, and no mail program decodes these two.
    """

    whole = ("list-unsubscribe", "message-id")

    def fold(self, name: str, value: str) -> str:
        if name.lower() in self.whole:
            return f"{name}: {value}{self.linesep}"
        folded: str = super().fold(name, value)
        return folded

    def fold_binary(self, name: str, value: str) -> bytes:
        if name.lower() in self.whole:
            return self.fold(name, value).encode("ascii")
        return super().fold_binary(name, value)


# Seven bits, since not every server takes eight.
POLICY = _Policy(linesep="\r\n", cte_type="7bit")


def clean(text: object) -> str:
    """One line of harmless text."""
    letters = (
        " " if unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs") or c in _TURNING else c
        for c in unicodedata.normalize("NFC", str(text or ""))
    )
    # `email` would decode an encoded word within it, line ends included, and write those out.
    line = " ".join("".join(letters).replace("=?", "= ?").split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def compose(facts: Facts, mail: Mail, functions_url: str) -> EmailMessage:
    """The mail that these facts make. Raises Failure for a kind or an address that is none."""
    certificate: Mapping[str, Any] = facts["certificate"] or {}
    data: Mapping[str, Any] = facts["data"]
    revoked = facts["kind"] == "certificate_revoked"
    code = "" if revoked else clean(certificate.get("code"))
    percent = data.get("percent")
    words = {
        "greeting": _greeting(facts["name"]),
        "course": clean(facts["course_title"] or data.get("course_title")) or "your course",
        "code": code,
        "reason": clean(data.get("reason")),
        "percent": None if percent is None else clean(percent),
        "passed": data.get("passed"),
        "expires_on": clean(data.get("expires_on")),
    }
    try:
        text = _text().get_template(f"{facts['kind']}.txt").render(words)
    except jinja2.TemplateNotFound:
        raise Failure(f"there is no mail for {facts['kind']}", tries=1) from None
    subject, *paragraphs = text.split("\n")
    unsubscribe = f"{functions_url}/notifications/unsubscribe/{facts['unsubscribe_token']}"
    page = {
        "subject": clean(subject),
        "paragraphs": [line for line in paragraphs if line.strip()],
        "link": f"{functions_url}/certificates/verify/{quote(code)}" if code else None,
        "unsubscribe": unsubscribe,
    }

    sender = _address(mail.sender, clean(mail.sender_name))
    message = EmailMessage(policy=POLICY)
    message["From"] = sender
    message["To"] = _address(facts["email"], clean(facts["name"]))
    message["Subject"] = page["subject"]
    message["Date"] = format_datetime(localtime())
    # Of the notification, not of the attempt: who gets the mail twice has the same one twice.
    message["Message-ID"] = f"<{facts['notification_id']}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message["List-Unsubscribe"] = f"<{unsubscribe}>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(_text().get_template("mail.txt").render(page))
    message.add_alternative(_html().get_template("mail.html").render(page), subtype="html")
    return message


def _greeting(name: object) -> str:
    """A name that looks like an address on the web would turn our mail into its advertisement."""
    line = clean(name)
    if not line or re.search(r"[:/@]|www\.", line, re.IGNORECASE):
        return "Hello,"
    return f"Dear {line},"


def _address(spec: str, name: str | None) -> Address:
    """An address fit for a header; its domain in ASCII. Raises Failure."""
    local, _, domain = spec.strip().rpartition("@")
    try:
        if not domain.isascii():
            domain = idna.encode(domain, uts46=True).decode()
        if local.isascii():
            return Address(name or "", addr_spec=f"{local}@{domain}")
        # Whether it takes such letters is for the mail server to say (SMTPUTF8); the form counts.
        Address(addr_spec="".join(c if c.isascii() else "x" for c in f"{local}@{domain}"))
        if not local.isprintable():
            raise ValueError
        return Address(name or "", local, domain)
    except (ValueError, IndexError, HeaderParseError):
        raise Failure("the mail address cannot be written to", tries=1) from None


@cache
def _text() -> jinja2.Environment:
    return _environment(escape=False)


@cache
def _html() -> jinja2.Environment:
    return _environment(escape=True)


def _environment(*, escape: bool) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=escape,
        undefined=jinja2.StrictUndefined,
    )


class Mails(Kind):
    """Sends mails over one connection per batch. Without a mail server they are dropped."""

    noun = "mail"
    done = "sent"

    _server: smtplib.SMTP | None = None
    _away: Failure | None = None

    def subject(self, facts: Facts) -> dict[str, Any]:
        return {"notification": facts["notification_id"], "kind": facts["kind"]}

    async def do(self, facts: Facts) -> dict[str, Any]:
        mail = self.config.mail
        if mail is None:
            return {"sent": False}
        message = compose(facts, mail, self.config.functions_url)
        try:
            await asyncio.to_thread(self._send, mail, message)
        except asyncio.CancelledError:
            # The thread goes on with the connection: the next mail takes another.
            self._server = None
            raise
        return {"sent": True}

    def _send(self, mail: Mail, message: EmailMessage) -> None:
        if self._server is None:
            self._server = self._connect(mail)
        recipient = message["To"].addresses[0].addr_spec
        try:
            self._server.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            raise _refused(*error.recipients[recipient], recipient, final=True) from None
        except smtplib.SMTPDataError as error:
            raise _refused(error.smtp_code, error.smtp_error, recipient, final=True) from None
        except smtplib.SMTPNotSupportedError:
            reason = "the mail server takes no addresses with such letters (SMTPUTF8)"
            raise Failure(reason, tries=1) from None
        except smtplib.SMTPResponseException as error:
            # The sender is refused, or the server will not talk: ours to mend, so tried again.
            raise _refused(error.smtp_code, error.smtp_error, recipient) from None
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            raise Failure(f"the connection to the mail server broke: {error}") from None

    def _connect(self, mail: Mail) -> smtplib.SMTP:
        """A connection, secure unless it stays on this machine; one failure holds for the batch."""
        if self._away is not None:
            raise self._away
        try:
            return _connect(mail)
        except (smtplib.SMTPException, OSError) as error:
            words = str(error) or type(error).__name__
            self._away = Failure(f"the mail server cannot be reached: {words}"[:500])
            raise self._away from None

    def _drop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            with suppress(smtplib.SMTPException, OSError):
                server.close()

    async def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            with suppress(smtplib.SMTPException, OSError):
                await asyncio.to_thread(server.quit)


def _connect(mail: Mail) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if mail.port == 465:
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            mail.host, mail.port, timeout=TIMEOUT, context=context
        )
    else:
        server = smtplib.SMTP(mail.host, mail.port, timeout=TIMEOUT)
    try:
        if mail.port != 465 and mail.host not in LOOPBACK:
            server.starttls(context=context)
        if mail.user is not None and mail.password is not None:
            server.login(mail.user, mail.password)
    except BaseException:
        server.close()
        raise
    return server


def _refused(status: int, words: bytes | str, recipient: str, *, final: bool = False) -> Failure:
    """The server's words, without the address: the reason outlives its owner. 5xx may be final."""
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    reason = clean(f"{status} {text}".replace(recipient, "…"))
    return Failure(reason, tries=1 if final and 500 <= status < 600 else None)
