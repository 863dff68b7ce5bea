"""The agent as a service: threads, signals and their order."""

from __future__ import annotations

import secrets
import signal
import threading

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.gpu.nvml import Nvml, WrongDriver
from scheduler.adapters.gpu.sampler import Sampler
from scheduler.adapters.gpu.serving import AgentServer, Telling, Wired
from scheduler.adapters.kubernetes.runtime.logs import Teller, configure

EXIT_DRIVER = 1


def serve(wired: Wired, node: str) -> int:
    """Read and answer until SIGTERM or SIGINT; returns the exit code, 1 when only a new process can speak to the driver.

    Raises:
        OSError: when the address is taken, or a file of TLS cannot be read.
    """
    configure(as_json=False, level="info")
    tell, clock, stopping = Teller("agent"), SystemClock(), threading.Event()
    sampler = Sampler(Nvml(), clock, tell=tell.info)
    server = AgentServer(Telling(sampler, clock, node=node, boot=secrets.token_hex(4)), wired)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    server.start()
    tell.info("started", node=node, port=server.port)
    try:
        sampler.run(stopping)
    except WrongDriver as error:
        tell.error("the driver was changed", fault=error)
        return EXIT_DRIVER
    finally:
        server.close()
    tell.info("stopped")
    return 0
