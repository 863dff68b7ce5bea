"""A small made-up site and past for the forecast tests: seeded, hourly, with a daily and a weekly rhythm."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from scheduler.domain.contract import ElectricityContract, FirmRule, HeatTariff
from scheduler.domain.job import Flexibility, Job, JobClass, JobPhase, JobState
from scheduler.domain.site import Caps, NodePower, Offtake, Plug, Pool, SinkKind, Site
from scheduler.domain.snapshot import History, Snapshot
from scheduler.domain.time import FloatArray, Series, TimeGrid

NOW = datetime(2021, 2, 1, 6, tzinfo=UTC)
DAYS = 63


def series(values: FloatArray, *, end: datetime = NOW, slot_s: int = 3600, unit: str = "kW", issued: bool = False) -> Series:
    start = end - timedelta(seconds=slot_s * len(values))
    grid = TimeGrid(start_utc=start, slot_s=slot_s, slots=len(values))
    return Series(
        grid=grid, values=np.asarray(values, dtype=np.float64), unit=unit, source="test", issued_utc=NOW if issued else None
    )


def hours(count: int = DAYS * 24) -> FloatArray:
    return np.arange(-count, 0, dtype=np.float64)


def outdoor_c(count: int = DAYS * 24, seed: int = 3) -> FloatArray:
    noise = np.cumsum(np.random.default_rng(seed).normal(0.0, 0.15, count))
    t = hours(count)
    return np.asarray(3.0 + 2.0 * np.sin(2 * np.pi * (t + 6 - 9) / 24) + noise - noise.mean())


def heat_kw(count: int = DAYS * 24, seed: int = 3) -> FloatArray:
    t = hours(count)
    noise = np.random.default_rng(seed + 1).normal(0.0, 2.0, count)
    warm = 5 * np.sin(2 * np.pi * t / 24)
    return np.asarray(np.maximum(0.0, 30.0 + 4.0 * np.maximum(0.0, 17.0 - outdoor_c(count, seed)) + warm + noise))


def price(count: int = DAYS * 24 + 17) -> FloatArray:
    t = np.arange(count, dtype=np.float64)
    return np.asarray(0.05 + 0.02 * np.sin(2 * np.pi * t / 24) + np.random.default_rng(5).normal(0.0, 0.003, count))


def history() -> History:
    return History(
        price=series(price(), end=NOW + timedelta(hours=17), unit="EUR/kWh"),
        carbon=series(np.abs(100.0 + 20.0 * np.sin(2 * np.pi * hours() / 24)), unit="g/kWh"),
        outdoor=series(outdoor_c(), unit="degC"),
        heat_demand_kw={"town": series(heat_kw())},
    )


def site(time_zone: str = "Europe/Copenhagen", *, firm: FirmRule | None = None) -> Site:
    power = NodePower(kw_per_gpu_base=0.125, host_slope=1.32, gpu_idle_w=70.0, gpu_max_w=700.0)
    pool = Pool(pool_id="pool", plug_id="plug", gpus=64, gpus_per_node=8, gpu_model="H100", power=power)
    plug = Plug(plug_id="plug", max_heat_kw=150.0, capture_gpu_fraction=0.9, capture_other_fraction=0.3)
    town = Offtake(
        offtake_id="town",
        plug_id="plug",
        sink=SinkKind.DISTRICT_HEATING,
        max_heat_kw=500.0,
        tariff=HeatTariff(),
        firm=firm,
    )
    return Site(
        name="test",
        time_zone=time_zone,
        pools=(pool,),
        plugs=(plug,),
        offtakes=(town,),
        classes=(JobClass(name="batch", flexibility=Flexibility.DEFERRABLE),),
        caps=Caps(levels=(1.0,), binding_draw_fraction=0.95, speed_of_ratio=((1.0, 1.0),)),
        electricity=ElectricityContract(),
    )


def snapshot(past: History | None = None, **changes: object) -> Snapshot:
    plain = Snapshot(
        observed_utc=NOW,
        sequence=1,
        jobs=(),
        history=past or history(),
        plants=(),
        available_gpus={"pool": 64},
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # a test names only fields that exist


def grid(slots: int = 192, slot_s: int = 900) -> TimeGrid:
    return TimeGrid(start_utc=NOW, slot_s=slot_s, slots=slots)


def running(job_id: str, declared_s: float, done_s: float, class_name: str = "batch") -> JobState:
    job = Job(
        job_id=job_id,
        class_name=class_name,
        gpus=1,
        submit_utc=NOW - timedelta(seconds=done_s),
        declared_duration_s=declared_s,
        natural_power_w_per_gpu=400.0,
    )
    return JobState(job=job, phase=JobPhase.RUNNING, pool_id="pool", work_done_s=done_s, run_s=done_s)
