"""What the functions read from their environment, and from an `.env` file beside main.py.

It is checked once, at start. A value is never printed: an error names the variable only.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from shared.credentials import Issuer
from shared.logs import SEVERITIES
from shared.signing import FormerKeysError, signer

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class SettingsError(Exception):
    """A variable is missing or malformed; the message names it and never holds its value."""


@dataclass(frozen=True, slots=True)
class Mail:
    """The mail server, and who the mails are from."""

    host: str
    port: int
    sender: str
    sender_name: str | None
    user: str | None
    password: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Worker:
    """What the job worker needs beside the service key, which another module reads."""

    # Where links in certificates and mails lead.
    functions_url: str
    issuer_name: str | None
    mail: Mail | None
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment, parsed. Secrets stay out of `repr`."""

    supabase_url: str
    rest_url: str
    functions_url: str
    jwks_url: str
    jwt_issuer: str
    jwt_audience: str
    allowed_origins: tuple[str, ...]
    log_level: str
    google_project: str | None
    telemetry_url: str | None
    trusted_proxies: int
    worker: Worker | None
    # The first key goes along to PostgREST's gateway; any of them as Bearer means "signed out".
    public_keys: tuple[str, ...] = field(repr=False)
    jwks: str | None = field(repr=False)
    jwt_secret: str | None = field(repr=False)
    proxy_secret: str | None = field(repr=False)
    issuer: Issuer | None


def read(env: Mapping[str, str]) -> Settings:
    """Settings out of `env`. Raises SettingsError, naming the variable that is wrong."""
    base = _url(env, "SUPABASE_URL")
    if base is None:
        raise SettingsError("SUPABASE_URL is not set: the address of the Supabase project")
    functions_url = _url(env, "WAYMARK_FUNCTIONS_URL") or f"{base}/functions/v1"
    return Settings(
        supabase_url=base,
        rest_url=_url(env, "POSTGREST_URL") or f"{base}/rest/v1",
        functions_url=functions_url,
        jwks_url=_url(env, "SUPABASE_JWKS_URL", secure=True)
        or f"{base}/auth/v1/.well-known/jwks.json",
        jwt_issuer=env.get("SUPABASE_JWT_ISSUER") or f"{base}/auth/v1",
        jwt_audience=env.get("SUPABASE_JWT_AUDIENCE") or "authenticated",
        allowed_origins=_origins(env),
        log_level=_level(env),
        google_project=env.get("GOOGLE_CLOUD_PROJECT") or None,
        telemetry_url=_url(env, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        worker=_worker(env, functions_url),
        public_keys=_public_keys(env),
        trusted_proxies=_proxies(env),
        jwks=_jwks(env),
        jwt_secret=_secret(env, "SUPABASE_JWT_SECRET"),
        proxy_secret=_secret(env, "WAYMARK_PROXY_SECRET"),
        issuer=_issuer(env, functions_url),
    )


@cache
def settings() -> Settings:
    """This process's settings."""
    return read(environment())


def environment() -> dict[str, str]:
    """The variables that are set, and those of the `.env` file where they are not."""
    return {**_dotenv(), **os.environ}


def _dotenv() -> dict[str, str]:
    path = Path(__file__).resolve().parent.parent / ".env"
    if not path.is_file():
        return {}
    from dotenv import dotenv_values  # only where there is such a file: it costs start time

    return {name: value for name, value in dotenv_values(path).items() if value is not None}


def _url(env: Mapping[str, str], name: str, *, secure: bool = False) -> str | None:
    value = env.get(name, "").strip().rstrip("/")
    if not value:
        return None
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise SettingsError(f"{name} is not a URL") from None
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise SettingsError(f"{name} must be an http(s) URL without query")
    # Whoever can change the keys on their way can sign in as anyone.
    if secure and parts.scheme == "http" and host not in LOOPBACK:
        raise SettingsError(f"{name} must be https unless it is on loopback")
    return value


def _public_keys(env: Mapping[str, str]) -> tuple[str, ...]:
    keys: list[str] = []
    if plural := env.get("SUPABASE_PUBLISHABLE_KEYS"):
        try:
            named = json.loads(plural)
        except ValueError:
            named = None
        if not isinstance(named, dict) or not all(isinstance(k, str) for k in named.values()):
            raise SettingsError("SUPABASE_PUBLISHABLE_KEYS must be a JSON object of name: key")
        keys += named.values()
    elif single := env.get("SUPABASE_PUBLISHABLE_KEY"):
        keys.append(single)
    if anon := env.get("SUPABASE_ANON_KEY"):
        keys.append(anon)
    keys = [key.strip() for key in keys if key.strip()]
    if not keys:
        raise SettingsError("SUPABASE_PUBLISHABLE_KEY (or SUPABASE_ANON_KEY) is not set")
    if any(key.startswith("sb_secret_") for key in keys):
        raise SettingsError("SUPABASE_PUBLISHABLE_KEY holds a secret key: it must be a public one")
    return tuple(keys)


def _jwks(env: Mapping[str, str]) -> str | None:
    text = env.get("SUPABASE_JWKS")
    if not text:
        return None
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise SettingsError('SUPABASE_JWKS must be a JSON object with a list "keys"')
    return text


def _secret(env: Mapping[str, str], name: str) -> str | None:
    # `openssl rand -hex 32 | gcloud secrets create …` keeps the line's end.
    secret = env.get(name, "").rstrip("\r\n") or None
    if secret is not None and len(secret.encode()) < 32:
        raise SettingsError(f"{name} is shorter than 32 bytes")
    if secret is not None and not (secret.isascii() and secret.isprintable()):
        raise SettingsError(f"{name} must be printable ASCII")
    return secret


def _issuer(env: Mapping[str, str], functions_url: str) -> Issuer | None:
    key = env.get("WAYMARK_CREDENTIAL_KEY")
    former = env.get("WAYMARK_CREDENTIAL_FORMER_KEYS") or None
    name = env.get("WAYMARK_ISSUER_NAME") or str(urlsplit(functions_url).hostname)
    if not key:
        return None
    try:
        return Issuer(name, signer(f"{functions_url}/certificates", key, former))
    except FormerKeysError as error:
        raise SettingsError(f"WAYMARK_CREDENTIAL_FORMER_KEYS {error}") from None
    except ValueError as error:
        raise SettingsError(f"WAYMARK_CREDENTIAL_KEY {error}") from None


def _proxies(env: Mapping[str, str]) -> int:
    number = env.get("WAYMARK_TRUSTED_PROXIES") or "0"
    if not (number.isascii() and number.isdecimal() and int(number) <= 10):
        raise SettingsError("WAYMARK_TRUSTED_PROXIES must be a number from 0 to 10")
    return int(number)


def _worker(env: Mapping[str, str], functions_url: str) -> Worker | None:
    secret = _secret(env, "WAYMARK_WORKER_SECRET")
    if secret is None:
        return None
    if not env.get("WAYMARK_FUNCTIONS_URL"):
        raise SettingsError("WAYMARK_FUNCTIONS_URL is not set: where the worker's links lead")
    issuer_name = env.get("WAYMARK_ISSUER_NAME") or None
    return Worker(functions_url, issuer_name, _mail(env), secret)


def _mail(env: Mapping[str, str]) -> Mail | None:
    """The mail server, if there is one: its host and the sender go together."""
    host, sender = env.get("SMTP_HOST", "").strip(), env.get("SMTP_ADMIN_EMAIL", "").strip()
    user, password = env.get("SMTP_USER") or None, env.get("SMTP_PASS") or None
    if not host and not sender and not user and not password:
        return None
    if not host:
        raise SettingsError("SMTP_HOST is not set, though other SMTP_ variables are")
    if not re.fullmatch(r"[!-?A-~]+@[!-?A-~]+", sender):
        raise SettingsError("SMTP_ADMIN_EMAIL must be the address that mails come from")
    if (user is None) != (password is None):
        raise SettingsError("SMTP_USER and SMTP_PASS go together")
    port = env.get("SMTP_PORT") or "587"
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise SettingsError("SMTP_PORT must be a port number")
    name = env.get("SMTP_SENDER_NAME", "").strip() or None
    if name is not None and not name.isprintable():
        raise SettingsError("SMTP_SENDER_NAME must be one printable line")
    return Mail(host, int(port), sender, name, user, password)


def _origins(env: Mapping[str, str]) -> tuple[str, ...]:
    listed = env.get("WAYMARK_ALLOWED_ORIGINS") or "*"
    origins = tuple(entry.strip().rstrip("/") for entry in listed.split(",") if entry.strip())
    for origin in origins:
        if origin != "*" and not origin.startswith(("http://", "https://")):
            raise SettingsError("WAYMARK_ALLOWED_ORIGINS must be * or a comma list of origins")
    return origins or ("*",)


def _level(env: Mapping[str, str]) -> str:
    level = (env.get("LOG_LEVEL") or "INFO").upper()
    if level not in SEVERITIES:
        raise SettingsError(f"LOG_LEVEL must be one of {', '.join(SEVERITIES)}")
    return level
