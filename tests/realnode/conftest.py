"""A real node beside a control plane of its own, for the tests of this folder; the machine is looked at before and after.

Where there can be no such node these tests are skipped. Where `HEAT_DISPATCH_REQUIRE_CONTROLPLANE` is set they fail instead, if
what is missing is the kubelet or a package and root could install it; a kernel that allows no containers nobody can mend.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import settled, traces

from scheduler.adapters.devcluster.build import Toolbox
from scheduler.adapters.devcluster.realnode import needs, remains

# It takes hours, and begins where somebody says how many.
collect_ignore = [] if os.environ.get("HEAT_DISPATCH_UNINSTALLS") else ["test_uninstall_moments.py"]
BUILD_IMAGE = Path(__file__).parents[2] / "scripts" / "build-image"
REQUIRED = "HEAT_DISPATCH_REQUIRE_CONTROLPLANE"


@pytest.fixture(scope="session")
def node_toolbox(toolbox: Toolbox) -> Toolbox:
    """Programs of a control plane, and all that a real node needs."""
    no_kubelet = bool(toolbox.missing(["kubelet"]))
    lacking = [*needs.missing(), *(["the kubelet (`make realnode`)"] if no_kubelet else [])]
    if lacking:
        words = f"no real node on this machine: it needs {'; '.join(lacking)}"
        root_could = os.geteuid() == 0 and shutil.which("apt-get") and (no_kubelet or needs.missing_packages())
        if os.environ.get(REQUIRED) and root_could:
            pytest.fail(f"{words} ({REQUIRED} is set)", pytrace=False)
        pytest.skip(words)
    return toolbox


@pytest.fixture(scope="session")
def image(node_toolbox: Toolbox) -> Path:
    """The archive of the container image of these sources, built where it is not there; or what `HEAT_DISPATCH_IMAGE` names."""
    given = os.environ.get("HEAT_DISPATCH_IMAGE")
    if given:
        return Path(given)
    # Here, and not before the tests: it takes a minute or two, in which the other workers have enough to do.
    done = subprocess.run(
        [str(BUILD_IMAGE)], env={**os.environ, "PIP": sys.executable}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        words = f"no container image of these sources (`make image`): {done.stderr[-4000:]}"
        if os.environ.get(REQUIRED) and os.geteuid() == 0 and shutil.which("apt-get"):
            pytest.fail(f"{words} ({REQUIRED} is set)", pytrace=False)
        pytest.skip(words)
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def untouched() -> Iterator[None]:
    """What is done meanwhile leaves nothing on the machine: no process, mount, interface, group, rule, folder or setting."""
    # A run that was killed left what the first node of this one would clear; what is there before is to be there after.
    remains.clear_stale()
    before = traces()
    yield
    assert settled(before) == []
