"""A meter that is read in its own rhythm; what it says is handed in like any letter, and so kept before it counts.

While another replica is in charge, nothing is read: many meters answer one asker at a time.
"""

from __future__ import annotations

import asyncio

from scheduler.adapters.logs import Episode, Teller
from scheduler.adapters.metering.mbus import MbusMeter
from scheduler.adapters.metering.reader import MeterReader, Unread
from scheduler.core.publishing.letters import NotALetter, body_of
from scheduler.core.publishing.payloads import payload_of
from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import MeterOptions
from scheduler.domain.plantlink import Letter, LinkProtocol, Sender
from scheduler.ports import Clock, PlantDesk

LEAST_S = 1.0


class MeterInterface:
    """One meter; a `ports.PlantInterface` that only listens."""

    def __init__(self, options: MeterOptions, desk: PlantDesk, clock: Clock, tell: Teller | None = None) -> None:
        """Read nothing yet.

        Raises:
            Misconfigured: an unknown protocol, registers that cannot be, a library that is missing.
        """
        self._options, self._desk, self._clock = options, desk, clock
        self._meter = reader_for(options)
        self._reading = Episode(tell or Teller("plantlink.meter"), f"meter {options.meter_point_id}")
        self._trouble = ""
        self._sender = Sender(name=f"meter {options.meter_point_id}", protocol=LinkProtocol.METER, authenticated=True)

    async def run(self) -> None:
        """Read it until cancelled."""
        while True:
            if self._desk.boards():
                await self.once()
            await asyncio.sleep(max(LEAST_S, self._options.every_s))

    async def once(self) -> None:
        """Read it once and hand in what it says."""
        if self._options.offtake_id not in self._desk.boards():
            return self._failed(f"{self._options.offtake_id}: no such customer")
        try:
            reading = await self._meter.read(self._clock.now_utc())
        except Unread as error:
            return self._failed(str(error))
        try:
            # As if it had come by REST: what no plant may say is not believed of a meter either.
            body = body_of("meter", payload_of(reading))
        except NotALetter as error:
            return self._failed(f"its reading cannot be: {error}")
        letter = Letter(offtake_id=self._options.offtake_id, sender=self._sender, received_utc=self._clock.now_utc(), body=body)
        receipt = await self._desk.hand_in(letter)
        if not receipt.accepted:
            return self._failed(f"its reading is not believed: {receipt.reason}")
        self._trouble = ""
        self._reading.worked()
        return None

    def trouble(self) -> str:
        """As the port says."""
        return self._trouble

    def _failed(self, why: str) -> None:
        self._trouble = why
        self._reading.failed(why)


def reader_for(options: MeterOptions) -> MeterReader:
    """What reads a meter; Modbus loads its library only where it is needed.

    Raises:
        Misconfigured: an unknown protocol, registers that cannot be, a library that is missing.
    """
    if options.protocol == "mbus":
        return MbusMeter(options)
    if options.protocol == "modbus":
        from scheduler.adapters.metering.modbus import ModbusMeter

        return ModbusMeter(options)
    where = f"meter {options.meter_point_id}"
    raise Misconfigured(f"{options.protocol!r} is not known", where=where, expected="modbus or mbus")
