"""What admins do to a certificate, seen at every place where it can be looked at."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator

import httpx
import pytest
from joserfc import jws

from shared.client import WaymarkClient, WaymarkError
from tests.certificates_http.world import Certificates
from tests.stack import Stack
from tests.support.learners import make_learner


@pytest.fixture
def admin(stack: Stack) -> Iterator[WaymarkClient]:
    """An admin by the claim in their token."""
    token = make_learner(stack).token(app_metadata={"waymark_role": "admin"})
    with WaymarkClient(stack.functions_url, token, apikey=stack.publishable_key) as client:
        yield client


def void(stack: Stack, code: str, anyone: WaymarkClient) -> bool:
    """What the credential's own status list says of it."""
    token = anyone.credential(code)
    claims = json.loads(jws.extract_compact(token.encode()).payload)
    with httpx.Client(trust_env=False) as client:
        listed = client.get(claims["credentialStatus"]["statusListCredential"]).text
    return is_set(listed, int(claims["credentialStatus"]["statusListIndex"]))


def is_set(listed: str, place: int) -> bool:
    encoded = json.loads(jws.extract_compact(listed.encode()).payload)["credentialSubject"]
    text = encoded["encodedList"][1:]
    bits = gzip.decompress(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return bool(bits[place // 8] >> (7 - place % 8) & 1)


def test_revoked_everywhere_and_valid_everywhere_again(
    certificates: Certificates, admin: WaymarkClient, stack: Stack
) -> None:
    made = certificates.issue()
    with made.learner.client() as owner, WaymarkClient(stack.functions_url) as anyone:
        answer = admin.revoke_certificate(made.id, "Issued by mistake")
        assert answer["changed"]
        assert admin.revoke_certificate(made.id, "Again")["changed"] is False
        told = anyone.verify_certificate(made.code)
        assert (told["status"], told["revoked_reason"]) == ("revoked", "Issued by mistake")
        assert void(stack, made.code, anyone)
        [own] = owner.certificates()["certificates"]
        assert own["status"] == "revoked"
        with pytest.raises(WaymarkError) as refused:
            owner.certificate_pdf(made.id)
        assert refused.value.code == "certificate_revoked"

        assert admin.reinstate_certificate(made.id, "It was none")["changed"]
        assert anyone.verify_certificate(made.code)["status"] == "valid"
        assert not void(stack, made.code, anyone)
        assert owner.certificates()["certificates"][0]["status"] == "valid"


def test_a_reissued_one_leads_from_the_old_code_to_the_new(
    certificates: Certificates, admin: WaymarkClient, stack: Stack
) -> None:
    made = certificates.issue()
    with stack.connect() as connection:
        connection.execute(
            "update public.profiles set display_name = 'Ada King' where id = %s", [made.learner.id]
        )
    newer = admin.reissue_certificate(made.id, "Married")["certificate"]
    certificates.adopt(newer["id"])
    with WaymarkClient(stack.functions_url) as anyone:
        old = anyone.verify_certificate(made.code)
        assert (old["status"], old["superseded_by"]) == ("superseded", newer["code"])
        assert old["learner_name"] == "Ada Lovelace"
        new = anyone.verify_certificate(newer["code"])
        assert (new["status"], new["learner_name"]) == ("valid", "Ada King")
        assert void(stack, made.code, anyone)
        assert not void(stack, newer["code"], anyone)


def test_a_retried_one_is_rendered_again(certificates: Certificates, admin: WaymarkClient) -> None:
    made = certificates.issue()
    answer = admin.retry_certificate(made.id, "The file is broken")
    assert answer["certificate"]["id"] == made.id
    audited = certificates.connection.execute(
        "select reason from public.audit_log where action = 'certificate.retry' and subject = %s",
        [f"certificate:{made.id}"],
    ).fetchall()
    assert [row["reason"] for row in audited] == ["The file is broken"]


def test_nobody_else_may(certificates: Certificates, stack: Stack) -> None:
    made = certificates.issue()
    for person in (made.learner, make_learner(stack)):
        with person.client() as client:
            for command in (
                client.revoke_certificate,
                client.reinstate_certificate,
                client.reissue_certificate,
                client.retry_certificate,
            ):
                with pytest.raises(WaymarkError) as refused:
                    command(made.id, "Because")
                assert (refused.value.status, refused.value.code) == (403, "not_allowed")


def test_a_reason_is_needed(certificates: Certificates, admin: WaymarkClient) -> None:
    made = certificates.issue()
    for reason in ("", "x" * 2001):
        with pytest.raises(WaymarkError) as refused:
            admin.revoke_certificate(made.id, reason)
        assert (refused.value.status, refused.value.code) == (422, "invalid_value")


def test_own_certificates_come_by_pages(certificates: Certificates, stack: Stack) -> None:
    learner = make_learner(stack)
    certificates.adopt_learner(learner)
    made = [certificates.issue(learner, course_id=9000 + number) for number in range(5)]
    other = certificates.issue()
    with learner.client() as client:
        first = client.certificates(limit=3)
        second = client.certificates(limit=3, cursor=first["cursor"])
        found = [each["id"] for each in first["certificates"] + second["certificates"]]
        assert sorted(found) == sorted(each.id for each in made)
        assert other.id not in found
        assert second["cursor"] is None
        with pytest.raises(WaymarkError) as refused:
            client.certificates(cursor=other.id)
        assert refused.value.code == "invalid_value"


def test_signed_out_there_is_nothing_of_ones_own(stack: Stack) -> None:
    with WaymarkClient(stack.functions_url) as anyone:
        for ask in (anyone.certificates, lambda: anyone.certificate_pdf("x")):
            with pytest.raises(WaymarkError) as refused:
                ask()
            assert refused.value.code == "not_authenticated"
