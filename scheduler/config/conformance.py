"""Conformance of plugs and offtakes: what a heat export must satisfy before anybody plans with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from scheduler.config.findings import Finding
from scheduler.config.kinds import HeatOfftake, Resource, Site, ThermalPlug
from scheduler.config.kinds.base import seconds
from scheduler.config.lines import Path
from scheduler.config.load import Manifests
from scheduler.config.refer import at, doubt
from scheduler.config.to_domain import reach_c
from scheduler.core.thermal.limits import promisable_kw
from scheduler.domain.site import RedundancyClass
from scheduler.domain.time import utc
from scheduler.units import H_PER_DAY, KWH_PER_MWH, S_PER_MIN

# Hottest water of a liquid cooling loop without a heat pump: coolant enters the chips at 45 degC at most (ASHRAE W45; W+ is
# rare) and leaves 10 to 20 K hotter.
LOOP_MAX_C = 65.0
# Highest condensing outlets of large heat pumps: ammonia at 60 bar, isobutane well below its critical point of 134.7 degC.
SINK_MAX_C = {"ammonia": 95.0, "isobutane": 115.0}
# Above this no machine that is sold for cooling water lifts; it is the realm of steam.
HIGHEST_C = 120.0
WARN_BEFORE = timedelta(days=60)
HOURS_PER_YEAR = 365 * H_PER_DAY
SLACK = 1e-9


class Place(NamedTuple):
    """An object among its manifests: findings at its fields."""

    manifests: Manifests
    resource: Resource

    def error(self, path: Path, message: str, expected: str = "") -> Finding:
        """Something that stops."""
        return at(self.manifests, self.resource, ("spec", *path), message, expected)

    def doubt(self, path: Path, message: str, expected: str = "") -> Finding:
        """Something that is shown."""
        return doubt(self.manifests, self.resource, ("spec", *path), message, expected)


def plug_findings(manifests: Manifests, plug: ThermalPlug, now_utc: datetime) -> Iterator[Finding]:
    """Everything about one plug, at a moment."""
    place = Place(manifests, plug)
    yield from _temperature(place, plug)
    yield from _blocks(place, plug)
    yield from _redundancy(place, plug)
    yield from _machines(place, plug)
    yield from _metering(place, plug, now_utc.date())
    yield from _windows(place, plug, _nodes(manifests, plug))


def offtake_findings(manifests: Manifests, offtake: HeatOfftake) -> Iterator[Finding]:
    """Everything about one offtake on its plug."""
    place = Place(manifests, offtake)
    yield from _volume(place, offtake)
    yield from _mass(place, offtake)
    plugs = [plug for plug in manifests.of(ThermalPlug) if plug.name == offtake.spec.plug_ref]
    for plug in plugs:
        yield from _reachable(place, offtake, plug)
        yield from _availability(place, offtake, plug)
    yield from _products(place, offtake)


def _temperature(place: Place, plug: ThermalPlug) -> Iterator[Finding]:
    """A band that the loop, or the heat pump behind it, can reach."""
    band, pump = plug.spec.temperature, plug.spec.heat_pump
    top = ("temperature", "supplyMaxC")
    if band.return_max_c >= band.supply_max_c:
        text = f"water comes back at up to {band.return_max_c:g} degC, no colder than it leaves"
        yield place.error(("temperature", "returnMaxC"), text, f"below supplyMaxC, {band.supply_max_c:g}")
    if pump is None and band.supply_max_c > LOOP_MAX_C:
        text = f"{band.supply_max_c:g} degC without a heat pump; liquid cooling gives {LOOP_MAX_C:g} degC at most"
        yield place.error(top, text, f"at most {LOOP_MAX_C:g}, or a heatPump")
    if pump is None:
        return
    cop = pump.cop
    limit_c = SINK_MAX_C[cop.refrigerant] if cop.model == "jensen" else HIGHEST_C
    if cop.sink_out_c > limit_c:
        text = f"{cop.sink_out_c:g} degC is more than a heat pump with {cop.refrigerant} condenses at"
        yield place.error(("heatPump", "cop", "sinkOutC"), text, f"at most {limit_c:g}")
    if band.supply_max_c > cop.sink_out_c + SLACK:
        text = f"{band.supply_max_c:g} degC is hotter than the heat pump's outlet"
        yield place.error(top, text, f"at most sinkOutC, {cop.sink_out_c:g}")
    if cop.source_in_c > LOOP_MAX_C or cop.source_in_c <= cop.source_out_c:
        text = f"the loop enters the heat pump at {cop.source_in_c:g} degC and leaves it at {cop.source_out_c:g} degC"
        yield place.error(("heatPump", "cop", "sourceInC"), text, f"above sourceOutC, at most {LOOP_MAX_C:g}")
    if cop.sink_in_c >= cop.sink_out_c:
        text = f"water enters the condenser at {cop.sink_in_c:g} degC and leaves it no warmer"
        yield place.error(("heatPump", "cop", "sinkInC"), text, f"below sinkOutC, {cop.sink_out_c:g}")


def _blocks(place: Place, plug: ThermalPlug) -> Iterator[Finding]:
    """Blocks within the capacity, each name once."""
    capacity = plug.spec.capacity
    total_kw = sum(block.kw for block in capacity.blocks)
    if total_kw > capacity.max_heat_kw * (1.0 + SLACK):
        text = f"the blocks add up to {total_kw:g} kW"
        yield place.error(("capacity", "blocks"), text, f"at most maxHeatKw, {capacity.max_heat_kw:g} kW")
    names = [block.name for block in capacity.blocks]
    for i, name in enumerate(names):
        if name in names[:i]:
            yield place.error(("capacity", "blocks", i, "name"), f"block {name!r} is there twice", "each name once")


def _redundancy(place: Place, plug: ThermalPlug) -> Iterator[Finding]:
    """Firm blocks within what may be promised: half the capacity with N+1, all of it with 2N; with N it is a doubt."""
    spec = plug.spec
    firm_kw = sum(block.kw for block in spec.capacity.blocks if block.type == "firm")
    left_kw = promisable_kw(spec.capacity.max_heat_kw, RedundancyClass(spec.redundancy_class))
    path: Path = ("capacity", "blocks")
    if firm_kw and spec.redundancy_class == "N":
        text = f"{firm_kw:g} kW are firm, but class N survives no failure: the shortfall price alone stands behind them"
        yield place.doubt(path, text, "interruptible blocks, or class N+1 or 2N")
        return
    if firm_kw <= left_kw * (1.0 + SLACK):
        return
    text = f"{firm_kw:g} kW are firm; of {spec.capacity.max_heat_kw:g} kW class {spec.redundancy_class} keeps {left_kw:g} kW"
    yield place.error(path, text, f"firm blocks of at most {left_kw:g} kW together")


def _machines(place: Place, plug: ThermalPlug) -> Iterator[Finding]:
    """Heat pump and tank that fit the plug and themselves."""
    pump, tank, most_kw = plug.spec.heat_pump, plug.spec.storage, plug.spec.capacity.max_heat_kw
    if pump is not None:
        source_kw = pump.rated_heat_kw + (tank.max_discharge_kw if tank is not None else 0.0)
        if source_kw < most_kw * (1.0 - SLACK):
            text = f"heat pump and tank together deliver {source_kw:g} kW"
            yield place.doubt(("capacity", "maxHeatKw"), text, f"at least maxHeatKw, {most_kw:g} kW")
    if tank is None:
        return
    if tank.min_kwh >= tank.capacity_kwh:
        text = f"{tank.min_kwh:g} kWh of {tank.capacity_kwh:g} kWh are never used"
        yield place.error(("storage", "minKwh"), text, "less than capacityKwh")
    elif tank.initial_fraction * tank.capacity_kwh < tank.min_kwh:
        text = f"the tank begins with {tank.initial_fraction * tank.capacity_kwh:g} kWh"
        yield place.error(("storage", "initialFraction"), text, f"at least minKwh, {tank.min_kwh:g} kWh")


def _metering(place: Place, plug: ThermalPlug, today: date) -> Iterator[Finding]:
    """A billing meter that counts: calibrated, in a pipe that is stated; EN 1434 names classes and positions."""
    meter = plug.spec.metering
    due = date.fromisoformat(meter.calibration_due)
    path: Path = ("metering", "calibrationDue")
    if due < today:
        yield place.error(path, f"the meter's calibration ran out on {due}", f"a day after {today}")
    elif due < today + WARN_BEFORE:
        yield place.doubt(path, f"the meter's calibration runs out on {due}, in {(due - today).days} days")
    if meter.position == "flow":
        text = "the flow sensor sits in the flow pipe; as a rule it sits in the cooler return, with another heat coefficient"
        yield place.doubt(("metering", "position"), text, "return, unless the meter's plate says flow")


def _windows(place: Place, plug: ThermalPlug, nodes: int) -> Iterator[Finding]:
    """Maintenance windows that end after they begin, fit the plug and do not contradict each other."""
    windows = plug.spec.maintenance
    for i, window in enumerate(windows):
        start, end = utc(window.start), utc(window.end)
        path: Path = ("maintenance", i)
        if end <= start:
            yield place.error(
                (*path, "end"), f"the window ends at {window.end}, not after its start {window.start}", "a later time"
            )
        if window.kw is not None and window.kw > plug.spec.capacity.max_heat_kw:
            text = f"{window.kw:g} kW in maintenance is more than the plug delivers without"
            yield place.error((*path, "kw"), text, f"at most {plug.spec.capacity.max_heat_kw:g} kW")
        if window.nodes is not None and nodes and window.nodes > nodes:
            yield place.error((*path, "nodes"), f"{window.nodes} nodes of {nodes} on the plug", f"at most {nodes}")
        for j, other in enumerate(windows[:i]):
            same = (window.kw, window.nodes) == (other.kw, other.nodes)
            if not same and start < utc(other.end) and utc(other.start) < end:
                text = f"overlaps window {j + 1} and says something else about the heat that is left"
                yield place.error((*path, "start"), text, "one statement for each time")


def _nodes(manifests: Manifests, plug: ThermalPlug) -> int:
    """Nodes on a plug, 0 when no pools are stated."""
    return sum(pool.nodes for site in manifests.of(Site) for pool in site.spec.node_pools if pool.plug == plug.name)


def _reachable(place: Place, offtake: HeatOfftake, plug: ThermalPlug) -> Iterator[Finding]:
    """A temperature that the plug reaches; who needs more than any heat pump gives is told so."""
    need_c, most_c = offtake.spec.requirement.hottest_c, reach_c(plug)
    if need_c is None or need_c <= most_c + SLACK:
        return
    path: Path = ("requirement", "supplyCurve" if offtake.spec.requirement.supply_curve else "supplyC")
    if need_c > HIGHEST_C:
        text = (
            f"{need_c:g} degC cannot be served with data centre heat: water leaves the chips at {LOOP_MAX_C:g} degC at most, "
            f"and heat pumps end at {HIGHEST_C:g} degC; steam and hot processes need another source"
        )
        yield place.error(path, text, f"at most {most_c:g} degC, such as the preheating of that process")
        return
    if plug.spec.heat_pump is None:
        text = f"{need_c:g} degC is not reached directly: plug {plug.name!r} delivers {most_c:g} degC and has no heat pump"
    else:
        text = f"{need_c:g} degC is not reached through the heat pump: plug {plug.name!r} delivers {most_c:g} degC at most"
    yield place.error(path, text, f"at most {most_c:g} degC, or a heat pump that lifts further")


def _volume(place: Place, offtake: HeatOfftake) -> Iterator[Finding]:
    """A yearly volume that fits the power, and numbers that mean something."""
    need = offtake.spec.requirement
    full_kwh = need.max_heat_kw * HOURS_PER_YEAR
    if need.annual_mwh * KWH_PER_MWH > full_kwh * (1.0 + SLACK):
        text = f"{need.annual_mwh:g} MWh a year is more than {need.max_heat_kw:g} kW gives in every hour of it"
        yield place.error(("requirement", "annualMwh"), text, f"at most {full_kwh / KWH_PER_MWH:.4g} MWh")
    if need.availability <= 0.0:
        text = "a customer who needs heat in no hour is none"
        yield place.error(("requirement", "availability"), text, "the share of hours in which heat must be there, above 0")
    outdoor = [point.outdoor_c for point in need.supply_curve or ()]
    if len(set(outdoor)) < len(outdoor):
        text = "the curve gives two supply temperatures for one outdoor temperature"
        yield place.error(("requirement", "supplyCurve"), text, "each outdoorC once")


def _mass(place: Place, offtake: HeatOfftake) -> Iterator[Finding]:
    """A customer's own store that the delivered water can warm."""
    mass, need_c = offtake.spec.thermal_mass, offtake.spec.requirement.hottest_c
    if mass is not None and need_c is not None and mass.max_c > need_c:
        text = f"a mass of up to {mass.max_c:g} degC is not warmed by water of {need_c:g} degC"
        yield place.error(("thermalMass", "maxC"), text, f"at most {need_c:g} degC")


def _availability(place: Place, offtake: HeatOfftake, plug: ThermalPlug) -> Iterator[Finding]:
    """The firm rule against the hours in which heat must be there.

    A promise at quantile q holds in a share 1 - q of the hours, with an availability in the contract in that share; who needs
    more has to have another source of heat.
    """
    spec = offtake.spec
    wanted = max(spec.requirement.availability, spec.sla.availability if spec.sla is not None else 0.0)
    if spec.firm is None and (spec.critical or not spec.auxiliary_heat):
        text = "nothing is promised to a customer who is critical or has no other heat"
        yield place.error(("firm",), text, "a firm rule, or auxiliaryHeat true and critical false")
    kept = spec.sla.availability if spec.sla is not None else 0.0
    if spec.firm is not None and wanted > max(kept, 1.0 - spec.firm.quantile) + SLACK:
        held = f"{1.0 - spec.firm.quantile:.0%} of the hours"
        text = f"promises at quantile {spec.firm.quantile:g} hold in {held}, {wanted:.1%} are asked for"
        expected = f"a quantile of at most {1.0 - wanted:.3g}"
        if spec.auxiliary_heat:
            yield place.doubt(("firm", "quantile"), f"{text}; the customer's other heat carries the rest", expected)
        else:
            yield place.error(("firm", "quantile"), f"{text}, and the customer has no other heat", expected)
    if spec.critical and spec.interruptible:
        yield place.error(("interruptible",), "critical heat cannot be interruptible", "interruptible false")
    if spec.critical and plug.spec.redundancy_class == "N" and not spec.auxiliary_heat:
        text = f"critical heat on plug {plug.name!r}, whose class N survives no failure, without any other heat"
        yield place.error(("critical",), text, "a plug of class N+1 or 2N, or auxiliaryHeat true")


def overlapping(spans: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """Positions of the first two spans [start, end) that overlap."""
    for i, (start, end) in enumerate(spans):
        for j, (other_start, other_end) in enumerate(spans[:i]):
            if start < other_end and other_start < end:
                return j, i
    return None


def _products(place: Place, offtake: HeatOfftake) -> Iterator[Finding]:
    """Deliveries begin after their gate and on a whole period, so that the periods of two gates are the same ones."""
    for index, product in enumerate(offtake.spec.firm.products if offtake.spec.firm is not None else ()):
        path: Path = ("firm", "products", index, "deliveryStart")
        if product.delivery_day == 0 and product.delivery_start < product.gate:
            text = f"delivery begins at {product.delivery_start}, before the gate at {product.gate} of the same day"
            yield place.error(path, text, f"{product.gate} or later, or deliveryDay 1")
        if int(product.delivery_start[3:]) * S_PER_MIN % seconds(product.resolution):
            text = f"delivery from {product.delivery_start} is on no whole period of {product.resolution}"
            yield place.error(path, text, f"a multiple of {product.resolution} after midnight")
