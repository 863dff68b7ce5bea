"""What happened, slot by slot: the meter readings of a run, from which everything is scored."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from scheduler.domain.time import FloatArray

# Readings grow by the slot and are read whole in every cycle: a year of them has 35,000, so they are kept as plain doubles.
Readings: TypeAlias = "array[float]"


def readings() -> Readings:
    """No reading yet."""
    return array("d")


@dataclass(slots=True)
class PlugRecord:
    """Slot means in kW of one plug (tank_kwh: level at the end of the slot; pump_starts: starts of the pump in the slot)."""

    captured_kw: Readings = field(default_factory=readings)
    recovered_kw: Readings = field(default_factory=readings)
    delivered_kw: Readings = field(default_factory=readings)
    pump_kw_el: Readings = field(default_factory=readings)
    charge_kw: Readings = field(default_factory=readings)
    discharge_kw: Readings = field(default_factory=readings)
    tank_kwh: Readings = field(default_factory=readings)
    dumped_kw: Readings = field(default_factory=readings)
    rejected_kw: Readings = field(default_factory=readings)
    room_kw: Readings = field(default_factory=readings)
    handed_over_kw: Readings = field(default_factory=readings)
    pump_starts: Readings = field(default_factory=readings)


@dataclass(slots=True)
class Record:
    """Readings of a run: IT power and busy GPUs of the site, heat by plug, sale and demand by offtake."""

    it_kw: Readings = field(default_factory=readings)
    gpus_busy: Readings = field(default_factory=readings)
    gpus_working: Readings = field(default_factory=readings)
    plugs: dict[str, PlugRecord] = field(default_factory=dict)
    sold_kw: dict[str, Readings] = field(default_factory=dict)
    demand_kw: dict[str, Readings] = field(default_factory=dict)

    @property
    def slots(self) -> int:
        """Slots that have passed."""
        return len(self.it_kw)


def column(values: Readings) -> FloatArray:
    """One column as an array: a copy, since a column that lends out its memory could not grow."""
    return np.array(values, dtype=np.float64)
