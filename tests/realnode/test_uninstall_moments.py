"""`helm uninstall` at any moment of an installation's life, on a real node: no held Job, no cap, nothing but the kinds.

Two moments, or as many as `HEAT_DISPATCH_UNINSTALLS` says: spread evenly over the life of an installation, from the first
second of `helm install` on (which is killed then, as by somebody who changed his mind); every fourth one is in an upgrade.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gpu_machine import Machine
from kube_objects import HEAT
from operated import LAB
from real_chart import AGENTS, CHART, GPUS, HOME, RELEASE, WITHIN_S, Installation, ground, left_of, seconds_of
from real_jobs import CLOCK, RealJob

from scheduler.adapters.devcluster.build import Toolbox

MOMENTS = int(os.environ.get("HEAT_DISPATCH_UNINSTALLS", "2"))
SEED = int(os.environ.get("HEAT_DISPATCH_UNINSTALLS_SEED", "1"))
# By then a quiet machine has a plan, holds and caps; a busy one has less, and is no worse a moment.
LIFE_S = 45.0
UPGRADE_EVERY = 4
UPGRADE_S = 4.0
# Kept by the chart, as its values say.
LEFT = {"PersistentVolumeClaim heat-dispatch-state"}
JOBS = f"/apis/batch/v1/namespaces/{LAB}/jobs"


@pytest.fixture(scope="module")
def installation(
    node_toolbox: Toolbox, image: Path, library: Path, untouched: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("moments")
    machine = Machine.create(folder, library, gpus=len(GPUS))
    with ground(node_toolbox, image, machine, folder) as found:
        found.helm("install", RELEASE, str(CHART), "--values", found.values(), "--wait", f"--timeout={WITHIN_S:.0f}s")
        # What people state outlives every installation.
        found.state("Observe")
        found.helm("uninstall", RELEASE, "--wait", f"--timeout={WITHIN_S:.0f}s")
        yield found


def lives(found: Installation, moment: int, until_s: float) -> list[RealJob]:
    """An installation's life up to an instant of the monotonic clock; Jobs come meanwhile: two to be held, two to be capped."""
    made = []
    found.cluster.admin.patch(f"{HEAT}/dispatchpolicies/quickstart", {"spec": {"mode": "Dispatch"}})
    for number, of in enumerate(("modest", "deferrable", "modest", "deferrable")):
        folder = found.folder / f"{moment}-{number}"
        made.append(RealJob(name=f"job-{moment}-{number}", class_name=of, script=CLOCK, folder=folder))
        found.submit(made[-1])
        time.sleep(max(0.0, (until_s - time.monotonic()) / (4 - number)))
    return made


def what_stays(found: Installation, made: list[RealJob]) -> list[str]:
    """All that must not be there after an uninstall, in words."""
    held = [job.name for job in made if found.job(job.name)["spec"].get("suspend")]
    capped = [str(limit_w) for limit_w in found.limits_w() if limit_w != 700.0]
    objects = sorted(left_of(found) - LEFT)
    return [f"held: {held}"] * bool(held) + [f"capped: {capped}"] * bool(capped) + [f"left: {objects}"] * bool(objects)


def clear(found: Installation, made: list[RealJob]) -> None:
    """Jobs end, and pods of the installation are gone."""
    for job in made:
        job.enough()
        found.cluster.admin.delete(f"{JOBS}/{job.name}?propagationPolicy=Background")
    found.wait("no pod of ours", lambda: not found.pods(AGENTS) + found.pods(HOME) + found.pods(LAB))


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_nothing_stays_whenever_it_is_uninstalled(installation: Installation, moment: int) -> None:
    drawn = np.random.default_rng((SEED, moment))
    life_s = LIFE_S * (moment + drawn.random()) / MOMENTS
    command = ("install", RELEASE, str(CHART), "--values", installation.values())
    begun_s = time.monotonic()
    helm = installation.begun(*command)
    made = lives(installation, moment, begun_s + life_s)
    if moment % UPGRADE_EVERY == UPGRADE_EVERY - 1 and helm.poll() == 0:
        helm = installation.begun("upgrade", *command[1:], "--set", f"operator.contact=ops-{moment}@example.org")
        time.sleep(UPGRADE_S * drawn.random())
    killed = helm.poll() is None
    helm.kill()
    helm.communicate()
    had = {"held": sum(installation.held(job.name) for job in made), "capped": min(installation.limits_w()) < 700.0}
    uninstalled_s = time.monotonic()
    installation.helm("uninstall", RELEASE, "--wait", f"--timeout={WITHIN_S:.0f}s", "--ignore-not-found")
    print(f"moment {moment}: after {life_s:.1f} s, helm {'killed' if killed else 'done'}, {had}", end=" ")
    print(f"-> uninstalled in {seconds_of(uninstalled_s):.1f} s, load {os.getloadavg()[0]:.1f}")
    installation.wait("no pod of ours", lambda: not installation.pods(AGENTS) + installation.pods(HOME))
    assert what_stays(installation, made) == []
    clear(installation, made)
