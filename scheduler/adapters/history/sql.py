"""The history in SQL, in the ledger's database: an SQLite file on one machine, PostgreSQL by URL.

An append is one transaction: killed between any two statements, all of it is there after a restart or none, memos included, and
appending it again adds nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import Connection, bindparam, delete, func, insert, select, text, update

from scheduler.adapters.history.rows import ended_of, ended_row
from scheduler.adapters.history.schema import ended_table, memo_table, slot_table
from scheduler.adapters.ledger.rows import in_utc
from scheduler.adapters.ledger.sql import Database
from scheduler.core.accounting.past import LONGEST, MAX_ENDED, malformed
from scheduler.domain.errors import Permanent
from scheduler.domain.observed import QUARTER_S, EndedJob, Past, unit_of
from scheduler.domain.time import Series, TimeGrid

T = TypeVar("T")
Row = dict[str, Any]
# SQLite takes at least 999 values in one statement.
UIDS_AT_ONCE = 500


class SqlHistory(Database):
    """History behind `scheduler.ports.HistoryStore`; opening it brings the schema up to date."""

    def __init__(self, url_text: str, *, inline: bool = False) -> None:
        """Open or create; arguments and errors as of `Database`."""
        super().__init__("history", url_text, inline=inline)

    def append_now(self, past: Past, memos: Mapping[str, str] | None = None) -> int:
        """Append what is not there yet, and replace memos, in one transaction; returns how many rows were written.

        Raises:
            Permanent: on a series that is not on quarter hours, or a job that is none.
            Retryable: when the database is busy or away.
        """
        wrong = malformed(past)
        if wrong:
            raise Permanent(f"history: {wrong}")
        with self._transaction() as connection:
            if self._postgres:  # one writer at a time, as SQLite has it anyway: what is new is judged on what is there
                connection.execute(text("LOCK TABLE history_slot, history_ended, history_memo IN SHARE ROW EXCLUSIVE MODE"))
            written = sum(_write_slots(connection, key, series) for key, series in past.series.items())
            written += _write_ended(connection, past.ended)
            for name, content in (memos or {}).items():
                connection.execute(delete(memo_table).where(memo_table.c.name == name))
                connection.execute(insert(memo_table), {"name": name, "content": content})
            return written

    def past_now(self, since_utc: datetime, *, max_ended: int = MAX_ENDED) -> Past:
        """Known slots and ended jobs since an instant."""
        table = ended_table.c
        latest = (
            select(ended_table)
            .where(table.ended_utc >= in_utc(since_utc))
            .order_by(table.ended_utc.desc(), table.job_uid.desc())
            .limit(max_ended)
        )
        with self._transaction() as connection:
            keys = connection.scalars(select(slot_table.c.series_key).distinct().order_by(slot_table.c.series_key)).all()
            # One key after the other: rows of all keys at once would take twenty times the room of the series.
            found = {key: _read_slots(connection, key, since_utc.timestamp()) for key in keys}
            ended = [ended_of(row) for row in connection.execute(latest).mappings()]
        return Past(series={key: one for key, one in found.items() if one is not None}, ended=tuple(reversed(ended)))

    def memo_now(self, name: str) -> str | None:
        """A kept text."""
        with self._transaction() as connection:
            return connection.scalar(select(memo_table.c.content).where(memo_table.c.name == name))

    def prune_now(self, before_utc: datetime) -> int:
        """Forget what is before an instant, in one transaction."""
        slots = delete(slot_table).where(slot_table.c.start_s < before_utc.timestamp())
        ended = delete(ended_table).where(ended_table.c.ended_utc < in_utc(before_utc))
        with self._transaction() as connection:
            return connection.execute(slots).rowcount + connection.execute(ended).rowcount

    async def append(self, past: Past, memos: Mapping[str, str] | None = None) -> int:
        """`append_now` on a thread."""
        return await self._run(lambda: self.append_now(past, memos))

    async def past(self, since_utc: datetime, *, max_ended: int = MAX_ENDED) -> Past:
        """`past_now` on a thread."""
        return await self._run(lambda: self.past_now(since_utc, max_ended=max_ended))

    async def memo(self, name: str) -> str | None:
        """`memo_now` on a thread."""
        return await self._run(lambda: self.memo_now(name))

    async def prune(self, before_utc: datetime) -> int:
        """`prune_now` on a thread."""
        return await self._run(lambda: self.prune_now(before_utc))


def _write_slots(connection: Connection, key: str, series: Series) -> int:
    """Insert unknown slots of one key and update revised ones; returns how many."""
    table = slot_table.c
    start_s = int(series.grid.start_utc.timestamp())
    stop_s = start_s + series.grid.slots * QUARTER_S
    there = select(table.start_s, table.amount, table.issued_s).where(
        table.series_key == key, table.start_s >= start_s, table.start_s < stop_s
    )
    known: dict[int, tuple[float, float | None]] = {
        at_s: (amount, before_s) for at_s, amount, before_s in connection.execute(there)
    }
    issued_s = None if series.issued_utc is None else series.issued_utc.timestamp()
    new: list[Row] = []
    revised: list[Row] = []
    for slot in np.flatnonzero(np.isfinite(series.values)).tolist():
        at_s, amount = start_s + slot * QUARTER_S, float(series.values[slot])
        if at_s not in known:
            new.append({"series_key": key, "start_s": at_s, "amount": amount, "issued_s": issued_s})
        elif _revises(amount, issued_s, *known[at_s]):
            revised.append({"at_s": at_s, "told": amount, "told_s": issued_s})
    if new:
        connection.execute(insert(slot_table), new)
    if revised:
        row = update(slot_table).where(table.series_key == key, table.start_s == bindparam("at_s"))
        connection.execute(row.values(amount=bindparam("told"), issued_s=bindparam("told_s")), revised)
    return len(new) + len(revised)


def _revises(amount: float, issued_s: float | None, before: float, before_s: float | None) -> bool:
    """True for another value that its source has issued later."""
    return issued_s is not None and amount != before and (before_s is None or issued_s > before_s)


def _write_ended(connection: Connection, ended: Sequence[EndedJob]) -> int:
    """Insert jobs that are not there; of equal uids in a batch the first."""
    first = {job.job_uid: job for job in reversed(ended)}
    uids = list(first)
    for low in range(0, len(uids), UIDS_AT_ONCE):
        some = uids[low : low + UIDS_AT_ONCE]
        for uid in connection.scalars(select(ended_table.c.job_uid).where(ended_table.c.job_uid.in_(some))):
            del first[uid]
    if first:
        connection.execute(insert(ended_table), [ended_row(job) for job in first.values()])
    return len(first)


def _read_slots(connection: Connection, key: str, since_s: float) -> Series | None:
    """Known slots of one key on a grid from the first to the last; None when there are none."""
    table = slot_table.c
    mine = (table.series_key == key, table.start_s >= since_s, table.start_s < since_s + LONGEST.total_seconds())
    first_s, last_s, latest_s = connection.execute(
        select(func.min(table.start_s), func.max(table.start_s), func.max(table.issued_s)).where(*mine)
    ).one()
    if first_s is None:
        return None
    values = np.full((last_s - first_s) // QUARTER_S + 1, np.nan)
    for at_s, amount in connection.execute(select(table.start_s, table.amount).where(*mine)):
        values[(at_s - first_s) // QUARTER_S] = amount
    grid = TimeGrid(start_utc=datetime.fromtimestamp(first_s, tz=UTC), slot_s=QUARTER_S, slots=len(values))
    issued_utc = None if latest_s is None else datetime.fromtimestamp(latest_s, tz=UTC)
    return Series(grid=grid, values=values, unit=unit_of(key), source="history", issued_utc=issued_utc)
