"""NodePower as the agent of the node reads and answers it: its spec as a wish, its status as what is in force.

Pure. The kind itself is stated in `config/kinds/nodepower.py`, which the agent does not load; a test holds the two together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scheduler.core.capping.asking import known, lease_left_s, pod_on
from scheduler.domain.capping import Answer, CapWish, Condition, GpuStanding, Heard, NodeWish, Occupancy
from scheduler.domain.errors import Misconfigured

LEASE_S, LONGEST_LEASE_S = 120.0, 3600.0
MOST_GPUS, MOST_TEXT, MOST_NAME, MOST_GENERATION = 64, 256, 64, 2**63 - 1
AWAY_S = 10.0
"""A setter, a kubelet or a cluster that has been silent for so long is told of; a restart of one takes less."""
NAMED = 4
"""GPUs that a message names."""

Json = dict[str, Any]


# The wish.


def wish_of(spec: object, *, source: str, observed_generation: int | None = None) -> NodeWish:
    """The wish that a spec states. Watts are taken as they are, since the setter judges them.

    Raises:
        Misconfigured: when it is not of the shape of a NodePower's spec; nothing of it is a wish then.
    """
    told = _object(spec, "spec")
    gpus = told.get("gpus", [])
    if not isinstance(gpus, list) or len(gpus) > MOST_GPUS:
        raise Misconfigured("not a list of GPUs", where="gpus", expected=f"at most {MOST_GPUS}")
    return NodeWish(
        source=source,
        generation=_generation(told.get("generation", 0)),
        plan_id=_text(told.get("planId", ""), "planId", MOST_TEXT, cut=True),
        lease_s=_lease_s(told.get("leaseSeconds", LEASE_S)),
        gpus=tuple(_cap(one, f"gpus[{index}]") for index, one in enumerate(gpus)),
        observed_generation=observed_generation,
    )


def _cap(told: object, where: str) -> CapWish:
    one = _object(told, where)
    emergency = one.get("emergency", False)
    if not isinstance(emergency, bool):
        raise Misconfigured("neither true nor false", where=f"{where}.emergency")
    uuid = _text(one.get("uuid"), f"{where}.uuid", MOST_NAME)
    pod_uid = _text(one.get("podUid", ""), f"{where}.podUid", MOST_NAME)
    return CapWish(uuid=uuid, pod_uid=pod_uid, cap_w=_number(one.get("capWatts"), f"{where}.capWatts"), emergency=emergency)


def _lease_s(told: object) -> float:
    lease_s = _number(told, "leaseSeconds")
    if not 0.0 < lease_s <= LONGEST_LEASE_S:
        raise Misconfigured(f"{lease_s:g}", where="leaseSeconds", expected=f"above 0, at most {LONGEST_LEASE_S:g}")
    return lease_s


def _generation(told: object) -> int:
    if not isinstance(told, int) or isinstance(told, bool) or not 0 <= told <= MOST_GENERATION:
        raise Misconfigured("not a count", where="generation", expected="a whole number from 0")
    return told


def _object(told: object, where: str) -> Json:
    if not isinstance(told, dict):
        raise Misconfigured("not an object", where=where)
    return told


def _text(told: object, where: str, most: int, *, cut: bool = False) -> str:
    if not isinstance(told, str) or (len(told) > most and not cut):
        raise Misconfigured("not a text", where=where, expected=f"at most {most} characters")
    return told[:most]


def _number(told: object, where: str) -> float:
    """A number, also one that is none (NaN) or without end."""
    if not isinstance(told, int | float) or isinstance(told, bool):
        raise Misconfigured("not a number", where=where)
    try:
        return float(told)
    except OverflowError:
        return math.inf if told > 0 else -math.inf


# The answer.


@dataclass(frozen=True, slots=True, kw_only=True)
class SetterSeen:
    """The setter as its agent sees it: what it said last while it was in charge, when, and why it is not so now."""

    answer: Answer | None = None
    at_s: float | None = None
    trouble: str = ""

    def said(self, answer: Answer, now_s: float) -> SetterSeen:
        """After an answer; one that waits for another setter's end is in charge of nothing."""
        if answer.waiting:
            return self.failed("another setter is still in charge")
        return SetterSeen(answer=answer, at_s=now_s)

    def failed(self, why: str) -> SetterSeen:
        """After a try that brought no answer."""
        return replace(self, trouble=why)

    def away(self, now_s: float) -> bool:
        """Whether it has been silent for long."""
        return self.at_s is None or now_s - self.at_s > AWAY_S


def status_of(heard: Heard, occupancy: Occupancy, setter: SetterSeen, now_s: float, *, began_s: float) -> Json:
    """Status of this node's NodePower; empty while the agent, which began at `began_s`, has not heard from all yet.

    Watts are whole and nothing counts down, so that it changes only when something does. Conditions have no times:
    whoever writes them knows since when they hold.
    """
    starting = now_s - began_s <= AWAY_S
    if starting and (not heard.begun or occupancy.seen_s is None or setter.answer is None):
        return {}
    wish = heard.wish
    seen = _Seen(heard=heard, occupancy=occupancy, setter=setter, now_s=now_s)
    found: Json = {"lease": seen.lease, "conditions": [seen.ready(), seen.capping()], "gpus": seen.gpus()}
    if wish is not None and wish.observed_generation is not None:
        found["observedGeneration"] = wish.observed_generation
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """Everything that a status is made of."""

    heard: Heard
    occupancy: Occupancy
    setter: SetterSeen
    now_s: float

    @property
    def lease(self) -> str:
        if not self.caps:
            return "None"
        return "Valid" if lease_left_s(self.heard, self.now_s) > 0.0 else "Expired"

    @property
    def caps(self) -> tuple[CapWish, ...]:
        return () if self.heard.wish is None else self.heard.wish.gpus

    @property
    def standings(self) -> Mapping[str, GpuStanding]:
        """By uuid; empty while the setter is away."""
        answer = self.setter.answer
        return {} if answer is None or self.setter.away(self.now_s) else {one.uuid: one for one in answer.gpus}

    def pod_uid(self, uuid: str) -> str:
        return pod_on(uuid, self.heard, self.occupancy, self.now_s)

    def gpus(self) -> list[Json]:
        """All GPUs that are known of; without a setter only who holds them, so that nobody caps them."""
        standings = self.standings
        if standings:
            return [_gpu(standings[uuid], self.pod_uid(uuid)) for uuid in sorted(standings)][:MOST_GPUS]
        away = GpuStanding(uuid="", condition=Condition.UNAVAILABLE, why="the setter does not answer")
        answer = self.setter.answer
        uuids = {*self.occupancy.by_uuid, *(one.uuid for one in (answer.gpus if answer is not None else ()))}
        return [_gpu(replace(away, uuid=uuid), self.pod_uid(uuid)) for uuid in sorted(uuids)][:MOST_GPUS]

    def ready(self) -> Json:
        """Whether caps could be carried out here."""
        answer = self.setter.answer
        if self.setter.away(self.now_s) or answer is None:
            return _condition("Ready", "SetterAway", self.setter.trouble or "the setter does not answer")
        if self.heard.trouble:
            return _condition("Ready", "WishUnknown", self.heard.trouble)
        if not known(self.occupancy, self.now_s):
            return _condition("Ready", "OccupancyUnknown", self.occupancy.trouble or "the kubelet does not answer")
        if answer.trouble:
            return _condition("Ready", "SetterTrouble", answer.trouble)
        return _condition("Ready", "Ready", self.occupancy.trouble, holds=True)

    def capping(self) -> Json:
        """Whether all that is wished is in force."""
        answer = self.setter.answer
        if not self.caps:
            return _condition("Capping", "NotWished", "no cap is wished")
        if answer is None or self.setter.away(self.now_s):
            return _condition("Capping", "SetterAway", "the setter does not answer")
        if self.lease == "Expired":
            return _condition("Capping", "LeaseExpired", "the operator has not been seen alive for too long")
        if not known(self.occupancy, self.now_s):
            return _condition("Capping", "OccupancyUnknown", "it is not known which pods hold the GPUs")
        hindered = [(why, text) for why, text in (self.hindered(one) for one in self.caps) if why]
        if hindered:
            worst = min((why for why, _ in hindered), key=_WORST.index)
            return _condition("Capping", worst, _listed(list(dict.fromkeys(text for _, text in hindered))))
        if answer.dry_run:
            return _condition("Capping", "DryRun", f"{_count(len(self.caps))} would be capped")
        return _condition("Capping", "Capped", _count(len(self.caps)), holds=True)

    def hindered(self, one: CapWish) -> tuple[str, str]:
        """What keeps a cap from being in force, as a word and in words; empty when nothing does."""
        standing = self.standings.get(one.uuid)
        if standing is None:
            return "Refused", f"{one.uuid}: not a GPU that may be capped here"
        if [each.uuid for each in self.caps].count(one.uuid) > 1:
            return "Refused", f"{one.uuid}: named twice"
        if not one.pod_uid or self.pod_uid(one.uuid) != one.pod_uid:
            return "OtherPod", f"{one.uuid}: the pod it is meant for is not known to hold it alone"
        word = _word(standing)
        return word, f"{one.uuid}: {standing.why or standing.condition.value}" if word else ""


_HINDERED = {
    Condition.UNAVAILABLE: "Unavailable",
    Condition.YIELDED: "Yielded",
    Condition.RESTORING: "Restoring",
    Condition.WAITING: "Waiting",
}
_WORST = ("Refused", "NoPermission", "Unavailable", "Yielded", "OtherPod", "Restoring", "Waiting")
# How the setter's reasons begin that ask for somebody's hand (core/capping/holding.py).
_BEGINNINGS = {"refused": "Refused", "not permitted": "NoPermission"}


def _word(standing: GpuStanding) -> str:
    """What keeps a GPU, for which there is a wish, from being capped; empty: nothing, or there is nothing to cap."""
    by_reason = next((word for beginning, word in _BEGINNINGS.items() if standing.why.startswith(beginning)), "")
    if standing.condition is Condition.FREE and not standing.why:
        return "Waiting"
    return by_reason or _HINDERED.get(standing.condition, "")


def _gpu(standing: GpuStanding, pod_uid: str) -> Json:
    """One GPU; what is not known is left out."""
    watts = {
        "requestedWatts": standing.requested_w,
        "enforcedWatts": standing.enforced_w,
        "originalWatts": standing.original_w,
        "minWatts": standing.least_w,
        "maxWatts": standing.most_w,
        "capWatts": standing.cap_w,
    }
    texts = {"podUid": pod_uid, "condition": standing.condition.value, "why": standing.why}
    return {
        "uuid": standing.uuid,
        **{key: text for key, text in texts.items() if text},
        **{key: float(round(value)) for key, value in watts.items() if value is not None and math.isfinite(value)},
    }


def _condition(kind: str, reason: str, message: str, *, holds: bool = False) -> Json:
    return {"type": kind, "status": "True" if holds else "False", "reason": reason, "message": message}


def _listed(texts: Sequence[str]) -> str:
    more = f"; and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return "; ".join(texts[:NAMED]) + more


def _count(number: int) -> str:
    return f"{number} GPU" + ("" if number == 1 else "s")
