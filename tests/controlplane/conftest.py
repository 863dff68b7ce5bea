"""A real control plane for the tests of this folder: one for all that only use it, one of its own for each that hurts it.

All of these tests run in one worker (`tests/conftest.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import queued_world
import yaml
from kube_objects import STRANGER, end_namespace
from operated import Operated

from scheduler.adapters.devcluster import kueue as kueue_beside
from scheduler.adapters.devcluster.build import Toolbox
from scheduler.adapters.devcluster.cluster import DevCluster, Options

ROOT = Path(__file__).parents[2]
CRDS = ROOT / "manifests" / "crds"
_NUMBERS = count()


@pytest.fixture(scope="session")
def cluster(toolbox: Toolbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevCluster]:
    """A cluster with our kinds and two zones of two nodes with eight GPUs; never kill, stop or compact this one."""
    with DevCluster(toolbox, tmp_path_factory.mktemp("cluster"), Options(users={STRANGER: ()})) as running:
        running.apply_crds(yaml.safe_load(path.read_text("utf-8")) for path in sorted(CRDS.glob("*.yaml")))
        for zone in ("a", "b"):
            running.add_nodes(2, 8, {"zone": zone, "heatdispatch.io/plug": "loop"}, prefix=f"gpu-{zone}")
        yield running


@pytest.fixture(scope="session")
def kueue(cluster: DevCluster) -> DevCluster:
    """The shared cluster with Kueue beside it."""
    kueue_beside.start(cluster)
    return cluster


@pytest.fixture(scope="session")
def governed(toolbox: Toolbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """A cluster of its own with Kueue, two loops, queues with our AdmissionCheck and an operator that dispatches."""
    with queued_world.governed(toolbox, tmp_path_factory.mktemp("governed")) as world:
        yield world


@pytest.fixture
def own_cluster(toolbox: Toolbox, tmp_path: Path) -> Iterator[DevCluster]:
    """A cluster of this test alone, without nodes and kinds: kill, stop and compact it."""
    with DevCluster(toolbox, tmp_path / "cluster", Options(users={STRANGER: ()})) as running:
        yield running


@pytest.fixture
def namespace(cluster: DevCluster) -> Iterator[str]:
    """A namespace of this test alone in the shared cluster."""
    name = f"test-{next(_NUMBERS)}"
    cluster.admin.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    end_namespace(cluster, name)
