"""The plant's watchdog, as its PLC would have it: whatever it cannot see to be well starts the boiler."""

from __future__ import annotations

from datetime import datetime, timedelta

from scheduler.domain.plantlink import Heartbeat

TIMEOUT_S = 30.0


class Watchdog:
    """Fed with every heartbeat that is read, and with None whenever none could be."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        """Nothing was seen yet, so the boiler is wanted.

        Args:
            timeout_s: our counter may stand still so long, s: three heartbeats, and at most 60.
        """
        self._timeout = timedelta(seconds=timeout_s)
        self._counter: int | None = None
        self._moved_utc: datetime | None = None
        self._wanted = True

    def sees(self, heartbeat: Heartbeat | None, now_utc: datetime) -> None:
        """Note what was just read; a counter that is seen for the first time has not yet moved."""
        if heartbeat is None:
            return
        self._wanted = heartbeat.boiler_on
        if self._counter is not None and heartbeat.counter != self._counter:
            self._moved_utc = now_utc
        self._counter = heartbeat.counter

    def boiler_on(self, now_utc: datetime) -> bool:
        """Whether the boiler has to run: it is asked for, or the counter has not moved for too long."""
        return self._wanted or self._moved_utc is None or now_utc - self._moved_utc > self._timeout
