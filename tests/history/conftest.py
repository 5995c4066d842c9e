"""The actors of the database tests."""

from __future__ import annotations

from tests.database.conftest import actors, learner, operator, server

__all__ = ["actors", "learner", "operator", "server"]
