"""The ledger in SQL: an SQLite file on one machine, PostgreSQL by URL.

A batch of entries is one transaction: killed between any two statements, either all of it is there after a restart or none,
and writing it again adds nothing, since ids are unique. Rows cannot be changed or deleted; the database refuses.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, func, insert, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, InterfaceError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as NoneFreeError
from sqlalchemy.pool import NullPool

from scheduler.adapters.ledger.migrate import upgrade
from scheduler.adapters.ledger.rows import cycle_of, cycle_row, entry_of, entry_row, in_utc
from scheduler.adapters.ledger.schema import cycle_table, entry_table
from scheduler.core.accounting.slots import LONGEST_SLOT, malformed_cycle, refusal
from scheduler.domain.errors import Misconfigured, Permanent, Retryable
from scheduler.domain.ledger import CycleEntry, LedgerEntry

T = TypeVar("T")
BUSY_TIMEOUT_S = 30
# PostgreSQL's words for a server that takes no writes (a standby, or a primary that has become one), and for a transaction in
# which we said nothing for too long.
PASSING = frozenset({"25006", "25P03"})
# Waits between tries to turn the write-ahead log on.
JOURNAL_PAUSES_S = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
# Option of a connection that writes nothing: it waits for no writer.
READS = "heat_dispatch_reads"
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
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise Misconfigured("a ledger in memory would be forgotten", where="ledger", expected=EXPECTED_URL)
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def engine_for(url: URL) -> Engine:
    """An engine whose SQLite files survive a power cut (write-ahead log, full sync), and that waits for no server for ever."""
    if url.get_backend_name() == "sqlite":
        name = url.database or ""
        if not Path(name).parent.is_dir():
            raise Misconfigured(
                f"{Path(name).parent} is not a directory", where=f"ledger {name}", expected="an existing directory"
            )
        engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S}, poolclass=NullPool)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_immediate)
        return engine
    return server_engine(url)


def server_engine(url: URL, *, migrating: bool = False) -> Engine:
    """An engine for PostgreSQL; migrating: it waits longer, for others that bring the schema up to date."""
    try:
        from scheduler.adapters.ledger import postgres

        engine = create_engine(url, pool_pre_ping=True)
    except (NoSuchModuleError, ModuleNotFoundError):
        raise Misconfigured(
            "the PostgreSQL driver is missing", where="ledger", expected="pip install heat-dispatch[postgres]"
        ) from None
    postgres.be_patient(engine, postgres.MIGRATING if migrating else postgres.WORKING)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Settings of one SQLite connection; transactions are begun by us, not by the driver."""
    connection.isolation_level = None
    _write_ahead(connection)
    connection.execute("PRAGMA synchronous=FULL")
    # Without it REPLACE deletes rows behind the back of the triggers that refuse it.
    connection.execute("PRAGMA recursive_triggers=ON")


def _write_ahead(connection: Any) -> None:
    """Turn the write-ahead log on. SQLite does not wait for the lock that this takes: two that open a new file would fail."""
    for pause_s in JOURNAL_PAUSES_S:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            time.sleep(pause_s)
    connection.execute("PRAGMA journal_mode=WAL")


def _begin_immediate(connection: Connection) -> None:
    """Take the write lock at once, so that two writers queue instead of failing half-way; who only reads needs none."""
    connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get(READS) else "BEGIN IMMEDIATE")


class Database:
    """An engine on the ledger's database, its schema up to date: what the ledger and the history are made on."""

    def __init__(self, what: str, url_text: str, *, inline: bool = False) -> None:
        """Open or create.

        Args:
            what: whose data it holds, for messages.
            url_text: a database URL or the path of an SQLite file.
            inline: answer in the calling thread, for callers without an event loop (a simulation, a command).

        Raises:
            Misconfigured: when the database cannot be reached or written, or is something else.
        """
        url = ledger_url(url_text)
        self._what, self._engine, self._inline = what, engine_for(url), inline
        self._reads = self._engine.execution_options(**{READS: True})
        self._postgres = url.get_backend_name() == "postgresql"
        try:
            _upgraded(url, self._engine)
        except DBAPIError as error:
            where = f"{what} {url.render_as_string(hide_password=True)}"
            raise Misconfigured(
                str(error.orig).strip().splitlines()[0], where=where, expected="a database we may write"
            ) from None

    def close(self) -> None:
        """Give connections back; one that somebody still works with ends with its transaction."""
        # The engine forgets those that are out, and they would come back to a pool that nobody empties any more.
        event.listen(self._engine.pool, "checkin", lambda _connection, entry: entry.invalidate())
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """One transaction; a database that is busy or away is worth another try."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except NoneFreeError as error:
            raise Retryable(f"{self._what}: every connection is taken") from error
        except DBAPIError as error:
            if not _passes(error):
                raise
            raise Retryable(f"{self._what}: {error.orig}") from error

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """One transaction that writes nothing, on what was there when it began."""
        try:
            with self._reads.begin() as connection:
                yield connection
        except NoneFreeError as error:
            raise Retryable(f"{self._what}: every connection is taken") from error
        except DBAPIError as error:
            if not _passes(error):
                raise
            raise Retryable(f"{self._what}: {error.orig}") from error

    async def _run(self, work: Callable[[], T]) -> T:
        """Here or on a thread."""
        return work() if self._inline else await asyncio.to_thread(work)


def _upgraded(url: URL, engine: Engine) -> None:
    """Bring the schema up to date; on a server with connections of its own, which may wait longer."""
    if url.get_backend_name() == "sqlite":
        upgrade(engine)
        return
    migrating = server_engine(url, migrating=True)
    try:
        upgrade(migrating)
    finally:
        migrating.dispose()


def _passes(error: DBAPIError) -> bool:
    """Whether a database that answers so may take it later: it is busy, away, or only to be read since a failover."""
    return isinstance(error, OperationalError | InterfaceError) or getattr(error.orig, "sqlstate", "") in PASSING


class SqlLedger(Database):
    """Append-only ledger behind `scheduler.ports.Ledger`; opening it brings the schema up to date."""

    def __init__(self, url_text: str, *, inline: bool = False) -> None:
        """Open or create; arguments and errors as of `Database`."""
        super().__init__("ledger", url_text, inline=inline)
        self._insert = postgresql.insert if self._postgres else sqlite.insert

    def append_now(self, entries: Sequence[LedgerEntry]) -> int:
        """Append entries that are not there yet, in one transaction; returns how many were new.

        Raises:
            Permanent: on a malformed entry, overlapping slots, or when a slot's revision is there under another id.
            Retryable: when the database is busy or away.
        """
        if not entries:
            return 0
        try:
            with self._transaction() as connection:
                if self._postgres:  # one writer at a time, as SQLite has it anyway: overlaps are judged on what is there
                    connection.execute(text("LOCK TABLE ledger_entry IN SHARE ROW EXCLUSIVE MODE"))
                new = self._new(connection, entries)
                wrong = refusal(new, self._neighbours(connection, new))
                if wrong:
                    raise Permanent(wrong)
                if new:
                    connection.execute(insert(entry_table), [entry_row(entry) for entry in new])
                return len(new)
        except IntegrityError as error:
            raise Permanent(f"ledger: refused by the database: {error.orig}") from error

    def _new(self, connection: Connection, entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
        """Entries whose id is not there; of equal ids in a batch the first."""
        first = {entry.entry_id: entry for entry in reversed(entries)}
        there = set(connection.scalars(select(entry_table.c.entry_id).where(entry_table.c.entry_id.in_(first))))
        return [entry for name, entry in reversed(first.items()) if name not in there]

    def _neighbours(self, connection: Connection, entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
        """Entries near enough to overlap the new ones; none when a new one has no place in time."""
        if not entries or any(entry.start_utc.utcoffset() is None for entry in entries):
            return []
        first = min(entry.start_utc for entry in entries) - LONGEST_SLOT
        after = max(entry.start_utc for entry in entries) + LONGEST_SLOT
        table = entry_table.c
        plugs = {entry.plug_id for entry in entries}
        query = select(entry_table).where(
            table.plug_id.in_(plugs), table.start_utc >= in_utc(first), table.start_utc < in_utc(after)
        )
        return [entry_of(row) for row in connection.execute(query).mappings()]

    def append_cycle_now(self, entry: CycleEntry) -> None:
        """Append one cycle; a repeat changes nothing.

        Raises:
            Permanent: on a malformed entry.
            Retryable: when the database is busy or away.
        """
        wrong = malformed_cycle(entry)
        if wrong:
            raise Permanent(f"ledger cycle {entry.cycle_id}: {wrong}")
        statement = self._insert(cycle_table).on_conflict_do_nothing(index_elements=["cycle_id"])
        with self._transaction() as connection:
            connection.execute(statement, cycle_row(entry))

    def entries_now(self, plug_id: str, start_utc: datetime, end_utc: datetime) -> tuple[LedgerEntry, ...]:
        """Latest revision of each slot in [start, end), in time order."""
        table = entry_table.c
        wanted = (table.plug_id == plug_id, table.start_utc >= in_utc(start_utc), table.start_utc < in_utc(end_utc))
        latest = (
            select(table.start_utc, func.max(table.revision).label("revision"))
            .where(*wanted)
            .group_by(table.start_utc)
            .subquery()
        )
        match = (table.start_utc == latest.c.start_utc) & (table.revision == latest.c.revision)
        query = select(entry_table).join(latest, match).where(table.plug_id == plug_id).order_by(table.start_utc)
        with self._transaction() as connection:
            return tuple(entry_of(row) for row in connection.execute(query).mappings())

    def cycles_now(self, start_utc: datetime, end_utc: datetime) -> tuple[CycleEntry, ...]:
        """Cycles in [start, end), in time order."""
        table = cycle_table.c
        query = (
            select(cycle_table)
            .where(table.at_utc >= in_utc(start_utc), table.at_utc < in_utc(end_utc))
            .order_by(table.at_utc, table.cycle_id)
        )
        with self._transaction() as connection:
            return tuple(cycle_of(row) for row in connection.execute(query).mappings())

    async def append(self, entries: Sequence[LedgerEntry]) -> int:
        """`append_now` on a thread."""
        return await self._run(lambda: self.append_now(entries))

    async def append_cycle(self, entry: CycleEntry) -> None:
        """`append_cycle_now` on a thread."""
        await self._run(lambda: self.append_cycle_now(entry))

    async def entries(self, plug_id: str, start_utc: datetime, end_utc: datetime) -> tuple[LedgerEntry, ...]:
        """`entries_now` on a thread."""
        return await self._run(lambda: self.entries_now(plug_id, start_utc, end_utc))

    async def cycles(self, start_utc: datetime, end_utc: datetime) -> tuple[CycleEntry, ...]:
        """`cycles_now` on a thread."""
        return await self._run(lambda: self.cycles_now(start_utc, end_utc))
