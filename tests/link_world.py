"""A desk with two customers, and schedules for them: what tests of MQTT and webhooks share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.plantlink.memory import MemoryDesk
from scheduler.core.publishing.letters import LetterLimits
from scheduler.core.publishing.message import RESOLUTION_S, stamp
from scheduler.domain.plantlink import Board

SITE, CITY, POOL = "site", "city", "pool"
WAIT_S = 20.0


class World(MemoryDesk):
    """A desk that may also lose its charge, and whose schedules are easily made."""

    def __init__(self, tank_kwh: float | None = None) -> None:
        """Two customers, no schedule."""
        limits = {name: LetterLimits(max_heat_kw=500.0, tank_kwh=tank_kwh) for name in (CITY, POOL)}
        super().__init__(SITE, limits, dict.fromkeys(limits, "plug"), SystemClock())
        self.in_charge = True

    def boards(self) -> dict[str, Board]:
        """Nothing while another replica is in charge."""
        return dict(super().boards()) if self.in_charge else {}

    async def plan(self, sequence: int, offtake_id: str = CITY, **changed: object) -> dict[str, object]:
        """Post a schedule."""
        made = schedule_of(sequence, offtake_id) | changed
        await self.post(offtake_id, made)
        return made


def schedule_of(sequence: int, offtake_id: str = CITY, hours: int = 1) -> dict[str, object]:
    """A HeatSchedule that is valid for two hours."""
    now_utc = SystemClock().now_utc()
    start_utc = now_utc.replace(minute=now_utc.minute // 15 * 15, second=0, microsecond=0)
    rows = [_row(start_utc + timedelta(seconds=i * RESOLUTION_S)) for i in range(4 * hours)]
    return {
        "schemaVersion": "1.0", "siteId": SITE, "plugId": "plug", "offtakeId": offtake_id, "meterPointId": "meter",
        "messageId": f"{sequence:032x}", "sequence": sequence, "supersedes": None, "issuedAt": stamp(now_utc),
        "validFrom": stamp(start_utc), "validUntil": stamp(now_utc + timedelta(hours=2)), "resolution": "PT15M", "kind": "plan",
        "mode": "dispatch", "intervals": rows, "boilerRequestKw": 0.0, "reason": "",
    }  # fmt: skip


def _row(start_utc: datetime) -> dict[str, object]:
    return {
        "start": stamp(start_utc), "heatKw": 100.0, "p10": 90.0, "p90": 110.0, "firmKw": 80.0, "maxKw": 200.0, "minKw": 0.0,
        "supplyC": 75.0, "returnMaxC": 45.0, "flowM3h": 2.9, "probShortfall": 0.0, "gco2PerKwhHeat": None,
    }  # fmt: skip


async def until(ready: Callable[[], bool]) -> None:
    """Wait until something is so.

    Raises:
        TimeoutError: it never was.
    """
    async with asyncio.timeout(WAIT_S):
        while not ready():  # noqa: ASYNC110 - what is waited for lies in other processes
            await asyncio.sleep(0.02)


async def until_is(read: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something that has to be asked for is so.

    Raises:
        TimeoutError: it never was.
    """
    async with asyncio.timeout(WAIT_S):
        while not await read():  # noqa: ASYNC110 - what is waited for lies in other processes
            await asyncio.sleep(0.02)
