"""A cluster with the rights that an installation gives the agents of its nodes, and tokens of theirs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from kube_objects import HEAT

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.devcluster.client import ApiClient, ApiRefused, Object
from scheduler.adapters.devcluster.cluster import DevCluster
from scheduler.adapters.gpu.kube_http import Access
from scheduler.adapters.gpu.kube_watch import Patience, Reach
from scheduler.adapters.gpu.wishes_api import ApiWishes

ROOT = Path(__file__).parents[1]
AGENT = ROOT / "manifests" / "agent"
NODE_POWERS: Object = yaml.safe_load((ROOT / "manifests" / "crds" / "nodepowers.yaml").read_text("utf-8"))
HOME, AGENTS, ACCOUNT = "heat-dispatch", "heat-dispatch-agents", "heat-dispatch-agent"
RBAC, ADMISSION = "/apis/rbac.authorization.k8s.io/v1", "/apis/admissionregistration.k8s.io/v1"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{HOME}/leases"
LEASE = f"{LEASES}/heat-dispatch-caps"
USER = f"system:serviceaccount:{AGENTS}:{ACCOUNT}"
PLURALS = {
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}
SOON_S = 30.0


def path_of(found: Object) -> str:
    """Where an object of the manifests belongs."""
    kind, metadata = found["kind"], found["metadata"]
    if kind in PLURALS:
        return f"{ADMISSION}/{PLURALS[kind]}/{metadata['name']}"
    scope = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
    return f"{RBAC}{scope}/{kind.lower()}s/{metadata['name']}"


def manifests() -> list[Object]:
    """Rights and policy of the agent."""
    return [one for name in ("rbac", "admission") for one in yaml.safe_load_all((AGENT / f"{name}.yaml").read_text("utf-8"))]


def micro(at_utc: datetime) -> str:
    """`metav1.MicroTime`."""
    return at_utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True)
class Site:
    """A cluster with the agent's rights, and tokens of agents on two nodes."""

    cluster: DevCluster
    folder: Path
    nodes: tuple[str, str]
    tokens: dict[str, str]

    def wish(self, node: str, **spec: Any) -> Object:
        """Let the operator wish for something."""
        found = {"apiVersion": "heatdispatch.io/v1alpha1", "kind": "NodePower", "metadata": {"name": node}}
        return self.cluster.admin.apply(
            f"{HEAT}/nodepowers/{node}", {**found, "spec": {"planId": "p", "generation": 1, **spec}}
        )

    def beat(self, age_s: float = 0.0) -> None:
        """Renew the Lease, as somebody did who was alive so long ago."""
        body: Object = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "heat-dispatch-caps"}}
        renewed_utc = SystemClock().now_utc() - timedelta(seconds=age_s)
        body["spec"] = {"holderIdentity": "leader", "renewTime": micro(renewed_utc)}
        self.cluster.admin.apply(LEASE, body)

    def status(self, node: str) -> Object:
        """What its NodePower says."""
        return dict(self.cluster.admin.get(f"{HEAT}/nodepowers/{node}").get("status", {}))

    @contextmanager
    def agent(self, node: str, of: str = "") -> Iterator[ApiWishes]:
        """The ears of an agent for `node`, with the token of an agent on another one if `of` names it."""
        token = self.folder / f"token-{of or node}"
        token.write_text(self.tokens[of or node], encoding="ascii")
        access = Access(url=self.cluster.url, token_file=token, ca_file=self.cluster.folder / "ca.crt")
        wishes = ApiWishes(
            Reach(access=access, clock=SystemClock(), patience=Patience(most_s=1.0)), node=node, lease_namespace=HOME
        )
        stopping = threading.Event()
        wishes.start(stopping)
        try:
            self.cluster.wait("it has begun", lambda: wishes.heard().begun, SOON_S)
            yield wishes
        finally:
            stopping.set()
            began_s = time.monotonic()
            wishes.join()
            assert time.monotonic() - began_s < 4.0, "a watch did not end when it was told to"


def site_on(cluster: DevCluster, folder: Path, nodes: tuple[str, str]) -> Site:
    """Give the agent its rights, and a token for each node as the kubelet would: bound to a pod there."""
    for name in (HOME, AGENTS):
        cluster.admin.apply(f"/api/v1/namespaces/{name}", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    account = f"/api/v1/namespaces/{AGENTS}/serviceaccounts/{ACCOUNT}"
    cluster.admin.apply(account, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}})
    for one in manifests():
        cluster.admin.apply(path_of(one), one)
    tokens = {}
    for node in nodes:
        container = {"name": "agent", "image": "example.test/agent:1"}
        spec = {
            "nodeName": node,
            "serviceAccountName": ACCOUNT,
            "containers": [container],
            "tolerations": [{"operator": "Exists"}],
        }
        pod = cluster.admin.create(f"/api/v1/namespaces/{AGENTS}/pods", {"metadata": {"name": f"agent-{node}"}, "spec": spec})
        bound = {"kind": "Pod", "apiVersion": "v1", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"boundObjectRef": bound}}
        tokens[node] = cluster.admin.create(f"{account}/token", request)["status"]["token"]
    found = Site(cluster=cluster, folder=folder, nodes=nodes, tokens=tokens)
    for node in nodes:
        found.wish(node)
    with closing(cluster.client_of(tokens[nodes[0]])) as client:
        # Roles and policy are in force a moment after they were made.
        cluster.wait("its rights", lambda: client.get(f"{HEAT}/nodepowers"), SOON_S)
        cluster.wait("the policy", lambda: "node only" in refusal(client, f"{HEAT}/nodepowers/{nodes[1]}/status"), SOON_S)
    return found


def refusal(client: ApiClient, path: str, body: Object | None = None, method: str = "PATCH") -> str:
    """Why a client may not do something; empty when it may."""
    try:
        client.call(method, path, body or {"status": {"lease": "None"}}, content_type="application/merge-patch+json")
    except ApiRefused as error:
        return f"{error.code} {error.message}"
    return ""
