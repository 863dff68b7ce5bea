"""A made-up site for the live page: the demonstration's, without those that it is compared with, an hour every few seconds."""

from __future__ import annotations

import threading

from scheduler.adapters.ledger.sql import SqlLedger
from scheduler.adapters.live.store import LiveStore
from scheduler.core.reports.live import Seen, live_state
from scheduler.domain.live import LiveState
from scheduler.domain.settings import Settings
from scheduler.entrypoints.commands.demo import DEMO_BUDGET, DEMO_POLICY, START_UTC
from scheduler.simulate.bookkeeping import customer_entries, slot_entries
from scheduler.simulate.faults import Disturbances
from scheduler.simulate.generate import demo_scenario
from scheduler.simulate.planned import Planned
from scheduler.simulate.strategies import RunSpec, Stage, build
from scheduler.simulate.world import Clockwork, World
from scheduler.units import S_PER_DAY, S_PER_H

DAYS = 14
# So much has passed before anything is shown, and so much passes without a pause: then there are jobs, promises and books.
FIRST_S, FAST_S = int(2 * S_PER_H), int(33 * S_PER_H)
CYCLE_S = int(S_PER_H)
SLOT_S = 900


class DemoNotes:
    """Books a made-up world after each of its cycles, and keeps what a live page shows of it."""

    def __init__(self, ledger: SqlLedger, live: LiveStore) -> None:
        """Nothing is booked yet."""
        self._ledger, self._live = ledger, live
        self._booked = 0
        self._before: LiveState | None = None

    def cycle(self, world: World, steering: Planned) -> None:
        """One cycle is over."""
        slots = range(self._booked, world.record.slots)
        entries = (*slot_entries(world, slots, steering.memory.last), *customer_entries(world, slots))
        self._ledger.append_now(entries)
        self._booked = world.record.slots
        snapshot, decision = steering.memory.snapshot, steering.decision
        if snapshot is not None and decision is not None:
            seen = Seen(site=world.site, settings=steering.settings, snapshot=snapshot, decision=decision, before=self._before)
            self._before = live_state(DEMO_POLICY, seen, simulated=True)
            self._live.keep(self._before)


class DemoSite:
    """Two weeks of a made-up site that pass on a thread."""

    def __init__(self, url: str, seconds_per_cycle: float, *, seed: int = 1, gpus: int = 256) -> None:
        """Nothing has happened yet.

        Args:
            url: of a new database.
            seconds_per_cycle: how fast hours pass.
            seed: another one makes other weeks.
            gpus: of the site, in whole nodes of eight.
        """
        scenario = demo_scenario(seed, START_UTC, DAYS, gpus)
        stage = Stage(
            scenario=scenario,
            settings=Settings(budget=DEMO_BUDGET, commit_slots=CYCLE_S // SLOT_S),
            clockwork=Clockwork(slot_s=SLOT_S, cycle_s=CYCLE_S),
            disturbances=Disturbances(),
            clock_s=None,
        )
        world, steering = build(RunSpec(strategy="ours"), stage)
        assert isinstance(steering, Planned)
        self._world, self._steering, self._pace_s = world, steering, seconds_per_cycle
        self._ledger, self._live = SqlLedger(url, inline=True), LiveStore(url)
        self._notes = DemoNotes(self._ledger, self._live)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, until_s: float = FIRST_S) -> None:
        """Let the first hours pass at once."""
        while self._world.clock.now_s < until_s:
            self._hour()

    def start(self) -> None:
        """Let the others pass by and by."""
        self._thread = threading.Thread(target=self._go_on, name="demo-site", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No hour passes any more."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._ledger.close()
        self._live.close()

    def _go_on(self) -> None:
        while not self._stopping.wait(self._pause_s()) and self._world.clock.now_s < DAYS * S_PER_DAY:
            self._hour()

    def _pause_s(self) -> float:
        return 0.0 if self._world.clock.now_s < FAST_S else self._pace_s

    def _hour(self) -> None:
        self._world.run_until(self._steering, self._world.clock.now_s + CYCLE_S)
        self._notes.cycle(self._world, self._steering)
