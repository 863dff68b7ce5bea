"""The operator as a process beside a real API server: its objects, its rights, its jobs, and what it wrote."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import yaml
from kube_objects import HEAT, job

from scheduler.adapters.devcluster.audit import AuditEvent, events
from scheduler.adapters.devcluster.client import Object
from scheduler.adapters.devcluster.cluster import DevCluster
from scheduler.config.kinds import KINDS

ROOT = Path(__file__).parents[1]
RBAC = ROOT / "manifests" / "rbac" / "operator.yaml"
QUICKSTART = ROOT / "examples" / "quickstart"
OPERATOR = "operator"
HOME = "heat-dispatch"
LAB = "lab"
ZONE = "Europe/Copenhagen"
DEAR_EUR_PER_KWH, CHEAP_EUR_PER_KWH = 0.9, 0.05
WATCHFUL = Path(__file__).with_name("operator_process.py")
RUN = "import sys; from scheduler.entrypoints.cli import main; sys.exit(main())"


def now_utc() -> datetime:
    """The machine's clock."""
    # The operator under test is another process and lives in real time.
    return datetime.now(UTC)  # noqa: TID251 - real time, see above


def dear_now(hours: int = 3) -> list[Object]:
    """Bands of a day on which power is dear from this hour on for some hours, and cheap else."""
    now = now_utc().astimezone(ZoneInfo(ZONE)).hour
    dear = {(now + ahead) % 24 for ahead in range(hours)}
    price = {hour: DEAR_EUR_PER_KWH if hour in dear else CHEAP_EUR_PER_KWH for hour in range(24)}
    return [{"startHour": hour, "endHour": hour + 1, "eurPerKwh": price[hour]} for hour in range(24)]


def bands(*, dear: bool) -> list[Object]:
    """Power that is dear for two hours from this one on, or cheap all day."""
    return dear_now(2) if dear else [{"startHour": 0, "endHour": 24, "eurPerKwh": CHEAP_EUR_PER_KWH}]


def priced(plan: Object, before: str | None, *, dear: bool) -> bool:
    """Whether it is another plan and has the price that was set: the next one may have been begun before that."""
    ahead = plan.get("outlook", {}).get("eurPerKwh", [])
    known = bool(ahead) and any(price > DEAR_EUR_PER_KWH / 2 for price in ahead[:2]) == dear
    return known and plan.get("planId") not in (None, before)


def quickstart(mode: str = "Dispatch") -> list[Object]:
    """The quickstart's objects with power that is dear now."""
    found: list[Object] = []
    for name in ("site.yaml", "policy.yaml"):
        found += [obj for obj in yaml.safe_load_all((QUICKSTART / name).read_text("utf-8")) if obj["kind"] in KINDS]
    for obj in found:
        if obj["kind"] == "Site":
            obj["spec"]["electricity"]["bands"] = dear_now()
        if obj["kind"] == "ThermalPlug":
            obj["spec"]["metering"]["calibrationDue"] = "2030-12-31"
        if obj["kind"] == "DispatchPolicy":
            obj["spec"]["mode"] = mode
    return found


def heat_path(obj: Object) -> str:
    """Path of an object of ours."""
    return f"{HEAT}/{KINDS[obj['kind']].plural}/{obj['metadata']['name']}"


def install(cluster: DevCluster, objects: list[Object]) -> None:
    """Kinds, rights of the user `operator`, its namespace, an opted-in namespace, and the objects."""
    crds = sorted((ROOT / "manifests" / "crds").glob("*.yaml"))
    cluster.apply_crds(yaml.safe_load(path.read_text("utf-8")) for path in crds)
    for name, labels in ((HOME, {}), (LAB, {"heatdispatch.io/dispatch": "enabled"})):
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
        cluster.admin.apply(f"/api/v1/namespaces/{name}", namespace)
    for obj in yaml.safe_load_all(RBAC.read_text("utf-8")):
        grant(cluster, obj)
    for obj in objects:
        cluster.admin.apply(heat_path(obj), obj)


def grant(cluster: DevCluster, obj: Object) -> None:
    """Apply one object of the rights; bindings are to the user of the tests, not to the pod's service account."""
    name, namespace = obj["metadata"]["name"], obj["metadata"].get("namespace")
    if obj["kind"] == "ServiceAccount":
        return
    if obj["kind"].endswith("Binding"):
        obj = {**obj, "subjects": [{"kind": "User", "name": OPERATOR, "apiGroup": "rbac.authorization.k8s.io"}]}
    scope = f"/namespaces/{namespace}" if namespace else ""
    cluster.admin.apply(f"/apis/rbac.authorization.k8s.io/v1{scope}/{obj['kind'].lower()}s/{name}", obj)


@dataclass
class Replica:
    """One operator process."""

    process: subprocess.Popen[bytes]
    log: Path
    port_line: str = ""

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    def told(self) -> str:
        """Everything that it has logged."""
        return self.log.read_text("utf-8")

    def port(self) -> int:
        """Where its probes are, once it has said so."""
        line = next((line for line in self.told().splitlines() if " started " in line), "")
        return int(line.partition("port=")[2].split()[0]) if line else 0

    def page(self, path: str) -> str:
        """A page of its probes."""
        return httpx.get(f"http://127.0.0.1:{self.port()}{path}", timeout=5.0).text

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)


@dataclass
class Operated:
    """A cluster with an operator in it."""

    cluster: DevCluster
    folder: Path
    replicas: list[Replica] = field(default_factory=list)

    def replica(self, *more: str) -> Replica:
        """Start one more replica, which may ask sources on this machine."""
        arguments = ["operator", "--kubeconfig", str(self.cluster.kubeconfig(OPERATOR)), "--host", "127.0.0.1", "--port", "0"]
        arguments += ["--inside-host", "127.0.0.1"]
        return self._started("-c", RUN, *arguments, "--identity", self._identity(), "--ledger", self._ledger(), *more)

    def watchful(self, kubeconfig: Path) -> Replica:
        """Start one more replica that looks up every few seconds (`operator_process`)."""
        return self._started(str(WATCHFUL), str(kubeconfig), self._identity(), self._ledger())

    def _identity(self) -> str:
        return f"replica-{len(self.replicas)}"

    def _ledger(self) -> str:
        return f"sqlite:///{self.folder}/ledger-{len(self.replicas)}.db"

    def _started(self, *arguments: str) -> Replica:
        log = self.folder / f"operator-{len(self.replicas)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen([sys.executable, *arguments], stderr=out, stdout=out, cwd=ROOT, env=dict(os.environ))
        found = Replica(process=process, log=log)
        self.replicas.append(found)
        return found

    def end(self) -> None:
        """End every replica."""
        for one in self.replicas:
            if one.process.poll() is None:
                one.process.send_signal(signal.SIGCONT)
                one.process.terminate()
        for one in self.replicas:
            try:
                one.process.wait(20)
            except subprocess.TimeoutExpired:
                one.process.kill()
                one.process.wait()

    # Jobs.

    def submit(self, name: str, class_name: str | None = "deferrable", *, runs: str = "3s", **shape: Any) -> None:
        """Create a Job as a user would; one of a class is held at its creation, as the admission policy does."""
        labels = {} if class_name is None else {"heatdispatch.io/class": class_name}
        shape = {"gpus": 4, "suspend": class_name is not None, **shape, "labels": {**labels, **shape.get("labels", {})}}
        made = job(name, runs=runs, **shape)
        if shape["suspend"]:
            made["metadata"]["annotations"] = {
                "heatdispatch.io/held-by": "admission",
                "heatdispatch.io/expected-duration": "1h",
            }
        self.cluster.admin.create(self.jobs, made)

    @property
    def jobs(self) -> str:
        """Path of the lab's Jobs."""
        return f"/apis/batch/v1/namespaces/{LAB}/jobs"

    def job(self, name: str) -> Object:
        """A Job as it is."""
        return self.cluster.admin.get(f"{self.jobs}/{name}")

    def marks(self, name: str) -> Mapping[str, str]:
        """What stands on a Job of ours."""
        found = self.job(name)["metadata"].get("annotations", {})
        prefix = "heatdispatch.io/"
        return {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}

    def held(self, name: str) -> bool:
        """Whether a Job is held by us, with an end."""
        return bool(self.job(name)["spec"].get("suspend")) and "hold-until" in self.marks(name)

    def policy(self, **spec: Any) -> None:
        """Change the policy."""
        self.cluster.admin.patch(f"{HEAT}/dispatchpolicies/quickstart", {"spec": spec})

    def ready(self, kind: str, name: str) -> Object:
        """The condition Ready of an object of ours; empty before it was looked at."""
        status = self.cluster.admin.get(f"{HEAT}/{kind}/{name}").get("status", {})
        return next((one for one in status.get("conditions", []) if one["type"] == "Ready"), {})

    def plan(self) -> Object:
        """Status of the plan; empty before the first cycle."""
        found = self.cluster.admin.items(f"{HEAT}/dispatchplans")
        return found[0].get("status", {}) if found else {}

    def events(self, name: str) -> list[Object]:
        """Events about an object of the lab, ours alone."""
        found = self.cluster.admin.items(f"/api/v1/namespaces/{LAB}/events?fieldSelector=involvedObject.name%3D{name}")
        return [one for one in found if one.get("source", {}).get("component") == "heat-dispatch"]

    def asked(self) -> list[AuditEvent]:
        """Every request of the operator that was answered as it wished."""
        return [one for one in events(self.cluster.audit_log) if one.user == OPERATOR and one.accepted]

    def rights(self) -> list[Object]:
        """Objects of manifests/rbac."""
        return list(yaml.safe_load_all(RBAC.read_text("utf-8")))

    def written(self) -> list[AuditEvent]:
        """What the operator has changed, from the API server's audit log."""
        return [one for one in self.cluster.writes_since() if one.user == OPERATOR and one.accepted]


@contextmanager
def operated(
    cluster: DevCluster, folder: Path, mode: str = "Dispatch", objects: list[Object] | None = None
) -> Iterator[Operated]:
    """Install (the quickstart, unless given other objects) and hand over; every replica is ended afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    install(cluster, quickstart(mode) if objects is None else objects)
    found = Operated(cluster=cluster, folder=folder)
    try:
        yield found
    finally:
        found.end()


def until_utc(text: str) -> datetime:
    """An instant of an annotation."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
