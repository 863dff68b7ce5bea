"""Samples become slot means: what was seen now and then, as a mean over each quarter hour, or "not known".

A sampled quantity (busy GPUs, kW of a pool) keeps its value until the next sample, but at most `hold_s`: after that nobody
knows. With v[i] seen at t[i] and h[i] = min(t[i+1], t[i] + hold_s):

    mean of a slot = sum_i v[i] * |[t[i], h[i]) within the slot| / covered seconds,   if covered >= min_covered_fraction * slot

No second counts twice: a sample that is not newer than the one before changes nothing, and what was integrated is never
integrated again, however often state is written down and taken up again. After a clock has fallen back by more than
`max_back_s` the quantity starts anew; a slot that was told before then may be told again, and whoever keeps slots keeps the
first word.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from scheduler.domain.observed import QUARTER_S, unit_of
from scheduler.domain.time import Series, TimeGrid
from scheduler.units import S_PER_DAY

# A quantity that nobody has sampled for so long (a pool that was taken away) is forgotten.
FORGET_S = S_PER_DAY

ClosedSlots = list[tuple[int, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A value seen at an instant; NaN is "the source says that it does not know"."""

    key: str
    at_utc: datetime
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRule:
    """How samples become means.

    hold_s: how long a value counts after it was seen; three times the interval between samples bridges two lost ones.
    min_covered_fraction: share of a slot that must be covered. low, high: what can be; a value outside is not known.
    """

    slot_s: int = QUARTER_S
    hold_s: float = 180.0
    min_covered_fraction: float = 0.75
    max_back_s: float = 900.0
    low: float = 0.0
    high: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """One quantity between two samples, in seconds since 1970.

    seen_s: when `value` was seen. until_s: how far it is integrated. slot: number of the open slot since 1970. total:
    integral of the value over the covered seconds of that slot.
    """

    seen_s: float
    value: float
    until_s: float
    slot: int
    total: float = 0.0
    covered_s: float = 0.0


def metered(
    meters: Mapping[str, Meter], samples: Iterable[Sample], now_utc: datetime, rule: SampleRule
) -> tuple[dict[str, Meter], dict[str, Series]]:
    """Take samples in the order in which they came, and tell the slots that are over by now.

    Args:
        meters: what the last call returned; empty in the beginning.
        samples: since then. What is stamped more than `hold_s` after now comes from a wrong clock and is left out.
        now_utc: present instant.
        rule: as above, one for all keys of a call.

    Returns:
        The meters to keep, and by key the closed slots as means, from the first known one to the last; no series for a key
        without any.
    """
    now_s = now_utc.timestamp()
    after, closed = dict(meters), dict[str, ClosedSlots]()
    for sample in samples:
        at_s = sample.at_utc.timestamp()
        if at_s <= now_s + rule.hold_s:
            meter = after.get(sample.key)
            after[sample.key] = _seen(meter, at_s, sample.value, rule, closed.setdefault(sample.key, []))
    for key in list(after):
        after[key] = _passed(after[key], now_s, rule, closed.setdefault(key, []))
        if now_s - after[key].seen_s > FORGET_S:
            del after[key]
    told = {key: series_of_slots(slots, rule.slot_s, unit_of(key)) for key, slots in closed.items()}
    return after, {key: series for key, series in told.items() if series is not None}


def _seen(meter: Meter | None, at_s: float, value: float, rule: SampleRule, closed: ClosedSlots) -> Meter:
    """The meter after a sample."""
    believed = value if rule.low <= value <= rule.high and math.isfinite(value) else math.nan
    if meter is None or at_s < max(meter.seen_s, meter.until_s) - rule.max_back_s:
        return Meter(seen_s=at_s, value=believed, until_s=at_s, slot=int(at_s // rule.slot_s))
    if at_s <= meter.seen_s:
        return meter
    return replace(_passed(meter, at_s, rule, closed), seen_s=at_s, value=believed)


def _passed(meter: Meter, to_s: float, rule: SampleRule, closed: ClosedSlots) -> Meter:
    """Integrate up to `to_s`, at most as long as the value holds; slots that are over go to `closed`."""
    if to_s <= meter.until_s:
        return meter
    good_s = meter.seen_s + rule.hold_s if math.isfinite(meter.value) else -math.inf
    at_s, slot, total, covered_s = meter.until_s, meter.slot, meter.total, meter.covered_s
    while True:
        end_s = (slot + 1) * rule.slot_s
        known_s = max(0.0, min(end_s, to_s, good_s) - at_s)
        if known_s > 0.0:
            total += meter.value * known_s
            covered_s += known_s
        if to_s < end_s:
            return replace(meter, until_s=to_s, slot=slot, total=total, covered_s=covered_s)
        enough = covered_s > 0.0 and covered_s >= rule.min_covered_fraction * rule.slot_s
        closed.append((slot, total / covered_s if enough else math.nan))
        # Behind the last good second nothing is known: such slots are passed over, however many they are.
        slot = slot + 1 if end_s < good_s else int(to_s // rule.slot_s)
        at_s, total, covered_s = max(end_s, slot * rule.slot_s), 0.0, 0.0


def series_of_slots(slots: Iterable[tuple[int, float]], slot_s: int, unit: str = "", source: str = "meter") -> Series | None:
    """(slot number since 1970, value) as a series from the first known slot to the last; of a slot told twice the first.

    None when nothing is known.
    """
    known: dict[int, float] = {}
    for slot, value in slots:
        if math.isfinite(value):
            known.setdefault(slot, value)
    if not known:
        return None
    first = min(known)
    values = np.full(max(known) - first + 1, np.nan)
    values[np.fromiter(known, dtype=np.int64) - first] = list(known.values())
    grid = TimeGrid(start_utc=datetime.fromtimestamp(first * slot_s, tz=UTC), slot_s=slot_s, slots=len(values))
    return Series(grid=grid, values=values, unit=unit, source=source)
