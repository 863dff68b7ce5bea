"""How long the agent has been silent, kept for who is in charge next: another worker, the standby, the setter of another pod.

A few bytes in a file beside the journal, by the kernel's monotonic clock, which all processes of a machine share in one boot.
They are written over where they are and never forced to the disk: what a crash of the machine loses ends with its boot anyway,
and a disk that has filled up since has room for them.
"""

from __future__ import annotations

import os
import struct
import zlib

SAID = struct.Struct("<dI")


class Silence:
    """When the agent was last heard, by whichever setter of this journal."""

    def __init__(self, descriptor: int, boot: str) -> None:
        """Keep it in an open file; -1, or one that cannot be written: it is not kept.

        Args:
            descriptor: of the file, opened to read and write.
            boot: the boot that this is; of another one nothing is believed.
        """
        self._descriptor, self._boot = descriptor, boot.encode()
        self._told_s: float | None = None

    def hear(self, at_s: float) -> None:
        """The agent has spoken."""
        if at_s == self._told_s or self._descriptor < 0:
            return
        self._told_s = at_s
        try:
            os.pwrite(self._descriptor, SAID.pack(at_s, self._check(at_s)), 0)
        except OSError:
            # Then the next one gives it the whole of its time anew.
            self._told_s = None

    def heard_s(self, now_s: float) -> float | None:
        """When it last did; None: never in this boot, or nobody knows."""
        if self._descriptor < 0:
            return None
        try:
            said = os.pread(self._descriptor, SAID.size, 0)
        except OSError:
            return None
        if len(said) != SAID.size:
            return None
        at_s, check = SAID.unpack(said)
        return at_s if check == self._check(at_s) and 0.0 < at_s <= now_s else None

    def _check(self, at_s: float) -> int:
        """Tells it from a half-written one, and from one of another boot."""
        return zlib.crc32(struct.pack("<d", at_s) + self._boot)


def silent_since_s(now_s: float, heard_s: float | None, contact_s: float, again_s: float, latest_s: float) -> float:
    """Since when an agent counts as silent to a worker that begins now: from then on it has `contact_s`.

    Since it was last heard, but it has `again_s` to be heard by this worker too, and for all workers that begin in one silence
    together no more than `latest_s` beyond its contact: else one that dies again and again would keep a cap for ever.
    """
    if heard_s is None:
        return now_s
    return min(now_s, max(heard_s, min(now_s - contact_s + again_s, heard_s + latest_s)))
