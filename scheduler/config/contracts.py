"""What a settlement needs of the manifests: each customer's contract, and the meter that it is billed by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from scheduler.config.findings import did_you_mean, one_of
from scheduler.config.kinds import HeatOfftake, Site, ThermalPlug
from scheduler.config.load import Manifests
from scheduler.config.to_domain import offtakes_from
from scheduler.core.accounting.heat_meter import permissible_error_fraction
from scheduler.core.reports.terms import terms_of
from scheduler.domain.errors import Misconfigured
from scheduler.domain.settlement import MeterPlate, MeterPosition, SettlementTerms
from scheduler.domain.site import Offtake

# The customer's own meter is of the common class; a spread below this is no operation of a heat network.
CHECK_CLASS = 2
LEAST_SPREAD_K = 5.0
# A meter behind a plug can show somewhat more than the plug is rated for.
HEADROOM = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One customer: his contract, its terms as settled, the billing meter, and by how much two meters may be apart.

    alone: nobody else is on the plug, so that the plug's account is his.
    """

    offtake: Offtake
    terms: SettlementTerms
    plate: MeterPlate
    check_fraction: float
    alone: bool


def contracts_from(manifests: Manifests) -> tuple[Contract, ...]:
    """Contracts of all customers of a site, by name.

    Raises:
        Misconfigured: when there is no Site or no customer, or a name does not exist.
    """
    sites = manifests.of(Site)
    if len(sites) != 1:
        raise Misconfigured(f"{len(sites)} manifests of kind Site", where=manifests.directory, expected="one: it says the zone")
    found = []
    offtakes = offtakes_from(manifests)
    kinds = {one.name: one for one in manifests.of(HeatOfftake)}
    plugs = {one.name: one for one in manifests.of(ThermalPlug)}
    for offtake in offtakes:
        kind, plug = kinds[offtake.offtake_id], plugs[offtake.plug_id]
        sla, zone = kind.spec.sla, sites[0].spec.time_zone
        if kind.spec.firm is not None and kind.spec.firm.time_zone:
            zone = kind.spec.firm.time_zone
        terms = terms_of(
            offtake.tariff,
            offtake.firm,
            zone,
            sites[0].spec.currency,
            availability_fraction=None if sla is None else sla.availability,
            penalty_eur_per_h=0.0 if sla is None else sla.penalty_eur_per_hour,
            supply_min_c=plug.spec.temperature.supply_min_c,
        )
        spread_k = max(LEAST_SPREAD_K, plug.spec.temperature.supply_max_c - plug.spec.temperature.return_max_c)
        plate = plate_of(plug)
        errors = (permissible_error_fraction(grade, spread_k) for grade in (plate.meter_class, CHECK_CLASS))
        alone = sum(one.plug_id == offtake.plug_id for one in offtakes) == 1
        found.append(Contract(offtake=offtake, terms=terms, plate=plate, check_fraction=sum(errors), alone=alone))
    if not found:
        raise Misconfigured("no HeatOfftake: there is nothing to settle", where=manifests.directory, expected="a contract")
    return tuple(sorted(found, key=lambda one: one.offtake.offtake_id))


def plate_of(plug: ThermalPlug) -> MeterPlate:
    """The billing meter of a plug."""
    meter = plug.spec.metering
    return MeterPlate(
        meter_point_id=meter.meter_point_id,
        max_kw=HEADROOM * plug.spec.capacity.max_heat_kw,
        position=MeterPosition(meter.position),
        meter_class=int(meter.meter_class),
        calibration_due=date.fromisoformat(str(meter.calibration_due)),
    )


def contract_named(contracts: tuple[Contract, ...], name: str | None) -> tuple[Contract, ...]:
    """The contract of that name, or all.

    Raises:
        Misconfigured: when there is none of that name.
    """
    if name is None:
        return contracts
    chosen = tuple(one for one in contracts if one.offtake.offtake_id == name)
    if not chosen:
        names = [one.offtake.offtake_id for one in contracts]
        text = f"there is no HeatOfftake {name!r}{did_you_mean(name, names)}"
        raise Misconfigured(text, where="--offtake", expected=one_of(names))
    return chosen
