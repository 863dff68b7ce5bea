"""Kueue beside a cluster instead of in it, webhooks and all.

Its webhook configurations name a Service. An ExternalName Service for localhost makes the API server dial this machine, at the
port of the entry, while TLS still verifies SERVICE.NAMESPACE.svc. The Secret with the webhook's certificate is made beforehand
together with the files that a mount would bring: Kueue's rotator keeps what it finds when its authority is called `kueue-ca`
and has an RSA key in PKCS#1, and otherwise makes its own, which the files would not match.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from scheduler.adapters.devcluster import rbac
from scheduler.adapters.devcluster.certificates import Subject, make_authority, make_certificate
from scheduler.adapters.devcluster.client import Object
from scheduler.adapters.devcluster.cluster import KUEUE, PROBE_S, START_S, DevCluster
from scheduler.adapters.devcluster.manifests import KUEUE_FILE
from scheduler.adapters.devcluster.processes import Command, PortTaken, free_ports

NAMESPACE = "kueue-system"
SERVICE = "kueue-webhook-service"
SECRET = "kueue-webhook-server-cert"
AUTHORITY = "kueue-ca"
API = "/apis/kueue.x-k8s.io/v1beta2"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
# Kinds whose stored and served versions differ: the API server asks the webhook to convert them.
CONVERTED = ("clusterqueues", "cohorts", "localqueues", "multikueueclusters", "workloads")
WEBHOOKS = ("clusterqueue", "cohort", "job", "resourceflavor", "workload")
FILES = {"ca.crt": f"{AUTHORITY}.crt", "ca.key": f"{AUTHORITY}.key", "tls.crt": "kueue.crt", "tls.key": "kueue.key"}
LOCAL_RULES = (
    rbac.Rule(
        groups=("", "coordination.k8s.io"), resources=("configmaps", "leases", "events", "secrets"), verbs=("*",)
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Ports:
    hook: int
    metrics: int
    health: int


def start(cluster: DevCluster, frameworks: Sequence[str] = ("batch/job",)) -> None:
    """Install and run Kueue, for these kinds of jobs. Returns when its webhook answers; tries other ports when one was taken.

    Raises:
        ProcessDied: when it ends, with the end of its log.
        NotReady: when it does not get ready, with the end of its log.
    """
    begun_s = time.monotonic()
    try:
        _start_once(cluster, frameworks)
    except PortTaken:
        cluster.kill("kueue")
        _start_once(cluster, frameworks)
    cluster.started_s["Kueue"] = time.monotonic() - begun_s


def _start_once(cluster: DevCluster, frameworks: Sequence[str]) -> None:
    ports = _Ports(*free_ports(3))
    trust = make_certificates(cluster)
    objects: dict[str, list[Object]] = json.loads((cluster.toolbox.manifests / KUEUE_FILE).read_text(encoding="utf-8"))
    cluster.apply_crds(converted(crd, trust, ports.hook) for crd in objects["crds"])
    for configuration in objects["webhooks"]:
        wanted = pointed_here(configuration, trust, ports.hook)
        plural = f"{configuration['kind'].lower()}s"
        cluster.admin.apply(f"{ADMISSION}/{plural}/{wanted['metadata']['name']}", wanted)
    give_rights(cluster, objects["roles"])
    path = cluster.folder / "kueue.json"
    path.write_text(json.dumps(configuration_of(cluster.folder, ports, frameworks), indent=1), encoding="utf-8")
    program = str(cluster.toolbox.program("kueue"))
    environment = {"KUBECONFIG": str(cluster.kubeconfig(KUEUE))}
    command = Command(arguments=(program, f"--config={path}", "--zap-log-level=2"), environment=environment)
    cluster.processes.start("kueue", command)
    wait_ready(cluster, ports.health)


def make_certificates(cluster: DevCluster) -> str:
    """Namespace, Service, certificate as files and as a Secret; returns the authority, in base64."""
    host = f"{SERVICE}.{NAMESPACE}.svc"
    make_authority(cluster.folder, AUTHORITY, AUTHORITY, rsa=True)
    subject = Subject(name=host, alternatives=(f"DNS:{host}", "DNS:localhost", "IP:127.0.0.1"))
    make_certificate(cluster.folder, "kueue", AUTHORITY, subject)
    mounted = cluster.folder / "kueue-certs"
    mounted.mkdir(exist_ok=True)
    for name, source in FILES.items():
        shutil.copy(cluster.folder / source, mounted / name)
    data = {name: b64encode((mounted / name).read_bytes()).decode() for name in FILES}
    space = f"/api/v1/namespaces/{NAMESPACE}"
    cluster.admin.apply(space, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    for kind, name, rest in (
        ("Secret", SECRET, {"data": data}),
        ("Service", SERVICE, {"spec": {"type": "ExternalName", "externalName": "localhost"}}),
    ):
        metadata = {"name": name, "namespace": NAMESPACE}
        cluster.admin.apply(f"{space}/{kind.lower()}s/{name}", {"apiVersion": "v1", "kind": kind, "metadata": metadata, **rest})
    return data["ca.crt"]


def service_at(port: int, path: str) -> dict[str, Any]:
    """Reference to Kueue's Service."""
    return {"name": SERVICE, "namespace": NAMESPACE, "port": port, "path": path}


def converted(crd: Object, trust: str, port: int) -> Object:
    """A CustomResourceDefinition of Kueue whose versions its webhook converts, where there are two."""
    if crd["spec"]["names"]["plural"] not in CONVERTED:
        return crd
    webhook = {
        "conversionReviewVersions": ["v1"],
        "clientConfig": {"caBundle": trust, "service": service_at(port, "/convert")},
    }
    return {**crd, "spec": {**crd["spec"], "conversion": {"strategy": "Webhook", "webhook": webhook}}}


def pointed_here(configuration: Object, trust: str, port: int) -> Object:
    """A webhook configuration as installers leave it (names with `kueue-`), for the kinds we run, pointing at this machine."""
    hooks = [hook for hook in configuration["webhooks"] if hook["name"].split(".")[0][1:] in WEBHOOKS]
    for hook in hooks:
        hook["clientConfig"] = {"caBundle": trust, "service": service_at(port, hook["clientConfig"]["service"]["path"])}
    return {**configuration, "metadata": {"name": f"kueue-{configuration['metadata']['name']}"}, "webhooks": hooks}


def give_rights(cluster: DevCluster, roles: Sequence[Object]) -> None:
    """Kueue's own roles, which name the webhook configurations without the prefix, and what its own namespace holds."""
    for role in roles:
        text = re.sub(r'"(mutating|validating)-webhook-configuration"', r'"kueue-\1-webhook-configuration"', json.dumps(role))
        wanted = json.loads(text)
        name, local = wanted["metadata"]["name"], "namespace" in wanted["metadata"]
        if local:
            wanted["metadata"]["namespace"] = NAMESPACE
        cluster.admin.apply(f"{rbac.PATH}/{f'namespaces/{NAMESPACE}/roles' if local else 'clusterroles'}/{name}", wanted)
        rbac.bind(cluster.admin, f"kueue-{name}", KUEUE, name, NAMESPACE if local else "")
    rbac.allow(cluster.admin, "kueue-local", KUEUE, LOCAL_RULES, NAMESPACE)


def configuration_of(folder: Path, ports: _Ports, frameworks: Sequence[str]) -> dict[str, Any]:
    """Kueue's configuration file."""
    return {
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "kind": "Configuration",
        "namespace": NAMESPACE,
        "health": {"healthProbeBindAddress": f"127.0.0.1:{ports.health}"},
        "metrics": {"bindAddress": f"127.0.0.1:{ports.metrics}"},
        "webhook": {"host": "127.0.0.1", "port": ports.hook, "certDir": str(folder / "kueue-certs")},
        "leaderElection": {"leaderElect": False},
        "clientConnection": {"qps": 300, "burst": 500},
        # Off would be worse: the manager then wants a certificate at a fixed path of the file system.
        "internalCertManagement": {"enable": True, "webhookServiceName": SERVICE, "webhookSecretName": SECRET},
        # The class of a job of another kind is read from its Workload.
        "integrations": {"frameworks": list(frameworks), "labelKeysToCopy": ["heatdispatch.io/class"]},
        # On, it would open one more port on all interfaces.
        "featureGates": {"VisibilityOnDemand": False},
    }


def wait_ready(cluster: DevCluster, health_port: int) -> None:
    """Return when Kueue says that it is ready and a dry run passes through its webhook."""
    address = f"http://127.0.0.1:{health_port}/readyz"
    asked = partial(httpx.get, address, timeout=PROBE_S, trust_env=False)
    cluster.wait("Kueue ready", lambda: asked().is_success, START_S, log_of="kueue")
    flavor = {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "ResourceFlavor", "metadata": {"name": "probe"}}
    path = f"{API}/resourceflavors?dryRun=All"
    cluster.wait("Kueue's webhook", lambda: cluster.admin.create(path, flavor), START_S, log_of="kueue")
