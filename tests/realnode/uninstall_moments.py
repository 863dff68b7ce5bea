"""`helm uninstall` at any moment of an installation's life: no held Job, no cap, nothing but the kinds."""

from __future__ import annotations

import os
import time

from kube_objects import HEAT
from operated import LAB
from real_chart import AGENTS, CHART, HOME, RELEASE, WITHIN_S, Installation, left_of, seconds_of
from real_jobs import CLOCK, RealJob

from scheduler.adapters.devcluster.client import ApiRefused

# By then a quiet machine has a plan, holds and caps; a busy one has less, and is no worse a moment.
LIFE_S = 45.0
UPGRADE_S = 4.0
# Kept by the chart, as its values say.
LEFT = {"PersistentVolumeClaim heat-dispatch-state"}
NOT_FOUND = 404
JOBS = f"/apis/batch/v1/namespaces/{LAB}/jobs"


def policies(found: Installation) -> list[str]:
    """Names of the policies that the cluster has by now; it has none before the first install has brought the kinds."""
    try:
        return [item["metadata"]["name"] for item in found.cluster.admin.items(f"{HEAT}/dispatchpolicies")]
    except ApiRefused as error:
        if error.code != NOT_FOUND:
            raise
        return []


def lives(found: Installation, moment: int, until_s: float) -> list[RealJob]:
    """An installation's life up to an instant of the monotonic clock; Jobs come meanwhile: two to be held, two to be capped."""
    made = []
    for name in policies(found):
        path = f"{HEAT}/dispatchpolicies/{name}"
        found.cluster.admin.patch(path, {"spec": {"mode": "Dispatch"}})
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
    """Jobs of this life end, and so do their pods."""
    names = {job.name for job in made}
    for job in made:
        job.enough()
        found.cluster.admin.delete(f"{JOBS}/{job.name}?propagationPolicy=Background")

    def theirs() -> bool:
        return any(pod["metadata"]["labels"].get("batch.kubernetes.io/job-name") in names for pod in found.pods(LAB))

    found.wait("no pod of theirs", lambda: not theirs())


def uninstalled(found: Installation, moment: int, life_s: float, upgraded_s: float | None = None) -> list[str]:
    """Install, live so long, begin an upgrade where that is wished, break off what helm does, uninstall; returns what stays."""
    command = ("install", RELEASE, str(CHART), "--values", found.values())
    helm, begun_s = found.begun(*command), time.monotonic()
    made = lives(found, moment, begun_s + life_s)
    if upgraded_s is not None and helm.poll() == 0:
        helm.communicate()
        helm = found.begun("upgrade", *command[1:], "--set", f"operator.contact=ops-{moment}@example.org")
        time.sleep(upgraded_s)
    killed = helm.poll() is None
    helm.kill()
    helm.communicate()
    had = {"held": sum(found.held(job.name) for job in made), "capped": min(found.limits_w()) < 700.0}
    uninstalled_s = time.monotonic()
    found.helm("uninstall", RELEASE, "--wait", f"--timeout={WITHIN_S:.0f}s", "--ignore-not-found")
    print(f"moment {moment}: after {life_s:.1f} s, helm {'killed' if killed else 'done'}, {had}", end=" ")
    print(f"-> uninstalled in {seconds_of(uninstalled_s):.1f} s, load {os.getloadavg()[0]:.1f}", flush=True)
    found.wait("no pod of ours", lambda: not found.pods(AGENTS) + found.pods(HOME))
    left = what_stays(found, made)
    clear(found, made)
    return left
