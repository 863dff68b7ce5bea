"""Who holds a GPU, as a real kubelet says it of real pods: while they run, when they end, and after it was killed.

And the whole way of a cap: wished for in the cluster, set by agent and setter, given back when another pod has the GPU.
"""

from __future__ import annotations

import ctypes
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import pytest
import real_agent
from agent_process import running_agent
from agent_site import AGENTS, HOME, NODE_POWERS, Site, site_on
from device_plugin import DevicePlugin
from gpu_machine import Machine
from real_gpus import GPUS, PODS, WITHIN_S, Place, holder
from setter_process import PROMPT, limit_w, running_setter

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.devcluster.build import Toolbox
from scheduler.adapters.devcluster.client import Object
from scheduler.adapters.devcluster.cluster import DevCluster
from scheduler.adapters.devcluster.kwok import GPU
from scheduler.adapters.devcluster.realnode.node import NAME, PATH, RealNode
from scheduler.adapters.gpu.pod_resources import PodResources

NOBODY = 65534
LOOK = """
import sys
from pathlib import Path
from scheduler.adapters.clock import SystemClock
from scheduler.adapters.gpu.pod_resources import PodResources
status = Path("/proc/self/status").read_text().splitlines()
found = PodResources(Path(sys.argv[1]), SystemClock()).look()
print(next(line for line in status if line.startswith("CapEff:")))
print(found.trouble or "nobody holds one" if not found.by_uuid else found.by_uuid)
"""


@pytest.fixture(scope="module")
def place(node_toolbox: Toolbox, untouched: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The node, once the kubelet has taken the plugin."""
    folder = tmp_path_factory.mktemp("gpus")
    with (
        DevCluster(node_toolbox, folder / "c") as cluster,
        RealNode(cluster, gpus=0) as node,
        DevicePlugin(node.kubelet_folder / "device-plugins", GPUS) as plugin,
    ):
        resources = PodResources(node.kubelet_folder / "pod-resources", SystemClock())
        cluster.wait("its GPUs", lambda: cluster.admin.get(PATH)["status"]["allocatable"].get(GPU) == str(len(GPUS)), WITHIN_S)
        yield Place(cluster, node, plugin, resources, folder)
        resources.close()


def test_a_pod_holds_its_gpu_until_it_has_ended_and_then_another_does(place: Place) -> None:
    assert place.held() == {}
    place.run("none", gpus=0)
    place.run("first")
    (uuid,) = place.plugin.given
    assert place.held() == {uuid: holder("first")}
    place.run("second")
    assert place.held() == {uuid: holder("first"), place.plugin.given[-1]: holder("second")}
    assert {uuid, place.plugin.given[-1]} == set(GPUS)
    place.end("first")
    assert place.held() == {place.plugin.given[-1]: holder("second")}
    place.run("third")
    assert place.held()[uuid] == holder("third")
    place.end("second", "third", "none")
    assert place.held() == {}


def test_a_pod_that_has_done_its_work_holds_nothing_though_its_object_stays(place: Place) -> None:
    place.run("both", gpus=2)
    assert place.held() == dict.fromkeys(GPUS, holder("both"))
    place.cluster.admin.patch(f"{PODS}/both", {"spec": {"activeDeadlineSeconds": 1}})
    place.cluster.wait("it has failed", lambda: place.pod("both")["status"]["phase"] == "Failed", WITHIN_S)
    place.cluster.wait("its GPUs are free", lambda: not place.held(), WITHIN_S)
    place.end("both")


def test_a_kubelet_that_was_killed_is_waited_for_and_its_successor_knows_the_same(place: Place) -> None:
    place.run("through", gpus=2)
    place.node.restart_kubelet()
    place.cluster.wait("it answers", lambda: not place.resources.look().trouble, WITHIN_S)
    # For a second it names no pod at all.
    place.cluster.wait("it knows", lambda: place.held() == dict.fromkeys(GPUS, holder("through")), WITHIN_S)
    assert place.pod("through")["status"]["containerStatuses"][0]["restartCount"] == 0
    place.end("through")
    place.run("after")
    assert set(place.held().values()) == {holder("after")}
    place.end("after")


def test_its_socket_is_for_user_id_0_which_needs_no_capability(place: Place) -> None:
    folder = place.node.kubelet_folder / "pod-resources"
    found = (folder.stat(), (folder / "kubelet.sock").stat())
    assert [(one.st_uid, stat.S_IMODE(one.st_mode) & 0o022) for one in found] == [(0, 0), (0, 0)]
    bare = ("setpriv", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", sys.executable)
    asked = subprocess.run([*bare, "-c", LOOK, str(folder)], capture_output=True, text=True, check=False)
    assert (asked.returncode, asked.stdout) == (0, "CapEff:\t0000000000000000\nnobody holds one\n"), asked.stderr
    # One thread opens files as nobody.
    with ThreadPoolExecutor(1, initializer=ctypes.CDLL(None).setfsuid, initargs=(NOBODY,)) as nobody:
        told = nobody.submit(PodResources(folder, SystemClock()).look).result()
    assert told.trouble.endswith("may not be connected to: that takes user id 0, without any capability")


# --- from a wish to a limit, and back


@pytest.fixture(scope="module")
def site(place: Place) -> Site:
    """The cluster with what an agent of this node may do."""
    place.cluster.apply_crds([NODE_POWERS])
    return site_on(place.cluster, place.folder, (NAME, "another"))


def test_a_cap_is_its_pods_and_ends_before_the_next_one_is_capped(
    place: Place, site: Site, machine: Machine, tmp_path: Path
) -> None:
    first = place.run("first", gpus=2)
    second = place.make("second", gpus=2)
    ca, token = place.cluster.folder / "ca.crt", tmp_path / "token"
    token.write_text(site.tokens[NAME], encoding="ascii")
    reach = ("--wishes", "api", "--api-server", place.cluster.url, "--api-token", str(token), "--api-ca", str(ca))
    with running_setter(machine, tmp_path, rules=replace(PROMPT, contact_s=20.0)) as setter:
        of_node = (
            "--node",
            NAME,
            "--lease-namespace",
            HOME,
            "--pod-resources",
            str(place.node.kubelet_folder / "pod-resources"),
        )
        with running_agent(machine, tmp_path, *of_node, *reach, "--setter", str(setter.socket)) as agent:

            def limits(*wanted_w: float) -> None:
                """Wait until the GPUs have these limits."""
                place.cluster.wait(
                    f"limits {wanted_w}", lambda: tuple(limit_w(machine, one) for one in (0, 1)) == wanted_w, WITHIN_S
                )

            site.beat(age_s=3600.0)
            site.wish(NAME, generation=1, leaseSeconds=3600.0, gpus=caps(first, 400.0, 450.0))
            site.beat()
            limits(400.0, 450.0)
            held = site.cluster.wait("it is told", lambda: told(site, first), WITHIN_S)
            assert {uuid: one["enforcedWatts"] for uuid, one in held.items()} == {GPUS[0]: 400.0, GPUS[1]: 450.0}
            # The wish stays as it is; the pod goes, and the next one has its GPUs.
            place.cluster.admin.delete(f"{PODS}/first")
            limits(700.0, 700.0)
            place.cluster.wait("it is told", lambda: [one["condition"] for one in told(site, second).values()] == ["free"] * 2)
            site.wish(NAME, generation=2, leaseSeconds=3600.0, gpus=caps(second, 500.0, 550.0))
            limits(500.0, 550.0)
            place.end("second")
            limits(700.0, 700.0)
            assert "Traceback" not in agent.told() + setter.told()
    # No other limit was ever set, and none of the first pod's after it was gone.
    set_w = [one.limit_w for one in machine.writes() if one.gpu == 0]
    assert set(set_w) == {400.0, 500.0, 700.0}
    assert 400.0 not in set_w[set_w.index(500.0) :]


def caps(pod_uid: str, *watts: float) -> list[dict[str, object]]:
    """Caps of a NodePower."""
    return [{"uuid": uuid, "podUid": pod_uid, "capWatts": one} for uuid, one in zip(GPUS, watts, strict=True)]


def told(site: Site, pod_uid: str) -> dict[str, Object]:
    """GPUs that the status says this pod holds."""
    return {one["uuid"]: one for one in site.status(NAME).get("gpus", []) if one.get("podUid") == pod_uid}


# --- the same by the manifests


def test_the_manifests_agent_caps_is_replaced_without_a_change_and_gives_back(
    place: Place, site: Site, machine: Machine, tmp_path: Path
) -> None:
    admin, wait = place.cluster.admin, place.cluster.wait
    admin.patch(PATH, {"metadata": {"labels": real_agent.LABEL}})
    admin.create(real_agent.RUNTIME_CLASSES, real_agent.runtime_class())
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": real_agent.NAME}, "stringData": {"token": "known"}}
    admin.create(f"/api/v1/namespaces/{AGENTS}/secrets", secret)
    path = f"{real_agent.DAEMON_SETS}/{real_agent.NAME}"

    def limits(*wanted_w: float) -> None:
        """Wait until the GPUs have these limits."""
        wait(f"limits {wanted_w}", lambda: tuple(limit_w(machine, one) for one in (0, 1)) == wanted_w, WITHIN_S)

    def restarted(name: str) -> bool:
        """Whether this container runs again."""
        (agent,) = admin.items(real_agent.PODS)
        states = {one["name"]: one for one in agent["status"].get("containerStatuses", [])}
        return bool(states[name]["restartCount"] and states[name]["ready"])

    with real_agent.door_to(httpx.URL(place.cluster.url).port or 0, place.node.gateway) as door:
        admin.create(real_agent.DAEMON_SETS, real_agent.daemon_set(door, machine, tmp_path / "journal"))
        wait("an agent", lambda: real_agent.ready(admin.get(path)), WITHIN_S)
        pod = place.run("train", gpus=2)
        site.wish(NAME, generation=9, leaseSeconds=3600.0, gpus=caps(pod, 400.0, 450.0))
        site.beat()
        limits(400.0, 450.0)
        # The setter's container is killed as a whole: the one behind it keeps the caps, whoever of the two that is.
        for turn, standby in enumerate((False, True), start=1):
            (agent,) = admin.items(real_agent.PODS)
            assert real_agent.kill_setters(agent["metadata"]["uid"], standby=standby) == 2
            wait("the killed one again", partial(restarted, "standby" if standby else "setter"), WITHIN_S)
            limits(400.0, 450.0)
            assert len(machine.writes()) == 2, turn
        # Another one beside it, which takes over.
        admin.patch(path, {"spec": {"template": {"metadata": {"annotations": {"turn": "second"}}}}})
        wait("its successor", lambda: real_agent.ready(admin.get(path)) and len(admin.items(real_agent.PODS)) == 1, WITHIN_S)
        assert len(machine.writes()) == 2
        (agent,) = admin.items(real_agent.PODS)
        held = real_agent.rights(agent["metadata"]["uid"])
        assert held == {"agent.main": set(), "setter.main": {real_agent.SYS_ADMIN}}
        admin.delete(path)
        limits(700.0, 700.0)
        wait("no agent", lambda: not admin.items(real_agent.PODS), WITHIN_S)
    place.end("train")
