"""A source that speaks when it wants to: the plant pushes its forecast or what it measured, nobody asks it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock

import numpy as np

from scheduler.adapters.sources.cache import SignalCache
from scheduler.core.accounting.told import LIMITS, SKEW_S, about
from scheduler.core.signals.intervals import GRADES, Intervals
from scheduler.core.signals.knowledge import Knowledge
from scheduler.domain.errors import Misconfigured
from scheduler.domain.observed import PLANT_FORECAST, SourceReading, unit_of
from scheduler.domain.signals import Grade
from scheduler.domain.time import FloatArray, Series, TimeGrid
from scheduler.units import S_PER_H, S_PER_MIN

# What was pushed before stays for so long behind the newest push: enough for a forecast to learn a week from.
KEPT = timedelta(days=9)
# Nobody at a plant knows more than ten days, and what is older than the kept days is nobody's news.
AHEAD = timedelta(days=10)
# A minute divides a quarter hour; nothing here is planned by the second.
SHORTEST_S, LONGEST_S = int(S_PER_MIN), int(S_PER_H)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Known:
    """All that was pushed so far, on one grid, and when it was pushed last."""

    series: Series
    pushed_utc: datetime


class PushedSource:
    """One quantity that somebody pushes, behind `scheduler.ports.SeriesSource`.

    A push speaks for the time from its first slot on: there it replaces whatever was said, with NaN where it says nothing; of
    what lies before, nine days stay. `push` may be called from any thread.
    """

    def __init__(self, name: str, quantity: str, *, cache: SignalCache | None = None) -> None:
        """Name a quantity of `domain/observed.py`, with the name of whose it is where it has one.

        cache: where what was pushed is kept over restarts, and taken up from here.

        Raises:
            Misconfigured: nobody asks for such a quantity.
        """
        if about(quantity) not in LIMITS:
            raise Misconfigured(f"quantity {quantity!r}", where=name, expected=" or ".join(LIMITS))
        self._name, self._quantity, self._cache = name, quantity, cache
        kept = {} if cache is None else cache.load(name, self._identity())
        self._known = _taken_up(kept[quantity], quantity, name) if quantity in kept else None
        self._trouble = "nothing was pushed since the start" if self._known else "nothing was pushed yet"
        self._lock = Lock()

    @property
    def name(self) -> str:
        """What its owner calls it."""
        return self._name

    def push(self, series: Series, now_utc: datetime) -> None:
        """Take a series in the unit of the quantity; the same one again changes nothing but its age.

        Raises:
            Misconfigured: unit, grid, time or values cannot be; what was known before stays, and `trouble` says why.
        """
        with self._lock:
            try:
                _refuse_wrong(series, self._quantity, now_utc)
                _refuse_older(series, self._known, now_utc)
            except Misconfigured as error:
                self._trouble = str(error)
                raise
            before = None if self._known is None else self._known.series
            self._known = _Known(series=_joined(before, series), pushed_utc=now_utc)
            self._trouble = ""
            if self._cache is not None:
                self._cache.save(self._name, self._identity(), {self._quantity: _kept(self._known, self._quantity)})

    def _identity(self) -> str:
        """What a kept file must be of."""
        return f"pushed {self._quantity}"

    async def poll(self, now_utc: datetime) -> None:
        """Nothing to ask."""

    def readings(self, now_utc: datetime) -> tuple[SourceReading, ...]:
        """What was pushed, as old as the last push."""
        known = self._known
        if known is None:
            return ()
        return (
            SourceReading(
                quantity=self._quantity,
                series=known.series,
                issued_utc=known.series.issued_utc,
                fetched_utc=known.pushed_utc,
                source=self._name,
            ),
        )

    def trouble(self) -> str:
        """Why the last push was refused, or that there was none."""
        return self._trouble


def _refuse_wrong(series: Series, quantity: str, now_utc: datetime) -> None:
    """Refuse what cannot be this quantity now."""
    grid, where = series.grid, f"push of {quantity}"
    if series.unit != unit_of(quantity):
        raise Misconfigured(f"unit {series.unit!r}", where=where, expected=unit_of(quantity))
    if not SHORTEST_S <= grid.slot_s <= LONGEST_S or int(S_PER_H) % grid.slot_s:
        raise Misconfigured(
            f"slots of {grid.slot_s} s", where=where, expected=f"{SHORTEST_S} to {LONGEST_S} s, a part of an hour"
        )
    if grid.start_utc.timestamp() % grid.slot_s:
        raise Misconfigured(f"start {grid.start_utc:%Y-%m-%dT%H:%M:%SZ}", where=where, expected="a multiple of its slot in UTC")
    if grid.start_utc < now_utc - KEPT or grid.end_utc > now_utc + AHEAD:
        span = f"{grid.start_utc:%Y-%m-%dT%H:%MZ} to {grid.end_utc:%Y-%m-%dT%H:%MZ}"
        raise Misconfigured(span, where=where, expected=f"within {KEPT.days} days back and {AHEAD.days} days ahead")
    if series.issued_utc is not None and (series.issued_utc - now_utc).total_seconds() > SKEW_S:
        raise Misconfigured(f"issued {series.issued_utc:%Y-%m-%dT%H:%M:%SZ}", where=where, expected="no time to come")
    _refuse_values(series.values, quantity, where)


def _refuse_values(values: FloatArray, quantity: str, where: str) -> None:
    """Refuse values that cannot be; NaN is "not known", but a push of nothing else is none."""
    if not np.any(np.isfinite(values)):
        raise Misconfigured("no value at all", where=where, expected="at least one")
    limits = LIMITS[about(quantity)]
    wrong = np.flatnonzero(np.isinf(values) | (values < limits.low) | (values > limits.high))
    if len(wrong):
        first = int(wrong[0])
        raise Misconfigured(f"{values[first]:g} in slot {first}", where=where, expected=f"{limits.low:g} to {limits.high:g}")


def _refuse_older(series: Series, known: _Known | None, now_utc: datetime) -> None:
    """Refuse what was made before what is known: a message that was overtaken by a later one.

    What is known to be of a time to come was taken by a clock that was ahead, and overtakes nothing.
    """
    issued_utc, last_utc = series.issued_utc, None if known is None else known.series.issued_utc
    if issued_utc is not None and last_utc is not None and issued_utc < last_utc <= now_utc + timedelta(seconds=SKEW_S):
        raise Misconfigured(
            f"issued {issued_utc:%Y-%m-%dT%H:%M:%SZ}", where="push", expected=f"not before {last_utc:%Y-%m-%dT%H:%M:%SZ}"
        )


def _joined(before: Series | None, new: Series) -> Series:
    """The new series behind what was known before its start, nine days of it; other slots than before: the new one alone."""
    if before is None or before.grid.slot_s != new.grid.slot_s:
        return new
    slot_s, start_utc = new.grid.slot_s, new.grid.start_utc
    first_utc = max(min(before.grid.start_utc, start_utc), start_utc - KEPT)
    kept = round((start_utc - first_utc).total_seconds() / slot_s)
    past = np.full(kept, np.nan)
    shift = round((first_utc - before.grid.start_utc).total_seconds() / slot_s)
    old = before.values[max(0, shift) : max(0, shift) + kept]
    past[: len(old)] = old
    grid = TimeGrid(start_utc=first_utc.astimezone(UTC), slot_s=slot_s, slots=kept + new.grid.slots)
    return Series(
        grid=grid, values=np.concatenate([past, new.values]), unit=new.unit, source=new.source, issued_utc=new.issued_utc
    )


def _kept(known: _Known, quantity: str) -> Knowledge:
    """What is known as intervals, as the cache keeps them."""
    series, slot_s = known.series, known.series.grid.slot_s
    told = np.flatnonzero(np.isfinite(series.values))
    starts_s = int(series.grid.start_utc.timestamp()) + told.astype(np.int64) * slot_s
    rank = GRADES.index(Grade.FORECAST if about(quantity) == PLANT_FORECAST else Grade.MEASURED)
    issued_utc = series.issued_utc or known.pushed_utc
    intervals = Intervals(
        starts_s=starts_s,
        ends_s=starts_s + slot_s,
        values=series.values[told],
        issued_s=np.full(len(told), issued_utc.timestamp()),
        rank=np.full(len(told), rank, dtype=np.int64),
        instant=np.zeros(len(told), dtype=np.bool_),
    )
    return Knowledge(intervals=intervals, fetched_utc=known.pushed_utc, issued_utc=series.issued_utc)


def _taken_up(kept: Knowledge, quantity: str, name: str) -> _Known | None:
    """What the cache has kept, on its grid again; None where it was written by something else."""
    found = kept.intervals
    lengths = np.unique(found.ends_s - found.starts_s)
    if len(lengths) != 1 or (found.starts_s % lengths[0]).any():
        return None
    slot_s, first_s = int(lengths[0]), int(found.starts_s[0])
    place = (found.starts_s - first_s) // slot_s
    values = np.full(int(place[-1]) + 1, np.nan)
    values[place] = found.values
    grid = TimeGrid(start_utc=datetime.fromtimestamp(first_s, tz=UTC), slot_s=slot_s, slots=len(values))
    series = Series(grid=grid, values=values, unit=unit_of(quantity), source=name, issued_utc=kept.issued_utc)
    return _Known(series=series, pushed_utc=kept.fetched_utc)
