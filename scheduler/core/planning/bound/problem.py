"""The world of a backtest as the bound sees it: rows of time, jobs with their true work, plant and contracts.

Index letters: j job, z pool, y plug, o offtake, k row of time. Hours count from the start of the window. Power of jobs is
*extra draw*: GPU draw above the idle draw of the same GPUs, so that the base arrays hold the site without any job.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from scheduler.domain.time import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPoint:
    """One way to run for a moment: extra draw in kW of the whole job and speed relative to uncapped."""

    extra_kw: float
    speed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundJob:
    """A job with its true work; prices in EUR per hour of the whole job (GPU count included).

    points[z]: allowed ways to run in pool z, fastest first; a pool that is missing is not eligible. The job runs without a
    break but for at most `max_pauses` stops, each after `min_run_h` of running since its last start; a stop adds `redo_h` of
    work and costs `stop_eur`. due_h is None without a deadline. at_once: nobody may hold it: a plan starts it when it is
    submitted; the bound lets it wait.
    """

    job_id: str
    gpus: int
    submit_h: float
    work_h: float
    due_h: float | None
    points: dict[int, tuple[RunPoint, ...]]
    waiting_eur_per_h: float
    lateness_eur_per_h: float
    slowdown_eur_per_h: float
    max_pauses: int = 0
    min_run_h: float = 0.0
    redo_h: float = 0.0
    stop_eur: float = 0.0
    at_once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundPool:
    """GPUs of one kind: base IT power without jobs, what extra draw adds to it and how much of it is captured."""

    pool_id: str
    plug: int
    gpus: int
    base_it_kw: float
    base_captured_kw: float
    it_kw_per_draw_kw: float
    captured_kw_per_draw_kw: float
    max_extra_kw_per_gpu: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoundPlug:
    """Recovery, tank and cooling of one plug; arrays over rows. cop is None for direct use (delivered = recovered)."""

    plug_id: str
    rated_heat_kw: FloatArray
    cop: float | None
    min_load_fraction: float = 0.0
    start_cost_eur: float = 0.0
    pipe_loss_kw: float = 0.0
    lag_h: float = 0.0
    tank_capacity_kwh: float = 0.0
    tank_start_kwh: float = 0.0
    tank_end_kwh: float = 0.0
    tank_deficit_eur_per_kwh: float = 0.0
    max_charge_kw: float = 0.0
    max_discharge_kw: float = 0.0
    tank_loss_per_h_fraction: float = 0.0
    rejection_kw_per_kw: float = 0.0
    room_kw_per_kw: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SaleHour:
    """One delivery interval that a gate inside the window can sell: rows [first, last) and the most it can promise in kWh."""

    first: int
    last: int
    most_kwh: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoundOfftake:
    """One customer: the most it takes and its tariff per row; its firm rule with the hours that can be promised."""

    offtake_id: str
    plug: int
    demand_kw: FloatArray
    price_eur_per_kwh: FloatArray
    sale_hours: tuple[SaleHour, ...] = ()
    capacity_eur_per_kwh: float = 0.0
    shortfall_eur_per_kwh: float = 0.0
    tolerance_fraction: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoundProblem:
    """Everything that costs or earns between the start of the window and its common end.

    edges_h: (rows + 1,) ends of the rows of time in hours; prices are constant inside a row. Capacity, heat and electricity
    hold as means over a row, which only relaxes them. price_eur_per_kwh: all-in price of electricity, the shadow price of
    carbon included. steered: rows are the very slots in which plants are steered, so that no flow changes inside one and a
    tank's line is exact.
    """

    edges_h: FloatArray
    price_eur_per_kwh: FloatArray
    overhead_fraction: float
    pools: tuple[BoundPool, ...]
    plugs: tuple[BoundPlug, ...]
    offtakes: tuple[BoundOfftake, ...]
    jobs: tuple[BoundJob, ...]
    steered: bool = False

    @property
    def rows(self) -> int:
        """Number of rows of time."""
        return len(self.edges_h) - 1

    @property
    def row_h(self) -> FloatArray:
        """(rows,) length of each row in hours."""
        return self.edges_h[1:] - self.edges_h[:-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundBudget:
    """Iterations, not seconds, end the search, so that the bound is reproducible.

    stop_fraction: stop when the relaxation's own optimum is at most this far above the bound. plant_nodes: branch and bound
    nodes for whole pump states at the best prices, 0 for none. joint_rounds: branch and bounds in which pump states are whole
    together with mixtures of schedules (`joint`), of joint_nodes each, 0 for none. A window longer than whole_h is priced in
    pieces of piece_h.
    """

    rounds: int = 60
    stop_fraction: float = 0.0005
    plant_nodes: int = 2000
    joint_rounds: int = 12
    joint_nodes: int = 200
    whole_h: float = 800.0
    piece_h: float = 336.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundResult:
    """A proven lower bound and how it was found.

    history_eur: best bound after each round. relaxed_eur: cost of a point of the relaxation with pumps that may be half on
    (columns mixed by a linear program); whole pump states can lift cost_eur above it. None when it was not computed.
    terms_eur: parts of the bound (jobs at the final prices, plant at the final prices). gpu_eur_per_gpu_h, draw_eur_per_kwh:
    (pools, rows) the prices at which it was found.
    """

    cost_eur: float
    method: str
    rounds: int
    gpu_eur_per_gpu_h: FloatArray
    draw_eur_per_kwh: FloatArray
    history_eur: tuple[float, ...]
    relaxed_eur: float | None = None
    terms_eur: dict[str, float] = field(default_factory=dict)
    rows: int = 0
    jobs: int = 0

    @property
    def open_fraction(self) -> float | None:
        """How far the bound is below the relaxation with half-on pumps, at most; negative where whole states lifted it."""
        if self.relaxed_eur is None:
            return None
        return (self.relaxed_eur - self.cost_eur) / max(1e-9, abs(self.relaxed_eur))
