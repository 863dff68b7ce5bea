"""A software plant on a wire: reads what there is, steps, says what it has to say; over anything that is a `PlantClient`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from scheduler.ports import PlantClient
from scheduler.simulate.plant.plant import Heard, PlantStep, SoftwarePlant

# A schedule is read when the heartbeat names one that is not held, and every so often even if it does not.
READ_AGAIN_S = 300.0


@dataclass(slots=True)
class PlantTalk:
    """The plant and its end of the wire."""

    plant: SoftwarePlant
    client: PlantClient
    read_s: float | None = None
    read_again_s: float = READ_AGAIN_S

    async def turn(self, now_utc: datetime) -> PlantStep:
        """One round at `now_utc`: listen, decide, speak."""
        heard = await self.listen(now_utc)
        step = self.plant.step(now_utc, heard)
        for said in step.letters:
            self.plant.answered(said, await self.client.say(said.kind, said.payload))
        return step

    async def listen(self, now_utc: datetime) -> Heard:
        """What can be read now; nothing over a wire that is cut."""
        if not self.plant.reachable(now_utc):
            return Heard()
        heartbeat = await self.client.heartbeat()
        since_s = self.plant.since_s(now_utc)
        named = None if heartbeat is None else heartbeat.last_sequence
        waited = self.read_s is None or since_s - self.read_s >= self.read_again_s
        if not waited and (named is None or named == self.plant.held.newest):
            return Heard(heartbeat=heartbeat)
        self.read_s = since_s
        return Heard(heartbeat=heartbeat, schedule=await self.client.schedule())
