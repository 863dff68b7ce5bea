"""What is done to the cluster, stage by stage, and the numbers that each one brings."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.operator import replica as replicas
from benchmarks.operator.replica import Replica
from benchmarks.operator.sight import HELD, Sight, jobs_of
from benchmarks.operator.world import (
    HEAT,
    JOBS,
    POLICY,
    REPLICAS,
    JobSpec,
    Size,
    create_jobs,
    job_object,
    job_specs,
    policy,
    undecided,
)
from benchmarks.operator.writes import about_jobs, busiest_per_s, by_kind, counted, doubled, follow, written
from benchmarks.rows import Row, quantile
from scheduler.adapters.devcluster import audit
from scheduler.adapters.devcluster.cluster import DevCluster, NotReady

# Twenty writes a second carry as many holds; whoever is slower than a quarter of that will not come to an end.
SLOWEST_PER_S = 5.0
PATIENCE_S = 240.0
CYCLE_LIMIT_S = 300.0
SAY_EVERY_S = 20.0
QUIET_TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long the parts take. hurried: short lease and guard; many_limit_s: so long for all Jobs of a stage."""

    new_jobs: int
    burst: int
    gap_s: float
    many_limit_s: float
    hurried: bool = False

    @property
    def rest_s(self) -> float:
        """Writes have come to rest when none was sent for so long."""
        return 1.5 if self.hurried else 6.0


@dataclass(slots=True, eq=False)
class Bench:
    """A running measurement."""

    cluster: DevCluster
    folder: Path
    size: Size
    pace: Pace
    say: Callable[[str], None]
    sight: Sight
    rows: list[Row] = field(default_factory=list)
    running: list[Replica] = field(default_factory=list)
    ended: list[Replica] = field(default_factory=list)
    pokes: int = 0

    @property
    def leader(self) -> Replica:
        """The replica that was started first of those that run."""
        return self.running[0]

    def add(self, row: Row) -> None:
        """Keep a row, and say it."""
        self.rows.append(row)
        self.say(f"  {row.what}: {row.value:.4g} {row.unit}")

    def replica(self, user: str) -> Replica:
        """Start one more replica."""
        number = len(self.running) + len(self.ended)
        found = replicas.start(self.cluster, self.folder, user, number, hurried=self.pace.hurried)
        self.running.append(found)
        return found

    def end(self, one: Replica, number: signal.Signals = signal.SIGTERM) -> None:
        """End a replica."""
        one.end(number)
        self.running.remove(one)
        self.ended.append(one)

    def wait(self, what: str, ready: Callable[[], object], timeout_s: float, every_s: float = 0.2) -> None:
        """Wait for something, and fail when a replica has died meanwhile."""

        def looked() -> object:
            dead = [one for one in self.running if one.process.poll() is not None]
            if dead:
                tail = "\n".join(dead[0].log.read_text("utf-8").splitlines()[-20:])
                raise NotReady(f"{dead[0].user} ended with {dead[0].process.returncode}\n{tail}")
            return ready()

        self.cluster.wait(what, looked, timeout_s, every_s=every_s)

    def wait_explained(self, names: Sequence[str], what: str, limit_s: float | None = None) -> None:
        """Wait until a user has seen a decision about every one of these."""
        said_s = time.monotonic()
        limit_s = PATIENCE_S + len(names) / SLOWEST_PER_S if limit_s is None else limit_s
        every_s = 0.05 if len(names) < 100 else 0.5

        def all_seen() -> bool:
            nonlocal said_s
            missing = self.sight.missing(names)
            if time.monotonic() - said_s > SAY_EVERY_S:
                said_s = time.monotonic()
                self.say(f"  {what}: {len(names) - len(missing):,} of {len(names):,}, {self.leader.now_mb():.0f} MB")
            return not missing

        self.wait(what, all_seen, limit_s, every_s)

    def rest(self) -> None:
        """Wait until the operator has nothing more to write: neither about jobs nor Events."""
        place, since_s, said_s = audit.end(self.cluster.audit_log), time.monotonic(), time.monotonic()
        until_s = since_s + PATIENCE_S + 2 * self.size.jobs / SLOWEST_PER_S
        while time.monotonic() < until_s and time.monotonic() - since_s < self.pace.rest_s:
            time.sleep(0.5)
            found, place = follow(self.cluster.audit_log, place)
            since_s = time.monotonic() if counted(found) else since_s
            if time.monotonic() - said_s > SAY_EVERY_S:
                said_s = time.monotonic()
                self.say(f"  until its writes end; the last {len(found)} in half a second")

    def poke(self) -> None:
        """Change the policy in a way that makes a cycle due at once and changes no decision; wait until it is over."""
        self.pokes += 1
        before = len(self.leader.cycles())
        self.cluster.admin.apply(f"{HEAT}/dispatchpolicies/{POLICY}", policy(25.0 + 0.5 * (self.pokes % 2)))
        self.wait("a cycle", lambda: len(self.leader.cycles()) > before, CYCLE_LIMIT_S)


def flexible(specs: Sequence[JobSpec]) -> list[str]:
    """Names of the jobs that are decided about."""
    return [one.name for one in specs if one.class_name]


def start(bench: Bench) -> None:
    """All Jobs are there; the operator comes for the first time, and decides about all of them."""
    specs = job_specs("base", bench.size.jobs, bench.size.seed)
    bench.say(f"creating {len(specs):,} Jobs")
    create_jobs(bench.cluster, specs)
    time.sleep(0.0 if bench.pace.hurried else 15.0)
    bench.say("first start of the operator")
    first = bench.replica(REPLICAS[0])
    names = flexible(specs)
    bench.wait("a first decision", lambda: bench.sight.first_s, CYCLE_LIMIT_S, 0.05)
    bench.add(
        Row(
            key="first_start_s",
            what="First start in a namespace to first decision (12 s of it wait for a Lease that may have been deleted)",
            value=min(at_s for at_s, _ in bench.sight.first_s.values()) - first.began_s,
            unit="s",
        )
    )
    with suppress(NotReady):
        bench.wait_explained(names, "decided", bench.pace.many_limit_s)
    seen = [bench.sight.first_s[name] for name in names if name in bench.sight.first_s]
    held = sum(how == HELD for _, how in seen)
    behind = {"held": held, "released": len(seen) - held, "undecided by then": len(names) - len(seen)}
    took_s = max(at_s for at_s, _ in seen) - first.began_s
    what = "First start until every Job is held or released, and explained"
    bench.add(Row(key="all_decided_s", what=what, value=took_s, unit="s", behind=behind))


def restart(bench: Bench) -> None:
    """A clean stop and a new start; a Job came in between."""
    bench.say("restart")
    bench.end(bench.leader)
    specs = job_specs("between", max(2, bench.pace.new_jobs // 10), bench.size.seed + 1, insulated=False)
    create_jobs(bench.cluster, specs)
    again = bench.replica(REPLICAS[0])
    names = flexible(specs)
    bench.wait_explained(names, "Jobs of the time without an operator")
    times = sorted(bench.sight.first_s[name][0] - again.began_s for name in names)
    behind = {"last of the Jobs that came meanwhile, s": times[-1], "processor, s": again.cpu_s()}
    bench.add(Row(key="start_s", what="Start to first decision", value=times[0], unit="s", at_most=30.0, behind=behind))
    bench.wait("a plan", again.cycles, CYCLE_LIMIT_S)


def newcomers(bench: Bench) -> None:
    """One new Job after the other while everything else goes on, planning included."""
    specs = [
        JobSpec(name=one.name, class_name="soon" if number % 5 == 4 else one.class_name, gpus=one.gpus, hours=one.hours)
        for number, one in enumerate(job_specs("new", bench.pace.new_jobs, bench.size.seed + 2, insulated=False))
    ]
    bench.say(f"{len(specs)} new Jobs, one after the other")
    cpu_s, began_s = bench.leader.cpu_s(), time.monotonic()
    rng, created_s = np.random.default_rng(bench.size.seed), {}
    for spec in specs:
        created_s[spec.name] = time.monotonic()
        bench.cluster.admin.create(JOBS, job_object(spec))
        time.sleep(bench.pace.gap_s * float(rng.uniform(0.5, 1.5)))
    bench.wait_explained(flexible(specs), "new Jobs")
    took_s = [bench.sight.first_s[name][0] - at_s for name, at_s in created_s.items()]
    load = (bench.leader.cpu_s() - cpu_s) / (time.monotonic() - began_s)
    how = [bench.sight.first_s[name][1] for name in created_s]
    behind = {"Jobs": len(how), "held": how.count(HELD), "released": len(how) - how.count(HELD), "share of a core": load}
    for key, share, target in (("p50", 0.5, None), ("p95", 0.95, 2.0), ("max", 1.0, None)):
        what = f"A new Job held or released, and explained: {key}"
        value = quantile(took_s, share)
        bench.add(Row(key=f"new_job_{key}_s", what=what, value=value, unit="s", at_most=target, behind=behind))
        behind = {}


def quiet(bench: Bench) -> None:
    """A cycle that has nothing new to decide."""
    bench.say("a cycle for what came since, then one that has nothing new to decide")
    bench.rest()
    bench.poke()
    bench.rest()
    # A cycle in which a job's time has come, or the next quarter hour has begun, does change something: then another is seen.
    for _ in range(QUIET_TRIES):
        start_byte = audit.end(bench.cluster.audit_log)
        bench.poke()
        bench.rest()
        # The status of the policy is written because we changed the policy to have a cycle at once.
        ours = ("dispatchpolicies",)
        found = [one for one in counted(written(bench.cluster.audit_log, start_byte)) if one.resource not in ours]
        if not found:
            break
    bench.add(
        Row(
            key="quiet_writes",
            what="Writes of a cycle that changes nothing (Lease and DispatchPlan aside)",
            value=float(len(found)),
            unit="",
            at_most=0.0,
            behind=by_kind(found),
        )
    )
    cpu_s, began_s = bench.leader.cpu_s(), time.monotonic()
    time.sleep(2.0 if bench.pace.hurried else 30.0)
    load = (bench.leader.cpu_s() - cpu_s) / (time.monotonic() - began_s)
    bench.add(Row(key="idle_core", what="Processor between cycles", value=load, unit="cores"))


def failover(bench: Bench) -> None:
    """The leader is killed while a second replica stands by and Jobs keep coming."""
    bench.say("a second replica, then SIGKILL for the leader")
    old = bench.leader
    heir = bench.replica(REPLICAS[1])
    bench.wait("a standby", lambda: "leads" in heir.page("/readyz?verbose"), PATIENCE_S)
    time.sleep(bench.pace.gap_s)
    start_byte = audit.end(bench.cluster.audit_log)
    specs = job_specs("after", max(3, bench.pace.new_jobs), bench.size.seed + 3, insulated=False)
    bench.end(old, signal.SIGKILL)
    killed_s = time.monotonic()
    names: list[str] = []
    for spec in specs:
        bench.cluster.admin.create(JOBS, job_object(spec))
        names.append(spec.name)
        time.sleep(bench.pace.gap_s)
        if bench.sight.first_s.keys() & set(names):
            break
    bench.wait("the next decision", lambda: bench.sight.first_s.keys() & set(names), CYCLE_LIMIT_S, 0.05)
    next_s = min(bench.sight.first_s[name][0] for name in names if name in bench.sight.first_s) - killed_s
    bench.add(Row(key="next_decision_s", what="Leader killed: next decision", value=next_s, unit="s", at_most=20.0))
    bench.wait_explained(names, "Jobs of the time without a leader")
    bench.wait("a plan", heir.cycles, CYCLE_LIMIT_S)
    bench.rest()
    found = written(bench.cluster.audit_log, start_byte)
    twice = doubled(found)
    behind = {"writes about Jobs since": len(about_jobs(found)), "doubled": ", ".join(twice[:5]) or "none"}
    what = "Actions done twice after the leader was killed"
    bench.add(Row(key="double_actions", what=what, value=float(len(twice)), unit="", at_most=0.0, behind=behind))


def burst(bench: Bench) -> None:
    """Very many Jobs at once."""
    specs = job_specs("burst", bench.pace.burst, bench.size.seed + 4)
    bench.say(f"{len(specs):,} Jobs at once")
    bench.leader.fresh_peak()
    began_s, cpu_s = time.monotonic(), bench.leader.cpu_s()
    create_jobs(bench.cluster, specs)
    created_s = time.monotonic() - began_s
    with suppress(NotReady):
        bench.wait_explained(flexible(specs), "decided", bench.pace.many_limit_s)
    took_s = time.monotonic() - began_s
    jobs = jobs_of(bench.cluster)
    lost = undecided(jobs)
    missing = {one.name for one in specs} - {job["metadata"]["name"] for job in jobs}
    behind = {"Jobs on the API server": len(jobs), "undecided": len(lost), "gone": len(missing)}
    what = f"{len(specs):,} Jobs at once: lost (neither held and explained, nor released)"
    bench.add(Row(key="burst_lost", what=what, value=float(len(lost) + len(missing)), unit="", at_most=0.0, behind=behind))
    spent = {"creating them, s": created_s, "processor, s": bench.leader.cpu_s() - cpu_s}
    bench.add(
        Row(key="burst_decided_s", what=f"{len(specs):,} Jobs at once: all decided", value=took_s, unit="s", behind=spent)
    )
    what = f"{len(specs):,} Jobs at once: resident set, peak"
    bench.add(Row(key="burst_peak_mb", what=what, value=bench.leader.peak_mb, unit="MB", at_most=450.0))


def steady(bench: Bench) -> None:
    """Numbers of everything so far: memory, cycles, writes."""
    all_replicas = [*bench.ended, *bench.running]
    peak, child = max(one.peak_mb for one in all_replicas), max(one.child_peak_mb for one in all_replicas)
    rest = {"processor so far, s": bench.leader.cpu_s()}
    what = "Operator's resident set"
    bench.add(Row(key="rss_peak_mb", what=f"{what}, peak", value=peak, unit="MB", at_most=300.0))
    bench.add(Row(key="rss_mb", what=f"{what}, steady", value=bench.leader.now_mb(), unit="MB", at_most=300.0, behind=rest))
    bench.add(Row(key="child_mb", what="Solver child's resident set, peak", value=child, unit="MB", at_most=500.0))
    cycles = [line for one in all_replicas for line in one.cycles()]
    seconds = [float(line["seconds"]) for line in cycles]
    behind = {
        "cycles": len(cycles),
        "median, s": quantile(seconds, 0.5),
        "of it planning, s (mean)": _plan_mean_s(bench.leader),
        "plans": {status: sum(line["status"] == status for line in cycles) for status in {line["status"] for line in cycles}},
        "widest gap, %": 100.0 * max((float(line["gap"]) for line in cycles), default=0.0),
    }
    worst = max(seconds, default=0.0)
    bench.add(
        Row(key="cycle_s", what="A full cycle, plan included: longest", value=worst, unit="s", at_most=45.0, behind=behind)
    )
    found = written(bench.cluster.audit_log)
    rate = busiest_per_s(found)
    what = "API writes per second over the busiest minute (Lease and DispatchPlan aside)"
    bench.add(Row(key="writes_per_s", what=what, value=rate, unit="/s", at_most=20.0, behind={"writes": len(counted(found))}))


def _plan_mean_s(one: Replica) -> float:
    """Mean of the planner's own time, from /metrics."""
    page = one.page("/metrics")
    found = {
        name: float(value)
        for name, value in re.findall(r"^heatdispatch_plan_duration_seconds_(sum|count)\S* (\S+)$", page, re.M)
    }
    return found.get("sum", 0.0) / max(1.0, found.get("count", 0.0))


STAGES: dict[str, Callable[[Bench], None]] = {
    "start": start,
    "restart": restart,
    "new": newcomers,
    "quiet": quiet,
    "failover": failover,
    "steady": steady,
    "burst": burst,
}
