"""What this machine's GPUs report, and which of them could be capped: the first thing that an engineer asks."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.gpu.nvml import NoDriver
from scheduler.domain.capping import Occupancy
from scheduler.domain.gpu import GpuReading, GpuSurvey, Limits, Trouble
from scheduler.entrypoints.agent.setup import Setup
from scheduler.entrypoints.gpu_backends import to_read

# Below so many watts of room between a GPU's limits there is nothing to cap.
LEAST_ROOM_W = 10.0


def surveyed(backend: str) -> tuple[GpuSurvey, bool]:
    """All GPUs, read once, and whether they could be spoken to.

    Raises:
        Misconfigured: when there is no such backend.
    """
    try:
        return to_read(backend).survey(), True
    except NoDriver as error:
        trouble = Trouble(what=str(error), expected=error.expected)
        return GpuSurvey(driver="", gpus=(), troubles=(trouble,)), False


def held(setup: Setup) -> Occupancy | None:
    """Who holds which GPU, where a kubelet is there to be asked."""
    if not setup.pod_resources:
        return None
    from scheduler.adapters.gpu.pod_resources import RESOURCES, PodResources

    kubelet = PodResources(Path(setup.pod_resources), SystemClock(), setup.gpu_resources or RESOURCES)
    try:
        return kubelet.look()
    finally:
        kubelet.close()


def why_not(gpu: GpuReading, holders: Occupancy | None = None) -> str:
    """Why a GPU cannot be capped; empty when it can. A cap is for the one pod that holds a GPU, where it is asked who does."""
    limits = gpu.limits
    if gpu.mig:
        return "it is split (MIG): its limit is that of all tenants"
    if gpu.whole_module:
        return "its power is that of a module with its processor"
    if limits.requested_w is None or limits.least_w is None or limits.most_w is None:
        return "it does not say its limits"
    if limits.most_w - limits.least_w < LEAST_ROOM_W:
        return f"its limit is fixed at {limits.most_w:.0f} W"
    if holders is None:
        return ""
    if holders.seen_s is None:
        return "it is not known who holds it"
    holder = holders.by_uuid.get(gpu.uuid)
    if holder is None:
        return "no pod holds it" if holders.all_named else "it is not known who holds it"
    return "several pods share it" if holder.shared else ""


def to_json(survey: GpuSurvey, allowed: bool, holders: Occupancy | None = None) -> dict[str, Any]:
    """The survey as plain values; watts, joules, seconds, degrees Celsius."""
    return {
        "version": 1,
        "host": platform.node(),
        "driver": survey.driver or None,
        "maySetLimits": allowed,
        "gpus": [_gpu_json(gpu, holders) for gpu in survey.gpus],
        "troubles": [_without_none({"gpu": one.index, "what": one.what, "expected": one.expected}) for one in survey.troubles]
        + _holder_troubles(holders),
    }


def _holder_troubles(holders: Occupancy | None) -> list[dict[str, Any]]:
    """Why it is not known who holds the GPUs."""
    return [{"what": holders.trouble}] if holders is not None and holders.trouble else []


def _gpu_json(gpu: GpuReading, holders: Occupancy | None) -> dict[str, Any]:
    """One GPU."""
    why = why_not(gpu, holders)
    return {
        "uuid": gpu.uuid,
        "index": gpu.index,
        "name": gpu.name,
        "drawWatts": gpu.draw_w,
        "powerOf": "module" if gpu.whole_module else "gpu",
        "energyJoules": gpu.energy_j,
        "limitsWatts": _limits_json(gpu.limits),
        "temperatureCelsius": gpu.temperature_c,
        "throttledBy": None if gpu.reasons is None else sorted(reason.value for reason in gpu.reasons),
        "cappedSeconds": gpu.capped_s,
        "utilizationFraction": gpu.utilization_fraction,
        "processes": None if gpu.processes is None else list(gpu.processes),
        "persistenceMode": gpu.persistent,
        "mig": gpu.mig,
        "instances": list(gpu.instances),
        "heldBy": _holder_json(gpu, holders),
        "capping": {"possible": not why, "why": why},
        "missing": list(gpu.missing),
    }


def _holder_json(gpu: GpuReading, holders: Occupancy | None) -> dict[str, Any] | None:
    """Who holds a GPU; None for nobody, and where it is not known."""
    holder = None if holders is None else holders.by_uuid.get(gpu.uuid)
    return None if holder is None else {"namespace": holder.namespace, "pod": holder.name, "shared": holder.shared}


def _limits_json(limits: Limits) -> dict[str, float | None]:
    """All limits."""
    return {
        "requested": limits.requested_w,
        "enforced": limits.enforced_w,
        "default": limits.default_w,
        "min": limits.least_w,
        "max": limits.most_w,
    }


def _without_none(given: Mapping[str, Any]) -> dict[str, Any]:
    """Only what is known."""
    return {name: value for name, value in given.items() if value is not None and value != ""}


def to_text(survey: GpuSurvey, allowed: bool, holders: Occupancy | None = None) -> list[str]:
    """The survey in lines for eyes."""
    lines = []
    if survey.driver:
        total_w = sum(gpu.draw_w or 0.0 for gpu in survey.gpus)
        lines.append(f"driver {survey.driver}, {len(survey.gpus)} GPUs, {total_w:.0f} W together")
    if survey.gpus:
        lines.append(f"{'GPU':>3} {'name':<26} {'draw W':>7} {'limit W':>7} {'min W':>6} {'max W':>6} {'degC':>5}  capping")
    lines += [_row(gpu, holders) for gpu in survey.gpus]
    for one in survey.troubles:
        where = "" if one.index is None else f"GPU {one.index}: "
        lines.append(f"{where}{one.what}" + (f" (expected {one.expected})" if one.expected else ""))
    lines += [str(one["what"]) for one in _holder_troubles(holders)]
    if any(gpu.persistent is False for gpu in survey.gpus):
        lines.append("Persistence mode is off: when nobody has the driver open, limits are lost (expected nvidia-persistenced)")
    if survey.gpus:
        lines.append(
            "This process may set limits." if allowed else "This process may not set limits: that takes CAP_SYS_ADMIN."
        )
    return lines


def _row(gpu: GpuReading, holders: Occupancy | None) -> str:
    """One GPU as a line."""
    limits = gpu.limits
    watts = [_number(value) for value in (gpu.draw_w, limits.enforced_w)]
    bounds = [_number(value) for value in (limits.least_w, limits.most_w)]
    capping = why_not(gpu, holders) or "possible"
    return (
        f"{gpu.index:>3} {gpu.name[:26]:<26} {watts[0]:>7} {watts[1]:>7} {bounds[0]:>6} {bounds[1]:>6} "
        f"{_number(gpu.temperature_c):>5}  {capping}"
    )


def _number(value: float | None) -> str:
    """A number, or a dash for what is not known."""
    return "-" if value is None else f"{value:.0f}"
