"""The learner's own PDF: an address for minutes, for nobody else, by no trick of the path."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import jwt
import pytest

from tests.certificates_http.conftest import Serve
from tests.certificates_http.world import Certificate, Certificates
from tests.stack import Stack
from tests.support.learners import Learner, make_learner
from tests.support.shape import assert_headers
from tests.support.upstream import Reply, upstream

PDF = b"%PDF-1.7\n% as good as one\n%%EOF\n"

Rendered = Callable[..., Certificate]


@pytest.fixture
def rendered(certificates: Certificates, stack: Stack) -> Iterator[Rendered]:
    """Makes certificates whose file is stored, as the worker would."""
    paths: list[str] = []
    server = {"Authorization": f"Bearer {stack.service_role_key}", "apikey": stack.service_role_key}

    def make(learner: Learner | None = None, *, stored: bool = True, **columns: Any) -> Certificate:
        made = certificates.issue(learner, **columns)
        path = f"{made.learner.id}/{made.id}.pdf"
        if stored:
            answer = httpx.post(
                f"{stack.api_url}/storage/v1/object/certificates/{path}",
                content=PDF + made.id.encode(),
                headers={**server, "Content-Type": "application/pdf", "x-upsert": "true"},
                trust_env=False,
            )
            assert answer.status_code == 200, answer.text
            paths.append(path)
        certificates.set(
            made,
            pdf_path=path,
            pdf_sha256=hashlib.sha256(PDF).hexdigest(),
            pdf_bytes=len(PDF),
            rendered_at=datetime.now(UTC),
        )
        return made

    yield make
    for path in paths:
        httpx.delete(
            f"{stack.api_url}/storage/v1/object/certificates/{path}",
            headers=server,
            trust_env=False,
        )


def ask(client: httpx.Client, certificate: str, learner: Learner, **headers: str) -> httpx.Response:
    return client.get(f"/{certificate}/pdf", headers={**learner.headers(), **headers})


def refused(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """A refusal in our shape."""
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.headers["cache-control"] == "no-store"
    answer: dict[str, Any] = response.json()
    return answer


def test_the_address_opens_the_file_without_a_token_for_some_minutes(
    functions: httpx.Client, rendered: Rendered
) -> None:
    made = rendered()
    began = time.time()
    response = ask(functions, made.id, made.learner)
    assert response.status_code == 200
    assert_headers(response)
    answer = response.json()
    assert set(answer) == {"url", "expires_at"}
    until = datetime.fromisoformat(answer["expires_at"]).timestamp()
    assert 299 <= until - began <= 360
    opened = httpx.get(answer["url"], trust_env=False)
    assert opened.content == PDF + made.id.encode()
    assert opened.headers["content-type"] == "application/pdf"
    # The address says for how long itself: at least as long as the answer does, and hardly longer.
    token = httpx.URL(answer["url"]).params["token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert until - 1 <= claims["exp"] <= until + 60


def test_who_asks_for_a_pdf_is_sent_there(functions: httpx.Client, rendered: Rendered) -> None:
    made = rendered()
    response = ask(functions, made.id, made.learner, Accept="application/pdf")
    assert response.status_code == 303
    assert response.content == b""
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["vary"] == "Accept"
    followed = httpx.get(response.headers["location"], trust_env=False)
    assert followed.content.startswith(b"%PDF")


def test_it_is_not_ready_while_it_is_being_made(
    functions: httpx.Client, certificates: Certificates, rendered: Rendered
) -> None:
    made = certificates.issue()
    for accept in ("*/*", "application/pdf"):
        response = ask(functions, made.id, made.learner, Accept=accept)
        refused(response, 409, "certificate_not_ready")
        assert int(response.headers["retry-after"]) > 0
    # Nor when its file has gone since.
    gone = rendered(stored=False)
    response = ask(functions, gone.id, gone.learner)
    refused(response, 409, "certificate_not_ready")
    assert int(response.headers["retry-after"]) > 0


def test_a_revoked_one_is_not_handed_out_until_it_is_reinstated(
    functions: httpx.Client, certificates: Certificates, rendered: Rendered
) -> None:
    made = rendered()
    certificates.revoke(made, "Because")
    assert refused(ask(functions, made.id, made.learner), 409, "certificate_revoked")[
        "details"
    ] == ("Because")
    certificates.reinstate(made)
    assert ask(functions, made.id, made.learner).status_code == 200


def test_anothers_is_not_there(
    functions: httpx.Client, certificates: Certificates, rendered: Rendered, stack: Stack
) -> None:
    made, other = rendered(), make_learner(stack)
    refused(ask(functions, made.id, other), 404, "certificate_not_found")
    refused(ask(functions, str(uuid.uuid4()), made.learner), 404, "certificate_not_found")
    # Staff of our own included: whoever runs the site has the service key and Storage itself.
    refused(
        functions.get(
            f"/{made.id}/pdf",
            headers=other.headers(app_metadata={"waymark_role": "admin"}),
        ),
        404,
        "certificate_not_found",
    )
    certificates.erase(made)
    refused(ask(functions, made.id, made.learner), 404, "certificate_not_found")


@pytest.mark.parametrize(
    "trick",
    [
        "{path}",
        "{id}.pdf",
        "..%2F{path}",
        "%2e%2e%2f{path}",
        "{own}%2F..%2F{path}",
        "{own}/../{id}",
        "{id}%00",
        "{id}%3Ftoken=x",
        "{id}#x",
        "{id}/pdf/../../{id}",
        "*",
    ],
)
def test_no_trick_of_the_path_leads_to_anothers(
    functions: httpx.Client, rendered: Rendered, stack: Stack, trick: str
) -> None:
    made, other = rendered(), rendered()
    where = trick.format(
        path=f"{made.learner.id}%2F{made.id}.pdf", id=made.id, own=f"{other.learner.id}"
    )
    response = ask(functions, where, other.learner)
    assert response.status_code in (400, 404)
    assert "url" not in response.json()


def test_storage_itself_gives_nobody_anothers(rendered: Rendered, stack: Stack) -> None:
    """Around our route: signing, downloading and listing with a learner's own token."""
    made, other = rendered(), rendered()
    path = f"{made.learner.id}/{made.id}.pdf"
    base = f"{stack.api_url}/storage/v1/object"
    signed_out = {
        "apikey": stack.publishable_key,
        "Authorization": f"Bearer {stack.publishable_key}",
    }

    def post(where: str, body: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
        return httpx.post(f"{base}/{where}", json=body, headers=headers, trust_env=False)

    assert post(f"sign/certificates/{path}", {"expiresIn": 60}, made.learner.headers()).is_success
    for headers in (other.learner.headers(), signed_out):
        for form in (path, f"{other.learner.id}/../{path}", f"{other.learner.id}%2f..%2f{path}"):
            assert not post(f"sign/certificates/{form}", {"expiresIn": 60}, headers).is_success
            for kind in ("authenticated/", "public/", ""):
                answer = httpx.get(
                    f"{base}/{kind}certificates/{form}", headers=headers, trust_env=False
                )
                assert not answer.is_success
                assert PDF not in answer.content
        for prefix in ("", made.learner.id, "..", "%"):
            listed = post("list/certificates", {"prefix": prefix, "limit": 1000}, headers)
            assert made.id not in listed.text
            assert made.learner.id not in listed.text


def test_a_signed_address_is_good_for_its_own_file_only(
    functions: httpx.Client, rendered: Rendered
) -> None:
    made, other = rendered(), rendered()
    mine = httpx.URL(ask(functions, made.id, made.learner).json()["url"])
    theirs = mine.copy_with(
        path=mine.path.replace(made.learner.id, other.learner.id).replace(made.id, other.id)
    )
    answer = httpx.get(theirs, trust_env=False)
    assert not answer.is_success
    assert PDF not in answer.content
    assert not httpx.get(mine.copy_with(query=b"token=x"), trust_env=False).is_success


def test_learners_can_neither_store_nor_change_nor_remove_files(
    rendered: Rendered, functions: httpx.Client, stack: Stack
) -> None:
    made = rendered()
    url = f"{stack.api_url}/storage/v1/object/certificates/{made.learner.id}/{made.id}.pdf"
    headers = {**made.learner.headers(), "Content-Type": "application/pdf"}
    for method in ("POST", "PUT", "DELETE"):
        httpx.request(method, url, content=b"%PDF forged", headers=headers, trust_env=False)
    new = url.replace(made.id, str(uuid.uuid4()))
    assert not httpx.post(new, content=b"%PDF forged", headers=headers, trust_env=False).is_success
    opened = httpx.get(ask(functions, made.id, made.learner).json()["url"], trust_env=False)
    assert opened.content == PDF + made.id.encode()


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (Reply(200, {"signedURL": "/object/sign/certificates/x?token=t"}), 200, None),
        (Reply(200, {"signedUrl": "/storage/v1/object/sign/certificates/x?token=t"}), 200, None),
        (Reply(400, {"statusCode": "404", "error": "not_found"}), 409, "certificate_not_ready"),
        (Reply(404, {"error": "not_found"}), 409, "certificate_not_ready"),
        (Reply(200, {}), 503, "storage_unavailable"),
        (Reply(200, b"<html>"), 503, "storage_unavailable"),
        (Reply(500, {"statusCode": "500"}), 503, "storage_unavailable"),
        (Reply(302, b"", {"Location": "https://elsewhere.example"}), 503, "storage_unavailable"),
        (Reply(drop=True), 503, "storage_unavailable"),
    ],
    ids=range(9),
)
def test_whatever_storage_answers(
    serve: Serve, stack: Stack, rendered: Rendered, reply: Reply, status: int, code: str | None
) -> None:
    made = rendered(stored=False)
    with upstream() as storage:
        storage.usual = reply
        client = serve(
            SUPABASE_URL=storage.url,
            SUPABASE_JWT_ISSUER=stack.issuer,
            POSTGREST_URL=f"{stack.api_url}/rest/v1",
        )
        headers = made.learner.headers()
        response = client.get(f"/certificates/{made.id}/pdf", headers=headers)
        assert response.status_code == status, response.text
        if code is None:
            assert response.json()["url"] == (
                f"{storage.url}/storage/v1/object/sign/certificates/x?token=t"
            )
        else:
            refused(response, status, code)
            assert int(response.headers["retry-after"]) > 0
        [seen] = storage.seen
        assert seen.path == (
            f"/storage/v1/object/sign/certificates/{made.learner.id}/{made.id}.pdf"
        )
        # With the caller's own token: Storage's policies decide.
        assert seen.headers["authorization"] == headers["Authorization"]
        assert seen.json == {"expiresIn": 300}
