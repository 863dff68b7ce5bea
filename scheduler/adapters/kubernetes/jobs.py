"""A Job with its pods, or a Kueue Workload, as the domain's `JobState`; and all that a later write must know of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from scheduler.adapters.kubernetes import workloads
from scheduler.adapters.kubernetes.classes import INSULATED, Selector, choose_class
from scheduler.adapters.kubernetes.marks import (
    DISPATCH,
    ENABLED,
    GATE,
    HeldBy,
    Marks,
    Problem,
    Wishes,
    gates_of,
    marks_of,
    wishes_of,
)
from scheduler.adapters.kubernetes.objects import (
    NOTHING,
    Obj,
    count,
    created_utc,
    going,
    holds,
    instant,
    job_id_of,
    labels_of,
    namespace_of,
    text,
    texts,
)
from scheduler.adapters.kubernetes.owners import FIELD_MANAGER, bound_by_owner, handed_over, owner_took, suspended
from scheduler.adapters.kubernetes.pools import FINISHED_PODS, PoolSelector
from scheduler.adapters.kubernetes.quantities import Gang, gang_of_job, gangs_of_workload, shares_gpus
from scheduler.domain.job import Flexibility, Job, JobClass, JobPhase, JobState

DEFAULT_DURATION_S = 14400.0


class Lever(StrEnum):
    """What holds a job: `suspend` of a native Job, our gate on a queued one, or `active` of its Workload."""

    SUSPEND = "suspend"
    GATE = "gate"
    ACTIVE = "active"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a job is read against.

    classes by name; cron_jobs by uid; pool_by_node and pool_by_flavor by name; reach: pools by `NAMESPACE/QUEUE`; caps_w: limit
    per GPU in force by job id; speeds: throughput now over uncapped throughput by job id (1 when not given). checks: names of
    our AdmissionChecks.
    """

    now_utc: datetime
    classes: Mapping[str, JobClass]
    selectors: tuple[Selector, ...] = ()
    namespaces: Mapping[str, Obj] = field(default_factory=dict)
    cron_jobs: Mapping[str, Obj] = field(default_factory=dict)
    pools: tuple[PoolSelector, ...] = ()
    pool_by_node: Mapping[str, str | None] = field(default_factory=dict)
    pool_by_flavor: Mapping[str, str] = field(default_factory=dict)
    reach: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    caps_w: Mapping[str, float] = field(default_factory=dict)
    speeds: Mapping[str, float] = field(default_factory=dict)
    checks: tuple[str, ...] = ()
    manager: str = FIELD_MANAGER


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """One job: what the domain sees of it, and its objects.

    job is empty for a Workload of another kind, workload for a native Job. held: a hold of ours, or one that its owner handed
    to us, is in force. opted_in: its namespace takes part: the job may be held before its pods have a node, and stopped.
    asked: Kueue keeps quota for it and waits for our AdmissionCheck. reach: pools that its queue's flavors reach; None without
    a queue, or when that is not known.
    """

    state: JobState
    lever: Lever
    job: Obj
    workload: Obj
    pods: tuple[Obj, ...]
    gangs: tuple[Gang, ...]
    marks: Marks
    flexibility: Flexibility
    held: bool
    owner_took: str = ""
    opted_in: bool = False
    asked: bool = False
    reach: tuple[str, ...] | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def job_id(self) -> str:
        """Identity for plan and ledger."""
        return self.state.job.job_id

    @property
    def insulated(self) -> bool:
        """True when nothing may be done to it."""
        return self.flexibility is Flexibility.INSULATED

    @property
    def target(self) -> Obj:
        """The object that carries the lever and our marks."""
        return self.workload if self.lever is Lever.ACTIVE else self.job


def read(job: Obj, workload: Obj, pods: tuple[Obj, ...], around: Surroundings) -> JobView | None:
    """Read one job.

    Args:
        job: a batch Job; empty for a Workload that belongs to another kind.
        workload: its Kueue Workload; empty for a native Job, and for a queued one that Kueue has not taken up yet.
        pods: pods of the job, in any state.
        around: classes, pools and what else is there.

    Returns:
        The view, or None for a job without GPUs; one that is held or queued all the same is insulated, and must be let go.
    """
    subject = job or workload
    gangs = (gang_of_job(job),) if job else gangs_of_workload(workload)
    gpus = sum(gang.gpus for gang in gangs)
    created = created_utc(subject)
    lever = _lever(job, workload)
    marks, wishes = _marks(job, workload, lever), wishes_of(subject)
    held = _held(job, workload, lever, marks, wishes)
    if created is None or not (gpus > 0 or held or workload or any(shares_gpus(gang.pod_spec) for gang in gangs)):
        return None
    reach = around.reach.get(f"{namespace_of(subject)}/{workloads.queue_of(job, workload)}")
    open_to = _candidates(gangs, marks, reach, around)
    name, flexibility, start_by, problems = _standing((job, workload), gangs, open_to, marks, wishes, around)
    took = _taken(job, workload, lever, marks, wishes, around.manager)
    pool_id = _only_pool(open_to, around)
    declared = Job(
        job_id=job_id_of(subject),
        class_name=name,
        gpus=gpus,
        submit_utc=created,
        declared_duration_s=_declared_s(wishes, around.classes.get(name)),
        deadline_utc=wishes.deadline_utc,
        pool_id=pool_id,
        start_by_utc=start_by,
    )
    opted_in = labels_of(around.namespaces.get(namespace_of(subject), NOTHING)).get(DISPATCH) == ENABLED
    state = _state(declared, _Life(job, workload, pods, lever, marks), bool(took), around)
    return JobView(
        state=replace(state, may_stop=opted_in),
        lever=lever,
        job=job,
        workload=workload,
        pods=pods,
        gangs=gangs,
        marks=marks,
        flexibility=flexibility,
        held=held and not took,
        owner_took=took,
        opted_in=opted_in,
        reach=reach,
        asked=any(workloads.waits_for(workload, check) for check in around.checks),
        problems=problems,
    )


@dataclass(frozen=True, slots=True)
class _Life:
    """The objects that tell where a job is in its life."""

    job: Obj
    workload: Obj
    pods: tuple[Obj, ...]
    lever: Lever
    marks: Marks

    @property
    def bound(self) -> tuple[Obj, ...]:
        """Pods that have a node and have not ended."""
        return tuple(
            pod for pod in self.pods if text(pod, "spec", "nodeName") and text(pod, "status", "phase") not in FINISHED_PODS
        )

    @property
    def stopped(self) -> bool:
        """Whether the lever is down."""
        if self.lever is Lever.SUSPEND:
            return suspended(self.job)
        return GATE in gates_of(self.job) or (bool(self.workload) and not workloads.active(self.workload))


def phase_of(life: _Life) -> JobPhase:
    """Where a job is; released and not on its nodes yet counts as running: its GPUs are spoken for."""
    ended = going(life.job or life.workload) or any(holds(life.job, kind) for kind in ("Complete", "Failed"))
    if ended or workloads.finished(life.workload):
        return JobPhase.DONE
    waits = JobPhase.PAUSED if life.marks.stops else JobPhase.QUEUED
    if life.stopped:
        return waits
    if life.bound:
        return JobPhase.RUNNING
    if life.lever is Lever.SUSPEND:
        tried = (
            count(life.job, "status", "succeeded") + count(life.job, "status", "failed") + count(life.job, "status", "ready")
        )
        return JobPhase.RUNNING if tried or life.marks.released_utc is not None else JobPhase.QUEUED
    return JobPhase.RUNNING if workloads.admitted(life.workload) else waits


def _state(declared: Job, life: _Life, owner_suspended: bool, around: Surroundings) -> JobState:
    """The domain's view; progress is what was saved at the last stop and the run since, at its present speed."""
    phase, marks = phase_of(life), life.marks
    started = _started_utc(life) if phase is JobPhase.RUNNING else None
    run_s = 0.0 if started is None else max(0.0, (around.now_utc - started).total_seconds())
    pause_start = marks.held_since_utc if phase is JobPhase.PAUSED else None
    pause_s = 0.0 if pause_start is None else max(0.0, (around.now_utc - pause_start).total_seconds())
    return JobState(
        job=declared,
        phase=phase,
        pool_id=_pool_now(life, phase, around),
        started_utc=started,
        first_started_utc=marks.first_started_utc or started,
        work_done_s=marks.work_done_s + run_s * around.speeds.get(declared.job_id, 1.0),
        run_s=run_s,
        paused_s=marks.paused_s + pause_s,
        preemptions=marks.stops,
        cap_w=around.caps_w.get(declared.job_id),
        pause_start_utc=pause_start,
        owner_suspended=owner_suspended,
    )


def _started_utc(life: _Life) -> datetime | None:
    """When the first of its present pods started; without pods, as its controller says."""
    starts = [at for at in (instant(pod, "status", "startTime") for pod in life.bound) if at is not None]
    if starts:
        return min(starts)
    if life.bound or life.lever is not Lever.SUSPEND:
        return workloads.started_utc(life.workload)
    return instant(life.job, "status", "startTime") if count(life.job, "status", "ready") else None


def _pool_now(life: _Life, phase: JobPhase, around: Surroundings) -> str | None:
    """The pool of (most of) its pods, of its admitted flavor, or the one it was released to."""
    if phase is JobPhase.QUEUED:
        return None
    pools = Counter(around.pool_by_node.get(text(pod, "spec", "nodeName")) for pod in life.bound)
    known = [pool for pool, _ in pools.most_common() if pool is not None]
    if known and phase is JobPhase.RUNNING:
        return known[0]
    return workloads.flavor_pool(life.workload, around.pool_by_flavor) or life.marks.pool_id


def _lever(job: Obj, workload: Obj) -> Lever:
    """A queued job is gated or switched off, never suspended: `suspend` is Kueue's there."""
    if not workloads.queue_of(job, workload) and not workload:
        return Lever.SUSPEND
    return Lever.GATE if GATE in gates_of(job) or not workload else Lever.ACTIVE


def _marks(job: Obj, workload: Obj, lever: Lever) -> Marks:
    """Marks of the object that carries the lever; a Workload's place is known from its Job, which was placed by its gate."""
    if lever is not Lever.ACTIVE:
        return marks_of(job)
    marks = marks_of(workload)
    return replace(marks, pool_id=marks.pool_id or marks_of(job).pool_id)


def _held(job: Obj, workload: Obj, lever: Lever, marks: Marks, wishes: Wishes) -> bool:
    """Whether a hold of ours is in force."""
    if lever is Lever.SUSPEND:
        return suspended(job) and (marks.held or handed_over(job, marks, wishes))
    if lever is Lever.GATE:
        return GATE in gates_of(job)
    return marks.held and not workloads.active(workload)


def _taken(job: Obj, workload: Obj, lever: Lever, marks: Marks, wishes: Wishes, manager: str) -> str:
    """Why a job is its owner's alone. A queued job's marks are on the Job (gate) or on its Workload (active).

    Our gate, and our `active: false`, are ours to end, whoever has the job: nobody else does.
    """
    if lever is Lever.SUSPEND:
        return owner_took(job, marks, wishes, manager)
    held_off = lever is Lever.ACTIVE and marks.held and not workloads.active(workload)
    if GATE in gates_of(job) or held_off:
        return ""
    at_creation = marks_of(job)
    if HeldBy.OWNER in (marks.held_by, at_creation.held_by):
        return "its owner took it over"
    if at_creation.held:
        return "its owner took our gate away himself"
    if lever is Lever.GATE:
        return ""
    if not workloads.active(workload):
        return "its owner switched it off"
    if marks.held:
        return "its owner started it himself"
    return "another controller gates it" if gates_of(job) else ""


def _standing(
    objects: tuple[Obj, Obj],
    gangs: tuple[Gang, ...],
    open_to: Sequence[str],
    marks: Marks,
    wishes: Wishes,
    around: Surroundings,
) -> tuple[str, Flexibility, datetime | None, tuple[Problem, ...]]:
    """(class, flexibility, latest start, problems) of a job; anything that is not clear makes it insulated."""
    job, workload = objects
    subject = job or workload
    namespace = around.namespaces.get(namespace_of(subject), NOTHING)
    choice = choose_class(subject, namespace, around.selectors, around.classes, workloads.queue_of(job, workload))
    job_class = around.classes.get(choice.class_name)
    if choice.class_name == INSULATED or job_class is None or job_class.flexibility is Flexibility.INSULATED:
        problems = () if choice.problem is None else (choice.problem,)
        return choice.class_name if job_class is not None else INSULATED, Flexibility.INSULATED, None, problems
    start_by, owned = bound_by_owner(job, wishes, around.cron_jobs, _declared_s(wishes, job_class))
    found = (
        *wishes.problems,
        *_odd_marks(marks),
        *(each for each in (owned, workloads.unsupported(workload, job), _odd_gpus(gangs), _no_pool(open_to, around)) if each),
    )
    if found:
        return INSULATED, Flexibility.INSULATED, None, found
    return choice.class_name, job_class.flexibility, start_by, ()


def _declared_s(wishes: Wishes, job_class: JobClass | None) -> float:
    """Declared duration, else that of its class."""
    if wishes.expected_duration_s is not None:
        return wishes.expected_duration_s
    return DEFAULT_DURATION_S if job_class is None else job_class.default_duration_s


def _odd_marks(marks: Marks) -> tuple[Problem, ...]:
    """Marks of ours that somebody edited."""
    if not marks.unreadable:
        return ()
    return (Problem(reason="BadMark", text=f"{' and '.join(marks.unreadable)} cannot be read; remove what was edited"),)


def _odd_gpus(gangs: tuple[Gang, ...]) -> Problem | None:
    """Pods without GPUs, and pods that do not have theirs to themselves."""
    if any(shares_gpus(gang.pod_spec) for gang in gangs):
        return Problem(reason="SharedGpu", text="it asks for slices of GPUs, shared GPUs or devices by claim")
    return None if any(gang.gpus_per_pod for gang in gangs) else Problem(reason="NoGpu", text="its pods ask for no GPU")


def _no_pool(open_to: Sequence[str], around: Surroundings) -> Problem | None:
    """A node selector that no pool carries, or a queue that reaches none."""
    if around.pools and not open_to:
        names = ", ".join(pool.pool_id for pool in around.pools)
        return Problem(reason="NoPool", text=f"its node selector, or the flavors of its queue, fit none of the pools {names}")
    return None


def _only_pool(open_to: Sequence[str], around: Surroundings) -> str | None:
    """The pool that is left to it; of several but not all, the first."""
    return None if len(open_to) == len(around.pools) and len(open_to) != 1 else (open_to[0] if open_to else None)


def _candidates(gangs: tuple[Gang, ...], marks: Marks, reach: Sequence[str] | None, around: Surroundings) -> list[str]:
    """Pools that its queue reaches and its own node selector does not contradict; keys that we placed are not its own."""
    own = [
        (key, value) for gang in gangs for key, value in texts(gang.pod_spec, "nodeSelector").items() if key not in marks.placed
    ]
    return [
        pool.pool_id
        for pool in around.pools
        if (reach is None or pool.pool_id in reach) and all(pool.node_labels.get(key, value) == value for key, value in own)
    ]


def live_pods(pods: tuple[Obj, ...]) -> tuple[Obj, ...]:
    """Pods that have not ended."""
    return tuple(pod for pod in pods if text(pod, "status", "phase") not in FINISHED_PODS)


def unbound(view: JobView) -> bool:
    """Whether no pod of a job ever had a node: keeping it back now loses nothing."""
    asked = count(view.job, "status", "active")
    none_ran = not (
        count(view.job, "status", "succeeded") or count(view.job, "status", "failed") or count(view.job, "status", "ready")
    )
    return none_ran and len(live_pods(view.pods)) >= asked and not any(text(pod, "spec", "nodeName") for pod in view.pods)
