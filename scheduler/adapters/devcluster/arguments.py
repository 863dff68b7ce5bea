"""Command lines and configuration files of the programs. Everything listens on loopback; RBAC decides what may be done."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scheduler.adapters.devcluster.build import Toolbox
from scheduler.adapters.devcluster.processes import Command

# Picked anew for each start.
PORTS = ("etcd", "etcd-peer", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "cronjob-controller",
    "daemonset-controller",
    "deployment-controller",
    "disruption-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "node-lifecycle-controller",
    "persistentvolume-binder-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "statefulset-controller",
    "taint-eviction-controller",
    "ttl-after-finished-controller",
    "validatingadmissionpolicy-status-controller",
)
ETCD_QUOTA_BYTES = 4 << 30
AUDIT_FILE_MIB = 4096
WRITES = ("create", "update", "patch", "delete", "deletecollection")
# What a write of these left behind is in the log too: their whole story can be told from it.
TOLD_WHOLE = (
    {"group": "", "resources": ["namespaces", "namespaces/status", "namespaces/finalize"]},
    {"group": "batch", "resources": ["jobs", "jobs/status", "cronjobs", "cronjobs/status"]},
    {"group": "coordination.k8s.io", "resources": ["leases"]},
    {"group": "heatdispatch.io"},
    {"group": "kueue.x-k8s.io", "resources": ["workloads", "workloads/status"]},
)
AUDIT_POLICY: dict[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        # What these hold is secret, or a heartbeat.
        {
            "level": "Metadata",
            "resources": [
                {"group": "", "resources": ["secrets", "serviceaccounts/token"]},
                {"group": "authentication.k8s.io", "resources": ["tokenreviews"]},
            ],
        },
        {"level": "Metadata", "namespaces": ["kube-node-lease"]},
        {"level": "RequestResponse", "verbs": list(WRITES), "resources": list(TOLD_WHOLE), "omitManagedFields": True},
        {"level": "Request", "verbs": list(WRITES)},
        {"level": "Metadata"},
    ],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where a cluster keeps its files and on which ports of loopback it listens."""

    folder: Path
    toolbox: Toolbox
    ports: Mapping[str, int] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Address of the API server."""
        return f"https://127.0.0.1:{self.ports['kube-apiserver']}"

    @property
    def etcd_url(self) -> str:
        """Address of etcd for its clients."""
        return f"http://127.0.0.1:{self.ports['etcd']}"

    @property
    def audit_log(self) -> Path:
        """What was asked of the API server, one JSON object a line."""
        return self.folder / "audit.log"

    def kubeconfig(self, user: str) -> Path:
        """Where the kubeconfig of a user lies; colons of service account names are no good in file names."""
        return self.folder / f"{user.replace(':', '-')}.kubeconfig"

    def program(self, name: str) -> str:
        """Path of a program."""
        return str(self.toolbox.program(name))


def etcd(layout: Layout) -> Command:
    """One member without fsync: what it holds is thrown away with the cluster. It compacts only when told to."""
    peer = f"http://127.0.0.1:{layout.ports['etcd-peer']}"
    return Command(
        arguments=(
            layout.program("etcd"),
            f"--data-dir={layout.folder / 'etcd'}",
            "--unsafe-no-fsync",
            "--log-level=warn",
            f"--listen-client-urls={layout.etcd_url}",
            f"--advertise-client-urls={layout.etcd_url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            f"--quota-backend-bytes={ETCD_QUOTA_BYTES}",
            "--auto-compaction-mode=periodic",
            "--auto-compaction-retention=0",
        )
    )


def apiserver(layout: Layout, feature_gates: str, more: tuple[str, ...] = ()) -> Command:
    """An API server with static tokens, RBAC and an audit log; `more` flags come last."""
    folder = layout.folder
    policy = folder / "audit-policy.json"
    policy.write_text(json.dumps(AUDIT_POLICY, indent=1), encoding="utf-8")
    return Command(
        arguments=(
            layout.program("kube-apiserver"),
            f"--etcd-servers={layout.etcd_url}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--secure-port={layout.ports['kube-apiserver']}",
            f"--tls-cert-file={folder}/apiserver.crt",
            f"--tls-private-key-file={folder}/apiserver.key",
            f"--client-ca-file={folder}/ca.crt",
            f"--token-auth-file={folder}/tokens.csv",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={folder}/sa.pub",
            f"--service-account-signing-key-file={folder}/sa.key",
            f"--kubelet-client-certificate={folder}/kubelet-client.crt",
            f"--kubelet-client-key={folder}/kubelet-client.key",
            "--kubelet-preferred-address-types=Hostname",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={layout.audit_log}",
            f"--audit-log-maxsize={AUDIT_FILE_MIB}",
            *gates(feature_gates),
            *more,
        )
    )


def controller_manager(layout: Layout, user: str, feature_gates: str) -> Command:
    """The controllers of jobs, garbage, namespaces, nodes and accounts, each under its own account."""
    folder = layout.folder
    return Command(
        arguments=(
            layout.program("kube-controller-manager"),
            *delegating(layout.kubeconfig(user)),
            f"--kubeconfig={layout.kubeconfig(user)}",
            "--bind-address=127.0.0.1",
            f"--secure-port={layout.ports['kube-controller-manager']}",
            f"--cert-dir={folder / 'controllers'}",
            "--leader-elect=false",
            "--use-service-account-credentials",
            f"--service-account-private-key-file={folder}/sa.key",
            f"--root-ca-file={folder}/ca.crt",
            f"--controllers={','.join(CONTROLLERS)}",
            "--kube-api-qps=300",
            "--kube-api-burst=600",
            "--concurrent-job-syncs=10",
            *gates(feature_gates),
        )
    )


def scheduler(layout: Layout, user: str, feature_gates: str) -> Command:
    """The scheduler, which tries again after one or two seconds instead of up to ten."""
    path = layout.folder / "scheduler.json"
    wanted = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": False},
        "clientConnection": {"kubeconfig": str(layout.kubeconfig(user)), "qps": 500, "burst": 1000},
        "podInitialBackoffSeconds": 1,
        "podMaxBackoffSeconds": 2,
    }
    path.write_text(json.dumps(wanted, indent=1), encoding="utf-8")
    return Command(
        arguments=(
            layout.program("kube-scheduler"),
            f"--config={path}",
            *delegating(layout.kubeconfig(user)),
            "--bind-address=127.0.0.1",
            f"--secure-port={layout.ports['kube-scheduler']}",
            f"--cert-dir={layout.folder / 'scheduler'}",
            *gates(feature_gates),
        )
    )


def kwok(layout: Layout, user: str, selector: str) -> Command:
    """Kubelets that only pretend, for nodes with an annotation; pods pass through the stages of the toolbox."""
    return Command(
        arguments=(
            layout.program("kwok"),
            f"--kubeconfig={layout.kubeconfig(user)}",
            f"--config={layout.toolbox.manifests / 'kwok.yaml'}",
            f"--manage-nodes-with-annotation-selector={selector}",
            "--node-ip=127.0.0.1",
            f"--server-address=127.0.0.1:{layout.ports['kwok']}",
            "--cidr=10.64.0.0/10",
        )
    )


def delegating(kubeconfig: Path) -> tuple[str, ...]:
    """Who asks the API server about requests to a program's own health and metrics."""
    return (f"--authentication-kubeconfig={kubeconfig}", f"--authorization-kubeconfig={kubeconfig}")


def gates(feature_gates: str) -> tuple[str, ...]:
    """The flag for feature gates, when there are any."""
    return (f"--feature-gates={feature_gates}",) if feature_gates else ()
