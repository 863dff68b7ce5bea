"""A history in memory: the same promises as the one in SQL, for tests and runs that keep nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from scheduler.core.accounting.past import (
    LONGEST,
    MAX_ENDED,
    joined,
    known_part,
    laid,
    malformed,
    part,
    since,
    until,
    with_ended,
)
from scheduler.domain.errors import Permanent
from scheduler.domain.observed import EndedJob, Past, unit_of
from scheduler.domain.time import FloatArray, Series, TimeGrid


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Column:
    """Values of one key and, on the same grid, when each was issued (seconds since 1970; minus infinity: not said)."""

    values: Series
    issued_s: FloatArray

    @property
    def count(self) -> int:
        """Known slots."""
        return int(np.isfinite(self.values.values).sum())

    def with_more(self, other: Column) -> tuple[Column, int]:
        """Both, and how many slots of `other` were new or revised one of ours."""
        grid = joined(self.values.grid, other.values.grid)
        old, new = laid(self.values, grid), laid(other.values, grid)
        old_s, new_s = self._issued_on(grid), other._issued_on(grid)
        better = np.isfinite(new) & (~np.isfinite(old) | ((new_s > old_s) & (new != old)))
        both = Series(grid=grid, values=np.where(better, new, old), unit=self.values.unit, source="history")
        return Column(values=both, issued_s=np.where(better, new_s, old_s)), int(better.sum())

    def _issued_on(self, grid: TimeGrid) -> FloatArray:
        """When the slots of a wider grid were issued."""
        first = grid.slot_of(self.values.grid.start_utc)
        issued_s = np.full(grid.slots, -np.inf)
        issued_s[first : first + len(self.issued_s)] = self.issued_s
        return issued_s

    def since(self, since_utc: datetime) -> Column:
        """The slots from an instant on."""
        kept = since(self.values, since_utc)
        return Column(values=kept, issued_s=self.issued_s[len(self.issued_s) - kept.grid.slots :].copy())

    def before(self, end_utc: datetime) -> Column:
        """The slots that have ended by an instant."""
        kept = until(self.values, end_utc)
        return Column(values=kept, issued_s=self.issued_s[: kept.grid.slots])

    def told(self, key: str) -> Series | None:
        """What is known of it, as it is handed out; None when nothing is."""
        known = known_part(self.values)
        if known is None:
            return None
        latest_s = float(np.max(self.issued_s[np.isfinite(self.values.values)]))
        issued_utc = datetime.fromtimestamp(latest_s, tz=UTC) if np.isfinite(latest_s) else None
        return replace(known, unit=unit_of(key), source="history", issued_utc=issued_utc)


def column_of(series: Series) -> Column:
    """A told series as a column of its own."""
    issued_s = -np.inf if series.issued_utc is None else series.issued_utc.timestamp()
    return Column(values=part(series, 0, series.grid.slots), issued_s=np.full(series.grid.slots, issued_s))


class MemoryHistory:
    """Idempotent by key and slot, and by job; behind `scheduler.ports.HistoryStore`."""

    def __init__(self) -> None:
        """Begin empty."""
        self._columns: dict[str, Column] = {}
        self._ended: dict[str, EndedJob] = {}
        self._memos: dict[str, str] = {}

    async def append(self, past: Past, memos: Mapping[str, str] | None = None) -> int:
        """Append what is not there yet; all or nothing.

        Raises:
            Permanent: on a series that is not on quarter hours, or a job that is none.
        """
        wrong = malformed(past)
        if wrong:
            raise Permanent(f"history: {wrong}")
        columns = dict(self._columns)
        written = 0
        for key, series in past.series.items():
            new_column = column_of(series)
            old = columns.get(key)
            columns[key], count = (new_column, new_column.count) if old is None else old.with_more(new_column)
            written += count
        ended = {job.job_uid: job for job in reversed(past.ended) if job.job_uid not in self._ended}
        self._columns = columns
        self._ended |= ended
        self._memos |= memos or {}
        return written + len(ended)

    async def past(self, since_utc: datetime, *, max_ended: int = MAX_ENDED) -> Past:
        """Known slots and ended jobs since an instant."""
        found = {key: column.since(since_utc).before(since_utc + LONGEST) for key, column in sorted(self._columns.items())}
        series = {key: one for key, column in found.items() if (one := column.told(key)) is not None}
        return Past(series=series, ended=with_ended(self._ended.values(), (), since_utc, max_ended))

    async def memo(self, name: str) -> str | None:
        """A kept text."""
        return self._memos.get(name)

    async def prune(self, before_utc: datetime) -> int:
        """Forget what is before an instant."""
        kept = {key: column.since(before_utc) for key, column in self._columns.items()}
        ended = {uid: job for uid, job in self._ended.items() if job.ended_utc >= before_utc}
        forgotten = sum(column.count - kept[key].count for key, column in self._columns.items())
        forgotten += len(self._ended) - len(ended)
        self._columns, self._ended = {key: column for key, column in kept.items() if column.count}, ended
        return forgotten
