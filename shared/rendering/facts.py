"""What a certificate says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

Paper = Literal["a4", "letter"]


class RenderError(Exception):
    """A certificate could not be made; the message is one line for the operator.

    It holds no path, no stack trace and no more than a few hundred characters, so that a dead
    letter may quote it.
    """


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """The snapshot that a certificate is made of: the same facts give the same bytes."""

    learner_name: str
    course_title: str
    completed_on: date
    issued_on: date
    code: str
    verify_url: str
    author: str | None = None
    issuer_name: str | None = None
    hours: Decimal | None = None
    score: Decimal | None = None  # percent
    expires_on: date | None = None
