"""A week of everything that people, nodes and pods do to a cluster, drawn by chance and pressed into a minute.

Every deed is told, with the seed that made it: the same seed draws the same deeds. What comes of them is the cluster's, and
depends on who is faster.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from kube_objects import HEAT, job
from operated import Operated, dear_now, now_utc

from scheduler.adapters.devcluster.client import ApiRefused, Object
from scheduler.adapters.devcluster.kwok import node

OPEN, LATER, SHUT = "week-open", "week-later", "week-shut"
NAMESPACES: Mapping[str, Mapping[str, str]] = {
    OPEN: {"heatdispatch.io/dispatch": "enabled"},
    LATER: {"heatdispatch.io/dispatch": "enabled", "heatdispatch.io/class": "week-later"},
    SHUT: {},
}
CLASSES: Mapping[str, Object] = {
    "week-later": {"flexibility": "deferrable", "maxDelay": "24h", "waitingEurPerGpuHour": 0.002},
    "week-soon": {"flexibility": "deferrable", "maxDelay": "12s", "waitingEurPerGpuHour": 0.002},
    "week-stops": {
        "flexibility": "preemptible",
        "maxDelay": "12h",
        "minRuntime": "4s",
        "maxPreemptions": 2,
        "waitingEurPerGpuHour": 0.001,
    },
    "week-never": {"flexibility": "insulated"},
}
FLEXIBLE = ("week-later", "week-soon", "week-stops")
NODES, GPUS = 5, 8
# Deeds of a second, on average.
PACE = 4.0


@dataclass
class Made:
    """A Job that the week made. touched: somebody laid a hand on it, its pods, or the nodes they may have been on."""

    name: str
    namespace: str
    class_name: str | None
    uid: str
    touched: bool = False


@dataclass
class Week:
    """Draws deeds and does them."""

    world: Operated
    seed: int
    jobs: list[Made] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)
    number: int = 0

    def __post_init__(self) -> None:
        """Begin with the seed."""
        self.chance = np.random.default_rng(self.seed)
        self.admin = self.world.cluster.admin
        self.away: set[str] = set()

    def prepare(self) -> None:
        """Namespaces and classes."""
        for name, labels in NAMESPACES.items():
            self.admin.apply(
                f"/api/v1/namespaces/{name}",
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(labels)}},
            )
        for name, spec in CLASSES.items():
            self.admin.apply(
                f"{HEAT}/workloadclasses/{name}",
                {"apiVersion": "heatdispatch.io/v1alpha1", "kind": "WorkloadClass", "metadata": {"name": name}, "spec": spec},
            )

    def live(self, seconds: float, deeds: Mapping[str, float] | None = None) -> None:
        """Do deeds for so long.

        Args:
            seconds: of the machine's clock.
            deeds: how likely each is; by default `DEEDS`.
        """
        likely = DEEDS if deeds is None else deeds
        names, weights = list(likely), np.array(list(likely.values()), dtype=float)
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self.do(str(self.chance.choice(names, p=weights / weights.sum())))
            time.sleep(min(1.0, float(self.chance.exponential(1.0 / PACE))))

    def do(self, deed: str) -> None:
        """Do one deed; what is gone already, or was changed meanwhile, is somebody else's luck."""
        doer: Callable[[], str] = getattr(self, deed)
        try:
            said = doer()
            self.done[deed] = self.done.get(deed, 0) + 1
        except ApiRefused as error:
            said = f"refused: {error.code} {error.reason}"
        print(f"{now_utc():%H:%M:%S.%f} {deed}: {said}")

    # Drawing.

    def one_of(self, found: Sequence[Any]) -> Any:
        """One of some things."""
        return found[int(self.chance.integers(len(found)))]

    def whole(self, least: int, most: int) -> int:
        """A number between two, both included."""
        return int(self.chance.integers(least, most + 1))

    def some_job(self) -> Made:
        """A Job that was made not long ago; touched from now on."""
        if not self.jobs:
            raise ApiRefused(404, {"reason": "NoJobYet"}, {})
        found: Made = self.one_of(self.jobs[-25:])
        found.touched = True
        return found

    def path(self, made: Made) -> str:
        """Where a Job is."""
        return f"/apis/batch/v1/namespaces/{made.namespace}/jobs/{made.name}"

    # People and their jobs.

    def make(self, class_name: str | None, **more: Any) -> str:
        """Create one Job."""
        self.number += 1
        namespace = more.pop("namespace", None) or self.one_of((OPEN, OPEN, OPEN, LATER, SHUT))
        notes, owners, spec = more.pop("notes", {}), more.pop("owners", []), more.pop("spec", {})
        shape = {"gpus": self.one_of((1, 2, 4, 8)), "runs": f"{self.whole(2, 15)}s", "suspend": False, **more}
        labels = {} if class_name is None else {"heatdispatch.io/class": class_name}
        made = job(f"week-{self.number}", labels=labels, **shape)
        hours = {"heatdispatch.io/expected-duration": f"{self.whole(1, 4)}h"}
        made["metadata"] |= {"annotations": {**hours, **notes}, "ownerReferences": owners}
        made["spec"] |= {"backoffLimit": 3, "podReplacementPolicy": "Failed", **spec}
        answer = self.admin.create(f"/apis/batch/v1/namespaces/{namespace}/jobs", made)
        self.jobs.append(Made(made["metadata"]["name"], namespace, class_name, answer["metadata"]["uid"]))
        return f"{namespace}/{made['metadata']['name']} {class_name}, {shape['gpus']} GPUs, {shape['runs']} {notes or ''}"

    def make_insulated(self) -> str:
        """A Job without a class, of an insulated one, or of one that is not there."""
        return self.make(self.one_of((None, None, "week-never", "typo")), namespace=self.one_of((OPEN, SHUT)))

    def make_flexible(self) -> str:
        """A Job that may be held."""
        return self.make(self.one_of(FLEXIBLE))

    def make_stoppable(self) -> str:
        """A long Job that may be stopped."""
        return self.make("week-stops", namespace=OPEN, runs=f"{self.whole(20, 60)}s")

    def make_indexed(self) -> str:
        """A Job of several indexes, of which some are done when it is stopped."""
        spec = {"completionMode": "Indexed", "completions": 4, "parallelism": 2}
        return self.make(self.one_of(("week-stops", "week-later")), spec=spec, gpus=2)

    def make_gang(self) -> str:
        """A Job that needs several nodes at once; at times more than there are."""
        return self.make(self.one_of(FLEXIBLE), pods=self.one_of((2, 3, 4, 7)), gpus=8)

    def make_malformed(self) -> str:
        """A Job whose owner wrote something that nobody can read."""
        bad = self.one_of(
            ({"deadline": "tomorrow"}, {"deadline": "2001-01-01T00:00:00Z"}, {"expected-duration": "long"}, {"start": "soon"})
        )
        return self.make(self.one_of(FLEXIBLE), notes={f"heatdispatch.io/{key}": value for key, value in bad.items()})

    def make_due(self) -> str:
        """A Job with a deadline."""
        deadline = f"{now_utc():%Y}-12-31T23:59:59Z"
        return self.make(self.one_of(FLEXIBLE), notes={"heatdispatch.io/deadline": deadline})

    def make_own(self) -> str:
        """A Job that its owner creates suspended, or hands over so."""
        handed = {"heatdispatch.io/start": "planned"} if self.whole(0, 1) else {}
        return self.make(self.one_of(FLEXIBLE), suspend=True, notes=handed)

    def make_controlled(self) -> str:
        """A Job of another controller, which may allow holding it."""
        owner = {
            "apiVersion": "example.test/v1",
            "kind": "Workflow",
            "name": "w",
            "uid": f"w-{self.number}",
            "controller": True,
        }
        allowed = {"heatdispatch.io/allow-owned": "true"} if self.whole(0, 1) else {}
        # Nobody knows its owner, and the collector of garbage asks for it: it may go at any time.
        said = self.make(self.one_of(FLEXIBLE), owners=[owner], notes=allowed)
        self.jobs[-1].touched = True
        return said

    def make_cron(self) -> str:
        """A CronJob of every minute."""
        self.number += 1
        name = f"cron-{self.number}"
        template = job(name, gpus=1, suspend=False, runs="5s", labels={"heatdispatch.io/class": self.one_of(FLEXIBLE)})
        spec = {
            "schedule": "* * * * *",
            "concurrencyPolicy": self.one_of(("Allow", "Forbid", "Replace")),
            "jobTemplate": {"metadata": {"labels": template["metadata"]["labels"]}, "spec": template["spec"]},
        }
        self.admin.create(
            f"/apis/batch/v1/namespaces/{OPEN}/cronjobs",
            {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": spec},
        )
        return f"{name} {spec['concurrencyPolicy']}"

    def delete_job(self) -> str:
        """A Job goes."""
        made = self.some_job()
        self.admin.delete(self.path(made), propagation=self.one_of(("Background", "Foreground")))
        return made.name

    def scale(self) -> str:
        """More or fewer pods at a time."""
        made, pods = self.some_job(), self.whole(0, 3)
        self.admin.patch(self.path(made), {"spec": {"parallelism": pods}})
        return f"{made.name} to {pods}"

    def edit_suspend(self) -> str:
        """Its owner's own hand on the lever."""
        made, suspend = self.some_job(), bool(self.whole(0, 1))
        self.admin.patch(self.path(made), {"spec": {"suspend": suspend}})
        return f"{made.name} to {suspend}"

    def edit_twice(self) -> str:
        """Off and on again before anybody may have looked."""
        made = self.some_job()
        for suspend in (False, True):
            self.admin.patch(self.path(made), {"spec": {"suspend": suspend}})
        return made.name

    def relabel(self) -> str:
        """Another class, an unknown one, or none."""
        made, class_name = self.some_job(), self.one_of((*FLEXIBLE, "week-never", "typo", None))
        self.admin.patch(self.path(made), {"metadata": {"labels": {"heatdispatch.io/class": class_name}}})
        return f"{made.name} to {class_name}"

    def scribble(self) -> str:
        """Somebody writes over our marks."""
        made = self.some_job()
        key = self.one_of(("hold-until", "held-by", "held-since", "stops", "plan", "released", "deadline"))
        value = self.one_of(("nonsense", None, "2999-01-01T00:00:00Z", "7"))
        self.admin.patch(self.path(made), {"metadata": {"annotations": {f"heatdispatch.io/{key}": value}}})
        return f"{made.name} {key} to {value}"

    # Pods and nodes.

    def lose_pod(self) -> str:
        """A pod is deleted under its Job."""
        pods = self.admin.items(f"/api/v1/namespaces/{OPEN}/pods?limit=200")
        if not pods:
            return "there is none"
        pod = self.one_of(pods)
        for made in self.jobs:
            made.touched |= pod["metadata"].get("labels", {}).get("batch.kubernetes.io/job-name") == made.name
        self.admin.delete(f"/api/v1/namespaces/{OPEN}/pods/{pod['metadata']['name']}")
        return str(pod["metadata"]["name"])

    def cordon(self) -> str:
        """A node takes no more pods, or takes them again."""
        name, closed = self.one_of(self.world_nodes()), bool(self.whole(0, 2) == 0)
        self.admin.patch(f"/api/v1/nodes/{name}", {"spec": {"unschedulable": closed}})
        return f"{name} {'closed' if closed else 'open'}"

    def move_node(self) -> str:
        """A node goes with its pods, or one that went comes back."""
        if self.away and (len(self.away) > 1 or self.whole(0, 1)):
            name = self.away.pop()
            self.admin.create("/api/v1/nodes", node(name, GPUS, {"heatdispatch.io/plug": "loop"}))
            return f"{name} comes"
        name = self.one_of(self.world_nodes())
        for made in self.jobs:
            made.touched = True
        self.admin.delete(f"/api/v1/nodes/{name}")
        self.away.add(name)
        return f"{name} goes"

    def world_nodes(self) -> list[str]:
        """Nodes that are there."""
        return [name for name in (f"gpu-{number}" for number in range(NODES)) if name not in self.away]

    # Those who look after it all.

    def open_or_shut(self) -> str:
        """A namespace begins or ceases to take part."""
        name, value = self.one_of((OPEN, SHUT)), self.one_of(("enabled", None))
        self.admin.patch(f"/api/v1/namespaces/{name}", {"metadata": {"labels": {"heatdispatch.io/dispatch": value}}})
        return f"{name} {value}"

    def default_class(self) -> str:
        """A namespace gives its jobs a class, or takes it away."""
        value = self.one_of((*FLEXIBLE, "week-never", "typo", None))
        for made in self.jobs:
            made.touched |= made.namespace == LATER
        self.admin.patch(f"/api/v1/namespaces/{LATER}", {"metadata": {"labels": {"heatdispatch.io/class": value}}})
        return f"{LATER} {value}"

    def change_mode(self) -> str:
        """Dispatch more often than not."""
        mode = self.one_of(("Dispatch", "Dispatch", "Dispatch", "Observe", "Advise"))
        self.world.policy(mode=mode)
        return str(mode)

    def change_policy(self) -> str:
        """Another longest hold."""
        longest = self.one_of(("10s", "30m", "72h", "72h"))
        self.world.policy(queue={"maxHold": longest})
        return f"maxHold {longest}"

    def change_class(self) -> str:
        """A class may wait longer, or less."""
        name, delay = self.one_of(FLEXIBLE), self.one_of(("8s", "1h", "24h"))
        self.admin.patch(f"{HEAT}/workloadclasses/{name}", {"spec": {"maxDelay": delay}})
        return f"{name} {delay}"

    def change_prices(self) -> str:
        """Power is dear now, or will be later."""
        hours = self.one_of((0, 3, 3, 12))
        self.admin.patch(f"{HEAT}/sites/quickstart", {"spec": {"electricity": {"bands": dear_now(hours)}}})
        return f"dear for {hours} h"

    def lose_policy(self) -> str:
        """The policy goes and comes back."""
        path = f"{HEAT}/dispatchpolicies/quickstart"
        found = self.admin.get(path)
        self.admin.delete(path)
        time.sleep(float(self.chance.uniform(0.0, 2.0)))
        keep = {key: found[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": {"name": "quickstart"}}
        self.admin.create(path.rpartition("/")[0], keep)
        return "gone and back"

    def change_operator(self) -> str:
        """The operator is killed or stopped, and another one takes over."""
        for replica in self.world.replicas:
            if replica.process.poll() is None:
                if self.whole(0, 1):
                    replica.process.kill()
                else:
                    replica.process.terminate()
        self.world.replica()
        return f"replica-{len(self.world.replicas) - 1} comes"

    def settle(self) -> None:
        """Everything back as it was, so that what is held can be seen to end."""
        for name in sorted(self.away):
            self.admin.create("/api/v1/nodes", node(name, GPUS, {"heatdispatch.io/plug": "loop"}))
        self.away.clear()
        for name in self.world_nodes():
            self.admin.patch(f"/api/v1/nodes/{name}", {"spec": {"unschedulable": False}})
        for found in self.admin.items(f"/apis/batch/v1/namespaces/{OPEN}/cronjobs"):
            self.admin.delete(f"/apis/batch/v1/namespaces/{OPEN}/cronjobs/{found['metadata']['name']}")


DEEDS: Mapping[str, float] = {
    "make_insulated": 14,
    "make_flexible": 16,
    "make_stoppable": 8,
    "make_indexed": 5,
    "make_gang": 5,
    "make_malformed": 4,
    "make_due": 2,
    "make_own": 4,
    "make_controlled": 2,
    "make_cron": 0.7,
    "delete_job": 5,
    "scale": 3,
    "edit_suspend": 4,
    "edit_twice": 1,
    "relabel": 4,
    "scribble": 3,
    "lose_pod": 3,
    "cordon": 3,
    "move_node": 0.7,
    "open_or_shut": 2,
    "default_class": 1.5,
    "change_mode": 2,
    "change_policy": 1.5,
    "change_class": 1.5,
    "change_prices": 4,
    "lose_policy": 0.5,
    "change_operator": 0.3,
}
