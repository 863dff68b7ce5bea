"""Where a store of the contract suites lives."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A file, a database URL, or "" for memory."""
    if request.param == "memory":
        return ""
    return str(tmp_path / "ledger.sqlite") if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))
