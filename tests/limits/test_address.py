"""Whose address counts: never one that the caller made up."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from local.stack import Stack as LocalStack
from shared import pool
from shared.database import Database
from shared.http import visitor
from shared.settings import read
from tests.database.actors import Actor, Refused
from tests.stack import Stack

Ask = Callable[..., str]
SECRET = "a proxy secret of at least 32 bytes"


@pytest.fixture
def ask(operator: Actor) -> Ask:
    """What client_address() makes of headers, with SECRET as the proxy secret; nothing stays."""

    def address(*settings: str, **headers: str) -> str:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        with operator.connection.transaction(force_rollback=True):
            operator.run(
                "insert into private.secrets (name, digest)"
                " values ('proxy', sha256(convert_to(%s, 'UTF8')))"
                " on conflict (name) do update set digest = excluded.digest",
                SECRET,
            )
            for value in settings:
                operator.run(
                    "update private.settings set value = %s where name = 'client_header'", value
                )
            operator.run("select set_config('request.headers', %s, true)", json.dumps(given))
            found: str = operator.one("select private.client_address()")
        return found

    return address


def test_the_last_hop_counts_and_what_stands_before_it_does_not(ask: Ask) -> None:
    for forged in ("", "10.9.9.9, ", "203.0.113.1, 10.9.9.9,", "x" * 5000 + ", "):
        assert ask(x_forwarded_for=f"{forged}192.0.2.7") == "192.0.2.7"


def test_our_functions_are_believed_by_their_secret_alone(ask: Ask) -> None:
    told = {"x_forwarded_for": "198.51.100.1", "x_waymark_client": "192.0.2.9"}
    assert ask(**told, x_waymark_proxy_secret=SECRET) == "192.0.2.9"
    for wrong in ("", SECRET[:-1], SECRET + " ", SECRET.upper()):
        assert ask(**told, x_waymark_proxy_secret=wrong) == "198.51.100.1"
    assert ask(**told) == "198.51.100.1"
    # Nor does the digest itself open anything.
    digest = "6b" * 32
    assert ask(**told, x_waymark_proxy_secret=digest) == "198.51.100.1"


def test_cloudflares_header_counts_only_when_the_operator_says_so(ask: Ask) -> None:
    told = {"x_forwarded_for": "198.51.100.1", "cf_connecting_ip": "192.0.2.5"}
    assert ask(**told) == "198.51.100.1"
    assert ask("cf-connecting-ip", **told) == "192.0.2.5"
    assert ask("cf-connecting-ip", x_forwarded_for="198.51.100.1") == "unknown"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("192.0.2.1/8", "192.0.2.1"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2:bbbb:0:0:2", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]:443", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", "unknown"),
        ("unknown", "unknown"),
        ("fe80::1%eth0", "unknown"),
        ("999.1.1.1", "unknown"),
        ("1.2.3.4'; drop table x; --", "unknown"),
        ("\u0661\u0662.1.1.1", "unknown"),
    ],
)
def test_addresses_are_read_in_every_form_and_ipv6_by_its_64(
    ask: Ask, given: str, found: str
) -> None:
    assert ask(x_forwarded_for=given) == found


def test_without_headers_there_is_one_bucket_for_all(ask: Ask, operator: Actor) -> None:
    assert ask() == "unknown"
    assert operator.one("select private.client_address()") == "unknown"


# What a function makes of a request --------------------------------------------------------------


class Asked:
    """As much of a request as the rule looks at."""

    class headers:
        lines: tuple[str, ...] = ()

        @classmethod
        def getlist(cls, name: str) -> list[str]:
            assert name == "x-forwarded-for"
            return [*cls.lines]

    class client:
        host = "192.0.2.200"


@pytest.mark.parametrize(
    ("trusted", "lines", "found"),
    [
        (0, (), "192.0.2.200"),
        (0, ("10.0.0.1",), "192.0.2.200"),
        # uvicorn has taken a loopback peer's word: the connection's own address is not known.
        (0, ("10.0.0.1, 192.0.2.200",), None),
        (1, ("192.0.2.3",), "192.0.2.3"),
        (1, ("10.0.0.1, 192.0.2.3",), "192.0.2.3"),
        (1, ("10.0.0.1", "192.0.2.3"), "192.0.2.3"),
        (2, ("10.0.0.1, 192.0.2.3, 192.0.2.4",), "192.0.2.3"),
        (2, ("192.0.2.3",), None),
        (1, (), None),
        (1, ("10.0.0.1, evil\t",), None),
        (1, ("x" * 10_000,), None),
    ],
)
def test_as_many_hops_are_believed_as_there_are_proxies(
    monkeypatch: pytest.MonkeyPatch, trusted: int, lines: tuple[str, ...], found: str | None
) -> None:
    monkeypatch.setattr(Asked.headers, "lines", lines)
    assert visitor(Asked, trusted) == found  # type: ignore[arg-type]


# Through the real doors ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def probe(stack: Stack) -> Iterator[str]:
    """An anonymous RPC that takes a token of its caller's address and tells it."""
    name = f"probe_{uuid.uuid4().hex[:8]}"
    bucket = f"t_{''.join(c for c in uuid.uuid4().hex if c.isalpha())}"
    with stack.connect(autocommit=True) as connection:
        connection.execute(
            "insert into private.rate_limits (bucket, per_second, burst) values (%s, 0.01, 5)",
            [bucket],
        )
        connection.execute(
            f"""
            create function public.{name}() returns jsonb
            language plpgsql volatile security definer set search_path = '' as $$
            declare
              v_wait integer := private.take_token('{bucket}', private.client_address());
            begin
              if v_wait > 0 then
                return private.too_many('{bucket}', v_wait);
              end if;
              return to_jsonb(private.client_address());
            end $$""".encode()
        )
        connection.execute("notify pgrst, 'reload schema'")
        deadline = time.monotonic() + 30
        while post(stack, name).status_code == 404:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        try:
            yield name
        finally:
            connection.execute(f"drop function public.{name}()".encode())
            connection.execute("delete from private.rate_limits where bucket = %s", [bucket])
            connection.execute("delete from private.rate_buckets where bucket = %s", [bucket])
            connection.execute("notify pgrst, 'reload schema'")


def post(stack: Stack, name: str, **headers: str) -> httpx.Response:
    return httpx.post(
        f"{stack.api_url}/rest/v1/rpc/{name}",
        headers={"apikey": stack.publishable_key, **headers},
        trust_env=False,
        timeout=30,
    )


def test_forged_headers_do_not_evade_a_limit(stack: Stack, probe: str) -> None:
    """Straight at /rest/v1, each call with another made-up address and a made-up secret."""
    answers = [
        post(
            stack,
            probe,
            **{
                "X-Forwarded-For": f"203.0.113.{number}",
                "X-Waymark-Client": f"198.51.100.{number}",
                "X-Waymark-Proxy-Secret": f"{number:064}",
                "CF-Connecting-IP": f"192.0.2.{number}",
                "X-Real-IP": f"192.0.2.{number}",
                "Forwarded": f"for=192.0.2.{number}",
            },
        )
        for number in range(8)
    ]
    assert {answer.json() for answer in answers if answer.status_code == 200} <= {"127.0.0.1"}
    limited = [answer for answer in answers if answer.status_code == 429]
    assert len(limited) >= 3
    for answer in limited:
        assert 1 <= int(answer.headers["Retry-After"]) <= 101
        body = answer.json()
        assert set(body) == {"code", "details", "hint", "message"}
        assert body["code"] == "rate_limited"
        assert json.loads(body["details"])["retry_after_seconds"] == int(
            answer.headers["Retry-After"]
        )


def test_our_functions_pass_on_whom_they_saw(stack: Stack, probe: str) -> None:
    """With the stack's own secret, straight through the class that every function calls by."""
    local = LocalStack(_name(stack))
    local.load()
    env = {
        "SUPABASE_URL": stack.api_url,
        "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
        "WAYMARK_PROXY_SECRET": local.secrets.proxy,
    }

    async def ask(address: str | None) -> str:
        try:
            answer = await Database(read(env)).call(
                probe, {}, token=stack.anon_key, request_id="r", visitor=address
            )
        finally:
            await pool.close()
        return str(json.loads(answer))

    assert asyncio.run(ask("192.0.2.33")) == "192.0.2.33"
    assert asyncio.run(ask("2001:db8:9:9::1")) == "2001:db8:9:9::/64"


def _name(stack: Stack) -> str:
    """The name of the stack under test; only ours has a folder."""
    return Path(stack.extra("SIGNING_KEY_FILE")).parent.name


# The secret ---------------------------------------------------------------------------------------


def test_only_operators_set_a_secret_and_only_its_digest_is_kept(
    stack: Stack, operator: Actor
) -> None:
    name = "t_" + "".join(c for c in uuid.uuid4().hex if c.isalpha())
    server = Actor(stack, "service_role")
    try:
        for _ in range(2):
            server.call("put_secret_digest", p_name=name, p_digest="ab" * 32)
        again = server.call("put_secret_digest", p_name=name, p_digest="ab" * 32)
        assert again == {"name": name, "changed": False}
        for bad in ("ab" * 31, "AB" * 32, "zz" * 32, ""):
            with pytest.raises(Refused, match="invalid_value"):
                server.call("put_secret_digest", p_name=name, p_digest=bad)
        [row] = operator.run("select * from private.secrets where name = %s", name)
        assert row["digest"] == bytes.fromhex("ab" * 32)
        audited = operator.run(
            "select * from public.audit_log where subject = %s", f"secret:{name}"
        )
        assert [row["action"] for row in audited] == ["secret.set"]
        assert "abab" not in str(audited)
    finally:
        server.close()
        operator.run("delete from private.secrets where name = %s", name)
