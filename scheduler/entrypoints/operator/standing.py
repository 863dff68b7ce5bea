"""How the operator itself stands: what it may not do, and whether it is the only one; for conditions, metrics and probes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from scheduler.adapters.clock import Clocks
from scheduler.adapters.kubernetes.runtime.client import KubeClient
from scheduler.adapters.kubernetes.runtime.conditions import Condition, Truth
from scheduler.adapters.kubernetes.runtime.election import Election
from scheduler.adapters.kubernetes.runtime.health import Finding
from scheduler.adapters.kubernetes.runtime.limiter import Sleep
from scheduler.adapters.kubernetes.runtime.neighbours import EVERY_S, Neighbours
from scheduler.adapters.kubernetes.runtime.rights import Right, Rights, in_words
from scheduler.adapters.metrics.registry import Metrics

# One Lease for the whole cluster, where the leases of its own controllers are: two installations cannot both lead.
LEASE, STANDBY_LEASE = "heat-dispatch-operator", "heat-dispatch-standby"
LEASE_NAMESPACE = "kube-system"
NAMESPACE = "heat-dispatch"
PERMITTED, ONLY_OPERATOR = "Permitted", "OnlyOperator"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Standing:
    """What is known of the operator's own place in the cluster."""

    rights: Rights
    neighbours: Neighbours
    election: Election
    leads: Callable[[], bool]
    metrics: Metrics

    def look_around(self, sleep: Sleep) -> None:
        """Find out, again and again, whether another installation is there: the target of a thread."""
        while not sleep(EVERY_S):
            self.neighbours.turn(leading=self.leads(), stranger=self.election.stranger)

    def conditions(self) -> tuple[Condition, ...]:
        """Conditions for every DispatchPolicy."""
        return (permitted(self.rights.missing()), only_operator(self.neighbours.other))

    def gauges(self) -> None:
        """The same for Prometheus."""
        self.metrics.set("other_installation", float(bool(self.neighbours.other)))
        self.metrics.replace("right_missing", {(right.verb, right.target): 1.0 for right in self.rights.missing()})

    def told(self) -> Iterable[Finding]:
        """The same for whoever asks /readyz?verbose. A standby is ready, and so is one that lacks a right."""
        missing = in_words(self.rights.missing())
        yield Finding(name="role", ok=True, text=self._role())
        yield Finding(name="rights", ok=True, text=f"missing: {missing}" if missing else "all given")

    def _role(self) -> str:
        """Whether this replica leads, else who does."""
        if self.leads():
            return "leader"
        where = f" of the installation in namespace {self.election.stranger}" if self.election.stranger else ""
        return f"standby, {self.election.leader or 'nobody'}{where} leads"


class Installed(Protocol):
    """Where an operator belongs to, and where the Lease is."""

    @property
    def namespace(self) -> str:
        """The installation."""
        ...

    @property
    def lease_namespace(self) -> str:
        """Where all installations look for the one Lease."""
        ...


def neighbours_of(client: KubeClient, clock: Clocks, place: Installed, on_change: Callable[[], None]) -> Neighbours:
    """Who listens for other installations."""
    lease = (place.lease_namespace, STANDBY_LEASE)
    return Neighbours(client, clock, lease=lease, installation=place.namespace, on_change=on_change)


def permitted(missing: tuple[Right, ...]) -> Condition:
    """Whether the API server lets the operator do what it needs."""
    if not missing:
        return Condition(type=PERMITTED, status=Truth.TRUE, reason="RightsGiven")
    said = f"the operator may not: {in_words(missing)}; give it the rights of manifests/rbac/operator.yaml"
    return Condition(type=PERMITTED, status=Truth.FALSE, reason="RightMissing", message=said)


def only_operator(other: str) -> Condition:
    """Whether another installation is in the cluster, which then only observes."""
    if not other:
        return Condition(type=ONLY_OPERATOR, status=Truth.TRUE, reason="Alone")
    said = f"another operator is installed in namespace {other}; it only observes, uninstall one of the two"
    return Condition(type=ONLY_OPERATOR, status=Truth.FALSE, reason="AnotherInstallation", message=said)
