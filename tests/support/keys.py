"""Signing keys made in the test, and tokens signed with them, honest or forged."""

from __future__ import annotations

import base64
import hmac
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ISSUER = "http://127.0.0.1:9/auth/v1"
SECRET = "a-shared-secret-of-forty-characters-here"


@dataclass(frozen=True)
class SigningKey:
    """A private key with its id."""

    algorithm: str
    kid: str
    private: Any

    @property
    def pem(self) -> bytes:
        """The public key as text, as an attacker may have it."""
        return self.private.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )

    def jwk(self) -> dict[str, Any]:
        """The public key as an entry of a JWKS."""
        kind = (
            jwt.algorithms.ECAlgorithm if self.algorithm == "ES256" else jwt.algorithms.RSAAlgorithm
        )
        public = json.loads(kind.to_jwk(self.private.public_key()))
        return {**public, "kid": self.kid, "alg": self.algorithm, "use": "sig"}

    def sign(self, claims: Mapping[str, Any], **headers: Any) -> str:
        """A token of these claims."""
        return _signed(claims, self.private, self.algorithm, {"kid": self.kid, **headers})


def ec_key(kid: str = "ec-1") -> SigningKey:
    """A fresh ES256 key."""
    return SigningKey("ES256", kid, ec.generate_private_key(ec.SECP256R1()))


def rsa_key(kid: str = "rsa-1") -> SigningKey:
    """A fresh RS256 key."""
    return SigningKey("RS256", kid, rsa.generate_private_key(65537, 2048))


def jwks(*keys: SigningKey) -> str:
    """A JWKS document."""
    return json.dumps({"keys": [key.jwk() for key in keys]})


def claims(user: str | None = None, issuer: str = ISSUER, **changed: Any) -> dict[str, Any]:
    """A signed-in learner's claims; a value of None takes a claim away."""
    now = int(time.time())
    usual = {
        "iss": issuer,
        "aud": "authenticated",
        "role": "authenticated",
        "sub": user or str(uuid.uuid4()),
        "iat": now,
        "exp": now + 3600,
    }
    return {name: value for name, value in {**usual, **changed}.items() if value is not None}


def hs256(payload: Mapping[str, Any], secret: str = SECRET, **headers: Any) -> str:
    """A token signed with the shared secret."""
    return _signed(payload, secret, "HS256", headers)


def unsigned(header: Mapping[str, Any], payload: Mapping[str, Any], signature: str = "") -> str:
    """A token put together by hand."""
    return ".".join(
        [*(_base64(json.dumps(dict(p)).encode()) for p in (header, payload)), signature]
    )


def confused(payload: Mapping[str, Any], kid: str, public: bytes) -> str:
    """A token signed by HS256 with what is everyone's: a public key taken for a shared secret."""
    text = unsigned({"alg": "HS256", "typ": "JWT", "kid": kid}, payload)[:-1]
    return f"{text}.{_base64(hmac.digest(public, text.encode(), 'sha256'))}"


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _signed(
    payload: Mapping[str, Any], key: Any, algorithm: str, headers: Mapping[str, Any]
) -> str:
    # One layer below jwt.encode, which would refuse to sign the claims of a forger.
    raw = json.dumps(dict(payload)).encode()
    return jwt.api_jws.encode(raw, key, algorithm, headers={"typ": "JWT", **headers})
