"""The live page on a database: the operator's, or what a demonstration has left."""

from __future__ import annotations

from datetime import datetime

from scheduler.adapters.clock import Clocks
from scheduler.adapters.live.store import LiveStore
from scheduler.domain.live import LiveAccount, LiveState
from scheduler.entrypoints.web.accounts import Booked, accounts_of
from scheduler.entrypoints.web.desk import LiveDesk


class OpenBooks:
    """A database with what hangs on it; for the thread that reads."""

    def __init__(self, url: str, clock: Clocks) -> None:
        """Open.

        Raises:
            Misconfigured: there is no such database, or it cannot be read.
        """
        # First: unlike the store they make no new file.
        self._booked = Booked(url)
        self.store = LiveStore(url)
        self.desk = LiveDesk(self.store, self._accounts, clock)

    def _accounts(self, state: LiveState, now_utc: datetime) -> tuple[LiveAccount, ...]:
        return accounts_of(self._booked, state, now_utc)

    def close(self) -> None:
        """Give connections back."""
        self._booked.__exit__(None, None, None)
        self.store.close()
