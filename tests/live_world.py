"""States of a live page of the small site, and the page served on loopback from a database that holds them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from small_world import ACTING, NOW, queued, running, small_site, snapshot

from scheduler.adapters.ledger.sql import SqlLedger
from scheduler.adapters.live.store import LiveStore
from scheduler.core.accounting.booking import heat_entry
from scheduler.core.reports.live import Seen, live_state
from scheduler.domain.contract import FirmRule
from scheduler.domain.job import JobState
from scheduler.domain.ledger import LedgerEntry, Quality
from scheduler.domain.live import LiveState
from scheduler.domain.settings import Settings
from scheduler.domain.settlement import HeatSlot
from scheduler.domain.site import Site
from scheduler.domain.snapshot import Commitment, Snapshot
from scheduler.entrypoints.web.opened import OpenBooks
from scheduler.entrypoints.web.options import LiveOptions
from scheduler.entrypoints.web.server import LiveServer
from scheduler.loop.decide import decide

JOBS = (queued("early", hours=2.0), queued("late", hours=3.0), running("busy"), queued("untouched", "insulated"))
PROMISED = Commitment(offtake_id="town", start_utc=NOW, end_utc=NOW + timedelta(hours=12), firm_kw=6.0)


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    at_utc: datetime = NOW + timedelta(minutes=4)
    at_s: float = 0.0

    def now_utc(self) -> datetime:
        """The instant it stands at."""
        return self.at_utc

    def monotonic_s(self) -> float:
        """Seconds since it was made, by who moves it."""
        return self.at_s

    def pass_by(self, **more: float) -> None:
        """Let time pass."""
        step = timedelta(**more)
        self.at_utc, self.at_s = self.at_utc + step, self.at_s + step.total_seconds()


def promising_site() -> Site:
    """The small site, whose town is promised heat."""
    site = small_site()
    return replace(site, offtakes=tuple(replace(one, firm=FirmRule()) for one in site.offtakes))


def seen(
    jobs: Sequence[JobState] = JOBS,
    settings: Settings = ACTING,
    *,
    world: Snapshot | None = None,
    before: LiveState | None = None,
) -> Seen:
    """One cycle on the small site, decided as the operator does."""
    site = promising_site()
    found = replace(snapshot(jobs, site=site), commitments=(PROMISED,)) if world is None else world
    return Seen(site=site, settings=settings, snapshot=found, decision=decide(site, found, settings), before=before)


@cache
def _well() -> LiveState:
    return live_state("hall", seen())


def a_state(policy: str = "hall") -> LiveState:
    """A state in which all is well; solved once."""
    return replace(_well(), policy=policy)


def booked(hours: int = 10, *, sold_kwh: float = 5.0, firm_w: int = 10_000) -> list[LedgerEntry]:
    """Quarter hours of the town's account that end at NOW."""
    first = NOW - timedelta(hours=hours)
    return [
        heat_entry(
            "town",
            HeatSlot(
                start_utc=first + timedelta(minutes=15 * index),
                duration_s=900,
                heat_wh=round(sold_kwh * 1000),
                quality=Quality.METERED,
            ),
            firm_w=firm_w,
            price_micro=40_000,
        )
        for index in range(4 * hours)
    ]


@dataclass
class Served:
    """The page on loopback."""

    url: str
    store: LiveStore
    books: OpenBooks
    clock: Clock
    server: LiveServer

    def show(self, *states: LiveState) -> None:
        """Keep states, and read them."""
        for one in states:
            self.store.keep(one)
        self.books.desk.refresh()


@contextmanager
def served(folder: Path, *states: LiveState, entries: Sequence[LedgerEntry] = (), **options: Any) -> Iterator[Served]:
    """Serve a database with these states and entries."""
    path = folder / "books.db"
    ledger = SqlLedger(str(path), inline=True)
    ledger.append_now(entries)
    ledger.close()
    clock = Clock()
    books = OpenBooks(str(path), clock)
    server = LiveServer(books.desk, replace(LiveOptions(port=0), **options))
    found = Served(url=f"http://127.0.0.1:{server.port}", store=books.store, books=books, clock=clock, server=server)
    try:
        found.show(*states)
        server.start()
        yield found
    finally:
        server.stop()
        books.close()
