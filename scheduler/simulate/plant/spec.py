"""What a software plant is made of, and how often it speaks."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class TankSpec:
    """An upright cylinder of water with a hot and a cold zone; capacity_kwh 0: there is none."""

    capacity_kwh: float = 800.0
    diameter_m: float = 3.5
    loss_w_per_m2_k: float = 0.25
    hot_c: float = 75.0
    cold_c: float = 45.0
    around_c: float = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BoilerSpec:
    """The plant's own boiler: cold it takes `start_s` before it gives heat, and it gives at least `min_kw`."""

    max_kw: float = 500.0
    min_kw: float = 100.0
    start_s: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """The houses behind: their heat at -10 degrees C, and the water that is sent to them."""

    peak_kw: float = 400.0
    hot_water_fraction: float = 0.2
    warmest_heated_c: float = 17.0
    coldest_c: float = -10.0
    mean_outdoor_c: float = 2.0
    daily_swing_k: float = 4.0
    supply_cold_c: float = 75.0
    supply_mild_c: float = 65.0
    return_c: float = 42.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Periods:
    """Between two letters of a kind, in s of the plant's time."""

    heartbeat_s: float = 10.0
    state_s: float = 60.0
    meter_s: float = 900.0
    forecast_s: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantSpec:
    """A whole plant.

    watchdog_s: so long our counter may stand still before the plant counts us as gone. max_take_kw: most that it takes of us;
    of a schedule with more it accepts this part. noise_fraction: how far real heat strays from the schedule, one sigma.
    clock_offset_s, clock_drift_ppm: how wrong its own clock is.
    """

    offtake_id: str
    meter_point_id: str = "heat-meter"
    network: NetworkSpec = field(default_factory=NetworkSpec)
    tank: TankSpec = field(default_factory=TankSpec)
    boiler: BoilerSpec = field(default_factory=BoilerSpec)
    periods: Periods = field(default_factory=Periods)
    max_take_kw: float | None = None
    watchdog_s: float = 45.0
    noise_fraction: float = 0.03
    clock_offset_s: float = 0.0
    clock_drift_ppm: float = 0.0
    seed: int = 1


def sized_for(offtake_id: str, peak_kw: float, seed: int = 1, **more: float | None) -> PlantSpec:
    """A plant for a network of `peak_kw`: a boiler that carries it alone, a tank for two hours of it."""
    return PlantSpec(
        offtake_id=offtake_id,
        network=NetworkSpec(peak_kw=peak_kw),
        tank=TankSpec(capacity_kwh=2.0 * peak_kw),
        boiler=BoilerSpec(max_kw=1.25 * peak_kw, min_kw=0.25 * peak_kw),
        seed=seed,
        max_take_kw=more.get("max_take_kw"),
    )
