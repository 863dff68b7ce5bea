"""What was told of one quantity as a set of intervals: once each, revised by later words, within sight of now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from scheduler.core.signals.refusals import Refusal, Reject
from scheduler.domain.signals import Grade, Told
from scheduler.domain.time import BoolArray, FloatArray, IntArray

# The stronger first: what was measured, or binds, is not overruled by an opinion.
GRADES = (Grade.MEASURED, Grade.PUBLISHED, Grade.FORECAST)
FORECAST = GRADES.index(Grade.FORECAST)
# Further from now nobody plans and nobody learns; what is told of such times comes from a wrong clock or a wrong unit of time.
AHEAD, BACK = timedelta(days=10), timedelta(days=3 * 366)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Intervals:
    """Values over [starts_s, ends_s), seconds since 1970, in our unit; all (n,), by start, then end, then rank.

    issued_s: when each was said. rank: place of its grade in `GRADES`. instant: whether it holds at its start rather than over
    its interval. No two share interval and rank; they may overlap.
    """

    starts_s: IntArray
    ends_s: IntArray
    values: FloatArray
    issued_s: FloatArray
    rank: IntArray
    instant: BoolArray

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.values)

    def only(self, chosen: BoolArray | IntArray) -> Intervals:
        """Some of them, by mask or places."""
        if chosen.dtype == np.bool_ and bool(chosen.all()):
            return self
        return Intervals(**{one.name: getattr(self, one.name)[chosen] for one in fields(self)})


def none_known() -> Intervals:
    """Nothing is known."""
    whole, number = np.empty(0, dtype=np.int64), np.empty(0)
    return Intervals(
        starts_s=whole, ends_s=whole, values=number, issued_s=number, rank=whole, instant=np.empty(0, dtype=np.bool_)
    )


def joined(parts: Sequence[Intervals]) -> Intervals:
    """All of them in the order given; repeats stay."""
    if not parts:
        return none_known()
    return Intervals(**{one.name: np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(Intervals)})


def as_intervals(told: Told, now_utc: datetime) -> Intervals:
    """One answer's values, unsorted. Said now, when it does not tell, or tells a time to come."""
    issued_utc = now_utc if told.issued_utc is None else min(told.issued_utc, now_utc)
    count = len(told.values)
    return Intervals(
        starts_s=told.starts_s.astype(np.int64),
        ends_s=told.ends_s.astype(np.int64),
        values=told.values.astype(np.float64),
        issued_s=np.full(count, issued_utc.timestamp()),
        rank=np.full(count, GRADES.index(told.grade), dtype=np.int64),
        instant=np.full(count, not told.mean_over),
    )


def gathered(
    told: Sequence[Told], now_utc: datetime, *, back: timedelta = BACK, ahead: timedelta = AHEAD
) -> tuple[Intervals, tuple[Refusal, ...]]:
    """What one poll told of one quantity, in our unit: NaN left out, each interval once, nothing out of sight.

    Of an interval that is told twice the later word counts, of words of the same time the last; that they differed is said.
    """
    if not told:
        return none_known(), ()
    name = told[0].quantity
    found = joined([as_intervals(one, now_utc) for one in told])
    found = found.only(~np.isnan(found.values))
    finite = np.isfinite(found.values)
    low_s, high_s = (now_utc - back).timestamp(), (now_utc + ahead).timestamp()
    near = (found.ends_s > low_s) & (found.starts_s < high_s)
    once, conflicts = latest_of_each(found.only(finite & near))
    reasons = (
        (Reject.INFINITE, int((~finite).sum()), "are infinite"),
        (Reject.FAR, int((finite & ~near).sum()), f"lie beyond {ahead.days} days ahead or {back.days} days back"),
        (Reject.CONFLICT, conflicts, "are told twice and differ; the last word counts"),
    )
    said = tuple(Refusal(kind=kind, count=n, why=f"{name}: {n} values {why}") for kind, n, why in reasons if n)
    return once, said


def latest_of_each(found: Intervals) -> tuple[Intervals, int]:
    """Each interval and rank once, by the latest issue, then by order; and how many differed from another of the same issue."""
    if bool((found.starts_s[1:] > found.starts_s[:-1]).all()):
        return found, 0
    # Stable: of equal keys the last one given stays last.
    order = np.lexsort((found.issued_s, found.rank, found.ends_s, found.starts_s))
    by_time = found.only(order)
    same = _equal_to_next(by_time.starts_s) & _equal_to_next(by_time.ends_s) & _equal_to_next(by_time.rank)
    if not same.any():
        return by_time, 0
    differs = same & _equal_to_next(by_time.issued_s) & ~_equal_to_next(by_time.values)
    return by_time.only(np.concatenate([~same, [True]])), int(differs.sum())


def _equal_to_next(values: IntArray | FloatArray) -> BoolArray:
    """Whether each but the last equals the next, (n - 1,)."""
    return np.asarray(values[:-1] == values[1:])


def merged(old: Intervals, new: Intervals) -> Intervals:
    """What was known, and what a later poll told: a later word counts, also in other pieces.

    An old interval gives way where new ones of its rank, issued no earlier, cover the whole of it; so an hour that is now told
    in quarters, or a forecast that was made anew, leaves nothing behind.
    """
    if not old.count or not new.count:
        return old if old.count else new
    gone = np.zeros(old.count, dtype=np.bool_)
    for rank in range(len(GRADES)):
        mine = new.only(new.rank == rank)
        if mine.count:
            latest_s = float(mine.issued_s.max())
            gone |= (old.rank == rank) & (old.issued_s <= latest_s) & covered(old, mine)
    return latest_of_each(joined([old.only(~gone), new]))[0]


def covered(these: Intervals, by: Intervals) -> BoolArray:
    """Whether others, in order of their start, together cover each interval, (n,)."""
    starts_s, reach_s = by.starts_s, np.maximum.accumulate(by.ends_s)
    # A union of intervals, as edges at which the time covered so far is known.
    first = np.concatenate([[True], starts_s[1:] > reach_s[:-1]])
    low_s, high_s = starts_s[first], reach_s[np.concatenate([first[1:], [True]])]
    edges_s = np.stack([low_s, high_s], axis=1).ravel()
    length_s = high_s - low_s
    before_s = np.concatenate([[0], np.cumsum(length_s)[:-1]])
    sum_s = np.stack([before_s, before_s + length_s], axis=1).ravel()
    until_start_s = np.interp(these.starts_s, edges_s, sum_s)
    until_end_s = np.interp(these.ends_s, edges_s, sum_s)
    return np.asarray(until_end_s - until_start_s == these.ends_s - these.starts_s)


def kept(known: Intervals, now_utc: datetime, *, back: timedelta, forecast_age: timedelta, most: int) -> Intervals:
    """What is worth remembering: the last `back`, no forecast of the future that is older, and of more than `most` the latest.

    An issue after now comes from a clock that was ahead: it loses against any later word.
    """
    now_s = now_utc.timestamp()
    old = (known.rank == FORECAST) & (known.ends_s > now_s) & (known.issued_s < now_s - forecast_age.total_seconds())
    young = known.only((known.ends_s > now_s - back.total_seconds()) & ~old)
    sane = replace(young, issued_s=np.where(young.issued_s > now_s, 0.0, young.issued_s))
    return sane if sane.count <= most else sane.only(np.arange(sane.count - most, sane.count))


def reach_utc(known: Intervals) -> datetime | None:
    """The end of the last interval; None without one."""
    return datetime.fromtimestamp(int(known.ends_s.max()), tz=UTC) if known.count else None
