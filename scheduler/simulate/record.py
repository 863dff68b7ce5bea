"""What happened, slot by slot: the meter readings of a run, from which everything is scored."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from scheduler.domain.time import FloatArray


@dataclass(slots=True)
class PlugRecord:
    """Slot means in kW of one plug (tank_kwh: level at the end of the slot; pump_starts: starts of the pump in the slot)."""

    captured_kw: list[float] = field(default_factory=list)
    recovered_kw: list[float] = field(default_factory=list)
    delivered_kw: list[float] = field(default_factory=list)
    pump_kw_el: list[float] = field(default_factory=list)
    charge_kw: list[float] = field(default_factory=list)
    discharge_kw: list[float] = field(default_factory=list)
    tank_kwh: list[float] = field(default_factory=list)
    dumped_kw: list[float] = field(default_factory=list)
    rejected_kw: list[float] = field(default_factory=list)
    room_kw: list[float] = field(default_factory=list)
    handed_over_kw: list[float] = field(default_factory=list)
    pump_starts: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Record:
    """Readings of a run: IT power and busy GPUs of the site, heat by plug, sale and demand by offtake."""

    it_kw: list[float] = field(default_factory=list)
    gpus_busy: list[float] = field(default_factory=list)
    gpus_working: list[float] = field(default_factory=list)
    plugs: dict[str, PlugRecord] = field(default_factory=dict)
    sold_kw: dict[str, list[float]] = field(default_factory=dict)
    demand_kw: dict[str, list[float]] = field(default_factory=dict)

    @property
    def slots(self) -> int:
        """Slots that have passed."""
        return len(self.it_kw)


def column(values: list[float]) -> FloatArray:
    """One column as an array."""
    return np.asarray(values, dtype=np.float64)
