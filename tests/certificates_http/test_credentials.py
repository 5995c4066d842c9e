"""Certificates as Open Badges 3.0, verified by libraries that had no part in making them."""

from __future__ import annotations

import base64
import gzip
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key, KeySet
from openbadgeslib.ob3 import OB3VerificationError, OB3Verifier
from openbadgeslib.ob3.status import check_credential_status

from tests.certificates_http.conftest import Serve
from tests.certificates_http.world import Certificate, Certificates
from tests.stack import Stack
from tests.support.open_badges import assert_conforms
from tests.support.shape import assert_refusal

# RFC 9864 prefers the name Ed25519; what is deployed knows EdDSA.
pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")

KINDS: dict[str, Callable[[], Any]] = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}
ALGORITHMS = [*KINDS]
BASE = "https://learn.example.org/functions/v1"


def pem(kind: str) -> str:
    """A new private key."""
    return (
        KINDS[kind]()
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )


def path(url: str) -> str:
    """Where a published URL is answered here, by functions that believe to be at BASE."""
    assert url.startswith(f"{BASE}/certificates/")
    return url.removeprefix(BASE)


def published_key(client: httpx.Client, token: str) -> Key:
    """The key that the token's own kid leads to, as a verifier finds it."""
    kid = jws.extract_compact(token.encode()).headers()["kid"]
    response = client.get(path(kid).partition("#")[0])
    assert response.status_code == 200
    return JWKRegistry.import_key(response.json())


def opened(client: httpx.Client, token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a token whose signature is good."""
    found = jws.deserialize_compact(
        token, published_key(client, token), algorithms=["RS256", "ES256", "EdDSA", "Ed25519"]
    )
    return found.headers(), json.loads(found.payload)


def badge(client: httpx.Client, certificate: Certificate) -> str:
    """The credential of a certificate."""
    response = client.get(f"/certificates/{certificate.code}/credential")
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    return response.text


def bits(client: httpx.Client, number: int = 0) -> bytes:
    """The bits of a status list whose signature and form are good."""
    response = client.get(f"/certificates/status/{number}")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/vc+jwt"
    assert response.headers["cache-control"] == "public, max-age=300"
    header, listed = opened(client, response.text)
    assert header["typ"] == "vc+jwt"
    own = f"{BASE}/certificates/status/{number}"
    assert listed["@context"] == ["https://www.w3.org/ns/credentials/v2"]
    assert listed["id"] == own
    assert listed["type"] == ["VerifiableCredential", "BitstringStatusListCredential"]
    assert listed["issuer"] == listed["iss"] == f"{BASE}/certificates/issuer"
    now = datetime.now(UTC)
    assert datetime.fromisoformat(listed["validFrom"]) <= now
    assert (datetime.fromisoformat(listed["validUntil"]) - now).total_seconds() > 3600
    subject = listed["credentialSubject"]
    encoded = subject.pop("encodedList")
    assert subject == {
        "id": f"{own}#list",
        "type": "BitstringStatusList",
        "statusPurpose": "revocation",
        "ttl": 300_000,
    }
    assert encoded[0] == "u"
    found = gzip.decompress(base64.urlsafe_b64decode(encoded[1:] + "=" * (-len(encoded[1:]) % 4)))
    assert len(found) * 8 == 131_072
    return found


def is_void(client: httpx.Client, token: str) -> bool:
    """What the status list says of a credential, as the specification has it looked up."""
    entry = opened(client, token)[1]["credentialStatus"]
    assert entry["type"] == "BitstringStatusListEntry"
    assert entry["statusPurpose"] == "revocation"
    number = int(path(entry["statusListCredential"]).removeprefix("/certificates/status/"))
    place = int(entry["statusListIndex"])
    assert entry["id"] == f"{entry['statusListCredential']}#{place}"
    return bool(bits(client, number)[place // 8] >> (7 - place % 8) & 1)


@pytest.fixture(params=ALGORITHMS)
def issuer(request: pytest.FixtureRequest, serve: Serve) -> httpx.Client:
    """An issuer with each kind of key."""
    return serve(
        WAYMARK_CREDENTIAL_KEY=pem(request.param),
        WAYMARK_FUNCTIONS_URL=BASE,
        WAYMARK_ISSUER_NAME="Example Academy",
    )


@pytest.fixture
def one_issuer(serve: Serve) -> httpx.Client:
    """An issuer with a key that is quick to make."""
    return serve(WAYMARK_CREDENTIAL_KEY=pem("ES256"), WAYMARK_FUNCTIONS_URL=BASE)


# The credential -----------------------------------------------------------------------------------


def test_a_badge_is_what_the_specification_says(
    issuer: httpx.Client, certificates: Certificates, request: pytest.FixtureRequest
) -> None:
    made = certificates.issue(expires_at="2999-01-02T03:04:05.678Z")
    token = badge(issuer, made)
    header, claims = opened(issuer, token)
    # Open Badges allows alg, kid, jwk and typ, and for typ nothing but JWT.
    assert set(header) == {"alg", "kid", "typ"}
    assert header["typ"] == "JWT"
    assert header["alg"] == request.node.callspec.params["issuer"]
    assert_conforms(claims, "achievementcredential")

    own = f"{BASE}/certificates/{made.code}/credential"
    subject = claims["credentialSubject"]
    assert claims["@context"][:2] == [
        "https://www.w3.org/ns/credentials/v2",
        "https://purl.imsglobal.org/spec/ob/v3p0/context-3.0.3.json",
    ]
    assert claims["type"] == ["VerifiableCredential", "OpenBadgeCredential"]
    assert claims["id"] == claims["jti"] == own
    assert claims["issuer"]["id"] == claims["iss"] == f"{BASE}/certificates/issuer"
    assert claims["issuer"]["name"] == "Example Academy"
    assert subject["id"] == claims["sub"]
    assert claims["validFrom"] == "2026-03-04T22:30:16Z"
    assert claims["nbf"] == datetime(2026, 3, 4, 22, 30, 16, tzinfo=UTC).timestamp()
    assert claims["validUntil"] == "2999-01-02T03:04:05Z"
    assert claims["exp"] == datetime(2999, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
    assert claims["awardedDate"] == subject["activityEndDate"] == "2026-03-04T22:30:15Z"
    assert "proof" not in claims
    assert "evidence" not in claims

    achievement = subject["achievement"]
    assert claims["name"] == achievement["name"] == "Notes on the Engine"
    assert achievement["achievementType"] == "CertificateOfCompletion"
    # What may be several is a list, though it be one: the schema would let a single value pass.
    for several in (claims["issuer"], subject, achievement):
        assert isinstance(several["type"], list)
    assert achievement["id"] == f"{BASE}/certificates/issuer#course-4711"
    for word in ("Notes on the Engine", "Charles Babbage", "12.5 hours"):
        assert word in achievement["description"]
    assert achievement["criteria"]["narrative"]
    assert subject["identifier"] == [
        {
            "type": "IdentityObject",
            "hashed": False,
            "identityHash": "Ada Lovelace",
            "identityType": "name",
        }
    ]
    [described], [result] = achievement["resultDescription"], subject["result"]
    assert result["resultDescription"] == described["id"]
    assert (described["resultType"], result["value"]) == ("Percent", "91.25")


def test_the_least_of_a_badge_conforms_too(
    one_issuer: httpx.Client, certificates: Certificates
) -> None:
    made = certificates.issue(learner_name=None, author=None, hours=None, score=None)
    _, claims = opened(one_issuer, badge(one_issuer, made))
    assert_conforms(claims, "achievementcredential")
    assert "validUntil" not in claims
    assert "exp" not in claims
    assert {"identifier", "result"}.isdisjoint(claims["credentialSubject"])


def test_numbers_and_names_are_whole(one_issuer: httpx.Client, certificates: Certificates) -> None:
    name = 'Ödön "Q" von Ægir 日本語 مرحبا 🎓'
    made = certificates.issue(learner_name=name, hours=99999.25, score=100)
    _, claims = opened(one_issuer, badge(one_issuer, made))
    subject = claims["credentialSubject"]
    assert subject["identifier"][0]["identityHash"] == name
    assert "99999.25 hours" in subject["achievement"]["description"]
    assert subject["result"][0]["value"] == "100"


def test_nothing_of_the_account_is_in_a_badge(
    one_issuer: httpx.Client, certificates: Certificates
) -> None:
    made = certificates.issue(enrollment_id="11111111-2222-4333-8444-555555555555")
    again = certificates.issue(made.learner, course_id=4712)
    texts = [json.dumps(opened(one_issuer, badge(one_issuer, each))[1]) for each in (made, again)]
    for text in texts:
        for secret in (made.learner.id, made.id, again.id, "@example.com", "11111111"):
            assert secret not in text
    # Nor do two badges of one learner say that they are one learner's.
    subjects = [json.loads(text)["credentialSubject"]["id"] for text in texts]
    assert subjects[0] != subjects[1]


def test_an_independent_implementation_of_open_badges_accepts_it(
    issuer: httpx.Client, certificates: Certificates
) -> None:
    made = certificates.issue()
    token = badge(issuer, made)
    key = published_key(issuer, token)
    verifier = OB3Verifier(key.as_pem(private=False))

    def download(url: str) -> bytes:
        return issuer.get(path(url)).content

    def check() -> None:
        found = verifier.verify(token)
        assert found.issuer.id == f"{BASE}/certificates/issuer"
        check_credential_status(
            found, download, verify_list=True, list_pubkey_pem=key.as_pem(private=False)
        )

    check()
    certificates.revoke(made)
    with pytest.raises(OB3VerificationError, match="'revocation' is set"):
        check()
    certificates.reinstate(made)
    check()
    head, payload, signature = token.split(".")
    with pytest.raises(OB3VerificationError):
        verifier.verify(f"{head}.{payload}.{signature[:-8]}AAAAAAAA")


def test_what_was_changed_does_not_verify(issuer: httpx.Client, certificates: Certificates) -> None:
    token = badge(issuer, certificates.issue())
    key = published_key(issuer, token)
    head, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["credentialSubject"]["identifier"][0]["identityHash"] = "Mallory"
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    for wrong in (f"{head}.{forged}.{signature}", f"{head}.{payload}.{signature[4:]}AAAA"):
        with pytest.raises(JoseError):
            jws.deserialize_compact(wrong, key, algorithms=["RS256", "ES256", "Ed25519", "EdDSA"])


def test_an_expired_badge_says_so_itself(
    one_issuer: httpx.Client, certificates: Certificates
) -> None:
    made = certificates.issue(expires_at="2026-05-06T07:08:09Z")
    token = badge(one_issuer, made)
    assert opened(one_issuer, token)[1]["validUntil"] == "2026-05-06T07:08:09Z"
    verifier = OB3Verifier(published_key(one_issuer, token).as_pem(private=False))
    with pytest.raises(OB3VerificationError, match="expired"):
        verifier.verify(token)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "text/plain"),
        ("application/json", "text/plain"),
        ("text/plain", "text/plain"),
        ("application/vc+jwt", "application/vc+jwt"),
        ("application/vc+jwt, */*;q=0.1", "application/vc+jwt"),
    ],
)
def test_a_badge_is_sent_as_either_specification_names_it(
    functions: httpx.Client, certificates: Certificates, accept: str, kind: str
) -> None:
    made = certificates.issue()
    response = functions.get(f"/{made.code.lower()}/credential", headers={"Accept": accept})
    assert response.headers["content-type"].split(";")[0] == kind
    assert response.headers["vary"] == "Accept"
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.text.count(".") == 2


def test_there_is_no_badge_of_nothing(functions: httpx.Client, certificates: Certificates) -> None:
    assert_refusal(functions.get("/nothing/credential"), 404, "certificate_not_found")
    made = certificates.issue()
    certificates.erase(made)
    assert_refusal(functions.get(f"/{made.code}/credential"), 409, "certificate_erased")


# The status list ----------------------------------------------------------------------------------


def test_a_revoked_badge_stands_in_the_list_until_it_is_reinstated(
    issuer: httpx.Client, certificates: Certificates
) -> None:
    made, other = certificates.issue(), certificates.issue()
    token = badge(issuer, made)
    assert not is_void(issuer, token)
    certificates.revoke(made)
    assert is_void(issuer, token)
    # The badge itself stays the same, so that its bearer can be shown to be wrong.
    assert opened(issuer, badge(issuer, made)) == opened(issuer, token)
    assert not is_void(issuer, badge(issuer, other))
    certificates.reinstate(made)
    assert not is_void(issuer, token)


def test_a_superseded_badge_is_void_and_its_successor_is_not(
    one_issuer: httpx.Client, certificates: Certificates
) -> None:
    made = certificates.issue()
    newer = certificates.supersede(made, learner_name="Ada King")
    assert is_void(one_issuer, badge(one_issuer, made))
    assert not is_void(one_issuer, badge(one_issuer, newer))


def test_erasing_a_learner_does_not_take_their_badge_from_them(
    one_issuer: httpx.Client, certificates: Certificates
) -> None:
    made = certificates.issue()
    token = badge(one_issuer, made)
    certificates.erase(made)
    assert not is_void(one_issuer, token)


def test_exactly_the_void_places_are_set(
    one_issuer: httpx.Client, certificates: Certificates
) -> None:
    made = [certificates.issue() for _ in range(20)]
    for certificate in made[::3]:
        certificates.revoke(certificate)
    found = bits(one_issuer)
    rows = certificates.connection.execute(
        "select status_index from public.certificates"
        " where (revoked_at is not null or superseded_at is not null) and status_index < 131072"
    ).fetchall()
    expected = {row["status_index"] for row in rows}
    assert {certificates.place(certificate) for certificate in made[::3]} <= expected
    assert {n for n in range(131_072) if found[n // 8] >> (7 - n % 8) & 1} == expected


def test_later_lists_begin_where_the_former_end(
    one_issuer: httpx.Client, certificates: Certificates
) -> None:
    """Their places are given by the sequence; the test moves it on inside a transaction of SQL."""
    made = certificates.issue()
    assert_refusal(one_issuer.get("/certificates/status/7"), 404, "status_list_not_found")
    places = [7 * 131_072, 8 * 131_072 - 1]
    for place in places:
        row = certificates.issue()
        certificates.connection.execute("delete from public.certificates where id = %s", [row.id])
        certificates.connection.execute(
            "insert into public.certificates overriding system value"
            " select (jsonb_populate_record(c, jsonb_build_object('id', %s::uuid, 'code',"
            " private.certificate_code(), 'status_index', %s::bigint, 'cycle', %s::integer,"
            " 'revoked_at', now(), 'revoked_reason', 'x'))).*"
            " from public.certificates c where c.id = %s",
            [row.id, place, place % 1000 + 2, made.id],
        )
    found = bits(one_issuer, 7)
    assert {n for n in range(131_072) if found[n // 8] >> (7 - n % 8) & 1} == {0, 131_071}
    assert sum(bits(one_issuer, 6)) == 0
    assert_refusal(one_issuer.get("/certificates/status/8"), 404, "status_list_not_found")


def test_lists_that_are_none_are_not_found(functions: httpx.Client, stack: Stack) -> None:
    for name in ("1000000", "-1", "01", "x", "9" * 30, "0.5", "%00"):
        assert_refusal(functions.get(f"/status/{name}"), 404, "status_list_not_found")
    for number in (-1, 10**12, 2**63 - 1, None):
        response = httpx.post(
            f"{stack.api_url}/rest/v1/rpc/get_status_list",
            json={"p_list": number},
            headers={"apikey": stack.publishable_key},
            trust_env=False,
        )
        assert (response.status_code, response.json()["code"]) == (404, "status_list_not_found")


# Keys ---------------------------------------------------------------------------------------------


def test_keys_are_published_and_nothing_private_is(issuer: httpx.Client) -> None:
    response = issuer.get("/certificates/jwks.json")
    assert response.headers["cache-control"] == "public, max-age=600"
    document = response.json()
    [entry] = document["keys"]
    key = KeySet.import_key_set(document).keys[0]
    assert not key.is_private
    assert {"d", "p", "q", "dp", "dq", "qi"}.isdisjoint(entry)
    # The name is the one that every library computes from the key itself.
    assert entry["kid"] == f"{BASE}/certificates/keys/{key.thumbprint()}"
    alone = issuer.get(path(entry["kid"]))
    assert alone.json() == entry
    assert_refusal(issuer.get("/certificates/keys/other"), 404, "key_not_found")


def test_the_issuers_profile_conforms_and_controls_its_keys(issuer: httpx.Client) -> None:
    profile = issuer.get("/certificates/issuer").json()
    assert_conforms(profile, "profile")
    assert profile["id"] == f"{BASE}/certificates/issuer"
    assert profile["name"] == "Example Academy"
    [method] = profile["verificationMethod"]
    assert method["type"] == "JsonWebKey"
    assert method["controller"] == profile["id"]
    assert profile["assertionMethod"] == [method["id"]] == [method["publicKeyJwk"]["kid"]]


def test_after_a_rotation_what_was_signed_before_still_verifies(
    serve: Serve, certificates: Certificates
) -> None:
    made = certificates.issue()
    first, second = pem("RS256"), pem("EdDSA")
    before = serve(WAYMARK_CREDENTIAL_KEY=first, WAYMARK_FUNCTIONS_URL=BASE)
    old = badge(before, made)
    # What was published before is what is kept.
    former = before.get("/certificates/jwks.json").text

    after = serve(WAYMARK_CREDENTIAL_KEY=second, WAYMARK_CREDENTIAL_FORMER_KEYS=former)
    new = badge(after, made)
    old_header, old_claims = opened(after, old)
    new_header, new_claims = opened(after, new)
    assert (old_header["alg"], new_header["alg"]) == ("RS256", "EdDSA")
    assert old_claims == new_claims
    kids = [entry["kid"] for entry in after.get("/certificates/jwks.json").json()["keys"]]
    assert kids == [new_header["kid"], old_header["kid"]]
    listed, _ = opened(after, after.get("/certificates/status/0").text)
    assert listed["kid"] == new_header["kid"]

    # Without the former key, what it signed has no key any more.
    os.environ.pop("WAYMARK_CREDENTIAL_FORMER_KEYS")
    alone = serve(WAYMARK_CREDENTIAL_KEY=second)
    assert alone.get(path(old_header["kid"])).status_code == 404


def test_without_a_key_there_are_no_badges_and_everything_else_works(
    serve: Serve, certificates: Certificates
) -> None:
    made = certificates.issue()
    client = serve(WAYMARK_FUNCTIONS_URL=BASE)
    for where in (f"{made.code}/credential", "status/0", "jwks.json", "issuer", "keys/x"):
        response = client.get(f"/certificates/{where}")
        assert_refusal(response, 404, "credentials_not_configured")
    assert client.get(f"/certificates/verify/{made.code}").json()["status"] == "valid"
    page = client.get(f"/certificates/verify/{made.code}", headers={"Accept": "text/html"})
    assert "credential" not in page.text
