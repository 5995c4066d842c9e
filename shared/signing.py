"""The issuer's keys: the private one that signs credentials, and public ones that verify them.

The kind of key decides the algorithm: RSA is RS256, P-256 is ES256, Ed25519 is EdDSA.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

_SMALLEST_RSA = 2048


class FormerKeysError(ValueError):
    """It is the former keys that are wrong."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key to verify with: its algorithm and its JWK, which names no key id yet."""

    algorithm: str
    jwk: Mapping[str, str]

    @property
    def thumbprint(self) -> str:
        """The name that every holder of the key computes alike (RFC 7638)."""
        members = {name: value for name, value in self.jwk.items() if name not in ("alg", "use")}
        text = json.dumps(members, sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(text.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs as one issuer, whose keys are published under `url`."""

    url: str
    public: PublicKey
    former: tuple[PublicKey, ...]
    private: Any = field(repr=False)

    def sign(self, claims: Mapping[str, Any], kind: str) -> str:
        """A compact JWS of the claims; `kind` is its typ."""
        headers = {"typ": kind, "kid": self._key_id(self.public)}
        return jwt.encode(dict(claims), self.private, self.public.algorithm, headers)

    def keys(self) -> dict[str, dict[str, str]]:
        """Every key's JWK by its thumbprint: the signing one first, then the former ones."""
        return {
            key.thumbprint: {**key.jwk, "kid": self._key_id(key)}
            for key in (self.public, *self.former)
        }

    def _key_id(self, key: PublicKey) -> str:
        # Open Badges wants a URL that gives the bare JWK: an entry of a set is not enough.
        return f"{self.url}/keys/{key.thumbprint}"


def signer(url: str, private: str, former: str | None) -> Signer:
    """The signer with this private key: PEM, or a JWK. `former` is a JWKS of retired public keys.

    Raises ValueError, which never quotes a key; for the former ones it is FormerKeysError.
    """
    key = _private_key(private)
    return Signer(url, _public(key.public_key()), _former(former) if former else (), key)


def _private_key(text: str) -> Any:
    try:
        if text.lstrip().startswith("-----BEGIN"):
            # Many a place for variables holds one line only.
            pem = text.replace("\\n", "\n").encode()
            key = serialization.load_pem_private_key(pem, password=None)
        else:
            key = _load(json.loads(text))
    except (ValueError, TypeError, jwt.PyJWTError):
        raise ValueError("is neither a PEM nor a JWK") from None
    if not hasattr(key, "public_key"):
        raise ValueError("holds no private key")
    return key


def _load(entry: object) -> Any:
    if not isinstance(entry, dict):
        raise TypeError
    return jwt.PyJWK.from_dict(entry).key


def _former(text: str) -> tuple[PublicKey, ...]:
    try:
        entries = json.loads(text)["keys"]
        if not isinstance(entries, list):
            raise TypeError
        # PyJWT's own set passes over what it cannot read: here that is a mistake.
        keys = [_load(entry) for entry in entries]
    except (ValueError, TypeError, KeyError, jwt.PyJWTError):
        raise FormerKeysError('must be a JSON object with a list "keys" of JWKs') from None
    if any(hasattr(key, "public_key") for key in keys):
        raise FormerKeysError("holds a private key: only public ones belong there")
    try:
        return tuple(_public(key) for key in keys)
    except ValueError as error:
        raise FormerKeysError(str(error)) from None


def _public(key: Any) -> PublicKey:
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _SMALLEST_RSA:
        found, algorithm, members = RSAAlgorithm.to_jwk(key, as_dict=True), "RS256", "kty n e"
    elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        found, algorithm, members = ECAlgorithm.to_jwk(key, as_dict=True), "ES256", "kty crv x y"
    elif isinstance(key, ed25519.Ed25519PublicKey):
        found, algorithm, members = OKPAlgorithm.to_jwk(key, as_dict=True), "EdDSA", "kty crv x"
    else:
        raise ValueError("must be RSA of at least 2048 bits, P-256 or Ed25519")
    jwk = {name: str(found[name]) for name in members.split()}
    return PublicKey(algorithm, {**jwk, "alg": algorithm, "use": "sig"})
