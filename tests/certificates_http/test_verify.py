"""Whether a code is good: for programs, for people, for whoever guesses."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared import pages
from tests.certificates_http.conftest import Serve
from tests.certificates_http.world import BROWSER, Certificates
from tests.stack import Stack
from tests.support.shape import assert_headers, assert_refusal

SNAPSHOT = {
    "learner_name": "Ada Lovelace",
    "is_erased": False,
    "course_id": 4711,
    "program_id": None,
    "course_title": "Notes on the Engine",
    "author": "Charles Babbage",
    "hours": 12.5,
    "score": 91.25,
    "completed_at": "2026-03-04T22:30:15.123456+00:00",
    "completed_on": "2026-03-05",
    "issued_at": "2026-03-04T22:30:16.654321+00:00",
    "issued_on": "2026-03-05",
    "expires_at": None,
    "revoked_at": None,
    "revoked_reason": None,
    "superseded_at": None,
    "superseded_by": None,
}
LATER = "2026-04-05T06:07:08+00:00"
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}


class Page(HTMLParser):
    """A page's elements and its text; fails for what is not well nested."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"] and data.strip():
            self.words.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        """Everything that is read."""
        return " ".join(self.words)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


def page(client: httpx.Client, code: str, status: int = 200) -> Page:
    """The page of a code, with what every page must have."""
    response = client.get(f"/verify/{code}", headers=BROWSER)
    assert response.status_code == status
    headers = response.headers
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    assert headers["vary"] == "Accept"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-robots-tag"] == "noindex, nofollow"
    assert headers["access-control-allow-origin"] == "*"
    found = Page(response.text)
    # Nothing runs, nothing is fetched, nothing frames it; the page's own styles are let through.
    [style] = re.findall("<style>(.*?)</style>", response.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert headers["content-security-policy"].split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    assert {tag for tag, _ in found.elements}.isdisjoint(
        {"script", "link", "img", "iframe", "form"}
    )
    assert all(not name.startswith("on") for _, given in found.elements for name in given)
    assert "url(" not in style
    assert "@import" not in style
    # For screen readers, phones, the dark and paper.
    assert found.all("html") == [{"lang": "en"}]
    assert len(found.all("main")) == len(found.all("h1")) == len(found.all("title")) == 1
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in found.all(
        "meta"
    )
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style
    return found


def verified(client: httpx.Client, code: str) -> dict[str, Any]:
    """What a program is told of a code, without where it stands in the status list."""
    response = client.get(f"/verify/{code}")
    assert response.status_code == 200, response.text
    assert_headers(response)
    assert response.headers["vary"] == "Accept"
    answer: dict[str, Any] = response.json()
    assert answer.pop("status_list") == 0
    assert type(answer.pop("status_index")) is int
    return answer


# States -------------------------------------------------------------------------------------------


def test_a_valid_one_tells_its_snapshot(
    functions: httpx.Client, certificates: Certificates
) -> None:
    made = certificates.issue()
    assert verified(functions, made.code) == {**SNAPSHOT, "code": made.code, "status": "valid"}
    shown = page(functions, made.code)
    assert "This certificate is valid" in shown.text
    for word in (
        "Ada Lovelace",
        "Notes on the Engine",
        "Charles Babbage",
        "5 March 2026",
        "12.5 hours",
        "91.25 %",
        made.code,
    ):
        assert word in shown.text
    assert {"datetime": "2026-03-05"} in shown.all("time")


def test_a_revoked_one_tells_when_and_why(
    functions: httpx.Client, certificates: Certificates
) -> None:
    made = certificates.issue()
    certificates.revoke(made, "Somebody else had done it")
    answer = verified(functions, made.code)
    assert answer["status"] == "revoked"
    assert answer["revoked_at"] == LATER
    assert answer["revoked_reason"] == "Somebody else had done it"
    shown = page(functions, made.code)
    assert "has been revoked" in shown.text
    assert "5 April 2026" in shown.text
    assert "Somebody else had done it" in shown.text
    assert "is valid" not in shown.text

    certificates.reinstate(made)
    assert verified(functions, made.code) == {**SNAPSHOT, "code": made.code, "status": "valid"}
    assert "is valid" in page(functions, made.code).text


def test_a_superseded_one_leads_to_the_newer_one(
    functions: httpx.Client, certificates: Certificates, stack: Stack
) -> None:
    made = certificates.issue()
    newer = certificates.supersede(made, learner_name="Ada King")
    answer = verified(functions, made.code)
    assert answer["status"] == "superseded"
    assert answer["superseded_at"] == LATER
    assert answer["superseded_by"] == newer.code
    assert answer["learner_name"] == "Ada Lovelace"
    shown = page(functions, made.code)
    assert "has been replaced" in shown.text
    links = [link["href"] for link in shown.all("a")]
    assert f"{stack.functions_url}/certificates/verify/{newer.code}" in links
    assert verified(functions, newer.code)["status"] == "valid"

    certificates.set(made, superseded_by=None)
    assert verified(functions, made.code)["superseded_by"] is None
    assert "does not exist any more" in page(functions, made.code).text


def test_an_expired_one_says_since_when(
    functions: httpx.Client, certificates: Certificates
) -> None:
    made = certificates.issue(expires_at="2026-05-06T23:30:00+02:00")
    answer = verified(functions, made.code)
    assert answer["status"] == "expired"
    assert answer["expires_at"] == "2026-05-06T21:30:00+00:00"
    shown = page(functions, made.code)
    assert "has expired" in shown.text
    assert "6 May 2026" in shown.text

    certificates.set(made, expires_at="2999-01-02T00:00:00Z")
    assert verified(functions, made.code)["status"] == "valid"
    assert "2 January 2999" in page(functions, made.code).text


def test_an_unknown_one_is_not_found(functions: httpx.Client, certificates: Certificates) -> None:
    made = certificates.issue()
    off_by_one = made.code[:-1] + ("0" if made.code[-1] != "0" else "1")
    for code in (
        off_by_one,
        made.code[:-1],
        "nothing",
        "%00",
        "..",
        "é",
        "x" * 3000,
        "%F0%9F%98%80",
    ):
        response = functions.get(f"/verify/{code}")
        if code == "..":  # what a client makes of it is another path
            continue
        assert_refusal(response, 404, "certificate_not_found")
    shown = page(functions, off_by_one, 404)
    assert "No certificate has this code" in shown.text
    assert shown.all("dl") == []


def test_an_erased_learner_has_no_name(functions: httpx.Client, certificates: Certificates) -> None:
    made = certificates.issue()
    certificates.erase(made)
    answer = verified(functions, made.code)
    assert (answer["status"], answer["learner_name"], answer["is_erased"]) == ("valid", None, True)
    shown = page(functions, made.code)
    assert "personal data have been deleted" in shown.text
    assert "Ada" not in shown.text
    # There is no one left to be named in a badge.
    assert not [link for link in shown.all("a") if "credential" in str(link["href"])]


def test_what_is_not_known_is_left_out(functions: httpx.Client, certificates: Certificates) -> None:
    made = certificates.issue(learner_name=None, author=None, hours=None, score=None)
    shown = page(functions, made.code)
    assert "a learner without a name" in shown.text
    for word in ("Author", "Workload", "Score", "None", "null"):
        assert word not in shown.text


def test_nothing_of_the_account_is_told(
    functions: httpx.Client, certificates: Certificates
) -> None:
    made = certificates.issue(enrollment_id="11111111-2222-4333-8444-555555555555")
    certificates.revoke(made)
    for headers in ({}, BROWSER):
        text = functions.get(f"/verify/{made.code}", headers=headers).text
        for secret in (made.learner.id, made.id, "@example.com", "11111111"):
            assert secret not in text


# Codes --------------------------------------------------------------------------------------------


def test_codes_are_read_as_people_write_them(
    functions: httpx.Client, certificates: Certificates
) -> None:
    made = certificates.issue()
    code = "0123O-ILoil-ABCDE-00001"
    certificates.set(made, code="01230-11011-ABCDE-00001")
    written = (
        "01230-11011-ABCDE-00001",
        code,
        code.lower(),
        code.replace("-", ""),
        code.replace("-", "%20"),
        f"%20{code}%20",
        "0123 0110 11AB CDE0 0001".replace(" ", "%20"),
    )
    for form in written:
        assert verified(functions, form)["code"] == "01230-11011-ABCDE-00001", form


# Who asks how -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("image/png", "application/json"),
        ("text/html;q=0.5, application/json", "application/json"),
        ("text/html", "text/html"),
        ("text/*", "text/html"),
        ("text/html, application/json;q=0.9", "text/html"),
        ("nonsense;;q=,", "application/json"),
    ],
)
def test_the_form_is_chosen_by_accept(
    functions: httpx.Client, certificates: Certificates, accept: str | None, kind: str
) -> None:
    made = certificates.issue()
    request = functions.build_request("GET", f"/verify/{made.code}")
    del request.headers["accept"]
    if accept is not None:
        request.headers["accept"] = accept
    assert functions.send(request).headers["content-type"].startswith(kind)


def test_a_head_says_the_same_without_the_body(
    functions: httpx.Client, certificates: Certificates
) -> None:
    made = certificates.issue()
    for headers in ({}, BROWSER):
        whole = functions.get(f"/verify/{made.code}", headers=headers)
        head = functions.head(f"/verify/{made.code}", headers=headers)
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-type", "content-length", "cache-control", "vary"):
            assert head.headers[name] == whole.headers[name]
    assert functions.head("/verify/nothing").status_code == 404


def test_a_bad_token_is_refused_and_a_good_one_makes_no_difference(
    functions: httpx.Client, certificates: Certificates
) -> None:
    made = certificates.issue()
    signed_in = made.learner.headers()
    assert functions.get(f"/verify/{made.code}", headers=signed_in).json()["status"] == "valid"
    forged = {**signed_in, "Authorization": signed_in["Authorization"][:-4] + "AAAA"}
    assert_refusal(functions.get(f"/verify/{made.code}", headers=forged), 401, "invalid_token")


def test_it_is_an_rpc_too(certificates: Certificates, stack: Stack) -> None:
    made = certificates.issue()
    for headers in ({"apikey": stack.publishable_key}, made.learner.headers()):
        response = httpx.post(
            f"{stack.api_url}/rest/v1/rpc/verify_certificate",
            json={"p_code": made.code.lower()},
            headers=headers,
            trust_env=False,
        )
        assert response.json()["learner_name"] == "Ada Lovelace"
    response = httpx.post(
        f"{stack.api_url}/rest/v1/rpc/verify_certificate",
        json={"p_code": "nothing"},
        headers={"apikey": stack.publishable_key},
        trust_env=False,
    )
    assert response.status_code == 404
    assert response.json() == {
        "code": "certificate_not_found",
        "message": "Certificate not found",
        "details": None,
        "hint": None,
    }


def test_the_form_is_part_of_what_a_cache_keeps(serve: Serve, certificates: Certificates) -> None:
    made = certificates.issue()
    client = serve(WAYMARK_ALLOWED_ORIGINS="https://site.example")
    for headers in ({}, BROWSER):
        response = client.get(f"/certificates/verify/{made.code}", headers=headers)
        assert response.headers["vary"] == "Origin, Accept"
        assert "access-control-allow-origin" not in response.headers


def test_colours_can_be_told_apart() -> None:
    """WCAG 2.2 asks for a contrast of 4.5 between text and what is behind it, in every form."""

    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    style = (Path(pages.__file__).parent / "style.css").read_text()
    forms = [dict(re.findall(r"--(\w+): #(\w{6})", root)) for root in style.split(":root")[1:]]
    assert len(forms) == 3
    for form in forms:
        for text in ("ink", "soft", "good", "bad", "warn", "link"):
            for behind in ("paper", "ground"):
                dark, bright = sorted((light(form[text]), light(form[behind])))
                assert (bright + 0.05) / (dark + 0.05) >= 4.5, (text, behind)


# Attacks ------------------------------------------------------------------------------------------

SCRIPT = (
    "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}{% raw %}&amp;\u202eevil"
)


def test_names_titles_and_reasons_are_text_and_nothing_else(
    functions: httpx.Client, certificates: Certificates
) -> None:
    made = certificates.issue(learner_name=SCRIPT, course_title=SCRIPT, author=SCRIPT)
    certificates.revoke(made, SCRIPT)
    shown = page(functions, made.code)  # which allows no script, no image and no handler
    plain = " ".join(SCRIPT.split())
    assert shown.words.count(plain) == 4
    assert plain in shown.text.split("has been revoked")[1]
    # The direction of one text does not spill over into the next.
    assert len(shown.all("bdi")) == 4


def from_address(stack: Stack, address: str) -> httpx.Client:
    """A client on another loopback address than all others."""
    return httpx.Client(
        base_url=f"{stack.functions_url}/certificates",
        transport=httpx.HTTPTransport(local_address=address),
        timeout=30,
        trust_env=False,
    )


def test_guessing_is_limited_by_address_whatever_is_made_up(
    certificates: Certificates, stack: Stack
) -> None:
    made = certificates.issue()
    certificates.connection.execute(
        "update private.rate_limits set burst = 5, per_second = 0.01 where bucket = 'verify'"
    )
    try:
        with from_address(stack, "127.0.0.9") as guesser, from_address(stack, "127.0.0.8") as other:
            answers = [
                guesser.get(
                    f"/verify/{number:020}",
                    headers={
                        "X-Forwarded-For": f"203.0.113.{number}",
                        "X-Waymark-Client": f"203.0.113.{number}",
                        "X-Waymark-Proxy-Secret": "x" * 40,
                        "CF-Connecting-IP": f"203.0.113.{number}",
                        "Forwarded": f"for=203.0.113.{number}",
                    },
                )
                for number in range(8)
            ]
            assert [answer.status_code for answer in answers] == [404] * 5 + [429] * 3
            refusal = assert_refusal(answers[-1], 429, "rate_limited")
            assert refusal["details"]["limit"] == "verify"
            # A hit is no way around it either, nor is the badge, nor the page.
            assert_refusal(guesser.get(f"/verify/{made.code}"), 429, "rate_limited")
            assert_refusal(guesser.get(f"/{made.code}/credential"), 429, "rate_limited")
            busy = page(guesser, made.code, 429)
            assert "try again" in busy.text
            assert "Ada" not in busy.text
            # Others go on.
            assert other.get(f"/verify/{made.code}").status_code == 200
    finally:
        certificates.connection.execute(
            "update private.rate_limits set burst = 60, per_second = 2 where bucket = 'verify'"
        )


TOUCHED = ("rate_buckets", "rate_limits", "settings")


def test_known_unknown_and_impossible_codes_take_the_same_way(certificates: Certificates) -> None:
    """One look into the index of codes, and a token, whatever is there."""
    made = certificates.issue()
    run = certificates.connection.execute

    def scans() -> Counter[str]:
        """How often each table was looked into so far, and how."""
        query = "select relname, seq_scan, idx_scan from pg_stat_xact_user_tables"
        return Counter(
            {
                f"{row['relname']} {how}": row[how]
                for row in run(query).fetchall()
                for how in ("seq_scan", "idx_scan")
            }
        )

    costs = []
    with certificates.connection.transaction(force_rollback=True):
        run("set local enable_seqscan = off")
        for code in (made.code, made.code, "00000-00000-00000-00000", "nothing", "", None):
            before = scans()
            run("select public.verify_certificate(%s)", [code])
            costs.append(scans() - before)
    for cost in costs:
        # What a hit joins to it is only whatever has taken its place.
        assert 1 <= cost.pop("certificates idx_scan") <= 2
        assert set(cost) == {f"{table} idx_scan" for table in TOUCHED}
        assert cost == costs[0]
