"""The laws of the operator (design, section 4), judged from the API server's audit log alone.

    from audit_laws import broken_laws

    assert broken_laws(cluster, users={"operator"}) == []

`cluster` is a `DevCluster` that runs, or has run; `users` are the names under which operators write. Each broken law is one
line: its name, when, what was written on which object, and what is wrong. The docstring of each law says what it asks.

Where a test takes away what a law needs, say so: `without={"ends"}` leaves a law out (rights were taken away, so that holds
cannot be ended), `late_s` is how long the operator may not know of a change in *another* object than the one it writes to
(a watch that was silent for 30 s: `late_s=35`). The object itself must always be as it was seen, whatever happens. Time in
which no replica held the Lease does not count against the end of a hold.

Nothing of the operator's own code is used: a job's class, the end of a hold and who leads are worked out anew, from the log.
What cannot be seen is no pass: a write of a Job without its answer in the log, or a Job of the cluster that the log does not
know at its version, is told as `blind`.

What the laws do not see: what agents do on nodes, processes on a real node, power, and CronJobs that do
not run every minute.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

import audit_holds as holds
import audit_writes as writes
from audit_case import Case

from scheduler.adapters.devcluster.audit import events
from scheduler.adapters.devcluster.cluster import DevCluster

Law = Callable[[Case], Iterator[str]]
LAWS: Mapping[str, Law] = {
    "outside": writes.outside,
    "precondition": writes.precondition,
    "insulated": writes.insulated,
    "mode": writes.mode,
    "queue": writes.queue,
    "owner": writes.owner,
    "lease": writes.lease,
    "twice": writes.twice,
    "caps": writes.caps,
    "marks": holds.marks,
    "long": holds.too_long,
    "ends": holds.hold_ends,
    "stops": holds.stops,
    "blind": writes.blind,
}


def broken_laws(
    cluster: DevCluster,
    users: Collection[str],
    *,
    without: Collection[str] = (),
    late_s: float = 3.0,
    tick_s: float = 45.0,
) -> list[str]:
    """What the operators of a cluster did wrong since its start; empty when nothing.

    Args:
        cluster: a cluster; when its API server answers, its Jobs are compared with the log.
        users: user names of the operators.
        without: names of laws that are not asked.
        late_s: how late the operator may know of a change in another object.
        tick_s: how long a hold that is over may stand while somebody leads.
    """
    # First the Jobs, then the log: it tells everything up to them, and more.
    there = cluster.admin.items("/apis/batch/v1/jobs") if "kube-apiserver" in cluster.processes.pids() else None
    read = list(events(cluster.audit_log))
    return broken(Case(events=read, users=frozenset(users), there=there, late_s=late_s, tick_s=tick_s), without)


def broken(case: Case, without: Collection[str] = ()) -> list[str]:
    """The broken laws of a case, each in words."""
    unknown = set(without) - set(LAWS)
    assert not unknown, f"there is no law {unknown}; there are {sorted(LAWS)}"
    return [f"{name}: {what}" for name, law in LAWS.items() if name not in without for what in law(case)]
