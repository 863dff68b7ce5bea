"""The heat plants of a demonstration: each reads its schedule as any plant would, and answers it over a desk in memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from scheduler.adapters.plantlink.memory import MemoryDesk
from scheduler.adapters.plantside.desk import DeskPlantClient
from scheduler.core.publishing.letters import LetterLimits
from scheduler.core.publishing.message import Envelope, heat_schedule
from scheduler.domain.plan import Offer
from scheduler.domain.plantlink import AckVerdict
from scheduler.entrypoints.plantsim.clock import PacedClock
from scheduler.simulate.plant.receiver import Held, nothing_held, received

LEAST_LIMIT_KW = 1.0


@dataclass(slots=True)
class AnsweringPlant:
    """One plant: what it holds, and how often it answered what."""

    client: DeskPlantClient
    held: Held
    answers: Counter[str] = field(default_factory=Counter)
    refused: int = 0

    async def look(self, now_utc: datetime) -> None:
        """Read the newest schedule, and say what it thinks of it."""
        payload = await self.client.schedule()
        if payload is None:
            return
        answer = received(self.held, payload, now_utc, None)
        self.held = answer.held
        if answer.acknowledgement is not None:
            receipt = await self.client.say("acknowledgement", answer.acknowledgement)
            self.answers[str(answer.acknowledgement["verdict"])] += receipt.accepted
            self.refused += not receipt.accepted


@dataclass(slots=True)
class AnsweringPlants:
    """All plants of a site, each behind one offtake."""

    site_id: str
    plants: dict[str, AnsweringPlant] = field(default_factory=dict)
    _desks: dict[str, MemoryDesk] = field(default_factory=dict)
    _clock: PacedClock | None = None

    def cycle(self, offers: Iterable[Offer], now_utc: datetime, sequence: int) -> None:
        """The offers of one cycle reach their plants, which answer them."""
        with asyncio.Runner() as runner:
            for offer in offers:
                runner.run(self._sent(offer, now_utc, sequence))

    async def _sent(self, offer: Offer, now_utc: datetime, sequence: int) -> None:
        name, clock = offer.offtake_id, self._clock or PacedClock(now_utc, speed=0.0)
        self._clock = clock
        clock.move_to(now_utc)
        if name not in self._desks:
            limits = LetterLimits(max_heat_kw=max(float(offer.max_kw.max()), LEAST_LIMIT_KW), tank_kwh=None)
            self._desks[name] = MemoryDesk(self.site_id, {name: limits}, {name: offer.plug_id}, clock)
            self.plants[name] = AnsweringPlant(client=DeskPlantClient(self._desks[name], name, clock), held=nothing_held(name))
        envelope = Envelope(site_id=self.site_id, meter_point_id=f"{name}-meter", sequence=sequence)
        await self._desks[name].post(name, heat_schedule(offer, envelope))
        await self.plants[name].look(now_utc)

    def told(self) -> list[str]:
        """A line for each plant."""
        return [
            f"{name}: schedule {plant.held.newest} acknowledged; so far "
            + ", ".join(f"{plant.answers[verdict]} {verdict}" for verdict in AckVerdict)
            for name, plant in sorted(self.plants.items())
        ]

    def to_json(self) -> Mapping[str, object]:
        """As plain values."""
        return {
            name: {
                "newest": plant.held.newest,
                "refused": plant.refused,
                **{one.value: plant.answers[one] for one in AckVerdict},
            }
            for name, plant in sorted(self.plants.items())
        }
