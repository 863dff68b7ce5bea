"""The plant's heat meter at the hand-off: registers that only rise."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.core.publishing.message import flow_m3_per_h
from scheduler.units import h_from_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Registers:
    """What its display shows."""

    energy_kwh: float = 0.0
    volume_m3: float = 0.0
    heat_kw: float = 0.0
    flow_m3_per_h: float = 0.0

    def after(self, heat_kw: float, supply_c: float, return_c: float, duration_s: float) -> Registers:
        """The registers after a step of steady heat."""
        flow = flow_m3_per_h(heat_kw, supply_c, return_c) or 0.0
        hours = h_from_s(duration_s)
        return Registers(
            energy_kwh=self.energy_kwh + heat_kw * hours,
            volume_m3=self.volume_m3 + flow * hours,
            heat_kw=heat_kw,
            flow_m3_per_h=flow,
        )
