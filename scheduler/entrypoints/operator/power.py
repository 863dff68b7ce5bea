"""Who tells the operator of measured power: our agents; where none runs, dcgm-exporter, or a Prometheus that scrapes it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from scheduler.adapters.clock import Clocks
from scheduler.adapters.kubernetes.objects import Obj, labels_of, name_of, namespace_of, part, text, uid_of
from scheduler.adapters.kubernetes.operator.stores import Stores
from scheduler.adapters.kubernetes.pools import FINISHED_PODS
from scheduler.adapters.kubernetes.quantities import GPU, requests_of, shares_gpus
from scheduler.adapters.kubernetes.runtime.trim import EXPORTER_NAMES, app_names
from scheduler.adapters.metrics.registry import Metrics
from scheduler.adapters.telemetry.asking import Target, Trust
from scheduler.adapters.telemetry.dcgm import Exporters
from scheduler.adapters.telemetry.prometheus import Prometheus, Sought
from scheduler.domain.errors import Misconfigured
from scheduler.domain.telemetry import NodeDraw
from scheduler.entrypoints.operator.agents import AgentOptions, agents_of, pod_targets

EXPORTER_PORT = 9400


@dataclass(frozen=True, slots=True, kw_only=True)
class DcgmOptions:
    """Where DCGM tells of power.

    namespace: only pods of this one are believed to be exporters; empty asks none. prometheus: address of one that scrapes
    them, empty for none; match: matchers that pick this cluster's series; trust: who we are to it.
    """

    namespace: str = ""
    port: int = EXPORTER_PORT
    prometheus: str = ""
    match: str = ""
    trust: Trust = Trust()

    def __post_init__(self) -> None:
        """Check what somebody typed.

        Raises:
            Misconfigured: when it cannot be.
        """
        if self.prometheus and not self.prometheus.startswith(("http://", "https://")):
            raise Misconfigured(f"{self.prometheus!r} is no address", where="--prometheus-url", expected="http://HOST:PORT")
        if set(self.match) & {"{", "}"}:
            raise Misconfigured(f"{self.match!r} is no list of matchers", where="--prometheus-match", expected='cluster="a"')


class Source(Protocol):
    """Somebody who tells of measured power."""

    def draws(self) -> Mapping[str, NodeDraw]:
        """By node what is known now."""
        ...

    def silent(self) -> Mapping[str, str]:
        """Who says nothing, and why."""
        ...

    def run(self, stopping: threading.Event) -> None:
        """Ask until stopped."""
        ...


class Power:
    """All sources, by their gauge and label; the first that knows a node is believed."""

    def __init__(self, sources: Mapping[tuple[str, ...], Source]) -> None:
        """Ask nobody yet. The key is the name of a gauge, and the labels before `state`."""
        self._sources = dict(sources)

    def run(self, stopping: threading.Event) -> None:
        """Ask all of them until stopped, each on a thread of its own: the target of a thread."""
        threads = [
            threading.Thread(target=source.run, args=(stopping,), name="-".join(key), daemon=True)
            for key, source in self._sources.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def draws(self) -> dict[str, NodeDraw]:
        """By node what is known now."""
        found: dict[str, NodeDraw] = {}
        for source in self._sources.values():
            found = {**source.draws(), **found}
        return found

    def gauges(self, metrics: Metrics) -> None:
        """Count who tells and who is silent."""
        for name in {key[0] for key in self._sources}:
            mine = {key[1:]: source for key, source in self._sources.items() if key[0] == name}
            counts = {(*labels, "answering"): float(len(source.draws())) for labels, source in mine.items()}
            silent = {(*labels, "silent"): float(len(source.silent())) for labels, source in mine.items()}
            metrics.replace(name, {**counts, **silent})


def power_of(agents: AgentOptions, dcgm: DcgmOptions, stores: Stores, clock: Clocks) -> Power:
    """Everybody who tells of this cluster's power."""
    sources: dict[tuple[str, ...], Source] = {("agents",): agents_of(agents, stores, clock)}
    uids = partial(_gpu_pods, stores)
    if dcgm.namespace:
        sources["dcgm_nodes", "exporter"] = Exporters(lambda: exporters(dcgm, stores.pods.all()), clock, uids)
    if dcgm.prometheus:
        sought = Sought(url=dcgm.prometheus, match=dcgm.match)
        nodes = lambda: [name_of(node) for node in stores.nodes.all()]  # noqa: E731 - read at every turn
        sources["dcgm_nodes", "prometheus"] = Prometheus(sought, clock, nodes, uids, trust=dcgm.trust)
    return Power(sources)


def exporters(options: DcgmOptions, pods: Sequence[Obj]) -> list[Target]:
    """The exporters of this cluster: by their names, and only where nobody else may make pods."""
    named = (pod for pod in pods if namespace_of(pod) == options.namespace and app_names(labels_of(pod)) & EXPORTER_NAMES)
    return pod_targets(named, options.port)


def _gpu_pods(stores: Stores) -> dict[tuple[str, str], str]:
    """Uids of the pods that hold whole GPUs now."""
    return {
        (namespace_of(pod), name_of(pod)): uid_of(pod)
        for pod in stores.pods.all()
        if text(pod, "status", "phase") not in FINISHED_PODS
        and requests_of(part(pod, "spec")).get(GPU, 0.0) > 0.0
        and not shares_gpus(part(pod, "spec"))
    }
