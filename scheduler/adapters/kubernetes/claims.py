"""Room that is spoken for: pods that wait for a node, and pods of released jobs that are not even there yet.

A node's free GPUs alone would be given away twice: a job released a moment ago has no pods yet, and an insulated pod that
waits comes before any job of ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from scheduler.adapters.kubernetes.jobs import JobView, Lever, live_pods
from scheduler.adapters.kubernetes.objects import Obj, controller_of, going, part, parts, text, uid_of
from scheduler.adapters.kubernetes.pools import NodeRoom, less, pods_that_fit
from scheduler.adapters.kubernetes.quantities import GPU, Gang, requests_of
from scheduler.domain.job import JobPhase


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Equal pods that will take room on a pool, or wherever their own rules let them (None)."""

    gang: Gang
    pool_id: str | None = None


def waiting_pods(pods: Iterable[Obj]) -> tuple[Claim, ...]:
    """GPU pods of anybody that have no node yet, those of one controller and size together."""
    groups: dict[tuple[str, float], list[Obj]] = {}
    for pod in pods:
        waits = text(pod, "status", "phase") == "Pending" and not text(pod, "spec", "nodeName") and not going(pod)
        gpus = requests_of(part(pod, "spec")).get(GPU, 0.0) if waits else 0.0
        if gpus > 0.0 and not parts(pod, "spec", "schedulingGates"):
            groups.setdefault((text(controller_of(pod), "uid") or uid_of(pod), gpus), []).append(pod)
    return tuple(Claim(gang=_gang(group)) for group in groups.values())


def _gang(group: Sequence[Obj]) -> Gang:
    """Pods that are taken to be equal."""
    pod_spec = part(group[0], "spec")
    return Gang(pods=len(group), requests=requests_of(pod_spec), pod_spec=pod_spec)


def unborn_pods(view: JobView) -> Claim | None:
    """Pods of a released native job that its controller has not made yet."""
    if view.lever is not Lever.SUSPEND or view.state.phase is not JobPhase.RUNNING or view.marks.released_utc is None:
        return None
    (gang,) = view.gangs
    missing = gang.pods - len(live_pods(view.pods))
    return Claim(gang=replace(gang, pods=missing), pool_id=view.marks.pool_id) if missing > 0 else None


def after_claims(rooms: Sequence[NodeRoom], claims: Iterable[Claim]) -> tuple[NodeRoom, ...]:
    """The nodes when every claim has taken as much of its room as there is; pass the result wherever room is asked for."""
    left = list(rooms)
    free = [index for index, room in enumerate(left) if room.gpus_free > 0]
    for claim in claims:
        pods = claim.gang.pods
        for index in free:
            here = min(pods, pods_that_fit(claim.gang, claim.pool_id, left[index]))
            if here:
                left[index] = less(left[index], claim.gang.requests, here)
                pods -= here
            if pods <= 0:
                break
        free = [index for index in free if left[index].gpus_free > 0]
    return tuple(left)
