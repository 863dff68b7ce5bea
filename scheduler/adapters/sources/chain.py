"""Sources in order of trust: for each quantity the first one that has something usable to say, others where it is silent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from scheduler.adapters.sources.polling import EVERY_S, due_s
from scheduler.core.accounting.told import MAX_AGE_S, about, believed, unfit, useless
from scheduler.core.signals.stitch import stitched
from scheduler.domain.observed import SourceReading
from scheduler.domain.signals import Basis
from scheduler.ports import SeriesSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a chain says about one quantity.

    depth: place in the chain of the source that tells the present, 0 the most trusted; None when nothing usable is there.
    refused: why earlier sources, or some values of this one, were not used. Who said each slot: `reading.origins`.
    """

    reading: SourceReading | None
    depth: int | None
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A believed reading of which some may be used, and what keeps it from telling the present."""

    depth: int
    reading: SourceReading
    why: str


class Chain:
    """Several sources as one, behind `scheduler.ports.SeriesSource`.

    The first source that is good now tells the present; where it says nothing, others of those that tell fill, in their order.
    What a rule assumes never fills: it stands in when nobody before it is good.

    When no source has anything usable, the one heard last still tells what it knew, with its age: old values are the past, and
    whoever plans sees by their age and end that they are old. What cannot be true is passed on by nobody.
    """

    def __init__(
        self,
        name: str,
        sources: Sequence[SeriesSource],
        *,
        max_age_s: Mapping[str, float] = MAX_AGE_S,
        basis: Basis | None = None,
        source_max_age_s: Mapping[str, float] | None = None,
    ) -> None:
        """Name the sources, the most trusted first.

        Args:
            name: what its owner calls it.
            sources: whom to ask.
            max_age_s: by quantity, after how long without a word a source is stale.
            basis: of which kind its carbon is; None: of the first kind that one of its sources tells now.
            source_max_age_s: by name of a source, where it differs from max_age_s.
        """
        self._name, self._sources, self._max_age_s = name, tuple(sources), max_age_s
        self._basis, self._own_age_s = basis, dict(source_max_age_s or {})
        self._failed: dict[str, str] = {}

    @property
    def name(self) -> str:
        """What its owner calls it."""
        return self._name

    async def poll(self, now_utc: datetime) -> None:
        """Poll all sources side by side; one that breaks its promise and raises does not stop the others."""
        await asyncio.gather(*(self._poll(source, now_utc) for source in self._sources))

    def due_s(self, now_utc: datetime) -> float:
        """Until the first of its sources wants to be polled."""
        return min((due_s(source, now_utc) for source in self._sources), default=EVERY_S)

    async def _poll(self, source: SeriesSource, now_utc: datetime) -> None:
        """Poll one."""
        try:
            await source.poll(now_utc)
            self._failed.pop(source.name, None)
        except Exception as error:  # whatever a source does, the others are asked
            self._failed[source.name] = f"{type(error).__name__}: {error}"

    def readings(self, now_utc: datetime) -> tuple[SourceReading, ...]:
        """One believed reading per quantity, if any source has one."""
        return tuple(choice.reading for choice in self.choices(now_utc).values() if choice.reading is not None)

    def choices(self, now_utc: datetime) -> dict[str, Choice]:
        """What is said about each quantity, by whom, and why not by others."""
        said: dict[str, list[tuple[int, SourceReading]]] = {}
        for depth, source in enumerate(self._sources):
            for reading in source.readings(now_utc):
                said.setdefault(reading.quantity, []).append((depth, reading))
        return {quantity: self._choice(options, now_utc) for quantity, options in said.items()}

    def _choice(self, options: Sequence[tuple[int, SourceReading]], now_utc: datetime) -> Choice:
        """The first good one, and what others add to it; else the one heard last that knows anything."""
        refused, fit, main = list[str](), list[_Candidate](), None
        spare: SourceReading | None = None
        for depth, told in self._of_one_basis(options, refused):
            reading, wrong = believed(told, now_utc)
            ages_s = self._ages_s(reading)
            unusable, why = unfit(reading, now_utc, ages_s), useless(reading, now_utc, ages_s)
            if main is None:
                refused += [f"{reading.source}: {reason}" for reason in (*wrong, why) if reason]
            if np.any(np.isfinite(reading.series.values)) and (spare is None or reading.fetched_utc > spare.fetched_utc):
                spare = reading
            if unusable or (reading.assumed and (why or main is not None)):
                continue
            fit.append(_Candidate(depth=depth, reading=reading, why=why))
            main = fit[-1] if main is None and not why else main
            if main is not None and main.reading.assumed:
                break
        if main is None:
            return Choice(reading=spare, depth=None, refused=tuple(refused))
        whole = stitched([one.reading for one in fit], fit.index(main))
        return Choice(reading=whole, depth=main.depth, refused=tuple(refused))

    def _of_one_basis(
        self, options: Sequence[tuple[int, SourceReading]], refused: list[str]
    ) -> list[tuple[int, SourceReading]]:
        """The readings of the chain's basis, and of none; others are refused."""
        stated = (reading.basis for _, reading in options)
        basis = self._basis or next((one for one in stated if one is not None), None)
        fit = []
        for depth, reading in options:
            if basis is None or reading.basis in (None, basis):
                fit.append((depth, reading))
            else:
                refused.append(f"{reading.source}: {reading.quantity}: {reading.basis} values, the chain is of {basis} ones")
        return fit

    def _ages_s(self, reading: SourceReading) -> Mapping[str, float]:
        """After how long a source's word is stale, by quantity."""
        own_s = self._own_age_s.get(reading.source)
        return self._max_age_s if own_s is None else {about(reading.quantity): own_s}

    def trouble(self) -> str:
        """What was wrong with the last polls, source by source."""
        own = {source.name: self._failed.get(source.name) or source.trouble() for source in self._sources}
        return "; ".join(f"{name}: {why}" for name, why in own.items() if why)
