"""Secrets of one stack: API keys, the JWT secret, a signing key, and the tokens made with them."""

from __future__ import annotations

import base64
import json
import secrets
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm

TEN_YEARS = 10 * 365 * 24 * 3600


def random_secret() -> str:
    """Return 40 random letters and digits, fit for passwords, URLs and HS256."""
    return secrets.token_hex(20)


def random_key(kind: str) -> str:
    """Return an API key in hosted's form, where kind is publishable or secret."""
    return f"sb_{kind}_{secrets.token_urlsafe(17)[:22]}_{secrets.token_urlsafe(6)[:8]}"


def role_token(role: str, secret: str, issuer: str) -> str:
    """Return the long-lived JWT of an API role, as the legacy anon and service_role keys are."""
    now = int(time.time())
    claims = {"iss": issuer, "role": role, "iat": now, "exp": now + TEN_YEARS}
    return jwt.encode(claims, secret, algorithm="HS256")


def new_signing_key() -> str:
    """Return a fresh ES256 private key as PEM."""
    return _pem(ec.generate_private_key(ec.SECP256R1()))


def new_credential_key() -> str:
    """Return a fresh RS256 private key as PEM, to sign certificates as Open Badges with."""
    return _pem(rsa.generate_private_key(65537, 2048))


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def public_jwk(pem: str) -> dict[str, Any]:
    """Return the public half of a signing key as a JWK, its key id derived from the key."""
    private = serialization.load_pem_private_key(pem.encode(), password=None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise ValueError("the signing key is no elliptic curve key")
    jwk: dict[str, Any] = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    return {**jwk, "alg": "ES256", "use": "sig", "key_ops": ["verify"], "kid": jwk["x"][:16]}


def verification_keys(secret: str, pem: str) -> str:
    """Return the JWKS that PostgREST verifies with: the shared secret and the public key."""
    shared = base64.urlsafe_b64encode(secret.encode()).rstrip(b"=").decode()
    return json.dumps({"keys": [{"kty": "oct", "alg": "HS256", "k": shared}, public_jwk(pem)]})
