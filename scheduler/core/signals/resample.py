"""Intervals of any length become slots of equal length, so that energy and money stay what they were.

A slot's value is the mean over its time of what counts there; a slot that is not covered whole is not known. What holds at
instants (temperatures) is read off the straight line between two instants that are not far apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from scheduler.core.signals.intervals import AHEAD, BACK, GRADES, Intervals, gathered
from scheduler.core.signals.painting import painted
from scheduler.core.signals.refusals import Refusal
from scheduler.domain.observed import QUARTER_S, Origin, Origins, unit_of
from scheduler.domain.signals import Told
from scheduler.domain.time import FloatArray, IntArray, Series, TimeGrid
from scheduler.units import S_PER_H

HOUR_S = int(S_PER_H)
# Weather models tell every one to three hours; between instants further apart nobody knows.
STRAIGHT_S = 3 * HOUR_S
# So many gaps are named one by one.
NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slots:
    """Values from slot number `first` (in slots since 1970) on, and the weakest rank in each; -1 with NaN; both (n,)."""

    first: int
    slot_s: int
    values: FloatArray
    rank: IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Known:
    """What is known of one quantity: a series from its first known slot to its last, and of what grade each slot is.

    gaps: unknown stretches between, in words. refused: what was told and not taken. series None: nothing is known.
    """

    series: Series | None
    origins: Origins
    gaps: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()


def series_of(
    told: Sequence[Told], now_utc: datetime, *, source: str, back: timedelta = BACK, ahead: timedelta = AHEAD
) -> Known:
    """What one poll told of one quantity, in our unit, on whole hours, or on quarter hours where anything is finer."""
    found, refused = gathered(told, now_utc, back=back, ahead=ahead)
    if not told:
        return Known(series=None, origins=Origins())
    known = on_slots(found, told[0].quantity, source, now_utc, back=back, ahead=ahead)
    return replace(known, refused=refused)


def on_slots(
    found: Intervals, quantity: str, source: str, now_utc: datetime, *, back: timedelta = BACK, ahead: timedelta = AHEAD
) -> Known:
    """Intervals as a series; what reaches beyond `back` or `ahead` is cut off there."""
    slot_s = _slot_s(found)
    slots = resampled(found, slot_s, int((now_utc - back).timestamp()), int((now_utc + ahead).timestamp()))
    known = np.flatnonzero(np.isfinite(slots.values))
    if not len(known):
        return Known(series=None, origins=Origins())
    low, stop = int(known[0]), int(known[-1]) + 1
    start_utc = datetime.fromtimestamp((slots.first + low) * slot_s, tz=UTC)
    grid = TimeGrid(start_utc=start_utc, slot_s=slot_s, slots=stop - low)
    series = Series(grid=grid, values=slots.values[low:stop].copy(), unit=unit_of(quantity), source=source)
    return Known(series=series, origins=_origins(slots.rank[low:stop], source), gaps=gaps_of(series, quantity))


def _slot_s(found: Intervals) -> int:
    """Whole hours where every interval is of whole hours, else quarters; between instants quarters are known too."""
    hourly = not bool(found.instant.any()) and not bool((found.starts_s % HOUR_S).any() or (found.ends_s % HOUR_S).any())
    return HOUR_S if hourly else QUARTER_S


def _origins(rank: IntArray, source: str) -> Origins:
    """By slot, the grade of what a source said."""
    present = np.unique(rank[rank >= 0])
    place = np.full(len(GRADES) + 1, -1, dtype=np.int64)
    place[present] = np.arange(len(present))
    return Origins(parts=tuple(Origin(source=source, grade=GRADES[one]) for one in present.tolist()), slots=place[rank])


def gaps_of(series: Series, quantity: str) -> tuple[str, ...]:
    """Unknown stretches inside a series, in words; the first ones by their ends, further ones by their number."""
    hole = np.concatenate([[0], ~np.isfinite(series.values), [0]]).astype(np.int64)
    edges = np.diff(hole)
    ends = list(zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True))
    time_of = series.grid.time_of
    named = [f"{quantity}: gap {time_of(a):%Y-%m-%dT%H:%MZ} to {time_of(b):%Y-%m-%dT%H:%MZ}" for a, b in ends[:NAMED]]
    return (*named, f"{quantity}: {len(ends) - NAMED} more gaps") if len(ends) > NAMED else tuple(named)


def resampled(found: Intervals, slot_s: int, low_s: int, high_s: int) -> Slots:
    """Slots of all intervals within [low_s, high_s); where means and instants both tell, the means count."""
    if not found.count:
        return Slots(first=0, slot_s=slot_s, values=np.empty(0), rank=np.empty(0, dtype=np.int64))
    first = max(int(found.starts_s.min()), low_s) // slot_s
    stop = max(first, -(-min(int(found.ends_s.max()), high_s) // slot_s))
    means, ranks = _means(found.only(~found.instant), slot_s, first, stop)
    lines, line_ranks = _lines(found.only(found.instant), slot_s, first, stop)
    told = np.isfinite(means)
    return Slots(first=first, slot_s=slot_s, values=np.where(told, means, lines), rank=np.where(told, ranks, line_ranks))


def _weights(found: Intervals) -> IntArray:
    """Which of two intervals counts where both tell: the larger, 0 to n - 1.

    The stronger grade, then the finer, then the later issue, then the later start.
    """
    order = np.lexsort((found.starts_s, found.issued_s, found.starts_s - found.ends_s, -found.rank))
    weight = np.empty(found.count, dtype=np.int64)
    weight[order] = np.arange(found.count)
    return weight


def _winners(found: Intervals, edges_s: IntArray) -> IntArray:
    """Which interval counts between one edge and the next; -1: none is there, (len(edges_s) - 1,)."""
    if bool((found.starts_s[1:] >= found.ends_s[:-1]).all()):  # no two overlap, as it mostly is
        last = np.searchsorted(found.starts_s, edges_s[:-1], side="right") - 1
        return np.where((last >= 0) & (found.ends_s[last] > edges_s[:-1]), last, -1)
    weight = _weights(found)
    by_weight = np.empty(found.count + 1, dtype=np.int64)
    by_weight[weight], by_weight[-1] = np.arange(found.count), -1
    first, stop = np.searchsorted(edges_s, found.starts_s), np.searchsorted(edges_s, found.ends_s)
    return by_weight[painted(first, stop, weight, len(edges_s) - 1)]


def _means(found: Intervals, slot_s: int, first: int, stop: int) -> tuple[FloatArray, IntArray]:
    """Mean of every slot that is covered whole, and the weakest rank in it; each (stop - first,).

    value[t] = sum over pieces p in t of length[p] * value[p] / slot_s, pieces being the time between two edges of any interval
    or slot; held within the least and the largest of its pieces, which rounding may leave.
    """
    count = stop - first
    values, ranks = np.full(count, np.nan), np.full(count, -1, dtype=np.int64)
    bounds_s = np.arange(first, stop + 1, dtype=np.int64) * slot_s
    inside = found.only((found.ends_s > bounds_s[0]) & (found.starts_s < bounds_s[-1]))
    if not inside.count or not count:
        return values, ranks
    starts_s, ends_s = np.maximum(inside.starts_s, bounds_s[0]), np.minimum(inside.ends_s, bounds_s[-1])
    # Stable: it makes use of rows that are sorted already.
    edges_s = np.sort(np.concatenate([starts_s, ends_s, bounds_s]), kind="stable")
    edges_s = edges_s[np.concatenate([[True], edges_s[1:] > edges_s[:-1]])]
    wins = _winners(replace(inside, starts_s=starts_s, ends_s=ends_s), edges_s)
    told = wins >= 0
    winner = wins[told]
    length_s = np.diff(edges_s)[told]
    slot = (edges_s[:-1][told] - bounds_s[0]) // slot_s
    whole = np.bincount(slot, weights=length_s, minlength=count) == slot_s
    total = np.bincount(slot, weights=length_s * inside.values[winner], minlength=count)
    begin = np.flatnonzero(np.concatenate([[True], slot[1:] > slot[:-1]]))
    least, most = (np.full(count, np.nan) for _ in range(2))
    least[slot[begin]] = np.minimum.reduceat(inside.values[winner], begin)
    most[slot[begin]] = np.maximum.reduceat(inside.values[winner], begin)
    ranks[slot[begin]] = np.maximum.reduceat(inside.rank[winner], begin)
    values[whole] = np.clip(total[whole] / slot_s, least[whole], most[whole])
    ranks[~whole] = -1
    return values, ranks


def _lines(found: Intervals, slot_s: int, first: int, stop: int) -> tuple[FloatArray, IntArray]:
    """Value at the start of every slot, between instants that are at most `STRAIGHT_S` apart, and the weaker rank of the two.

    After an instant without such a next one its value holds until the end that it was told with, for no longer than that.
    """
    count = stop - first
    if not found.count or not count:
        return np.full(count, np.nan), np.full(count, -1, dtype=np.int64)
    order = np.lexsort((_weights(found), found.starts_s))
    one = found.only(order)
    last = np.concatenate([one.starts_s[1:] != one.starts_s[:-1], [True]])
    one = one.only(last)
    at_s = np.arange(first, stop, dtype=np.int64) * slot_s
    left = np.searchsorted(one.starts_s, at_s, side="right") - 1
    begun = left >= 0
    left = np.maximum(left, 0)
    right = np.minimum(left + 1, one.count - 1)
    t0_s, t1_s = one.starts_s[left], one.starts_s[right]
    between = begun & (right > left) & (t1_s - t0_s <= STRAIGHT_S)
    held = begun & ~between & (at_s < np.minimum(one.ends_s[left], t0_s + STRAIGHT_S))
    share = np.where(between, (at_s - t0_s) / np.maximum(t1_s - t0_s, 1), 0.0)
    v0, v1 = one.values[left], np.where(between, one.values[right], one.values[left])
    line = np.clip(v0 + (v1 - v0) * share, np.minimum(v0, v1), np.maximum(v0, v1))
    weaker = np.where(share > 0.0, np.maximum(one.rank[left], one.rank[right]), one.rank[left])
    known = between | held
    return np.where(known, line, np.nan), np.where(known, weaker, -1)
