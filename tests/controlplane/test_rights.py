"""Every right of manifests/rbac is needed: the operator used it on a real API server, and without it that request is refused.

The finest grain is taken away in turn: one verb of one resource of one rule.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pytest
import yaml
from kube_objects import HEAT, running_pods
from operated import HOME, LAB, OPERATOR, RBAC, Operated, dear_now
from queued_world import ALONE, price, queued, switched_off
from rbac_rights import Right, allowed, bound, rights_of, without

from scheduler.adapters.devcluster.client import Object

TURN_S = 90.0
TOLD = ("events", "patch")
REFUSED = (401, 403)
# Nobody listens there; without its token nobody is asked either.
TOKENED: dict[str, Any] = {
    "provider": "entsoe",
    "options": {"area": "DK2", "url": "https://127.0.0.1:9"},
    "secretRef": {"name": "heat-dispatch-signals"},
}
MODEST: dict[str, Any] = {
    "flexibility": "deferrable",
    "maxDelay": "10s",
    "maxSlowdown": 0.4,
    "waitingEurPerGpuHour": 0.002,
    "latenessEurPerGpuHour": 0.01,
    "valueEurPerGpuHour": 0.01,
}


def roles() -> list[Object]:
    """The roles of the manifest."""
    return [obj for obj in yaml.safe_load_all(RBAC.read_text("utf-8")) if obj["kind"] in ("Role", "ClusterRole")]


RIGHTS = sorted(right for role in roles() for right in rights_of(role))


def used(world: Operated) -> set[Right]:
    """What the operator was allowed to do, from the audit log; a watch counts from its first answer on.

    "Not found" and "conflict" are said only to those who may ask.
    A server-side apply that made its object is asked as a patch, and needs the right to create: it answers 201.
    """
    found = set()
    for line in world.cluster.audit_log.read_text("utf-8").splitlines():
        record = json.loads(line)
        code = record.get("responseStatus", {}).get("code", 0)
        if record["user"].get("username") == OPERATOR and "objectRef" in record and code not in REFUSED:
            found |= set(_used(record, made=code == 201))
    return found


def _used(record: Mapping[str, Any], *, made: bool) -> Iterator[Right]:
    """The rights behind one request, in every form in which a role may grant them."""
    target = record["objectRef"]
    resource = target["resource"] + (f"/{target['subresource']}" if "subresource" in target else "")
    verbs = {record["verb"]} | ({"create"} if made and record["verb"] == "patch" else set())
    for verb in verbs:
        for namespace in ("", target.get("namespace", "")):
            for name in ("", target.get("name", "")):
                yield Right(verb, resource, target.get("apiGroup", ""), namespace, name)


@pytest.fixture(scope="module")
def lived(governed: Operated) -> Operated:
    """An operator that has done everything that it ever does: hold, tell, tell anew, place, cap, answer Kueue, stand by."""
    cluster = governed.cluster
    other = governed.replica("--namespace", "heat-too")
    # One that waits takes a badge off that nobody wears.
    governed.replica("--pod", "replica")
    kind = {"apiVersion": "heatdispatch.io/v1alpha1", "kind": "WorkloadClass", "metadata": {"name": "modest"}}
    cluster.admin.apply(f"{HEAT}/workloadclasses/modest", {**kind, "spec": MODEST})
    for number in range(4):
        cluster.admin.patch(f"/api/v1/nodes/{ALONE}-{number}", {"metadata": {"labels": {"heatdispatch.io/caps": "enabled"}}})
    price(governed, dear=True)
    queued(governed, "rights-queued", "checked")
    governed.submit("rights-held", gpus=1)
    governed.submit("rights-slow", "modest", gpus=1, runs="600s", selector={"heatdispatch.io/plug": ALONE})
    pod = cluster.wait("a pod", lambda: running_pods(cluster, LAB, "rights-slow"), TURN_S)[0]
    cluster.wait("holds", lambda: governed.held("rights-held") and switched_off(governed, "rights-queued"), TURN_S)
    node = f"{HEAT}/nodepowers/{pod['spec']['nodeName']}"
    cluster.wait("a NodePower", lambda: cluster.admin.get(node), TURN_S)
    seen = {"uuid": "GPU-0", "podUid": pod["metadata"]["uid"], "minWatts": 200.0, "maxWatts": 700.0}
    cluster.admin.patch(f"{node}/status", {"status": {"gpus": [seen]}})
    # A class allows less: what is held is told anew until when. Power is dear for longer: what runs is capped.
    cluster.admin.patch(f"{HEAT}/workloadclasses/deferrable", {"spec": {"maxDelay": "20h"}})
    cluster.admin.patch(f"{HEAT}/sites/quickstart", {"spec": {"electricity": {"bands": dear_now(5)}}})
    cluster.wait("a cap", lambda: cluster.admin.get(node)["spec"].get("gpus"), TURN_S)
    cluster.wait("an Event told anew", lambda: any((one.resource, one.verb) == TOLD for one in governed.written()), TURN_S)
    governed.policy(sources={"price": [TOKENED]})
    caps = f"/apis/coordination.k8s.io/v1/namespaces/{HOME}/leases/heat-dispatch-caps"
    first = cluster.wait("a beat", lambda: cluster.admin.get(caps)["spec"]["renewTime"], TURN_S)
    cluster.wait("another one", lambda: cluster.admin.get(caps)["spec"]["renewTime"] != first, TURN_S)
    cluster.wait("its word", lambda: "this one only observes" in other.told(), TURN_S)
    badge = Right("patch", "pods", "", HOME)
    cluster.wait("a badge taken off", lambda: badge in used(governed), TURN_S)
    cluster.wait("a secret looked for", lambda: any(one.resource == "secrets" for one in used(governed)), TURN_S)
    heard = "another installation is in this cluster"
    cluster.wait("the leader's word", lambda: any(heard in one.told() for one in governed.replicas), TURN_S)
    return governed


@pytest.mark.parametrize("right", RIGHTS, ids=str)
def test_the_operator_uses_the_right(lived: Operated, right: Right, used_rights: set[Right]) -> None:
    assert right in used_rights


@pytest.fixture(scope="module")
def used_rights(lived: Operated) -> set[Right]:
    """What it used in all of its life."""
    return used(lived)


def test_without_it_the_very_request_is_refused(lived: Operated) -> None:
    """Each user has everything but one right; what else the same role grants him proves that it is in force."""
    cluster = lived.cluster
    for number, right in enumerate(RIGHTS):
        for place, role in enumerate(roles()):
            bound(cluster, without(role, right, f"without-{number}-{place}"), f"without-{number}")
    granted = [rights_of(role) for role in roles()]
    for number, right in enumerate(RIGHTS):
        user = f"without-{number}"
        (others,) = [[one for one in rights if one != right] for rights in granted if right in rights]
        # A role of one right has nothing left by which it could prove that it is in force.
        if others:
            cluster.wait("its roles", partial(allowed, cluster, user, others[0]))
        assert not allowed(cluster, user, right), f"{right} is granted twice"
        assert allowed(cluster, OPERATOR, right)
