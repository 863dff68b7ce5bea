"""Sources in order of trust: for each quantity the first one that has something usable to say."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from scheduler.core.accounting.told import MAX_AGE_S, believed, useless
from scheduler.domain.observed import SourceReading
from scheduler.ports import SeriesSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a chain says about one quantity.

    depth: place of the source in the chain, 0 the most trusted; None when nothing usable is there. refused: why earlier
    sources, or some values of this one, were not used.
    """

    reading: SourceReading | None
    depth: int | None
    refused: tuple[str, ...]


class Chain:
    """Several sources as one, behind `scheduler.ports.SeriesSource`.

    When no source has anything usable, the one heard last still tells what it knew, with its age: old values are the past, and
    whoever plans sees by their age and end that they are old. What cannot be true is passed on by nobody.
    """

    def __init__(self, name: str, sources: Sequence[SeriesSource], *, max_age_s: Mapping[str, float] = MAX_AGE_S) -> None:
        """Name the sources, the most trusted first; max_age_s by quantity."""
        self._name, self._sources, self._max_age_s = name, tuple(sources), max_age_s
        self._failed: dict[str, str] = {}

    @property
    def name(self) -> str:
        """What its owner calls it."""
        return self._name

    async def poll(self, now_utc: datetime) -> None:
        """Poll all sources side by side; one that breaks its promise and raises does not stop the others."""
        await asyncio.gather(*(self._poll(source, now_utc) for source in self._sources))

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
        """The first usable one; else the one heard last that knows anything."""
        refused: list[str] = []
        spare: SourceReading | None = None
        for depth, told in options:
            reading, wrong = believed(told, now_utc)
            refused += [f"{reading.source}: {reason}" for reason in wrong]
            why = useless(reading, now_utc, self._max_age_s)
            if not why:
                return Choice(reading=reading, depth=depth, refused=tuple(refused))
            refused.append(f"{reading.source}: {why}")
            knows = bool(np.any(np.isfinite(reading.series.values)))
            if knows and (spare is None or reading.fetched_utc > spare.fetched_utc):
                spare = reading
        return Choice(reading=spare, depth=None, refused=tuple(refused))

    def trouble(self) -> str:
        """What was wrong with the last polls, source by source."""
        own = {source.name: self._failed.get(source.name) or source.trouble() for source in self._sources}
        return "; ".join(f"{name}: {why}" for name, why in own.items() if why)
