"""Where the operator asks for measured power: the agents' pods, or addresses that somebody names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scheduler.adapters.clock import MonotonicClock
from scheduler.adapters.kubernetes.objects import Obj, labels_of, namespace_of, text
from scheduler.adapters.kubernetes.operator.stores import Stores
from scheduler.adapters.kubernetes.runtime.trim import AGENT_NAME, app_names
from scheduler.adapters.telemetry.agents import Agents
from scheduler.adapters.telemetry.asking import Target, Trust
from scheduler.domain.errors import Misconfigured

PORT = 9464
NAMESPACE = "heat-dispatch-agents"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOptions:
    """How agents are found and asked.

    namespace: only pods of this one are believed to be agents. named: agents that are no pods.
    """

    namespace: str = NAMESPACE
    port: int = PORT
    secure: bool = False
    trust: Trust = Trust()
    named: tuple[Target, ...] = ()


def agents_of(options: AgentOptions, stores: Stores, clock: MonotonicClock) -> Agents:
    """The agents of this cluster."""
    return Agents(lambda: targets(options, stores.pods.all()), clock, trust=options.trust)


def targets(options: AgentOptions, pods: Sequence[Obj]) -> tuple[Target, ...]:
    """One address per node: a named one, else the running pod of its agent."""
    agents = (pod for pod in pods if namespace_of(pod) == options.namespace and AGENT_NAME in app_names(labels_of(pod)))
    found = pod_targets(agents, options.port, "https" if options.secure else "http")
    return tuple({one.node: one for one in (*found, *options.named)}.values())


def pod_targets(pods: Iterable[Obj], port: int, scheme: str = "http") -> list[Target]:
    """Where these pods listen, those that run."""
    found = []
    for pod in pods:
        node, address = text(pod, "spec", "nodeName"), text(pod, "status", "podIP")
        if node and address and text(pod, "status", "phase") == "Running":
            host = f"[{address}]" if ":" in address else address
            found.append(Target(node=node, url=f"{scheme}://{host}:{port}"))
    return found


def named_targets(named: Sequence[str]) -> tuple[Target, ...]:
    """`NODE=URL` each.

    Raises:
        Misconfigured: when one is not.
    """
    found = []
    for one in named:
        node, _, url = one.partition("=")
        if not node or not url.startswith(("http://", "https://")):
            raise Misconfigured(f"{one!r} names no agent", where="--agent", expected="NODE=http://HOST:PORT")
        found.append(Target(node=node, url=url))
    return tuple(found)
