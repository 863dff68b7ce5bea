"""HeatOfftake: one customer's contract on one plug."""

from __future__ import annotations

from typing import ClassVar, Literal

from scheduler.config.kinds.base import LocalTime, Name, Part, Resource, Status, ZoneName, about, fraction

EUR_PER_KWH = "EUR/kWh"


class CurvePoint(Part):
    """A point of the supply curve."""

    outdoor_c: float = about("Outdoor temperature.", "degC", ge=-60.0, le=60.0)
    supply_c: float = about("Supply temperature the customer needs then.", "degC", ge=0.0, le=400.0)


class Requirement(Part):
    """What the customer needs. Who cannot say temperature, volume and availability is not ready for a contract."""

    rules: ClassVar = (("has(self.supplyC) != has(self.supplyCurve)", "give supplyC or supplyCurve, one of them"),)

    supply_c: float | None = about("Supply temperature, the same all year.", "degC", default=None, ge=0.0, le=400.0)
    supply_curve: list[CurvePoint] | None = about(
        "Supply temperature over outdoor temperature, linear in between.", default=None, min_length=2, max_length=16
    )
    max_heat_kw: float = about("Largest heat the customer can take.", "kW", gt=0.0)
    annual_mwh: float = about("Heat taken in a year.", "MWh", gt=0.0)
    availability: float = fraction("Share of the hours in which heat must be there.")

    @property
    def hottest_c(self) -> float | None:
        """The highest supply temperature asked for; None when none is stated."""
        if self.supply_curve:
            return max(point.supply_c for point in self.supply_curve)
        return self.supply_c


class Demand(Part):
    """Where the demand forecast comes from."""

    rules: ClassVar = (("self.source != 'constant' || has(self.constantKw)", "source constant needs constantKw"),)

    source: Literal["series", "plant", "signature", "profile", "constant"] = about(
        "series: the file's heat_demand_kw; plant: the plant says; signature: weather and hour of the week; "
        "profile: hour of the week; constant: one number.",
        default="series",
    )
    constant_kw: float | None = about("Demand of source constant.", "kW", default=None, ge=0.0)


class ThermalMass(Part):
    """Heat that the customer stores by himself: a digester, a pool."""

    rules: ClassVar = (("self.minC < self.maxC", "minC must be below maxC"),)

    kwh_per_k: float = about("Heat that warms it by one kelvin.", "kWh/K", gt=0.0)
    min_c: float = about("Lowest allowed temperature.", "degC", ge=-20.0, le=120.0)
    max_c: float = about("Highest allowed temperature.", "degC", ge=-20.0, le=120.0)
    max_k_per_day: float = about("Fastest allowed change.", "K/d", gt=0.0)


class Tariff(Part):
    """What one delivered kWh earns; which fields matter depends on `kind`."""

    rules: ClassVar = (
        ("self.kind != 'fixed' || has(self.fixedEurPerKwh)", "kind fixed needs fixedEurPerKwh"),
        (
            "self.kind != 'indexed' || (has(self.fixedEurPerKwh) && has(self.baseYear))",
            "kind indexed needs a price and baseYear",
        ),
        ("self.kind != 'temperatureIndexed' || has(self.scaleEurPerKwh)", "kind temperatureIndexed needs scaleEurPerKwh"),
        ("self.kind != 'avoidedCost' || has(self.fuelEurPerKwh)", "kind avoidedCost needs fuelEurPerKwh"),
        ("self.kind != 'sharedSavings' || has(self.fuelEurPerKwh)", "kind sharedSavings needs fuelEurPerKwh"),
        ("self.kind != 'costPrice' || has(self.ownCostEurPerKwh)", "kind costPrice needs ownCostEurPerKwh"),
    )

    kind: Literal["fixed", "indexed", "temperatureIndexed", "avoidedCost", "sharedSavings", "costPrice"] = about(
        "Shape of the tariff."
    )
    fixed_eur_per_kwh: float | None = about("Price (fixed), or price of the base year (indexed).", EUR_PER_KWH, default=None)
    escalation_fraction_per_year: float = about("Rise per full year since baseYear.", "1/a", default=0.0, ge=-0.5, le=0.5)
    base_year: int | None = about("Year of the price (indexed).", "year", default=None, ge=1990, le=2200)
    index_fraction: float = about("Index over its base value (indexed).", "1", default=1.0, gt=0.0)
    scale_eur_per_kwh: float | None = about(
        "Price at 0 degC: clip(scale x base^T, floor, ceiling), T the mean outdoor temperature of the local day before.",
        EUR_PER_KWH,
        default=None,
        ge=0.0,
    )
    temperature_base: float = about("Base of the power; below 1 the price rises with cold.", "1", default=1.0, gt=0.0, le=2.0)
    floor_eur_per_kwh: float = about("Lowest price (temperatureIndexed).", EUR_PER_KWH, default=0.0)
    ceiling_eur_per_kwh: float | None = about("Highest price (temperatureIndexed).", EUR_PER_KWH, default=None)
    without_outdoor_eur_per_kwh: float | None = about(
        "Price when the outdoor temperature is not known (temperatureIndexed).", EUR_PER_KWH, default=None
    )
    grade_reference_c: float = about("Supply temperature above which the grade is paid for.", "degC", default=0.0)
    grade_eur_per_kwh_per_k: float = about("Extra price per kelvin above it.", "EUR/kWh/K", default=0.0, ge=0.0)
    fuel_eur_per_kwh: float | None = about("Fuel that our heat replaces.", EUR_PER_KWH, default=None, ge=0.0)
    boiler_efficiency_fraction: float = about("Efficiency of the boiler we replace.", "1", default=0.9, gt=0.0, le=1.2)
    fuel_carbon_g_per_kwh: float = about("CO2 of the fuel.", "g/kWh", default=202.0, ge=0.0)
    fuel_carbon_eur_per_tonne: float = about("Carbon price on the fuel.", "EUR/t", default=0.0, ge=0.0)
    share_fraction: float = fraction("Our share of the saving (sharedSavings).", default=0.5)
    own_cost_eur_per_kwh: float | None = about(
        "Our own cost of a kWh (costPrice, sharedSavings).", EUR_PER_KWH, default=None, ge=0.0
    )
    take_or_pay_kwh_per_year: float = about("Heat paid for even if not taken.", "kWh/a", default=0.0, ge=0.0)


class FirmProduct(Part):
    """One gate a day, and what it makes binding."""

    gate: LocalTime = about("Local time after which the promise is binding.")
    delivery_start: LocalTime = about("Local begin of the delivery.", default="00:00")
    delivery_day: int = about("Day of the delivery's begin: 0 the gate's own, 1 the next.", "d", default=1, ge=0, le=7)
    delivery_hours: int = about(
        "Delivery ends at the local time so many hours later; a whole day has 23, 24 or 25.", "h", default=24, ge=1, le=48
    )
    resolution: Literal["15m", "30m", "1h"] = about(
        "One promise for each so long period; of all products the same.", default="1h"
    )
    revise: Literal["never", "up"] = about(
        "What this gate may do to a period that is bound already: nothing, or raise it. Nothing is ever lowered.",
        default="never",
    )


class Firm(Part):
    """The rule of firm heat."""

    rules: ClassVar = (
        (
            "!self.products.exists(a, self.products.exists(b, a.resolution != b.resolution))",
            "all products must have the same resolution",
        ),
    )

    time_zone: ZoneName | None = about("Zone of the gate; the site's when not given.", default=None)
    quantile: float = about("Quantile of deliverable heat that may be promised.", "1", default=0.1, gt=0.0, lt=1.0)
    tolerance_fraction: float = fraction("Shortfall below this share of the promise is free.", default=0.05)
    shortfall_eur_per_kwh: float = about("Penalty of a kWh promised and not delivered.", EUR_PER_KWH, ge=0.0)
    capacity_eur_per_kwh: float = about(
        "Payment per promised kWh, delivered or not asked for.", EUR_PER_KWH, default=0.0, ge=0.0
    )
    on_silence: Literal["bind", "withdraw"] = about(
        "A promise that is not acknowledged: binds, or nothing is owed until it is accepted.", default="bind"
    )
    answer_late_minutes: float = about(
        "A gate that was missed is still answered so long after it, for what has not begun.",
        "min",
        default=120.0,
        ge=0.0,
        le=1440.0,
    )
    products: list[FirmProduct] = about("Gates and what they sell.", min_length=1, max_length=12)


class Sla(Part):
    """Availability promised in the contract, settled in the ledger."""

    availability: float = fraction("Promised share of the contracted hours.")
    penalty_eur_per_hour: float = about("Penalty of an hour below it.", "EUR/h", default=0.0, ge=0.0)


class BoilerSignal(Part):
    """The signal that tells the customer's boiler to start."""

    lead_minutes: float = about("How long before a shortfall the boiler must know.", "min", default=30.0, ge=0.0, le=1440.0)


class HeatOfftakeSpec(Part):
    """What one customer takes, when, and at what price."""

    plug_ref: Name = about("ThermalPlug that delivers.")
    sink: Literal["districtHeating", "digester", "greenhouse", "pool", "building", "process", "captive"] = about(
        "What the heat warms."
    )
    requirement: Requirement = about("Temperature, volume, availability.")
    demand: Demand = about("Where the demand forecast comes from.", default_factory=Demand)
    thermal_mass: ThermalMass | None = about("Heat stored by the customer himself.", default=None)
    tariff: Tariff = about("Price of heat.")
    firm: Firm | None = about("Rule of firm heat; none: nothing is promised.", default=None)
    sla: Sla | None = about("Availability of the contract.", default=None)
    boiler_signal: BoilerSignal | None = about("Signal to the customer's boiler.", default=None)
    priority: int = about(
        "Served in rising order. A plan sells where it earns more while heat is scarce, and in this order at equal prices: "
        "give the better payer the lower number.",
        "count",
        default=1,
        ge=1,
        le=100,
    )
    interruptible: bool = about("Delivery may stop without harm.", default=True)
    critical: bool = about("Delivery carries life or health: always with firm heat and a boiler.", default=False)
    auxiliary_heat: bool = about("The customer has another source of heat.", default=True)


class HeatOfftakeStatus(Status):
    """What the customer gets now."""

    heat_kw: float | None = about("Heat delivered now.", "kW", default=None)
    firm_kw: float | None = about("Heat promised for this hour.", "kW", default=None)
    demand_kw: float | None = about("Demand now.", "kW", default=None)


class HeatOfftake(Resource):
    """One customer's contract on one plug: temperature, volume, availability, price, firm rule, penalties."""

    plural: ClassVar = "heatofftakes"
    short_names: ClassVar = ("offtake", "offtakes")
    columns: ClassVar = (
        ("Plug", "string", ".spec.plugRef"),
        ("Sink", "string", ".spec.sink"),
        ("Priority", "integer", ".spec.priority"),
        ("Heat kW", "number", ".status.heatKw"),
        ("Firm kW", "number", ".status.firmKw"),
        ("Ready", "string", ".status.conditions[?(@.type=='Ready')].status"),
    )

    kind: Literal["HeatOfftake"] = about("HeatOfftake.")
    spec: HeatOfftakeSpec = about("The contract.")
    status: HeatOfftakeStatus | None = about("Written by the operator.", default=None)
