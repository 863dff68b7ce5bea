"""A meter with Modbus TCP: each quantity from where its manual says it is."""

from __future__ import annotations

import asyncio
import logging
import math
import struct
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from scheduler.adapters.metering.reader import Unread
from scheduler.domain.errors import Misconfigured
from scheduler.domain.link_options import MeterOptions, MeterRegister
from scheduler.domain.plantlink import MeterReading

try:
    from pymodbus.client import AsyncModbusTcpClient
    from pymodbus.exceptions import ModbusException
except ImportError as error:
    raise Misconfigured(
        f"{error.name or error} is missing", where="meters", expected="pip install heat-dispatch[modbus]"
    ) from None

# Words of a kind of value, and how `struct` reads them.
KINDS = {
    "uint16": (1, ">H"),
    "int16": (1, ">h"),
    "uint32": (2, ">I"),
    "int32": (2, ">i"),
    "uint64": (4, ">Q"),
    "int64": (4, ">q"),
    "float32": (2, ">f"),
    "float64": (4, ">d"),
}
QUANTITIES = ("energy_kwh", "volume_m3", "heat_kw", "flow_m3_per_h", "supply_c", "return_c")
TABLES = ("input", "holding")


def checked(options: MeterOptions) -> None:
    """See to it that every register can be read.

    Raises:
        Misconfigured: a kind, quantity or table that does not exist, or no register at all.
    """
    where = f"meter {options.meter_point_id}"
    if not options.registers:
        raise Misconfigured("no registers", where=where, expected="where the meter keeps what, from its manual")
    for one in options.registers:
        for value, known in ((one.kind, tuple(KINDS)), (one.quantity, QUANTITIES), (one.table, TABLES)):
            if value not in known:
                raise Misconfigured(f"{value!r} is not known", where=where, expected=", ".join(known))
        if not 0 <= one.address <= 0xFFFF:
            raise Misconfigured(f"register {one.address}", where=where, expected="0 to 65535")


def value_of(words: Sequence[int], register: MeterRegister) -> float | None:
    """A register's value; None when the meter says "not a number"."""
    ordered = list(reversed(words)) if register.low_word_first else list(words)
    raw = struct.unpack(KINDS[register.kind][1], struct.pack(f">{len(ordered)}H", *ordered))[0]
    number = float(raw) * register.value_per_count
    return number if math.isfinite(number) else None


class ModbusMeter:
    """Reads one meter by its unit id."""

    def __init__(self, options: MeterOptions) -> None:
        """Connect to nothing yet.

        Raises:
            Misconfigured: registers that cannot be read.
        """
        checked(options)
        self._options = options
        # The library tells every lost connection itself; we tell it once, as of a meter.
        logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)

    async def read(self, now_utc: datetime) -> MeterReading:
        """As `MeterReader` says."""
        given = self._options
        place = f"unit {given.address} at {given.host}:{given.port}"
        client = AsyncModbusTcpClient(
            given.host, port=given.port, timeout=given.timeout_s, retries=0, reconnect_delay=0, reconnect_delay_max=0
        )
        try:
            async with asyncio.timeout(given.timeout_s):
                if not await client.connect():
                    raise Unread(f"{place}: no connection")
                values = {one.quantity: await self._value(client, one, place) for one in given.registers}
        except TimeoutError:
            raise Unread(f"{place} did not answer in time") from None
        except (ModbusException, OSError) as error:
            raise Unread(f"{place}: {error}") from None
        finally:
            client.close()
        return MeterReading(
            meter_point_id=given.meter_point_id,
            at_utc=now_utc,
            energy_kwh=values.get("energy_kwh"),
            volume_m3=values.get("volume_m3"),
            heat_kw=values.get("heat_kw"),
            flow_m3_per_h=values.get("flow_m3_per_h"),
            supply_c=values.get("supply_c"),
            return_c=values.get("return_c"),
        )

    async def _value(self, client: Any, register: MeterRegister, place: str) -> float | None:
        ask = client.read_input_registers if register.table == "input" else client.read_holding_registers
        count = KINDS[register.kind][0]
        answer = await ask(register.address, count=count, device_id=self._options.address)
        if answer.isError() or len(answer.registers) != count:
            raise Unread(f"{place} refuses {register.table} register {register.address} ({register.quantity})")
        return value_of(answer.registers, register)
