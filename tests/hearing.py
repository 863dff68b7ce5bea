"""An agent's ear at an API server, for as long as a block runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from scheduler.adapters.gpu.wishes_api import ApiWishes


@contextmanager
def hearing(wishes: ApiWishes) -> Iterator[ApiWishes]:
    """Let it listen; it has ended when the block has."""
    stopping = threading.Event()
    wishes.start(stopping)
    try:
        yield wishes
    finally:
        stopping.set()
        wishes.join()
