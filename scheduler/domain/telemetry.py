"""What the agent of one node says of its GPUs: mean power since it was last asked, and which pod sits on which."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuDraw:
    """One GPU.

    pod_uid: the pod that holds it, "" for none, None when the agent does not know. draw_w: mean since it was last asked, None
    when nothing was measured. limit_w: power limit in force.
    """

    uuid: str
    pod_uid: str | None = None
    draw_w: float | None = None
    limit_w: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDraw:
    """One node.

    measured_utc: end of the last interval that was measured, by the clock of the node. wall_w: what the whole node takes,
    None when nothing on the node measures it.
    """

    node: str
    measured_utc: datetime
    gpus: tuple[GpuDraw, ...]
    wall_w: float | None = None

    @property
    def draw_w(self) -> float | None:
        """All GPUs together; None when one of them was not measured."""
        known = [gpu.draw_w for gpu in self.gpus if gpu.draw_w is not None]
        return sum(known) if len(known) == len(self.gpus) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PodDraw:
    """GPUs of one pod and what they draw together."""

    gpus: int
    draw_w: float
