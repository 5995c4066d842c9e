"""A learner with a valid token: no forged certificate, no look at another's, no other's file."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.certificates.scene import Scene
from tests.database.actors import Actor
from tests.stack import Stack

PDF = b"%PDF-1.7 a certificate"


class Client:
    """HTTP to the stack as one user, as the service, or as nobody."""

    def __init__(
        self, stack: Stack, user: uuid.UUID | None = None, *, secret: bool = False
    ) -> None:
        headers = {"apikey": stack.secret_key if secret else stack.publishable_key}
        if user:
            headers["Authorization"] = f"Bearer {stack.token(str(user))}"
        self.http = httpx.Client(
            base_url=stack.api_url, headers=headers, timeout=30, trust_env=False
        )

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.http.request(method, path, **options)


@pytest.fixture
def clients(stack: Stack) -> Iterator[Any]:
    """Make clients that hang up at the end."""
    made: list[Client] = []

    def make(user: uuid.UUID | None = None, *, secret: bool = False) -> Client:
        made.append(Client(stack, user, secret=secret))
        return made[-1]

    yield make
    for client in made:
        client.http.close()


@pytest.fixture
def scene(stack: Stack) -> Iterator[Scene]:
    """On the stack itself, where the Data API and Storage look."""
    made: list[Actor] = []

    def make(*who: Any) -> Actor:
        made.append(Actor(stack, *who))
        return made[-1]

    yield Scene(make)
    for actor in made:
        actor.close()


@pytest.fixture
def pair(scene: Scene) -> tuple[Actor, dict[str, Any], Actor, dict[str, Any]]:
    """Two learners of one course, each with a certificate."""
    course = scene.course(1)
    ann, eve = scene.learner(course), scene.learner(course, name="Eve Example")
    operator = scene.operator
    for learner in (ann, eve):
        # In one transaction, so that the stack's worker finds nothing to render.
        operator.run("begin")
        operator.call(
            "set_certificate_exception",
            p_user_id=learner.user,
            p_course_id=course.id,
            p_kind="allow",
            p_reason="Test",
        )
        scene.rendered(scene.certificate(learner)["id"])
        operator.run("commit")
    return ann, scene.certificate(ann), eve, scene.certificate(eve)


FORGED = {
    "course_id": 1,
    "code": "00000-00000-00000-00000",
    "course_title": "Forged",
    "completed_at": "2026-01-01T00:00:00Z",
    "completed_on": "2026-01-01",
    "issued_at": "2026-01-01T00:00:00Z",
    "issued_on": "2026-01-01",
}
PATCHES: list[dict[str, Any]] = [
    {"learner_name": "Dr. Eve"},
    {"score": 100},
    {"revoked_at": None, "revoked_reason": None},
    {"expires_at": None},
    {"user_id": None},
    {"pdf_path": "../../other.pdf"},
]


def test_certificates_cannot_be_written(scene: Scene, clients: Any, pair: Any) -> None:
    _, hers, eve, own = pair
    client = clients(eve.user)
    everything = "select to_jsonb(c) from public.certificates c where id = any (%s) order by id"
    before = scene.operator.run(everything, [hers["id"], own["id"]])
    answers = [
        client("POST", "/rest/v1/certificates", json={**FORGED, "user_id": str(eve.user)}),
        client(
            "POST",
            "/rest/v1/certificates?on_conflict=code",
            json={**FORGED, "user_id": str(eve.user), "code": own["code"]},
            headers={"Prefer": "resolution=merge-duplicates"},
        ),
    ]
    for row in (own, hers):
        path = f"/rest/v1/certificates?id=eq.{row['id']}"
        answers += [client("PATCH", path, json=patch) for patch in PATCHES]
        answers.append(client("DELETE", path))
    assert [(a.status_code, a.json()["code"]) for a in answers] == [(403, "42501")] * len(answers)
    assert scene.operator.run(everything, [hers["id"], own["id"]]) == before
    assert len(scene.certificates(eve)) == 1


def test_others_certificates_are_invisible(clients: Any, pair: Any) -> None:
    ann, hers, eve, own = pair
    client = clients(eve.user)
    seen = client("GET", "/rest/v1/certificates?select=*").json()
    assert [row["id"] for row in seen] == [str(own["id"])]
    for query in (
        f"id=eq.{hers['id']}",
        f"user_id=eq.{ann.user}",
        f"code=eq.{hers['code']}",
        "learner_name=like.Ann*",
        "user_id=is.null",
        f"or=(user_id.eq.{ann.user},code.eq.{hers['code']})",
    ):
        assert client("GET", f"/rest/v1/certificates?select=*&{query}").json() == []
    counted = client(
        "GET",
        f"/rest/v1/certificates?course_id=eq.{hers['course_id']}",
        headers={"Prefer": "count=exact"},
    )
    assert counted.headers["Content-Range"] == "0-0/1"
    nobody = clients()("GET", "/rest/v1/certificates")
    assert (nobody.status_code, nobody.json()["code"]) == (401, "42501")
    mine = client("POST", "/rest/v1/rpc/get_my_certificates", json={})
    assert [row["id"] for row in mine.json()["certificates"]] == [str(own["id"])]


@pytest.mark.parametrize(
    "table", ["jobs", "certificate_exceptions", "certificate_templates", "private.jobs"]
)
def test_what_lies_behind_is_not_there(clients: Any, pair: Any, table: str) -> None:
    _, _, eve, _ = pair
    client = clients(eve.user)
    for method in ("GET", "POST", "PATCH", "DELETE"):
        body = {"json": {"kind": "certificate.render"}} if method in ("POST", "PATCH") else {}
        for headers in ({}, {"Accept-Profile": "private", "Content-Profile": "private"}):
            answer = client(method, f"/rest/v1/{table}", headers=headers, **body)
            assert answer.status_code in (404, 406), (method, answer.text)


@pytest.mark.parametrize(
    "function",
    [
        "certify",
        "finish_courses",
        "certificate_rendered",
        "render_facts",
        "certificate_standing",
        "certificate_blocks",
        "enqueue",
        "notify",
    ],
)
def test_inner_functions_cannot_be_called(clients: Any, pair: Any, function: str) -> None:
    _, hers, eve, _ = pair
    for client in (clients(eve.user), clients(), clients(secret=True)):
        answer = client(
            "POST", f"/rest/v1/rpc/{function}", json={"p_certificate_id": str(hers["id"])}
        )
        assert (answer.status_code, answer.json()["code"]) == (404, "PGRST202")


@pytest.mark.parametrize(
    "command",
    ["revoke_certificate", "reinstate_certificate", "reissue_certificate", "retry_certificate"],
)
def test_commands_refuse_learners_over_http(
    scene: Scene, clients: Any, pair: Any, command: str
) -> None:
    ann, hers, eve, own = pair
    for row in (own, hers):
        body = {"p_certificate_id": str(row["id"]), "p_reason": "Because"}
        refused = clients(eve.user)("POST", f"/rest/v1/rpc/{command}", json=body)
        assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
        anonymous = clients()("POST", f"/rest/v1/rpc/{command}", json=body)
        assert (anonymous.status_code, anonymous.json()["code"]) == (401, "42501")
    assert [scene.certificate(ann), scene.certificate(eve)] == [hers, own]


# Files


def test_a_file_is_for_its_owner_alone(scene: Scene, clients: Any, pair: Any) -> None:
    ann, hers, eve, own = pair
    server = clients(secret=True)
    files = "/storage/v1/object"
    path = hers["pdf_path"]
    for row in (hers, own):
        stored = server(
            "POST",
            f"{files}/certificates/{row['pdf_path']}",
            content=PDF,
            headers={"Content-Type": "application/pdf"},
        )
        assert stored.status_code == 200, stored.text

    owner = clients(ann.user)
    got = owner("GET", f"{files}/certificates/{path}")
    assert (got.status_code, got.content) == (200, PDF)
    signed = owner("POST", f"{files}/sign/certificates/{path}", json={"expiresIn": 60})
    link = signed.json()["signedURL"]
    assert clients()("GET", f"/storage/v1{link}").content == PDF

    def listed(client: Client, prefix: str) -> list[str]:
        answer = client("POST", f"{files}/list/certificates", json={"prefix": prefix})
        assert answer.status_code == 200, answer.text
        return [entry["name"] for entry in answer.json()]

    assert any(str(hers["id"]) in name for name in listed(owner, f"{ann.user}"))
    for thief in (clients(eve.user), clients()):
        for way in (
            path,
            f"{eve.user}/../{path}",
            f"{eve.user}/%2e%2e/{path}",
            path.replace("/", "%2F"),
            f"/{path}",
        ):
            for route in ("certificates", "authenticated/certificates", "public/certificates"):
                answer = thief("GET", f"{files}/{route}/{way}")
                assert answer.status_code in (400, 403, 404), (way, answer.text)
                assert PDF not in answer.content
            answer = thief("POST", f"{files}/sign/certificates/{way}", json={"expiresIn": 60})
            assert answer.status_code in (400, 403, 404), (way, answer.text)
        for prefix in ("", f"{ann.user}", f"{ann.user}/"):
            assert not [name for name in listed(thief, prefix) if str(ann.user) in name]
        for verb, body in (
            ("move", {"sourceKey": path, "destinationKey": f"{eve.user}/stolen.pdf"}),
            ("copy", {"sourceKey": path, "destinationKey": f"{eve.user}/stolen.pdf"}),
        ):
            answer = thief("POST", f"{files}/{verb}", json={"bucketId": "certificates", **body})
            assert answer.status_code in (400, 403, 404), answer.text
    # Another's link opens that file and no other.
    token = link.split("token=")[1]
    other = clients()(
        "GET", f"{files}/sign/certificates/{own['pdf_path']}", params={"token": token}
    )
    assert other.status_code >= 400
    assert PDF not in other.content


def test_nobody_but_the_service_writes_files(clients: Any, pair: Any) -> None:
    _, hers, eve, own = pair
    files = "/storage/v1/object"
    server = clients(secret=True)
    kind = {"Content-Type": "application/pdf"}
    for row in (hers, own):
        server("POST", f"{files}/certificates/{row['pdf_path']}", content=PDF, headers=kind)
    for client in (clients(eve.user), clients()):
        for path in (own["pdf_path"], hers["pdf_path"], f"{eve.user}/new.pdf", "new.pdf"):
            for method in ("POST", "PUT"):
                answer = client(
                    method,
                    f"{files}/certificates/{path}",
                    content=b"forged",
                    headers={**kind, "x-upsert": "true"},
                )
                assert answer.status_code in (400, 403, 404), answer.text
        client("DELETE", f"{files}/certificates", json={"prefixes": [own["pdf_path"]]})
    for row in (hers, own):
        assert server("GET", f"{files}/certificates/{row['pdf_path']}").content == PDF


def test_a_revoked_file_is_handed_out_no_more(scene: Scene, clients: Any, pair: Any) -> None:
    ann, hers, _, _ = pair
    path = f"/storage/v1/object/certificates/{hers['pdf_path']}"
    clients(secret=True)("POST", path, content=PDF, headers={"Content-Type": "application/pdf"})
    owner, admin = clients(ann.user), scene.server()
    assert owner("GET", path).content == PDF
    admin.call("revoke_certificate", p_certificate_id=hers["id"], p_reason="Test")
    refused = owner("GET", path)
    assert refused.status_code in (400, 403, 404)
    assert PDF not in refused.content
    admin.call("reinstate_certificate", p_certificate_id=hers["id"], p_reason="Test")
    assert owner("GET", path).content == PDF
