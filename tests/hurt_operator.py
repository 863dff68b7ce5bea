"""An operator as a process behind a proxy, on a control plane that may be hurt: the levers, and what is judged afterwards."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from audit_laws import broken_laws
from between import Between, Rule, between
from kube_objects import running_pods
from operated import LAB, OPERATOR, Operated, Replica, now_utc, operated, quickstart, until_utc

from scheduler.adapters.devcluster.audit import AuditEvent
from scheduler.adapters.devcluster.build import Toolbox
from scheduler.adapters.devcluster.client import ApiRefused, Object
from scheduler.adapters.devcluster.cluster import DevCluster, Options

LEASE = "heat-dispatch-operator"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
WELL_S = 60.0
# So many clients blow a storm together.
WINDS = 3
# May wait so long and no longer: a hold of it ends within a test.
BRIEF_S = 8


def brief_class() -> Object:
    """A class whose holds end while a test looks on."""
    spec = {"flexibility": "deferrable", "maxDelay": f"{BRIEF_S}s", "valueEurPerGpuHour": 0.05, "waitingEurPerGpuHour": 0.002}
    spec["latenessEurPerGpuHour"] = 1.0
    return {"apiVersion": "heatdispatch.io/v1alpha1", "kind": "WorkloadClass", "metadata": {"name": "brief"}, "spec": spec}


@dataclass
class Hurt:
    """What tests of faults work with."""

    world: Operated
    between: Between
    # Times of the day between which what was sent into a slow network arrived.
    arrivals: list[tuple[str, str]] = field(default_factory=list)

    @property
    def cluster(self) -> DevCluster:
        """The control plane."""
        return self.world.cluster

    @property
    def replica(self) -> Replica:
        """The operator's process."""
        return self.world.replicas[-1]

    # Looking.

    def wait(self, what: str, ready: Callable[[], Any], timeout_s: float = WELL_S) -> Any:
        """Ask until it is so."""
        return self.cluster.wait(what, ready, timeout_s)

    def wait_away(self, what: str, ready: Callable[[], Any], timeout_s: float = WELL_S) -> None:
        """The same without asking whether the programs of the cluster run."""
        end_s = time.monotonic() + timeout_s
        while not ready():
            assert time.monotonic() < end_s, what
            time.sleep(0.05)

    def told(self, *words: str, since: int = 0) -> list[str]:
        """Lines of the operator's log from a place on that have all these words."""
        return [line for line in self.replica.told()[since:].splitlines() if all(word in line for word in words)]

    def mark(self) -> int:
        """The end of the operator's log."""
        return len(self.replica.told())

    def leads(self) -> bool:
        """Whether it leads, by its own word."""
        return "role: leader" in self.replica.page("/readyz?verbose")

    def writes(self, name: str) -> list[AuditEvent]:
        """What the operator has changed on a Job, in order."""
        return [one for one in self.world.written() if one.resource == "jobs" and one.name == name]

    def releases(self, name: str) -> list[AuditEvent]:
        """Writes by which a Job was let go."""
        return [one for one in self.writes(name) if (one.body or {}).get("spec", {}).get("suspend") is False]

    # Being well.

    def recovered(self) -> None:
        """Return once it leads, its caches are whole, and a job that comes now is held as ever."""
        name = f"canary-{time.monotonic_ns()}"
        self.wait("leading", self.leads)
        self.world.submit(name, gpus=1)
        self.wait(f"a hold of {name}", lambda: self.world.held(name))
        self.cluster.admin.delete(f"{self.world.jobs}/{name}")

    def judged(self, late_s: float) -> None:
        """No law is broken, and nothing in the log is a fault of the operator itself.

        A write that was under way when the network slowed down arrives after its lease's end, which no server can know of; that
        it still means the very version that was seen, another law asks.

        Args:
            late_s: how long the operator was kept from knowing what happens.
        """
        broken = broken_laws(self.cluster, users={OPERATOR}, late_s=late_s)
        assert [law for law in broken if not self._was_under_way(law)] == []
        log = self.replica.told()
        assert "Traceback" not in log
        # 403 of the moment after a restart of the API server is no right that is missing.
        assert "a right is missing" not in log
        assert self.replica.process.poll() is None

    def _was_under_way(self, law: str) -> bool:
        """Whether a write after the lease's end is one that arrived late."""
        name, _, rest = law.partition(": ")
        at = rest[:12]
        # A day may end in between.
        late = (begin <= at <= end if begin <= end else at >= begin or at <= end for begin, end in self.arrivals)
        return name == "lease" and any(late)

    def complaints(self, since: int) -> list[str]:
        """Warnings and errors of the log from a place on, but for late ticks: the guard of these tests is in a hurry."""
        found = [line for line in self.told(since=since) if line[25:32].strip() in ("warning", "error")]
        return [line for line in found if "tick skipped" not in line]

    # Hurting.

    @contextmanager
    def latency(self, delay_s: float) -> Iterator[None]:
        """Every request that is sent inside the block arrives so late, whether anybody still waits for it or not."""
        begin_utc, delay = now_utc(), timedelta(seconds=delay_s)
        with self.between.being(Rule(delay_s=delay_s)):
            yield
        end_utc = now_utc() + delay + timedelta(seconds=5)
        self.arrivals.append((f"{begin_utc + delay:%H:%M:%S.%f}"[:12], f"{end_utc:%H:%M:%S.%f}"[:12]))

    def solver(self) -> int:
        """Process id of the child that solves."""
        return next(pid for pid in children(self.replica.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes())

    @contextmanager
    def solving_without_end(self) -> Iterator[None]:
        """Inside the block no decision comes back from the child; afterwards it goes on where it was."""
        child = self.solver()
        os.kill(child, signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGCONT)

    def power(self, dear: bool) -> None:
        """Make power dear now and cheap later, or the other way round."""
        (site,) = [obj for obj in quickstart() if obj["kind"] == "Site"]
        bands = site["spec"]["electricity"]["bands"]
        if not dear:
            bands = [{**band, "eurPerKwh": 0.95 - band["eurPerKwh"]} for band in bands]
        self.cluster.admin.patch("/apis/heatdispatch.io/v1alpha1/sites/quickstart", {"spec": {"electricity": {"bands": bands}}})

    @contextmanager
    def storm(self, name: str) -> Iterator[list[float]]:
        """Other clients write to a Job in a tight loop inside the block, as soon as it is there; gives when they wrote."""
        stopping, written = threading.Event(), list[float]()

        def blow() -> None:
            while not stopping.is_set():
                change = {"metadata": {"annotations": {"test/turn": str(len(written))}}}
                with suppress(ApiRefused):
                    self.cluster.admin.patch(f"{self.world.jobs}/{name}", change)
                    written.append(time.monotonic())

        threads = [threading.Thread(target=blow, daemon=True) for _ in range(WINDS)]
        for thread in threads:
            thread.start()
        try:
            yield written
        finally:
            stopping.set()
            for thread in threads:
                thread.join(10.0)

    def held_to_its_end(self, name: str) -> datetime:
        """Submit a job that never fits and is held for some seconds; returns when its hold ends."""
        self.world.submit(name, "brief", gpus=8, pods=3, runs="600s")
        self.wait(f"a hold of {name}", lambda: self.world.held(name))
        return until_utc(self.world.marks(name)["hold-until"])

    def free(self, name: str) -> bool:
        """Whether a Job is not suspended."""
        return self.world.job(name)["spec"].get("suspend") is False


def children(pid: int) -> list[int]:
    """Child processes of a process."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(text) for text in (task / "children").read_text("utf-8").split()]
    return found


@contextmanager
def hurt_operator(toolbox: Toolbox, folder: Path) -> Iterator[Hurt]:
    """A cluster of three nodes, a proxy, and one operator behind it that leads and has planned."""
    with ExitStack() as stack:
        cluster = stack.enter_context(DevCluster(toolbox, folder / "cluster", Options(users={OPERATOR: ()})))
        cluster.add_nodes(3, 8, {"heatdispatch.io/plug": "loop"})
        world = stack.enter_context(operated(cluster, folder / "operator"))
        cluster.admin.apply("/apis/heatdispatch.io/v1alpha1/workloadclasses/brief", brief_class())
        # A Lease that is there and free, so that nobody waits for a leader who may have lost it.
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": LEASE}}
        cluster.admin.create(LEASES, {**lease, "spec": {"leaseDurationSeconds": 1}})
        proxy = stack.enter_context(between(cluster, OPERATOR, folder / "operator"))
        found = Hurt(world, proxy)
        world.watchful(proxy.kubeconfig)
        found.wait("a first plan", lambda: world.plan().get("planId"))
        # Nothing that needs all nodes ever fits beside it, and nothing may ever be done to it.
        world.submit("tenant", class_name=None, gpus=1, runs="3600s")
        found.wait("the tenant", lambda: running_pods(cluster, LAB, "tenant"))
        yield found


__all__ = ["LAB", "Hurt", "hurt_operator"]
