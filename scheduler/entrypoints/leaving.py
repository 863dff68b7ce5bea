"""Before an installation goes: nothing of ours stays held, gated or capped.

In this order, since each step would be undone by what the next one ends: no new Job is held at its creation; every policy only
observes, and the operator has seen it or is gone; every hold is ended; no cap is wished, and the agents have given theirs back.
Once the operator's pods are gone too, the Leases go by which operators and agents agreed; one that somebody still holds stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.kubernetes.objects import version_of
from scheduler.adapters.kubernetes.operator.capping import CAPS_LEASE
from scheduler.adapters.kubernetes.runtime.client import KubeClient
from scheduler.adapters.kubernetes.runtime.errors import Conflict, NotFound
from scheduler.adapters.kubernetes.runtime.kinds import HOLD_BINDINGS, LEASES, NODE_POWERS, POLICIES, Kind
from scheduler.adapters.kubernetes.runtime.writer import Reach
from scheduler.entrypoints.by_hand import written_by_hand
from scheduler.entrypoints.operator.standing import LEASE, STANDBY_LEASE

Tell = Callable[[str], None]
Wait = Callable[[float], object]

OURS = ("heatdispatch-class", "heatdispatch-hold", "heatdispatch-owner")
# An API server has forgotten a binding for sure.
FORGOTTEN_S = 5.0
LOOK_S = 0.5
# A Lease has run out for sure, however slow its holder's clock is.
SLOWER = 1.25
TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the operator, the agents, and whoever holds a Lease are waited for, in s.

    Nobody gives a Lease back when his rights went before he did: then it runs out.
    """

    operator_s: float = 60.0
    agents_s: float = 60.0
    leases_s: float = 45.0


PATIENCE = Patience()


class Leaving:
    """The steps before and after the holds are let go."""

    def __init__(self, client: KubeClient, lease_namespace: str, tell: Tell, wait: Wait, patience: Patience = PATIENCE) -> None:
        """`wait` sleeps; `tell` is told what was done and what could not be seen."""
        self._client, self._lease_namespace, self._tell, self._wait = client, lease_namespace, tell, wait
        self._patience, self._clock, self._writer = patience, SystemClock(), written_by_hand(client, Reach.FULL)

    def stop_holding(self) -> None:
        """No new Job is held, every policy only observes, and the operator knows it or is gone."""
        gone = [binding for binding in self._all(HOLD_BINDINGS) if binding["metadata"]["name"] in OURS]
        self._delete(HOLD_BINDINGS, gone)
        if gone:
            self._tell("new jobs are held no more")
            self._wait(FORGOTTEN_S)
        changed = [name for name in self._names(POLICIES) if self._observe(name)]
        if changed:
            self._tell(f"in mode Observe: {', '.join(changed)}")
        if not self._until(self._seen_or_gone, self._patience.operator_s):
            self._tell("the operator has not said that it saw this; going on")

    def stop_capping(self) -> None:
        """No cap is wished; what agents say of it is waited for, then the wishes are deleted."""
        capped = [name for name in self._names(NODE_POWERS) if self._wish_none(name)]
        if not self._until(lambda: not self._still_capped(), self._patience.agents_s):
            left = ", ".join(self._still_capped())
            self._tell(f"not heard that caps are gone from {left}; their agents give them back without us within two minutes")
        elif capped:
            self._tell(f"no cap is left on {', '.join(capped)}")
        self._delete(NODE_POWERS, self._all(NODE_POWERS))

    def remove_leases(self, caps_namespace: str) -> None:
        """Delete the Leases that nobody holds any more; says which one somebody does.

        The one of the caps is in the namespace of the installation that goes; nobody else renews it.
        """
        for name, namespace in (
            (LEASE, self._lease_namespace),
            (STANDBY_LEASE, self._lease_namespace),
            (CAPS_LEASE, caps_namespace),
        ):
            with suppress(NotFound):
                self._remove_lease(name, namespace)

    def _remove_lease(self, name: str, namespace: str) -> None:
        """Delete a Lease exactly as it was seen without a holder; whoever takes it in the same moment keeps it.

        Whether somebody holds it is seen from its renewals, since clocks of two machines may differ.
        """
        seen, stood_s = self._client.get(LEASES, name, namespace), 0.0
        for _ in range(int(self._patience.leases_s / LOOK_S)):
            if name == CAPS_LEASE or _abandoned(seen, stood_s):
                with suppress(Conflict):
                    self._writer.delete(LEASES, seen, exactly=True)
                    self._tell(f"Lease {namespace}/{name} is gone")
                    return
            self._wait(LOOK_S)
            before, seen = seen, self._client.get(LEASES, name, namespace)
            stood_s = stood_s + LOOK_S if version_of(before) == version_of(seen) else 0.0
        self._tell(f"Lease {namespace}/{name} stays: {(seen.get('spec') or {}).get('holderIdentity')} holds it")

    def _observe(self, name: str) -> bool:
        wanted = {"spec": {"mode": "Observe"}}
        return self._changed(POLICIES, name, lambda policy: None if _mode(policy) == "Observe" else wanted)

    def _wish_none(self, name: str) -> bool:
        def change(power: Mapping[str, Any]) -> dict[str, Any] | None:
            spec = power.get("spec") or {}
            return {"spec": {"gpus": [], "generation": int(spec.get("generation") or 0) + 1}} if spec.get("gpus") else None

        return self._changed(NODE_POWERS, name, change)

    def _changed(self, kind: Kind, name: str, change: Callable[[Mapping[str, Any]], dict[str, Any] | None]) -> bool:
        """Patch an object as it is now, again when somebody else was quicker; False when there was nothing to change."""
        for _ in range(TRIES):
            try:
                seen = self._client.get(kind, name) | {"apiVersion": kind.api_version, "kind": kind.kind}
                wanted = change(seen)
                if wanted is None:
                    return False
                self._writer.patch(kind, seen, wanted)
            except NotFound:
                return False
            except Conflict:
                continue
            return True
        raise Conflict(f"{kind.kind} {name} changes all the time", status=409, reason="Conflict")

    def _seen_or_gone(self) -> bool:
        """Whether the operator has answered every policy as it is now, or none leads."""
        return all(_answered(policy) for policy in self._all(POLICIES)) or self._leaderless()

    def _leaderless(self) -> bool:
        try:
            spec = self._client.get(LEASES, LEASE, self._lease_namespace).get("spec") or {}
        except NotFound:
            return True
        if not spec.get("holderIdentity") or not spec.get("renewTime"):
            return True
        until_utc = datetime.fromisoformat(str(spec["renewTime"])) + timedelta(
            seconds=int(spec.get("leaseDurationSeconds") or 0)
        )
        return self._clock.now_utc() > until_utc

    def _still_capped(self) -> list[str]:
        """Nodes whose agents say that a cap is in force."""
        return [str(power["metadata"]["name"]) for power in self._all(NODE_POWERS) if _capped(power)]

    def _until(self, ready: Callable[[], bool], limit_s: float) -> bool:
        waited_s = 0.0
        while not ready():
            if waited_s >= limit_s:
                return False
            self._wait(LOOK_S)
            waited_s += LOOK_S
        return True

    def _names(self, kind: Kind) -> list[str]:
        return [str(obj["metadata"]["name"]) for obj in self._all(kind)]

    def _all(self, kind: Kind) -> tuple[dict[str, Any], ...]:
        """All objects of a kind; none where it is not installed."""
        try:
            return tuple(obj | {"apiVersion": kind.api_version, "kind": kind.kind} for obj in self._client.list(kind))
        except NotFound:
            return ()

    def _delete(self, kind: Kind, objects: Iterable[Mapping[str, Any]]) -> None:
        """Delete them; gone already is as good."""
        for obj in objects:
            with suppress(NotFound):
                self._writer.delete(kind, obj)


def _abandoned(lease: Mapping[str, Any], stood_s: float) -> bool:
    """Whether a Lease that has not changed for so long is held by nobody: given back, or run out."""
    spec = lease.get("spec") or {}
    return not spec.get("holderIdentity") or stood_s > SLOWER * int(spec.get("leaseDurationSeconds") or 0)


def _mode(policy: Mapping[str, Any]) -> str:
    return str((policy.get("spec") or {}).get("mode") or "Observe")


def _capped(power: Mapping[str, Any]) -> bool:
    """Whether the agent's status names a GPU whose limit is not its own again."""
    gpus = (power.get("status") or {}).get("gpus") or ()
    return any(gpu.get("condition") in {"capped", "waiting", "restoring"} for gpu in gpus)


def _answered(policy: Mapping[str, Any]) -> bool:
    """Whether the operator's status is of this generation."""
    seen = (policy.get("status") or {}).get("observedGeneration") or 0
    return int(seen) >= int(policy["metadata"].get("generation") or 0)
