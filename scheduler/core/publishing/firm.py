"""Firm heat: what becomes binding at a gate, and what plug and contract allow at most.

When gates come is told by `core/tariffs/gates`, how much may be promised by `promises`, who has to agree by `binding`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from scheduler.core.tariffs.gates import Gate, gates_between, gates_due, gates_of_day, next_gate, overlaps
from scheduler.core.thermal.limits import promisable_kw
from scheduler.domain.contract import Revise
from scheduler.domain.site import Offtake, Plug
from scheduler.domain.snapshot import Commitment
from scheduler.domain.time import FloatArray

__all__ = ("Gate", "gates_between", "gates_due", "gates_of_day", "next_gate")


def answered_utc(commitments: Iterable[Commitment], offtake_id: str) -> datetime:
    """The last gate of a customer that was answered, as its commitments tell; the first instant of all when there is none.

    Every answer states all periods of its gate anew (`answer`), so the commitments alone tell which gates are done: whoever was
    killed between a gate and the next one answers none twice.
    """
    gates = [one.gate_utc for one in commitments if one.offtake_id == offtake_id and one.gate_utc is not None]
    return max(gates, default=datetime.min.replace(tzinfo=UTC))


def answer(gate: Gate, offered: Sequence[Commitment], bound: Iterable[Commitment]) -> tuple[Commitment, ...]:
    """What a gate makes binding, out of what may be promised at it and what was binding before.

    A period that is bound keeps its value, or gets a higher one where the gate may raise it; it is stated anew with this gate.
    One of which nothing was promised is free for any gate.
    One that only partly covers a bound one is left out: two values for one minute would settle twice.
    """
    held = {(one.start_utc, one.end_utc): one for one in in_force(bound)}
    periods = list(held)
    found = []
    for one in offered:
        before = held.get((one.start_utc, one.end_utc))
        if before is not None:
            raised = (gate.revise is Revise.UP or before.firm_kw == 0.0) and one.firm_kw > before.firm_kw
            found.append(replace(before, firm_kw=one.firm_kw if raised else before.firm_kw, gate_utc=gate.at_utc))
        elif not overlaps((one.start_utc, one.end_utc), periods):
            found.append(one)
    return tuple(found)


def in_force(commitments: Iterable[Commitment]) -> tuple[Commitment, ...]:
    """One commitment per customer and period: that of its newest gate, of one gate the highest, in the order of coming."""
    newest: dict[tuple[str, datetime, datetime], Commitment] = {}
    for one in commitments:
        key = (one.offtake_id, one.start_utc, one.end_utc)
        held = newest.get(key)
        if held is None or _rank(one) > _rank(held):
            newest[key] = one
    return tuple(newest.values())


def _rank(one: Commitment) -> tuple[float, float]:
    """Newer gates first; one without a gate is older than all."""
    return (0.0 if one.gate_utc is None else one.gate_utc.timestamp(), one.firm_kw)


def firm_capability_kw(plug: Plug, starts_utc: Sequence[datetime], ends_utc: Sequence[datetime]) -> FloatArray:
    """What a plug can promise in each interval, kW: contract block, maintenance and redundancy class taken off.

    The redundancy class counts as in `promisable_kw`: N all of the rating, N+1 half of it, 2N all.
    """
    rated_kw = plug.max_heat_kw if plug.firm_heat_kw is None else min(plug.max_heat_kw, plug.firm_heat_kw)
    if plug.heat_pump is not None:
        rated_kw = min(rated_kw, plug.heat_pump.rated_heat_kw + (plug.tank.max_discharge_kw if plug.tank else 0.0))
    rated_kw = min(rated_kw, promisable_kw(plug.max_heat_kw, plug.redundancy))
    limit_kw = np.full(len(starts_utc), rated_kw)
    for window in plug.maintenance:
        for i, (start, end) in enumerate(zip(starts_utc, ends_utc, strict=True)):
            if window.start_utc < end and start < window.end_utc:
                limit_kw[i] = min(limit_kw[i], window.available_kw)
    return np.asarray(np.maximum(0.0, limit_kw))


def firm_promise(offtake: Offtake, plug: Plug, gate: Gate, wanted_kw: FloatArray) -> tuple[Commitment, ...]:
    """Commitments for the delivery periods of a gate; none when the offtake has no firm rule.

    wanted_kw: what may be promised in each period of the gate, (periods,): never more than plug and offtake allow, and nothing
    where it is not known (NaN).

    Raises:
        ValueError: when there is not one value per delivery period.
    """
    if offtake.firm is None:
        return ()
    if wanted_kw.shape != (len(gate.hours),):
        raise ValueError(f"firm_promise: {wanted_kw.shape} values for {len(gate.hours)} delivery hours")
    starts, ends = [hour[0] for hour in gate.hours], [hour[1] for hour in gate.hours]
    limit_kw = np.minimum(firm_capability_kw(plug, starts, ends), offtake.max_heat_kw)
    promise_kw = np.nan_to_num(np.maximum(0.0, np.minimum(wanted_kw, limit_kw)))
    return tuple(
        Commitment(offtake_id=offtake.offtake_id, start_utc=start, end_utc=end, firm_kw=float(kw), gate_utc=gate.at_utc)
        for start, end, kw in zip(starts, ends, promise_kw, strict=True)
    )
