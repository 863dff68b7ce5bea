"""What pods ask for: Kubernetes quantities, requests of a pod, and the gang that a Job starts."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from scheduler.adapters.kubernetes.objects import Obj, at, count, part, parts, text

GPU = "nvidia.com/gpu"
# Slices of a GPU and shared GPUs: what sits on the same GPU is not known, so such jobs are left alone.
SHARED = re.compile(r"^nvidia\.com/(mig-|gpu\.shared$)")
PODS = "pods"

QUANTITY = re.compile(r"^([+-]?[0-9]+(?:\.[0-9]*)?|[+-]?\.[0-9]+)(?:([eE][+-]?[0-9]{1,3})|([numkMGTPE]|[KMGTPE]i)?)$")
DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}

Amounts = Mapping[str, float]
"""Resource name to amount: cores, bytes, GPUs."""


def read_quantity(value: object) -> float | None:
    """The number of a quantity such as `8`, `500m`, `1.5Gi` or `2e3`; None when it is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if math.isfinite(value) else None
    found = QUANTITY.match(value) if isinstance(value, str) else None
    if found is None:
        return None
    digits, exponent, suffix = found.group(1), found.group(2) or "", found.group(3) or ""
    if suffix in BINARY:
        return float(digits) * 2.0 ** BINARY[suffix]
    return float(f"{digits}{exponent}") * 10.0 ** DECIMAL[suffix]


def amounts_of(given: Obj) -> dict[str, float]:
    """A resource list; what cannot be read is left out."""
    found = {name: read_quantity(value) for name, value in given.items()}
    return {name: amount for name, amount in found.items() if amount is not None}


def requests_of(pod_spec: Obj) -> dict[str, float]:
    """What the scheduler sets aside for one pod.

    As Kubernetes counts: containers and restartable init containers (side cars) add up; an ordinary init container runs
    beside the side cars before it only, so the larger of the two phases counts; overhead comes on top.
    """
    total: dict[str, float] = {}
    for container in parts(pod_spec, "containers"):
        total = _add(total, _container(container))
    sidecars: dict[str, float] = {}
    peak: dict[str, float] = {}
    for container in parts(pod_spec, "initContainers"):
        asked = _container(container)
        if text(container, "restartPolicy") == "Always":
            sidecars = _add(sidecars, asked)
            peak = _larger(peak, sidecars)
        else:
            peak = _larger(peak, _add(sidecars, asked))
    return _add(_larger(_add(total, sidecars), peak), amounts_of(part(pod_spec, "overhead")))


def shares_gpus(pod_spec: Obj) -> bool:
    """Whether a pod asks for slices of GPUs, shared ones, or devices by claim."""
    return any(SHARED.match(name) for name in requests_of(pod_spec)) or bool(parts(pod_spec, "resourceClaims"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gang:
    """Equal pods that start together; requests of one of them, and its pod spec for the rules of placement."""

    pods: int
    requests: Amounts
    pod_spec: Obj = field(default_factory=dict)

    @property
    def gpus_per_pod(self) -> int:
        """GPUs of one pod."""
        return int(self.requests.get(GPU, 0.0))

    @property
    def gpus(self) -> int:
        """GPUs of the gang."""
        return self.pods * self.gpus_per_pod


def gang_of_job(job: Obj) -> Gang:
    """The pods of a batch Job that run at the same time: its parallelism, or what is left to complete if that is less."""
    pods = count(job, "spec", "parallelism", default=1)
    if at(job, "spec", "completions") is not None:
        pods = min(pods, count(job, "spec", "completions") - count(job, "status", "succeeded"))
    pod_spec = part(job, "spec", "template", "spec")
    return Gang(pods=max(0, pods), requests=requests_of(pod_spec), pod_spec=pod_spec)


def gangs_of_workload(workload: Obj) -> tuple[Gang, ...]:
    """The pod sets of a Kueue Workload."""
    found = ((count(each, "count", default=1), part(each, "template", "spec")) for each in parts(workload, "spec", "podSets"))
    return tuple(Gang(pods=max(0, pods), requests=requests_of(pod_spec), pod_spec=pod_spec) for pods, pod_spec in found)


def _container(container: Obj) -> dict[str, float]:
    """Requests of a container; a limit without a request is one."""
    return amounts_of(part(container, "resources", "limits")) | amounts_of(part(container, "resources", "requests"))


def _add(one: Amounts, other: Amounts) -> dict[str, float]:
    """Sum by resource."""
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in {**one, **other}}


def _larger(one: Amounts, other: Amounts) -> dict[str, float]:
    """Maximum by resource."""
    return {name: max(one.get(name, 0.0), other.get(name, 0.0)) for name in {**one, **other}}
