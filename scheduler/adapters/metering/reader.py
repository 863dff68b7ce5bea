"""What every meter that we read has in common."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from scheduler.domain.plantlink import MeterReading


class Unread(Exception):
    """A meter that could not be read this time; says why, in words for people."""


class MeterReader(Protocol):
    """One meter."""

    async def read(self, now_utc: datetime) -> MeterReading:
        """What it shows now.

        Raises:
            Unread: it does not answer, or not as a meter does.
        """
        ...
