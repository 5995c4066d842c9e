"""Certificates, what blocks them, and the issuer's keys."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from shared.answers.kinds import Day, Percent, Time, Uuid

CertificateStatus = Literal["valid", "revoked", "superseded", "expired"]


class Certificate(TypedDict):
    """An issued certificate as its owner and admins see it; all but the status is a snapshot."""

    id: Uuid
    course_id: int | None
    """Null for a program's."""
    program_id: int | None
    cycle: int
    code: str
    status: CertificateStatus
    learner_name: str | None
    """Null while the profile has no name to print."""
    course_title: str
    author: str | None
    hours: float | None
    score: Percent | None
    completed_at: Time
    completed_on: Day
    """In the learner's time zone."""
    issued_at: Time
    issued_on: Day
    expires_at: Time | None
    revoked_at: Time | None
    revoked_reason: str | None
    superseded_by: Uuid | None
    is_ready: bool
    """The PDF is stored."""


class Certificates(TypedDict):
    """A page of certificates, newest first."""

    certificates: list[Certificate]
    cursor: str | None
    """There are more: go on with it."""


class CertificateChanged(TypedDict):
    """A certificate as a command left it."""

    certificate: Certificate
    changed: bool


class CertificateFile(TypedDict):
    """An address that needs no token, and until when."""

    url: str
    expires_at: Time


class Block(TypedDict):
    """Something that keeps one from a certificate; docs/reference/rpc.md tells the codes."""

    code: Literal[
        "not_enrolled", "enrollment_inactive", "certificates_off", "denied", "percent_too_low",
        "score_too_low", "lesson_score_too_low", "grade_pending", "completion_expired",
        "certificate_revoked",
    ]  # fmt: skip
    needed: NotRequired[Percent]
    have: NotRequired[Percent | None]
    lesson_id: NotRequired[Uuid]
    title: NotRequired[str]
    expired_at: NotRequired[Time]


class Eligibility(TypedDict):
    """Whether a learner may have a course's certificate, what blocks it, and the one held."""

    eligible: bool
    blocks: list[Block]
    certificate: Certificate | None


class Verified(TypedDict):
    """What a code is worth, for anyone."""

    code: str
    status: CertificateStatus
    learner_name: str | None
    is_erased: bool
    """Its learner was removed; the certificate remains without a name."""
    course_id: int | None
    program_id: int | None
    course_title: str
    author: str | None
    hours: float | None
    score: Percent | None
    completed_at: Time
    completed_on: Day
    issued_at: Time
    issued_on: Day
    expires_at: Time | None
    revoked_at: Time | None
    revoked_reason: str | None
    superseded_at: Time | None
    superseded_by: str | None
    """The code of the newer one."""
    status_list: int
    status_index: int
    """Its place in that list."""


class PublicKey(TypedDict):
    """A key of the issuer as JSON Web Key; its members depend on its type."""

    kty: Literal["RSA", "EC", "OKP"]
    alg: Literal["RS256", "ES256", "EdDSA"]
    use: Literal["sig"]
    kid: str
    """The address of this key."""
    crv: NotRequired[str]
    x: NotRequired[str]
    y: NotRequired[str]
    n: NotRequired[str]
    e: NotRequired[str]


class KeySet(TypedDict):
    """All keys that credentials may have been signed with, the present one first."""

    keys: list[PublicKey]


class VerificationMethod(TypedDict):
    """A key, as the controller's document names it."""

    id: str
    type: Literal["JsonWebKey"]
    controller: str
    publicKeyJwk: PublicKey


# Functional, since a name with @ is no name of Python's.
Issuer = TypedDict(
    "Issuer",
    {
        "@context": list[str],
        "id": str,
        "type": list[Literal["Profile"]],
        "name": str,
        "verificationMethod": list[VerificationMethod],
        "assertionMethod": list[str],
    },
)
Issuer.__doc__ = "Who issues, as Open Badges sees it."
