"""Seeded planning problems for benchmarks and tests: a GPU site on two heat plugs, as hard as a real busy week.

The shapes follow what is published about GPU clusters and heat networks: gangs of powers of two with a heavy tail, lognormal
run times of which half are round numbers (people declare "8 h"), a queue of which most is already there, 15-minute prices
with noise, heat demand that falls with the outdoor temperature. Nothing in here is a measurement of a real site.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from scheduler.domain.problem import PlanCommitment, PlanJob, PlanOfftake, PlanPlug, PlanPool, PlanProblem, PowerPoint
from scheduler.domain.time import BoolArray, FloatArray, IntArray, TimeGrid
from scheduler.units import KWH_PER_MWH, W_PER_KW, eur_per_kwh_from_carbon, kw_from_w

SLOTS = 192
SLOT_S = 900
SLOTS_PER_HOUR = 4
FINE_SLOTS = 24
TAIL_SLOTS = 384
COMMIT_SLOTS = 4
START_UTC = datetime(2026, 1, 12, 16, tzinfo=UTC)
GPU_MAX_W, GPU_IDLE_W = 700.0, 70.0
HOST_KW, HOST_SLOPE = 0.125, 1.32
CAPTURE_GPU, CAPTURE_REST = 0.9, 0.3
INSULATED_DRAW_W = 600.0
LEVELS = (1.0, 0.85, 0.70, 0.57)
# Draw per GPU (W) and speed at the four levels: compute bound, mixed, memory bound; a binding cap draws 95 % of itself.
DRAW_W = ((660.0, 565.0, 465.0, 380.0), (610.0, 565.0, 465.0, 380.0), (405.0, 405.0, 405.0, 380.0))
SPEED = ((1.0, 0.965, 0.89, 0.766), (1.0, 0.985, 0.93, 0.84), (1.0, 1.0, 1.0, 0.95))
CLASS_SHARE = (0.45, 0.35, 0.20)
GANGS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
GANG_SHARE = (0.30, 0.13, 0.13, 0.22, 0.09, 0.06, 0.04, 0.018, 0.009, 0.003)
ROUND_H = (0.25, 0.5, 1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 24.0, 48.0)
ROUND_EDGE_H = (0.35, 0.75, 1.5, 3.0, 5.0, 7.0, 10.0, 18.0, 36.0)
LONGEST_H = 72.0
SLACK_H, SLACK_SHARE = (0.5, 3.0, 8.0, 16.0, 30.0), (0.12, 0.20, 0.28, 0.25, 0.15)
INSULATED_FRACTION = 0.30
TAIL_RATIO = 1.1
LONGEST_HOLD_H, SAFE_ROOM_H = 48.0, 4.0
# Lateness stays of the order of the power bill (some 0.1 EUR per GPU-hour), or what no plan can avoid would flatter the gap.
WAITING_EUR_PER_GPU_H, LATENESS_EUR_PER_GPU_H, VALUE_EUR_PER_GPU_H = 0.005, 0.1, 0.05
UNPLACED_EUR_PER_GPU_H = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Weather:
    """Curves over the slots: spot price, carbon, outdoor temperature and heat demand of a 10,000-GPU site."""

    spot_eur_per_kwh: FloatArray
    carbon_eur_per_kwh: FloatArray
    outdoor_c: FloatArray
    demand_kw_per_gpu: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Queue:
    """Raw job columns: gangs, hours of uncapped work, power class, release slot, slack, who runs and who may be stopped."""

    gpus: IntArray
    work_h: FloatArray
    power_class: IntArray
    release: IntArray
    slack_h: FloatArray
    priority: FloatArray
    running: BoolArray
    stoppable: BoolArray
    bound_to: IntArray


def instance(jobs: int, seed: int, utilisation: float = 0.62) -> PlanProblem:
    """Return a problem with `jobs` jobs on 2 * jobs GPUs, 192 slots of 15 min and four cap levels.

    Args:
        jobs: number of flexible jobs (queued, known to come and running).
        seed: every array depends on (seed, jobs) alone.
        utilisation: GPU-hours asked for inside the horizon at full speed over GPU-hours free; 0.62 is busy, 0.78 tight (capped
            jobs run longer, so that the first 18 hours are full).
    """
    rng = np.random.default_rng([seed, jobs])
    sizes = _pool_sizes(jobs)
    weather = _weather(rng)
    base_gpus = _insulated_gpus(sizes)
    queue = _scaled(_queue(rng, jobs, sizes), utilisation, sizes)
    plan_jobs = _jobs(rng, queue, sizes, sizes[:, None] - base_gpus)
    plugs = _plugs(sizes, weather)
    offtakes = tuple(offtake for index in range(2) for offtake in _offtakes(index, _plug_gpus(sizes)[index], weather))
    tail = (weather.spot_eur_per_kwh + weather.carbon_eur_per_kwh + _adder())[-96:]
    return PlanProblem(
        grid=TimeGrid(start_utc=START_UTC, slot_s=SLOT_S, slots=SLOTS),
        step_slots=np.array([1] * FINE_SLOTS + [SLOTS_PER_HOUR] * ((SLOTS - FINE_SLOTS) // SLOTS_PER_HOUR), dtype=np.int64),
        commit_slots=COMMIT_SLOTS,
        spot_eur_per_kwh=weather.spot_eur_per_kwh,
        adder_eur_per_kwh=np.full(SLOTS, _adder()),
        carbon_eur_per_kwh=weather.carbon_eur_per_kwh,
        tail_eur_per_kwh=np.tile(tail, TAIL_SLOTS // len(tail)),
        overhead_fraction=0.06,
        site_limit_kw=np.full(SLOTS, 0.9 * float(sizes.sum())),
        pools=tuple(_pool(index, sizes, base_gpus) for index in range(len(sizes))),
        plugs=plugs,
        offtakes=offtakes,
        jobs=plan_jobs,
        commitments=_commitments(offtakes),
    )


def perturbed(problem: PlanProblem, seed: int, spread: float = 0.03) -> PlanProblem:
    """Return the next cycle's view of a problem: hourly noise on prices and demand, a share `spread` of the queue exchanged.

    New jobs have new ids and are drawn by the same generator; running jobs stay.
    """
    rng = np.random.default_rng([seed, 7])
    price_noise, demand_noise = (
        1.0 + np.repeat(rng.normal(0.0, spread, SLOTS // SLOTS_PER_HOUR), SLOTS_PER_HOUR) for _ in range(2)
    )
    fresh = instance(len(problem.jobs), seed + 1_000_003).jobs if problem.jobs else ()
    drawn = rng.random(len(problem.jobs)) < spread
    jobs = tuple(
        replace(new, job_id=f"{new.job_id}-new") if take and old.running_pool is None and new.running_pool is None else old
        for old, new, take in zip(problem.jobs, fresh, drawn, strict=True)
    )
    return replace(
        problem,
        spot_eur_per_kwh=problem.spot_eur_per_kwh * price_noise,
        offtakes=tuple(replace(offtake, demand_kw=offtake.demand_kw * demand_noise) for offtake in problem.offtakes),
        jobs=jobs,
    )


def _adder() -> float:
    """Network tariff and taxes, EUR/kWh."""
    return 25.0 / KWH_PER_MWH


def _hour_of_day() -> FloatArray:
    """Hour of the day of each slot."""
    hours: FloatArray = (np.arange(SLOTS) / SLOTS_PER_HOUR + START_UTC.hour) % 24
    return hours


def _hourly(rng: np.random.Generator, sigma: float) -> FloatArray:
    """Normal noise that holds for an hour."""
    return np.repeat(rng.normal(0.0, sigma, SLOTS // SLOTS_PER_HOUR), SLOTS_PER_HOUR)


def _weather(rng: np.random.Generator) -> _Weather:
    """Two price peaks a day and a solar dip; demand by outdoor temperature with a morning and an evening peak."""
    hour = _hour_of_day()
    turn = 2 * np.pi / 24
    price = 78 + 42 * np.sin(2 * turn * (hour - 13) + 0.6) - 28 * np.exp(-(((hour - 13) / 3) ** 2))
    price = price + 35 * np.exp(-(((hour - 19) / 2) ** 2)) + _hourly(rng, 8.0) + rng.normal(0.0, 5.0, SLOTS)
    carbon = np.clip(330 + 110 * np.sin(turn * (hour - 15)) + _hourly(rng, 15.0), 80.0, None)
    outdoor = 3 + 4 * np.sin(turn * (hour - 9)) + _hourly(rng, 0.5)
    demand = 7.4 - 0.33 * outdoor + 1.6 * np.exp(-(((hour - 7) / 2) ** 2)) + 1.0 * np.exp(-(((hour - 19) / 2.5) ** 2))
    return _Weather(
        spot_eur_per_kwh=np.maximum(price, -20.0) / KWH_PER_MWH,
        carbon_eur_per_kwh=np.array([eur_per_kwh_from_carbon(float(value), 80.0) for value in carbon]),
        outdoor_c=outdoor,
        demand_kw_per_gpu=np.clip(demand, 1.0, None) / 10.0,
    )


def _pool_sizes(jobs: int) -> IntArray:
    """GPUs per pool: two, three or four pools of unequal size, whole nodes of eight."""
    pools = 2 if jobs <= 150 else 3 if jobs <= 700 else 4
    share = (
        np.array([0.35, 0.3, 0.2, 0.15]) if pools == 4 else np.linspace(1.4, 0.8, pools) / np.linspace(1.4, 0.8, pools).sum()
    )
    sizes: IntArray = np.maximum(8, np.floor(2 * jobs * share / 8) * 8).astype(np.int64)
    return sizes


def _plug_of(pool: int, pools: int) -> int:
    """The first half of the pools is warm enough for direct use (plug 0), the other half has a heat pump (plug 1)."""
    return int(pool >= pools // 2)


def _plug_gpus(sizes: IntArray) -> tuple[int, int]:
    """GPUs behind each of the two plugs."""
    half = len(sizes) // 2
    return int(sizes[:half].sum()), int(sizes[half:].sum())


def _insulated_gpus(sizes: IntArray) -> FloatArray:
    """GPUs of insulated work, shape (pools, slots): 30 % with a daily swing of 5 points."""
    share = INSULATED_FRACTION + 0.05 * np.sin((_hour_of_day() - 9) * 2 * np.pi / 24)
    return np.round(sizes[:, None] * share)


def _pool(index: int, sizes: IntArray, base_gpus: FloatArray) -> PlanPool:
    """Nodes that never power down: base plus slope; insulated GPUs draw 600 W."""
    size = float(sizes[index])
    insulated_kw = base_gpus[index] * kw_from_w(INSULATED_DRAW_W - GPU_IDLE_W)
    gpu_kw = size * kw_from_w(GPU_IDLE_W) + insulated_kw
    node_kw = size * HOST_KW + HOST_SLOPE * gpu_kw
    return PlanPool(
        pool_id=f"pool-{index}",
        plug=_plug_of(index, len(sizes)),
        gpus_free=size - base_gpus[index],
        base_it_kw=node_kw,
        base_captured_kw=CAPTURE_GPU * gpu_kw + CAPTURE_REST * (node_kw - gpu_kw),
        it_kw_per_draw_kw=HOST_SLOPE,
        captured_kw_per_draw_kw=CAPTURE_GPU + CAPTURE_REST * (HOST_SLOPE - 1.0),
        idle_w=GPU_IDLE_W,
    )


def _plugs(sizes: IntArray, weather: _Weather) -> tuple[PlanPlug, PlanPlug]:
    """A direct plug and one with a heat pump (Carnot share 0.45); tank and ramp in proportion to the GPUs behind them."""
    supply_c = 70 - 0.5 * weather.outdoor_c
    cop = np.clip(0.45 * (supply_c + 273) / (supply_c - 34 + 8), 2.2, 7.0)
    direct, pumped = (
        PlanPlug(
            plug_id=name,
            rated_heat_kw=np.full(SLOTS, rated * gpus),
            cop=None,
            ramp_kw_per_h=0.22 * gpus,
            tank_capacity_kwh=2.0 * gpus,
            tank_level_kwh=0.8 * gpus,
            tank_end_kwh=0.8 * gpus,
            max_charge_kw=0.3 * gpus,
            max_discharge_kw=0.3 * gpus,
            tank_loss_per_h_fraction=0.0012,
            tank_end_value_eur_per_kwh=25.0 / KWH_PER_MWH,
            rejection_kw_per_kw=0.08,
            room_kw_per_kw=0.15,
        )
        for name, rated, gpus in zip(("direct", "pumped"), (0.5, 0.7), _plug_gpus(sizes), strict=True)
    )
    pump_gpus = _plug_gpus(sizes)[1]
    return direct, replace(pumped, cop=cop, min_load_fraction=0.25, start_cost_eur=0.004 * pump_gpus, pump_on=True)


def _offtakes(plug: int, gpus: int, weather: _Weather) -> tuple[PlanOfftake, PlanOfftake]:
    """Two price tiers of one network: three quarters of the demand at 46 EUR/MWh, the rest at 22."""
    demand = weather.demand_kw_per_gpu * gpus
    tiers = ((0.75, 46.0, 1), (0.25, 22.0, 2))
    first, second = (
        PlanOfftake(
            offtake_id=f"plug-{plug}-tier-{priority}",
            plug=plug,
            demand_kw=share * demand,
            price_eur_per_kwh=np.full(SLOTS, price / KWH_PER_MWH),
            priority=priority,
        )
        for share, price, priority in tiers
    )
    return first, second


def _commitments(offtakes: tuple[PlanOfftake, ...]) -> tuple[PlanCommitment, ...]:
    """Firm heat of each hour until the end of tomorrow (32 h): at most 55 % of a falling p10, 62 % of its mean."""
    spread = np.linspace(0.97, 0.85, SLOTS)
    found = []
    for index, offtake in enumerate(offtakes):
        if offtake.priority == 1:
            p10 = offtake.demand_kw / 0.75 * spread
            firm = np.minimum(0.55 * p10, 0.62 * p10.mean())
            for start in range(0, 32 * SLOTS_PER_HOUR, SLOTS_PER_HOUR):
                energy = float(firm[start : start + SLOTS_PER_HOUR].mean())
                found.append(
                    PlanCommitment(
                        offtake=index,
                        start_slot=start,
                        end_slot=start + SLOTS_PER_HOUR,
                        required_kwh=0.95 * energy,
                        shortfall_eur_per_kwh=160.0 / KWH_PER_MWH,
                    )
                )
    return tuple(found)


def _queue(rng: np.random.Generator, jobs: int, sizes: IntArray) -> _Queue:
    """Draw the raw columns; `bound_to` is 0 (any plug), 1 (first half of the pools only) or 2 (second half)."""
    largest = 2 ** int(np.log2(max(8.0, float(sizes[:2].min()) * 0.3)))
    work_h = np.clip(rng.lognormal(np.log(1.6), 1.35, jobs), 0.25, LONGEST_H)
    rounded = np.array(ROUND_H)[np.searchsorted(ROUND_EDGE_H, work_h)]
    running = rng.random(jobs) < 0.08
    later = rng.random(jobs) >= 0.78
    return _Queue(
        gpus=np.minimum(rng.choice(GANGS, jobs, p=np.array(GANG_SHARE) / sum(GANG_SHARE)), largest).astype(np.int64),
        work_h=np.where(rng.random(jobs) < 0.5, rounded, work_h),
        power_class=rng.choice(3, jobs, p=CLASS_SHARE).astype(np.int64),
        release=np.where(later & ~running, np.floor(rng.uniform(0.0, 40.0 * SLOTS_PER_HOUR, jobs)), 0.0).astype(np.int64),
        slack_h=rng.choice(SLACK_H, jobs, p=SLACK_SHARE) * rng.uniform(0.7, 1.3, jobs),
        priority=rng.choice((0.5, 1.0, 2.0), jobs, p=(0.5, 0.35, 0.15)),
        running=running,
        stoppable=rng.random(jobs) < 0.55,
        bound_to=rng.choice(3, jobs, p=(0.8, 0.12, 0.08)).astype(np.int64),
    )


def _scaled(queue: _Queue, utilisation: float, sizes: IntArray) -> _Queue:
    """Stretch durations until the work inside the horizon is `utilisation` of the free GPU-hours (fixed point, 6 rounds)."""
    horizon_h = SLOTS / SLOTS_PER_HOUR
    target_gpu_h = utilisation * (1 - INSULATED_FRACTION) * float(sizes.sum()) * horizon_h
    left_h = horizon_h - queue.release / SLOTS_PER_HOUR
    factor, work_h = 1.0, queue.work_h
    for _ in range(6):
        work_h = np.clip(queue.work_h * factor, 1.0 / SLOTS_PER_HOUR, LONGEST_H)
        factor *= target_gpu_h / max(1e-9, float((queue.gpus * np.minimum(work_h, left_h)).sum()))
    return replace(queue, work_h=work_h)


def _eligible(queue: _Queue, job: int, sizes: IntArray) -> tuple[int, ...]:
    """Pools a job may run on: its half when bound, and none where the gang is more than 30 % of the pool."""
    half = len(sizes) // 2
    halves = (range(len(sizes)), range(half), range(half, len(sizes)))[int(queue.bound_to[job])]
    return tuple(pool for pool in halves if queue.gpus[job] <= max(8.0, 0.3 * float(sizes[pool]))) or (0,)


def _jobs(rng: np.random.Generator, queue: _Queue, sizes: IntArray, free: FloatArray) -> tuple[PlanJob, ...]:
    """Turn columns into jobs; running ones are placed greedily on 60 % of what is always free, the rest of them waits."""
    room = 0.6 * free.min(axis=1)
    found = []
    for index in range(len(queue.gpus)):
        pools = _eligible(queue, index, sizes)
        pool = int(rng.choice(pools))
        gpus = int(queue.gpus[index])
        runs = bool(queue.running[index]) and gpus <= room[pool]
        if runs:
            room[pool] -= gpus
        found.append(_job(queue, index, (pool,) if runs else pools, runs))
    return tuple(found)


def _job(queue: _Queue, index: int, pools: tuple[int, ...], runs: bool) -> PlanJob:
    """One job: due after its time at 85 % plus its slack, held until its due time leaves no more room for the slowest cap.

    Where that room is under SAFE_ROOM_H the queue's first hours could not hold all such gangs at once: lateness alone
    prices the due time there, and only the longest hold is hard.
    """
    gpus, work_h, kind = int(queue.gpus[index]), float(queue.work_h[index]), int(queue.power_class[index])
    release = int(queue.release[index])
    points = _points(kind)
    due_h = release / SLOTS_PER_HOUR + work_h / SPEED[kind][1] + float(queue.slack_h[index])
    room_h = due_h - TAIL_RATIO * work_h / points[-1].speed - release / SLOTS_PER_HOUR
    latest_h = release / SLOTS_PER_HOUR + (min(room_h, LONGEST_HOLD_H) if room_h >= SAFE_ROOM_H else LONGEST_HOLD_H)
    horizon_h = SLOTS / SLOTS_PER_HOUR
    price = gpus * float(queue.priority[index])
    late_h = max(0.0, horizon_h + work_h - due_h)
    slot_s_per_h = SLOT_S * SLOTS_PER_HOUR
    return PlanJob(
        job_id=f"job-{index:05d}",
        gpus=gpus,
        pools=pools,
        work_s=work_h * slot_s_per_h,
        tail_work_s=TAIL_RATIO * work_h * slot_s_per_h,
        points=points,
        release_slot=release,
        latest_start_slot=None if runs else int(np.floor(latest_h * SLOTS_PER_HOUR)),
        due_s=due_h * slot_s_per_h,
        running_pool=pools[0] if runs else None,
        running_point=0 if runs else None,
        stoppable=bool(queue.stoppable[index]) if runs else False,
        resume_work_s=300.0,
        preemption_eur=0.15 * gpus,
        waiting_eur_per_h=WAITING_EUR_PER_GPU_H * price,
        lateness_eur_per_h=LATENESS_EUR_PER_GPU_H * price,
        slowdown_eur_per_h=VALUE_EUR_PER_GPU_H * gpus,
        unplaced_eur=0.5 + UNPLACED_EUR_PER_GPU_H * gpus * work_h + LATENESS_EUR_PER_GPU_H * price * late_h,
    )


def _points(kind: int) -> tuple[PowerPoint, ...]:
    """Distinguishable cap levels of a power class: a cap above the natural draw changes nothing and is left out."""
    found: list[PowerPoint] = []
    for level, draw_w, speed in zip(LEVELS, DRAW_W[kind], SPEED[kind], strict=True):
        if not found or draw_w < found[-1].draw_w:
            found.append(PowerPoint(level=level, cap_w=level * GPU_MAX_W, draw_w=draw_w, speed=speed))
    return tuple(found)


def extra_draw_kw(problem: PlanProblem, job: PlanJob, pool: int, point: int) -> float:
    """GPU draw above idle of a whole job at one of its points, kW."""
    return job.gpus * (job.points[point].draw_w - problem.pools[pool].idle_w) / W_PER_KW
