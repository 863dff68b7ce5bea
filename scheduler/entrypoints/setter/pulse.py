"""A worker's pulse, in memory that its guardian shares with it by a fork: one that stands still is replaced."""

from __future__ import annotations

import mmap
import struct
from time import monotonic

SECONDS = struct.Struct("d")


class Pulse:
    """When the worker last went on."""

    def __init__(self) -> None:
        """Not felt yet."""
        self._memory = mmap.mmap(-1, SECONDS.size)

    def rest(self) -> None:
        """Feel for none, until the next beat: a worker that only begins may wait for a driver or a disk."""
        SECONDS.pack_into(self._memory, 0, 0.0)

    def beat(self) -> None:
        """The worker goes on."""
        SECONDS.pack_into(self._memory, 0, monotonic())

    def age_s(self) -> float:
        """How long it has stood still; 0 before its first beat."""
        (beaten_s,) = SECONDS.unpack_from(self._memory)
        return monotonic() - beaten_s if beaten_s else 0.0
