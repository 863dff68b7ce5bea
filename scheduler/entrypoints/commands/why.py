"""`kubectl heatdispatch why` and `status`: what is done with one job, and with all of them, read from the cluster alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.kubernetes.jobs import JobView
from scheduler.adapters.kubernetes.objects import at, controller_of, name_of, namespace_of, text
from scheduler.adapters.kubernetes.operator.reconcile import Desk
from scheduler.adapters.kubernetes.operator.stores import Stores
from scheduler.adapters.kubernetes.runtime.client import KubeClient
from scheduler.adapters.kubernetes.runtime.connection import Connection, configuration
from scheduler.adapters.kubernetes.runtime.errors import Forbidden, NotFound
from scheduler.adapters.kubernetes.runtime.kinds import JOBS, POLICIES, WORKLOADS, Kind
from scheduler.adapters.kubernetes.why import why as sentence
from scheduler.domain.errors import Misconfigured
from scheduler.entrypoints.console import friendly, talk, write_json
from scheduler.entrypoints.operator.governing import Governing, told_state
from scheduler.entrypoints.operator.rooms import Rooms
from scheduler.entrypoints.options import JsonFile

WHY_HELP = """Say why a job waits, runs or is left alone, and until when.

Reads what stands on the job, its class and its policy; the operator need not be asked.

**Example**

    kubectl heatdispatch why job/training -n quickstart
    kubectl heatdispatch why jobset/training -n quickstart
"""
STATUS_HELP = """Say what every policy does now: mode, plan, and its jobs by what is done with them.

**Example**

    kubectl heatdispatch status
"""
Kubeconfig = Annotated[Path | None, typer.Option(help="Kubeconfig [default: the usual one].")]
Context = Annotated[str | None, typer.Option(help="Context of the kubeconfig.")]


@friendly
def why(
    job: Annotated[str, typer.Argument(metavar="KIND/NAME", help="The job: job/NAME, or with Kueue jobset/NAME and its like.")],
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="Its namespace.")] = "default",
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    json_file: JsonFile = None,
) -> None:
    """Say why a job waits."""
    kind, _, name = job.rpartition("/")
    if not name:
        raise Misconfigured(f"{job!r} is no job", where="arguments", expected="job/NAME")
    clock, governing = SystemClock(), read(kubeconfig, context)
    now_utc = clock.now_utc()
    place = _found(governing.stores, kind.lower().partition(".")[0].removesuffix("s") or JOBS.kind.lower(), namespace, name)
    if place is None:
        what = f"{kind or JOBS.kind} {namespace}/{name}"
        raise Misconfigured(f"there is no {what}", where="arguments", expected="a Job, or what Kueue has a Workload of")
    view = _seen(governing.current.desks, place, namespace)
    said = "No policy governs it: it starts as soon as the cluster has room for it" if view is None else sentence(view, now_utc)
    talk(json_file).print(said, markup=False, soft_wrap=True)
    marks = None if view is None else view.marks
    held_until = None if marks is None or marks.hold_until_utc is None else marks.hold_until_utc.isoformat()
    write_json(json_file, {"namespace": namespace, "name": name, "why": said, "holdUntil": held_until})


@friendly
def status(kubeconfig: Kubeconfig = None, context: Context = None, json_file: JsonFile = None) -> None:
    """Say what every policy does."""
    governing = read(kubeconfig, context)
    now_utc = SystemClock().now_utc()
    console, found = talk(json_file), []
    for policy in governing.stores.of_policy(POLICIES):
        desk = next((one for one in governing.current.desks if one.governance.policy == name_of(policy)), None)
        one = _policy(policy, Counter() if desk is None else states(desk, now_utc))
        found.append(one)
        counts = ", ".join(f"{number} {state}" for state, number in one["jobs"].items()) or "no jobs with GPUs"
        console.print(
            f"{one['policy']}: {one['mode']}, plan {one['plan'] or 'none yet'}; {counts}", markup=False, soft_wrap=True
        )
        if one["ready"] != "True":
            console.print(f"  not used: {one['message'] or 'the operator has not looked at it yet'}", markup=False)
    if not found:
        console.print("there is no DispatchPolicy: nothing is planned")
    write_json(json_file, {"policies": found})


def read(kubeconfig: Path | None, context: str | None) -> Governing:
    """Everything that is needed to read jobs, listed once.

    Raises:
        Misconfigured: when there is no cluster to ask, or it has none of our kinds.
    """
    client, stores = KubeClient(Connection(configuration(kubeconfig, context))), Stores()
    for store in stores.all():
        try:
            store.replace(store.frozen(item) for item in client.list(store.kind))
        except NotFound:
            if store.kind == POLICIES:
                raise Misconfigured("the cluster has none of our kinds", where="cluster", expected="manifests/crds") from None
        except Forbidden:
            # Who may see his own jobs need not see every node: the answer is then made of what he may see.
            continue
    clock = SystemClock()
    governing = Governing(stores, Rooms(stores, clock))
    governing.refresh(clock.now_utc())
    return governing


def states(desk: Desk, now_utc: Any) -> Counter[str]:
    """Jobs of a policy by what is done with them."""
    return Counter(told_state(view) for view in desk.reader.seen(now_utc).views.values())


def _found(stores: Stores, kind: str, namespace: str, name: str) -> tuple[Kind, str] | None:
    """The object to look at: a Job, or the Workload of another kind, by its own name or by that of its owner."""
    if kind == JOBS.kind.lower():
        return None if stores.jobs.get(name, namespace) is None else (JOBS, name)
    for one in stores.workloads.all():
        owner = controller_of(one)
        by_owner = (text(owner, "kind").lower(), text(owner, "name")) == (kind, name)
        if namespace_of(one) == namespace and (by_owner or (kind, name_of(one)) == (WORKLOADS.kind.lower(), name)):
            return WORKLOADS, name_of(one)
    return None


def _seen(desks: tuple[Desk, ...], place: tuple[Kind, str], namespace: str) -> JobView | None:
    """The job as its policy sees it."""
    now_utc, (kind, name) = SystemClock().now_utc(), place
    views = [
        (desk.reader.one if kind == JOBS else desk.reader.foreign)(namespace, name, desk.reader.around(now_utc))
        for desk in desks
    ]
    there = [view for view in views if view is not None]
    return next((view for view in there if not view.insulated), there[0] if there else None)


def _policy(policy: Any, counts: Counter[str]) -> dict[str, Any]:
    """One policy in plain values."""
    conditions = {text(one, "type"): one for one in at(policy, "status", "conditions") or ()}
    ready = conditions.get("Ready", {})
    return {
        "policy": name_of(policy),
        "mode": text(policy, "spec", "mode") or "Observe",
        "plan": text(policy, "status", "planId"),
        "ready": text(ready, "status"),
        "message": text(ready, "message"),
        "jobs": dict(sorted(counts.items())),
    }
