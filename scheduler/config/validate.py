"""Whether a set of manifests can be worked with: references, conformance, contradictions, suspicious sizes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from scheduler.config.conformance import Place, offtake_findings, overlapping, plug_findings
from scheduler.config.findings import Finding, error, errors_of, warning
from scheduler.config.kinds import DispatchPolicy, HeatOfftake, Site, ThermalPlug, WorkloadClass
from scheduler.config.kinds.base import seconds
from scheduler.config.lines import Path
from scheduler.config.load import Manifests
from scheduler.config.refer import broken_references
from scheduler.config.scales import scale_findings
from scheduler.config.to_domain import INSULATED, seasons_of, settings_from, site_from
from scheduler.domain.errors import Misconfigured
from scheduler.units import kw_from_w

HOURS_PER_DAY = 24
LEAP_YEAR_START = date(2024, 1, 1)


def validate_manifests(manifests: Manifests, now_utc: datetime) -> list[Finding]:
    """Every error and warning, errors first; `now_utc` decides about calibrations."""
    findings = broken_references(manifests)
    for plug in manifests.of(ThermalPlug):
        findings += plug_findings(manifests, plug, now_utc)
    for offtake in manifests.of(HeatOfftake):
        findings += offtake_findings(manifests, offtake)
    for job_class in manifests.of(WorkloadClass):
        findings += _job_class(Place(manifests, job_class), job_class)
    for policy in manifests.of(DispatchPolicy):
        findings += _policy(Place(manifests, policy), policy)
    for site in manifests.of(Site):
        findings += _bands(Place(manifests, site), site)
    findings += scale_findings(manifests)
    findings += _unread(manifests)
    findings += _whole(manifests)
    if not errors_of(findings):
        findings += _converted(manifests)
    return sorted(findings, key=lambda finding: finding.level)


def _whole(manifests: Manifests) -> Iterator[Finding]:
    """What is missing before a plan can be made."""
    where = manifests.directory
    plugs, sites = manifests.of(ThermalPlug), manifests.of(Site)
    if plugs and not sites:
        yield warning(where, "", "no Site: `plan` and `backtest` need one with node pools")
    if sites and not plugs:
        yield warning(where, "", "no ThermalPlug: there is no heat to dispatch")
    if plugs and not manifests.of(HeatOfftake):
        yield warning(where, "", "no HeatOfftake: nobody takes the heat, all of it is rejected")
    if sites and not sites[0].spec.node_pools:
        place = Place(manifests, sites[0])
        yield place.doubt(("nodePools",), "no pools: fine with a live cluster; `plan` and `backtest` need them")
    if plugs and not manifests.of(WorkloadClass):
        yield warning(where, "", "no WorkloadClass: every job is insulated, nothing can be moved or capped")


def _unread(manifests: Manifests) -> Iterator[Finding]:
    """What may be stated and is not reckoned with by plans in this version: never ignored in silence."""
    for plug in manifests.of(ThermalPlug):
        pump = plug.spec.heat_pump
        if pump is not None and not pump.inside_boundary:
            text = "plans still pay the heat pump's electricity: this version has no heat pump of the customer's"
            yield Place(manifests, plug).doubt(("heatPump", "insideBoundary"), text)
    for offtake in manifests.of(HeatOfftake):
        place = Place(manifests, offtake)
        if offtake.spec.tariff.take_or_pay_kwh_per_year > 0.0:
            text = "plans do not reckon with the take-or-pay volume: it is settled at the end of the year"
            yield place.doubt(("tariff", "takeOrPayKwhPerYear"), text)
        if offtake.spec.thermal_mass is not None:
            yield place.doubt(("thermalMass",), "plans do not use the customer's own store in this version")
    for job_class in manifests.of(WorkloadClass):
        if job_class.spec.power_profile != "generic_training":
            text = "plans use the policy's capping.speedCurve for every class in this version"
            yield Place(manifests, job_class).doubt(("powerProfile",), text)
    for policy in manifests.of(DispatchPolicy):
        place, spec = Place(manifests, policy), policy.spec
        if spec.queue.max_held_fraction < 1.0:
            yield place.doubt(("queue", "maxHeldFraction"), "nothing reads it in this version", "maxHeldJobs")
        if spec.capping.max_step_fraction < 1.0:
            yield place.doubt(("capping", "maxStepFraction"), "nothing reads it in this version")


def _converted(manifests: Manifests) -> Iterator[Finding]:
    """What only shows when the core's Site and Settings are built."""
    try:
        for policy in manifests.of(DispatchPolicy):
            settings_from(manifests, policy=policy.name)
        sites, policies = manifests.of(Site), manifests.of(DispatchPolicy)
        if sites and sites[0].spec.node_pools:
            site_from(manifests, policy=policies[0].name if policies else None)
    except Misconfigured as bad:
        yield error(bad.where, "", str(bad).removeprefix(f"{bad.where}: "))


def _job_class(place: Place, given: WorkloadClass) -> Iterator[Finding]:
    """A class whose prices and limits fit together."""
    spec = given.spec
    if spec.flexibility == INSULATED:
        return
    if seconds(spec.max_delay) <= 0.0:
        yield place.doubt(("maxDelay",), f"a {spec.flexibility} class that may not wait", "a duration above 0s")
    if spec.max_slowdown > 0.0 and spec.value_eur_per_gpu_hour <= 0.0:
        text = "GPU time is worth nothing, so that every cap pays"
        yield place.doubt(("valueEurPerGpuHour",), text, "what a GPU-hour is worth, such as 0.05")
    if spec.flexibility == "preemptible" and spec.max_preemptions == 0:
        yield place.doubt(("maxPreemptions",), "a preemptible class that may never be stopped", "1 or more")
    if spec.flexibility == "preemptible" and spec.max_preemptions > 0 and spec.checkpoint.cost_seconds <= 0.0:
        text = "a stop and resume costs no run time"
        yield place.doubt(("checkpoint", "costSeconds"), text, "seconds, such as 300")


def _policy(place: Place, policy: DispatchPolicy) -> Iterator[Finding]:
    """Seasons, cap levels and curve that do not contradict themselves."""
    spec = policy.spec
    yield from _seasons(place, policy)
    kept = [level for level in spec.capping.levels if level >= spec.capping.min_fraction]
    if len(kept) < len(spec.capping.levels):
        text = f"levels below minFraction {spec.capping.min_fraction:g} are left out"
        yield place.doubt(("capping", "levels"), text)
    curve = sorted((point.draw_ratio, point.speed) for point in spec.capping.speed_curve)
    path: Path = ("capping", "speedCurve")
    if curve[-1] != (1.0, 1.0):
        yield place.error(path, "the curve does not hold full draw at full speed", "a point drawRatio 1, speed 1")
    if any(low[0] == high[0] or low[1] > high[1] for low, high in zip(curve, curve[1:], strict=False)):
        yield place.error(path, "more power gives less speed, or one ratio has two speeds", "speed rising with drawRatio")
    if spec.limits.site_max_kw is not None:
        idle_kw = sum(_idle_kw(site) for site in place.manifests.of(Site))
        if spec.limits.site_max_kw < idle_kw:
            text = f"{spec.limits.site_max_kw:g} kW is less than the idle nodes draw, {idle_kw:.3g} kW; is it in MW?"
            yield place.doubt(("limits", "siteMaxKw"), text, "kW")


def _idle_kw(site: Site) -> float:
    """Power of all nodes when every GPU idles, without overhead."""
    return sum(
        pool.nodes * pool.idle_node_kw
        if pool.idle_node_kw is not None
        else pool.nodes
        * pool.gpus_per_node
        * (pool.power.base_kw_per_gpu + pool.power.host_slope * kw_from_w(pool.power.gpu_idle_w))
        for pool in site.spec.node_pools
    )


def _seasons(place: Place, policy: DispatchPolicy) -> Iterator[Finding]:
    """No day in two seasons with different presets."""
    seasons, held = policy.spec.seasons, seasons_of(policy.spec)
    for i, season in enumerate(seasons):
        for k, other in enumerate(seasons[:i]):
            days = (LEAP_YEAR_START + timedelta(days=day) for day in range(366))
            shared = next((day for day in days if held[i].holds_on(day) and held[k].holds_on(day)), None)
            if shared is not None and season.preset != other.preset:
                text = f"{shared:%m-%d} is in season {other.name!r} ({other.preset}) too"
                yield place.error(("seasons", i, "firstDay"), text, "each day in one season")


def _bands(place: Place, site: Site) -> Iterator[Finding]:
    """Time-of-use bands that cover every hour of the week once."""
    contract = site.spec.electricity
    path: Path = ("electricity", "bands")
    for i, band in enumerate(contract.bands):
        if band.end_hour <= band.start_hour:
            text = f"the band ends at {band.end_hour} h, not after its start at {band.start_hour} h"
            yield place.error((*path, i, "endHour"), text, "a later hour; split a band at midnight")
    if contract.kind != "timeOfUse":
        return
    for weekday in range(1, 8):
        spans = [(band.start_hour, band.end_hour) for band in contract.bands if weekday in band.weekdays]
        if (clash := overlapping(spans)) is not None:
            hour = max(spans[clash[0]][0], spans[clash[1]][0])
            yield place.error(path, f"weekday {weekday}, {hour}:00 has two prices", "each hour of the week once")
            return
        free = sorted(set(range(HOURS_PER_DAY)) - {hour for start, end in spans for hour in range(start, end)})
        if free:
            yield place.error(path, f"weekday {weekday}, {free[0]}:00 has no price", "each hour of the week once")
            return
