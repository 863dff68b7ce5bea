"""The year that all runs share: measured prices and heat demand, made-up jobs, failures by seed. Quarter hours."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from scheduler.config.reference import reference_site
from scheduler.core.thermal.capture import captured_kw
from scheduler.core.thermal.heat_pump import cop, delivered_kw
from scheduler.core.thermal.host import node_kw
from scheduler.domain.site import Maintenance, Plug, Site
from scheduler.domain.time import BoolArray, FloatArray
from scheduler.domain.world import JobTruth
from scheduler.simulate.generate import year_jobs
from scheduler.units import eur_per_kwh_from_eur_per_mwh, kw_from_w

SLOT_S, SLOTS_PER_H = 900, 4
GPUS, GPUS_PER_NODE = 192, 8
ZONE = "Europe/Copenhagen"
TARIFF_EUR_PER_KWH = 0.030
NODE_DAYS_BETWEEN_FAILURES, NODE_REPAIR_H = 240.0, 24.0
PLUG_OUTAGES_PER_YEAR, PLUG_REPAIR_H = 2.0, 4.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Year:
    """Arrays per quarter hour from `start_utc`: price, demand, share of nodes and plug that work; jobs by submit time."""

    site: Site
    start_utc: datetime
    price_eur_per_kwh: FloatArray
    demand_kw: FloatArray
    nodes_up: FloatArray
    plug_up: BoolArray
    jobs: tuple[JobTruth, ...]

    @property
    def slots(self) -> int:
        """Quarter hours of the year."""
        return len(self.demand_kw)

    @property
    def plug(self) -> Plug:
        """The only one."""
        return self.site.plugs[0]


def filled(values: FloatArray) -> FloatArray:
    """Missing hours by the same hour of the day before, or of the day after where there is none."""
    out = values.copy()
    for i in np.nonzero(np.isnan(out))[0]:
        out[i] = out[i - 24] if i >= 24 else values[i + 24]
    return out


def read_series(path: Path, days: int) -> tuple[datetime, FloatArray, FloatArray]:
    """Start, hourly price in EUR/kWh and hourly heat demand over its largest value."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[: days * 24]
    start = datetime.fromisoformat(rows[0]["timestamp_utc"]).replace(tzinfo=UTC)
    columns = [np.array([float(row[name] or "nan") for row in rows]) for name in ("price_eur_mwh", "heat_demand_norm")]
    price = np.array([eur_per_kwh_from_eur_per_mwh(value) for value in filled(columns[0])])
    return start, price, filled(columns[1])


def up_share(slots: int, units: int, between_h: float, repair_h: float, rng: np.random.Generator) -> FloatArray:
    """Share of so many units that work: each fails at random and is repaired after a random time."""
    down = np.zeros(slots)
    for _ in range(units):
        at_h = rng.exponential(between_h)
        while at_h * SLOTS_PER_H < slots:
            back_h = at_h + rng.exponential(repair_h)
            down[int(at_h * SLOTS_PER_H) : int(np.ceil(back_h * SLOTS_PER_H))] += 1.0
            at_h = back_h + rng.exponential(between_h)
    return np.asarray(1.0 - down / units)


def make_year(path: Path, *, days: int, seed: int, heat_peak_kw: float, busy_fraction: float) -> Year:
    """The reference site with 192 GPUs through the year of a series file; two announced services of the plug."""
    start, price, shape = read_series(path, days)
    site = reference_site(gpus=GPUS, gpus_per_node=GPUS_PER_NODE, heat_peak_kw=heat_peak_kw, time_zone=ZONE)
    services = tuple(
        Maintenance(start_utc=day, end_utc=day + timedelta(hours=8), available_kw=0.0, reason="service")
        for day in (start + timedelta(days=100, hours=7), start + timedelta(days=250, hours=7))
    )
    site = replace(site, plugs=tuple(replace(plug, maintenance=services) for plug in site.plugs))
    rng = np.random.default_rng([seed, 7])
    slots = days * 24 * SLOTS_PER_H
    return Year(
        site=site,
        start_utc=start,
        price_eur_per_kwh=np.repeat(price, SLOTS_PER_H),
        demand_kw=heat_peak_kw * np.repeat(shape, SLOTS_PER_H),
        nodes_up=up_share(slots, GPUS // GPUS_PER_NODE, NODE_DAYS_BETWEEN_FAILURES * 24.0, NODE_REPAIR_H, rng),
        plug_up=up_share(slots, 1, 8760.0 / PLUG_OUTAGES_PER_YEAR, PLUG_REPAIR_H, rng) > 0.5,
        jobs=year_jobs(site, days, seed, start_utc=start, busy_fraction=busy_fraction),
    )


def heat_of(site: Site, draw_kw: float) -> float:
    """Heat in kW that the plant can deliver from a GPU draw in kW, the heat pump's rating aside."""
    plug, power = site.plugs[0], site.pools[0].power
    caught = captured_kw(plug, draw_kw, node_kw(power, GPUS, draw_kw))
    assert plug.heat_pump is not None
    return max(0.0, delivered_kw(caught, cop(plug.heat_pump.cop)) - plug.pipe_loss_kw)


def idle_kw(site: Site) -> float:
    """Draw of an idle GPU in kW."""
    return kw_from_w(site.pools[0].power.gpu_idle_w)
