"""The door: which tokens prove who calls; all others are refused, never let in as a visitor."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import jwt
import pytest

from shared.auth import LEEWAY, REMEMBER, Caller, Door
from shared.errors import Problem
from shared.jwks import KeySet
from shared.settings import read
from tests.support import keys
from tests.support.keys import ISSUER, SECRET, claims, hs256

EC, RSA, STRANGER = keys.ec_key(), keys.rsa_key(), keys.ec_key("ec-1")
USER = "7f3c2b1a-0000-4000-8000-0123456789ab"
ANON = hs256({"iss": "supabase-demo", "role": "anon", "exp": 4102444800})
SETTINGS = read(
    {
        "SUPABASE_URL": "http://127.0.0.1:9",
        "SUPABASE_PUBLISHABLE_KEYS": json.dumps(
            {"web": "sb_publishable_a", "app": "sb_publishable_b"}
        ),
        "SUPABASE_ANON_KEY": ANON,
        "SUPABASE_JWT_SECRET": SECRET,
        "SUPABASE_JWKS": keys.jwks(EC, RSA),
    }
)


def door(**changed: Any) -> Door:
    settings = replace(SETTINGS, **changed)
    return Door(settings, KeySet(settings.jwks_url, settings.jwks))


def ask(token: str | None, apikey: str | None = None, at: Door | None = None) -> Caller | None:
    headers = [] if token is None else [f"Bearer {token}"]
    return asyncio.run((at or door()).caller(headers, apikey))


def refusal(token: str, **options: Any) -> str:
    with pytest.raises(Problem) as caught:
        ask(token, **options)
    return caught.value.code


@pytest.mark.parametrize("sign", [EC.sign, RSA.sign, hs256], ids=["ES256", "RS256", "HS256"])
def test_a_good_token_names_its_user(sign: Callable[..., str]) -> None:
    token = sign(claims(USER))
    assert ask(token) == Caller("authenticated", USER, token)


@pytest.mark.parametrize("sign", [EC.sign, hs256], ids=["ES256", "HS256"])
@pytest.mark.parametrize(
    "changed",
    [
        {"exp": 1_700_000_000},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": 0},
        {"nbf": 4_000_000_000},
        {"iat": 4_000_000_000},
        {"aud": "someone-else"},
        {"aud": ["a", "b"]},
        {"aud": None},
        {"iss": "https://evil.example/auth/v1"},
        {"iss": ISSUER + "/"},
        {"iss": None},
        {"iss": [ISSUER]},
        {"sub": None},
        {"sub": "admin"},
        {"sub": 7},
        {"sub": USER + "\n"},
        {"role": None},
        {"role": "anon"},
        {"role": "postgres"},
        {"role": "AUTHENTICATED"},
        {"role": ["authenticated"]},
    ],
    ids=str,
)
def test_a_claim_that_is_wrong_is_refused(
    sign: Callable[..., str], changed: dict[str, Any]
) -> None:
    assert ask(sign(claims(USER))) is not None
    assert refusal(sign(claims(USER, **changed))) == "invalid_token"


def test_a_key_of_someone_else_under_our_key_id_is_refused() -> None:
    assert refusal(STRANGER.sign(claims(USER))) == "invalid_token"
    assert refusal(hs256(claims(USER), secret="b" * 40)) == "invalid_token"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", "HS384", "ES512", "EdDSA"])
def test_other_algorithms_are_refused(algorithm: str) -> None:
    token = keys.unsigned({"alg": algorithm, "typ": "JWT"}, claims(USER), "c2ln")
    assert refusal(token) == "invalid_token"
    assert refusal(token[: token.rindex(".") + 1]) == "invalid_token"


@pytest.mark.parametrize("key", [EC, RSA], ids=["ES256", "RS256"])
def test_a_public_key_is_no_shared_secret(key: keys.SigningKey) -> None:
    """Key confusion: HS256 over what everyone may download."""
    for secret in (key.pem, json.dumps(key.jwk()).encode()):
        token = keys.confused(claims(USER), key.kid, secret)
        assert refusal(token) == "invalid_token"
        assert refusal(token, at=door(jwt_secret=None)) == "invalid_token"


def test_the_key_id_of_another_kind_of_key_is_refused() -> None:
    assert refusal(RSA.sign(claims(USER), kid=EC.kid)) == "invalid_token"
    assert (
        refusal(keys.unsigned({"alg": "ES256", "kid": ["ec-1"]}, claims(USER))) == "invalid_token"
    )


def test_without_a_key_id_the_keys_of_that_kind_are_tried() -> None:
    token = jwt.encode(claims(USER), EC.private, "ES256")
    assert ask(token) is not None
    assert refusal(jwt.encode(claims(USER), STRANGER.private, "ES256")) == "invalid_token"


def test_hs256_needs_the_secret_to_be_set() -> None:
    assert refusal(hs256(claims(USER)), at=door(jwt_secret=None)) == "invalid_token"


def test_a_symmetric_key_in_the_public_set_is_never_used() -> None:
    octets = {"kty": "oct", "k": base64.urlsafe_b64encode(SECRET.encode()).decode(), "kid": "o"}
    at = door(jwt_secret=None, jwks=json.dumps({"keys": [octets, EC.jwk()]}))
    assert refusal(hs256(claims(USER), kid="o"), at=at) == "invalid_token"
    assert ask(EC.sign(claims(USER)), at=at) is not None


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Basic dXNlcjpwYXNz",
        "bearer",
        "Token x",
        "x",
        "",
        "Bearer a.b.c",
        "Bearer ....",
        "Bearer \u00ff",
        "Bearer " + "a" * 9000,
        "Bearer " + "eyJhbGciOiJIUzI1NiJ9.W10." + "x",
    ],
)
def test_what_is_no_token_is_refused(header: str) -> None:
    with pytest.raises(Problem) as caught:
        asyncio.run(door().caller([header], None))
    assert (caught.value.code, caught.value.status) == ("invalid_token", 401)
    assert "WWW-Authenticate" in caught.value.headers


@pytest.mark.parametrize("scheme", ["Basic", "Token", "JWT", "DPoP"])
def test_a_good_token_under_another_scheme_is_refused(scheme: str) -> None:
    with pytest.raises(Problem, match="invalid_token"):
        asyncio.run(door().caller([f"{scheme} {hs256(claims(USER))}"], None))


def test_two_authorization_headers_are_refused() -> None:
    good = f"Bearer {hs256(claims(USER))}"
    with pytest.raises(Problem, match="invalid_token"):
        asyncio.run(door().caller([good, good], None))


@pytest.mark.parametrize(
    "payload",
    [
        b"[]",
        b"{",
        b"\xff",
        b"[" * 5000,
        b'{"exp":' + b"9" * 5000 + b"}",
        b'{"exp":1e999,"role":"authenticated"}',
    ],
)
def test_signed_nonsense_is_refused(payload: bytes) -> None:
    token = jwt.api_jws.encode(payload, SECRET, "HS256")
    assert refusal(token) == "invalid_token"


def test_an_expiry_in_a_far_away_age_is_no_fault() -> None:
    token = jwt.api_jws.encode(json.dumps(claims(USER, exp=10**400)).encode(), SECRET, "HS256")
    assert ask(token) is not None


def test_signed_out_is_a_visitor() -> None:
    assert ask(None) is None
    for key in ("sb_publishable_a", "sb_publishable_b", ANON):
        assert ask(key) is None
    assert ask("sb_publishable_rotated", apikey="sb_publishable_rotated") is None


def test_a_bad_token_is_never_a_visitor() -> None:
    expired = hs256(claims(USER, exp=int(time.time()) - 60))
    assert refusal(expired, apikey="sb_publishable_a") == "invalid_token"
    assert refusal("sb_publishable_unknown", apikey="sb_publishable_a") == "invalid_token"


def test_a_real_token_as_apikey_too_is_that_user() -> None:
    token = EC.sign(claims(USER))
    found = ask(token, apikey=token)
    assert found is not None
    assert found.user_id == USER


def test_the_legacy_service_role_is_an_admin_without_user() -> None:
    for issuer in ("supabase", "supabase-demo"):
        token = hs256({"iss": issuer, "role": "service_role", "exp": 4102444800})
        assert ask(token) == Caller("service_role", None, token)
        assert ask(token, apikey=token) == Caller("service_role", None, token)
        assert refusal(token, at=door(jwt_secret=None)) == "invalid_token"
    assert (
        refusal(hs256({"iss": "me", "role": "service_role", "exp": 4102444800})) == "invalid_token"
    )
    # The legacy issuers are for that one role, and for the shared secret only.
    assert refusal(hs256(claims(USER, iss="supabase"))) == "invalid_token"
    assert refusal(EC.sign(claims(None, iss="supabase", role="service_role"))) == "invalid_token"


def test_clocks_may_differ_by_seconds_only() -> None:
    now = int(time.time())
    assert ask(hs256(claims(USER, nbf=now + 3, iat=now + 3))) is not None
    assert ask(hs256(claims(USER, exp=now - 2))) is not None
    assert refusal(hs256(claims(USER, exp=now - int(LEEWAY) - 2))) == "invalid_token"


def test_a_remembered_token_still_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    at, now = door(), time.time()
    token = hs256(claims(USER, exp=int(now) + 20))
    assert ask(token, at=at) is not None
    monkeypatch.setattr("shared.auth.time", SimpleNamespace(time=lambda: now + 20 + LEEWAY + 1))
    monkeypatch.setattr("jwt.api_jwt.datetime", _Clock(now + 20 + LEEWAY + 1))
    assert refusal(token, at=at) == "invalid_token"


def test_a_remembered_token_is_checked_anew_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    at, token = door(), EC.sign(claims(USER))
    checks: list[str] = []
    decode = jwt.decode

    def counted(*arguments: Any, **options: Any) -> Any:
        checks.append("")
        return decode(*arguments, **options)

    monkeypatch.setattr(jwt, "decode", counted)
    for _ in range(3):
        assert ask(token, at=at) is not None
    assert len(checks) == 1
    now = time.time()
    monkeypatch.setattr("shared.auth.time", SimpleNamespace(time=lambda: now + REMEMBER + 1))
    assert ask(token, at=at) is not None
    assert len(checks) == 2


def test_memory_of_tokens_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.auth._REMEMBERED", 3)
    at = door()
    for _ in range(10):
        assert ask(hs256(claims()), at=at) is not None
    assert len(at._seen) <= 3
    assert not any(b"." in digest and len(digest) > 32 for digest in at._seen)


def test_a_remembered_token_dies_with_its_key() -> None:
    document, now = keys.jwks(EC), 1000.0

    async def download(_: str) -> bytes:
        return document.encode()

    at = Door(SETTINGS, KeySet("https://x", download=download, clock=lambda: now))
    token = EC.sign(claims(USER))
    assert ask(token, at=at) is not None
    document, now = keys.jwks(RSA), now + 20
    assert refusal(EC.sign(claims(USER), kid="unknown"), at=at) == "invalid_token"
    assert refusal(token, at=at) == "invalid_token"


class _Clock:
    """Stands for the datetime class inside PyJWT."""

    def __init__(self, at: float) -> None:
        self.at = at

    def now(self, tz: Any = None) -> Any:
        from datetime import datetime

        return datetime.fromtimestamp(self.at, tz)
