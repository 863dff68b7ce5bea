"""Caps as NodePower objects and the one Lease that keeps them alive; nothing here touches a GPU.

A wish stands while its policy dispatches, has decided in this term and does not let go. The Lease is renewed only while every
cap in the cluster stands: whatever else happens (no leader, no decision, a write that is refused) it is left alone, and the
agents give every limit back on their own clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from scheduler.adapters.clock import Clocks
from scheduler.adapters.kubernetes.caps import Caps, caps_in_force, missing_powers, node_power_writes, wanted_caps
from scheduler.adapters.kubernetes.objects import Obj, labels_of, name_of, parts, version_of
from scheduler.adapters.kubernetes.operator.reconcile import Desk
from scheduler.adapters.kubernetes.operator.stores import Stores
from scheduler.adapters.kubernetes.pools import pool_of
from scheduler.adapters.kubernetes.runtime.election import micro_time
from scheduler.adapters.kubernetes.runtime.errors import ApiError, Conflict, NotFound
from scheduler.adapters.kubernetes.runtime.frozen import Key
from scheduler.adapters.kubernetes.runtime.kinds import LEASES, NODE_POWERS
from scheduler.adapters.kubernetes.runtime.writer import Writer
from scheduler.adapters.kubernetes.writes import Write
from scheduler.adapters.logs import Episode, Teller
from scheduler.domain.settings import Mode

CAPS_LEASE = "heat-dispatch-caps"
BEAT_S = 10.0

ReadLease = Callable[[Key], Obj]
"""The Lease of (namespace, name) as the API server has it now; raises NotFound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What is wanted of some nodes: of a policy's, or without any cap of those that are in no pool.

    stands: a decision of this term is in force that may cap. decided: False while a policy that may cap has not decided yet.
    """

    nodes: tuple[Obj, ...]
    caps_w: Caps = field(default_factory=dict)
    plan_id: str = ""
    lease_s: float = 120.0
    stands: bool = False
    decided: bool = True


class Capper:
    """Brings NodePower objects to what is wanted, and says every few seconds that somebody is there who wants it."""

    def __init__(self, stores: Stores, clock: Clocks, read: ReadLease, *, namespace: str, identity: str) -> None:
        """Cap by the objects of `stores`; the Lease is in `namespace` and names who renews it."""
        self._stores, self._clock, self._read = stores, clock, read
        self._lease: Key = (namespace, CAPS_LEASE)
        self._identity = identity
        self._seen: Obj | None = None
        self._tell = Teller("operator.capping")
        self._episode = Episode(self._tell, "caps lease")

    def cap(self, desks: Sequence[Desk], writer: Writer) -> int:
        """Bring NodePower objects to the caps that are wanted now; returns how many were written."""
        powers = {name_of(power): power for power in self._stores.powers.all()}
        nodes = self._stores.nodes.all()
        writes = list(missing_powers(nodes, powers))
        for wish in self._wishes(desks, nodes):
            # A policy that has not decided yet leaves what it finds: no cap comes and goes because the leader changed.
            writes += self._of_wish(wish, powers) if wish.decided else ()
        for write in writes:
            writer.apply(NODE_POWERS, write.change, write.name)
            self._tell.info("caps changed", node=write.name, what=write.text)
        return len(writes)

    def beat(self, desks: Sequence[Desk], writer: Writer) -> bool:
        """Renew the Lease of the caps if every one of them stands; returns whether it was renewed."""
        capped = {name_of(power) for power in self._stores.powers.all() if parts(power, "spec", "gpus")}
        standing = {
            name_of(node) for wish in self._wishes(desks, self._stores.nodes.all()) if wish.stands for node in wish.nodes
        }
        if not capped or not capped <= standing:
            return False
        try:
            self._renew(writer)
        except ApiError as error:
            self._seen = None
            self._episode.failed(error)
            return False
        self._episode.worked()
        return True

    def _renew(self, writer: Writer) -> None:
        """Say that we are there; a Lease that changed under us is read anew and said so to at the next beat."""
        namespace, name = self._lease
        spec = {"holderIdentity": self._identity, "renewTime": micro_time(self._clock.now_utc())}
        if self._seen is None:
            try:
                self._seen = self._read(self._lease)
            except NotFound:
                body = {"metadata": {"name": name, "namespace": namespace}, "spec": spec}
                self._seen = writer.create(LEASES, body, namespace)
                return
        metadata = {"name": name, "namespace": namespace, "resourceVersion": version_of(self._seen)}
        try:
            self._seen = writer.replace(LEASES, {"metadata": metadata, "spec": spec}, name, namespace)
        except (Conflict, NotFound):
            self._seen = None
            raise

    def _of_wish(self, wish: _Wish, powers: Mapping[str, Obj]) -> tuple[Write, ...]:
        """Changed objects of one policy's nodes."""
        own = [powers[name_of(node)] for node in wish.nodes if name_of(node) in powers]
        return node_power_writes(wish.caps_w, wish.nodes, own, plan_id=wish.plan_id, lease_s=wish.lease_s)

    def _wishes(self, desks: Sequence[Desk], nodes: Iterable[Obj]) -> tuple[_Wish, ...]:
        """What each policy wants of its nodes, and what is wanted of all others: nothing."""
        left = {name_of(node): node for node in nodes}
        found = []
        for desk in desks:
            own = [node for node in left.values() if pool_of(labels_of(node), desk.governance.pools) is not None]
            for node in own:
                del left[name_of(node)]
            found.append(self._wish(desk, tuple(own)))
        return (*found, _Wish(nodes=tuple(left.values())))

    def _wish(self, desk: Desk, nodes: tuple[Obj, ...]) -> _Wish:
        """What one policy wants now."""
        rules, chapter, now_utc = desk.governance, desk.book.chapter, self._clock.now_utc()
        lease_s, may_cap = rules.settings.lease_s, _may_cap(desk, now_utc)
        if not may_cap or chapter is None:
            return _Wish(nodes=nodes, lease_s=lease_s, decided=not may_cap)
        views = tuple(desk.reader.seen(now_utc).views.values())
        in_force = caps_in_force(views, self._stores.powers.all())
        wanted = wanted_caps(views, desk.book.caps_w(now_utc, in_force), rules.classes)
        return _Wish(nodes=nodes, caps_w=wanted, plan_id=chapter.plan_id, lease_s=lease_s, stands=True)


def _may_cap(desk: Desk, now_utc: datetime) -> bool:
    """Whether a policy may cap at all now."""
    rules = desk.governance
    levers = rules.settings.in_force(now_utc, rules.site.time_zone).levers
    return desk.mode is Mode.DISPATCH and not desk.letting_go and levers.capping and rules.site.caps.enabled
