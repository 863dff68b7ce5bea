"""A meter on an M-Bus behind a TCP gateway: one conversation per reading, bounded in bytes and time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime

from scheduler.adapters.metering.mbus_frames import ACK, BadFrame, answer_of, length_of, request, reset
from scheduler.adapters.metering.mbus_records import Quantity, Telegram, telegram_of
from scheduler.adapters.metering.reader import Unread
from scheduler.domain.link_options import MeterOptions
from scheduler.domain.plantlink import MeterReading

# A heat meter needs one to three; one that never says its last is asked no further.
MOST_TELEGRAMS = 8


class MbusMeter:
    """Reads one meter by its primary address."""

    def __init__(self, options: MeterOptions) -> None:
        """Connect to nothing yet."""
        self._options = options

    async def read(self, now_utc: datetime) -> MeterReading:
        """What it shows now.

        Raises:
            Unread: it does not answer, or not as a meter does.
        """
        place = f"{self._options.host}:{self._options.port}"
        try:
            async with asyncio.timeout(self._options.timeout_s):
                reader, writer = await asyncio.open_connection(self._options.host, self._options.port)
                try:
                    telegrams = await self._telegrams(reader, writer)
                finally:
                    writer.close()
                    with suppress(OSError):
                        await writer.wait_closed()
        except TimeoutError:
            raise Unread(f"meter {self._options.address} at {place} did not answer in time") from None
        except asyncio.IncompleteReadError:
            raise Unread(f"{place} hung up") from None
        except OSError as error:
            raise Unread(f"{place}: {error.strerror or error}") from None
        except BadFrame as error:
            raise Unread(f"meter {self._options.address} at {place}: {error}") from None
        return reading_of(telegrams, self._options.meter_point_id, now_utc)

    async def _telegrams(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> list[Telegram]:
        """Begin anew, then ask until it has said all."""
        address = self._options.address
        writer.write(reset(address))
        await writer.drain()
        if await reader.readexactly(1) != bytes((ACK,)):
            raise BadFrame("does not acknowledge")
        found: list[Telegram] = []
        for turn in range(MOST_TELEGRAMS):
            writer.write(request(address, turn))
            await writer.drain()
            head = await reader.readexactly(4)
            answer = answer_of(head + await reader.readexactly(length_of(head) - len(head)))
            if answer.address not in {address, 0} and address < 251:
                raise BadFrame(f"meter {answer.address} answered instead")
            found.append(telegram_of(answer.information, answer.data))
            if not found[-1].more:
                break
        return found


def reading_of(telegrams: list[Telegram], meter_point_id: str, now_utc: datetime) -> MeterReading:
    """What some telegrams of one meter say together; of a quantity told twice the first counts."""
    values: dict[Quantity, float] = {}
    errors: list[str] = []
    for one in telegrams:
        values = {**one.values, **values}
        errors += [text for text in one.errors if text not in errors]
    return MeterReading(
        meter_point_id=meter_point_id,
        at_utc=now_utc,
        energy_kwh=values.get(Quantity.ENERGY),
        volume_m3=values.get(Quantity.VOLUME),
        heat_kw=values.get(Quantity.POWER),
        flow_m3_per_h=values.get(Quantity.FLOW),
        supply_c=values.get(Quantity.SUPPLY),
        return_c=values.get(Quantity.RETURN),
        meter_id=telegrams[0].meter_id if telegrams else "",
        error="; ".join(errors),
    )
