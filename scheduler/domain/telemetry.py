"""What the agent of one node says of its GPUs: mean power since it was last asked, and which pod sits on which."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

VERSION = 1
"""Of the document in which an agent tells; whoever reads another one does not guess."""
PATH = "/v1/telemetry"
"""Where an agent tells it."""


class WallOf(StrEnum):
    """Where the power of a whole node comes from."""

    MEASURED = "measured"
    """By its power supplies, or its own meter."""
    MODELLED = "modelled"
    """From its GPUs, and its processors where they are measured, by a straight line."""


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
    None when the node does not know; wall_of: how it does.
    """

    node: str
    measured_utc: datetime
    gpus: tuple[GpuDraw, ...]
    wall_w: float | None = None
    wall_of: WallOf | None = None

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
