"""The worker on the stack: processes of it, the mails that were kept, learners who finish."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from shared import pool
from shared.admin import service
from shared.settings import read
from shared.worker.queue import Worker
from tests.stack import Stack
from tests.support.catalog import Course, make_course
from tests.support.learners import Learner, enroll, make_learners

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0
LEASE_SECONDS = 4  # of workers that are killed: what they held is due again soon


class Office:
    """What a test of the worker needs: the queue, Storage, the mails, and hands to work with."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.database = stack.connect(autocommit=True)
        self.mail_folder = Path(stack.extra("MAIL_FOLDER"))
        self.known = {path.name for path in self.mail_folder.glob("*.eml")}
        self.hands: list[subprocess.Popen[bytes]] = []
        self.log = self.mail_folder.parent / "logs" / "hands.log"
        self.database.execute("delete from private.jobs")
        self.log.unlink(missing_ok=True)

    # The database

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of a statement of the operator."""
        cursor = self.database.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    def one(self, statement: str, *values: Any) -> Any:
        """The one value of a statement of the operator."""
        ((value,),) = self.rows(statement, *values)
        return value

    def depth(self) -> int:
        """Jobs that are not dead."""
        return int(self.one("select count(*) from private.jobs where died_at is null"))

    def at_work(self) -> bool:
        """Whether a worker holds a job at this moment."""
        return bool(self.one("select count(*) from private.jobs where lease is not null"))

    def hurry(self) -> None:
        """Have what waits for its next attempt due now; leases are left alone."""
        self.rows("update private.jobs set run_at = now() where lease is null and died_at is null")

    # Workers

    @property
    def environment(self) -> dict[str, str]:
        """What a worker's process has to know of this stack."""
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "SUPABASE_URL": self.stack.api_url,
            "SUPABASE_PUBLISHABLE_KEY": self.stack.publishable_key,
            "SUPABASE_SECRET_KEY": self.stack.secret_key,
            "WAYMARK_WORKER_SECRET": self.stack.extra("WORKER_SECRET"),
            "WAYMARK_FUNCTIONS_URL": self.stack.functions_url,
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": self.stack.extra("MAIL_PORT"),
            "SMTP_ADMIN_EMAIL": "waymark@example.com",
        }

    def hire(self, lease_seconds: int = LEASE_SECONDS, **env: str) -> subprocess.Popen[bytes]:
        """Start a worker's process."""
        with self.log.open("ab") as log:
            hand = subprocess.Popen(
                [sys.executable, "-P", "-m", "tests.worker.hand", str(lease_seconds)],
                cwd=ROOT,
                env={**self.environment, **env},
                stdout=log,
                stderr=log,
            )
        self.hands.append(hand)
        return hand

    def dismiss(self) -> None:
        """End all hands."""
        for hand in self.hands:
            hand.kill()
        for hand in self.hands:
            hand.wait()
        self.hands.clear()

    def work(self, **env: str) -> None:
        """Work here until nothing is due and nothing is leased."""
        environment = {**self.environment, **env}
        config = read(environment).worker
        assert config is not None
        worker = Worker(config, service(environment))

        async def drain() -> None:
            try:
                await worker.drain()
            finally:
                await pool.close()

        def done() -> bool:
            asyncio.run(drain())
            return not self.one(
                "select count(*) from private.jobs where died_at is null"
                " and (run_at <= now() or lease is not null)"
            )

        self.until(done)

    def until(self, what: Callable[[], bool], patience: float = PATIENCE) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + patience
        while not what():
            assert time.monotonic() < deadline, (
                f"it did not come about; {self.rows('select * from private.jobs limit 5')}"
            )
            time.sleep(0.05)

    def lines(self) -> list[dict[str, Any]]:
        """What the workers' processes have logged."""
        if not self.log.exists():
            return []
        text = self.log.read_text("utf-8", errors="replace")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    # What came of it

    def mails(self, address: str | None = None) -> list[EmailMessage]:
        """Mails of this test, to one reader or to all."""
        found = []
        for path in sorted(self.mail_folder.glob("*.eml")):
            if path.name not in self.known:
                mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
                assert isinstance(mail, EmailMessage)
                if address in (None, mail["X-Envelope-To"]):
                    found.append(mail)
        return found

    def stored(self, learner: Learner) -> list[str]:
        """Names of the files in Storage that belong to a learner."""
        return [
            name
            for (name,) in self.rows(
                "select name from storage.objects where bucket_id = 'certificates'"
                " and name like %s || '/%%'",
                learner.id,
            )
        ]

    def pdf(self, learner: Learner) -> bytes:
        """The PDF of a learner's only certificate, by the address that the learner is given."""
        [(certificate, *_)] = self.certificates(learner)
        route = f"{self.stack.functions_url}/certificates/{certificate}/pdf"
        answer = httpx.get(route, headers=learner.headers())
        assert answer.status_code == 200, answer.text
        file = httpx.get(answer.json()["url"])
        assert file.status_code == 200, file.text
        return file.content

    def told(self, learner: Learner) -> dict[str, int]:
        """How many in-app messages of each kind."""
        return dict(
            self.rows(
                "select kind, count(*) from public.notifications where user_id = %s group by 1",
                learner.id,
            )
        )

    def certificates(self, learner: Learner) -> list[tuple[Any, ...]]:
        """The learner's certificates: id, code, whether rendered, digest and size."""
        return self.rows(
            "select id::text, code, rendered_at is not null, pdf_sha256, pdf_bytes"
            " from public.certificates where user_id = %s",
            learner.id,
        )

    # Learners

    def learners(self, count: int, course: Course) -> list[Learner]:
        """So many people with names, enrolled."""
        made = make_learners(self.stack, count)
        self.rows(
            "update public.profiles set display_name = 'Ada Lovelace' where id = any (%s::uuid[])",
            [learner.id for learner in made],
        )
        enroll(self.stack, made, course.id)
        return made

    def course(self, **columns: Any) -> Course:
        """A course of one lesson."""
        return make_course(self.stack, 1, **columns)

    def complete(self, learner: Learner, course: Course) -> None:
        """Finish a course, as its learner would."""
        with learner.client() as me:
            for lesson in course.lessons:
                me.complete_lesson(lesson)

    def close(self) -> None:
        """Leave nothing running and nothing waiting."""
        self.dismiss()
        self.rows("delete from private.jobs")
        self.database.close()


@pytest.fixture
def office(stack: Stack) -> Iterator[Office]:
    """The office, with an empty queue."""
    made = Office(stack)
    yield made
    made.close()


@pytest.fixture
def waker(stack: Stack) -> Iterator[None]:
    """The stack's own worker, which sleeps while other tests run."""
    pid = json.loads(Path(stack.extra("MAIL_FOLDER")).with_name("running.json").read_text())[
        "processes"
    ]["worker"][0]
    os.kill(pid, signal.SIGCONT)
    yield
    os.kill(pid, signal.SIGSTOP)
    with psycopg.connect(stack.db_url, autocommit=True) as connection:
        while connection.execute(
            "select 1 from private.jobs where lease is not null and run_at > now() limit 1"
        ).fetchone():
            time.sleep(0.05)
