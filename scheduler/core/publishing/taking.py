"""What a customer said that he takes at most: it bounds what is expected of him, and what is still owed to him."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scheduler.domain.outlook import Outlook
from scheduler.domain.snapshot import Band, Commitment, Snapshot, TakeLimit
from scheduler.domain.time import FloatArray, TimeGrid


def ceiling_kw(limits: Sequence[TakeLimit], offtake_id: str, grid: TimeGrid) -> FloatArray:
    """The most that one customer takes in each slot, (slots,): a slot counts as a whole; infinite where he said nothing."""
    found = np.full(grid.slots, np.inf)
    for limit in limits:
        if limit.offtake_id != offtake_id:
            continue
        first = max(0, grid.slot_of(limit.start_utc))
        stop = grid.slots
        if limit.end_utc is not None:
            stop = max(0, -int((grid.start_utc - limit.end_utc).total_seconds() // grid.slot_s))
        found[first:stop] = np.minimum(found[first:stop], max(0.0, limit.heat_kw))
    return found


def limited_outlook(ahead: Outlook, limits: Sequence[TakeLimit]) -> Outlook:
    """The outlook with nobody's demand above what he said that he takes."""
    if not limits:
        return ahead
    demand = dict(ahead.demand_kw)
    for name, band in ahead.demand_kw.items():
        most = ceiling_kw(limits, name, ahead.grid)
        demand[name] = Band(p10=np.minimum(band.p10, most), p50=np.minimum(band.p50, most), p90=np.minimum(band.p90, most))
    return replace(ahead, demand_kw=demand)


def taken(snapshot: Snapshot) -> Snapshot:
    """The snapshot to plan on: a promise that the customer does not take asks nothing of us, and of no boiler."""
    if not snapshot.take_limits or not snapshot.commitments:
        return snapshot
    return replace(snapshot, commitments=tuple(_owed(one, snapshot.take_limits) for one in snapshot.commitments))


def _owed(promise: Commitment, limits: Sequence[TakeLimit]) -> Commitment:
    """A promise, lowered to the least that its customer takes at any time of it."""
    inside = [
        limit.heat_kw
        for limit in limits
        if limit.offtake_id == promise.offtake_id
        and limit.start_utc < promise.end_utc
        and (limit.end_utc is None or limit.end_utc > promise.start_utc)
    ]
    return replace(promise, firm_kw=max(0.0, min([promise.firm_kw, *inside])))
