"""States of a live page in the ledger's database, one text per policy, replaced whole: the leader writes, every page reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, insert, select, text

from scheduler.adapters.history.schema import memo_table
from scheduler.adapters.ledger.sql import Database, SqlLedger
from scheduler.adapters.record.codec import Unreadable, decode, encode
from scheduler.domain.errors import Retryable
from scheduler.domain.ledger import LedgerEntry
from scheduler.domain.live import LiveState

PREFIX = "live:"
VERSION = 1


class LiveStore(Database):
    """The states of all policies, behind `scheduler.ports.LiveBooks`."""

    def __init__(self, url_text: str) -> None:
        """Open or create; arguments and errors as of `Database`."""
        super().__init__("live page", url_text, inline=True)
        self._url = url_text
        self._ledger: SqlLedger | None = None
        self._read: dict[str, tuple[str, LiveState]] = {}

    def close(self) -> None:
        """Give connections back."""
        super().close()
        if self._ledger is not None:
            self._ledger.close()

    def keep(self, state: LiveState) -> None:
        """Replace the state of a policy.

        Raises:
            Retryable: when the database is busy or away.
        """
        name = PREFIX + state.policy
        document = {"version": VERSION, **encode(LiveState, state)}
        content = json.dumps(document, allow_nan=False, separators=(",", ":"))
        with self._transaction() as connection:
            if self._postgres:  # as the history has it: of two writers the later one stays whole
                connection.execute(text("LOCK TABLE history_memo IN SHARE ROW EXCLUSIVE MODE"))
            connection.execute(delete(memo_table).where(memo_table.c.name == name))
            connection.execute(insert(memo_table), {"name": name, "content": content})

    def drop(self, policies: Sequence[str]) -> None:
        """Forget policies that are no more.

        Raises:
            Retryable: when the database is busy or away.
        """
        names = [PREFIX + one for one in policies]
        with self._transaction() as connection:
            connection.execute(delete(memo_table).where(memo_table.c.name.in_(names)))

    def states(self) -> tuple[LiveState, ...]:
        """As the port says; what has not changed is not read anew."""
        memo = memo_table.c
        query = select(memo.name, memo.content).where(memo.name.startswith(PREFIX, autoescape=True)).order_by(memo.name)
        with self._reading() as connection:
            found: dict[str, str] = {name: content for name, content in connection.execute(query)}
        self._read = {name: self._known(name, content) for name, content in found.items()}
        return tuple(state for _, state in self._read.values())

    def _known(self, name: str, content: str) -> tuple[str, LiveState]:
        before = self._read.get(name)
        return before if before is not None and before[0] == content else (content, _state(content))

    def slots(self, accounts: Sequence[str], start_utc: datetime, end_utc: datetime) -> tuple[LedgerEntry, ...]:
        """As the port says."""
        if self._ledger is None:
            self._ledger = SqlLedger(self._url, inline=True)
        return tuple(one for name in accounts for one in self._ledger.entries_now(name, start_utc, end_utc))


def _state(content: str) -> LiveState:
    """A kept state.

    Raises:
        Retryable: another version wrote it; the next cycle writes it anew.
    """
    try:
        document = json.loads(content)
        if document.pop("version", None) != VERSION:
            raise Retryable("live page: the state was kept by another version; the next cycle replaces it")
        return decode(LiveState, document)
    except (Unreadable, ValueError, AttributeError) as wrong:
        raise Retryable(f"live page: the kept state cannot be read: {wrong}") from wrong
