"""What this machine's GPUs report, and which of them could be capped: the first thing that an engineer asks."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scheduler.adapters.gpu.nvml import NoDriver, Nvml
from scheduler.domain.gpu import GpuReading, GpuSurvey, Limits, Trouble

CAP_SYS_ADMIN = 1 << 21
STATUS = Path("/proc/self/status")
# Below so many watts of room between a GPU's limits there is nothing to cap.
LEAST_ROOM_W = 10.0


def surveyed() -> tuple[GpuSurvey, bool]:
    """All GPUs, read once, and whether they could be spoken to."""
    try:
        return Nvml().survey(), True
    except NoDriver as error:
        trouble = Trouble(what=str(error), expected=error.expected)
        return GpuSurvey(driver="", gpus=(), troubles=(trouble,)), False


def may_set(status: Path = STATUS) -> bool:
    """Whether this process may set limits: the driver wants CAP_SYS_ADMIN."""
    try:
        lines = status.read_text("utf-8").splitlines()
    except OSError:
        return False
    found = next((line.split()[1] for line in lines if line.startswith("CapEff:")), "0")
    return bool(int(found, 16) & CAP_SYS_ADMIN)


def why_not(gpu: GpuReading) -> str:
    """Why a GPU cannot be capped; empty when it can."""
    limits = gpu.limits
    if gpu.mig:
        return "it is split (MIG): its limit is that of all tenants"
    if limits.requested_w is None or limits.least_w is None or limits.most_w is None:
        return "it does not say its limits"
    if limits.most_w - limits.least_w < LEAST_ROOM_W:
        return f"its limit is fixed at {limits.most_w:.0f} W"
    return ""


def to_json(survey: GpuSurvey, allowed: bool) -> dict[str, Any]:
    """The survey as plain values; watts, joules, seconds, degrees Celsius."""
    return {
        "version": 1,
        "host": platform.node(),
        "driver": survey.driver or None,
        "maySetLimits": allowed,
        "gpus": [_gpu_json(gpu) for gpu in survey.gpus],
        "troubles": [_without_none({"gpu": one.index, "what": one.what, "expected": one.expected}) for one in survey.troubles],
    }


def _gpu_json(gpu: GpuReading) -> dict[str, Any]:
    """One GPU."""
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
        "mig": gpu.mig,
        "capping": {"possible": not why_not(gpu), "why": why_not(gpu)},
        "missing": list(gpu.missing),
    }


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


def to_text(survey: GpuSurvey, allowed: bool) -> list[str]:
    """The survey in lines for eyes."""
    lines = []
    if survey.driver:
        total_w = sum(gpu.draw_w or 0.0 for gpu in survey.gpus)
        lines.append(f"driver {survey.driver}, {len(survey.gpus)} GPUs, {total_w:.0f} W together")
    if survey.gpus:
        lines.append(f"{'GPU':>3} {'name':<26} {'draw':>7} {'limit':>7} {'min':>6} {'max':>6} {'degC':>5}  capping")
    lines += [_row(gpu) for gpu in survey.gpus]
    for one in survey.troubles:
        where = "" if one.index is None else f"GPU {one.index}: "
        lines.append(f"{where}{one.what}" + (f" (expected {one.expected})" if one.expected else ""))
    if survey.gpus:
        lines.append(
            "This process may set limits." if allowed else "This process may not set limits: that takes CAP_SYS_ADMIN."
        )
    return lines


def _row(gpu: GpuReading) -> str:
    """One GPU as a line."""
    limits = gpu.limits
    watts = [_number(value) for value in (gpu.draw_w, limits.enforced_w)]
    bounds = [_number(value) for value in (limits.least_w, limits.most_w)]
    capping = why_not(gpu) or "possible"
    return (
        f"{gpu.index:>3} {gpu.name[:26]:<26} {watts[0]:>7} {watts[1]:>7} {bounds[0]:>6} {bounds[1]:>6} "
        f"{_number(gpu.temperature_c):>5}  {capping}"
    )


def _number(value: float | None) -> str:
    """A number, or a dash for what is not known."""
    return "-" if value is None else f"{value:.0f}"
