"""Firm heat: when it becomes binding, for which hours, and how much may be promised.

The promise never exceeds the contract's quantile of deliverable heat, nor what plug, maintenance, redundancy class and
offtake allow. Its price may only lower it: with capacity payment c and shortfall penalty s per kWh and tolerance d, the gain

    c F - s E[max(0, (1 - d) F - D)]

is largest where P(D < (1 - d) F) = c / (s (1 - d)): the newsvendor's quantile of delivered heat D over (1 - d).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from scheduler.core.thermal.limits import promisable_kw
from scheduler.domain.contract import FirmRule
from scheduler.domain.site import Offtake, Plug
from scheduler.domain.snapshot import Commitment
from scheduler.domain.time import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One gate: at `at_utc` the firm kW of the delivery hours (start, end) become binding."""

    at_utc: datetime
    hours: tuple[tuple[datetime, datetime], ...]


def local_instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    """UTC instant of a local wall time; a time that the clock skips counts as if it had not changed yet."""
    return datetime.combine(day, at, tzinfo=zone).astimezone(UTC)


def delivery_hours(day: date, zone: ZoneInfo, hours: int) -> tuple[tuple[datetime, datetime], ...]:
    """Hours of a local day in UTC: 23, 24 or 25 of them for a whole day (hours >= 24), else the first `hours`."""
    start_utc = local_instant(day, time(), zone)
    end_utc = local_instant(day + timedelta(days=1), time(), zone)
    count = int((end_utc - start_utc) // timedelta(hours=1))
    count = count if hours >= 24 else min(hours, count)
    step = timedelta(hours=1)
    return tuple((start_utc + i * step, start_utc + (i + 1) * step) for i in range(count))


def gate_of_day(rule: FirmRule, time_zone: str, day: date) -> Gate:
    """The gate on local day `day`, for delivery on the day after."""
    zone = ZoneInfo(time_zone)
    at_utc = local_instant(day, time.fromisoformat(rule.gate_local), zone)
    return Gate(at_utc=at_utc, hours=delivery_hours(day + timedelta(days=1), zone, rule.delivery_hours))


def next_gate(rule: FirmRule, time_zone: str, now_utc: datetime) -> Gate:
    """First gate at or after `now_utc`."""
    today = now_utc.astimezone(ZoneInfo(time_zone)).date()
    gate = gate_of_day(rule, time_zone, today)
    return gate if gate.at_utc >= now_utc else gate_of_day(rule, time_zone, today + timedelta(days=1))


def gates_between(rule: FirmRule, time_zone: str, after_utc: datetime, until_utc: datetime) -> tuple[Gate, ...]:
    """Gates in (after, until], in order: those that a cycle at `until_utc` has to answer."""
    zone = ZoneInfo(time_zone)
    day, last = after_utc.astimezone(zone).date(), until_utc.astimezone(zone).date()
    found: list[Gate] = []
    while day <= last:
        gate = gate_of_day(rule, time_zone, day)
        if after_utc < gate.at_utc <= until_utc:
            found.append(gate)
        day += timedelta(days=1)
    return tuple(found)


def priced_quantile(rule: FirmRule) -> float:
    """Quantile of delivered heat at which one more promised kWh earns nothing, c / (s (1 - d)), at most 1."""
    loss = rule.shortfall_eur_per_kwh * (1.0 - rule.tolerance_fraction)
    if loss <= 0.0:
        return 1.0
    return min(1.0, max(0.0, rule.capacity_eur_per_kwh / loss))


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


def firm_kw(rule: FirmRule, contract_kw: FloatArray, priced_kw: FloatArray, limit_kw: FloatArray) -> FloatArray:
    """Promise per hour: min(contract quantile, newsvendor's quantile / (1 - tolerance), limit), never negative.

    contract_kw, priced_kw: deliverable heat at `rule.quantile` and at `priced_quantile(rule)`.
    """
    worth_kw = priced_kw / max(1e-9, 1.0 - rule.tolerance_fraction)
    known = np.isfinite(contract_kw) & np.isfinite(worth_kw) & np.isfinite(limit_kw)
    promise = np.minimum(np.minimum(contract_kw, worth_kw), limit_kw)
    return np.where(known, np.maximum(0.0, promise), 0.0)


def firm_promise(
    offtake: Offtake,
    plug: Plug,
    gate: Gate,
    contract_kw: FloatArray,
    priced_kw: FloatArray | None = None,
) -> tuple[Commitment, ...]:
    """Commitments for the delivery hours of a gate; none when the offtake has no firm rule.

    contract_kw: deliverable heat at the rule's quantile for each hour of the gate, (hours,). priced_kw: the same at
    `priced_quantile`; without it the contract's quantile stands. An unknown (NaN) hour promises nothing.

    Raises:
        ValueError: when the arrays do not have one value per delivery hour.
    """
    rule = offtake.firm
    if rule is None:
        return ()
    if contract_kw.shape != (len(gate.hours),):
        raise ValueError(f"firm_promise: {contract_kw.shape} values for {len(gate.hours)} delivery hours")
    starts, ends = [hour[0] for hour in gate.hours], [hour[1] for hour in gate.hours]
    limit_kw = np.minimum(firm_capability_kw(plug, starts, ends), offtake.max_heat_kw)
    worth_kw = contract_kw if priced_kw is None else priced_kw
    promise_kw = firm_kw(rule, contract_kw, worth_kw, limit_kw)
    return tuple(
        Commitment(offtake_id=offtake.offtake_id, start_utc=start, end_utc=end, firm_kw=float(kw), gate_utc=gate.at_utc)
        for start, end, kw in zip(starts, ends, promise_kw, strict=True)
    )
