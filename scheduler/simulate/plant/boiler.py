"""The plant's boiler: off, starting, or hot."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.simulate.plant.spec import BoilerSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Boiler:
    """wanted: it is on. cold_s: time until it gives heat, 0: it is hot."""

    wanted: bool = False
    cold_s: float = 0.0
    heat_kw: float = 0.0

    @property
    def hot(self) -> bool:
        """Whether it can give heat now."""
        return self.wanted and self.cold_s <= 0.0


def fired(boiler: Boiler, spec: BoilerSpec, wanted: bool, load_kw: float, room_kw: float, duration_s: float) -> Boiler:
    """The boiler after `duration_s`, and its mean heat over it.

    Args:
        boiler: before.
        spec: its size.
        wanted: whether it must run.
        load_kw: heat that is missing.
        room_kw: heat that the tank would take beyond that; without it the boiler stays hot rather than below its least load.
        duration_s: how long.
    """
    if not wanted:
        return Boiler()
    cold_s = boiler.cold_s if boiler.wanted else spec.start_s
    hot_fraction = max(duration_s - cold_s, 0.0) / duration_s if duration_s > 0.0 else 0.0
    load_kw = min(load_kw, spec.max_kw)
    if load_kw < spec.min_kw:
        load_kw = spec.min_kw if load_kw > 0.0 and load_kw + room_kw >= spec.min_kw else 0.0
    return Boiler(wanted=True, cold_s=max(cold_s - duration_s, 0.0), heat_kw=load_kw * hot_fraction)
