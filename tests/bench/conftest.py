"""The mark of tests that run the benchmarks: `bin/test -m "not bench"` leaves them out."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "bench: runs a smoke version of bin/bench")
