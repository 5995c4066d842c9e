"""The issuer's keys: every usual form is read, no wrong one is, and none is ever shown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc.jwk import ECKey, JWKRegistry, Key, OKPKey, RSAKey

from shared.settings import SettingsError, read
from shared.signing import signer

URL = "https://learn.example.org/functions/v1/certificates"
ENV = {"SUPABASE_URL": "https://p.supabase.co", "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_x"}
KEYS: list[tuple[str, Key]] = [
    ("RS256", RSAKey.generate_key(2048)),
    ("ES256", ECKey.generate_key("P-256")),
    ("EdDSA", OKPKey.generate_key("Ed25519")),
]
each_kind = pytest.mark.parametrize(("algorithm", "key"), KEYS, ids=lambda v: str(v)[:5])


def written(key: Any, form: str) -> str:
    """A private key made by cryptography, as PEM."""
    return str(
        key.private_bytes(
            serialization.Encoding.PEM,
            getattr(serialization.PrivateFormat, form),
            serialization.NoEncryption(),
        ).decode()
    )


@each_kind
def test_a_key_is_read_from_pem_and_from_a_jwk(algorithm: str, key: Key) -> None:
    pem = key.as_pem(private=True).decode()
    jwk = key.as_dict(private=True)
    forms = (
        pem,
        f"\n{pem}\n",
        pem.replace("\n", "\\n"),
        json.dumps(jwk),
        json.dumps(jwk, indent=1),
    )
    for form in forms:
        made = signer(URL, form, None)
        assert made.public.algorithm == algorithm
        [(name, entry)] = made.keys().items()
        assert name == key.thumbprint()
        assert entry == {
            **key.as_dict(private=False, kid=f"{URL}/keys/{name}"),
            "alg": algorithm,
            "use": "sig",
        }


def test_older_pem_forms_are_read_too() -> None:
    for key in (rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())):
        assert signer(URL, written(key, "TraditionalOpenSSL"), None).keys()


def test_former_keys_are_public_ones_of_every_kind() -> None:
    former = json.dumps({"keys": [key.as_dict(private=False) for _, key in KEYS]})
    made = signer(URL, KEYS[1][1].as_pem(private=True).decode(), former)
    # The signing key comes first, and no key twice.
    assert [entry["alg"] for entry in made.keys().values()] == ["ES256", "RS256", "EdDSA"]
    assert next(iter(made.keys())) == KEYS[1][1].thumbprint()


SMALL = written(rsa.generate_private_key(65537, 1024), "PKCS8")
CURVE = written(ec.generate_private_key(ec.SECP384R1()), "PKCS8")
PUBLIC = json.dumps(KEYS[1][1].as_dict(private=False))
PRIVATE = json.dumps({"keys": [KEYS[2][1].as_dict(private=True)]})
SECRET = "c2VjcmV0LXZhbHVlLXNlY3JldC12YWx1ZS1zZWNyZXQ"
OCT = json.dumps({"kty": "oct", "k": SECRET})
LOCKED = (
    ed25519.Ed25519PrivateKey.generate()
    .private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"word"),
    )
    .decode()
)


@pytest.mark.parametrize(
    "key",
    [SMALL, CURVE, PUBLIC, OCT, LOCKED, SECRET, "{}", "[]", "1", "-----BEGIN", f"{SMALL[:200]}"],
    ids=range(11),
)
def test_a_key_that_cannot_sign_stops_the_start(key: str) -> None:
    with pytest.raises(SettingsError, match="WAYMARK_CREDENTIAL_KEY ") as caught:
        read({**ENV, "WAYMARK_CREDENTIAL_KEY": key})
    assert key[40:60] not in str(caught.value) or len(key) < 60
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "former",
    [
        PRIVATE,
        PUBLIC,
        SECRET,
        "[]",
        '{"keys": {}}',
        '{"keys": [1]}',
        f'{{"keys": [{OCT}]}}',
        '{"keys": [{"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"}]}',
    ],
    ids=range(8),
)
def test_former_keys_that_are_none_stop_the_start(former: str) -> None:
    env = {
        **ENV,
        "WAYMARK_CREDENTIAL_KEY": KEYS[2][1].as_pem(private=True).decode(),
        "WAYMARK_CREDENTIAL_FORMER_KEYS": former,
    }
    with pytest.raises(SettingsError, match="WAYMARK_CREDENTIAL_FORMER_KEYS ") as caught:
        read(env)
    assert SECRET not in str(caught.value)
    assert "WAYMARK_CREDENTIAL_KEY" not in str(caught.value)
    assert ("holds a private key" in str(caught.value)) == (former == PRIVATE)


def test_the_issuer_has_a_name_and_keeps_its_key_to_itself() -> None:
    private = KEYS[2][1].as_dict(private=True)
    env = {**ENV, "WAYMARK_CREDENTIAL_KEY": json.dumps(private)}
    found = read(env)
    assert found.functions_url == "https://p.supabase.co/functions/v1"
    assert found.issuer is not None
    assert found.issuer.name == "p.supabase.co"
    assert found.issuer.id == "https://p.supabase.co/functions/v1/certificates/issuer"
    assert str(private["d"]) not in repr(found)
    named = read(
        {
            **env,
            "WAYMARK_ISSUER_NAME": "Example Academy",
            "WAYMARK_FUNCTIONS_URL": "https://run.example/",
        }
    )
    assert named.issuer is not None
    assert (named.issuer.name, named.functions_url) == ("Example Academy", "https://run.example")
    assert read(ENV).issuer is None
    [published] = named.issuer.signer.keys().values()
    assert JWKRegistry.import_key(published).is_private is False
