"""From the objects of our kinds to desks: each policy with its part of the site; and what is wrong told on the object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from scheduler.adapters.kubernetes.admission_check import Check, our_checks
from scheduler.adapters.kubernetes.classes import selectors_of
from scheduler.adapters.kubernetes.jobs import JobView
from scheduler.adapters.kubernetes.objects import Obj, labels_of, name_of, text, uid_of
from scheduler.adapters.kubernetes.operator.book import Book
from scheduler.adapters.kubernetes.operator.reconcile import Desk
from scheduler.adapters.kubernetes.operator.stores import Stores
from scheduler.adapters.kubernetes.operator.view import Governance, Reader
from scheduler.adapters.kubernetes.pools import PoolSelector
from scheduler.adapters.kubernetes.runtime import kinds
from scheduler.adapters.kubernetes.runtime.conditions import Condition, Truth, merged
from scheduler.config.findings import Finding, Level
from scheduler.config.kinds import DispatchPolicy, Site, ThermalPlug
from scheduler.config.live import Live, governed, live_manifests
from scheduler.config.live import name_of as object_name
from scheduler.config.node_pools import GPU_RESOURCE, SeenPool, seen_pools
from scheduler.domain.errors import Misconfigured
from scheduler.domain.job import JobPhase
from scheduler.entrypoints.operator.rooms import Rooms

READY, CONFLICT = "Ready", "PoolConflict"
SHARES_POOLS = "shares pools with policy"
MOST_TOLD = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Governed:
    """Desks by policy, and every object's conditions by its name (`ThermalPlug/loop-a`)."""

    desks: tuple[Desk, ...]
    conditions: Mapping[str, tuple[Condition, ...]] = field(default_factory=dict)
    warnings: tuple[Finding, ...] = ()


@dataclass(slots=True, eq=False)
class Governing:
    """Works the desks out anew whenever an object of ours or the set of nodes has changed; books outlive that."""

    stores: Stores
    rooms: Rooms
    books: dict[str, Book] = field(default_factory=dict)
    _signature: tuple[object, ...] = ()
    _last: Governed = field(default_factory=lambda: Governed(desks=()))

    @property
    def current(self) -> Governed:
        """What was worked out last."""
        return self._last

    def refresh(self, now_utc: datetime) -> bool:
        """Look whether anything changed; True when the desks are new ones."""
        signature = self._signed()
        if signature == self._signature:
            return False
        self._last = self._made(now_utc)
        self._signature = signature
        return True

    def _signed(self) -> tuple[object, ...]:
        """What desks depend on. Generations, not versions: a status of our own must not start it all over."""
        own = sorted((uid_of(obj), (obj.get("metadata") or {}).get("generation", 0)) for obj in self.stores.own_objects())
        nodes = sorted(
            (name_of(node), tuple(sorted(labels_of(node).items())), text(node, "status", "capacity", GPU_RESOURCE))
            for node in self.stores.nodes.all()
        )
        checks = sorted(uid_of(check) for check in self.stores.checks.all())
        return (tuple(own), tuple(nodes), tuple(checks))

    def _made(self, now_utc: datetime) -> Governed:
        """Desks of the objects and nodes as they are."""
        objects = self.stores.own_objects()
        first = live_manifests(objects, (), now_utc).manifests
        sites = first.of(Site)
        pools, told = seen_pools(self.stores.nodes.all(), first.of(ThermalPlug), sites[0] if sites else None)
        live = live_manifests(objects, tuple(one.pool for one in pools), now_utc)
        desks, refused = [], {}
        for policy in live.manifests.of(DispatchPolicy):
            try:
                desks.append(self._desk(live, policy.name, pools))
            except Misconfigured as wrong:
                refused[f"DispatchPolicy/{policy.name}"] = str(wrong)
        for name in set(self.books) - {desk.governance.policy for desk in desks}:
            self.books.pop(name).close()
        conditions = {object_name(obj): conditions_of(object_name(obj), live, refused) for obj in objects}
        return Governed(desks=tuple(desks), conditions=conditions, warnings=tuple(told))

    def _desk(self, live: Live, policy: str, pools: Sequence[SeenPool]) -> Desk:
        """One policy's desk."""
        part = governed(live, policy)
        mine = {pool.pool_id for pool in part.site.pools}
        selectors = tuple(
            PoolSelector(pool_id=one.pool.pool, node_labels=dict(one.node_labels)) for one in pools if one.pool.pool in mine
        )
        rules = Governance(
            policy=policy,
            site=part.site,
            settings=part.settings,
            pools=selectors,
            selectors=selectors_of(self.stores.of_policy(kinds.CLASSES)),
        )
        return Desk(
            governance=rules,
            reader=Reader(self.stores, rules),
            book=self.books.setdefault(policy, Book()),
            checks=self._checks(),
            rooms=lambda: self.rooms(selectors),
            flavor_labels=self.stores.flavor_labels,
            placed=self.rooms.placed,
            unplaced=self.rooms.unplaced,
        )

    def _checks(self) -> tuple[Check, ...]:
        """Our AdmissionChecks."""
        return tuple(Check(name=name) for name in our_checks(self.stores.checks.all()))


def conditions_of(where: str, live: Live, refused: Mapping[str, str]) -> tuple[Condition, ...]:
    """Conditions of one object: whether it is used, and for a policy whether another one has its pools."""
    told = live.findings.get(where, ())
    errors = [one for one in told if one.level is Level.ERROR]
    shared = [one for one in errors if SHARES_POOLS in one.message]
    conflict = Condition(
        type=CONFLICT,
        status=Truth.TRUE if shared else Truth.FALSE,
        reason="PoolsShared" if shared else "PoolsOwn",
        message=_words(shared) if shared else "no other policy has its pools",
    )
    return (_ready(where, errors, told, refused), *((conflict,) if where.startswith("DispatchPolicy/") else ()))


def _ready(where: str, errors: Sequence[Finding], told: Sequence[Finding], refused: Mapping[str, str]) -> Condition:
    """Whether an object is used, and why not."""
    if errors:
        return Condition(type=READY, status=Truth.FALSE, reason="Invalid", message=_words(errors))
    if where in refused:
        return Condition(type=READY, status=Truth.FALSE, reason="Incomplete", message=refused[where])
    return Condition(type=READY, status=Truth.TRUE, reason="Used", message=_words(told) if told else "")


def _words(findings: Sequence[Finding]) -> str:
    """The first few findings in words, without the object's own name."""
    shown = [f"{one.field + ': ' if one.field else ''}{one.message}" for one in findings[:MOST_TOLD]]
    hints = [f" (expected {one.expected})" if one.expected else "" for one in findings[:MOST_TOLD]]
    more = f"; and {len(findings) - MOST_TOLD} more" if len(findings) > MOST_TOLD else ""
    return "; ".join(text_ + hint for text_, hint in zip(shown, hints, strict=True)) + more


def status_of(obj: Obj, conditions: Sequence[Condition], now_utc: datetime) -> dict[str, object]:
    """Status to apply on one of our objects."""
    generation = (obj.get("metadata") or {}).get("generation")
    return {"observedGeneration": generation, "conditions": list(merged(obj, conditions, now_utc))}


def told_state(view: JobView) -> str:
    """What is done with a job, for counting."""
    if view.owner_took:
        return "owner"
    if view.insulated:
        return "insulated"
    if view.held:
        return "paused" if view.state.phase is JobPhase.PAUSED else "held"
    return "running" if view.state.phase is JobPhase.RUNNING else "waiting"
