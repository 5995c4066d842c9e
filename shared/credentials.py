"""Certificates as Open Badges 3.0: verifiable credentials, signed, and the list of void ones.

A document is made anew from the database's facts each time it is asked for; nothing is kept. See
docs/explanation/credentials.md for what stands in it and what does not.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.signing import Signer

CREDENTIALS = "https://www.w3.org/ns/credentials/v2"
OPEN_BADGES = "https://purl.imsglobal.org/spec/ob/v3p0/context-3.0.3.json"
# It defines the type of the schema's entry.
EXTENSIONS = "https://purl.imsglobal.org/spec/ob/v3p0/extensions.json"
CONTROLLER = "https://www.w3.org/ns/cid/v1"
SCHEMA = {
    "id": "https://purl.imsglobal.org/spec/ob/v3p0/schema/json/ob_v3p0_achievementcredential_schema.json",
    "type": "1EdTechJsonSchemaValidator2019",
}
# Open Badges allows no other typ for a badge; a status list is no badge.
BADGE_TYPE, LIST_TYPE = "JWT", "vc+jwt"
# How long a status list may be kept, and when even a kept one is too old to prove anything.
LIST_AGE, LIST_VALID = timedelta(minutes=5), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who issues: a name, and a signer under the URL that all ids begin with."""

    name: str
    signer: Signer

    @property
    def id(self) -> str:
        """Also the address of the profile."""
        return f"{self.signer.url}/issuer"

    def profile(self) -> dict[str, Any]:
        """The issuer as Open Badges sees it, and as the controller of its keys."""
        keys = list(self.signer.keys().values())
        return {
            "@context": [CREDENTIALS, OPEN_BADGES, CONTROLLER],
            "id": self.id,
            "type": ["Profile"],
            "name": self.name,
            "verificationMethod": [
                {
                    "id": key["kid"],
                    "type": "JsonWebKey",
                    "controller": self.id,
                    "publicKeyJwk": key,
                }
                for key in keys
            ],
            "assertionMethod": [key["kid"] for key in keys],
        }

    def credential(self, facts: Mapping[str, Any]) -> str:
        """The badge behind a certificate, as VC-JWT. `facts` is what verify_certificate tells."""
        badge = self._badge(facts)
        claims = {
            **badge,
            "iss": self.id,
            "jti": badge["id"],
            "sub": badge["credentialSubject"]["id"],
            "nbf": _seconds(badge["validFrom"]),
        }
        if "validUntil" in badge:
            claims["exp"] = _seconds(badge["validUntil"])
        return self.signer.sign(claims, BADGE_TYPE)

    def _badge(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        own = f"{self.signer.url}/{facts['code']}/credential"
        status_list = f"{self.signer.url}/status/{facts['status_list']}"
        badge = {
            "@context": [CREDENTIALS, OPEN_BADGES, EXTENSIONS],
            "id": own,
            "type": ["VerifiableCredential", "OpenBadgeCredential"],
            "name": facts["course_title"],
            "issuer": {"id": self.id, "type": ["Profile"], "name": self.name},
            "validFrom": _time(facts["issued_at"]),
            "awardedDate": _time(facts["completed_at"]),
            "credentialSubject": self._subject(own, facts),
            "credentialSchema": [SCHEMA],
            "credentialStatus": {
                "id": f"{status_list}#{facts['status_index']}",
                "type": "BitstringStatusListEntry",
                "statusPurpose": "revocation",
                "statusListIndex": str(facts["status_index"]),
                "statusListCredential": status_list,
            },
        }
        if facts["expires_at"] is not None:
            badge["validUntil"] = _time(facts["expires_at"])
        return badge

    def _subject(self, own: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        title, author, hours = facts["course_title"], facts["author"], facts["hours"]
        kind = "course" if facts["program_id"] is None else "program"
        description = f"Completion of the {kind} “{title}”" + (f" by {author}." if author else ".")
        if hours is not None:
            description += f" Workload: {_number(hours)} hours."
        # The course's number and title are public; there is no address of an achievement alone.
        program = facts["program_id"]
        what = f"course-{facts['course_id']}" if program is None else f"program-{program}"
        achievement_id = f"{self.id}#{what}"
        achievement: dict[str, Any] = {
            "id": achievement_id,
            "type": ["Achievement"],
            "achievementType": "CertificateOfCompletion",
            "name": title,
            "description": description,
            "criteria": {
                "narrative": "Every lesson that the course required was completed, and whatever "
                "else its author had set for a certificate was fulfilled, as of the award's date."
                if program is None
                else "Every course that the program required was completed, as of the award's date."
            },
        }
        # A name for this one award: nothing in it leads to the account, or to the learner's others.
        subject: dict[str, Any] = {
            "id": f"{own}#learner",
            "type": ["AchievementSubject"],
            "activityEndDate": _time(facts["completed_at"]),
            "achievement": achievement,
        }
        if facts["learner_name"] is not None:
            subject["identifier"] = [
                {
                    "type": "IdentityObject",
                    "hashed": False,
                    "identityHash": facts["learner_name"],
                    "identityType": "name",
                }
            ]
        if facts["score"] is not None:
            result = f"{achievement_id}-score"
            achievement["resultDescription"] = [
                {
                    "id": result,
                    "type": ["ResultDescription"],
                    "name": "Score",
                    "resultType": "Percent",
                    "valueMin": "0",
                    "valueMax": "100",
                }
            ]
            subject["result"] = [
                {
                    "type": ["Result"],
                    "resultDescription": result,
                    "value": _number(facts["score"]),
                }
            ]
        return subject

    def status_list(self, listed: Mapping[str, Any], now: datetime | None = None) -> str:
        """A status list as VC-JWT. `listed` is what get_status_list tells."""
        own = f"{self.signer.url}/status/{listed['list']}"
        since = (now or datetime.now(UTC)).replace(microsecond=0)
        until = since + LIST_VALID
        document = {
            "@context": [CREDENTIALS],
            "id": own,
            "type": ["VerifiableCredential", "BitstringStatusListCredential"],
            "issuer": self.id,
            "validFrom": _time(since),
            "validUntil": _time(until),
            "credentialSubject": {
                "id": f"{own}#list",
                "type": "BitstringStatusList",
                "statusPurpose": "revocation",
                "encodedList": _bitstring(listed["size"], listed["void"]),
                "ttl": int(LIST_AGE.total_seconds() * 1000),
            },
            "iss": self.id,
            "iat": int(since.timestamp()),
            "exp": int(until.timestamp()),
        }
        return self.signer.sign(document, LIST_TYPE)


def _bitstring(size: int, places: list[int]) -> str:
    """Bit 0 is the leftmost; packed by gzip, then in multibase's base64url."""
    bits = bytearray(size // 8)
    for place in places:
        bits[place // 8] |= 0x80 >> place % 8
    packed = gzip.compress(bytes(bits), mtime=0)
    return "u" + base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def _number(value: float) -> str:
    return f"{value:.10g}"


def _time(value: str | datetime) -> str:
    """RFC 3339 in UTC, in whole seconds: the JWT's own claims are, and must be equal."""
    time = datetime.fromisoformat(value) if isinstance(value, str) else value
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())
