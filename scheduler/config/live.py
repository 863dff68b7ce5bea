"""Objects of a live cluster as manifests: one bad object never stops the others.

What is wrong is a finding that names the object (`ThermalPlug/loop-a`), for a condition on it. An object with an error is left
out, and so is whatever cannot stand without it; the rest is planned with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from scheduler.config.findings import Finding, Level
from scheduler.config.kinds import KINDS, DispatchPolicy, Site
from scheduler.config.kinds.base import Metadata
from scheduler.config.kinds.site import NodePool
from scheduler.config.lines import Document
from scheduler.config.load import Manifest, Manifests, OneKind, resource_of
from scheduler.config.to_domain import settings_from, site_from
from scheduler.config.validate import validate_manifests
from scheduler.domain import site as nouns
from scheduler.domain.errors import Misconfigured
from scheduler.domain.settings import Settings

METADATA = frozenset(str(info.alias) for info in Metadata.model_fields.values())
CLUSTER = "cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What a cluster's objects add up to: those that can be worked with, and every finding by its object's name."""

    manifests: Manifests
    findings: Mapping[str, tuple[Finding, ...]]

    def errors(self, where: str) -> tuple[Finding, ...]:
        """What keeps an object from being used."""
        return tuple(one for one in self.findings.get(where, ()) if one.level is Level.ERROR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Governed:
    """One policy with its part of the site: what a cycle needs."""

    policy: str
    site: nouns.Site
    settings: Settings


def name_of(obj: Mapping[str, Any]) -> str:
    """`ThermalPlug/loop-a`."""
    return f"{obj.get('kind', '?')}/{(obj.get('metadata') or {}).get('name', '?')}"


def live_manifests(objects: Iterable[Mapping[str, Any]], pools: Sequence[NodePool], now_utc: datetime) -> Live:
    """Read objects as the API serves them.

    Args:
        objects: dicts of our kinds, with `kind` and `apiVersion`; status is not read.
        pools: pools of the nodes that are there; they take the place of the Site's own when there are any.
        now_utc: decides about calibrations.
    """
    findings: list[Finding] = []
    entries: list[Manifest] = []
    for obj in sorted(objects, key=name_of):
        document = Document(file=name_of(obj), line=0, value=_plain(obj), lines={})
        if document.value.get("kind") not in KINDS:
            continue
        resource, told = resource_of(document)
        findings += told
        if resource is not None:
            entries.append(Manifest(resource=resource, document=document))
    found = Manifests(directory=CLUSTER, entries=tuple(_with_pools(one, pools) for one in entries))
    return _sound(found, findings, now_utc)


def readable(objects: Iterable[Mapping[str, Any]], kind: type[OneKind]) -> tuple[OneKind, ...]:
    """Objects of one kind that can be read, each by itself, by name: whether they fit together is not asked."""
    documents = (Document(file=name_of(obj), line=0, value=_plain(obj), lines={}) for obj in sorted(objects, key=name_of))
    mine = (resource_of(one)[0] for one in documents if one.value.get("kind") == kind.__name__)
    return tuple(one for one in mine if isinstance(one, kind))


def governed(live: Live, policy: str) -> Governed:
    """Site and settings of one policy: the site holds its pools only.

    Raises:
        Misconfigured: the policy is not among the usable ones, there is no usable Site, or no pool is left for it.
    """
    site = site_from(live.manifests, policy=policy)
    settings = settings_from(live.manifests, policy=policy)
    rules = next(one for one in live.manifests.of(DispatchPolicy) if one.name == policy).spec
    wanted = set(rules.pools)
    pools = tuple(pool for pool in site.pools if not wanted or pool.pool_id in wanted)
    if not pools:
        expected = f"one of {', '.join(pool.pool_id for pool in site.pools)}"
        raise Misconfigured("none of its pools is there", where=f"DispatchPolicy/{policy}: spec.pools", expected=expected)
    plugs = {pool.plug_id for pool in pools}
    own = replace(
        site,
        pools=pools,
        plugs=tuple(plug for plug in site.plugs if plug.plug_id in plugs),
        offtakes=tuple(one for one in site.offtakes if one.plug_id in plugs),
    )
    return Governed(policy=policy, site=own, settings=settings)


def _plain(obj: Mapping[str, Any]) -> dict[str, Any]:
    """An object without its status and without metadata that only the API server reads."""
    metadata = {key: value for key, value in (obj.get("metadata") or {}).items() if key in METADATA}
    # Large and of no use here; the API server's own copy of what was applied is among the annotations.
    for name in ("managedFields", "annotations", "ownerReferences"):
        metadata.pop(name, None)
    return {**{key: _thawed(value) for key, value in obj.items() if key != "status"}, "metadata": metadata}


def _thawed(value: Any) -> Any:
    """Plain dicts and lists of what a cache may hold as immutable ones: the kinds are strict about it."""
    if isinstance(value, Mapping):
        return {key: _thawed(item) for key, item in value.items()}
    return [_thawed(item) for item in value] if isinstance(value, list | tuple) else value


def _with_pools(entry: Manifest, pools: Sequence[NodePool]) -> Manifest:
    """A Site that holds the pools of the nodes."""
    site = entry.resource
    if not isinstance(site, Site) or not pools:
        return entry
    spec = site.spec.model_copy(update={"node_pools": list(pools)})
    return replace(entry, resource=site.model_copy(update={"spec": spec}))


def _sound(manifests: Manifests, findings: list[Finding], now_utc: datetime) -> Live:
    """Leave out objects with errors until none is left; each round finds what depended on the ones before."""
    while True:
        told = validate_manifests(manifests, now_utc)
        wrong = {_object_of(one) for one in told if one.level is Level.ERROR}
        kept = tuple(entry for entry in manifests.entries if entry.where() not in wrong)
        if not wrong or len(kept) == len(manifests.entries):
            findings += told
            break
        findings += [one for one in told if one.level is Level.ERROR]
        manifests = replace(manifests, entries=kept)
    by_object: dict[str, list[Finding]] = {}
    for one in dict.fromkeys(findings):
        by_object.setdefault(_object_of(one), []).append(one)
    return Live(manifests=manifests, findings={where: tuple(told) for where, told in by_object.items()})


def _object_of(finding: Finding) -> str:
    """The object that a finding speaks of; a field may follow its name."""
    return finding.where.split(":")[0]
