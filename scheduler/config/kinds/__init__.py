"""The kinds of heatdispatch.io/v1alpha1: one pydantic model each, the source of CRDs, JSON Schemas and reference pages."""

from scheduler.config.kinds.base import Resource
from scheduler.config.kinds.nodepower import NodePower
from scheduler.config.kinds.offtake import HeatOfftake
from scheduler.config.kinds.plan import DispatchPlan
from scheduler.config.kinds.plug import ThermalPlug
from scheduler.config.kinds.policy import DispatchPolicy
from scheduler.config.kinds.site import Site
from scheduler.config.kinds.workload import WorkloadClass

KINDS: dict[str, type[Resource]] = {
    "ThermalPlug": ThermalPlug,
    "HeatOfftake": HeatOfftake,
    "WorkloadClass": WorkloadClass,
    "DispatchPolicy": DispatchPolicy,
    "DispatchPlan": DispatchPlan,
    "NodePower": NodePower,
    "Site": Site,
}

__all__ = [
    "KINDS",
    "DispatchPlan",
    "DispatchPolicy",
    "HeatOfftake",
    "NodePower",
    "Resource",
    "Site",
    "ThermalPlug",
    "WorkloadClass",
]
