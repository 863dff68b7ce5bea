"""Every right that the chart gives is needed, on a real API server: without it the command fails and says what it lacks.

The operator's are those of manifests/rbac (`tests/chart`), of which `test_rights.py` shows the same. Here are those of the
agent, of the CronJob and of the hooks, one verb of one resource at a time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml
from hearing import hearing
from kube_objects import HEAT, job, jobs_path
from operated import HOME, LAB, heat_path, quickstart
from rbac_rights import Right, allowed, bound, rights_of, without
from typer.testing import CliRunner

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.devcluster.build import Toolbox
from scheduler.adapters.devcluster.client import Object
from scheduler.adapters.devcluster.cluster import DevCluster, Options
from scheduler.adapters.devcluster.kueue import API as KUEUE
from scheduler.adapters.devcluster.manifests import KUEUE_FILE
from scheduler.adapters.gpu.kube_http import Access
from scheduler.adapters.gpu.kube_watch import Patience, Reach
from scheduler.adapters.gpu.wishes_api import ApiWishes
from scheduler.adapters.kubernetes.runtime.writer import Patience as Unforgiving
from scheduler.adapters.kubernetes.runtime.writer import Writer
from scheduler.entrypoints import by_hand, leaving
from scheduler.entrypoints.cli import app

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "heat-dispatch"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
LEASES = "/apis/coordination.k8s.io/v1/namespaces"
NODE = "gpu-0"
SOON_S = 30.0
# More than there are rights; each user has everything but one of them, the first has all.
USERS = tuple(f"without-{number}" for number in range(80))
LONG_AGO = "2026-01-05T12:00:00Z"
OVER = {
    "heatdispatch.io/held-by": "operator",
    "heatdispatch.io/held-since": LONG_AGO,
    "heatdispatch.io/hold-until": "2026-01-05T18:00:00Z",
}
AGENT, OPERATOR = "heat-dispatch-agent", "heat-dispatch-operator"


def commanded(*arguments: str) -> Callable[[Path], tuple[int, str]]:
    """A command of ours, with the rights of a kubeconfig; gives its exit code and what it said."""

    def run(kubeconfig: Path) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["release", *arguments, "--kubeconfig", str(kubeconfig)])
        return done.exit_code, done.output

    return run


def asked(kubeconfig: Path) -> tuple[int, str]:
    """What `helm test` runs; no pod is there, so that with all rights it says so."""
    options = [f"--namespace={HOME}", "--selector=app.kubernetes.io/name=heat-dispatch-operator", "--port=8080", "--seconds=0"]
    command = [sys.executable, "-P", "-m", "scheduler.entrypoints.installed", *options]
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment, cwd=ROOT)
    return done.returncode, done.stderr


DOES: Mapping[str, Callable[[Path], tuple[int, str]]] = {
    "heat-dispatch-release": commanded("--stale"),
    "heat-dispatch-uninstall": commanded("--uninstall"),
    "heat-dispatch-leases": commanded("--leases", "--caps-namespace", HOME),
    "heat-dispatch-test": asked,
}


@dataclass(frozen=True)
class Account:
    """The roles of one service account, as the chart gives them."""

    name: str
    roles: tuple[Object, ...]

    @property
    def rights(self) -> list[Right]:
        """All of them."""
        return sorted(right for role in self.roles for right in rights_of(role))


@dataclass(frozen=True)
class Place:
    """A cluster with our kinds and Kueue's, and users."""

    cluster: DevCluster
    accounts: Mapping[str, Account]
    numbers: Iterator[int]

    def user(self, account: Account, missing: Right | None) -> str:
        """Somebody with all rights of an account but one, once they are in force."""
        number = next(self.numbers)
        user = USERS[number]
        for part, role in enumerate(account.roles):
            bound(self.cluster, without(role, missing, f"without-{number}-{part}"), user)
            # A role of one right has nothing left by which it could be seen to be in force.
            for right in [right for right in rights_of(role) if right != missing][:1]:
                self.cluster.wait(f"{right}", partial(allowed, self.cluster, user, right), SOON_S)
        return user


def accounts(helm: Path) -> dict[str, Account]:
    """Who has which roles, as the chart renders it with everything on."""
    command = [str(helm), "template", HOME, str(CHART), "--namespace", HOME]
    done = subprocess.run(command, capture_output=True, check=True, timeout=120)
    found = [obj for obj in yaml.safe_load_all(done.stdout) if obj]
    roles = {(obj["kind"], _where(obj)): obj for obj in found if obj["kind"] in ("Role", "ClusterRole")}
    given: dict[str, list[Object]] = {}
    for obj in found:
        if obj["kind"].endswith("RoleBinding"):
            (subject,) = obj["subjects"]
            role = roles.pop((obj["roleRef"]["kind"], (_where(obj)[0], obj["roleRef"]["name"])))
            given.setdefault(subject["name"], []).append(
                {part: role[part] for part in ("apiVersion", "kind", "rules")} | _named(role)
            )
    assert not roles, "a role that nobody has"
    return {name: Account(name, tuple(given[name])) for name in given}


def _where(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _named(role: Object) -> Object:
    return {"metadata": {part: role["metadata"][part] for part in ("name", "namespace") if part in role["metadata"]}}


@pytest.fixture(scope="module")
def place(toolbox: Toolbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Our kinds, Kueue's without its controllers, a policy and the policies that hold new Jobs; no operator, no agent."""
    options = Options(users=dict.fromkeys(USERS, ()))
    with DevCluster(toolbox, tmp_path_factory.mktemp("rights") / "cluster", options) as cluster:
        kinds = [yaml.safe_load(path.read_text("utf-8")) for path in sorted((ROOT / "manifests" / "crds").glob("*.yaml"))]
        theirs = json.loads((toolbox.manifests / KUEUE_FILE).read_text("utf-8"))["crds"]
        wanted = {"workloads", "admissionchecks"}
        cluster.apply_crds([*kinds, *(crd for crd in theirs if crd["spec"]["names"]["plural"] in wanted)])
        for name in (HOME, LAB):
            space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            cluster.admin.apply(f"/api/v1/namespaces/{name}", space)
        for obj in quickstart():
            cluster.admin.apply(heat_path(obj), obj)
        check = {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "AdmissionCheck", "metadata": {"name": "heat"}}
        check["spec"] = {"controllerName": "heatdispatch.io/admission"}
        cluster.admin.apply(f"{KUEUE}/admissionchecks/heat", check)
        yield Place(cluster, accounts(toolbox.program("helm")), count())


def everything(cluster: DevCluster) -> None:
    """What any of the commands may find: two holds that are over, a check to answer, bindings, a mode, a wish, Leases."""
    admin = cluster.admin
    # The same hand has marked it that suspended it: at its creation that is the admission policy's.
    marks = {**OVER, "heatdispatch.io/held-by": "admission"}
    admin.create(jobs_path(LAB), {**job("any"), "metadata": {"generateName": "held-", "annotations": marks}})
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "example.test/train:1"}]}}
    workloads = f"{KUEUE}/namespaces/{LAB}/workloads"
    for each in ("off", "asked"):
        body: Object = {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "Workload", "metadata": {"name": each}}
        body["metadata"]["annotations"] = OVER if each == "off" else {}
        pods = [{"name": "main", "count": 1, "template": template}]
        body["spec"] = {"active": each != "off", "queueName": "q", "podSets": pods}
        admin.apply(f"{workloads}/{each}", body)
    reserved = {"type": "QuotaReserved", "status": "True", "reason": "Quota", "message": "", "lastTransitionTime": LONG_AGO}
    asks = {"name": "heat", "state": "Pending", "message": "", "lastTransitionTime": LONG_AGO}
    admin.patch(f"{workloads}/asked/status", {"status": {"conditions": [reserved], "admissionChecks": [asks]}})
    for obj in yaml.safe_load_all((ROOT / "policies" / "admission" / "hold-new-jobs.yaml").read_text("utf-8")):
        if obj["kind"] == "MutatingAdmissionPolicyBinding":
            admin.apply(f"{ADMISSION}/mutatingadmissionpolicybindings/{obj['metadata']['name']}", obj)
    admin.patch(f"{HEAT}/dispatchpolicies/quickstart", {"spec": {"mode": "Dispatch"}})
    cap = {"uuid": "GPU-0", "podUid": "5e0c9d8e-0000-4000-8000-000000000000", "capWatts": 200.0}
    wish: Object = {"apiVersion": "heatdispatch.io/v1alpha1", "kind": "NodePower", "metadata": {"name": NODE}}
    admin.apply(f"{HEAT}/nodepowers/{NODE}", {**wish, "spec": {"planId": "p", "generation": 1, "gpus": [cap]}})
    for each, namespace in (
        ("heat-dispatch-operator", "kube-system"),
        ("heat-dispatch-standby", "kube-system"),
        ("heat-dispatch-caps", HOME),
    ):
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": each, "namespace": namespace}}
        admin.apply(f"{LEASES}/{namespace}/leases/{each}", {**lease, "spec": {"holderIdentity": "", "leaseDurationSeconds": 1}})


def lacks(said: str, right: Right) -> bool:
    """Whether it is told what was refused."""
    plural = right.resource.partition("/")[0]
    return "forbidden" in said.lower() and plural in said


def test_every_account_of_the_chart_is_looked_at(place: Place) -> None:
    assert set(place.accounts) == {*DOES, AGENT, OPERATOR}
    assert sum(len(place.accounts[name].rights) + 1 for name in (*DOES, AGENT)) <= len(USERS)


@pytest.mark.parametrize("name", DOES)
def test_without_any_right_the_command_fails_and_says_so(place: Place, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody creates Jobs here while bindings go, and no 403 will pass.
    monkeypatch.setattr(leaving, "FORGOTTEN_S", 0.0)
    monkeypatch.setattr(by_hand, "Writer", partial(Writer, patience=Unforgiving(forbidden_waits_s=())))
    account, cluster = place.accounts[name], place.cluster
    everything(cluster)
    code, said = DOES[name](cluster.kubeconfig(place.user(account, None)))
    assert code == (1 if name.endswith("-test") else 0), said
    assert not lacks(said, account.rights[0]), said
    needless = []
    for right in account.rights:
        everything(cluster)
        code, said = DOES[name](cluster.kubeconfig(place.user(account, right)))
        if code == 0 or not lacks(said, right):
            needless.append(f"{right}: {code} {said}")
    assert not needless


# The agent.


@contextmanager
def ears(place: Place, user: str, folder: Path) -> Iterator[ApiWishes]:
    """What an agent hears by, with the token of a user."""
    token = folder / user
    token.write_text(place.cluster.tokens[user], encoding="ascii")
    access = Access(url=place.cluster.url, token_file=token, ca_file=place.cluster.folder / "ca.crt")
    reach = Reach(access=access, clock=SystemClock(), patience=Patience(most_s=1.0))
    with hearing(ApiWishes(reach, node=NODE, lease_namespace=HOME)) as wishes:
        yield wishes


def test_without_any_right_the_agent_says_what_it_may_not(place: Place, tmp_path: Path) -> None:
    account, cluster = place.accounts[AGENT], place.cluster
    everything(cluster)
    status: dict[str, Any] = {"lease": "None", "conditions": [], "gpus": []}
    with ears(place, place.user(account, None), tmp_path) as wishes:
        cluster.wait("it has begun", lambda: wishes.heard().begun, SOON_S)
        wishes.report(status)
        cluster.wait("a status", lambda: cluster.admin.get(f"{HEAT}/nodepowers/{NODE}").get("status"), SOON_S)
        assert wishes.heard().trouble == wishes.status_trouble == ""
    for right in account.rights:
        with ears(place, place.user(account, right), tmp_path) as wishes:
            wishes.report(
                {**status, "gpus": [{"uuid": "GPU-0", "condition": "free", "minWatts": float(100 + len(str(right)))}]}
            )

            def told(wishes: ApiWishes = wishes, right: Right = right) -> bool:
                return lacks(f"{wishes.heard().trouble} {wishes.status_trouble}", right)

            cluster.wait(f"its complaint without: {right}", told, SOON_S)
