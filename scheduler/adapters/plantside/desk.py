"""A plant that sits at the desk itself: no wire between, for demonstrations and tests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from scheduler.core.publishing.letters import NotALetter, body_of
from scheduler.core.publishing.shown import shown_of
from scheduler.domain.plantlink import Heartbeat, Letter, LinkProtocol, Receipt, Sender
from scheduler.ports import Clock, PlantDesk

NOBODY = "another replica is in charge"


class DeskPlantClient:
    """A `ports.PlantClient` without a protocol; what it says is held to the same rules."""

    def __init__(self, desk: PlantDesk, offtake_id: str, clock: Clock, name: str = "desk") -> None:
        """Sit down at `desk` as the plant behind `offtake_id`."""
        self._desk, self._offtake_id, self._clock = desk, offtake_id, clock
        self._sender = Sender(name=name, protocol=LinkProtocol.REST, authenticated=True)

    async def run(self) -> None:
        """As the port says: only wait."""
        await asyncio.Event().wait()

    async def schedule(self) -> Mapping[str, object] | None:
        """As the port says."""
        board = self._desk.boards().get(self._offtake_id)
        return None if board is None else shown_of(board, self._clock.now_utc()).schedule

    async def heartbeat(self) -> Heartbeat | None:
        """As the port says."""
        board = self._desk.boards().get(self._offtake_id)
        return None if board is None else shown_of(board, self._clock.now_utc()).heartbeat

    async def say(self, kind: str, payload: Mapping[str, object]) -> Receipt:
        """As the port says."""
        try:
            body = body_of(kind, payload)
        except NotALetter as error:
            return Receipt(accepted=False, reason=str(error))
        return await self._desk.hand_in(
            Letter(offtake_id=self._offtake_id, sender=self._sender, received_utc=self._clock.now_utc(), body=body)
        )

    def trouble(self) -> str:
        """As the port says."""
        return "" if self._offtake_id in self._desk.boards() else NOBODY
