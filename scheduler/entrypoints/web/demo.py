"""A made-up site for the live page: the demonstration's, without those that it is compared with, an hour every few seconds."""

from __future__ import annotations

import threading

from scheduler.adapters.ledger.sql import SqlLedger
from scheduler.adapters.live.store import LiveStore
from scheduler.domain.settings import Settings
from scheduler.entrypoints.demo_world import DEMO_BUDGET, START_UTC, DemoNotes
from scheduler.simulate.faults import Disturbances
from scheduler.simulate.generate import demo_scenario
from scheduler.simulate.planned import Planned
from scheduler.simulate.strategies import RunSpec, Stage, build
from scheduler.simulate.world import Clockwork
from scheduler.units import S_PER_DAY, S_PER_H

DAYS = 14
# So much has passed before anything is shown, and so much passes without a pause: then there are jobs, promises and books.
FIRST_S, FAST_S = int(2 * S_PER_H), int(33 * S_PER_H)
CYCLE_S = int(S_PER_H)
SLOT_S = 900


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
