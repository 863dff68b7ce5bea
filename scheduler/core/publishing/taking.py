"""What a customer said that he takes at most: it bounds what is expected of him, and what is still owed to him."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np

from scheduler.core.accounting.underway import owed_parts
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
    """The snapshot to plan on: of a promise only what the customer takes is asked of us, and of no boiler.

    A promise asks for one energy over its whole period, so it is lowered to the mean of what he takes of it:

        firm' = sum_i min(firm, L_i) h_i / sum_i h_i

    with the limits L_i by quarter hours, as it is settled. What has come of it was reckoned with the same limits
    (`accounting.underway`), so what is left to come is what is owed of the rest.
    """
    if not snapshot.take_limits or not snapshot.commitments:
        return snapshot
    return replace(snapshot, commitments=tuple(_mean(one, snapshot.take_limits) for one in snapshot.commitments))


def told(snapshot: Snapshot, slot_s: int) -> Snapshot:
    """The snapshot to tell of: each slot of a promise with what the customer takes in it, and the others as they were."""
    if not snapshot.take_limits or not snapshot.commitments:
        return snapshot
    step = timedelta(seconds=slot_s)
    parts = tuple(part for one in snapshot.commitments for part in owed_parts(one, snapshot.take_limits, step))
    return replace(snapshot, commitments=parts)


def _mean(promise: Commitment, limits: Sequence[TakeLimit]) -> Commitment:
    """A promise, lowered to the mean of what its customer takes of it."""
    parts = owed_parts(promise, limits)
    if len(parts) == 1:
        return replace(promise, firm_kw=parts[0].firm_kw)
    energy_kws = sum(part.firm_kw * (part.end_utc - part.start_utc).total_seconds() for part in parts)
    return replace(promise, firm_kw=energy_kws / (promise.end_utc - promise.start_utc).total_seconds())
