"""Keeps what the live page shows: after each cycle a state in the database, written by a thread of its own.

A cycle hands over what it saw and decided, and waits for nothing: a page that cannot be kept costs nobody anything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from scheduler.adapters.clock import Clocks
from scheduler.adapters.kubernetes.operator.reconcile import Desk
from scheduler.adapters.live.store import LiveStore
from scheduler.adapters.logs import Episode, Teller
from scheduler.core.reports.live import Seen, live_state
from scheduler.domain.decision import CycleRecord
from scheduler.domain.errors import HeatDispatchError
from scheduler.domain.live import LiveState
from scheduler.entrypoints.web.options import LiveOptions

if TYPE_CHECKING:
    from scheduler.entrypoints.web.opened import OpenBooks
    from scheduler.entrypoints.web.server import LiveServer


class Showing:
    """The newest cycle of every policy, on its way to the page."""

    def __init__(self, url: str, policies: Callable[[], Collection[str]]) -> None:
        """Keep nothing yet.

        Args:
            url: of the operator's database.
            policies: those that there are; what is kept of others is dropped.

        Raises:
            Misconfigured: when the database cannot be reached or written.
        """
        self._store, self._policies = LiveStore(url), policies
        self._waiting: dict[str, Seen] = {}
        self._lock, self._news = threading.Lock(), threading.Event()
        self._kept: dict[str, LiveState] | None = None
        self._episode = Episode(Teller("operator.showing"), "keeping what the live page shows")

    def take(self, desk: Desk, record: CycleRecord) -> None:
        """Hand over a cycle; one that was not kept yet gives way."""
        rules, snapshot = desk.governance, record.snapshot
        settings = rules.settings.in_force(snapshot.observed_utc, rules.site.time_zone)
        seen = Seen(site=rules.site, settings=settings, snapshot=snapshot, decision=record.decision)
        with self._lock:
            self._waiting[rules.policy] = seen
        self._news.set()

    def run(self, stopping: threading.Event) -> None:
        """Keep what comes until told to stop; `wake` ends the wait."""
        while not stopping.is_set():
            self._news.wait()
            self._news.clear()
            with self._lock:
                taken, self._waiting = self._waiting, {}
            for policy, seen in taken.items():
                try:
                    self._keep(policy, seen)
                except HeatDispatchError as error:
                    self._episode.failed(error, policy=policy)
                except Exception as error:  # a state that cannot be told: the page grows old and says so
                    self._episode.failed(f"{type(error).__name__}: {error}", policy=policy)
                else:
                    self._episode.worked()

    def wake(self) -> None:
        """Look whether to stop."""
        self._news.set()

    def close(self) -> None:
        """Give connections back."""
        self._store.close()

    def _keep(self, policy: str, seen: Seen) -> None:
        """Keep a state, with what was measured before it; after a restart, that is what the database has."""
        if self._kept is None:
            try:
                self._kept = {one.policy: one for one in self._store.states()}
            except HeatDispatchError:
                self._kept = {}
        state = live_state(policy, replace(seen, before=self._kept.get(policy)))
        self._store.keep(state)
        self._kept[policy] = state
        gone = [name for name in self._kept if name not in self._policies()]
        if gone:
            self._store.drop(gone)
            self._kept = {name: one for name, one in self._kept.items() if name not in gone}


class LivePage:
    """The page of this replica, whether it leads or not: all that it shows lies in the database."""

    def __init__(self, books: OpenBooks, server: LiveServer) -> None:
        """Serve `books` by `server`."""
        self._books, self._server = books, server
        self.port = server.port

    def start(self) -> None:
        """Serve on a thread of its own."""
        self._server.start()

    def stop(self) -> None:
        """Serve no more."""
        self._server.stop()
        self._books.close()


def live_page(url: str, clock: Clocks, options: LiveOptions) -> LivePage:
    """The page, listening; it answers once it is started.

    Raises:
        Misconfigured: as of `OpenBooks` and `LiveServer`.
    """
    # A web server is loaded by who serves the page alone.
    from scheduler.entrypoints.web.opened import OpenBooks
    from scheduler.entrypoints.web.server import LiveServer

    books = OpenBooks(url, clock)
    return LivePage(books, LiveServer(books.desk, options))
