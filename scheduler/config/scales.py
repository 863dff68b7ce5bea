"""Numbers whose size suggests another unit: warnings that name the suspected one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from scheduler.config.findings import Finding
from scheduler.config.kinds import HeatOfftake, Resource, Site, ThermalPlug
from scheduler.config.kinds.site import NodePool
from scheduler.config.lines import Path
from scheduler.config.load import Manifests, parts_of
from scheduler.config.refer import doubt
from scheduler.config.to_domain import plug_from
from scheduler.core.thermal.heat_pump import cop, delivered_kw
from scheduler.units import KWH_PER_MWH, kw_from_w

KELVIN_FROM = 200.0
FAR = 3.0
# A tank that holds six weeks of the plug's heat is a unit mistake.
LONGEST_TANK_H = 42.0 * 24.0
WATT_RATIO = 100.0
MEGAWATT_RATIO = 0.01


@dataclass(frozen=True, slots=True)
class Range:
    """What a unit's numbers usually are: outside of it `small` or `large` is suspected."""

    low: float
    high: float
    usual: str
    small: str
    large: str


# Energy prices between 0.5 and 2,000 EUR/MWh; demand charges and penalties by the hour have their own units and are not here.
USUAL = {
    "EUR/kWh": Range(0.0005, 2.0, "EUR/kWh, usually 0.01 to 0.5", "EUR/Wh or MEUR/GWh", "EUR/MWh"),
    "EUR/t": Range(0.5, 2000.0, "EUR/t, usually 5 to 300", "EUR/kg", "EUR/kt, or cents"),
    "g/kWh": Range(1.0, 3000.0, "g/kWh, usually 20 to 900", "kg/kWh or t/MWh", "mg/kWh"),
}


def scale_findings(manifests: Manifests) -> Iterator[Finding]:
    """Warnings about prices, powers and temperatures that are probably in another unit."""
    for entry in manifests.entries:
        yield from _usual(manifests, entry.resource)
    for site in manifests.of(Site):
        yield from _pools(manifests, site)
    for plug in manifests.of(ThermalPlug):
        yield from _plug_size(manifests, plug)
    for offtake in manifests.of(HeatOfftake):
        yield from _offtake(manifests, offtake)


def _usual(manifests: Manifests, resource: Resource) -> Iterator[Finding]:
    """Every number whose unit has a usual range."""
    for path, part in parts_of(resource):
        for name, info in type(part).model_fields.items():
            extra, value = info.json_schema_extra, getattr(part, name)
            unit = extra.get("x-unit") if isinstance(extra, dict) else None
            usual = USUAL.get(unit) if isinstance(unit, str) else None
            if usual is None or not isinstance(value, float | int) or value == 0.0 or usual.low <= abs(value) <= usual.high:
                continue
            suspect = usual.small if abs(value) < usual.low else usual.large
            yield doubt(manifests, resource, (*path, str(info.alias)), f"{value:g} {unit}; is it in {suspect}?", usual.usual)


def _pools(manifests: Manifests, site: Site) -> Iterator[Finding]:
    """Powers of nodes and GPUs."""
    for i, pool in enumerate(site.spec.node_pools):
        path: Path = ("spec", "nodePools", i)
        if pool.power.gpu_max_w < 10.0:
            text = f"{pool.power.gpu_max_w:g} W is less than any GPU takes; is it in kW?"
            yield doubt(manifests, site, (*path, "power", "gpuMaxW"), text, "W, usually 150 to 1500")
        if pool.power.gpu_idle_w >= pool.power.gpu_max_w:
            text = f"an idle GPU draws {pool.power.gpu_idle_w:g} W, no less than its limit of {pool.power.gpu_max_w:g} W"
            yield doubt(manifests, site, (*path, "power", "gpuIdleW"), text, "less than gpuMaxW")
        if pool.power.base_kw_per_gpu > 5.0:
            text = f"{pool.power.base_kw_per_gpu:g} kW of node power per GPU; is it in W?"
            yield doubt(manifests, site, (*path, "power", "baseKwPerGpu"), text, "kW, usually 0.05 to 0.3")
        if pool.idle_node_kw is not None and pool.idle_node_kw > 5.0 * pool.gpus_per_node:
            text = f"an idle node of {pool.gpus_per_node} GPUs at {pool.idle_node_kw:g} kW; is it in W?"
            yield doubt(manifests, site, (*path, "idleNodeKw"), text, "kW, usually 0.1 to 0.3 per GPU")


def gpu_heat_kw(plug: ThermalPlug, pool: NodePool) -> float:
    """Heat that one busy GPU of a pool, with its share of the node, gives at the plug's hand-off."""
    made, power = plug_from(plug, pool.nodes), pool.power
    gpu_kw = kw_from_w(power.gpu_max_w)
    rest_kw = power.base_kw_per_gpu + (power.host_slope - 1.0) * gpu_kw
    caught_kw = made.capture_gpu_fraction * gpu_kw + made.capture_other_fraction * rest_kw
    return caught_kw if made.heat_pump is None else delivered_kw(caught_kw, cop(made.heat_pump.cop))


def _plug_size(manifests: Manifests, plug: ThermalPlug) -> Iterator[Finding]:
    """A plug against the GPUs behind it, and its tank against the plug."""
    pools = [pool for site in manifests.of(Site) for pool in site.spec.node_pools if pool.plug == plug.name]
    stated_kw, path = plug.spec.capacity.max_heat_kw, ("spec", "capacity", "maxHeatKw")
    gpus = sum(pool.nodes * pool.gpus_per_node for pool in pools)
    possible_kw = sum(pool.nodes * pool.gpus_per_node * gpu_heat_kw(plug, pool) for pool in pools)
    if possible_kw > 0.0:
        ratio = stated_kw / possible_kw
        said = f"{stated_kw:g} kW behind {gpus} GPUs that give {possible_kw:.3g} kW at full power"
        if ratio > FAR:
            hint = "is it in W?" if ratio >= WATT_RATIO else "are there too many zeros, or is a pool missing?"
            yield doubt(manifests, plug, path, f"{said}; {hint}", f"kW, up to about {possible_kw:.3g}")
        elif ratio < MEGAWATT_RATIO:
            yield doubt(manifests, plug, path, f"{said}; is it in MW?", f"kW, up to about {possible_kw:.3g}")
    tank = plug.spec.storage
    if tank is not None and tank.capacity_kwh > LONGEST_TANK_H * stated_kw:
        text = (
            f"a tank of {tank.capacity_kwh:g} kWh holds the plug's heat of {tank.capacity_kwh / stated_kw:.0f} h; is it in Wh?"
        )
        yield doubt(manifests, plug, ("spec", "storage", "capacityKwh"), text, "kWh, usually 1 to 48 hours of heat")


def _offtake(manifests: Manifests, offtake: HeatOfftake) -> Iterator[Finding]:
    """A customer against his plug, temperatures in kelvin, volumes in another unit."""
    need = offtake.spec.requirement
    if need.hottest_c is not None and need.hottest_c > KELVIN_FROM:
        path: Path = ("spec", "requirement", "supplyCurve" if need.supply_curve else "supplyC")
        unit = "K" if need.hottest_c > 273.0 else "degrees Fahrenheit"
        yield doubt(manifests, offtake, path, f"{need.hottest_c:g} degC; is it in {unit}?", "degrees Celsius")
    full_load_h = need.annual_mwh * KWH_PER_MWH / need.max_heat_kw
    if full_load_h < 10.0:
        text = (
            f"{need.annual_mwh:g} MWh a year at {need.max_heat_kw:g} kW is {full_load_h:.2g} hours of full load; is it in GWh?"
        )
        yield doubt(
            manifests, offtake, ("spec", "requirement", "annualMwh"), text, "MWh, usually 1000 to 8000 hours of full load"
        )
    for plug in manifests.of(ThermalPlug):
        if plug.name == offtake.spec.plug_ref and need.max_heat_kw > WATT_RATIO * plug.spec.capacity.max_heat_kw:
            text = f"{need.max_heat_kw:g} kW from a plug of {plug.spec.capacity.max_heat_kw:g} kW; is it in W?"
            yield doubt(manifests, offtake, ("spec", "requirement", "maxHeatKw"), text, "kW")
