"""How a process with children is told to end: by a handler that does next to nothing.

A handler runs within whatever the main thread does just then. One that takes a lock, as `threading.Event.set` does, waits for
ever where a second signal comes within the first. Signals could be kept from all threads and waited for, but children would
inherit that, and could not be ended.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

ENDING = (signal.SIGTERM, signal.SIGINT)


def told_to_end() -> Callable[[], bool]:
    """Heed SIGTERM and SIGINT from now on; the answer says, again and again, whether one has come. For the main thread."""
    came: list[int] = []
    for number in ENDING:
        signal.signal(number, lambda number, _frame: came.append(number))
    return lambda: bool(came)
