"""The account that PostgreSQL runs under: the caller's own, or an unprivileged one for root."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Account:
    """A user of this machine to whom a child process drops."""

    uid: int
    gid: int


def server_account() -> Account | None:
    """Return the account to drop to, or None when the caller is an ordinary user already."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam("nobody")
    return Account(entry.pw_uid, entry.pw_gid)


def can_read(account: Account | None, path: Path) -> bool:
    """Say whether the account reaches a file or folder, asking as that account."""
    if account is None:
        return os.access(path, os.R_OK | os.X_OK)
    child = os.fork()
    if child == 0:
        # Only this child changes its identity; it leaves without running exit handlers.
        answer = 1
        try:
            os.setgroups([])
            os.setresgid(account.gid, account.gid, account.gid)
            os.setresuid(account.uid, account.uid, account.uid)
            answer = 0 if os.access(path, os.R_OK | os.X_OK) else 1
        finally:
            os._exit(answer)
    return os.waitpid(child, 0)[1] == 0
