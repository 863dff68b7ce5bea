"""The plant link as one process: one desk, all interfaces, one loop."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scheduler.adapters.clock import Clocks
from scheduler.adapters.logs import Teller
from scheduler.adapters.metrics.link import LINK
from scheduler.adapters.metrics.registry import Metrics
from scheduler.adapters.plantlink.store.database import LinkStore
from scheduler.adapters.plantlink.store.desk import StoredDesk
from scheduler.core.publishing.message import parsed
from scheduler.domain.link_options import LinkOptions
from scheduler.domain.plantlink import Board
from scheduler.entrypoints.link.interfaces import Planned
from scheduler.entrypoints.link.keeper import Keeper
from scheduler.entrypoints.link.pages import Pages

# So long interfaces have to carry the last heartbeat, which says "start the boiler".
GOODBYE_S = 1.0
ENDING = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPlace:
    """Where a link runs: the host name by which it knows the operator beside it, and where its pages are."""

    host: str
    pages_host: str = "127.0.0.1"
    pages_port: int = 9464


class PlantLink:
    """Runs until it is told to end."""

    def __init__(
        self, options: LinkOptions, planned: tuple[Planned, ...], store: LinkStore, clock: Clocks, place: LinkPlace
    ) -> None:
        """Nothing runs yet."""
        self._options, self._clock, self._store, self._place = options, clock, store, place
        self.desk = StoredDesk(store, options.site_id, place.host, clock, options.times, options.meter_senders)
        self._keepers = [Keeper(one, self.desk, clock) for one in planned]
        self._metrics = Metrics(LINK)
        self._counted: dict[tuple[str, ...], float] = {}
        self._pages = Pages(
            {"/healthz": self._health, "/livez": self._health, "/readyz": self._ready, "/metrics": self._exposition},
            place.pages_host,
            place.pages_port,
        )
        self._tell = Teller("plantlink")

    async def run(self, stop: asyncio.Event | None = None) -> None:
        """Run until SIGTERM, SIGINT or `stop`; then say that boilers must start, and end.

        Raises:
            OSError: the address of the pages is taken.
        """
        stopping = stop or asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in ENDING:
            with suppress(ValueError, NotImplementedError):  # not on the main thread
                loop.add_signal_handler(number, stopping.set)
        await self._pages.start()
        self._tell.info("started", site=self._options.site_id, interfaces=[one.name for one in self._keepers])
        desk = asyncio.create_task(self.desk.run())
        keepers = [asyncio.create_task(one.run()) for one in self._keepers]
        waiting = asyncio.create_task(stopping.wait())
        await asyncio.wait({desk, waiting}, return_when=asyncio.FIRST_COMPLETED)
        try:
            if not desk.done():
                await self._goodbye()
        finally:
            await _ended([*keepers, waiting])
            failed = desk.done()
            await _ended([desk])
            await self._pages.stop()
        if failed:
            desk.result()
        self._tell.info("stopped", site=self._options.site_id)

    @property
    def port(self) -> int:
        """Port of the pages."""
        return self._pages.port

    async def _goodbye(self) -> None:
        """The last heartbeat."""
        await self.desk.end()
        await asyncio.sleep(GOODBYE_S if self.desk.boards() else 0.0)

    # Pages.

    def _health(self) -> tuple[int, str, bytes]:
        """We live: whoever answers has a loop that turns."""
        return 200, "application/json", _json({"alive": True})

    def _ready(self) -> tuple[int, str, bytes]:
        """Whether any interface works, and what does not: for one that fails the others must not lose their plants."""
        troubles = {one.name: one.trouble() for one in self._keepers if one.trouble()}
        told = {"speaks": bool(self.desk.boards()), "silent": self.desk.trouble(), "interfaces": troubles}
        return (503 if len(troubles) == len(self._keepers) else 200), "application/json", _json(told)

    def _exposition(self) -> tuple[int, str, bytes]:
        """Everything for Prometheus."""
        metrics, counts = self._metrics, self.desk.counts
        metrics.set("link_speaks", float(bool(self.desk.boards())))
        metrics.set("link_operator_silent_seconds", self.desk.silent_s() or 0.0)
        for keeper in self._keepers:
            metrics.set("link_interface_up", float(not keeper.trouble()), interface=keeper.name)
            self._count("link_interface_failures_total", keeper.failures, interface=keeper.name)
            metrics.begin("link_refusals_total", protocol=keeper.name)
        self._count("link_beats_total", counts.beats)
        for protocol, number in counts.refusals.items():
            self._count("link_refusals_total", number, protocol=protocol)
        for (kind, verdict), number in counts.letters.items():
            self._count("link_letters_total", number, kind=kind, verdict=verdict)
        self._of_plants()
        body, kind = metrics.exposition()
        return 200, kind, body

    def _count(self, name: str, total: float, **labels: str) -> None:
        """Bring a counter up to what was counted elsewhere."""
        key = (name, *labels.values())
        self._metrics.add(name, total - self._counted.get(key, 0.0), **labels)
        self._counted[key] = total

    def _of_plants(self) -> None:
        """Gauges of each customer; those of nobody vanish."""
        gauges: dict[str, dict[tuple[str, ...], float]] = {one.name: {} for one in LINK if one.labels == ("offtake",)}
        for name, board in self.desk.boards().items():
            for gauge, value in self._gauges(board).items():
                if value is not None:
                    gauges[gauge][(name,)] = value
        for gauge, values in gauges.items():
            self._metrics.replace(gauge, values)

    def _gauges(self, board: Board) -> dict[str, float | None]:
        """Gauges of one customer; None: not known."""
        now_utc, seen, schedule = self._clock.now_utc(), board.seen, board.schedule or {}
        issued, until = parsed(schedule.get("issuedAt")), parsed(schedule.get("validUntil"))

        def age_s(at_utc: datetime | None) -> float | None:
            return None if at_utc is None else (now_utc - at_utc).total_seconds()

        sequence = board.heartbeat.last_sequence
        return {
            "link_schedule_sequence": None if sequence is None else float(sequence),
            "link_schedule_age_seconds": age_s(issued),
            "link_schedule_valid_seconds": None if until is None else (until - now_utc).total_seconds(),
            "link_boiler_signal": float(board.heartbeat.boiler_on),
            "link_alarm": float(board.heartbeat.alarm),
            "link_plant_heartbeat_age_seconds": age_s(seen.moved_utc),
            "link_plant_heard_age_seconds": age_s(seen.heard_utc),
            "link_override": float(seen.override is not None),
            "link_acknowledged_sequence": None if seen.acknowledged is None else float(seen.acknowledged.sequence),
        }


async def _ended(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait for their end, whatever it is."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _json(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"
