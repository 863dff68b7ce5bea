"""From an earlier release of the chart to this one and back, on a real API server: what people have stated stays, and is valid.

`tests/data` has charts as they were released; pods need not run for this, so no hook is. `tests/realnode` upgrades with pods.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from kube_objects import job, jobs_path
from operated import HOME, LAB, heat_path, quickstart

from scheduler.adapters.devcluster.client import Object
from scheduler.adapters.devcluster.cluster import DevCluster
from scheduler.config.kinds import KINDS

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "heat-dispatch"
EARLIER = sorted((ROOT / "tests" / "data").glob("heat-dispatch-*.tgz"))
RELEASE, AGENTS = "heat-dispatch", "heat-dispatch-agents"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
# Much of what an installation may ask for, in the words of the first release.
ASKED = """
operator: {replicas: 2, allowedHosts: [api.example.org], livePage: {enabled: true, port: 8091}, extraArgs: [--writes-per-s=10]}
ledger: {postgres: {secretName: database}}
plantLink: {enabled: true, config: {site: hall}, secrets: [plant.tokens], service: {ports: {rest: 8443, modbus: 1502}}}
agent: {dryRun: false, gpus: "GPU-1,GPU-2", tls: {secretName: t, caConfigMap: c}}
image: {repository: registry.example.org/heat-dispatch, pullSecrets: [registry]}
"""


@dataclass(frozen=True)
class Helm:
    """Helm on a cluster, with nothing of this machine's user."""

    cluster: DevCluster
    folder: Path

    def run(self, *arguments: str) -> str:
        """What it says; a failure is one of the test."""
        places = {name: str(self.folder / name) for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")}
        reach = ["--kubeconfig", str(self.cluster.kubeconfig()), "--namespace", HOME]
        command = [str(self.cluster.toolbox.program("helm")), *reach, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, env={**os.environ, **places})
        assert done.returncode == 0, done.stderr
        return done.stdout

    def upgrade(self, chart: Path, *more: str) -> None:
        """To another chart."""
        self.run("upgrade", RELEASE, str(chart), "--no-hooks", *more)

    def runs(self) -> str:
        """The chart that is installed now, with its version."""
        (found,) = json.loads(self.run("list", "--output", "json"))
        return str(found["chart"])


def described(chart: Path) -> Object:
    """Chart.yaml of a packaged chart."""
    with tarfile.open(chart) as archive:
        file = archive.extractfile("heat-dispatch/Chart.yaml")
        assert file is not None
        found: Object = yaml.safe_load(file.read())
        return found


def values_of(chart: Path, folder: Path) -> str:
    """Every value of a packaged chart with its default, as somebody may have copied and kept them."""
    with tarfile.open(chart) as archive:
        file = archive.extractfile("heat-dispatch/values.yaml")
        assert file is not None
        (folder / "all.yaml").write_bytes(file.read())
    return str(folder / "all.yaml")


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def stated(cluster: DevCluster) -> dict[str, Object]:
    """What people state in our kinds: uid and spec by path, and nothing that others write."""
    found = {heat_path(obj): cluster.admin.get(heat_path(obj)) for obj in quickstart()}
    return {path: {"uid": obj["metadata"]["uid"], "spec": obj["spec"]} for path, obj in found.items()}


def refused(cluster: DevCluster) -> list[str]:
    """Objects as they stand that would not be taken if they were stated now."""
    wrong = []
    for obj in quickstart():
        path = heat_path(obj)
        answer = cluster.admin.answer("PUT", f"{path}?dryRun=All&fieldValidation=Strict", cluster.admin.get(path))
        wrong += [] if answer.is_success else [answer.text]
    return wrong


def kinds(cluster: DevCluster) -> Mapping[str, Any]:
    """The schemas of our kinds, by name."""
    return {
        name: cluster.admin.get(f"{CRDS}/{name}")["spec"]["versions"]
        for name in (f"{one.plural}.heatdispatch.io" for one in KINDS.values())
    }


def rendered_kinds(helm: Helm, chart: Path) -> Mapping[str, Any]:
    """The same as a chart has them."""
    objects = [obj for obj in yaml.safe_load_all(helm.run("template", RELEASE, str(chart))) if obj]
    return {obj["metadata"]["name"]: obj["spec"]["versions"] for obj in objects if obj["kind"] == "CustomResourceDefinition"}


def tokens(cluster: DevCluster) -> list[Any]:
    """The token by which operator and agents know each other, in both namespaces."""
    return [cluster.admin.get(f"/api/v1/namespaces/{space}/secrets/heat-dispatch-agent")["data"] for space in (HOME, AGENTS)]


@pytest.fixture(params=EARLIER, ids=lambda path: path.stem)
def earlier(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture
def helm(own_cluster: DevCluster, earlier: Path, tmp_path: Path) -> Helm:
    """The earlier release with all that somebody has stated in it, and a held Job."""
    found, cluster = Helm(own_cluster, tmp_path), own_cluster
    (tmp_path / "asked.yaml").write_text(ASKED, encoding="utf-8")
    found.run("install", RELEASE, str(earlier), "--create-namespace", "--no-hooks", "--values", str(tmp_path / "asked.yaml"))
    for obj in quickstart():
        cluster.wait("its kind", partial(cluster.admin.apply, heat_path(obj), obj), 60.0)
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": LAB}}
    cluster.admin.apply(f"/api/v1/namespaces/{LAB}", space)
    cluster.admin.create(jobs_path(LAB), job("waits", labels={"heatdispatch.io/class": "deferrable"}))
    return found


def test_this_chart_is_a_later_one_than_any_that_was_released() -> None:
    now = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    before = [described(path) for path in EARLIER]
    assert before
    assert all(version(one["version"]) < version(now["version"]) for one in before)


def test_from_an_earlier_release_to_this_one_and_back(helm: Helm, earlier: Path, tmp_path: Path) -> None:
    cluster, first, asked = helm.cluster, f"heat-dispatch-{described(earlier)['version']}", str(tmp_path / "asked.yaml")
    now = f"heat-dispatch-{yaml.safe_load((CHART / 'Chart.yaml').read_text('utf-8'))['version']}"
    before, token, waits = stated(cluster), tokens(cluster), cluster.admin.get(jobs_path(LAB, "waits"))
    assert token[0] == token[1]

    def all_stays(chart: str) -> None:
        assert (helm.runs(), stated(cluster), tokens(cluster)) == (chart, before, token)
        assert refused(cluster) == []

    all_stays(first)
    helm.upgrade(CHART, "--values", asked)
    all_stays(now)
    assert covers(kinds(cluster), rendered_kinds(helm, CHART))
    helm.run("rollback", RELEASE, "1", "--no-hooks")
    all_stays(first)
    assert covers(kinds(cluster), rendered_kinds(helm, earlier))
    # There again, with the values that Helm itself remembers; then with all values as they were by default: two replicas with a
    # database become one with a volume. A field that the next release has is dropped before it, and kept from then on.
    helm.upgrade(CHART, "--reuse-values")
    all_stays(now)
    helm.upgrade(CHART, "--values", values_of(earlier, tmp_path))
    all_stays(now)
    assert not kept(cluster)
    helm.upgrade(following(tmp_path), "--values", asked)
    cluster.wait("the field", partial(kept, cluster), 60.0)
    after = cluster.admin.get(jobs_path(LAB, "waits"))
    assert (after["metadata"]["uid"], after["spec"]) == (waits["metadata"]["uid"], waits["spec"])


def following(folder: Path) -> Path:
    """The next release: a Site has one more field."""
    chart = folder / "following"
    shutil.copytree(CHART, chart)
    file = chart / "templates" / "crds" / "sites.yaml"
    text, before = file.read_text("utf-8"), "              timeZone:\n"
    assert text.count(before) == 1
    new = "              bakery:\n                type: string\n"
    file.write_text(text.replace(before, new + before), encoding="utf-8")
    return chart


def kept(cluster: DevCluster) -> bool:
    """Whether the API server keeps that field."""
    (site,) = [obj for obj in quickstart() if obj["kind"] == "Site"]
    spec = cluster.admin.patch(heat_path(site), {"spec": {"bakery": "next door"}})["spec"]
    return "bakery" in spec


def covers(there: Any, wanted: Any) -> bool:
    """Whether all that is wanted is there; an API server adds what goes without saying."""
    if isinstance(wanted, dict):
        return isinstance(there, dict) and all(key in there and covers(there[key], value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(there, list) and len(there) == len(wanted) and all(map(covers, there, wanted))
    return bool(there == wanted)
