"""Prometheus' own tool for the chart's rules and dashboards."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

REQUIRED = "HEAT_DISPATCH_REQUIRE_CONTROLPLANE"


@pytest.fixture(scope="session")
def promtool() -> str:
    found = shutil.which("promtool", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        words = "no promtool on this machine (`make promtool`)"
        if os.environ.get(REQUIRED) and shutil.which("apt-get"):
            pytest.fail(f"{words} ({REQUIRED} is set)", pytrace=False)
        pytest.skip(words)
    return found
