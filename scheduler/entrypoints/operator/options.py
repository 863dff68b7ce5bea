"""How one operator process runs."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path

from scheduler.adapters.kubernetes.runtime.lease import LeaseTimes
from scheduler.adapters.kubernetes.runtime.reflector import ReflectorOptions
from scheduler.entrypoints.operator.agents import AgentOptions
from scheduler.entrypoints.operator.power import DcgmOptions
from scheduler.entrypoints.operator.signals import SignalOptions
from scheduler.entrypoints.operator.standing import LEASE_NAMESPACE, NAMESPACE
from scheduler.entrypoints.web.options import LiveOptions
from scheduler.loop.runner import GUARD_S

TICK_S = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How it runs.

    namespace: the installation that it belongs to. lease_namespace: where all installations look for the one Lease.
    cycle_s: how often the timer asks whether a policy's cycle is due. ledger: database of the ledger and of the past.
    series: a series.csv with prices, weather and demand, the first link of every chain. signals: how sources are asked.
    record: folder for recorded cycles, of which the last `record_keep` stay. agents, dcgm: who is asked for
    measured power. link_host: by which a plant link knows that it stands beside this replica. pod: our own, which is labelled
    while we lead; empty: we are none. live: how the live page is served; None: it is not.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str = NAMESPACE
    lease_namespace: str = LEASE_NAMESPACE
    identity: str = ""
    host: str = ""
    port: int = 8080
    ledger: str = "sqlite:///heat-dispatch.db"
    series: Path | None = None
    signals: SignalOptions = field(default_factory=SignalOptions)
    record: Path | None = None
    record_keep: int = 96
    agents: AgentOptions = field(default_factory=AgentOptions)
    dcgm: DcgmOptions = field(default_factory=DcgmOptions)
    link_host: str = field(default_factory=socket.gethostname)
    pod: str = ""
    live: LiveOptions | None = None
    writes_per_s: float = 20.0
    workers: int = 4
    cycle_s: float = TICK_S
    guard_s: float = GUARD_S
    lease: LeaseTimes = field(default_factory=LeaseTimes)
    reflector: ReflectorOptions = field(default_factory=ReflectorOptions)
