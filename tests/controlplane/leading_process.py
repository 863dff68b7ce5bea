"""A replica as a process: runs for a Lease and, while it leads, writes its name and a number as fast as it may.

    python leading_process.py KUBECONFIG NAMESPACE IDENTITY LEASE_S

It writes our own kind by server-side apply without a resourceVersion, so that nothing but the fence keeps it from writing.
"""

from __future__ import annotations

import signal
import sys
import threading
from itertools import count
from pathlib import Path

import numpy as np

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.kubernetes.runtime.client import KubeClient
from scheduler.adapters.kubernetes.runtime.connection import Connection, Timeouts, configuration
from scheduler.adapters.kubernetes.runtime.election import Election
from scheduler.adapters.kubernetes.runtime.errors import ApiError
from scheduler.adapters.kubernetes.runtime.fence import Fenced, Term
from scheduler.adapters.kubernetes.runtime.kinds import NODE_POWERS
from scheduler.adapters.kubernetes.runtime.lease import Contest, LeaseTimes
from scheduler.adapters.kubernetes.runtime.limiter import WriteLimiter
from scheduler.adapters.kubernetes.runtime.writer import Congested, Reach, Writer

WAIT = Timeouts(connect_s=0.3, read_s=0.7)


def main() -> None:
    """Run until SIGTERM."""
    kubeconfig, namespace, identity, lease_s = sys.argv[1:]
    times = LeaseTimes(
        lease_s=int(lease_s), renew_every_s=0.3, retry_s=0.1, renew_deadline_s=int(lease_s) * 0.7, jitter_fraction=0.2
    )
    clock, stopping = SystemClock(), threading.Event()
    client = KubeClient(Connection(configuration(Path(kubeconfig))), WAIT)
    limiter = WriteLimiter(clock, stopping.wait, rate_per_s=50.0)
    election = Election(
        client,
        clock,
        np.random.default_rng(len(identity)).random,
        lease=(namespace, "leader"),
        contest=Contest(identity, times),
        on_started=lambda term: print(f"leading {term.number}", flush=True),
        on_stopped=lambda term: print(f"over {term.over}", flush=True),
    )
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    election.start()
    numbers = count()
    # A plan made in a term keeps being carried out to the end of that term, as an actuator would.
    while not stopping.is_set():
        term = election.term
        if term is None:
            stopping.wait(0.02)
            continue
        carry_out(Writer(client, term, limiter, stopping.wait, reach=lambda: Reach.FULL), term, identity, numbers, stopping)
    election.stop()


def carry_out(writer: Writer, term: Term, identity: str, numbers: count[int], stopping: threading.Event) -> None:
    """Write until the fence says no."""
    while not stopping.is_set():
        body = {"spec": {"planId": f"{identity}-{next(numbers)}", "generation": term.number, "gpus": []}}
        try:
            writer.apply(NODE_POWERS, body, "shared")
        except (Fenced, Congested):
            # Over, or told to stop while it waited for its turn.
            return
        except ApiError:
            stopping.wait(0.05)


if __name__ == "__main__":
    main()
