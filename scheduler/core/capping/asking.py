"""What an agent asks its setter for: each cap that is wished, while its pod alone holds the GPU and the operator is alive."""

from __future__ import annotations

import math

from scheduler.domain.capping import Asking, CapWish, Heard, NodeWish, Occupancy, Restored, Want

OCCUPANCY_AGE_S = 1.5
"""What the kubelet said longer ago than this is not known any more.

It is asked twice a second and may take a second; where it falls silent just before another pod comes, the limit is back two
seconds later all the same.
"""

EXACT_S, STEP_S = 30.0, 5.0
"""Of a lease with more than the one left whole steps are asked for: so an order is the same for seconds, and is made once.

It is asked for again several times a second, and exactly towards its end, so that it ends when it should.
"""


def may_ask(heard: Heard, occupancy: Occupancy) -> bool:
    """Whether both sources have spoken since this agent began.

    Before that nothing is asked: an empty order would take back what the agent before this one keeps. If they stay silent the
    setter gives all limits back by itself.
    """
    return heard.begun and occupancy.seen_s is not None


def asked(heard: Heard, occupancy: Occupancy, now_s: float, *, occupancy_age_s: float = OCCUPANCY_AGE_S) -> Asking:
    """All caps to ask for now.

    A GPU is asked for when the one pod that holds it is the one that the wish means, for

        lease_s = alive_s + lease_s(wish) - now_s

    seconds (see `EXACT_S`), at most the lease itself. Every other GPU that is wished for is in `back` with the reason: the
    occupant first, since that ends a cap also where an expired one is held.

    Args:
        heard: what is wished, when the operator was last seen alive, who is who on this node.
        occupancy: who holds which GPU.
        now_s: on the monotonic clock of `heard` and `occupancy`.
        occupancy_age_s: how old what the kubelet said may be.
    """
    wish = heard.wish
    if wish is None:
        return Asking(source="", generation=0)
    lease_s = _stepped_s(lease_left_s(heard, now_s))
    twice = _twice(wish)
    wants: list[Want] = []
    back: dict[str, Restored] = {}
    for one in wish.gpus:
        if one.uuid in twice:
            back[one.uuid] = Restored.REFUSED
        elif not one.pod_uid or pod_on(one.uuid, heard, occupancy, now_s, occupancy_age_s=occupancy_age_s) != one.pod_uid:
            back[one.uuid] = Restored.OCCUPANT
        elif lease_s <= 0.0:
            back[one.uuid] = Restored.EXPIRED
        else:
            wants.append(_want(one, lease_s))
    return Asking(source=wish.source, generation=wish.generation, plan_id=wish.plan_id, wants=tuple(wants), back=back)


class Asker:
    """`asked`, which gives the same object again as long as nothing has changed that it hangs on."""

    def __init__(self) -> None:
        """Nothing was asked for yet."""
        self._hangs_on: tuple[object, ...] = ()
        self._asking = Asking(source="", generation=0)

    def asked(self, heard: Heard, occupancy: Occupancy, now_s: float) -> Asking:
        """All caps to ask for now."""
        lease_s = _stepped_s(lease_left_s(heard, now_s))
        hangs_on = (heard.wish, heard.pods, occupancy.by_uuid, known(occupancy, now_s), lease_s)
        if hangs_on != self._hangs_on:
            self._hangs_on, self._asking = hangs_on, asked(heard, occupancy, now_s)
        return self._asking


def lease_left_s(heard: Heard, now_s: float) -> float:
    """Seconds until the caps that are wished end unless another sign of life is seen; 0 when they have, or none is wished."""
    wish = heard.wish
    if wish is None or heard.alive_s is None:
        return 0.0
    # A sign of life from the future would make the lease longer than it is.
    return max(0.0, min(wish.lease_s, heard.alive_s + wish.lease_s - now_s))


def known(occupancy: Occupancy, now_s: float, occupancy_age_s: float = OCCUPANCY_AGE_S) -> bool:
    """Whether the kubelet said lately who holds which GPU."""
    return occupancy.seen_s is not None and now_s - occupancy.seen_s <= occupancy_age_s


def pod_on(uuid: str, heard: Heard, occupancy: Occupancy, now_s: float, *, occupancy_age_s: float = OCCUPANCY_AGE_S) -> str:
    """Uid of the one pod that holds a GPU; empty when none does, several do, or it is not known which."""
    holder = occupancy.by_uuid.get(uuid)
    if holder is None or holder.shared or not known(occupancy, now_s, occupancy_age_s):
        return ""
    return heard.pods.get((holder.namespace, holder.name), "")


def _stepped_s(left_s: float) -> float:
    """A lease as it is asked for."""
    return left_s if left_s <= EXACT_S else STEP_S * math.floor(left_s / STEP_S)


def _twice(wish: NodeWish) -> frozenset[str]:
    """GPUs that are named more than once, of which nobody knows what is meant."""
    named = [one.uuid for one in wish.gpus]
    return frozenset(uuid for uuid in named if named.count(uuid) > 1) if len(set(named)) < len(named) else frozenset()


def _want(one: CapWish, lease_s: float) -> Want:
    return Want(uuid=one.uuid, cap_w=one.cap_w, lease_s=lease_s, pod_uid=one.pod_uid, emergency=one.emergency)
