"""The gateway's doors: keys as hosted, CORS, prefixes, and what it makes of Auth and Storage."""

from __future__ import annotations

import gzip
import secrets
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from local import keys
from tests.local.second import Second

BROWSER = "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0"


def user_token(second: Second, algorithm: str = "HS256", **more: Any) -> tuple[str, str]:
    """Return a user's id and token."""
    user = str(uuid.uuid4())
    claims = {"sub": user, "role": "authenticated", "aud": "authenticated", **more}
    if algorithm == "HS256":
        return user, jwt.encode(claims, second["JWT_SECRET"], algorithm="HS256")
    pem = Path(second["SIGNING_KEY_FILE"]).read_text()
    kid = keys.public_jwk(pem)["kid"]
    return user, jwt.encode(claims, pem, algorithm="ES256", headers={"kid": kid})


def sign_up(second: Second, password: str, **data: str) -> dict[str, Any]:
    """Sign up a user and return the session."""
    answer = httpx.post(
        f"{second['API_URL']}/auth/v1/signup",
        headers={"apikey": second["PUBLISHABLE_KEY"]},
        json={"email": f"{secrets.token_hex(6)}@example.com", "password": password, "data": data},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    session: dict[str, Any] = answer.json()
    return session


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("PUBLISHABLE_KEY", "anon"),
        ("ANON_KEY", "anon"),
        ("SECRET_KEY", "service_role"),
        ("SERVICE_ROLE_KEY", "service_role"),
    ],
)
@pytest.mark.parametrize("repeated", [False, True], ids=["alone", "repeated as Bearer"])
def test_a_key_decides_the_role(who: Second, name: str, role: str, repeated: bool) -> None:
    answer = who.get("/rest/v1/rpc/who", who[name], who[name] if repeated else None)
    assert (answer.status_code, answer.json()) == (200, role)


def test_a_key_may_come_in_the_query(who: Second) -> None:
    answer = who.get(f"/rest/v1/rpc/who?apikey={who['PUBLISHABLE_KEY']}")
    assert (answer.status_code, answer.json()) == (200, "anon")


@pytest.mark.parametrize("algorithm", ["HS256", "ES256"])
@pytest.mark.parametrize("name", ["PUBLISHABLE_KEY", "ANON_KEY", "SECRET_KEY", "SERVICE_ROLE_KEY"])
def test_a_users_token_outranks_the_key(who: Second, name: str, algorithm: str) -> None:
    user, token = user_token(who, algorithm)
    answer = who.get("/rest/v1/rpc/who", who[name], token)
    assert (answer.status_code, answer.json()) == (200, f"authenticated {user}")


@pytest.mark.parametrize("prefix", ["/rest/v1/courses", "/auth/v1/user", "/storage/v1/bucket"])
def test_no_key_and_unknown_keys_are_refused(second: Second, prefix: str) -> None:
    _, token = user_token(second)
    for bearer in (None, token):
        missing = second.get(prefix, None, bearer)
        assert missing.status_code == 401
        assert missing.json()["message"] == "No API key found in request"
    forged = keys.role_token("service_role", "not the secret of this stack, but long", "x")
    for key in ("nonsense", "sb_secret_AAAAAAAAAAAAAAAAAAAAAA_AAAAAAAA", forged, token):
        unknown = second.get(prefix, key)
        assert unknown.status_code == 401
        assert unknown.json()["message"] == "Invalid API key"


@pytest.mark.parametrize("prefix", ["/rest/v1/courses", "/auth/v1/health", "/storage/v1/bucket"])
def test_a_secret_key_from_a_browser_is_refused(second: Second, prefix: str) -> None:
    def ask(name: str) -> httpx.Response:
        headers = {"apikey": second[name], "User-Agent": BROWSER}
        return httpx.get(second["API_URL"] + prefix, headers=headers)

    refused = ask("SECRET_KEY")
    assert refused.status_code == 401
    assert refused.json()["message"] == "Forbidden use of secret API key in browser"
    assert ask("PUBLISHABLE_KEY").status_code != 401


def test_bad_tokens_are_never_anonymous(who: Second) -> None:
    user = str(uuid.uuid4())
    claims = {"sub": user, "role": "authenticated"}
    forged = jwt.encode(claims, "a secret that is not this stack's secret", algorithm="HS256")
    unsigned = jwt.encode(claims, None, algorithm="none")
    other = jwt.encode(claims, keys.new_signing_key(), algorithm="ES256")
    for token in (forged, unsigned, other, "nonsense", who["SECRET_KEY"]):
        answer = who.get("/rest/v1/rpc/who", who["PUBLISHABLE_KEY"], token)
        assert answer.status_code == 401, token


def test_functions_need_no_key_and_get_the_headers_as_sent(second: Second) -> None:
    direct = httpx.get(f"{second['FUNCTIONS_DIRECT_URL']}/functions/v1/progress/nowhere")
    through = second.get("/functions/v1/progress/nowhere")
    assert through.status_code == direct.status_code == 404
    assert through.json() == direct.json()
    for name in ("Access-Control-Allow-Origin", "Content-Type"):
        assert through.headers.get_list(name) == direct.headers.get_list(name)


def test_a_packed_body_arrives_as_sent(second: Second) -> None:
    """Whether it can be unpacked is for the part behind to say."""
    _, token = user_token(second, iss=f"{second['API_URL']}/auth/v1", exp=time.time() + 60)
    for body in (gzip.compress(b"{}"), b"no gzip"):
        answer = httpx.put(
            f"{second['FUNCTIONS_URL']}/progress/lessons/{uuid.uuid4()}",
            headers={
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/json",
                "Content-Encoding": "gzip",
            },
            content=body,
        )
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


def test_preflights_are_answered_before_any_key(second: Second) -> None:
    asked = {
        "Origin": "http://localhost:3000",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "apikey,authorization,x-something",
    }
    for path in ("/rest/v1/courses", "/auth/v1/signup", "/storage/v1/bucket"):
        answer = httpx.options(second["API_URL"] + path, headers=asked)
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        assert "x-something" in answer.headers["Access-Control-Allow-Headers"]
    function = httpx.options(f"{second['FUNCTIONS_URL']}/progress/x", headers=asked)
    assert function.status_code in (200, 204)
    assert function.headers.get_list("Access-Control-Allow-Origin") == ["*"]


def test_answers_and_refusals_can_be_read_by_a_browser(second: Second) -> None:
    for key in (second["PUBLISHABLE_KEY"], "nonsense"):
        headers = {"apikey": key, "Origin": "http://localhost:3000"}
        answer = httpx.get(f"{second['API_URL']}/rest/v1/courses", headers=headers)
        assert answer.headers.get_list("Access-Control-Allow-Origin") == ["*"]
        assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/assets/no", "/nowhere", "/rest/v2/x", "/functions/v1", "/realtime/v1/x"]
)
def test_other_paths_are_404_json(second: Second, path: str) -> None:
    answer = second.get(path)
    assert answer.status_code == 404
    assert set(answer.json()) == {"code", "message", "details", "hint"}


def test_the_published_keys_verify_the_stacks_es256_tokens(second: Second) -> None:
    answer = second.get("/auth/v1/.well-known/jwks.json")
    assert answer.status_code == 200
    published = answer.json()["keys"]
    assert [key["alg"] for key in published] == ["ES256"]
    assert "d" not in published[0], "the private half is not published"
    user, token = user_token(second, "ES256")
    key = jwt.PyJWK(published[0])
    claims = jwt.decode(token, key, algorithms=["ES256"], audience="authenticated")
    assert claims["sub"] == user
    assert jwt.get_unverified_header(token)["kid"] == published[0]["kid"]


def test_queries_and_encoded_paths_arrive_as_sent(second: Second) -> None:
    answer = second.get("/rest/v1/courses?select=%22slug%22&slug=eq.a%2Bb%20c", second["ANON_KEY"])
    assert (answer.status_code, answer.json()) == (200, [])


# Auth


def test_a_sign_up_gives_a_session_with_the_claims_of_hosted(who: Second, password: str) -> None:
    session = sign_up(who, password, display_name="Ann")
    token = session["access_token"]
    claims = jwt.decode(token, who["JWT_SECRET"], algorithms=["HS256"], audience="authenticated")
    assert claims["iss"] == f"{who['API_URL']}/auth/v1"
    assert claims["sub"] == session["user"]["id"]
    assert claims["role"] == "authenticated"
    assert claims["app_metadata"]["provider"] == "email"
    assert claims["user_metadata"]["display_name"] == "Ann"
    assert claims["is_anonymous"] is False
    answer = who.get("/rest/v1/rpc/who", who["PUBLISHABLE_KEY"], token)
    assert answer.json() == f"authenticated {claims['sub']}"
    user = who.get("/auth/v1/user", who["PUBLISHABLE_KEY"], token)
    assert user.json()["id"] == claims["sub"]
    assert "T" in user.json()["created_at"]
    assert user.json()["created_at"].endswith("Z")


def test_app_metadata_set_in_the_database_is_in_the_next_token(
    second: Second, password: str
) -> None:
    session = sign_up(second, password)
    with second.connect() as connection:
        connection.execute(
            "update auth.users set raw_app_meta_data ="
            """ raw_app_meta_data || '{"waymark_role": "admin"}' where id = %s""",
            (session["user"]["id"],),
        )
    answer = httpx.post(
        f"{second['API_URL']}/auth/v1/token?grant_type=refresh_token",
        headers={"apikey": second["PUBLISHABLE_KEY"]},
        json={"refresh_token": session["refresh_token"]},
    )
    assert answer.status_code == 200, answer.text
    claims = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
    assert claims["app_metadata"]["waymark_role"] == "admin"


def test_sign_in_refresh_and_sign_out(second: Second, password: str) -> None:
    session = sign_up(second, password)

    def post(path: str, bearer: str | None = None, **body: str) -> httpx.Response:
        headers = {"apikey": second["PUBLISHABLE_KEY"]}
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        return httpx.post(second["API_URL"] + path, headers=headers, json=body, timeout=30)

    email = session["user"]["email"]
    wrong = post("/auth/v1/token?grant_type=password", email=email, password="not the password")
    assert wrong.status_code == 400
    signed_in = post("/auth/v1/token?grant_type=password", email=email, password=password)
    assert signed_in.status_code == 200
    token = signed_in.json()["access_token"]
    assert post("/auth/v1/logout", bearer=token).status_code == 204
    gone = post(
        "/auth/v1/token?grant_type=refresh_token", refresh_token=signed_in.json()["refresh_token"]
    )
    assert gone.status_code == 400


def test_a_projects_triggers_see_metadata_as_objects(second: Second, password: str) -> None:
    session = sign_up(second, password, display_name="Bea")
    with second.connect() as connection:
        row = connection.execute(
            "select raw_user_meta_data ->> 'display_name', raw_app_meta_data ->> 'provider'"
            " from auth.users where id = %s",
            (session["user"]["id"],),
        ).fetchone()
    assert row == ("Bea", "email")


# Storage


def test_files_come_back_whole_and_signed_links_need_no_key(second: Second) -> None:
    api, bucket = f"{second['API_URL']}/storage/v1", f"b{secrets.token_hex(4)}"
    service = {"apikey": second["SECRET_KEY"]}
    body = secrets.token_bytes(3_000_000)
    made = httpx.post(f"{api}/bucket", headers=service, json={"id": bucket, "name": bucket})
    assert made.status_code == 200, made.text
    path = f"{bucket}/folder/a b.bin"
    up = httpx.post(
        f"{api}/object/{path}",
        headers={**service, "Content-Type": "application/octet-stream"},
        content=body,
        timeout=30,
    )
    assert up.status_code == 200, up.text
    assert httpx.get(f"{api}/object/{path}", headers=service, timeout=30).content == body
    # Nobody has a policy on this bucket: the anonymous see nothing.
    anonymous = {"apikey": second["PUBLISHABLE_KEY"]}
    assert httpx.get(f"{api}/object/{path}", headers=anonymous).status_code in (400, 404)
    signed = httpx.post(f"{api}/object/sign/{path}", headers=service, json={"expiresIn": 60})
    assert signed.status_code == 200, signed.text
    link = signed.json()["signedURL"]
    assert httpx.get(f"{api}{link}", timeout=30).content == body
    assert httpx.get(f"{api}{link}x", timeout=30).is_error


def test_a_migration_can_write_policies_on_storage(second: Second, password: str) -> None:
    bucket = f"b{secrets.token_hex(4)}"
    with second.connect() as connection:
        connection.execute("insert into storage.buckets (id, name) values (%s, %s)", [bucket] * 2)
        connection.execute(
            f"create policy own_{bucket} on storage.objects for all to authenticated"
            f" using (bucket_id = '{bucket}' and owner_id = (select auth.uid())::text)"
        )
    url = f"{second['API_URL']}/storage/v1/object/{bucket}/mine.txt"

    def headers(session: dict[str, Any]) -> dict[str, str]:
        bearer = f"Bearer {session['access_token']}"
        return {"apikey": second["PUBLISHABLE_KEY"], "Authorization": bearer}

    ann, bea = headers(sign_up(second, password)), headers(sign_up(second, password))
    up = httpx.post(url, headers={**ann, "Content-Type": "text/plain"}, content=b"words")
    assert up.status_code == 200, up.text
    assert httpx.get(url, headers=ann).content == b"words"
    assert httpx.get(url, headers=bea).status_code in (400, 404)
