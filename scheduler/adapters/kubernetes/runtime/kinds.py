"""Which kinds we speak of, and where the API server keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

OWN_GROUP = "heatdispatch.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind at one version; `group` is empty for the core group."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = False

    @property
    def api_version(self) -> str:
        """`batch/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def own(self) -> bool:
        """True for a kind of ours."""
        return self.group == OWN_GROUP

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """URL path of one object, of one namespace's objects, or of all of them.

        Raises:
            ValueError: when a namespace is given for a cluster-scoped kind, or none for one namespaced object.
        """
        if namespace and not self.namespaced:
            raise ValueError(f"{self.kind} is cluster-scoped; namespace {namespace!r} given")
        if self.namespaced and name and not namespace:
            raise ValueError(f"{self.kind} {name!r} needs its namespace")
        root = ["apis", self.group, self.version] if self.group else ["api", self.version]
        scope = ["namespaces", namespace] if namespace else []
        parts = [*root, *scope, self.plural, *([name] if name else []), *([subresource] if subresource else [])]
        return "/" + "/".join(quote(part, safe="") for part in parts)


def _core(kind: str, plural: str, *, namespaced: bool) -> Kind:
    return Kind(group="", version="v1", kind=kind, plural=plural, namespaced=namespaced)


def _kueue(kind: str, plural: str, *, namespaced: bool = False) -> Kind:
    return Kind(group="kueue.x-k8s.io", version="v1beta2", kind=kind, plural=plural, namespaced=namespaced)


def _own(kind: str, plural: str) -> Kind:
    return Kind(group=OWN_GROUP, version="v1alpha1", kind=kind, plural=plural)


NODES = _core("Node", "nodes", namespaced=False)
NAMESPACES = _core("Namespace", "namespaces", namespaced=False)
PODS = _core("Pod", "pods", namespaced=True)
EVENTS = _core("Event", "events", namespaced=True)
CONFIG_MAPS = _core("ConfigMap", "configmaps", namespaced=True)
SECRETS = _core("Secret", "secrets", namespaced=True)
JOBS = Kind(group="batch", version="v1", kind="Job", plural="jobs", namespaced=True)
CRON_JOBS = Kind(group="batch", version="v1", kind="CronJob", plural="cronjobs", namespaced=True)
LEASES = Kind(group="coordination.k8s.io", version="v1", kind="Lease", plural="leases", namespaced=True)

HOLD_BINDINGS = Kind(
    group="admissionregistration.k8s.io",
    version="v1",
    kind="MutatingAdmissionPolicyBinding",
    plural="mutatingadmissionpolicybindings",
)

WORKLOADS = _kueue("Workload", "workloads", namespaced=True)
LOCAL_QUEUES = _kueue("LocalQueue", "localqueues", namespaced=True)
CLUSTER_QUEUES = _kueue("ClusterQueue", "clusterqueues")
ADMISSION_CHECKS = _kueue("AdmissionCheck", "admissionchecks")
RESOURCE_FLAVORS = _kueue("ResourceFlavor", "resourceflavors")

SITES = _own("Site", "sites")
PLUGS = _own("ThermalPlug", "thermalplugs")
OFFTAKES = _own("HeatOfftake", "heatofftakes")
CLASSES = _own("WorkloadClass", "workloadclasses")
POLICIES = _own("DispatchPolicy", "dispatchpolicies")
PLANS = _own("DispatchPlan", "dispatchplans")
NODE_POWERS = _own("NodePower", "nodepowers")
