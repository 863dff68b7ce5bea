"""What the optimiser decided, how good it is proven to be, and what it tells the heat plant."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import numpy as np

from scheduler.domain.time import FloatArray, IntArray, TimeGrid


class PlanStatus(StrEnum):
    """Degraded steps in the order of descent."""

    FRESH = "fresh"
    LAST_GOOD = "lastGood"
    RULE_BASED = "ruleBased"
    LET_GO = "letGo"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunOption:
    """One way to run a job: from `start_slot`, `points[i]` indexes the job's power points in slot start_slot + i.

    The run ends in its last slot after `last_slot_fraction` of it. start_slot 0 with a running job means "go on".
    `weight` is 1 for a decided option; later than the commit window options may be fractional and add up to 1.
    """

    start_slot: int
    pool: int
    points: IntArray
    last_slot_fraction: float = 1.0
    weight: float = 1.0

    @property
    def end_slot(self) -> int:
        """First slot after the run."""
        return self.start_slot + len(self.points)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlannedJob:
    """What the plan does with a job. `options` may be empty (unplaced). `stopped`: a running job that is stopped at slot 0."""

    job_id: str
    options: tuple[RunOption, ...]
    stopped: bool = False
    unplaced_fraction: float = 0.0

    @property
    def main(self) -> RunOption | None:
        """The option with the largest weight, the earliest of equals."""
        return max(self.options, key=lambda option: (option.weight, -option.start_slot)) if self.options else None

    @property
    def decided(self) -> bool:
        """True when the job has one integral option."""
        return len(self.options) == 1 and self.options[0].weight > 1.0 - 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlugFlows:
    """Planned heat of one plug per step k, kW means over the step; tank_kwh is the level at the step's end."""

    plug_id: str
    captured_kw: FloatArray
    recovered_kw: FloatArray
    delivered_kw: FloatArray
    pump_kw_el: FloatArray
    charge_kw: FloatArray
    discharge_kw: FloatArray
    tank_kwh: FloatArray
    dumped_kw: FloatArray
    rejected_kw: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Slack:
    """A broken wish with its size and price: "never infeasible"."""

    name: str
    amount: float
    unit: str
    cost_eur: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SolveReport:
    """How the plan was found: objective and proven bound of the rolling model, iterations, seconds by stage.

    rolling_gap = (objective - bound) / |objective - base| of the model that is integral in the commit window only; base_eur is
    the cost of the load that no decision changes, left out so that it does not flatter the gap.
    rounded_gap: the same for the plan rounded over the whole horizon. `clock_bit` says that a time guard, not an
    iteration budget, ended a stage: such a plan may differ on another machine.
    """

    method: str
    objective_eur: float
    bound_eur: float
    rolling_gap: float
    rounded_gap: float | None = None
    bundle_steps: int = 0
    columns: int = 0
    stage_s: dict[str, float] = field(default_factory=dict)
    clock_bit: bool = False
    base_eur: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Duals:
    """Prices of the plan per pool and slot: EUR per GPU-hour of capacity and EUR per kWh of extra GPU draw.

    `draw_eur_per_kwh` is the *whole* marginal price of draw: electricity, overhead, cooling, site limit, minus heat value.
    """

    start_utc: datetime
    slot_s: int
    gpu_eur_per_gpu_h: FloatArray
    draw_eur_per_kwh: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WarmStart:
    """What the next solve of hundreds of jobs begins with, besides the plan itself.

    duals: prices at which the bound was proven; those of the plan are a corner of the relaxation, from where the next one needs
    more rounds. job_ids, start_slot, pool: the runs of the relaxation's basis, one entry each, starts on the plan's grid.
    """

    duals: Duals
    job_ids: tuple[str, ...]
    start_slot: IntArray
    pool: IntArray


class WaitReason(StrEnum):
    """Binding reason of a job that waits (stable names, used in conditions and Events)."""

    CHEAPER_POWER = "CheaperPower"
    HEAT_LATER = "HeatLater"
    POOL_FULL = "PoolFull"
    FIRM_DELIVERY = "FirmDelivery"
    DEADLINE_START = "DeadlineStart"
    SITE_LIMIT = "SiteLimit"
    NO_FIT = "NoFit"
    UNPLACEABLE = "Unplaceable"
    NO_PLAN_YET = "NoPlanYet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a job waits, in data and one sentence; `latest_start_utc` is the hard end, `may_move` marks a rounded start."""

    job_id: str
    reason: WaitReason
    text: str
    start_utc: datetime | None
    latest_start_utc: datetime | None
    saves_eur: float
    may_move: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """A plan on `grid`. `cost_eur` by term adds up to report.objective_eur.

    basis: the inputs it rests on, (rows, slots), by which a later cycle sees whether it may keep the plan; None: never.
    warm: what the next solve begins with; None: with this plan's runs and prices.
    """

    plan_id: str
    input_digest: str
    grid: TimeGrid
    step_slots: IntArray
    commit_slots: int
    status: PlanStatus
    jobs: tuple[PlannedJob, ...]
    flows: tuple[PlugFlows, ...]
    sold_kw: dict[str, FloatArray]
    it_kw: FloatArray
    cost_eur: dict[str, float]
    report: SolveReport
    duals: Duals
    slacks: tuple[Slack, ...] = ()
    explanations: tuple[Explanation, ...] = ()
    degraded_reason: str = ""
    basis: FloatArray | None = None
    warm: WarmStart | None = None

    @property
    def step_start(self) -> IntArray:
        """First slot of each step."""
        return np.concatenate([[0], np.cumsum(self.step_slots)[:-1]]).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Offer:
    """Heat offered to one customer on `grid` (one value per slot): median, band, firm, limits; advisory unless acting.

    withdrawn: no plan stands behind it, so that nobody may count on anything. heat_g_per_kwh: carbon of a kWh of this heat;
    None: nobody tells of the grid's.
    """

    offtake_id: str
    plug_id: str
    plan_id: str
    issued_utc: datetime
    valid_until_utc: datetime
    grid: TimeGrid
    p50_kw: FloatArray
    p10_kw: FloatArray
    p90_kw: FloatArray
    firm_kw: FloatArray
    min_kw: FloatArray
    max_kw: FloatArray
    supply_c: FloatArray
    return_max_c: float
    shortfall_probability: FloatArray
    boiler_request_kw: float = 0.0
    advisory: bool = True
    withdrawn: bool = False
    heat_g_per_kwh: FloatArray | None = None
