"""The writing door for a command that somebody runs: no term of leadership, the same pace and patience as the operator's."""

from __future__ import annotations

import threading

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.kubernetes.runtime.client import KubeClient
from scheduler.adapters.kubernetes.runtime.fence import Unfenced
from scheduler.adapters.kubernetes.runtime.limiter import WriteLimiter
from scheduler.adapters.kubernetes.runtime.writer import Reach, Writer


def written_by_hand(client: KubeClient, reach: Reach) -> Writer:
    """Writes through `client`, no further than `reach`."""
    pause = threading.Event()
    limiter = WriteLimiter(SystemClock(), pause.wait)
    return Writer(client, Unfenced(), limiter, pause.wait, reach=lambda: reach)
