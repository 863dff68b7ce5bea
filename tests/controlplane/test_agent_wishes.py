"""The agent's ears and mouth on a real API server, with the rights and the token that an installation gives it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from agent_process import running_agent
from agent_site import (
    ACCOUNT,
    AGENTS,
    HOME,
    LEASE,
    LEASES,
    NODE_POWERS,
    SOON_S,
    USER,
    Site,
    manifests,
    path_of,
    refusal,
    site_on,
)
from gpu_machine import Machine
from kube_objects import HEAT, end_namespace
from kubelet_peer import KubeletPeer, holding
from setter_process import running_setter

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.devcluster.client import Object
from scheduler.adapters.devcluster.cluster import ADMIN, DevCluster
from scheduler.adapters.kubernetes.caps import node_power_writes
from scheduler.domain.capping import CapWish


@pytest.fixture(scope="module")
def site(cluster: DevCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The shared cluster."""
    found = site_on(cluster, tmp_path_factory.mktemp("agents"), ("gpu-a-0", "gpu-a-1"))
    yield found
    for one in reversed(manifests()):
        cluster.admin.delete(path_of(one))
    for node in found.nodes:
        cluster.admin.delete(f"{HEAT}/nodepowers/{node}")
    for name in (HOME, AGENTS):
        end_namespace(cluster, name)


def test_the_agent_hears_wishes_pods_and_signs_of_life(site: Site) -> None:
    node, wait = site.nodes[0], site.cluster.wait
    site.wish(node, generation=4, leaseSeconds=60.0, gpus=[{"uuid": "GPU-1", "podUid": "u-1", "capWatts": 400.0}])
    with site.agent(node) as wishes:
        wait("the wish", lambda: wishes.heard().wish is not None, SOON_S)
        heard = wishes.heard()
        assert heard.wish is not None
        assert heard.wish.gpus == (CapWish(uuid="GPU-1", pod_uid="u-1", cap_w=400.0),)
        assert (heard.wish.generation, heard.wish.lease_s, heard.trouble) == (4, 60.0, "")
        names = {name for _, name in heard.pods}
        assert f"agent-{node}" in names
        assert f"agent-{site.nodes[1]}" not in names
        site.wish(node, generation=5, gpus=[])
        wait("a change", lambda: wishes.heard().wish != heard.wish and wishes.heard().wish, SOON_S)
        pods = f"/api/v1/namespaces/{AGENTS}/pods"
        container = {"name": "train", "image": "example.test/train:1"}
        pod = {"metadata": {"name": "train"}, "spec": {"nodeName": node, "containers": [container]}}
        uid = site.cluster.admin.create(pods, pod)["metadata"]["uid"]
        wait("a pod", lambda: wishes.heard().pods.get((AGENTS, "train")) == uid, SOON_S)
        site.cluster.admin.call("DELETE", f"{pods}/train", {"gracePeriodSeconds": 0})
        wait("no pod", lambda: (AGENTS, "train") not in wishes.heard().pods, SOON_S)


def test_only_a_renewed_lease_is_a_sign_of_life(site: Site) -> None:
    clock, node = SystemClock(), site.nodes[0]
    site.beat(age_s=300.0)
    with site.agent(node) as wishes:
        old_s = wishes.heard().alive_s
        # It was listed: that counts with its age, whatever the lease.
        assert old_s is not None
        assert 299.0 <= clock.monotonic_s() - old_s <= 400.0
        before_s = clock.monotonic_s()
        site.beat()
        site.cluster.wait("a sign of life", lambda: (wishes.heard().alive_s or 0.0) >= before_s, SOON_S)
        alive_s = wishes.heard().alive_s
        site.cluster.admin.patch(LEASE, {"metadata": {"labels": {"looked": "at"}}})
        site.wish(node, generation=6)
        site.cluster.wait("what came after it", lambda: getattr(wishes.heard().wish, "generation", 0) == 6, SOON_S)
        time.sleep(0.5)
        assert wishes.heard().alive_s == alive_s
    with site.agent(node) as again:
        # A new agent keeps what is valid, with its age.
        found_s = again.heard().alive_s
        assert found_s is not None
        assert alive_s is not None
        assert abs(found_s - alive_s) < 60.0
    site.cluster.admin.delete(LEASE)


def test_the_status_is_written_when_it_changes_and_not_again(site: Site) -> None:
    node = site.nodes[0]
    path = f"{HEAT}/nodepowers/{node}"
    ready = {"type": "Ready", "status": "True", "reason": "Ready", "message": ""}
    said: Object = {"lease": "None", "conditions": [ready], "gpus": [{"uuid": "GPU-1", "podUid": "u-1", "minWatts": 200.0}]}
    with site.agent(node) as wishes:
        wishes.report(said)
        site.cluster.wait("a status", lambda: site.status(node).get("gpus") == said["gpus"], SOON_S)
        since = site.status(node)["conditions"][0]["lastTransitionTime"]
        version = site.cluster.admin.get(path)["metadata"]["resourceVersion"]
        wishes.report({**said, "conditions": [dict(ready)]})
        time.sleep(2.5)
        assert site.cluster.admin.get(path)["metadata"]["resourceVersion"] == version
        wishes.report({**said, "gpus": [], "conditions": [{**ready, "message": "still"}], "observedGeneration": 3})
        site.cluster.wait("a change", lambda: not site.status(node)["gpus"], SOON_S)
        found = site.status(node)
        assert (found["observedGeneration"], found["conditions"][0]["observedGeneration"]) == (3, 3)
        assert found["conditions"][0]["lastTransitionTime"] == since
        assert found["conditions"][0]["message"] == "still"
        # Another object of the same name is told at once, and the old one's status is not put upon it.
        site.cluster.admin.delete(path)
        site.wish(node)
        site.cluster.wait("a status of the new one", lambda: site.status(node).get("observedGeneration") == 3, SOON_S)
        assert wishes.status_trouble == ""
    with site.agent(node) as again:
        version = site.cluster.admin.get(path)["metadata"]["resourceVersion"]
        again.report({**said, "gpus": [], "conditions": [{**ready, "message": "still"}], "observedGeneration": 3})
        time.sleep(2.5)
        assert site.cluster.admin.get(path)["metadata"]["resourceVersion"] == version, (
            "an agent that starts anew writes nothing new"
        )


def test_an_agent_writes_the_status_of_its_own_node_and_nothing_else(site: Site) -> None:
    node, other = site.nodes
    with closing(site.cluster.client_of(site.tokens[node])) as own:
        assert not refusal(own, f"{HEAT}/nodepowers/{node}/status")
        said = refusal(own, f"{HEAT}/nodepowers/{other}/status")
        assert said.startswith("403")
        assert f"is written by the agent of that node only; this token is of node {node}" in said
        for path, method in (
            (f"{HEAT}/nodepowers/{node}", "PATCH"),
            (f"{HEAT}/nodepowers/{node}", "DELETE"),
            (f"{HEAT}/nodepowers", "POST"),
            (LEASE, "PATCH"),
            (LEASES, "GET"),
            ("/api/v1/secrets", "GET"),
            (f"/api/v1/namespaces/{AGENTS}/pods/agent-{node}", "DELETE"),
        ):
            assert refusal(own, path, {"spec": {"planId": "mine", "generation": 9}}, method).startswith("403"), (method, path)
    # A token that is bound to no pod names no node, and an administrator is no agent.
    account = f"/api/v1/namespaces/{AGENTS}/serviceaccounts/{ACCOUNT}/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    loose = site.cluster.admin.create(account, request)["status"]["token"]
    with closing(site.cluster.client_of(loose)) as stranger:
        for client in (stranger, site.cluster.admin):
            assert "this token names no node" in refusal(client, f"{HEAT}/nodepowers/{node}/status")


def test_a_token_of_another_node_is_told_as_trouble(site: Site) -> None:
    node, other = site.nodes
    with site.agent(other, of=node) as wishes:
        wishes.report({"lease": "Valid", "conditions": [], "gpus": []})
        said = site.cluster.wait("a refusal", lambda: wishes.status_trouble, SOON_S)
        assert f"this token is of node {node}" in said
        assert site.status(other).get("lease") != "Valid"


def test_a_cap_from_the_cluster_to_the_gpu_and_back(site: Site, machine: Machine, tmp_path: Path) -> None:
    """Agent and setter as processes: what the operator wishes holds on the GPU, and is told where the operator reads it."""
    node, admin, wait = site.nodes[0], site.cluster.admin, site.cluster.wait
    container = {"name": "train", "image": "example.test/train:1"}
    tolerant = {"nodeName": node, "containers": [container], "tolerations": [{"operator": "Exists"}]}
    pods = f"/api/v1/namespaces/{AGENTS}/pods"
    made = {name: admin.create(pods, {"metadata": {"name": name}, "spec": tolerant}) for name in ("train", "other")}
    uids = {name: pod["metadata"]["uid"] for name, pod in made.items()}
    token = tmp_path / "token"
    token.write_text(site.tokens[node], encoding="ascii")
    (tmp_path / "pods").mkdir()
    reach = ("--api-server", site.cluster.url, "--api-token", str(token), "--api-ca", str(site.cluster.folder / "ca.crt"))
    cap = {"uuid": "GPU-0000", "podUid": uids["train"], "capWatts": 400.0}
    site.wish(node, generation=20, leaseSeconds=20.0, gpus=[cap])
    # Its operator was alive, but not lately enough.
    site.beat(age_s=30.0)

    def stands(lease: str, capping: str, watts: float) -> bool:
        """Whether it is so, on the GPU and in the status."""
        told = site.status(node)
        reasons = {one["type"]: one["reason"] for one in told.get("conditions", [])}
        return machine[0].limit_milliwatt == 1000 * watts and (told.get("lease"), reasons.get("Capping")) == (lease, capping)

    with KubeletPeer(tmp_path / "pods") as kubelet, running_setter(machine, tmp_path) as setter:
        kubelet.pods = [holding("train", "GPU-0000", namespace=AGENTS)]
        arguments = ("--node", node, "--wishes", "api", "--lease-namespace", HOME, *reach)
        more = ("--setter", str(setter.socket), "--pod-resources", str(kubelet.folder))
        with running_agent(machine, tmp_path, *arguments, *more) as agent:
            wait("an old sign of life is none", lambda: stands("Expired", "LeaseExpired", 700.0), SOON_S)
            # The operator reads who is there and which limits its GPU takes, and finds its wish as it stands.
            power = admin.get(f"{HEAT}/nodepowers/{node}")
            labelled = {"metadata": {"name": node, "labels": {"heatdispatch.io/caps": "enabled"}}}
            wanted = {(node, uids["train"]): 400.0}
            assert node_power_writes(wanted, [labelled], [power], plan_id="p", lease_s=20.0) == ()
            site.wish(node, generation=21, leaseSeconds=3600.0, gpus=[cap])
            site.beat()
            wait("a cap", lambda: stands("Valid", "Capped", 400.0), SOON_S)
            assert site.status(node)["gpus"][0]["podUid"] == uids["train"]
            kubelet.pods = [holding("other", "GPU-0000", namespace=AGENTS)]
            wait("another pod ends it", lambda: stands("Valid", "OtherPod", 700.0), SOON_S)
            kubelet.pods = [holding("train", "GPU-0000", namespace=AGENTS)]
            wait("a cap again", lambda: stands("Valid", "Capped", 400.0), SOON_S)
            site.wish(node, generation=22)
            wait("it is not wished any more", lambda: stands("None", "NotWished", 700.0), SOON_S)
        assert "Traceback" not in agent.told() + setter.told()
    site.cluster.admin.delete(LEASE)


def test_every_right_is_used(site: Site) -> None:
    """By the tests above, and none beyond: from the audit log, what the API server let agents do."""
    with site.agent(site.nodes[0]) as wishes:
        assert wishes.heard().begun
    granted = {
        (verb, resource)
        for one in manifests()
        if one["kind"] in ("Role", "ClusterRole")
        for rule in one["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert site.cluster.wait("all of them", lambda: granted <= used(site.cluster), SOON_S)


def used(cluster: DevCluster) -> set[tuple[str, str]]:
    """Verbs and resources of the requests of agents that were granted."""
    found = set()
    for line in cluster.audit_log.read_text("utf-8").splitlines():
        record = json.loads(line)
        if record["user"].get("username") == USER and record.get("responseStatus", {}).get("code") == 200:
            target = record["objectRef"]
            found.add((record["verb"], "/".join(target[key] for key in ("resource", "subresource") if key in target)))
    return found


def test_an_api_server_that_goes_and_comes_takes_nothing_with_it(own_cluster: DevCluster, tmp_path: Path) -> None:
    """What was known stands while it is away, the sign of life ages, and afterwards everything is heard again."""
    node, wait, admin = "gpu-0", own_cluster.wait, own_cluster.admin
    own_cluster.apply_crds([NODE_POWERS])
    admin.create("/api/v1/namespaces", {"metadata": {"name": HOME}})
    site = Site(cluster=own_cluster, folder=tmp_path, nodes=(node, node), tokens={node: own_cluster.tokens[ADMIN]})
    site.beat()
    cap = {"uuid": "GPU-1", "podUid": "u-1", "capWatts": 400.0}
    site.wish(node, generation=2, gpus=[cap])
    with site.agent(node) as wishes:
        wait("the wish", lambda: wishes.heard().wish and wishes.heard().alive_s, SOON_S)
        before = wishes.heard()
        own_cluster.kill("kube-apiserver")
        until_s = time.monotonic() + SOON_S
        while not wishes.heard().trouble and time.monotonic() < until_s:
            time.sleep(0.05)
        away = wishes.heard()
        assert away.trouble
        assert (away.wish, away.alive_s, away.pods) == (before.wish, before.alive_s, before.pods)
        wishes.report({"lease": "Valid", "conditions": [], "gpus": []})
        own_cluster.restart("kube-apiserver")
        site.wish(node, generation=3, gpus=[])
        wait("the next wish", lambda: getattr(wishes.heard().wish, "generation", 0) == 3, SOON_S)
        after_s = SystemClock().monotonic_s()
        site.beat()
        wait("the next sign of life", lambda: (wishes.heard().alive_s or 0.0) >= after_s, SOON_S)
        wait("no trouble", lambda: not wishes.heard().trouble, SOON_S)
        wait("the status that could not be written", lambda: site.status(node).get("lease") == "Valid", SOON_S)
