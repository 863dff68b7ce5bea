"""What one source has told so far: each poll adds to it, revises it, and lets old things go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np

from scheduler.core.forecast.fill import Plausible
from scheduler.core.signals.conversion import ExchangeRates, converted
from scheduler.core.signals.intervals import Intervals, gathered, kept, merged
from scheduler.core.signals.refusals import Refusal, Reject
from scheduler.core.signals.resample import on_slots
from scheduler.domain.observed import SourceReading, unit_of
from scheduler.domain.signals import Basis, Told

# A week to compare with, and the days around it. A forecast that nobody has repeated for a day is none any more.
BACK, FORECAST_AGE = timedelta(days=9), timedelta(days=1)
# Of gaps only those are named that matter soon: further ahead, many a forecast tells every sixth hour.
SEEN_BACK, SEEN_AHEAD = timedelta(days=1), timedelta(days=2)
# Of one quantity: nineteen days of minutes. Of one source: a demand for each of so many customers.
MOST_INTERVALS, MOST_QUANTITIES = 30_000, 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Knowledge:
    """What is known of one quantity, in our unit. fetched_utc: when it was told last; issued_utc: the latest time it stated."""

    intervals: Intervals
    fetched_utc: datetime
    issued_utc: datetime | None = None
    basis: Basis | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """How told values become known ones. limits: what can be, by quantity; others are not asked for. basis: None takes any."""

    limits: Mapping[str, Plausible]
    rates: ExchangeRates = field(default_factory=ExchangeRates)
    basis: Basis | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Taken:
    """What is known after a poll. quantities: those it told something of. refused, gaps: told and not taken, and not told."""

    known: Mapping[str, Knowledge]
    quantities: tuple[str, ...]
    refused: tuple[Refusal, ...]
    gaps: tuple[str, ...]


def taken(known: Mapping[str, Knowledge], told: Sequence[Told], intake: Intake, now_utc: datetime) -> Taken:
    """What is known, with what a poll told: in our units, of one basis, nothing that cannot be."""
    by_quantity: dict[str, list[Told]] = {}
    for one in told:
        by_quantity.setdefault(one.quantity, []).append(one)
    after, refused, gaps = dict(known), list[Refusal](), list[str]()
    for quantity, pieces in by_quantity.items():
        fit, why = _fit(pieces, known.get(quantity), intake, now_utc)
        new, more = gathered(fit, now_utc)
        refused += (*why, *more)
        if not new.count:
            continue
        if quantity not in after and len(after) >= MOST_QUANTITIES:
            refused.append(
                Refusal(kind=Reject.SURPLUS, count=new.count, why=f"{quantity}: beyond {MOST_QUANTITIES} quantities")
            )
            continue
        gaps += on_slots(new, quantity, "", now_utc, back=SEEN_BACK, ahead=SEEN_AHEAD).gaps
        after[quantity] = _extended(known.get(quantity), new, fit, now_utc)
    quantities = tuple(name for name in after if after[name] is not known.get(name))
    return Taken(known=after, quantities=quantities, refused=tuple(refused), gaps=tuple(gaps))


def _fit(
    pieces: Sequence[Told], before: Knowledge | None, intake: Intake, now_utc: datetime
) -> tuple[list[Told], list[Refusal]]:
    """Pieces of one quantity in our unit, with NaN for what cannot be; and what was wrong with the others."""
    name = pieces[0].quantity
    limits = intake.limits.get(name.partition(" ")[0])
    if limits is None:
        count = sum(len(one.values) for one in pieces)
        return [], [Refusal(kind=Reject.QUANTITY, count=count, why=f"{name}: nobody asks for it")]
    stated = (one.basis for one in pieces)
    basis = intake.basis or (before.basis if before else None) or next((one for one in stated if one is not None), None)
    fit, refused = list[Told](), list[Refusal]()
    for piece in pieces:
        one = _of_basis(piece, basis)
        if isinstance(one, Told):
            one = converted(one, unit_of(name), intake.rates, now_utc=now_utc)
        if isinstance(one, Refusal):
            refused.append(one)
            continue
        wrong = np.isfinite(one.values) & ((one.values < limits.low) | (one.values > limits.high))
        if wrong.any():
            why = f"{name}: {int(wrong.sum())} values are implausible, such as {one.values[wrong][0]:g} {one.unit}"
            refused.append(Refusal(kind=Reject.IMPLAUSIBLE, count=int(wrong.sum()), why=why))
        fit.append(replace(one, values=np.where(wrong, np.nan, one.values)) if wrong.any() else one)
    return fit, refused


def _of_basis(told: Told, basis: Basis | None) -> Told | Refusal:
    """A piece, unless it says that it is of another basis than what is wanted or known already: the two are never mixed."""
    if told.basis is None or basis is None or told.basis is basis:
        return told
    why = f"{told.quantity}: {told.basis.value} values do not go with {basis.value} ones"
    return Refusal(kind=Reject.BASIS, count=len(told.values), why=why)


def _extended(before: Knowledge | None, new: Intervals, told: Sequence[Told], now_utc: datetime) -> Knowledge:
    """What was known of one quantity, with what is new."""
    stated = [one.issued_utc for one in told if one.issued_utc is not None]
    whole = new
    if before is not None:
        old = kept(before.intervals, now_utc, back=BACK, forecast_age=FORECAST_AGE, most=MOST_INTERVALS)
        whole = merged(old, new)
        stated += [] if before.issued_utc is None else [before.issued_utc]
    return Knowledge(
        intervals=kept(whole, now_utc, back=BACK, forecast_age=timedelta.max, most=MOST_INTERVALS),
        fetched_utc=now_utc,
        issued_utc=min(max(stated), now_utc) if stated else None,
        basis=next((one.basis for one in told if one.basis is not None), None),
    )


def readings_of(known: Mapping[str, Knowledge], source: str) -> tuple[SourceReading, ...]:
    """What is known, one reading a quantity, as of when it was told last."""
    found = []
    for quantity, one in known.items():
        slots = on_slots(one.intervals, quantity, source, one.fetched_utc)
        if slots.series is not None:
            reading = SourceReading(
                quantity=quantity,
                series=replace(slots.series, issued_utc=one.issued_utc),
                issued_utc=one.issued_utc,
                fetched_utc=one.fetched_utc,
                source=source,
                origins=slots.origins,
                basis=one.basis,
            )
            found.append(reading)
    return tuple(found)
