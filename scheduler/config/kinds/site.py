"""Site: where we are, what electricity costs, and the node pools when there is no live cluster to ask."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from scheduler.config.kinds.base import MAX_ITEMS, CountryName, Name, Part, Resource, Status, ZoneName, about

EUR_PER_KWH = "EUR/kWh"


class PoolPower(Part):
    """Wall power of a node per GPU: baseKwPerGpu + hostSlope x GPU draw. Defaults fit nodes with eight H100."""

    base_kw_per_gpu: float = about("Power of the node per GPU that does not move with the GPUs.", "kW", default=0.125, ge=0.0)
    host_slope: float = about(
        "Node power per GPU power: fans, supplies and voltage losses grow with the GPUs.", "1", default=1.32, ge=1.0, le=3.0
    )
    gpu_idle_w: float = about("Draw of an idle GPU.", "W", default=70.0, ge=0.0, le=5000.0)
    gpu_max_w: float = about("Largest power limit of a GPU.", "W", default=700.0, gt=0.0, le=5000.0)
    gpu_min_w: float = about("Lowest power limit of a GPU.", "W", default=0.0, ge=0.0, le=5000.0)


class NodePool(Part):
    """GPU nodes of one kind on one plug."""

    pool: Name = about("Name of the pool.")
    plug: Name = about("ThermalPlug whose loop cools it.")
    nodes: int = about("Number of nodes.", "count", ge=1, le=100000)
    gpus_per_node: int = about("GPUs in a node.", "count", ge=1, le=1024)
    gpu_model: Annotated[str, Field(min_length=1, max_length=64)] = about("Model of the GPUs.")
    idle_node_kw: float | None = about(
        "Measured wall power of an idle node; replaces power.baseKwPerGpu when given.", "kW", default=None, gt=0.0
    )
    power: PoolPower = about("Power of node and GPUs.", default_factory=PoolPower)


class PriceBand(Part):
    """Price of some hours of some weekdays."""

    start_hour: int = about("First local hour.", "h", ge=0, le=23)
    end_hour: int = about("Local hour at which it ends.", "h", ge=1, le=24)
    weekdays: list[Annotated[int, Field(ge=1, le=7)]] = about(
        "ISO weekdays, 1 is Monday.", "count", default_factory=lambda: [1, 2, 3, 4, 5, 6, 7], min_length=1, max_length=7
    )
    eur_per_kwh: float = about("Energy price.", EUR_PER_KWH)


class Electricity(Part):
    """All-in price = energy + network + taxes; the demand charge falls on the month's peak."""

    rules: ClassVar = (
        ("self.kind != 'fixed' || has(self.fixedEurPerKwh)", "kind fixed needs fixedEurPerKwh"),
        ("self.kind != 'timeOfUse' || self.bands.exists(b, true)", "kind timeOfUse needs bands"),
    )

    kind: Literal["spot", "fixed", "timeOfUse"] = about("How the energy part is formed.", default="spot")
    fixed_eur_per_kwh: float | None = about("Energy price of kind fixed.", EUR_PER_KWH, default=None)
    bands: list[PriceBand] = about("Bands of kind timeOfUse.", default_factory=list, max_length=MAX_ITEMS)
    network_eur_per_kwh: float = about("Network tariff.", EUR_PER_KWH, default=0.0)
    taxes_eur_per_kwh: float = about("Taxes and levies.", EUR_PER_KWH, default=0.0)
    demand_charge_eur_per_kw_month: float = about("Price of the month's peak.", "EUR/kW/month", default=0.0, ge=0.0)


class SiteSpec(Part):
    """Place, electricity, pools."""

    time_zone: ZoneName = about("IANA time zone of gates, seasons and reports.")
    country: CountryName | None = about(
        "Country, or part of one, whose public holidays forecasts take for Sundays; none when not given.", default=None
    )
    currency: Literal["EUR"] = about("Currency; all prices are in it.", default="EUR")
    overhead_fraction_of_it: float = about(
        "Electricity of the building per electricity of IT, without cooling of heat we do not sell.",
        "1",
        default=0.06,
        ge=0.0,
        le=2.0,
    )
    electricity: Electricity = about("Electricity contract.", default_factory=Electricity)
    node_pools: list[NodePool] = about("Pools of a site without a live cluster.", default_factory=list, max_length=MAX_ITEMS)


class Site(Resource):
    """Where we are, what electricity costs, and which pools there are."""

    plural: ClassVar = "sites"
    columns: ClassVar = (("Zone", "string", ".spec.timeZone"),)

    kind: Literal["Site"] = about("Site.")
    spec: SiteSpec = about("Place, electricity, pools.")
    status: Status | None = about("Written by the operator.", default=None)
