"""A small site and snapshots of it, built by hand or by seed: what tests of the loop, the guard and the problem share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from scheduler.domain.contract import ElectricityContract, FirmRule, HeatTariff, TariffKind
from scheduler.domain.job import Flexibility, Job, JobClass, JobPhase, JobState
from scheduler.domain.settings import Mode, Settings, SolveBudget
from scheduler.domain.site import Caps, Cop, CopModel, HeatPump, NodePower, Offtake, Plug, Pool, SinkKind, Site, Tank
from scheduler.domain.snapshot import FinishedJob, Freshness, History, PlantState, Snapshot
from scheduler.domain.time import FloatArray, Series, TimeGrid, utc

NOW = utc("2026-01-14T10:00:00+00:00")
PAST_H = 24 * 14
INSULATED = JobClass(name="insulated", flexibility=Flexibility.INSULATED, waiting_eur_per_gpu_h=0.1)
DEFERRABLE = JobClass(
    name="deferrable",
    flexibility=Flexibility.DEFERRABLE,
    max_slowdown_fraction=0.1,
    max_delay_s=48 * 3600.0,
    waiting_eur_per_gpu_h=0.005,
    lateness_eur_per_gpu_h=1.0,
    value_eur_per_gpu_h=0.05,
)
PREEMPTIBLE = replace(
    DEFERRABLE,
    name="preemptible",
    flexibility=Flexibility.PREEMPTIBLE,
    max_slowdown_fraction=0.3,
    max_delay_s=72 * 3600.0,
    waiting_eur_per_gpu_h=0.003,
    min_runtime_s=7200.0,
    max_preemptions=2,
    checkpoint_s=300.0,
)
CAPS = Caps(
    levels=(1.0, 0.85, 0.7, 0.57),
    binding_draw_fraction=0.95,
    speed_of_ratio=((1.0, 1.0), (0.9, 0.98), (0.8, 0.95), (0.7, 0.91), (0.6, 0.84), (0.5, 0.72)),
)
H100 = NodePower(kw_per_gpu_base=0.125, host_slope=1.32, gpu_idle_w=70.0, gpu_max_w=700.0, gpu_min_w=200.0)
SMALL_BUDGET = SolveBudget(bundle_steps=30, master_rounds=1, mip_nodes=20, dive_batches=20, guard_s=30.0)
ACTING = Settings(mode=Mode.DISPATCH, budget=SMALL_BUDGET, arrival_weight=0.0)


def small_site(gpus: int = 64, pools: int = 1) -> Site:
    """Pools of `gpus` GPUs on one plug with a heat pump and a tank, one customer, three classes."""
    heat_kw = 0.8 * gpus * pools
    return Site(
        name="small",
        time_zone="Europe/Copenhagen",
        pools=tuple(
            Pool(pool_id=f"pool-{i}", plug_id="plug", gpus=gpus, gpus_per_node=8, gpu_model="H100", power=H100)
            for i in range(pools)
        ),
        plugs=(
            Plug(
                plug_id="plug",
                max_heat_kw=heat_kw,
                capture_gpu_fraction=0.9,
                capture_other_fraction=0.3,
                heat_pump=HeatPump(
                    rated_heat_kw=heat_kw,
                    min_load_fraction=0.25,
                    start_cost_eur=2.0,
                    cop=Cop(
                        model=CopModel.FIXED,
                        source_in_c=45.0,
                        source_out_c=35.0,
                        sink_in_c=45.0,
                        sink_out_c=70.0,
                        fixed_cop=5.0,
                    ),
                ),
                tank=Tank(
                    capacity_kwh=heat_kw,
                    max_charge_kw=heat_kw / 2,
                    max_discharge_kw=heat_kw / 2,
                    loss_per_hour_fraction=0.002,
                    initial_fraction=0.4,
                ),
            ),
        ),
        offtakes=(
            Offtake(
                offtake_id="town",
                plug_id="plug",
                sink=SinkKind.DISTRICT_HEATING,
                max_heat_kw=heat_kw,
                tariff=HeatTariff(kind=TariffKind.FIXED, fixed_eur_per_kwh=0.045),
                firm=FirmRule(),
            ),
        ),
        classes=(INSULATED, DEFERRABLE, PREEMPTIBLE),
        caps=CAPS,
        electricity=ElectricityContract(network_eur_per_kwh=0.025),
        site_limit_kw=1.2 * gpus * pools,
    )


def price_curve(hours: int, phase_h: float = 0.0) -> FloatArray:
    """Hourly EUR/kWh with a cheap night and a dear evening, mean 0.1."""
    hour = np.arange(hours) + phase_h
    return np.asarray(0.1 - 0.05 * np.cos((hour - 4.0) * 2 * np.pi / 24) + 0.01 * np.sin(hour * 1.7))


def hourly_series(values: FloatArray, unit: str, start: datetime) -> Series:
    """Values on an hourly grid."""
    return Series(grid=TimeGrid(start_utc=start, slot_s=3600, slots=len(values)), values=values, unit=unit, source="test")


def history(now: datetime = NOW, demand_kw: float = 30.0, published_h: int = 37) -> History:
    """Two weeks of past; prices are published `published_h` hours ahead."""
    start = now - timedelta(hours=PAST_H)
    hour = np.arange(PAST_H)
    wave = np.sin(hour * 2 * np.pi / 24)
    return History(
        price=hourly_series(price_curve(PAST_H + published_h), "EUR/kWh", start),
        carbon=hourly_series(200.0 + 50.0 * wave, "g/kWh", start),
        outdoor=hourly_series(3.0 + 3.0 * wave + 0.01 * hour, "degC", start),
        heat_demand_kw={"town": hourly_series(demand_kw * (1.0 - 0.3 * wave) + 0.01 * hour, "kW", start)},
        captured_kw={"plug": hourly_series(np.full(PAST_H, 20.0) + wave, "kW", start)},
        delivered_kw={"plug": hourly_series(np.full(PAST_H, 18.0) + wave, "kW", start)},
        insulated_gpus=hourly_series(np.full(PAST_H, 4.0), "GPU", start),
        arrived_gpu_h={
            found.name: hourly_series(np.where(hour % 6 == 0, 12.0, 0.0), "GPU h", start)
            for found in (INSULATED, DEFERRABLE, PREEMPTIBLE)
        },
        finished=tuple(
            FinishedJob(
                class_name=name,
                declared_duration_s=3600.0 * (1 + i % 5),
                real_duration_s=3600.0 * (1 + i % 5) * (0.9 + 0.02 * (i % 11)),
                gpus=1 + i % 8,
                natural_power_w_per_gpu=500.0,
            )
            for i in range(40)
            for name in ("insulated", "deferrable", "preemptible")
        ),
    )


def job(name: str, class_name: str = "deferrable", *, gpus: int = 8, hours: float = 4.0, submitted_h: float = 0.0) -> Job:
    """A job that came `submitted_h` hours ago."""
    return Job(
        job_id=name,
        class_name=class_name,
        gpus=gpus,
        submit_utc=NOW - timedelta(hours=submitted_h),
        declared_duration_s=hours * 3600.0,
        natural_power_w_per_gpu=600.0,
    )


def queued(name: str, class_name: str = "deferrable", **shape: float) -> JobState:
    """A waiting job."""
    gpus = int(shape.pop("gpus", 8))
    return JobState(job=job(name, class_name, gpus=gpus, **shape), phase=JobPhase.QUEUED)


def running(name: str, class_name: str = "deferrable", *, ran_h: float = 1.0, gpus: int = 8, hours: float = 4.0) -> JobState:
    """A job that has run `ran_h` hours uncapped on the first pool."""
    mine = job(name, class_name, gpus=gpus, hours=hours, submitted_h=ran_h)
    return JobState(
        job=mine,
        phase=JobPhase.RUNNING,
        pool_id="pool-0",
        started_utc=mine.submit_utc,
        first_started_utc=mine.submit_utc,
        work_done_s=ran_h * 3600.0,
        run_s=ran_h * 3600.0,
    )


def snapshot(jobs: Sequence[JobState] = (), *, site: Site | None = None, past: History | None = None) -> Snapshot:
    """What is seen at NOW."""
    site = small_site() if site is None else site
    return Snapshot(
        observed_utc=NOW,
        sequence=1,
        jobs=tuple(jobs),
        history=history() if past is None else past,
        plants=(PlantState(plug_id="plug", tank_level_kwh=0.4 * 51.2, heat_pump_on=True, heat_pump_heat_kw=20.0),),
        available_gpus={pool.pool_id: pool.gpus for pool in site.pools},
        freshness=(
            Freshness(source="jobs", age_s=1.0, max_age_s=120.0),
            Freshness(source="price", age_s=60.0, max_age_s=7200.0),
        ),
    )
