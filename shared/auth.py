"""The door: who calls, from the Authorization header alone.

A bad token is refused, never taken for anonymous. PostgREST verifies the same token
again; here it is checked so that nothing unsigned reaches the database, and so that functions on
Google, where no gateway stands before them, are safe by themselves.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from jwt.types import Options

from shared.errors import Problem
from shared.jwks import KeySet
from shared.settings import Settings

LEEWAY = 5.0  # seconds between our clock and the issuer's
REMEMBER = 60.0  # how long a verified token is not verified again (a check costs 0.1 to 0.2 ms)
_REMEMBERED = 4096
_ASYMMETRIC = ("ES256", "RS256")
_LEGACY_ISSUERS = ("supabase", "supabase-demo")  # of the long-lived service-role JWT
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_CHECKS: Options = {
    "require": ["exp"],
    "verify_aud": False,  # checked below: the legacy service role has none
    "verify_iss": False,
    "verify_sub": False,
    "enforce_minimum_key_length": True,
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Verified claims and the token they came in, for one request.

    `user_id` is None for the service role.
    """

    role: str
    user_id: str | None
    token: str = field(repr=False)


class Door:
    """Verifies tokens for one project."""

    def __init__(self, settings: Settings, keys: KeySet) -> None:
        self._keys = keys
        self._secret = settings.jwt_secret
        self._issuer = settings.jwt_issuer
        self._audience = settings.jwt_audience
        self._public_keys = frozenset(settings.public_keys)
        self._seen: dict[bytes, tuple[float, int, str, str | None]] = {}

    async def caller(self, authorization: list[str], apikey: str | None) -> Caller | None:
        """Who calls: a Caller, or None for a visitor.

        Raises Problem invalid_token, or auth_unavailable when the keys cannot be fetched.
        """
        if not authorization:
            return None
        if len(authorization) > 1:
            raise Problem("invalid_token")
        scheme, _, token = authorization[0].partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Problem("invalid_token")
        if token in self._public_keys:
            return None
        try:
            return await self.verify(token)
        except Problem as problem:
            # supabase-js sends its apikey as Bearer while nobody is signed in.
            if token == apikey and problem.code == "invalid_token":
                return None
            raise

    async def verify(self, token: str) -> Caller:
        """The caller that this token proves. Raises Problem as `caller` does."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        now = time.time()
        seen = self._seen.get(digest)
        if seen is not None and now < seen[0] and seen[1] == self._keys.generation:
            return Caller(seen[2], seen[3], token)
        claims, legacy = await self._claims(token)
        role, user_id = self._identity(claims, legacy)
        until = min(now + REMEMBER, min(int(claims["exp"]), 2**53) + LEEWAY)
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        self._seen[digest] = (until, self._keys.generation, role, user_id)
        return Caller(role, user_id, token)

    async def _claims(self, token: str) -> tuple[Mapping[str, Any], bool]:
        """The signed claims, and whether the shared secret signed them."""
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise Problem("invalid_token") from None
        algorithm, kid = header.get("alg"), header.get("kid")
        candidates: Iterable[Any]
        # The header picks among what is allowed here; a key only ever serves its own algorithm.
        if algorithm == "HS256" and self._secret is not None:
            candidates = [self._secret]
        elif algorithm in _ASYMMETRIC:
            candidates = await self._keys.find(kid, algorithm)
        else:
            raise Problem("invalid_token")
        for key in candidates:
            try:
                claims: Mapping[str, Any] = jwt.decode(
                    token, key, algorithms=[algorithm], leeway=LEEWAY, options=_CHECKS
                )
            except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
                continue
            return claims, algorithm == "HS256"
        raise Problem("invalid_token")

    def _identity(self, claims: Mapping[str, Any], legacy: bool) -> tuple[str, str | None]:
        role, issuer, audience = claims.get("role"), claims.get("iss"), claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if role == "service_role":
            issuers = (self._issuer, *_LEGACY_ISSUERS) if legacy else (self._issuer,)
            if issuer in issuers and (audience is None or self._audience in audiences):
                return "service_role", None
        elif role == "authenticated":
            subject = claims.get("sub")
            if (
                issuer == self._issuer
                and self._audience in audiences
                and isinstance(subject, str)
                and _UUID.fullmatch(subject)
            ):
                return "authenticated", subject.lower()
        raise Problem("invalid_token")
