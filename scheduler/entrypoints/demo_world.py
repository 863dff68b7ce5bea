"""What every demonstration shares: when it begins, how hard it thinks, and what it writes down."""

from __future__ import annotations

from scheduler.adapters.ledger.sql import SqlLedger
from scheduler.adapters.live.store import LiveStore
from scheduler.core.reports.live import Seen, live_state
from scheduler.domain.live import LiveState
from scheduler.domain.settings import SolveBudget
from scheduler.domain.time import utc
from scheduler.simulate.bookkeeping import customer_entries, slot_entries
from scheduler.simulate.planned import Planned
from scheduler.simulate.world import World

# A Monday at midnight in Copenhagen.
START_UTC = utc("2026-01-11T23:00:00+00:00")
# Smaller than the operator's budget: a week of plans is to be had while one watches.
DEMO_BUDGET = SolveBudget(bundle_steps=60, master_rounds=1, mip_nodes=0, dive_batches=30, target_gap=0.02)
DEMO_POLICY = "demo"


class DemoNotes:
    """Books a made-up world after each of its cycles, and keeps what a live page shows of it."""

    def __init__(self, ledger: SqlLedger, live: LiveStore) -> None:
        """Nothing is booked yet."""
        self._ledger, self._live = ledger, live
        self._booked = 0
        self._before: LiveState | None = None

    def cycle(self, world: World, steering: Planned, *, shows: bool = True) -> None:
        """One cycle is over; `shows`: the page is to show it."""
        slots = range(self._booked, world.record.slots)
        entries = (*slot_entries(world, slots, steering.memory.last), *customer_entries(world, slots))
        self._ledger.append_now(entries)
        self._booked = world.record.slots
        snapshot, decision = steering.memory.snapshot, steering.decision
        if shows and snapshot is not None and decision is not None:
            seen = Seen(site=world.site, settings=steering.settings, snapshot=snapshot, decision=decision, before=self._before)
            self._before = live_state(DEMO_POLICY, seen, simulated=True)
            self._live.keep(self._before)
