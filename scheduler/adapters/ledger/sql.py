"""The ledger in SQL: an SQLite file on one machine, PostgreSQL by URL.

A batch of entries is one transaction: killed between any two statements, either all of it is there after a restart or none,
and writing it again adds nothing, since ids are unique. Rows cannot be changed or deleted; the database refuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, OperationalError
from sqlalchemy.pool import NullPool

from scheduler.adapters.ledger.migrate import upgrade
from scheduler.adapters.ledger.rows import cycle_of, cycle_row, entry_of, entry_row
from scheduler.adapters.ledger.schema import cycle_table, entry_table
from scheduler.adapters.ledger.slots import refuse_overlap
from scheduler.domain.errors import Misconfigured, Permanent, Retryable
from scheduler.domain.ledger import CycleEntry, LedgerEntry

BUSY_TIMEOUT_S = 30
# The longest slot that may stand in the ledger; how far an overlap must be looked for.
LONGEST_SLOT = timedelta(days=1)
EXPECTED_URL = "sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"


def ledger_url(text: str) -> URL:
    """A database URL; a bare path means an SQLite file.

    Raises:
        Misconfigured: when it is neither.
    """
    try:
        url = make_url(text if "://" in text else f"sqlite:///{text}")
    except ArgumentError:
        raise Misconfigured("not a database URL", where="ledger", expected=EXPECTED_URL) from None
    if url.get_backend_name() not in {"sqlite", "postgresql"}:
        raise Misconfigured(f"{url.get_backend_name()} is not supported", where="ledger", expected=EXPECTED_URL)
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def engine_for(url: URL) -> Engine:
    """An engine whose SQLite files survive a power cut: write-ahead log, full sync."""
    if url.get_backend_name() == "sqlite":
        name = url.database or ""
        if name and name != ":memory:" and not Path(name).parent.is_dir():
            raise Misconfigured(
                f"{Path(name).parent} is not a directory", where=f"ledger {name}", expected="an existing directory"
            )
        engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S}, poolclass=NullPool)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_immediate)
        return engine
    try:
        return create_engine(url, pool_pre_ping=True)
    except (NoSuchModuleError, ModuleNotFoundError):
        raise Misconfigured(
            "the PostgreSQL driver is missing", where="ledger", expected="pip install heat-dispatch[postgres]"
        ) from None


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Settings of one SQLite connection; transactions are begun by us, not by the driver."""
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def _begin_immediate(connection: Connection) -> None:
    """Take the write lock at once, so that two writers queue instead of failing half-way."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


class SqlLedger:
    """Append-only ledger behind `scheduler.ports.Ledger`; opening it brings the schema up to date."""

    def __init__(self, url_text: str) -> None:
        """Open or create.

        Raises:
            Misconfigured: when the database cannot be reached or written.
        """
        url = ledger_url(url_text)
        self._engine = engine_for(url)
        self._insert = sqlite.insert if url.get_backend_name() == "sqlite" else postgresql.insert
        try:
            upgrade(self._engine)
        except OperationalError as error:
            where = f"ledger {url.render_as_string(hide_password=True)}"
            raise Misconfigured(
                str(error.orig).strip().splitlines()[0], where=where, expected="a database we may write"
            ) from None

    def close(self) -> None:
        """Give connections back."""
        self._engine.dispose()

    def append_now(self, entries: Sequence[LedgerEntry]) -> int:
        """Append entries that are not there yet, in one transaction; returns how many were new.

        Raises:
            Permanent: on overlapping slots, or when a slot's revision is there under another id.
            Retryable: when the database is busy or away.
        """
        if not entries:
            return 0
        try:
            with self._engine.begin() as connection:
                refuse_overlap(entries, self._neighbours(connection, entries))
                rows = [entry_row(entry) for entry in entries]
                statement = self._insert(entry_table).on_conflict_do_nothing(index_elements=["entry_id"])
                return sum(connection.execute(statement, row).rowcount for row in rows)
        except IntegrityError:
            raise Permanent("ledger: a slot's revision is already there under another id") from None
        except OperationalError as error:
            raise Retryable(f"ledger: {error.orig}") from error

    def _neighbours(self, connection: Connection, entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
        """Entries near enough to overlap the new ones."""
        first = min(entry.start_utc for entry in entries) - LONGEST_SLOT
        after = max(entry.start_utc for entry in entries) + LONGEST_SLOT
        table = entry_table.c
        plugs = {entry.plug_id for entry in entries}
        query = select(entry_table).where(table.plug_id.in_(plugs), table.start_utc >= first, table.start_utc < after)
        return [entry_of(row) for row in connection.execute(query).mappings()]

    def append_cycle_now(self, entry: CycleEntry) -> None:
        """Append one cycle; a repeat changes nothing."""
        statement = self._insert(cycle_table).on_conflict_do_nothing(index_elements=["cycle_id"])
        try:
            with self._engine.begin() as connection:
                connection.execute(statement, cycle_row(entry))
        except OperationalError as error:
            raise Retryable(f"ledger: {error.orig}") from error

    def entries_now(self, plug_id: str, start_utc: datetime, end_utc: datetime) -> tuple[LedgerEntry, ...]:
        """Latest revision of each slot in [start, end), in time order."""
        table = entry_table.c
        wanted = (table.plug_id == plug_id, table.start_utc >= start_utc, table.start_utc < end_utc)
        latest = (
            select(table.start_utc, func.max(table.revision).label("revision"))
            .where(*wanted)
            .group_by(table.start_utc)
            .subquery()
        )
        match = (table.start_utc == latest.c.start_utc) & (table.revision == latest.c.revision)
        query = select(entry_table).join(latest, match).where(table.plug_id == plug_id).order_by(table.start_utc)
        with self._engine.begin() as connection:
            return tuple(entry_of(row) for row in connection.execute(query).mappings())

    def cycles_now(self, start_utc: datetime, end_utc: datetime) -> tuple[CycleEntry, ...]:
        """Cycles in [start, end), in time order."""
        table = cycle_table.c
        query = (
            select(cycle_table).where(table.at_utc >= start_utc, table.at_utc < end_utc).order_by(table.at_utc, table.cycle_id)
        )
        with self._engine.begin() as connection:
            return tuple(cycle_of(row) for row in connection.execute(query).mappings())

    async def append(self, entries: Sequence[LedgerEntry]) -> int:
        """`append_now` on a thread."""
        return await asyncio.to_thread(self.append_now, entries)

    async def append_cycle(self, entry: CycleEntry) -> None:
        """`append_cycle_now` on a thread."""
        await asyncio.to_thread(self.append_cycle_now, entry)

    async def entries(self, plug_id: str, start_utc: datetime, end_utc: datetime) -> tuple[LedgerEntry, ...]:
        """`entries_now` on a thread."""
        return await asyncio.to_thread(self.entries_now, plug_id, start_utc, end_utc)

    async def cycles(self, start_utc: datetime, end_utc: datetime) -> tuple[CycleEntry, ...]:
        """`cycles_now` on a thread."""
        return await asyncio.to_thread(self.cycles_now, start_utc, end_utc)
