"""Jobs and nodes of a cluster as one look."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from kube_world import AROUND, NOW, POOLS, Json, ago, job, node, pod, rooms, view, workload
from small_world import small_site

from scheduler.adapters.kubernetes.jobs import JobView
from scheduler.adapters.kubernetes.marks import write_instant
from scheduler.adapters.kubernetes.operator.looks import (
    Part,
    PoolUse,
    job_looks,
    pool_uses,
    started_utc,
    succeeded_utc,
    whole_site,
    workload_of,
)
from scheduler.adapters.kubernetes.operator.view import Seen
from scheduler.adapters.kubernetes.pools import NodeRoom
from scheduler.domain.job import JobPhase
from scheduler.domain.site import Site

SMALL = small_site(gpus=16, pools=2)
SITE = replace(
    SMALL, pools=tuple(replace(pool, pool_id=name) for pool, name in zip(SMALL.pools, ("north", "south"), strict=True))
)
NORTH = replace(SITE, pools=SITE.pools[:1])
SOUTH = replace(SITE, pools=SITE.pools[1:])


def part(*views: JobView, site: Site = SITE, nodes: tuple[NodeRoom, ...] = ()) -> Part:
    return Part(site=site, seen=Seen(now_utc=NOW, views={one.job_id: one for one in views}, rooms=nodes))


def named(name: str, **metadata: Any) -> JobView:
    given = job(name)
    given["metadata"] |= metadata
    return view(given)


def condition(kind: str, at_utc: datetime, **more: str) -> dict[str, str]:
    return {"type": kind, "status": "True", "lastTransitionTime": write_instant(at_utc), **more}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("train", "lab/train"),
        ("train-17", "lab/train"),
        ("train-29471040", "lab/train"),
        ("train-x7k2p", "lab/train"),
        ("train-llama-70b", "lab/train-llama-70b"),
        ("train-fixed", "lab/train-fixed"),
        ("train-20260114-2", "lab/train"),
        ("17", "lab/17"),
    ],
)
def test_runs_of_one_workload_have_one_name(name: str, kind: str) -> None:
    assert workload_of(named(name)) == kind


def test_what_made_a_job_names_its_workload() -> None:
    owner = {"kind": "CronJob", "name": "nightly", "uid": "c", "controller": True}
    assert workload_of(named("nightly-29471040", ownerReferences=[owner])) == "lab/nightly"
    assert workload_of(named("sweep-abcde", generateName="sweep-")) == "lab/sweep"


def test_draws_are_told_apart_by_gpu_where_pools_differ() -> None:
    mixed = replace(SITE, pools=(SITE.pools[0], replace(SITE.pools[1], gpu_model="A100")))
    running = view(job(), pod("s0"))
    assert [one.workload for one in job_looks([part(running)])] == ["lab/train"]
    assert [one.workload for one in job_looks([part(running, site=mixed)])] == ["lab/train on A100"]
    assert [one.workload for one in job_looks([part(view(job()), site=mixed)])] == ["lab/train"]


def test_a_completed_job_tells_when_it_began_and_ended_and_a_failed_one_only_when_it_began() -> None:
    times: Json = {"startTime": write_instant(ago(minutes=50)), "completionTime": write_instant(ago(minutes=5))}
    done = view(job(conditions=[condition("Complete", ago(minutes=4))], **times))
    failed = view(job(conditions=[condition("Failed", ago(minutes=4))], startTime=times["startTime"]))
    assert done.state.phase is failed.state.phase is JobPhase.DONE
    assert (started_utc(done), succeeded_utc(done)) == (ago(minutes=50), ago(minutes=5))
    assert (started_utc(failed), succeeded_utc(failed)) == (ago(minutes=50), None)
    assert started_utc(view(job())) is None


def test_a_workload_without_a_job_has_done_its_work_when_it_finished_well() -> None:
    def ended(reason: str) -> JobView:
        given = workload(owner="PyTorchJob", labels={"heatdispatch.io/class": "deferrable"})
        given["status"]["conditions"] = [condition("Finished", ago(minutes=3), reason=reason)]
        return view({}, workload=given)

    assert succeeded_utc(ended("Succeeded")) == ago(minutes=3)
    assert succeeded_utc(ended("Failed")) is None


def test_each_job_is_looked_at_once_under_the_policy_whose_pool_it_runs_on() -> None:
    only_north = replace(AROUND, pools=POOLS[:1], pool_by_node={"n0": "north", "s0": None})
    only_south = replace(AROUND, pools=POOLS[1:], pool_by_node={"n0": None, "s0": "south"})
    given, its_pod = job(), pod("s0")
    seen = [
        part(view(given, its_pod, around=only_north), site=NORTH),
        part(view(given, its_pod, around=only_south), site=SOUTH),
    ]
    assert [(one.state.pool_id, one.state.phase) for one in job_looks(seen)] == [("south", JobPhase.RUNNING)]
    assert job_looks(seen[:1]) == ()
    waiting = [part(view(given, around=each), site=site) for each, site in ((only_north, NORTH), (only_south, SOUTH))]
    assert len(job_looks(waiting)) == 1


def test_a_job_that_one_policy_cannot_place_is_told_as_the_other_sees_it() -> None:
    given = job()
    given["spec"]["template"]["spec"]["nodeSelector"] = {"heat.example/pool": "south"}
    seen = [
        part(view(given, around=replace(AROUND, pools=(pools,))), site=site)
        for pools, site in zip(POOLS, (NORTH, SOUTH), strict=True)
    ]
    assert [one.insulated for each in seen for one in each.seen.views.values()] == [True, False]
    assert [one.state.job.class_name for one in job_looks(seen)] == ["deferrable"]


def test_the_parts_of_all_policies_make_one_site() -> None:
    assert whole_site([part(site=NORTH), part(site=SOUTH)]) == SITE


def test_gpus_are_counted_by_what_holds_them() -> None:
    mine, fixed, stray = pod("n0", uid="mine", gpus=4), pod("n1", uid="fixed", gpus=2), pod("n1", uid="stray", gpus=1)
    other = job("web", class_name=None)
    other["metadata"]["uid"] = "1" * 36
    views = [view(job(), mine), view(other, fixed)]
    nodes = rooms(node("n0"), node("n1"), node("s0", "south", ready=False), pods=(mine, fixed, stray))
    # north: 16 GPUs, 4 flexible, 2 insulated, 1 of nobody's pod, 9 free; south: a sick node and one that is not there.
    assert pool_uses(part(*views, nodes=nodes)) == (
        PoolUse(pool_id="north", insulated=2, flexible=4, others=1, free=9, gone=0),
        PoolUse(pool_id="south", gone=16),
    )
