"""What a long-lived process with many threads asks of the C library's heap, so that its resident set is what it uses.

glibc gives each thread an arena of its own, up to eight for each processor, and keeps what was freed in it: after a cycle that
held all jobs in several copies the process stays as large as it ever was. Two arenas are enough where one thread works at a
time, and free pages go back after the work. Another C library has neither, and keeps what it likes.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress

# malloc.h of glibc.
M_ARENA_MAX = -8
ARENAS = 2


def few_arenas() -> None:
    """Let all threads share few arenas; before any thread is started."""
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)


def give_back() -> None:
    """Return free pages to the system: milliseconds, after work that took much for a moment."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
