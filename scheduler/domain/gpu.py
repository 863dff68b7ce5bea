"""GPUs as their own driver tells of them. `None` is "not known" or "this GPU does not say"; zero is a measurement."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why clocks are below what they could be; the words of the metrics."""

    IDLE = "idle"
    POWER_CAP = "power_cap"
    THERMAL = "thermal"
    HARDWARE_THERMAL = "hardware_thermal"
    POWER_BRAKE = "power_brake"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Power limits in W.

    requested: what was asked for last. enforced: what holds, lower where somebody limits out of band. default: of the board.
    least, most: what the GPU takes.
    """

    requested_w: float | None = None
    enforced_w: float | None = None
    default_w: float | None = None
    least_w: float | None = None
    most_w: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuReading:
    """One GPU at one instant.

    energy_j: counts since the driver was loaded, and begins at zero with it. capped_s: time that the power limit has held it
    back, likewise. mig: it is split, so its parts have no power of their own; instances: their uuids. processes: ids of those
    that compute on it. whole_module: power is that of a module with its processor, not of the GPU alone. persistent: its driver
    stays loaded, and so its limit in force, while nobody uses it.
    """

    uuid: str
    name: str = ""
    index: int = 0
    draw_w: float | None = None
    energy_j: float | None = None
    limits: Limits = Limits()
    temperature_c: float | None = None
    reasons: frozenset[Reason] | None = None
    capped_s: float | None = None
    utilization_fraction: float | None = None
    processes: tuple[int, ...] | None = None
    mig: bool = False
    instances: tuple[str, ...] = ()
    whole_module: bool = False
    persistent: bool | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why a GPU, or the whole machine, could not be read; `expected` is what would help."""

    what: str
    expected: str = ""
    uuid: str = ""
    index: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSurvey:
    """What a machine's GPUs report, once."""

    driver: str
    gpus: tuple[GpuReading, ...]
    troubles: tuple[Trouble, ...] = ()
