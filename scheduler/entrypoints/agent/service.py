"""The agent as a service: which parts there are, their threads, signals and their order."""

from __future__ import annotations

import secrets
import signal
import threading
from pathlib import Path

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.gpu.caps import Caps, Holders, Parts, Wishes
from scheduler.adapters.gpu.host_power import HostPower, Source
from scheduler.adapters.gpu.intervals import Intervals
from scheduler.adapters.gpu.nvml import WrongDriver
from scheduler.adapters.gpu.sampler import Sampler
from scheduler.adapters.gpu.serving import AgentServer, Wired
from scheduler.adapters.gpu.telling import Sources, Telling
from scheduler.adapters.logs import Teller, configure
from scheduler.core.accounting.host_energy import HostModel
from scheduler.entrypoints.agent.setup import Host, Setup
from scheduler.entrypoints.gpu_backends import to_read

EXIT_OK, EXIT_FAILED = 0, 1
ENDING = frozenset({signal.SIGTERM, signal.SIGINT})
API, NONE = "api", "none"
# Threads of ours call nothing that is deep; the usual 8 MB each would be counted against us where memory is not overcommitted.
STACK_BYTES = 512 * 1024


def serve(setup: Setup) -> int:
    """Read, ask and answer until SIGTERM or SIGINT.

    Returns:
        The exit code, 1 when only a new process can speak to the driver, or a part of this one has failed.

    Raises:
        OSError: when the address is taken, or a file of TLS cannot be read.
        Misconfigured: when the parts cannot be put together.
    """
    configure(as_json=setup.log_json, level="info")
    threading.stack_size(STACK_BYTES)
    clock, run = SystemClock(), _Run()
    intervals = Intervals(clock)
    sampler = Sampler(to_read(setup.backend), clock, tell=run.tell.info, intervals=intervals)
    caps = Caps(_parts(setup, clock), clock)
    host = [HostPower(source, intervals, clock, run.tell.warning) for source in _host_sources(setup.power)]
    model = None if setup.power.model is None else HostModel(base_w=setup.power.model[0], factor=setup.power.model[1])
    sources = Sources(sampler=sampler, caps=caps, host=host, model=model)
    telling = Telling(sources, clock, node=setup.node, boot=secrets.token_hex(4))
    server = AgentServer(telling.pages(), _wired(setup))
    run.catch()
    server.start()
    run.tell.info("started", node=setup.node, port=server.port)
    caps.start(run.stopping)
    for power in host:
        threading.Thread(target=power.run, args=(run.stopping,), name=power.name, daemon=True).start()
    try:
        sampler.run(run.stopping)
    except WrongDriver as error:
        run.tell.error("the driver was changed", fault=error)
        return EXIT_FAILED
    finally:
        run.stopping.set()
        server.close()
    run.tell.info("stopped")
    return run.code


class _Run:
    """One run: that it is to end, and with which code."""

    def __init__(self) -> None:
        self.stopping, self.code, self.tell = threading.Event(), EXIT_OK, Teller("agent")

    def catch(self) -> None:
        """End by a signal, and by a thread that failed: half an agent would look like a whole one."""
        # Waited for, never handled: a handler that takes a lock would wait for ever, where a second signal comes within the
        # first. Threads that are started from here on inherit that none of them is met by one.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        threading.Thread(target=self._told, name="signals", daemon=True).start()
        threading.excepthook = self._failed

    def _told(self) -> None:
        signal.sigwait(ENDING)
        self.stopping.set()

    def _failed(self, failed: threading.ExceptHookArgs) -> None:
        name = failed.thread.name if failed.thread is not None else "?"
        self.tell.error("a part of the agent has failed", fault=failed.exc_value, part=name)
        self.code = EXIT_FAILED
        self.stopping.set()


def _wired(setup: Setup) -> Wired:
    return Wired(
        host=setup.host,
        port=setup.port,
        token_file=_path(setup.token_file),
        certificate=_path(setup.tls_certificate),
        key=_path(setup.tls_key),
    )


def _parts(setup: Setup, clock: SystemClock) -> Parts:
    """What there is of capping; of parts that are not asked for not even the code is loaded."""
    holders: Holders | None = None
    if setup.pod_resources:
        from scheduler.adapters.gpu.pod_resources import RESOURCES, PodResources

        holders = PodResources(Path(setup.pod_resources), clock, setup.gpu_resources or RESOURCES)
    setter = None
    if setup.setter:
        from scheduler.adapters.gpu.setter_client import SetterClient

        setter = SetterClient(Path(setup.setter))
    if setup.wishes == NONE:
        return Parts(holders=holders, setter=setter)
    if setup.wishes == API:
        return Parts(wishes=_from_api(setup, clock), holders=holders, setter=setter)
    from scheduler.adapters.gpu.wishes_file import STATUS_SUFFIX, FileWishes

    path = Path(setup.wishes)
    file = FileWishes(path, clock, status_file=path.with_name(path.name + STATUS_SUFFIX) if setter is not None else None)
    return Parts(wishes=file, holders=holders or file, setter=setter)


def _from_api(setup: Setup, clock: SystemClock) -> Wishes:
    """Wishes as the cluster has them."""
    from scheduler.adapters.gpu.kube_http import Access, in_cluster
    from scheduler.adapters.gpu.kube_watch import Reach
    from scheduler.adapters.gpu.wishes_api import ApiWishes

    api = setup.api
    given = Access(url=api.url, token_file=_path(api.token_file), ca_file=_path(api.ca_file))
    reach = Reach(access=given if api.url else in_cluster(), clock=clock)
    return ApiWishes(reach, node=setup.node, lease_namespace=setup.lease_namespace)


def _host_sources(power: Host) -> list[Source]:
    """What measures the host."""
    found: list[Source] = []
    if power.redfish_url:
        from scheduler.adapters.gpu.redfish import Controller, Redfish

        credentials, authority = _path(power.redfish_credentials), _path(power.redfish_ca)
        found.append(Redfish(Controller(url=power.redfish_url, credentials_file=credentials, ca_file=authority)))
    if power.rapl:
        from scheduler.adapters.gpu.rapl import Rapl

        found.append(Rapl(Path(power.rapl)))
    return found


def _path(text: str) -> Path | None:
    return Path(text) if text else None
