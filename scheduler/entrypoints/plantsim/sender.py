"""Our side of a demonstration: schedules that are made up, heartbeats, an operator who clears overrides, and faults of ours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from scheduler.adapters.plantlink.memory import MemoryDesk
from scheduler.core.publishing.letters import LetterLimits
from scheduler.domain.link_options import LinkTimes
from scheduler.ports import Clock
from scheduler.simulate.plant.faults import OF_SENDER, TOLD, Fault, FaultKind, holds
from scheduler.simulate.plant.sender import MadeUp

PLAN_EVERY_S = 900.0
# A person at our side looks at an override, calls the plant, and clears it.
CLEAR_AFTER = timedelta(minutes=5)


class DemoSender:
    """A desk in memory and whoever fills it."""

    def __init__(
        self, made_up: MadeUp, start_utc: datetime, clock: Clock, faults: Sequence[Fault] = (), times: LinkTimes | None = None
    ) -> None:
        """Nothing is sent yet."""
        plant = made_up.plant
        self.made_up, self.start_utc, self.faults = made_up, start_utc, faults
        limits = LetterLimits(max_heat_kw=plant.network.peak_kw, tank_kwh=plant.tank.capacity_kwh or None)
        self.offtake_id = plant.offtake_id
        self.desk = MemoryDesk(made_up.site_id, {self.offtake_id: limits}, {self.offtake_id: made_up.plug_id}, clock, times)
        self.sequence = 0
        self.planned_s: float | None = None
        self._withdrawn = False
        self._old_shown = False
        self._begun: set[Fault] = set()

    async def begin(self, now_utc: datetime) -> None:
        """Plan before anybody can read, so that whoever connects first finds a schedule, unless the script has none then."""
        since_s = (now_utc - self.start_utc).total_seconds()
        if not any(self._holds(one, since_s) for one in (FaultKind.SENDER_STOPPED, FaultKind.OPERATOR_GONE)):
            await self._plan(now_utc, since_s)

    async def turn(self, now_utc: datetime) -> tuple[str, ...]:
        """Plan when it is time, beat, clear what has to be cleared; returns what a person would like to know."""
        since_s = (now_utc - self.start_utc).total_seconds()
        notes = [f"fault: {TOLD[one.kind]}" for one in self.faults if self._begins(one, since_s)]
        if self._holds(FaultKind.SENDER_STOPPED, since_s):
            return tuple(notes)
        self.desk.alive = not self._holds(FaultKind.OPERATOR_GONE, since_s)
        if self.desk.alive:
            await self._plan(now_utc, since_s)
            notes += await self._clear(now_utc)
        await self.desk.beat()
        return tuple(notes)

    async def _plan(self, now_utc: datetime, since_s: float) -> None:
        """Send what is due; a withdrawal when the script says so, and a plan again after it."""
        withdraw, old = self._holds(FaultKind.WITHDRAWN, since_s), self._holds(FaultKind.OLD_SCHEDULE, since_s)
        due = self.planned_s is None or since_s - self.planned_s >= PLAN_EVERY_S
        if old and not self._old_shown:
            before_utc = now_utc - timedelta(days=1)
            await self.desk.post(self.offtake_id, self.made_up.schedule(before_utc, max(self.sequence - 2, 0)))
        elif withdraw != self._withdrawn or (self._old_shown and not old) or (due and not withdraw and not old):
            payload = self.made_up.schedule(now_utc, self.sequence, withdrawn=withdraw)
            await self.desk.post(self.offtake_id, payload)
            self.sequence, self.planned_s = self.sequence + 1, since_s
        self._withdrawn, self._old_shown = withdraw, old

    async def _clear(self, now_utc: datetime) -> list[str]:
        """Our operator ends an override after a while."""
        since_utc = self.desk.boards()[self.offtake_id].seen.override_since_utc
        if since_utc is None or now_utc - since_utc < CLEAR_AFTER:
            return []
        await self.desk.clear_override(self.offtake_id)
        return ["our operator has cleared the manual override"]

    def _holds(self, kind: FaultKind, since_s: float) -> bool:
        return holds(self.faults, kind, since_s)

    def _begins(self, one: Fault, since_s: float) -> bool:
        """Whether a fault of ours begins now."""
        if one.kind not in OF_SENDER or one in self._begun or not one.at(since_s):
            return False
        self._begun.add(one)
        return True
