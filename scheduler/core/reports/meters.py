"""Whether the meters of a plug agree over a month, from what each of them counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from scheduler.core.accounting.residual import BalanceAlarm, BalanceRule, BalanceSlot, Sums, watched
from scheduler.domain.ledger import Quality
from scheduler.domain.plantlink import MeterReading
from scheduler.domain.settlement import HeatSlot
from scheduler.units import WH_PER_KWH, h_from_s


@dataclass(frozen=True, slots=True, kw_only=True)
class PlugMeters:
    """Slots by the meters around a plug; an empty one is not there. loop_readings: for its flow and spread."""

    captured: Sequence[HeatSlot] = ()
    recovered: Sequence[HeatSlot] = ()
    rejected: Sequence[HeatSlot] = ()
    it: Sequence[HeatSlot] = ()
    loop_readings: Sequence[MeterReading] = ()


def balance_slots(meters: PlugMeters) -> tuple[BalanceSlot, ...]:
    """Slots in time order with what every meter told of them; estimates say nothing of a single slot and are left out.

    A loop's flow and spread are told as multiples of their median over the time, the spread's after dividing by the heat that
    it carried: what a load asks for is what it took most of the time.
    """
    captured, recovered, rejected, it = (_kw(one) for one in (meters.captured, meters.recovered, meters.rejected, meters.it))
    flow, spread = _loop(meters.loop_readings, meters.captured, captured)
    return tuple(
        BalanceSlot(
            start_utc=at_utc,
            it_kw=it.get(at_utc),
            captured_kw=captured.get(at_utc),
            recovered_kw=recovered.get(at_utc),
            rejected_kw=rejected.get(at_utc),
            flow_fraction=flow.get(at_utc),
            spread_fraction=spread.get(at_utc),
        )
        for at_utc in sorted({*captured, *recovered, *rejected, *it})
    )


def disagreements(meters: PlugMeters, rule: BalanceRule) -> tuple[BalanceAlarm, ...]:
    """Alarms of a stretch that begins with nothing suspected."""
    return watched(Sums(), balance_slots(meters), rule)[1]


def _kw(slots: Iterable[HeatSlot]) -> dict[datetime, float]:
    """Mean kW of metered slots."""
    return {
        one.start_utc: one.heat_wh / WH_PER_KWH / h_from_s(one.duration_s)
        for one in slots
        if one.heat_wh is not None and one.quality is Quality.METERED
    }


def _loop(
    readings: Iterable[MeterReading], slots: Sequence[HeatSlot], captured_kw: Mapping[datetime, float]
) -> tuple[dict[datetime, float], dict[datetime, float]]:
    """Flow and spread of each slot over their usual values; the spread per kW, so that a small load is no fault."""
    if not slots:
        return {}, {}
    length = timedelta(seconds=slots[0].duration_s)
    flows: dict[datetime, list[float]] = {}
    spreads: dict[datetime, list[float]] = {}
    for one in readings:
        start_utc = slots[0].start_utc + (one.at_utc - slots[0].start_utc) // length * length
        if one.flow_m3_per_h is not None:
            flows.setdefault(start_utc, []).append(one.flow_m3_per_h)
        heat_kw = captured_kw.get(start_utc, 0.0)
        if one.supply_c is not None and one.return_c is not None and heat_kw > 0.0:
            spreads.setdefault(start_utc, []).append((one.supply_c - one.return_c) / heat_kw)
    return _over_median(flows), _over_median(spreads)


def _over_median(values: Mapping[datetime, Sequence[float]]) -> dict[datetime, float]:
    means = {at_utc: sum(found) / len(found) for at_utc, found in values.items()}
    usual = float(np.median(list(means.values()))) if means else 0.0
    return {at_utc: mean / usual for at_utc, mean in means.items()} if usual > 0.0 else {}
