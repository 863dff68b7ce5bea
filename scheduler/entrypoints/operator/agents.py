"""Where the operator asks for measured power: the agents' pods, or addresses that somebody names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.adapters.clock import MonotonicClock
from scheduler.adapters.kubernetes.objects import Obj, labels_of, namespace_of, text
from scheduler.adapters.kubernetes.operator.stores import Stores
from scheduler.adapters.kubernetes.runtime.trim import AGENT_LABEL, AGENT_NAME
from scheduler.adapters.telemetry.agents import Agents, Target, Trust
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
    scheme = "https" if options.secure else "http"
    found = {}
    for pod in pods:
        node, address = text(pod, "spec", "nodeName"), text(pod, "status", "podIP")
        if node and address and text(pod, "status", "phase") == "Running" and _is_agent(pod, options.namespace):
            host = f"[{address}]" if ":" in address else address
            found[node] = Target(node=node, url=f"{scheme}://{host}:{options.port}")
    return tuple({**found, **{one.node: one for one in options.named}}.values())


def _is_agent(pod: Obj, namespace: str) -> bool:
    """Whether a pod is an agent's: by its label, and only where nobody else may make pods."""
    return namespace_of(pod) == namespace and labels_of(pod).get(AGENT_LABEL) == AGENT_NAME


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
