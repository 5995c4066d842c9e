"""Certificates written by SQL, in every state that one can be in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from tests.stack import Stack
from tests.support import sessions
from tests.support.learners import Learner, make_learner

# What a browser sends for a page.
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
COMPLETED = datetime(2026, 3, 4, 22, 30, 15, 123456, tzinfo=UTC)
ISSUED = datetime(2026, 3, 4, 22, 30, 16, 654321, tzinfo=UTC)
LATER = datetime(2026, 4, 5, 6, 7, 8, tzinfo=UTC)


@dataclass(frozen=True)
class Certificate:
    """What a test needs of a row."""

    id: str
    code: str
    learner: Learner


class Certificates:
    """Makes certificates, and removes them with their learners."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.connection = sessions.take(stack, dict_row)
        self._learners: list[str] = []
        self._made: list[str] = []

    def issue(self, learner: Learner | None = None, **columns: Any) -> Certificate:
        """One certificate, valid unless the columns say otherwise."""
        if learner is None:
            learner = make_learner(self.stack)
            self._learners.append(learner.id)
        values = {
            "user_id": learner.id,
            "course_id": 4711,
            "learner_name": "Ada Lovelace",
            "course_title": "Notes on the Engine",
            "author": "Charles Babbage",
            "hours": 12.5,
            "score": 91.25,
            "completed_at": COMPLETED,
            "completed_on": "2026-03-05",
            "issued_at": ISSUED,
            "issued_on": "2026-03-05",
            **columns,
        }
        names = sql.SQL(", ").join(map(sql.Identifier, values))
        places = sql.SQL(", ").join(map(sql.Placeholder, values))
        row = self.connection.execute(
            sql.SQL(
                "insert into public.certificates (code, {}) values (private.certificate_code(), {})"
                " returning id::text, code"
            ).format(names, places),
            values,
        ).fetchone()
        assert row is not None
        self._made.append(row["id"])
        return Certificate(row["id"], row["code"], learner)

    def set(self, certificate: Certificate, **columns: Any) -> None:
        """Change its row."""
        changes = sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name))
            for name in columns
        )
        self.connection.execute(
            sql.SQL("update public.certificates set {} where id = %(id)s").format(changes),
            {**columns, "id": certificate.id},
        )

    def revoke(self, certificate: Certificate, reason: str = "Issued by mistake") -> None:
        """Take it back, on LATER."""
        self.set(certificate, revoked_at=LATER, revoked_reason=reason)

    def reinstate(self, certificate: Certificate) -> None:
        """Make it good again."""
        self.set(certificate, revoked_at=None, revoked_reason=None, reinstated_at=LATER)

    def supersede(self, certificate: Certificate, **columns: Any) -> Certificate:
        """Another in its place."""
        self.set(certificate, superseded_at=LATER)
        newer = self.issue(certificate.learner, **columns)
        self.set(certificate, superseded_by=newer.id)
        return newer

    def erase(self, certificate: Certificate) -> None:
        """Leave the stub that stays of an erased learner's."""
        self.set(certificate, user_id=None, learner_name=None, enrollment_id=None, pdf_path=None)

    def adopt(self, certificate: str) -> None:
        """Remove this one too in the end."""
        self._made.append(certificate)

    def adopt_learner(self, learner: Learner) -> None:
        """Remove this learner too in the end."""
        self._learners.append(learner.id)

    def place(self, certificate: Certificate) -> int:
        """Its place over all status lists."""
        row = self.connection.execute(
            "select status_index from public.certificates where id = %s", [certificate.id]
        ).fetchone()
        assert row is not None
        found: int = row["status_index"]
        return found

    def forget_visitors(self) -> None:
        """Give every address a full bucket."""
        self.connection.execute("delete from private.rate_buckets where bucket = 'verify'")

    def close(self) -> None:
        """Remove all that was made."""
        self.connection.execute("delete from public.certificates where id = any (%s)", [self._made])
        self.connection.execute("delete from auth.users where id = any (%s)", [self._learners])
        sessions.hand_on(self.stack, self.connection)
