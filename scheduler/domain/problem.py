"""The planning problem as plain arrays: what `core/planning` solves, what the checker checks, what a benchmark generates.

Index letters everywhere: j job, z pool, y plug, o offtake, t slot (15 min), k step (slot or hour), l cap level.
Power of flexible work is counted as *extra draw*: GPU draw in kW above the idle draw of the same GPUs. Base arrays hold
everything else (idle GPUs, hosts, insulated work running or expected), so a problem with no jobs is the base load.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from scheduler.domain.time import FloatArray, IntArray, TimeGrid


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerPoint:
    """One distinguishable cap level of one job: cap, resulting draw per GPU and relative speed (1 = uncapped)."""

    level: float
    cap_w: float
    draw_w: float
    speed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanJob:
    """A flexible job (queued, paused or running) as the plan sees it.

    work_s: expected remaining seconds of uncapped running (queued: all of it). tail_work_s: its learned q95.
    points: allowed cap levels, fastest first; duplicates (caps above the natural draw) removed, maxSlowdown respected.
    release_slot: earliest start. latest_start_slot: the hard end of its hold (design 6), None for running jobs; a value below
    release_slot means "start as soon as it fits". due_s: deadline in seconds from the grid start, may be negative.
    running_pool: pool index when running, else None; running_point: index into points when running.
    stoppable: may be stopped (class, preemptions left); stop_slot: first slot in which its minimum run time is over.
    resume_work_s: work redone and checkpoint time added by one stop. preemption_eur: price of one stop, doubt included.
    waiting / lateness / slowdown in EUR per hour of the whole job (GPU count included).
    unplaced_eur: penalty for not starting inside the horizon.
    """

    job_id: str
    gpus: int
    pools: tuple[int, ...]
    work_s: float
    tail_work_s: float
    points: tuple[PowerPoint, ...]
    release_slot: int = 0
    latest_start_slot: int | None = None
    due_s: float | None = None
    running_pool: int | None = None
    running_point: int | None = None
    stoppable: bool = False
    stop_slot: int = 0
    resume_work_s: float = 0.0
    preemption_eur: float = 0.0
    waiting_eur_per_h: float = 0.0
    lateness_eur_per_h: float = 0.0
    slowdown_eur_per_h: float = 0.0
    unplaced_eur: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlanPool:
    """One pool: GPUs left for flexible jobs and the base load without them; arrays over slots.

    it_kw_per_draw_kw: node wall kW per kW of extra GPU draw (host slope). captured_kw_per_draw_kw: heat caught of it.
    idle_w: draw of an idle GPU, so that extra draw of a job at point p is gpus * (p.draw_w - idle_w).
    """

    pool_id: str
    plug: int
    gpus_free: FloatArray
    base_it_kw: FloatArray
    base_captured_kw: FloatArray
    it_kw_per_draw_kw: float
    captured_kw_per_draw_kw: float
    idle_w: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlanPlug:
    """One plug: recovery, tank and limits; arrays over slots.

    cop: None for direct use (delivered = recovered). With a heat pump delivered = recovered * cop / (cop - 1) and its
    electricity is delivered / cop. rated_heat_kw: delivered by the pump (or the exchanger) at most, maintenance included.
    """

    plug_id: str
    rated_heat_kw: FloatArray
    cop: FloatArray | None
    min_load_fraction: float = 0.0
    start_cost_eur: float = 0.0
    pump_on: bool = False
    pipe_loss_kw: float = 0.0
    ramp_kw_per_h: float | None = None
    delivered_kw: float | None = None
    tank_capacity_kwh: float = 0.0
    tank_min_kwh: float = 0.0
    tank_level_kwh: float = 0.0
    tank_end_kwh: float = 0.0
    max_charge_kw: float = 0.0
    max_discharge_kw: float = 0.0
    tank_loss_per_h_fraction: float = 0.0
    tank_fixed_loss_kw: float = 0.0
    tank_end_value_eur_per_kwh: float = 0.0
    rejection_max_kw: float | None = None
    rejection_kw_per_kw: float = 0.0
    room_kw_per_kw: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlanOfftake:
    """One customer: what it would take and what it pays; a lower priority number is served first."""

    offtake_id: str
    plug: int
    demand_kw: FloatArray
    price_eur_per_kwh: FloatArray
    priority: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanCommitment:
    """Binding firm heat in slots [start_slot, end_slot): required_kwh = (1 - tolerance) * promised - already delivered."""

    offtake: int
    start_slot: int
    end_slot: int
    required_kwh: float
    shortfall_eur_per_kwh: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Penalties:
    """Elastic tiers, sized against real prices so that an infeasible wish becomes a named slack.

    Order (EUR): capacity > site > shortfall (contract) > unplaced > lateness > waiting; none may undercut a tariff.
    """

    capacity_eur_per_gpu_h: float = 80.0
    site_eur_per_kwh: float = 2.0
    ramp_eur_per_kwh: float = 1.0
    rejection_eur_per_kwh: float = 1.0
    tank_end_eur_per_kwh: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlanProblem:
    """One rolling-horizon problem.

    step_slots: slots in each step k (fine first, hours later; sums to grid.slots). Capacity, heat and site rows hold per
    step with mean loads, electricity is priced per slot. Decisions that begin in the first commit_slots are integral.
    spot / adder / carbon in EUR/kWh per slot (carbon is a shadow price); tail_eur_per_kwh: all-in price after the horizon.
    site_limit_kw: import limit per slot (inf: none). demand_charge_eur_per_kw: price of a kW above peak_kw.
    """

    grid: TimeGrid
    step_slots: IntArray
    commit_slots: int
    spot_eur_per_kwh: FloatArray
    adder_eur_per_kwh: FloatArray
    carbon_eur_per_kwh: FloatArray
    tail_eur_per_kwh: FloatArray
    overhead_fraction: float
    site_limit_kw: FloatArray
    pools: tuple[PlanPool, ...]
    plugs: tuple[PlanPlug, ...]
    offtakes: tuple[PlanOfftake, ...]
    jobs: tuple[PlanJob, ...]
    commitments: tuple[PlanCommitment, ...] = ()
    demand_charge_eur_per_kw: float = 0.0
    pump_slots: int = 0
    peak_kw: float = 0.0
    penalties: Penalties = field(default_factory=Penalties)
