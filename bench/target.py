"""The stack that is measured: one of our own for this run, or what the environment names."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jwt

from local import control, keys
from local.stack import Stack

NEEDED = (
    "API_URL",
    "DB_URL",
    "ANON_KEY",
    "PUBLISHABLE_KEY",
    "JWT_SECRET",
    "POSTGREST_URL",
    "FUNCTIONS_DIRECT_URL",
)


@dataclass(frozen=True)
class Target:
    """URLs and keys of a running stack, as `bin/dev status -o env` prints them."""

    names: Mapping[str, str]
    # Process ids of the parts, where they are known: what each part burns is then reported.
    processes: Mapping[str, int] = field(default_factory=dict)
    is_own: bool = False
    algorithm: str = "HS256"

    def __getitem__(self, name: str) -> str:
        return self.names[name]

    def token(self, user_id: str) -> str:
        """A signed-in learner's token, good for two hours."""
        now = int(time.time())
        claims = {
            "iss": f"{self['API_URL']}/auth/v1",
            "aud": "authenticated",
            "role": "authenticated",
            "sub": user_id,
            "iat": now,
            "exp": now + 7200,
        }
        if self.algorithm == "HS256":
            return jwt.encode(claims, self["JWT_SECRET"], algorithm="HS256")
        pem = Path(self["SIGNING_KEY_FILE"]).read_text()
        kid = keys.public_jwk(pem)["kid"]
        return jwt.encode(claims, pem, algorithm="ES256", headers={"kid": kid})


@contextlib.contextmanager
def running(algorithm: str) -> Iterator[Target]:
    """The stack named by the environment, or a new one that is gone afterwards.

    Raises StackError when it does not come up, SystemExit when the environment names half a stack.
    """
    if os.environ.get("API_URL"):
        missing = [name for name in NEEDED if not os.environ.get(name)]
        if missing:
            sys.exit(f"bench: API_URL is set, but not {', '.join(missing)}")
        yield Target(dict(os.environ), algorithm=algorithm)
        return
    stack = Stack(f"bench-{os.getpid()}-{secrets.token_hex(3)}")
    supervisor = control.launch(stack, say, tied=True)
    try:
        stack.load()
        found = control.running(stack)
        processes = {key: pid for key, (pid, _) in found.processes.items()} if found else {}
        processes.pop("supervisor", None)
        yield Target(stack.environment(), processes, is_own=True, algorithm=algorithm)
    finally:
        supervisor.terminate()
        supervisor.wait()
        # The supervisor has given the lock back by ending.
        if stack.try_lock():
            stack.remove()
            stack.unlock()


def say(text: str) -> None:
    """Tell the person at the terminal; stdout is for the report alone."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
