"""What the plant says of itself, and when: the payloads that every protocol carries."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from scheduler.core.publishing.message import rounded, stamp
from scheduler.simulate.plant.flows import Weather, weather_at
from scheduler.simulate.plant.meter import Registers
from scheduler.simulate.plant.spec import PlantSpec
from scheduler.units import S_PER_H, S_PER_MIN

FORECAST_STEPS = 24
WORK = timedelta(hours=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One letter: its kind and its JSON."""

    kind: str
    payload: Mapping[str, object]


@dataclass(slots=True)
class Diary:
    """When each kind of letter was last written, in s since the plant began."""

    written_s: dict[str, float] = field(default_factory=dict)

    def due(self, kind: str, every_s: float, since_s: float) -> bool:
        """Whether it is time again; then it counts as written."""
        before_s = self.written_s.get(kind)
        if before_s is not None and since_s - before_s < every_s:
            return False
        self.written_s[kind] = since_s
        return True


def heartbeat(counter: int) -> Said:
    """The plant's own sign of life."""
    return Said(kind="heartbeat", payload={"counter": counter})


def network(weather: Weather, meter: Registers, at_utc: datetime) -> Said:
    """What is measured at the hand-off."""
    return Said(
        kind="network",
        payload={
            "at": stamp(at_utc),
            "supplyC": rounded(weather.supply_c),
            "returnC": rounded(weather.return_c),
            "wantedSupplyC": rounded(weather.supply_c),
            "flowM3h": rounded(meter.flow_m3_per_h),
            "heatKw": rounded(meter.heat_kw),
        },
    )


def tank(level_kwh: float, at_utc: datetime, *, broken: bool) -> Said:
    """What the tank holds; a broken sensor gives what broken sensors give."""
    return Said(kind="tank", payload={"at": stamp(at_utc), "levelKwh": math.nan if broken else rounded(level_kwh)})


def reading(spec: PlantSpec, weather: Weather, meter: Registers, at_utc: datetime) -> Said:
    """What the plant's heat meter shows."""
    return Said(
        kind="meter",
        payload={
            "meterPointId": spec.meter_point_id,
            "at": stamp(at_utc),
            "energyKwh": rounded(meter.energy_kwh),
            "volumeM3": rounded(meter.volume_m3),
            "heatKw": rounded(meter.heat_kw),
            "flowM3h": rounded(meter.flow_m3_per_h),
            "supplyC": rounded(weather.supply_c),
            "returnC": rounded(weather.return_c),
            "meterId": f"SIM-{spec.seed:06d}",
        },
    )


def outlook(spec: PlantSpec, at_utc: datetime) -> tuple[Said, Said]:
    """What the plant expects to take over a day, and what it would like over the next hour."""
    start_utc = at_utc.replace(minute=0, second=0, microsecond=0)
    hours = [start_utc + timedelta(seconds=S_PER_H * i + S_PER_H / 2.0) for i in range(FORECAST_STEPS)]
    most_kw = math.inf if spec.max_take_kw is None else spec.max_take_kw
    heat_kw = [rounded(min(weather_at(spec, one).demand_kw, most_kw)) for one in hours]
    demand = {"start": stamp(start_utc), "stepSeconds": int(S_PER_H), "heatKw": heat_kw, "issuedAt": stamp(at_utc)}
    end_utc = start_utc + timedelta(seconds=2.0 * S_PER_H)
    wish = {"heatKw": heat_kw[1], "start": stamp(start_utc + timedelta(seconds=S_PER_H)), "end": stamp(end_utc)}
    return Said(kind="demand", payload=demand), Said(kind="request", payload=wish)


def work_notice(number: int, at_utc: datetime) -> Said:
    """Work at the heat exchanger, an hour from now."""
    start_utc = at_utc + timedelta(seconds=60.0 * S_PER_MIN)
    return Said(
        kind="maintenance",
        payload={
            "id": f"work-{number}",
            "start": stamp(start_utc),
            "end": stamp(start_utc + WORK),
            "availableKw": 0.0,
            "reason": "heat exchanger is cleaned",
        },
    )


def button() -> Said:
    """Somebody at the plant takes no heat from now on."""
    return Said(kind="override", payload={"limitKw": 0.0, "reason": "manual button at the plant"})
