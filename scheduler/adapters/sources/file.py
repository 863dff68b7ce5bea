"""A file of series that somebody else writes: read again whenever it changes; a broken one changes nothing but says why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from scheduler.domain.observed import CARBON, HEAT_DEMAND, OUTDOOR, PRICE, SourceReading
from scheduler.domain.time import Series
from scheduler.domain.world import WorldSeries

# Size and time of the last change: another one means other content.
Mark = tuple[int, int]
Parse = Callable[[Path], Mapping[str, Series]]


class FileSource:
    """One file behind `scheduler.ports.SeriesSource`.

    A reading is as old as the file is unreachable or broken: while the file is there and unchanged, its owner still stands by
    it. Whether its values reach far enough is judged by whoever uses them.
    """

    def __init__(self, name: str, path: Path, parse: Parse) -> None:
        """Name a file and how its text becomes series by quantity (`domain/observed.py`).

        What parse raises becomes the trouble, in its own words.
        """
        self._name, self._path, self._parse = name, path, parse
        self._mark: Mark | None = None
        # Content and its time in one piece: whoever reads on another thread sees the one before or the one after.
        self._content: tuple[Mapping[str, Series], datetime | None] = ({}, None)
        self._good_utc: datetime | None = None
        # What is wrong with the content of `_mark`, and what was wrong with the last poll.
        self._broken, self._trouble = "", ""

    @property
    def name(self) -> str:
        """What its owner calls it."""
        return self._name

    async def poll(self, now_utc: datetime) -> None:
        """Look at the file, and read it when it has changed, on a thread."""
        try:
            mark = await asyncio.to_thread(_mark_of, self._path)
        except OSError as error:
            self._trouble = f"{self._path.name}: {error.strerror or error}"
            return
        try:
            if mark != self._mark:
                await self._read(mark)
        except OSError as error:  # there may be another reading of the same content
            self._trouble = f"{self._path.name}: {error.strerror or error}"
            return
        self._trouble = self._broken
        if not self._broken:
            self._good_utc = now_utc

    async def _read(self, mark: Mark) -> None:
        """Take the file's series, or keep the ones of before and remember why.

        The mark was taken before reading, so what is written meanwhile is read at the next poll; a broken text is read once:
        somebody has to mend it, and then it changes.
        """
        try:
            found = dict(await asyncio.to_thread(self._parse, self._path))
        except OSError:
            raise
        except Exception as error:  # whatever a parser trips over is said, and the last good content stays
            self._mark, self._broken = mark, _first_line(error)
            return
        self._mark, self._broken = mark, ""
        self._content = found, datetime.fromtimestamp(mark[0] // 10**9, tz=UTC)

    def readings(self, now_utc: datetime) -> tuple[SourceReading, ...]:
        """The last good content, by quantity."""
        good_utc, (content, changed_utc) = self._good_utc, self._content
        if good_utc is None:
            return ()
        return tuple(
            SourceReading(
                quantity=quantity,
                series=series,
                issued_utc=series.issued_utc or changed_utc,
                fetched_utc=good_utc,
                source=self._name,
            )
            for quantity, series in content.items()
        )

    def trouble(self) -> str:
        """Why the file could not be used, last."""
        return self._trouble


def _mark_of(path: Path) -> Mark:
    """Time of the last change in ns, and size."""
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def _first_line(error: Exception) -> str:
    """One line for an error."""
    text = str(error).strip().splitlines()
    return text[0][:500] if text else type(error).__name__


def by_quantity(series: WorldSeries) -> dict[str, Series]:
    """The columns of a `series.csv` under the names of `domain/observed.py`: one heat demand, for every offtake."""
    return {
        PRICE: series.price_eur_per_kwh,
        CARBON: series.carbon_g_per_kwh,
        OUTDOOR: series.outdoor_c,
        HEAT_DEMAND: series.heat_demand_kw,
    }
