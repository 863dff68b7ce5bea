"""Energy of a whole node: of its supplies where they are measured, else by a straight line from what is.

    E_wall = base * t + factor * (sum of GPUs + processors)

What stands in no meter (fans, network, memory, losses of the supplies) is in `base` and `factor`. 1,000 W and 1.32 fit machines
with 8 GPUs of the H100's kind where the processors are not measured, within 2.6 % at three loads that were published (SPEC
PTDaemon logs of MLPerf power submissions, arXiv 2412.08602); where they are, a fit with them is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from scheduler.domain.telemetry import WallOf


@dataclass(frozen=True, slots=True, kw_only=True)
class HostModel:
    """The straight line: `base_w` for the node as such, `factor` on what is measured inside."""

    base_w: float
    factor: float


def wall_energy(
    joules: Mapping[str, float],
    gpus: Iterable[str],
    seconds: float,
    model: HostModel | None,
    *,
    wall: str,
    inside: Iterable[str],
) -> tuple[float, WallOf] | None:
    """Energy of a node in an interval, in J, and how it is known; None when it is not.

    Args:
        joules: what was measured, by name.
        gpus: names of all GPUs of the node.
        seconds: length of the interval.
        model: the straight line; None: only a measurement counts.
        wall: name of the measured supplies.
        inside: names of whatever else the model takes as measured.
    """
    if wall in joules:
        return joules[wall], WallOf.MEASURED
    names = {*gpus, *inside}
    if model is None or not names or not names <= joules.keys():
        return None
    return model.base_w * seconds + model.factor * sum(joules[name] for name in names), WallOf.MODELLED


def counter_rise_j(before_j: float, after_j: float, range_j: float) -> float:
    """How far a counter rose that begins at zero again after `range_j`; it must be read more often than it comes round."""
    rise_j = after_j - before_j
    return rise_j if rise_j >= 0.0 else rise_j + range_j
