"""A plant link that is nothing but a Modbus server on a desk in memory, as a process that can be killed.

Prints its port, and then beats five times a second with a schedule that needs no boiler.
"""

from __future__ import annotations

import asyncio

from modbus_world import OFFTAKE, UNIT, schedule

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.plantlink.memory import MemoryDesk
from scheduler.adapters.plantlink.modbus.server import ModbusInterface
from scheduler.core.publishing.letters import LetterLimits
from scheduler.domain.link_options import ModbusOptions

BEAT_S = 0.2


async def main() -> None:
    """Serve until killed."""
    clock = SystemClock()
    desk = MemoryDesk("school", {OFFTAKE: LetterLimits(max_heat_kw=500.0, tank_kwh=None)}, {OFFTAKE: "basement"}, clock)
    await desk.post(OFFTAKE, {**schedule(7), "validUntil": "2100-01-01T00:00:00Z"})
    interface = ModbusInterface(ModbusOptions(port=0, units={UNIT: OFFTAKE}), desk, clock)
    serving = asyncio.create_task(interface.run())
    told = False
    while not serving.done():
        await desk.beat()
        if not told and not interface.trouble():
            print(interface.port, flush=True)
            told = True
        await asyncio.sleep(BEAT_S)
    await serving


if __name__ == "__main__":
    asyncio.run(main())
