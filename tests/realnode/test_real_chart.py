"""The chart installed by Helm on a real node, with pods from the image: from `helm install` to `helm uninstall`, one story.

The tests of this file follow each other. The API server is reached at the address of its Service, as in every cluster; what
brings it there is no kube-proxy (`realnode/services.py`). The driver's library is a pretended one, and what brings it into the
containers a pretended runtime of NVIDIA. The volume is a folder of the node. Nothing else differs from a user's cluster.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from docs_shell import ASKED, FORWARD, GOING, INSTALL, LINES, ON_CHART, ROLLBACK, UPGRADE, Made, fitting
from gpu_machine import Machine
from kube_objects import HEAT
from link_broker import free_port
from real_chart import (
    AGENTS,
    CHART,
    GPUS,
    HOME,
    RELEASE,
    REST,
    TOKEN,
    WITHIN_S,
    Installation,
    ground,
    left_of,
    plant_sim,
    seconds_of,
)
from real_jobs import CLOCK, TRAINING, RealJob
from uninstall_moments import LEFT, uninstalled

from scheduler.adapters.devcluster.build import Toolbox
from scheduler.adapters.kubernetes.runtime.badge import LABEL as LEADS

WAITS = f"--wait --timeout={WITHIN_S:.0f}s"


@pytest.fixture(scope="module")
def installation(
    node_toolbox: Toolbox, image: Path, library: Path, untouched: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("chart")
    machine = Machine.create(folder, library, gpus=4)
    with ground(node_toolbox, image, machine, folder) as found:
        yield found


@pytest.fixture(scope="module")
def jobs(installation: Installation) -> dict[str, RealJob]:
    """By name; each runs until it is told that it is enough, but those that train."""
    shapes: dict[str, tuple[str | None, str, tuple[int, ...]]] = {
        "clock": (None, CLOCK, (0,)),
        "slow": ("modest", CLOCK, (0,)),
        "waiting": ("deferrable", TRAINING, (3,)),
        "modest": ("modest", CLOCK, (0,)),
        "left": ("deferrable", CLOCK, (0,)),
        "later": ("deferrable", CLOCK, (0,)),
    }
    return {
        name: RealJob(name=name, class_name=of, script=script, folder=installation.folder / name, units=units)
        for name, (of, script, units) in shapes.items()
    }


def test_from_install_to_the_first_plan(installation: Installation) -> None:
    begun_s = time.monotonic()
    installation.typed(INSTALL, Made(replaced={"registry.example.org": "localhost"}, added=f"--values values.yaml {WAITS}"))
    print(f"installed, every pod ready, after {seconds_of(begun_s):.1f} s")
    installation.state("Observe")
    installation.wait("a first plan", lambda: installation.plan().get("planId"))
    print(f"first plan after {seconds_of(begun_s):.1f} s")
    for namespace in (HOME, AGENTS):
        for pod in installation.pods(namespace):
            assert {one["restartCount"] for one in pod["status"]["containerStatuses"]} == {0}, installation.told()


def test_helm_test_finds_it_well_and_leaves_nothing(installation: Installation) -> None:
    assert "Succeeded" in installation.typed(ASKED, Made(added=f"--timeout={WITHIN_S:.0f}s"))
    assert [one for one in installation.pods() if one["metadata"]["name"].endswith("-test")] == []


def test_the_agent_tells_of_the_gpus_that_the_driver_has(installation: Installation) -> None:
    def gpus() -> list[Any]:
        (power,) = installation.cluster.admin.items(f"{HEAT}/nodepowers") or [{}]
        return list(power.get("status", {}).get("gpus", []))

    installation.wait("GPUs", lambda: len(gpus()) == len(GPUS))
    assert {(one["uuid"], one["minWatts"], one["maxWatts"]) for one in gpus()} == {(name, 200.0, 700.0) for name in GPUS}


@pytest.mark.parametrize("name", ON_CHART)
def test_a_line_of_the_pages_does_what_it_says(installation: Installation, name: str) -> None:
    assert ON_CHART[name].says in installation.typed(name, ON_CHART[name])


def test_the_live_page_is_seen_through_a_forwarded_port(installation: Installation) -> None:
    port = free_port()
    line = fitting(LINES[FORWARD], Made(replaced={"operator 8090": f"operator {port}:8090"}))
    with subprocess.Popen(line.split(), env=os.environ | installation.owners(), stdout=subprocess.PIPE, text=True) as forward:
        try:
            assert forward.stdout is not None
            assert "Forwarding from" in forward.stdout.readline()
            assert "quickstart" in httpx.get(f"http://127.0.0.1:{port}", timeout=30.0).text
        finally:
            forward.terminate()


def test_jobs_are_held_capped_let_go_and_finished(installation: Installation, jobs: dict[str, RealJob]) -> None:
    installation.mode("Dispatch")
    # The API server takes a moment too, to see that there is a policy that dispatches.
    installation.wait("new Jobs are held", lambda: installation.submit(jobs["later"], dry=True)["spec"].get("suspend"))
    begun_s = time.monotonic()
    for name in ("clock", "slow", "waiting"):
        installation.submit(jobs[name])
    installation.wait("the insulated one runs", lambda: installation.running("clock"))
    installation.wait("a hold", lambda: installation.held("waiting"))
    print(f"held after {seconds_of(begun_s):.1f} s")
    installation.wait("a cap", lambda: min(installation.limits_w()) < 700.0)
    print(f"capped after {seconds_of(begun_s):.1f} s")
    # One GPU, that of the Job that bears it.
    assert sorted(installation.limits_w())[1:] == [700.0] * (len(GPUS) - 1)
    assert installation.running("slow")
    assert jobs["waiting"].life() == []
    installation.price(dear=False)
    installation.wait("it is let go, and done", lambda: installation.complete("waiting"))
    for name in ("clock", "slow"):
        jobs[name].enough()
        installation.wait(f"{name} complete", partial(installation.complete, name))
    installation.wait("the cap given back", lambda: installation.limits_w() == [700.0] * len(GPUS))
    assert [what for what, _ in jobs["clock"].life()] == ["began", "finished"]


def test_a_plant_outside_the_cluster_gets_the_schedule(installation: Installation, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN, encoding="ascii")
    address = installation.operator()["status"]["podIP"]
    told = plant_sim(f"http://{address}:{REST}", token, seconds=15)
    assert (told["schedules"] >= 1, told["acknowledged"] >= 1) == (True, True)


def test_an_upgrade_changes_what_it_says_and_a_rollback_takes_it_back(installation: Installation) -> None:
    def contact() -> list[str]:
        return [one for one in installation.operator()["spec"]["containers"][0]["args"] if one.startswith("--contact")]

    def settled(revision: str) -> None:
        installation.wait("a leader", lambda: installation.operator()["metadata"]["labels"].get(LEADS) == "true")
        assert revision in installation.helm("status", RELEASE, "--output=json").stdout

    agent = installation.pods(AGENTS)[0]["metadata"]["uid"]
    ledger = (installation.folder / "volume" / "ledger.db").stat().st_ino
    installation.typed(UPGRADE, Made(added=f"--set operator.contact=ops@example.org {WAITS}"))
    assert contact() == ["--contact=ops@example.org"]
    settled('"version":2')
    installation.typed(ROLLBACK, Made(added=WAITS))
    assert contact() == []
    settled('"version":3')
    # What is on the volume has outlived the pods, and the agents were left alone.
    assert (installation.folder / "volume" / "ledger.db").stat().st_ino == ledger
    assert [one["metadata"]["uid"] for one in installation.pods(AGENTS)] == [agent]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [("operator.replica=1", "replica"), ("operator.replicas=2", "/operator/replicas"), ("agent.backend=amd", "/agent/backend")],
)
def test_a_wrong_value_is_refused_by_name_and_changes_nothing(installation: Installation, wrong: str, named: str) -> None:
    before = installation.operator()["metadata"]["uid"]
    done = installation.helm("upgrade", RELEASE, str(CHART), "--values", installation.values(), "--set", wrong, check=False)
    assert done.returncode != 0
    assert named in done.stderr
    assert installation.operator()["metadata"]["uid"] == before


def hook_says(installation: Installation) -> str:
    """What the pod of the uninstall has told, by the line of the page; nothing while there is none."""
    try:
        return installation.typed(GOING, Made(added=f"-n {HOME}"))
    except AssertionError:
        return ""


def test_nothing_of_it_stays_but_the_kinds_and_what_was_written(installation: Installation, jobs: dict[str, RealJob]) -> None:
    installation.price(dear=True)
    for name in ("modest", "left"):
        installation.submit(jobs[name])
    installation.wait("a hold", lambda: installation.held("left"))
    installation.wait("a cap", lambda: min(installation.limits_w()) < 700.0)
    begun_s = time.monotonic()
    with installation.begun("uninstall", RELEASE, "--wait", f"--timeout={WITHIN_S:.0f}s") as running:
        installation.wait("its hook says what it does", lambda: "new jobs are held no more" in hook_says(installation))
        out, errors = running.communicate(timeout=2 * WITHIN_S)
    assert running.returncode == 0, out + errors
    print(f"uninstalled after {seconds_of(begun_s):.1f} s")
    assert installation.limits_w() == [700.0] * len(GPUS)
    assert not installation.job("left")["spec"].get("suspend")
    assert jobs["modest"].life()[0][0] == "began"
    installation.wait("no pod of ours", lambda: not installation.pods(AGENTS) + installation.pods(HOME))
    assert left_of(installation) <= LEFT
    # A Job that comes now is nobody's.
    assert not installation.submit(jobs["later"], dry=True)["spec"].get("suspend")


def test_nothing_stays_of_an_installation_that_was_broken_off(installation: Installation) -> None:
    """`helm install` is killed at its work; whoever changes his mind uninstalls what there is of it by then."""
    assert uninstalled(installation, moment=0, life_s=4.0) == []
