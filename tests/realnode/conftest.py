"""A real node beside a control plane of its own, for the tests of this folder; the machine is looked at before and after.

Where there can be no such node these tests are skipped. Where `HEAT_DISPATCH_REQUIRE_CONTROLPLANE` is set they fail instead, if
only packages are missing that root could install.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from machine import changes, traces

from scheduler.adapters.devcluster.build import Toolbox
from scheduler.adapters.devcluster.realnode import needs

REQUIRED = "HEAT_DISPATCH_REQUIRE_CONTROLPLANE"


@pytest.fixture(scope="session")
def node_toolbox(toolbox: Toolbox) -> Toolbox:
    """Programs of a control plane, and all that a real node needs."""
    lacking = needs.missing() or (("the kubelet (`make realnode`)",) if toolbox.missing(["kubelet"]) else ())
    if lacking:
        words = f"no real node on this machine: it needs {'; '.join(lacking)}"
        if os.environ.get(REQUIRED) and os.geteuid() == 0 and shutil.which("apt-get"):
            pytest.fail(f"{words} ({REQUIRED} is set)", pytrace=False)
        pytest.skip(words)
    return toolbox


@pytest.fixture(scope="module")
def untouched() -> Iterator[None]:
    """What is done meanwhile leaves nothing on the machine: no process, mount, interface, group, rule, folder or setting."""
    before = traces()
    yield
    assert changes(before, traces()) == []
