"""For tests of leadership and ownership: a cluster with a free Lease, a wall clock that can be set, and who wrote what."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from audit_laws import broken_laws
from operated import OPERATOR, Operated, Replica, operated

from scheduler.adapters.devcluster.audit import AuditEvent, end, events
from scheduler.adapters.devcluster.build import Toolbox
from scheduler.adapters.devcluster.client import Object, condition
from scheduler.adapters.devcluster.cluster import DevCluster, Options

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
LEASE = f"{LEASES}/heat-dispatch-operator"
HEAT = "/apis/heatdispatch.io/v1alpha1"
POLICY = f"{HEAT}/dispatchpolicies/quickstart"
SOON_S = 60.0

# Sets the wall clock of one process, and that alone: what it measures time with goes on, as on a machine whose clock is set.
# `time()` stays true, since TLS asks it and the certificates here are minutes old.
CLOCK_C = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile long long *shift_s;

__attribute__((constructor)) static void open_shift(void) {
    const char *name = getenv("WALL_CLOCK_SHIFT");
    int file = name ? open(name, O_RDONLY) : -1;
    void *page = file < 0 ? MAP_FAILED : mmap(0, sizeof(long long), PROT_READ, MAP_SHARED, file, 0);
    shift_s = page == MAP_FAILED ? 0 : page;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    int failed = (int)syscall(SYS_clock_gettime, clock, at);
    if (!failed && shift_s && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) at->tv_sec += *shift_s;
    return failed;
}
"""


@dataclass(frozen=True)
class WallClock:
    """The wall clock of the processes that are started with `environment`."""

    file: Path
    library: Path

    @property
    def environment(self) -> dict[str, str]:
        """What such a process needs."""
        return {"LD_PRELOAD": str(self.library), "WALL_CLOCK_SHIFT": str(self.file)}

    def set(self, ahead_s: int) -> None:
        """Let it be ahead of the true time; one write, so that nobody reads half of it."""
        with self.file.open("r+b") as file:
            file.write(struct.pack("@q", ahead_s))


def wall_clock(folder: Path) -> WallClock | None:
    """Compile it; None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    source, library, file = folder / "clock.c", folder / "clock.so", folder / "shift"
    source.write_text(CLOCK_C, encoding="utf-8")
    file.write_bytes(struct.pack("@q", 0))
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True)
    return WallClock(file, library)


@contextmanager
def led(toolbox: Toolbox, folder: Path, nodes: int = 3) -> Iterator[Operated]:
    """A cluster with our kinds and the quickstart; operators are the test's to start."""
    with DevCluster(toolbox, folder / "cluster", Options(users={OPERATOR: ()})) as cluster:
        cluster.add_nodes(nodes, 8, {"heatdispatch.io/plug": "loop"})
        with operated(cluster, folder / "operator") as world:
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "heat-dispatch-operator"}}
            cluster.admin.create(LEASES, {**lease, "spec": {"leaseDurationSeconds": 1}})
            yield world


def role(replica: Replica) -> str:
    """What a replica says of itself; empty before it answers."""
    if not replica.port():
        return ""
    lines = [line for line in replica.page("/readyz?verbose").splitlines() if "role: " in line]
    return lines[0].partition("role: ")[2] if lines else ""


def leads(replica: Replica) -> bool:
    """Whether a replica says that it leads."""
    return role(replica) == "leader"


def told(replica: Replica, *words: str, since: int = 0) -> list[str]:
    """Lines of a replica's log from a place on with all these words."""
    return [line for line in replica.told()[since:].splitlines() if all(word in line for word in words)]


def mark(replica: Replica) -> int:
    """The end of a replica's log."""
    return len(replica.told())


def metric(replica: Replica, name: str) -> float:
    """A metric's value, by name and labels as Prometheus writes them; 0 when it is not there."""
    lines = [line for line in replica.page("/metrics").splitlines() if line.startswith(f"heatdispatch_{name} ")]
    return float(lines[0].rpartition(" ")[2]) if lines else 0.0


def writes_of(world: Operated, identity: str, since: int = 0) -> list[AuditEvent]:
    """What one replica tried to write, whatever became of it, bids for Leases aside."""
    found = [one for one in events(world.cluster.audit_log, since) if one.writes and one.agent == f"heat-dispatch ({identity})"]
    return [one for one in found if one.resource != "leases"]


def audit_end(world: Operated) -> int:
    """Where the audit log ends now."""
    return end(world.cluster.audit_log)


def standing(world: Operated, kind: str) -> Object:
    """A condition of the policy; empty when it has none."""
    policy = world.cluster.admin.get(POLICY)
    return {part: condition(policy, kind, part) for part in ("status", "reason", "message")}


def taken_up(world: Operated, mode: str) -> bool:
    """Whether the operator has taken up that the policy asks for a mode."""
    policy = world.cluster.admin.get(POLICY)
    status = policy.get("status", {})
    return (status.get("observedGeneration"), status.get("mode")) == (policy["metadata"]["generation"], mode)


def lawful(world: Operated, **given: object) -> None:
    """No law was broken, and no replica met a fault of its own."""
    assert broken_laws(world.cluster, {OPERATOR}, **given) == []  # type: ignore[arg-type]  # passed on as they are
    for replica in world.replicas:
        assert "Traceback" not in replica.told(), replica.told()
