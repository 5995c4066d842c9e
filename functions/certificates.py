"""Function `certificates`: what learners own, what anyone may verify, and what admins take back.

The database decides; what is made here are other forms of its answers: a page, a signed credential,
an address in Storage.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic_core import from_json, to_json

from shared import html, pages, storage
from shared.credentials import LIST_AGE, LIST_TYPE, Issuer
from shared.errors import Problem
from shared.http import Call, target
from shared.models import CertificatesPage, Reason
from shared.routing import Answer, Function, Route
from shared.worker import WORK

PDF_MINUTES = 5
_VARY = {"Vary": "Accept"}
# Keys change when an operator rotates them; a new one is looked up under its own name.
_KEPT = {"Cache-Control": "public, max-age=600"}


async def pdf(call: Call) -> Answer:
    """Where the own PDF can be fetched for the next minutes; a redirect for who asks for a PDF."""
    expires_at = datetime.now(UTC) + timedelta(minutes=PDF_MINUTES)
    path = from_json(await call.rpc())["path"]
    if call.caller is None:
        raise Problem("not_authenticated")
    try:
        url = await storage.signed_url(
            call.config, "certificates", path, token=call.caller.token, seconds=PDF_MINUTES * 60
        )
    except FileNotFoundError:
        # Rendered once, and gone: making it again is the worker's or an admin's to do.
        raise Problem("certificate_not_ready", headers={"Retry-After": "30"}) from None
    if call.accepts("application/json", "application/pdf") == "application/pdf":
        return Answer(b"", 303, headers={"Location": url, **_VARY})
    expires = expires_at.isoformat(timespec="seconds").replace("+00:00", "Z")
    return Answer(to_json({"url": url, "expires_at": expires}), headers=_VARY)


async def verify(call: Call) -> Answer:
    """What a code is worth: for programs as JSON, for people as a page."""
    if call.accepts("application/json", "text/html") != "text/html":
        return Answer(await call.rpc(), headers=_VARY)
    headers = {**pages.HEADERS, **_VARY}
    try:
        facts = from_json(await call.rpc())
    except Problem as problem:
        if problem.status not in (404, 429, 503):
            raise
        call.error = problem.code
        page = pages.no_certificate("unknown" if problem.status == 404 else "busy")
        return Answer(page, problem.status, html.TYPE, {**problem.headers, **headers})
    page = pages.certificate(
        facts,
        base=f"{call.config.functions_url}/certificates",
        has_credential=call.config.issuer is not None,
    )
    return Answer(page, type=html.TYPE, headers=headers)


async def credential(call: Call) -> Answer:
    """The certificate as an Open Badge: a compact JWS."""
    issuer = _issuer(call)
    facts = from_json(await call.rpc())
    if facts["is_erased"]:
        raise Problem("certificate_erased")
    # Open Badges 3.0 wants text/plain; VC-JOSE-COSE has a type of its own.
    kind = call.accepts("text/plain", "application/vc+jwt")
    return Answer(issuer.credential(facts).encode(), type=kind, headers=_VARY)


async def status(call: Call) -> Answer:
    """One list of which certificates are void, signed."""
    issuer = _issuer(call)
    listed = from_json(await call.rpc())
    age = int(LIST_AGE.total_seconds())
    return Answer(
        issuer.status_list(listed).encode(),
        type=f"application/{LIST_TYPE}",
        headers={"Cache-Control": f"public, max-age={age}"},
    )


async def profile(call: Call) -> Answer:
    """Who issues."""
    return _document(_issuer(call).profile())


async def key_set(call: Call) -> Answer:
    """All keys that credentials may have been signed with."""
    return _document({"keys": [*_issuer(call).signer.keys().values()]})


async def key(call: Call) -> Answer:
    """One key: what the kid of a credential leads to."""
    found = _issuer(call).signer.keys().get(call.ids["key"])
    if found is None:
        raise Problem("key_not_found")
    return _document(found)


def _issuer(call: Call) -> Issuer:
    if call.config.issuer is None:
        raise Problem("credentials_not_configured")
    return call.config.issuer


def _document(document: dict[str, Any]) -> Answer:
    return Answer(to_json(document), headers=_KEPT)


ROUTES = (
    Route(
        "GET",
        "",
        "get_my_certificates",
        "Own certificates",
        body=CertificatesPage,
        answer="certificates.Certificates",
    ),
    Route(
        "GET",
        "verify/{code}",
        "verify_certificate",
        "Whether a certificate's code is good",
        who="anyone",
        handler=verify,
        types=("application/json", "text/html"),
        answer="certificates.Verified",
    ),
    Route(
        "GET",
        "jwks.json",
        None,
        "The issuer's keys",
        who="anyone",
        handler=key_set,
        answer="certificates.KeySet",
    ),
    Route(
        "GET",
        "keys/{key}",
        None,
        "One of the issuer's keys",
        who="anyone",
        handler=key,
        answer="certificates.PublicKey",
    ),
    Route(
        "GET",
        "issuer",
        None,
        "The issuer's profile",
        who="anyone",
        handler=profile,
        answer="certificates.Issuer",
    ),
    Route(
        "GET",
        "status/{list}",
        "get_status_list",
        "Which certificates are void, signed",
        who="anyone",
        handler=status,
        types=(f"application/{LIST_TYPE}",),
    ),
    Route(
        "GET",
        "{code}/credential",
        "verify_certificate",
        "A certificate as a signed Open Badge",
        who="anyone",
        handler=credential,
        types=("text/plain", "application/vc+jwt"),
    ),
    Route(
        "GET",
        "{certificate}/pdf",
        "get_certificate_pdf",
        "Where the own PDF can be fetched",
        handler=pdf,
        redirects=True,
        answer="certificates.CertificateFile",
    ),
    Route(
        "POST",
        "{certificate}/revoke",
        "revoke_certificate",
        "Take a certificate back",
        body=Reason,
        answer="certificates.CertificateChanged",
    ),
    Route(
        "POST",
        "{certificate}/reinstate",
        "reinstate_certificate",
        "Make a revoked certificate valid again",
        body=Reason,
        answer="certificates.CertificateChanged",
    ),
    Route(
        "POST",
        "{certificate}/reissue",
        "reissue_certificate",
        "Issue a certificate anew, with a snapshot of today",
        body=Reason,
        answer="certificates.CertificateChanged",
    ),
    Route(
        "POST",
        "{certificate}/retry",
        "retry_certificate",
        "Render a certificate's PDF again",
        body=Reason,
        answer="certificates.CertificateChanged",
    ),
    WORK,
)

FUNCTION = Function("certificates", ROUTES)
certificates = target("certificates", FUNCTION)
