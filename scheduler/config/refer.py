"""What manifests say of each other: every name that is referred to must exist, and one thing has one owner."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from scheduler.config.findings import Finding, did_you_mean, error, one_of, warning
from scheduler.config.kinds import DispatchPlan, DispatchPolicy, HeatOfftake, Resource, Site, ThermalPlug
from scheduler.config.lines import Path, words
from scheduler.config.load import Manifests


def broken_references(manifests: Manifests) -> list[Finding]:
    """Errors between objects: unknown names, several sites, pools or meters of several owners."""
    return [*_sites(manifests), *_names(manifests), *_owners(manifests)]


def at(manifests: Manifests, resource: Resource, path: Path, message: str, expected: str = "") -> Finding:
    """An error at a field of an object."""
    return error(manifests.where(resource, *path), f"{resource.name}: {words(path)}", message, expected)


def doubt(manifests: Manifests, resource: Resource, path: Path, message: str, expected: str = "") -> Finding:
    """A warning at a field of an object."""
    return warning(manifests.where(resource, *path), f"{resource.name}: {words(path)}", message, expected)


def _sites(manifests: Manifests) -> Iterator[Finding]:
    """One site."""
    sites = manifests.of(Site)
    for other in sites[1:]:
        text = f"a second Site, the first is {sites[0].name!r}"
        yield at(manifests, other, ("metadata", "name"), text, "one Site")


def _names(manifests: Manifests) -> Iterator[Finding]:
    """Names that do not exist."""
    plugs = [plug.name for plug in manifests.of(ThermalPlug)]
    pools = [pool.pool for site in manifests.of(Site) for pool in site.spec.node_pools]
    policies = [policy.name for policy in manifests.of(DispatchPolicy)]
    for offtake in manifests.of(HeatOfftake):
        yield from _known(manifests, offtake, ("spec", "plugRef"), "ThermalPlug", offtake.spec.plug_ref, plugs)
    for site in manifests.of(Site):
        for i, pool in enumerate(site.spec.node_pools):
            yield from _known(manifests, site, ("spec", "nodePools", i, "plug"), "ThermalPlug", pool.plug, plugs)
    for policy in manifests.of(DispatchPolicy):
        for i, name in enumerate(policy.spec.pools if pools else ()):
            yield from _known(manifests, policy, ("spec", "pools", i), "pool", name, pools)
    for plan in manifests.of(DispatchPlan):
        yield from _known(manifests, plan, ("spec", "policyRef"), "DispatchPolicy", plan.spec.policy_ref, policies)


def _known(
    manifests: Manifests, resource: Resource, path: Path, kind: str, name: str, known: Sequence[str]
) -> Iterator[Finding]:
    """An error unless a name is known."""
    if name not in known:
        yield at(manifests, resource, path, f"there is no {kind} {name!r}{did_you_mean(name, known)}", one_of(known))


def _owners(manifests: Manifests) -> Iterator[Finding]:
    """Pools named twice, pools of two policies, meters of two plugs, series of two offtakes, gates of a foreign zone."""
    sites = manifests.of(Site)
    for site in sites[:1]:
        names = [pool.pool for pool in site.spec.node_pools]
        for i in _repeated(names):
            yield at(manifests, site, ("spec", "nodePools", i, "pool"), f"pool {names[i]!r} is there twice", "each pool once")
    policies = manifests.of(DispatchPolicy)
    for i, policy in enumerate(policies):
        for other in policies[:i]:
            if not policy.spec.pools or not other.spec.pools or set(policy.spec.pools) & set(other.spec.pools):
                text = f"shares pools with policy {other.name!r}; a second policy of a pool only observes"
                yield at(manifests, policy, ("spec", "pools"), text, "each pool in one policy")
                break
    plugs = manifests.of(ThermalPlug)
    for i in _repeated([plug.spec.metering.meter_point_id for plug in plugs]):
        text = f"metering point {plugs[i].spec.metering.meter_point_id!r} belongs to another plug"
        yield at(manifests, plugs[i], ("spec", "metering", "meterPointId"), text, "one meter per plug")
    served = [offtake for offtake in manifests.of(HeatOfftake) if offtake.spec.demand.source == "series"]
    for offtake in served[1:]:
        text = f"the file's heat_demand_kw belongs to {served[0].name!r} already"
        yield at(manifests, offtake, ("spec", "demand", "source"), text, "source series in one offtake")
    for offtake in manifests.of(HeatOfftake):
        firm = offtake.spec.firm
        if sites and firm and firm.time_zone not in (None, sites[0].spec.time_zone):
            text = f"the gate is in {firm.time_zone}, the site in {sites[0].spec.time_zone}; this version needs them equal"
            yield at(manifests, offtake, ("spec", "firm", "timeZone"), text, "no timeZone here: the site's")


def _repeated(names: Iterable[str]) -> list[int]:
    """Positions of names that were there before."""
    seen: set[str] = set()
    found = []
    for i, name in enumerate(names):
        if name in seen:
            found.append(i)
        seen.add(name)
    return found
