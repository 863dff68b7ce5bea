"""The chart installed by Helm on a real node, with pods from the image: from `helm install` to `helm uninstall`, one story.

The tests of this file follow each other. The API server is reached at the address of its Service, as in every cluster; what
brings it there is no kube-proxy (`realnode/services.py`). The driver's library is a pretended one, and what brings it into the
containers a pretended runtime of NVIDIA. The volume is a folder of the node. Nothing else differs from a user's cluster.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gpu_machine import Machine
from real_chart import AGENTS, HOME, Installation, ground, seconds_of

from scheduler.adapters.devcluster.build import Toolbox


@pytest.fixture(scope="module")
def installation(
    node_toolbox: Toolbox, image: Path, library: Path, untouched: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("chart")
    machine = Machine.create(folder, library, gpus=4)
    with ground(node_toolbox, image, machine, folder) as found:
        yield found


def test_from_install_to_the_first_plan(installation: Installation) -> None:
    begun_s = time.monotonic()
    installation.install()
    print(f"installed, every pod ready, after {seconds_of(begun_s):.1f} s")
    installation.state("Observe")
    installation.wait("a first plan", lambda: installation.plan().get("planId"))
    print(f"first plan after {seconds_of(begun_s):.1f} s")
    for namespace in (HOME, AGENTS):
        for pod in installation.pods(namespace):
            assert {one["restartCount"] for one in pod["status"]["containerStatuses"]} == {0}, installation.told()
