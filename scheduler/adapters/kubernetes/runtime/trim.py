"""What a cache need not remember. Lists of what to drop, not of what to keep: nobody misses a field by surprise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Trim = Callable[[dict[str, Any]], dict[str, Any]]
"""Takes a freshly parsed object, which it may change, and returns what is kept of it."""

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_POD_SPEC = ("volumes", "dnsConfig", "hostAliases", "imagePullSecrets", "securityContext", "ephemeralContainers")
_CONTAINER = (
    "args", "command", "env", "envFrom", "volumeMounts", "volumeDevices", "livenessProbe", "readinessProbe", "startupProbe",
    "lifecycle", "securityContext", "terminationMessagePath", "terminationMessagePolicy", "imagePullPolicy", "ports",
)  # fmt: skip
# Whoever carries one of these names is asked for power at its address; nobody else's address is kept.
NAME_LABELS = ("app.kubernetes.io/name", "app")
AGENT_NAME = "heat-dispatch-agent"
EXPORTER_NAMES = frozenset({"dcgm-exporter", "nvidia-dcgm-exporter"})
# How the Job controller finds its pods; we find them by their owner.
_JOB_SPEC = ("selector", "manualSelector")
_JOB_LABELS = ("batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name", "controller-uid", "job-name")
_POD_STATUS = ("hostIPs", "podIPs", "initContainerStatuses", "ephemeralContainerStatuses", "resourceClaimStatuses")
_CONTAINER_STATUS = ("imageID", "image", "containerID", "volumeMounts", "resources", "allocatedResources", "user", "lastState")
_NODE_STATUS = ("images", "volumesInUse", "volumesAttached", "runtimeHandlers", "daemonEndpoints", "config", "features")


def common(obj: dict[str, Any]) -> dict[str, Any]:
    """Drop what no kind needs: managedFields (often half of an object) and kubectl's copy of the last manifest."""
    metadata = obj.get("metadata") or {}
    _drop(metadata, ("managedFields", "selfLink"))
    annotations = metadata.get("annotations")
    if annotations:
        annotations.pop(LAST_APPLIED, None)
    return obj


def pod(obj: dict[str, Any]) -> dict[str, Any]:
    """Keep a Pod's placement, resources, gates and phase; drop what only its kubelet reads."""
    common(obj)
    _pod_spec(obj.get("spec") or {})
    status = obj.get("status") or {}
    _drop(status, _POD_STATUS)
    if not app_names((obj.get("metadata") or {}).get("labels") or {}) & {AGENT_NAME, *EXPORTER_NAMES}:
        _drop(status, ("podIP",))
    for container in status.get("containerStatuses") or ():
        _drop(container, _CONTAINER_STATUS)
    return obj


def app_names(labels: Mapping[str, str]) -> set[str]:
    """What a pod's labels say that it is."""
    return {labels[label] for label in NAME_LABELS if label in labels}


def job(obj: dict[str, Any]) -> dict[str, Any]:
    """Keep a Job and of its pod template what `pod` keeps; a template is patched, never written back from here."""
    common(obj)
    spec = obj.get("spec") or {}
    template = spec.get("template") or {}
    _pod_spec(template.get("spec") or {})
    _drop(spec, _JOB_SPEC)
    _drop((template.get("metadata") or {}).get("labels") or {}, _JOB_LABELS)
    return obj


def node(obj: dict[str, Any]) -> dict[str, Any]:
    """Keep a Node without its list of images, the bulk of it."""
    common(obj)
    _drop(obj.get("status") or {}, _NODE_STATUS)
    return obj


def _pod_spec(spec: dict[str, Any]) -> None:
    _drop(spec, _POD_SPEC)
    for group in ("containers", "initContainers"):
        for container in spec.get(group) or ():
            _drop(container, _CONTAINER)


def _drop(holder: dict[str, Any], names: Iterable[str]) -> None:
    for name in names:
        holder.pop(name, None)
