"""One stack's identity: its folders, ports and secrets, kept in .waymark/<name>/state.json."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from local import keys
from local.account import Account, can_read, server_account
from local.bootstrap import ROOT, STATE
from local.ports import HOST

DEFAULT_NAME = "dev"
PARTS = (
    "gateway",
    "database",
    "auth",
    "postgrest",
    "postgrest_admin",
    "functions",
    "mail",
    "realtime",
)


class StackError(Exception):
    """A stack cannot be run as asked; the text is for the user."""


@dataclass
class Secrets:
    """What the parts of one stack share and nobody else knows."""

    database: str = field(default_factory=keys.random_secret)
    superuser: str = field(default_factory=keys.random_secret)
    jwt: str = field(default_factory=keys.random_secret)
    publishable: str = field(default_factory=lambda: keys.random_key("publishable"))
    secret: str = field(default_factory=lambda: keys.random_key("secret"))
    signing_key: str = field(default_factory=keys.new_signing_key)
    proxy: str = field(default_factory=keys.random_secret)
    worker: str = field(default_factory=keys.random_secret)
    credential_key: str = field(default_factory=keys.new_credential_key)


class Stack:
    """A named stack of this clone. Making the object touches no disk."""

    def __init__(self, name: str = DEFAULT_NAME) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", name):
            raise StackError(f"{name!r} is no stack name: use a-z, 0-9 and -, at most 40 of them")
        self.name = name
        # Whether commits wait for the disk; not kept: a stack that is started again does.
        self.durable = True
        self.folder = STATE / name
        self.account: Account | None = server_account()
        self.ports: dict[str, int] = {}
        self.asked_ports: dict[str, int] = {}
        self.secrets = Secrets.__new__(Secrets)
        self.database_folder = self.folder / "database"
        self._lock: IO[str] | None = None

    # State on disk

    def exists(self) -> bool:
        """Say whether this stack has been made and not reset since."""
        return (self.folder / "state.json").exists()

    def load(self) -> None:
        """Read the state of an existing stack. Raises StackError when there is none."""
        try:
            data = json.loads((self.folder / "state.json").read_text())
        except OSError as problem:
            raise StackError(f"there is no stack {self.name!r} here") from problem
        self.ports = data["ports"]
        self.asked_ports = data["asked_ports"]
        self.secrets = Secrets(**data["secrets"])
        self.database_folder = Path(data["database_folder"])

    def create_or_load(self) -> None:
        """Load the stack, or make its folder, its secrets and the place of its database."""
        if self.exists():
            self.load()
            return
        for folder in (STATE, self.folder, self.folder / "logs"):
            folder.mkdir(exist_ok=True)
            # Root's server account must pass through, whatever the umask says; files stay private.
            folder.chmod(0o755 if folder == STATE else 0o711)
        self.secrets = Secrets()
        self.database_folder = self._place_database()
        self.write_private("signing_key.pem", self.secrets.signing_key)
        # At once, so that a reset finds the database's place even after a start that failed.
        self.save()

    def save(self) -> None:
        """Write the state, readable by its owner only."""
        data = {
            "ports": self.ports,
            "asked_ports": self.asked_ports,
            "secrets": asdict(self.secrets),
            "database_folder": str(self.database_folder),
        }
        self.write_private("state.json", json.dumps(data, indent=2))

    def write_private(self, name: str, text: str) -> Path:
        """Replace a file of the state folder in one step, readable by its owner only."""
        path = self.folder / name
        fresh = path.with_name(f".{name}.{os.getpid()}")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        fresh.replace(path)
        return path

    def remove(self) -> None:
        """Delete everything the stack keeps. The caller has ended it and holds its lock."""
        with contextlib.suppress(StackError):
            self.load()
        if self.database_folder.parent != self.folder:
            shutil.rmtree(self.database_folder, ignore_errors=True)
            self._remove_outside_home_if_empty()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock_path.unlink(missing_ok=True)

    # Places outside the clone

    def _place_database(self) -> Path:
        """Return a new folder for the database that its server's account can use."""
        folder = self.folder / "database"
        folder.mkdir(exist_ok=True)
        folder.chmod(0o700)
        if self.account is None:
            return folder
        os.chown(folder, self.account.uid, self.account.gid)
        if can_read(self.account, folder):
            return folder
        folder.rmdir()
        folder = self.outside_home() / self.name
        folder.mkdir(exist_ok=True)
        folder.chmod(0o700)
        os.chown(folder, self.account.uid, self.account.gid)
        return folder

    @staticmethod
    def outside_home() -> Path:
        """Return a folder under /var/tmp for what must lie outside an unreachable clone.

        Raises StackError when another user has made a folder of that name.
        """
        mark = hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]
        folder = Path("/var/tmp") / f"waymark-{mark}"
        folder.mkdir(mode=0o711, exist_ok=True)
        status = folder.lstat()
        if folder.is_symlink() or status.st_uid != os.geteuid():
            raise StackError(f"{folder} belongs to someone else; remove it or move the clone")
        folder.chmod(0o711)
        return folder

    def _remove_outside_home_if_empty(self) -> None:
        home = self.outside_home()
        left = [entry for entry in home.iterdir() if not entry.name.startswith("postgresql-")]
        if not left:
            shutil.rmtree(home, ignore_errors=True)

    # Locking: the supervisor of a running stack holds its lock for as long as it lives.

    def try_lock(self) -> bool:
        """Take the stack's lock, or return False when a supervisor holds it."""
        STATE.mkdir(mode=0o755, exist_ok=True)
        while True:
            file = self._lock_path.open("a")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                return False
            with contextlib.suppress(FileNotFoundError):
                if self._lock_path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                    self._lock = file
                    return True
            # Whoever held it before us has deleted the file: lock the one that counts now.
            file.close()

    def unlock(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def _lock_path(self) -> Path:
        return STATE / f".{self.name}.lock"

    # What callers of the stack need to know

    def url(self, part: str) -> str:
        """Return the base URL of an HTTP part."""
        return f"http://{HOST}:{self.ports[part]}"

    @property
    def issuer(self) -> str:
        """The issuer of the stack's tokens."""
        return f"{self.url('gateway')}/auth/v1"

    def database_url(self, role: str = "postgres") -> str:
        """Return the connection URL of a login role."""
        password = self.secrets.superuser if role == "supabase_admin" else self.secrets.database
        return f"postgresql://{role}:{password}@{HOST}:{self.ports['database']}/postgres"

    @property
    def anon_token(self) -> str:
        """The legacy anon key."""
        return self._tokens()["anon"]

    @property
    def service_token(self) -> str:
        """The legacy service_role key."""
        return self._tokens()["service_role"]

    def _tokens(self) -> dict[str, str]:
        # Kept, because a key that changes at every start would be useless in a client's settings.
        path = self.folder / "tokens.json"
        with contextlib.suppress(OSError, ValueError):
            known: dict[str, Any] = json.loads(path.read_text())
            if known.get("iss") == self.issuer:
                return known
        tokens = {
            role: keys.role_token(role, self.secrets.jwt, self.issuer)
            for role in ("anon", "service_role")
        }
        self.write_private("tokens.json", json.dumps({"iss": self.issuer, **tokens}))
        return tokens

    @property
    def mail_folder(self) -> Path:
        """Where the mails are kept that the stack sends."""
        return self.folder / "mail"

    def environment(self) -> dict[str, str]:
        """Return the names that `supabase status -o env` prints, and a few of our own."""
        return {
            "API_URL": self.url("gateway"),
            "FUNCTIONS_URL": f"{self.url('gateway')}/functions/v1",
            "DB_URL": self.database_url(),
            "ANON_KEY": self.anon_token,
            "SERVICE_ROLE_KEY": self.service_token,
            "PUBLISHABLE_KEY": self.secrets.publishable,
            "SECRET_KEY": self.secrets.secret,
            "JWT_SECRET": self.secrets.jwt,
            "POSTGREST_URL": self.url("postgrest"),
            "FUNCTIONS_DIRECT_URL": self.url("functions"),
            "SIGNING_KEY_FILE": str(self.folder / "signing_key.pem"),
            "WORKER_SECRET": self.secrets.worker,
            "MAIL_FOLDER": str(self.mail_folder),
            "MAIL_PORT": str(self.ports["mail"]),
        }
