"""Manifests as the Site and Settings that the core reads.

What manifests carry and a plan does not read: `sla` and `metering` (read by `contracts`), `boilerSignal`, `control`,
`hydraulics.designFlowM3PerH`, `requirement.annualMwh` and `availability` (checked by `validate`), `sources`, selectors of nodes
and jobs, `queue.maxHeldFraction`, `capping.maxStepFraction`. What the core can hold and manifests cannot say: weights of the
solver other than gap and budget, and the seed; they have defaults.
"""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.config.calendar import holidays_of
from scheduler.config.findings import did_you_mean, error, one_of, refuse
from scheduler.config.kinds import DispatchPolicy, HeatOfftake, Site, ThermalPlug, WorkloadClass
from scheduler.config.kinds import site as site_kind
from scheduler.config.kinds.base import seconds
from scheduler.config.kinds.offtake import Firm, FirmProduct, Sla, Tariff
from scheduler.config.kinds.plug import Capture, HeatPumpSpec, MaintenanceWindow, Storage
from scheduler.config.kinds.policy import Capping, DispatchPolicySpec
from scheduler.config.load import Manifests
from scheduler.config.refer import broken_references
from scheduler.domain import site as nouns
from scheduler.domain.contract import (
    ElectricityContract,
    EnergyPriceKind,
    FirmRule,
    HeatTariff,
    Revise,
    Silence,
    TariffKind,
    TimeOfUseBand,
)
from scheduler.domain.contract import FirmProduct as DomainProduct
from scheduler.domain.errors import Misconfigured
from scheduler.domain.job import Flexibility, JobClass
from scheduler.domain.settings import Levers, Mode, SeasonLevers, Settings, SolveBudget
from scheduler.domain.time import utc
from scheduler.units import S_PER_MIN, kw_from_w

INSULATED = "insulated"
SLOT_S = 900
FINE_SLOTS = 24
MIN_HORIZON_S, MAX_HORIZON_S = 14400.0, 345600.0
OUTDOOR_RANGE_C = (-60.0, 60.0)
PRESETS = {
    "compute-first": Levers(shifting=False, pausing=False),
    "balanced": Levers(pausing=False),
    "heat-first": Levers(),
}


def site_from(manifests: Manifests, *, policy: str | None = None) -> nouns.Site:
    """The site that the manifests describe; caps, carbon price and site limit come from the DispatchPolicy.

    Raises:
        Misconfigured: no Site or several, a Site without pools, several policies and none named, a name that does not exist.
    """
    refuse(broken_references(manifests))
    given = _the_site(manifests)
    if not given.spec.node_pools:
        where = manifests.where(given, "spec", "nodePools")
        raise Misconfigured(
            "the site has no node pools", where=f"{where}: spec.nodePools", expected="pools, as no cluster is asked"
        )
    rules = policy_of(manifests, policy).spec
    nodes_on = {plug.name: 0 for plug in manifests.of(ThermalPlug)}
    for node_pool in given.spec.node_pools:
        nodes_on[node_pool.plug] += node_pool.nodes
    return nouns.Site(
        name=given.name,
        time_zone=given.spec.time_zone,
        currency=given.spec.currency,
        pools=tuple(_pool(manifests, given, i) for i in range(len(given.spec.node_pools))),
        plugs=tuple(plug_from(plug, nodes_on[plug.name]) for plug in manifests.of(ThermalPlug)),
        offtakes=tuple(_offtake(offtake, manifests) for offtake in manifests.of(HeatOfftake)),
        classes=classes_from(manifests.of(WorkloadClass)),
        caps=_caps(rules.capping),
        electricity=_electricity(given.spec.electricity, rules.objective.carbon_price_eur_per_tonne),
        overhead_fraction_of_it=given.spec.overhead_fraction_of_it,
        site_limit_kw=rules.limits.site_max_kw,
        holidays=holidays_of(given.spec.country or ""),
    )


def settings_from(manifests: Manifests, *, policy: str | None = None) -> Settings:
    """Settings of the DispatchPolicy, its seasons among them.

    Raises:
        Misconfigured: several policies and none named, an unknown name, a horizon outside 4 h to 96 h or off the quarter hour.
    """
    chosen = policy_of(manifests, policy)
    rules = chosen.spec
    horizon_s = seconds(rules.cycle.horizon)
    if not MIN_HORIZON_S <= horizon_s <= MAX_HORIZON_S or horizon_s % SLOT_S:
        where = f"{manifests.where(chosen, 'spec', 'cycle', 'horizon')}: spec.cycle.horizon"
        raise Misconfigured(f"{rules.cycle.horizon} cannot be planned", where=where, expected="4h to 96h in quarter hours")
    cycle_s = int(seconds(rules.cycle.every))
    budget = SolveBudget(target_gap=rules.cycle.gap, guard_s=rules.cycle.solve_budget_seconds)
    return Settings(
        mode=Mode(rules.mode),
        slot_s=SLOT_S,
        horizon_slots=int(horizon_s) // SLOT_S,
        fine_slots=min(FINE_SLOTS, int(horizon_s) // SLOT_S),
        commit_slots=max(1, cycle_s // SLOT_S),
        cycle_s=cycle_s,
        max_hold_s=seconds(rules.queue.max_hold),
        max_held_jobs=rules.queue.max_held_jobs,
        levers=levers_of(rules, rules.objective.preset),
        seasons=seasons_of(rules),
        budget=budget,
    )


def policy_of(manifests: Manifests, name: str | None = None) -> DispatchPolicy:
    """The policy of that name, or the only one; without any, one with all defaults (it only observes).

    Raises:
        Misconfigured: several and none named, or an unknown name.
    """
    policies = manifests.of(DispatchPolicy)
    names = [policy.name for policy in policies]
    if name is not None:
        for policy in policies:
            if policy.name == name:
                return policy
        text = f"there is no DispatchPolicy {name!r}{did_you_mean(name, names)}"
        raise Misconfigured(text, where=manifests.directory, expected=one_of(names))
    if len(policies) > 1:
        raise Misconfigured(f"{len(policies)} policies", where=manifests.directory, expected=f"the name of {one_of(names)}")
    if policies:
        return policies[0]
    return DispatchPolicy.model_validate(
        {"apiVersion": "heatdispatch.io/v1alpha1", "kind": "DispatchPolicy", "metadata": {"name": "default"}, "spec": {}}
    )


def levers_of(rules: DispatchPolicySpec, preset: str) -> Levers:
    """Levers of a preset; what the policy states itself wins, in every season."""
    given, own = PRESETS[preset], rules.levers
    return Levers(
        plant=given.plant if own.plant is None else own.plant,
        shifting=given.shifting if own.shifting is None else own.shifting,
        pausing=given.pausing if own.pausing is None else own.pausing,
        capping=given.capping and rules.capping.enabled,
    )


def seasons_of(rules: DispatchPolicySpec) -> tuple[SeasonLevers, ...]:
    """The policy's seasons with the levers of their presets, in its order: the first one that holds counts."""
    return tuple(
        SeasonLevers(first_day=season.first_day, last_day=season.last_day, levers=levers_of(rules, season.preset))
        for season in rules.seasons
    )


def _the_site(manifests: Manifests) -> Site:
    """The one Site."""
    sites = manifests.of(Site)
    if not sites:
        text = "no Site: place, electricity and node pools are not known"
        raise Misconfigured(text, where=manifests.directory, expected="one manifest of kind Site")
    return sites[0]


def _pool(manifests: Manifests, site: Site, index: int) -> nouns.Pool:
    """A node pool. A measured idle node fixes the base: idle kW = gpus x (base + slope x idle draw)."""
    pool = site.spec.node_pools[index]
    power = pool.power
    base_kw = power.base_kw_per_gpu
    if pool.idle_node_kw is not None:
        base_kw = pool.idle_node_kw / pool.gpus_per_node - power.host_slope * kw_from_w(power.gpu_idle_w)
    if base_kw < 0.0:
        least_kw = pool.gpus_per_node * power.host_slope * kw_from_w(power.gpu_idle_w)
        place = ("spec", "nodePools", index, "idleNodeKw")
        text = f"{pool.idle_node_kw:g} kW is less than its idle GPUs draw"
        refuse([error(manifests.where(site, *place), f"spec.nodePools[{index}].idleNodeKw", text, f"{least_kw:g} kW or more")])
    return nouns.Pool(
        pool_id=pool.pool,
        plug_id=pool.plug,
        gpus=pool.nodes * pool.gpus_per_node,
        gpus_per_node=pool.gpus_per_node,
        gpu_model=pool.gpu_model,
        power=nouns.NodePower(
            kw_per_gpu_base=base_kw,
            host_slope=power.host_slope,
            gpu_idle_w=power.gpu_idle_w,
            gpu_max_w=power.gpu_max_w,
            gpu_min_w=power.gpu_min_w,
        ),
    )


def plug_from(plug: ThermalPlug, nodes: int) -> nouns.Plug:
    """A plug with `nodes` nodes on it. Firm blocks limit what may be promised; without blocks all of it may be."""
    spec = plug.spec
    blocks = spec.capacity.blocks
    return nouns.Plug(
        plug_id=plug.name,
        max_heat_kw=spec.capacity.max_heat_kw,
        capture_gpu_fraction=spec.capture.gpu,
        capture_other_fraction=_capture_other(spec.capture),
        capture_lag_s=spec.capture.lag_seconds,
        pipe_loss_kw=spec.hydraulics.pipe_loss_kw,
        ramp_kw_per_min=spec.ramp_kw_per_minute,
        heat_pump=None if spec.heat_pump is None else _heat_pump(spec.heat_pump),
        tank=None if spec.storage is None else _tank(spec.storage),
        rejection_max_kw=spec.rejection.max_kw,
        rejection_electric_fraction=spec.rejection.electric_fraction,
        room_electric_fraction=spec.rejection.room_electric_fraction,
        supply_min_c=spec.temperature.supply_min_c,
        supply_max_c=spec.temperature.supply_max_c,
        return_max_c=spec.temperature.return_max_c,
        firm_heat_kw=sum(block.kw for block in blocks if block.type == "firm") if blocks else None,
        redundancy=nouns.RedundancyClass(spec.redundancy_class),
        maintenance=tuple(_window(window, spec.capacity.max_heat_kw, nodes) for window in spec.maintenance),
    )


def _capture_other(capture: Capture) -> float:
    """Captured share of a node's power without GPUs: CPUs apart when they are stated."""
    if capture.cpu is None or capture.cpu_share_of_rest is None:
        return capture.other
    return capture.cpu_share_of_rest * capture.cpu + (1.0 - capture.cpu_share_of_rest) * capture.other


def _heat_pump(pump: HeatPumpSpec) -> nouns.HeatPump:
    """The heat pump."""
    stated = pump.cop.model_dump(exclude={"model", "fixed_cop"})
    cop = nouns.Cop(model=nouns.CopModel(pump.cop.model), fixed_cop=pump.cop.fixed_cop or 0.0, **stated)
    return nouns.HeatPump(
        rated_heat_kw=pump.rated_heat_kw,
        min_load_fraction=pump.min_load_fraction,
        start_cost_eur=pump.start_cost_eur,
        cop=cop,
        inside_boundary=pump.inside_boundary,
    )


def _tank(storage: Storage) -> nouns.Tank:
    """The tank; its fields have the same names on both sides."""
    return nouns.Tank(**storage.model_dump())


def _window(window: MaintenanceWindow, max_heat_kw: float, nodes: int) -> nouns.Maintenance:
    """A maintenance window; nodes out of service lower the heat in proportion."""
    out = 0 if window.nodes is None else min(window.nodes, nodes)
    left_kw = window.kw if window.kw is not None else max_heat_kw * (1.0 - out / max(1, nodes))
    return nouns.Maintenance(start_utc=utc(window.start), end_utc=utc(window.end), available_kw=left_kw, reason=window.reason)


def offtakes_from(manifests: Manifests) -> tuple[nouns.Offtake, ...]:
    """The customers' contracts, also where no node pools are known.

    Raises:
        Misconfigured: a name that does not exist.
    """
    refuse(broken_references(manifests))
    return tuple(_offtake(offtake, manifests) for offtake in manifests.of(HeatOfftake))


def _offtake(offtake: HeatOfftake, manifests: Manifests) -> nouns.Offtake:
    """A customer's contract."""
    spec = offtake.spec
    mass = spec.thermal_mass
    (plug,) = [plug for plug in manifests.of(ThermalPlug) if plug.name == spec.plug_ref]
    return nouns.Offtake(
        offtake_id=offtake.name,
        plug_id=spec.plug_ref,
        sink=nouns.SinkKind(spec.sink),
        max_heat_kw=spec.requirement.max_heat_kw,
        tariff=_tariff(spec.tariff),
        priority=spec.priority,
        demand_source=nouns.DemandSource(spec.demand.source),
        constant_demand_kw=spec.demand.constant_kw or 0.0,
        firm=None if spec.firm is None else _firm(spec.firm, spec.sla),
        interruptible=spec.interruptible,
        critical=spec.critical,
        supply_curve=_supply_curve(offtake, reach_c(plug)),
        thermal_mass=None if mass is None else nouns.ThermalMass(**mass.model_dump()),
    )


def reach_c(plug: ThermalPlug) -> float:
    """Hottest water that a plug delivers: its band, and its heat pump's outlet."""
    pump = plug.spec.heat_pump
    top_c = plug.spec.temperature.supply_max_c
    return top_c if pump is None else min(top_c, pump.cop.sink_out_c)


def _supply_curve(offtake: HeatOfftake, plug_reach_c: float) -> tuple[tuple[float, float], ...]:
    """Rising in outdoor temperature; empty when the customer takes what the plug supplies at its best all year."""
    need = offtake.spec.requirement
    if need.supply_curve:
        return tuple(sorted((point.outdoor_c, point.supply_c) for point in need.supply_curve))
    if need.supply_c is None or need.supply_c >= plug_reach_c:
        return ()
    return tuple((outdoor_c, need.supply_c) for outdoor_c in OUTDOOR_RANGE_C)


def _tariff(tariff: Tariff) -> HeatTariff:
    """The tariff; what is not stated keeps the domain's default."""
    stated = {name: value for name, value in tariff.model_dump(exclude={"kind"}).items() if value is not None}
    return HeatTariff(kind=TariffKind(tariff.kind), **stated)


def _firm(firm: Firm, sla: Sla | None) -> FirmRule:
    """The rule of firm heat; a promised availability is the share of the time in which promises must be kept."""
    first, products = firm.products[0], tuple(_firm_product(product) for product in firm.products)
    plain = DomainProduct(gate_local=first.gate, hours=min(24, first.delivery_hours))
    return FirmRule(
        gate_local=first.gate,
        quantile=firm.quantile,
        tolerance_fraction=firm.tolerance_fraction,
        shortfall_eur_per_kwh=firm.shortfall_eur_per_kwh,
        capacity_eur_per_kwh=firm.capacity_eur_per_kwh,
        delivery_hours=plain.hours,
        products=() if products == (plain,) else products,
        kept_fraction=0.0 if sla is None else sla.availability,
        on_silence=Silence(firm.on_silence),
        late_s=firm.answer_late_minutes * S_PER_MIN,
    )


def _firm_product(product: FirmProduct) -> DomainProduct:
    """One gate of the contract."""
    return DomainProduct(
        gate_local=product.gate,
        start_local=product.delivery_start,
        start_day=product.delivery_day,
        hours=product.delivery_hours,
        resolution_s=round(seconds(product.resolution)),
        revise=Revise(product.revise),
    )


def classes_from(given: Sequence[WorkloadClass]) -> tuple[JobClass, ...]:
    """Workload classes; `insulated` is always there, since a job without a class is insulated."""
    classes = tuple(_job_class(each) for each in given)
    if any(each.name == INSULATED for each in classes):
        return classes
    return (JobClass(name=INSULATED, flexibility=Flexibility.INSULATED), *classes)


def _job_class(given: WorkloadClass) -> JobClass:
    """A workload class as the core sees it."""
    spec = given.spec
    return JobClass(
        name=given.name,
        flexibility=Flexibility(spec.flexibility),
        migratable=spec.migratable,
        max_slowdown_fraction=spec.max_slowdown,
        max_delay_s=seconds(spec.max_delay),
        default_duration_s=seconds(spec.default_duration),
        default_deadline_s=None if spec.default_deadline is None else seconds(spec.default_deadline),
        waiting_eur_per_gpu_h=spec.waiting_eur_per_gpu_hour,
        lateness_eur_per_gpu_h=spec.lateness_eur_per_gpu_hour,
        value_eur_per_gpu_h=spec.value_eur_per_gpu_hour,
        min_runtime_s=seconds(spec.min_runtime),
        max_preemptions=spec.max_preemptions,
        checkpoint_s=spec.checkpoint.cost_seconds,
        power_profile=spec.power_profile,
    )


def _caps(capping: Capping) -> nouns.Caps:
    """Cap levels from full power down to the lowest that the policy allows."""
    levels = sorted({level for level in capping.levels if level >= capping.min_fraction}, reverse=True)
    curve = sorted(((point.draw_ratio, point.speed) for point in capping.speed_curve), reverse=True)
    return nouns.Caps(
        levels=tuple(levels),
        binding_draw_fraction=capping.binding_draw_fraction,
        speed_of_ratio=tuple(curve),
        enabled=capping.enabled,
    )


def _electricity(given: site_kind.Electricity, carbon_price_eur_per_tonne: float) -> ElectricityContract:
    """The electricity contract."""
    bands = tuple(
        TimeOfUseBand(
            start_hour=band.start_hour, end_hour=band.end_hour, weekdays=tuple(band.weekdays), eur_per_kwh=band.eur_per_kwh
        )
        for band in given.bands
    )
    return ElectricityContract(
        kind=EnergyPriceKind(given.kind),
        fixed_eur_per_kwh=given.fixed_eur_per_kwh or 0.0,
        bands=bands,
        network_eur_per_kwh=given.network_eur_per_kwh,
        taxes_eur_per_kwh=given.taxes_eur_per_kwh,
        demand_charge_eur_per_kw_month=given.demand_charge_eur_per_kw_month,
        carbon_price_eur_per_tonne=carbon_price_eur_per_tonne,
    )
