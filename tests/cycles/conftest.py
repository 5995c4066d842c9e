"""The scene of the certificates' tests, for learners who take courses again."""

from __future__ import annotations

from tests.certificates.conftest import actors, alone, scene

__all__ = ["actors", "alone", "scene"]
