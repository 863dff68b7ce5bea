"""Two things at once: what `solve` asks for beside its main road runs in a thread.

A thread changes when a value is there, never which: the work shares nothing that anybody writes, and the solver waits for
it where it needs it. So plans are the same on one core and on four.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Value = TypeVar("Value")


def in_thread(work: Callable[[], Value]) -> Callable[[], Value]:
    """Begin work in a thread of its own; the answer waits for it and returns its value, or raises what it raised."""
    pool = ThreadPoolExecutor(max_workers=1)
    begun = pool.submit(work)
    pool.shutdown(wait=False)
    return begun.result
