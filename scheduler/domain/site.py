"""The physical site: pools of GPUs, thermal plugs, heat customers and what they are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from scheduler.domain.contract import ElectricityContract, FirmRule, HeatTariff
from scheduler.domain.job import JobClass


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePower:
    """Node wall power per GPU: kw_per_gpu_base + host_slope * GPU draw; idle GPUs draw gpu_idle_w, nodes never power down.

    host_slope carries fans, supplies and voltage losses that grow with the GPUs (fit of 8-GPU H100 nodes: 1.32).
    """

    kw_per_gpu_base: float
    host_slope: float
    gpu_idle_w: float
    gpu_max_w: float
    gpu_min_w: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """GPU nodes of one kind on one plug."""

    pool_id: str
    plug_id: str
    gpus: int
    gpus_per_node: int
    gpu_model: str
    power: NodePower


class CopModel(StrEnum):
    """How a heat pump's COP is found."""

    JENSEN = "jensen"
    CARNOT = "carnot"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cop:
    """COP model and its temperatures; `fixed_cop` for FIXED, `carnot_fraction` for CARNOT, `refrigerant` for JENSEN."""

    model: CopModel
    source_in_c: float
    source_out_c: float
    sink_in_c: float
    sink_out_c: float
    refrigerant: str = "ammonia"
    carnot_fraction: float = 0.5
    fixed_cop: float = 0.0
    isentropic_fraction: float = 0.8
    pinch_k: float = 5.0
    heat_loss_fraction: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatPump:
    """Heat pump between the cooling loop and the customer; ratings are delivered heat."""

    rated_heat_kw: float
    min_load_fraction: float
    start_cost_eur: float
    cop: Cop
    inside_boundary: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Tank:
    """Two-zone hot water tank in usable kWh above the return temperature.

    Level after a slot of h hours: level * (1 - loss_per_hour_fraction) ** h + charge * h - discharge * h - fixed_loss_kw * h.
    """

    capacity_kwh: float
    max_charge_kw: float
    max_discharge_kw: float
    loss_per_hour_fraction: float
    fixed_loss_kw: float = 0.0
    min_kwh: float = 0.0
    initial_fraction: float = 0.5
    end_at_least_initial: bool = True


class RedundancyClass(StrEnum):
    """What a promise of heat survives: N no failure, N+1 the loss of one of two units, 2N that of any one (`promisable_kw`)."""

    N = "N"
    N_PLUS_1 = "N+1"
    TWO_N = "2N"


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """A window in which a plug can deliver at most `available_kw`."""

    start_utc: datetime
    end_utc: datetime
    available_kw: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plug:
    """The standard heat export interface of one cooling loop."""

    plug_id: str
    max_heat_kw: float
    capture_gpu_fraction: float
    capture_other_fraction: float
    capture_lag_s: float = 0.0
    pipe_loss_kw: float = 0.0
    ramp_kw_per_min: float | None = None
    heat_pump: HeatPump | None = None
    tank: Tank | None = None
    rejection_max_kw: float | None = None
    rejection_electric_fraction: float = 0.08
    room_electric_fraction: float = 0.15
    supply_min_c: float = 30.0
    supply_max_c: float = 75.0
    return_max_c: float = 60.0
    firm_heat_kw: float | None = None
    redundancy: RedundancyClass = RedundancyClass.N
    maintenance: tuple[Maintenance, ...] = ()


class SinkKind(StrEnum):
    """What the heat warms."""

    DISTRICT_HEATING = "districtHeating"
    DIGESTER = "digester"
    GREENHOUSE = "greenhouse"
    POOL = "pool"
    BUILDING = "building"
    PROCESS = "process"
    CAPTIVE = "captive"


class DemandSource(StrEnum):
    """Where an offtake's demand forecast comes from."""

    SERIES = "series"
    PLANT = "plant"
    SIGNATURE = "signature"
    PROFILE = "profile"
    CONSTANT = "constant"


@dataclass(frozen=True, slots=True, kw_only=True)
class ThermalMass:
    """Heat that a customer stores by himself (digester, pool, greenhouse): a lumped mass between two temperatures.

    max_k_per_day: fastest allowed change, up or down, over any day.
    """

    kwh_per_k: float
    min_c: float
    max_c: float
    max_k_per_day: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Offtake:
    """One customer's contract on one plug; a lower priority number is served first.

    supply_curve: (outdoor, supply) temperatures in degC, rising in outdoor, linear in between; empty when the customer takes
    what the plug supplies all year.
    """

    offtake_id: str
    plug_id: str
    sink: SinkKind
    max_heat_kw: float
    tariff: HeatTariff
    priority: int = 1
    demand_source: DemandSource = DemandSource.SERIES
    constant_demand_kw: float = 0.0
    firm: FirmRule | None = None
    interruptible: bool = True
    critical: bool = False
    supply_curve: tuple[tuple[float, float], ...] = ()
    thermal_mass: ThermalMass | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """Cap levels as fractions of gpu_max_w and what they do to draw and speed (gpu-power section 3).

    `speed_of_ratio` is (draw / natural draw, relative throughput), descending, linear in between.
    """

    levels: tuple[float, ...]
    binding_draw_fraction: float
    speed_of_ratio: tuple[tuple[float, float], ...]
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Everything that does not change from cycle to cycle.

    holidays: local days on which forecasts expect people to live as on a Sunday, of all years that may be asked about.
    """

    name: str
    time_zone: str
    pools: tuple[Pool, ...]
    plugs: tuple[Plug, ...]
    offtakes: tuple[Offtake, ...]
    classes: tuple[JobClass, ...]
    caps: Caps
    electricity: ElectricityContract
    overhead_fraction_of_it: float = 0.06
    site_limit_kw: float | None = None
    currency: str = "EUR"
    extra: dict[str, str] = field(default_factory=dict)
    holidays: tuple[date, ...] = ()

    @property
    def gpus(self) -> int:
        """GPUs of all pools."""
        return sum(pool.gpus for pool in self.pools)

    def job_class(self, name: str) -> JobClass:
        """Look a class up by name; KeyError when it does not exist."""
        for candidate in self.classes:
            if candidate.name == name:
                return candidate
        raise KeyError(name)
