"""Makes the PDF of a certificate by way of the press (press.py), a process of its own.

The press starts with the first certificate and stays for the next ones. It ends with this process,
whose end closes its input, or earlier if a template breaks its limits; then the next certificate
starts another.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import struct
import subprocess
import sys
import threading
from dataclasses import asdict
from datetime import date
from decimal import Decimal
from pathlib import Path
from time import monotonic

from shared.rendering.facts import CertificateFacts, Paper, RenderError

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = Path(__file__).parent / "templates" / "completion.typ"
PAPERS = {"a4": "a4", "letter": "us-letter"}  # by Typst's names
SECONDS = 15.0  # by the clock, for a busy machine; the press counts its own CPU time
MAX_TEMPLATE = 256 * 1024
MAX_ADDRESS = 500
MAX_PDF = 4 * 1024**2
MAX_REASON = 300

# Nothing of ours, so no key either. One thread, so that one certificate takes one core.
ENVIRONMENT = {"RAYON_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "TZ": "UTC"}

_TIME = "the template took too long"
_MEMORY = "the template needed too much memory, or called itself too deep"


def render(facts: CertificateFacts, template: str | None = None, paper: Paper = "a4") -> bytes:
    """The certificate as a PDF: the same bytes for the same facts, template and paper.

    `template` is Typst source (docs/how-to/certificate-templates.md); None is the one shipped.
    Safe to call from any thread; certificates are made one after the other. Raises RenderError
    with a reason for the operator.
    """
    if paper not in PAPERS:
        raise RenderError("the paper must be a4 or letter")
    if not facts.verify_url.startswith(("https://", "http://")):
        raise RenderError("verify_url must start with https:// or http://")
    if len(facts.verify_url) > MAX_ADDRESS:
        raise RenderError(f"verify_url is longer than {MAX_ADDRESS} characters")
    if template is not None and len(template) > MAX_TEMPLATE:
        raise RenderError(f"the template is longer than {MAX_TEMPLATE:,} characters")
    plain = {name: _plain(value) for name, value in asdict(facts).items()}
    order = json.dumps({"facts": plain, "template": template, "paper": PAPERS[paper]})
    with _lock:
        kind, answer = _ready().answer(order.encode())
    if kind != b"+":
        raise RenderError(answer.decode()[:MAX_REASON])
    if len(answer) > MAX_PDF:
        raise RenderError(f"the PDF is larger than {MAX_PDF // 1024**2} MiB")
    return answer


def _plain(value: str | date | Decimal | None) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, date):
        return f"{value:%Y-%m-%d}"
    # 92.50 reads 92.5, and 1E+2 reads 100.
    digits = f"{value:f}"
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


class _Press:
    """The process and the pipes to it, for one thread at a time."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "shared.rendering.press"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=ENVIRONMENT | {"PYTHONPATH": path},
        )

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def answer(self, order: bytes) -> tuple[bytes, bytes]:
        """The kind of the answer and its body. Raises RenderError if there is none in time."""
        deadline = monotonic() + SECONDS
        pipe = self._process.stdin
        assert pipe is not None
        try:
            pipe.write(struct.pack("!I", len(order)) + order)
            pipe.flush()
            size, kind = struct.unpack("!Ic", self._read(5, deadline))
            return kind, self._read(size, deadline)
        except TimeoutError:
            self.close()
            raise RenderError(_TIME) from None
        except (BrokenPipeError, EOFError):
            status = self._process.wait()
            self.close()
            raise RenderError(_cause(status)) from None

    def _read(self, size: int, deadline: float) -> bytes:
        pipe = self._process.stdout
        assert pipe is not None
        waiting = select.poll()
        waiting.register(pipe, select.POLLIN)
        parts = bytearray()
        while len(parts) < size:
            if not waiting.poll(max(0.0, deadline - monotonic()) * 1000):
                raise TimeoutError
            part = os.read(pipe.fileno(), size - len(parts))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)

    def close(self) -> None:
        """End the process if it still runs and is ours, and let go of the pipes."""
        if self.owner == os.getpid():
            self._process.kill()
        # What could not be written is of no interest any more.
        with contextlib.suppress(BrokenPipeError), self._process:
            pass


def _cause(status: int) -> str:
    if -status == signal.SIGXCPU:
        return _TIME
    # A signal is how the typesetter ends without memory; anything else is a fault of ours.
    return _MEMORY if status < 0 else "the typesetter failed; the log has its last words"


_lock = threading.Lock()
_press: _Press | None = None


def _ready() -> _Press:
    global _press
    # A fork has its parent's press in its hands, which is not its own to talk to.
    if _press is not None and (_press.has_ended or _press.owner != os.getpid()):
        _press.close()
        _press = None
    if _press is None:
        _press = _Press()
    return _press


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()


# Whoever forks may do so while another of its threads is in here.
os.register_at_fork(after_in_child=_renew_lock)


@atexit.register
def close() -> None:
    """End the press, if there is one."""
    with _lock:
        if _press is not None:
            _press.close()
