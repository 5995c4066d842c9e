"""The stack under test, as the environment names it: ours from bin/test, or `supabase start`."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import psycopg
import pytest

from local import keys

REQUIRED = (
    "API_URL",
    "FUNCTIONS_URL",
    "DB_URL",
    "ANON_KEY",
    "SERVICE_ROLE_KEY",
    "PUBLISHABLE_KEY",
    "SECRET_KEY",
    "JWT_SECRET",
)


@dataclass(frozen=True)
class Stack:
    """URLs and keys of a running stack."""

    api_url: str
    functions_url: str
    db_url: str
    anon_key: str
    service_role_key: str
    publishable_key: str
    secret_key: str
    jwt_secret: str

    @classmethod
    def from_environment(cls) -> Stack:
        """Read the names that `status -o env` prints; fail the test when some are missing."""
        missing = [name for name in REQUIRED if not os.environ.get(name)]
        if missing:
            pytest.fail(
                f"no stack to test: {', '.join(missing)} not set. Run bin/test, or export what "
                "`bin/dev status -o env` or `supabase status -o env` prints.",
                pytrace=False,
            )
        return cls(**{name.lower(): os.environ[name] for name in REQUIRED})

    def extra(self, name: str) -> str:
        """Return a name that only our own stack has, or skip the test."""
        value = os.environ.get(name)
        if not value:
            pytest.skip(f"this stack has no {name}")
        return value

    @property
    def issuer(self) -> str:
        """The issuer of this stack's tokens."""
        return f"{self.api_url}/auth/v1"

    def claims(self, user_id: str, **more: Any) -> dict[str, Any]:
        """Return the claims of a signed-in user's token, good for an hour."""
        now = int(time.time())
        return {
            "iss": self.issuer,
            "aud": "authenticated",
            "role": "authenticated",
            "sub": user_id,
            "iat": now,
            "exp": now + 3600,
            **more,
        }

    def token(self, user_id: str, **more: Any) -> str:
        """Return a user's token, signed with the shared secret."""
        return jwt.encode(self.claims(user_id, **more), self.jwt_secret, algorithm="HS256")

    def es256_token(self, user_id: str, **more: Any) -> str:
        """Return a user's token, signed with the key that the stack publishes in its JWKS."""
        pem = Path(self.extra("SIGNING_KEY_FILE")).read_text()
        kid = keys.public_jwk(pem)["kid"]
        return jwt.encode(
            self.claims(user_id, **more), pem, algorithm="ES256", headers={"kid": kid}
        )

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """Open a database connection as postgres, the role of migrations."""
        return psycopg.connect(self.db_url, **options)
