"""ThermalPlug: the standard heat export interface of one cooling loop."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from scheduler.config.kinds.base import (
    MAX_ITEMS,
    DayText,
    InstantText,
    Name,
    Part,
    Resource,
    Status,
    Word,
    about,
    fraction,
)


class TemperatureBand(Part):
    """What the plug delivers to its customer, after a heat pump if there is one."""

    rules: ClassVar = (("self.supplyMinC <= self.supplyMaxC", "supplyMinC must not be above supplyMaxC"),)

    supply_min_c: float = about("Lowest supply temperature of useful delivery.", "degC", ge=-20.0, le=200.0)
    supply_max_c: float = about("Highest supply temperature that can be delivered.", "degC", ge=-20.0, le=200.0)
    return_max_c: float = about("Highest return temperature at which heat can be given away.", "degC", ge=-20.0, le=200.0)


class CapacityBlock(Part):
    """A tradable share of the capacity."""

    name: Name = about("Name of the block.")
    kw: float = about("Thermal power of the block.", "kW", gt=0.0)
    type: Literal["firm", "interruptible"] = about("Firm blocks may be promised, interruptible ones may be taken back.")


class Capacity(Part):
    """How much heat the plug exports."""

    max_heat_kw: float = about("Largest heat delivered at the hand-off meter.", "kW", gt=0.0)
    blocks: list[CapacityBlock] = about(
        "How the capacity is divided; without blocks the whole of it may be promised.",
        default_factory=list,
        max_length=MAX_ITEMS,
    )


class Capture(Part):
    """Which share of the electric power arrives in the loop."""

    rules: ClassVar = (("has(self.cpu) == has(self.cpuShareOfRest)", "cpu and cpuShareOfRest go together"),)

    gpu: float = fraction("Captured share of GPU power.")
    other: float = fraction("Captured share of the rest of the node's power (without CPUs when `cpu` is given).")
    cpu: float | None = fraction("Captured share of CPU power.", default=None)
    cpu_share_of_rest: float | None = fraction("CPU power as a share of the node's power without GPUs.", default=None)
    lag_seconds: float = about("Time constant from power to heat at the plug.", "s", default=0.0, ge=0.0, le=86400.0)


class Hydraulics(Part):
    """The pipe between us and the hand-off."""

    design_flow_m3_per_h: float | None = about("Design flow.", "m3/h", default=None, gt=0.0)
    pipe_loss_kw: float = about("Constant loss of the pipe.", "kW", default=0.0, ge=0.0)


class CopSpec(Part):
    """How the heat pump's coefficient of performance is found."""

    rules: ClassVar = (
        ("self.model != 'fixed' || has(self.fixedCop)", "model fixed needs fixedCop"),
        ("self.sinkOutC > self.sourceOutC", "a heat pump lifts: sinkOutC must be above sourceOutC"),
    )

    model: Literal["jensen", "carnot", "fixed"] = about("Formula: Jensen et al. 2018, a share of Carnot, or a fixed number.")
    source_in_c: float = about("Cooling water entering the evaporator.", "degC", ge=-20.0, le=150.0)
    source_out_c: float = about("Cooling water leaving the evaporator.", "degC", ge=-20.0, le=150.0)
    sink_in_c: float = about("Customer's water entering the condenser.", "degC", ge=-20.0, le=200.0)
    sink_out_c: float = about("Customer's water leaving the condenser.", "degC", ge=-20.0, le=200.0)
    refrigerant: Literal["ammonia", "isobutane"] = about("Refrigerant of the Jensen formula.", default="ammonia")
    carnot_fraction: float = fraction("Share of Carnot.", default=0.5)
    fixed_cop: float | None = about("Delivered heat per electricity.", "1", default=None, gt=1.0, le=30.0)
    isentropic_fraction: float = fraction("Isentropic efficiency of the compressor.", default=0.8)
    pinch_k: float = about("Pinch of both heat exchangers.", "K", default=5.0, ge=0.0, le=50.0)
    heat_loss_fraction: float = fraction("Heat lost by the machine per electricity.", default=0.0)


class HeatPumpSpec(Part):
    """Heat pump between the cooling loop and the customer."""

    rated_heat_kw: float = about("Rated delivered heat.", "kW", gt=0.0)
    min_load_fraction: float = fraction("Lowest part load while running.", default=0.25)
    start_cost_eur: float = about("Wear of one start.", "EUR", default=2.0, ge=0.0)
    cop: CopSpec = about("Coefficient of performance.")
    inside_boundary: bool = about("Whether we pay its electricity.", default=True)


class Storage(Part):
    """Two-zone hot water tank, in usable heat above the return temperature."""

    capacity_kwh: float = about("Usable capacity.", "kWh", gt=0.0)
    max_charge_kw: float = about("Largest charge.", "kW", ge=0.0)
    max_discharge_kw: float = about("Largest discharge.", "kW", ge=0.0)
    loss_per_hour_fraction: float = fraction("Share of the level lost per hour.", default=0.002)
    fixed_loss_kw: float = about("Loss that does not depend on the level.", "kW", default=0.0, ge=0.0)
    min_kwh: float = about("Level that is never used.", "kWh", default=0.0, ge=0.0)
    initial_fraction: float = fraction("Level at the start of a backtest, as a share of the capacity.", default=0.5)
    end_at_least_initial: bool = about("A plan may not empty the tank at its end.", default=True)


class Rejection(Part):
    """What happens to heat that nobody takes."""

    max_kw: float | None = about("Dry cooler capacity; none: never a limit.", "kW", default=None, gt=0.0)
    electric_fraction: float = fraction("Electricity of the dry cooler per rejected heat.", default=0.08)
    room_electric_fraction: float = fraction("Electricity of room cooling per heat that was not captured.", default=0.15)


class Metering(Part):
    """The billing meter."""

    meter_point_id: Annotated[str, Field(min_length=1, max_length=128)] = about("Identity of the metering point.")
    position: Literal["flow", "return"] = about("Pipe in which the flow sensor sits; decides the water's heat coefficient.")
    meter_class: Literal["1", "2", "3"] = about("Accuracy class of EN 1434.", default="2")
    calibration_due: DayText = about("Day on which the calibration runs out.")


class ControlPoint(Part):
    """One way to speak with the plant."""

    protocol: Literal["rest", "webhook", "modbus", "opcua", "mqtt"] = about("Protocol.")
    endpoint: Annotated[str, Field(min_length=1, max_length=1024)] = about("Address, such as host:port or a URL.")
    secret_name: Name | None = about("Secret with credentials or certificates.", default=None)


class MaintenanceWindow(Part):
    """A time in which the plug delivers less."""

    rules: ClassVar = (("has(self.kw) != has(self.nodes)", "give kw (heat still deliverable) or nodes (out of service)"),)

    start: InstantText = about("Begin, with offset.")
    end: InstantText = about("End, with offset.")
    kw: float | None = about("Heat that can still be delivered.", "kW", default=None, ge=0.0)
    nodes: int | None = about("Nodes out of service; lowers the heat in proportion.", "count", default=None, ge=1)
    reason: Word = about("Why.", default="")


class ThermalPlugSpec(Part):
    """What a cooling loop can export, and how."""

    node_selector: dict[str, str] = about("Labels of the nodes on this plug.", default_factory=dict)
    temperature: TemperatureBand = about("Temperature band.")
    capacity: Capacity = about("Largest heat and its blocks.")
    capture: Capture = about("From electric power to captured heat.")
    hydraulics: Hydraulics = about("Flow and pipe.", default_factory=Hydraulics)
    ramp_kw_per_minute: float | None = about(
        "Largest change of delivered heat; none: no limit.", "kW/min", default=None, gt=0.0
    )
    heat_pump: HeatPumpSpec | None = about("Heat pump; none: heat is delivered as it comes.", default=None)
    storage: Storage | None = about("Tank; none: none.", default=None)
    rejection: Rejection = about("Dry cooler and room cooling.", default_factory=Rejection)
    redundancy_class: Literal["N", "N+1", "2N"] = about(
        "What survives one failure: nothing (N), half (N+1), all (2N). Promises are kept to it: half of maxHeatKw with "
        "N+1; with N nothing is kept back, and the shortfall price stands behind the promise. Write 'N' in quotes: bare, it is "
        "a boolean in YAML.",
        default="N",
    )
    metering: Metering = about("Billing meter.")
    control: list[ControlPoint] = about("Ways to speak with the plant; none: advisory.", default_factory=list, max_length=8)
    maintenance: list[MaintenanceWindow] = about("Planned windows.", default_factory=list, max_length=MAX_ITEMS)


class ThermalPlugStatus(Status):
    """What the plug does now."""

    heat_kw: float | None = about("Heat delivered now.", "kW", default=None)
    supply_c: float | None = about("Supply temperature now.", "degC", default=None)
    return_c: float | None = about("Return temperature now.", "degC", default=None)
    firm_kw: float | None = about("Heat promised for this hour.", "kW", default=None)
    plan_id: str | None = about("Plan in force.", default=None)


class ThermalPlug(Resource):
    """The standard heat export interface of one cooling loop; it exists before any customer does."""

    plural: ClassVar = "thermalplugs"
    short_names: ClassVar = ("plug", "plugs")
    columns: ClassVar = (
        ("Max kW", "number", ".spec.capacity.maxHeatKw"),
        ("Redundancy", "string", ".spec.redundancyClass"),
        ("Heat kW", "number", ".status.heatKw"),
        ("Firm kW", "number", ".status.firmKw"),
        ("Ready", "string", ".status.conditions[?(@.type=='Ready')].status"),
    )

    kind: Literal["ThermalPlug"] = about("ThermalPlug.")
    spec: ThermalPlugSpec = about("What the loop can export.")
    status: ThermalPlugStatus | None = about("Written by the operator.", default=None)
