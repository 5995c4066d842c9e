"""The environment: defaults, and a start that fails naming the variable and never its value."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shared import settings as module
from shared.settings import SettingsError, read

ROOT = Path(__file__).resolve().parents[2]
GOOD = {"SUPABASE_URL": "https://p.supabase.co/", "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_x"}
VALUE = "s3cret-value"


def test_defaults() -> None:
    found = read(GOOD)
    assert found.supabase_url == "https://p.supabase.co"
    assert found.rest_url == "https://p.supabase.co/rest/v1"
    assert found.jwks_url == "https://p.supabase.co/auth/v1/.well-known/jwks.json"
    assert found.jwt_issuer == "https://p.supabase.co/auth/v1"
    assert found.jwt_audience == "authenticated"
    assert found.jwt_secret is None
    assert found.allowed_origins == ("*",)
    assert found.log_level == "INFO"
    assert (found.trusted_proxies, found.proxy_secret) == (0, None)


def test_the_plural_of_keys_wins_and_the_anon_key_counts_too() -> None:
    env = {
        **GOOD,
        "SUPABASE_PUBLISHABLE_KEYS": '{"web": "sb_publishable_a", "app": "sb_publishable_b"}',
        "SUPABASE_ANON_KEY": "anon",
    }
    assert read(env).public_keys == ("sb_publishable_a", "sb_publishable_b", "anon")
    assert read({"SUPABASE_URL": "http://x", "SUPABASE_ANON_KEY": "anon"}).public_keys == ("anon",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SUPABASE_URL", ""),
        ("SUPABASE_URL", VALUE),
        ("SUPABASE_URL", f"ftp://{VALUE}"),
        ("SUPABASE_URL", f"http://x:{VALUE}"),
        ("SUPABASE_URL", f"http://x/?{VALUE}"),
        ("POSTGREST_URL", VALUE),
        ("SUPABASE_JWKS_URL", f"http://{VALUE}/keys"),
        ("SUPABASE_PUBLISHABLE_KEY", " "),
        ("SUPABASE_PUBLISHABLE_KEY", f"sb_secret_{VALUE}"),
        ("SUPABASE_PUBLISHABLE_KEYS", VALUE),
        ("SUPABASE_PUBLISHABLE_KEYS", f'["{VALUE}"]'),
        ("SUPABASE_JWKS", VALUE),
        ("SUPABASE_JWKS", f'["{VALUE}"]'),
        ("SUPABASE_JWT_SECRET", VALUE),
        ("WAYMARK_PROXY_SECRET", VALUE),
        ("WAYMARK_PROXY_SECRET", VALUE * 4 + "\n" + VALUE),
        ("WAYMARK_TRUSTED_PROXIES", VALUE),
        ("WAYMARK_TRUSTED_PROXIES", f"-1{VALUE}"),
        ("WAYMARK_ALLOWED_ORIGINS", VALUE),
        ("LOG_LEVEL", VALUE),
    ],
)
def test_a_wrong_value_is_named_and_not_shown(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read({**GOOD, name: value})
    assert name in str(caught.value)
    assert VALUE not in str(caught.value)
    assert caught.value.__cause__ is None


def test_keys_may_come_over_plain_http_on_loopback_only() -> None:
    url = "http://127.0.0.1:54321/auth/v1/.well-known/jwks.json"
    assert read({**GOOD, "SUPABASE_JWKS_URL": url}).jwks_url == url


WORKER = {
    **GOOD,
    "WAYMARK_WORKER_SECRET": "w" * 32,
    "WAYMARK_FUNCTIONS_URL": "https://fn.example/",
}
MAIL = {**WORKER, "SMTP_HOST": "smtp.example", "SMTP_ADMIN_EMAIL": "learn@school.example"}


def test_a_worker_is_configured_as_a_whole_or_not_at_all() -> None:
    assert read(GOOD).worker is None
    worker = read(WORKER).worker
    assert worker is not None
    assert (worker.functions_url, worker.mail) == ("https://fn.example", None)
    mail = read(MAIL).worker.mail  # type: ignore[union-attr]
    assert mail is not None
    assert (mail.host, mail.port, mail.sender) == ("smtp.example", 587, "learn@school.example")
    with pytest.raises(SettingsError, match="WAYMARK_FUNCTIONS_URL is not set"):
        read({**WORKER, "WAYMARK_FUNCTIONS_URL": ""})


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"WAYMARK_WORKER_SECRET": VALUE}, "WAYMARK_WORKER_SECRET"),
        ({"SMTP_HOST": ""}, "SMTP_HOST"),
        ({"SMTP_ADMIN_EMAIL": ""}, "SMTP_ADMIN_EMAIL"),
        ({"SMTP_ADMIN_EMAIL": VALUE}, "SMTP_ADMIN_EMAIL"),
        ({"SMTP_ADMIN_EMAIL": f"a@b.c\r\nBcc: {VALUE}"}, "SMTP_ADMIN_EMAIL"),
        ({"SMTP_PORT": VALUE}, "SMTP_PORT"),
        ({"SMTP_PORT": "65536"}, "SMTP_PORT"),
        ({"SMTP_PASS": VALUE}, "SMTP_USER"),
        ({"SMTP_USER": VALUE}, "SMTP_PASS"),
        ({"SMTP_SENDER_NAME": f"A\nBcc: {VALUE}"}, "SMTP_SENDER_NAME"),
    ],
)
def test_what_is_wrong_with_a_worker_is_named_and_not_shown(
    changed: dict[str, str], named: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        read({**MAIL, **changed})
    assert named in str(caught.value)
    assert VALUE not in str(caught.value)


def test_a_worker_without_the_service_key_does_not_start() -> None:
    script = Path(sys.executable).with_name("functions-framework")
    for key, reason in (
        ("", "SUPABASE_SECRET_KEY is not set"),
        ("sb_publishable_x", "SUPABASE_SECRET_KEY holds a publishable key"),
    ):
        done = subprocess.run(
            [str(script), "--target", "certificates"],
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", **WORKER, "SUPABASE_SECRET_KEY": key},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode != 0
        assert reason in done.stderr
        assert "Traceback" not in done.stderr


def test_a_secret_may_end_its_line() -> None:
    """As `openssl rand -hex 32 | gcloud secrets create …` stores it (docs/how-to/deploy.md)."""
    found = read({**GOOD, "WAYMARK_PROXY_SECRET": "p" * 64 + "\n"})
    assert found.proxy_secret == "p" * 64


def test_secrets_stay_out_of_repr() -> None:
    env = {
        **GOOD,
        "SUPABASE_JWT_SECRET": VALUE * 4,
        "WAYMARK_PROXY_SECRET": VALUE * 4,
        **{name: value for name, value in MAIL.items() if name not in GOOD},
        "WAYMARK_WORKER_SECRET": VALUE * 4,
        "SMTP_USER": "user",
        "SMTP_PASS": VALUE,
        "SUPABASE_ANON_KEY": VALUE,
    }
    assert VALUE not in repr(read(env))


def test_variables_win_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / ".env").write_text(
        "SUPABASE_URL=http://from.file\nSUPABASE_ANON_KEY=file\nLOG_LEVEL=ERROR\n"
    )
    monkeypatch.setattr(module, "__file__", str(tmp_path / "shared" / "settings.py"))
    monkeypatch.setenv("SUPABASE_URL", "http://from.env")
    monkeypatch.delenv("LOG_LEVEL", raising=False)
    module.settings.cache_clear()
    try:
        found = module.settings()
    finally:
        module.settings.cache_clear()
    assert (found.supabase_url, found.log_level) == ("http://from.env", "ERROR")


def test_a_start_without_settings_says_which_and_stops() -> None:
    script = Path(sys.executable).with_name("functions-framework")
    done = subprocess.run(
        [str(script), "--target", "progress"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "SUPABASE_ANON_KEY": VALUE, "SUPABASE_URL": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "SUPABASE_URL is not set" in done.stderr
    assert "Traceback" not in done.stderr
    assert VALUE not in done.stdout + done.stderr


def test_every_variable_is_in_the_example() -> None:
    text = (ROOT / ".env.example").read_text()
    import re

    used = set(
        re.findall(
            r'"((?:SUPABASE|POSTGREST|WAYMARK|LOG|GOOGLE|SMTP)_[A-Z_]+)"',
            (ROOT / "shared/settings.py").read_text(),
        )
    )
    assert used
    assert all(name in text for name in used)
