"""A GPU cluster that exists only in memory: event-driven, in continuous time, with gangs, caps, stops and failures.

It does what it is told, as a real cluster would: whether a command was allowed is judged by others (`invariants`). Insulated
jobs start first come, first served, before all others; while one of them waits for room in a pool nothing else starts there.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from scheduler.domain.errors import Misconfigured
from scheduler.domain.job import JobPhase
from scheduler.domain.site import Pool, Site
from scheduler.domain.world import JobTruth
from scheduler.simulate.faults import Disturbances
from scheduler.simulate.gpu_curve import GpuCurve
from scheduler.simulate.invariants import InvariantLog, check_command
from scheduler.simulate.metering import SlotMeter
from scheduler.simulate.virtual_clock import VirtualClock
from scheduler.simulate.virtual_job import VirtualJob
from scheduler.units import kw_from_w

# Order of events at the same instant: ends first, so that what they free can be used at once.
END, FAIL, SUBMIT, COMMAND, HOLD_END = range(5)
EPS_S = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One timed command: `verb` is start, hold, stop or cap; `value` the cap in W or the end of a hold in seconds."""

    verb: str
    job_id: str
    pool_id: str | None = None
    cap_w: float | None = None
    until_s: float | None = None


class Queueing(Protocol):
    """Which waiting flexible job starts next: called whenever something may have changed."""

    def start_ready(self, cluster: VirtualCluster) -> None:
        """Start what may start now, with `cluster.start`."""
        ...

    def submitted(self, cluster: VirtualCluster, job: VirtualJob) -> None:
        """Answer a new flexible job: release or hold it."""
        ...


class VirtualCluster:
    """Pools, jobs and their power; `clock` tells how far it has come."""

    def __init__(
        self,
        site: Site,
        jobs: Iterable[JobTruth],
        clock: VirtualClock,
        queueing: Queueing,
        slot_s: float,
        disturbances: Disturbances = Disturbances(),  # noqa: B008 - frozen: cannot be shared by mistake
    ) -> None:
        """Load the jobs."""
        self.site, self.clock, self.queueing, self.slot_s = site, clock, queueing, slot_s
        self.pools: dict[str, Pool] = {pool.pool_id: pool for pool in site.pools}
        self.capacity = {pool.pool_id: pool.gpus for pool in site.pools}
        self.busy = dict.fromkeys(self.pools, 0)
        self.draw_kw = {pool.pool_id: SlotMeter(slot_s) for pool in site.pools}
        self.gpus_busy = {pool.pool_id: SlotMeter(slot_s) for pool in site.pools}
        self.insulated_busy = SlotMeter(slot_s)
        self.curve = GpuCurve(site.caps)
        self.jobs: dict[str, VirtualJob] = {}
        self.running: dict[str, VirtualJob] = {}
        self.insulated_queue: list[VirtualJob] = []
        self.flexible_queue: list[VirtualJob] = []
        self.finished: list[VirtualJob] = []
        self.blocked: set[str] = set()
        self.epoch = 0
        self.log = InvariantLog()
        self._events: list[tuple[float, int, int, object]] = []
        self._count = 0
        rng = np.random.default_rng(disturbances.seed)
        noise = disturbances.power_noise_fraction
        for truth in sorted(jobs, key=lambda one: (one.job.submit_utc, one.job.job_id)):
            factor = 1.0 + noise * float(rng.standard_normal()) if noise else 1.0
            self._load(truth, factor)
        for failure in disturbances.failures:
            self._push(failure.start_s, FAIL, (failure.pool_id, -failure.gpus))
            self._push(failure.end_s, FAIL, (failure.pool_id, failure.gpus))

    # -- what is there ------------------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return self.clock.now_s

    @property
    def drained(self) -> bool:
        """True when every job has ended."""
        return len(self.finished) == len(self.jobs)

    def free(self, pool_id: str) -> int:
        """GPUs of a pool that work and are idle."""
        return self.capacity[pool_id] - self.busy[pool_id]

    def fitting_pool(self, job: VirtualJob) -> str | None:
        """Emptiest eligible pool with room for the job and no insulated job waiting for it; None when there is none."""
        wanted = (job.pool_id,) if job.pool_id is not None and job.phase is JobPhase.PAUSED else job.pools
        fits = [name for name in wanted if name not in self.blocked and self.free(name) >= job.gpus]
        return max(fits, key=self.free) if fits else None

    def speed_of(self, job: VirtualJob, pool_id: str) -> float:
        """Speed that a waiting job would have on a pool under its present cap."""
        return self.curve.at(job.natural_w, job.cap_w, self.pools[pool_id].power)[1]

    # -- moving on ----------------------------------------------------------------------------------------------------

    def advance(self, until_s: float) -> None:
        """Process every event up to `until_s`, inclusive, and move the clock there."""
        while self._events and self._events[0][0] <= until_s:
            at_s = self._events[0][0]
            self.clock.move_to(max(at_s, self.now_s))
            while self._events and self._events[0][0] <= at_s:
                _, kind, _, payload = heapq.heappop(self._events)
                self._handle(kind, payload)
            self.dispatch()
        self.clock.move_to(until_s)

    def dispatch(self) -> None:
        """Start what may start now: insulated jobs first, then what the queueing rule allows."""
        self._start_insulated()
        self.queueing.start_ready(self)

    def meter_running(self) -> None:
        """Bring meters and progress of every running job up to now."""
        for job in self.running.values():
            self._meter(job)

    def order(self, at_s: float, command: Command) -> None:
        """Accept a command for an instant; commands of an earlier `epoch` that have not come due are void."""
        self._push(max(at_s, self.now_s), COMMAND, (self.epoch, command))

    def new_epoch(self) -> None:
        """Make every pending command void: a new plan replaces the old one."""
        self.epoch += 1

    # -- what a scheduler may do ---------------------------------------------------------------------------------------

    def release(self, job: VirtualJob) -> None:
        """Let a waiting job start as soon as it fits."""
        if not job.released:
            job.released, job.released_s = True, self.now_s

    def hold(self, job: VirtualJob, until_s: float | None) -> None:
        """Keep a waiting job from starting until `until_s`, when it lets go by itself."""
        job.released = False
        if until_s is not None and until_s != job.hold_until_s:
            self._push(max(until_s, self.now_s), HOLD_END, job.job_id)
        job.hold_until_s = until_s

    def start(self, job: VirtualJob, pool_id: str) -> None:
        """Start or resume a job on a pool that has room."""
        now_s = self.now_s
        if job.pause_start_s is not None:
            job.paused_s += now_s - job.pause_start_s
            job.pauses.append((job.pause_start_s, now_s))
            job.pause_start_s = None
        (self.insulated_queue if job.insulated else self.flexible_queue).remove(job)
        job.phase, job.pool_id, job.start_s, job.since_s = JobPhase.RUNNING, pool_id, now_s, now_s
        job.first_start_s = now_s if job.first_start_s is None else job.first_start_s
        job.hold_until_s = None
        self.busy[pool_id] += job.gpus
        self.running[job.job_id] = job
        self._set_speed(job)

    def stop(self, job: VirtualJob) -> None:
        """Stop a running job: its progress since the last checkpoint is lost; it stays on its pool's books until resumed."""
        self._take_off(job, lost_s=min(job.job_class.checkpoint_s, job.done_s), preempted=True)

    def set_cap(self, job: VirtualJob, cap_w: float | None) -> None:
        """Change the limit per GPU of a job, running or waiting; None gives the original limit back."""
        if job.cap_w == cap_w:
            return
        self._meter(job)
        job.cap_w = cap_w
        if job.running:
            self._set_speed(job)

    def let_go(self) -> None:
        """Nobody steers any more: holds end, caps expire."""
        self.new_epoch()
        for job in list(self.jobs.values()):
            if job.waiting and job.submit_s <= self.now_s:
                self.release(job)
            if job.waiting or job.running:
                self.set_cap(job, None)
        self.dispatch()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _load(self, truth: JobTruth, factor: float) -> None:
        """Take one job in; it appears at its submit time."""
        job, power = truth.job, self.site.pools[0].power
        fits = (job.pool_id,) if job.pool_id else tuple(self.pools)
        pools = tuple(name for name in fits if name in self.pools and self.pools[name].gpus >= job.gpus)
        if not pools:
            raise Misconfigured(
                f"{job.gpus} GPUs fit into no pool it may use", where=f"job {job.job_id}", expected="a larger pool"
            )
        natural_w = job.natural_power_w_per_gpu or 0.65 * power.gpu_max_w
        virtual = VirtualJob(
            truth=truth,
            job_class=self.site.job_class(job.class_name),
            submit_s=self.clock.seconds(job.submit_utc),
            due_s=None if job.deadline_utc is None else self.clock.seconds(job.deadline_utc),
            pools=pools,
            natural_w=float(np.clip(natural_w * factor, power.gpu_idle_w, power.gpu_max_w)),
        )
        self.jobs[job.job_id] = virtual
        self._push(virtual.submit_s, SUBMIT, job.job_id)

    def _push(self, at_s: float, kind: int, payload: object) -> None:
        """Put an event in order; equal instants keep their order of arrival within a kind."""
        self._count += 1
        heapq.heappush(self._events, (at_s, kind, self._count, payload))

    def _handle(self, kind: int, payload: object) -> None:
        """Apply one event."""
        if kind == END and isinstance(payload, tuple):
            job = self.jobs[payload[0]]
            if job.running and job.version == payload[1]:
                self._finish(job)
        elif kind == SUBMIT:
            self._submit(self.jobs[str(payload)])
        elif kind == HOLD_END:
            job = self.jobs[str(payload)]
            if job.waiting and job.hold_until_s is not None and self.now_s >= job.hold_until_s - EPS_S:
                self.release(job)
        elif kind == COMMAND and isinstance(payload, tuple) and payload[0] == self.epoch:
            self._obey(payload[1])
        elif kind == FAIL and isinstance(payload, tuple):
            self._change_capacity(payload[0], payload[1])

    def _submit(self, job: VirtualJob) -> None:
        """A job appears."""
        job.since_s = self.now_s
        if job.insulated:
            job.released = True
            self.insulated_queue.append(job)
            return
        self.flexible_queue.append(job)
        self.queueing.submitted(self, job)

    def _obey(self, command: Command) -> None:
        """Carry out a command that has come due, unless the world has moved on."""
        job = self.jobs[command.job_id]
        if job.submit_s > self.now_s or job.end_s is not None:
            return
        self._judge(job, command)
        if command.verb == "start" and job.waiting:
            self.set_cap(job, command.cap_w)
            job.hold_until_s = None
            self.release(job)
        elif command.verb == "stop" and job.running:
            self.stop(job)
            self.hold(job, command.until_s)
        elif command.verb == "cap" and (job.running or job.waiting):
            self.set_cap(job, command.cap_w)
        elif command.verb == "hold" and job.waiting:
            self.hold(job, command.until_s)

    def _judge(self, job: VirtualJob, command: Command) -> None:
        """Let the invariants see a command as it is carried out."""
        power = self.pools[job.pool_id or job.pools[0]].power
        cap_w = command.cap_w if command.verb in ("cap", "start") else None
        check_command(self.log, job, command.verb, self.now_s, self.curve.at(job.natural_w, cap_w, power)[1])

    def _start_insulated(self) -> None:
        """First come, first served; the pools that a waiting insulated job could use are closed to all behind it."""
        self.blocked = set()
        for job in list(self.insulated_queue):
            pool_id = self.fitting_pool(job)
            if pool_id is None:
                self.blocked.update(job.pools)
            else:
                self.start(job, pool_id)

    def _set_speed(self, job: VirtualJob) -> None:
        """Draw and speed at the present cap, and when the job ends with them."""
        power = self.pools[job.pool_id or ""].power
        job.draw_w, job.speed = self.curve.at(job.natural_w, job.cap_w, power)
        job.deepest_cap_speed = min(job.deepest_cap_speed, job.speed)
        job.version += 1
        self._push(self.now_s + max(0.0, job.work_s - job.done_s) / job.speed, END, (job.job_id, job.version))

    def _meter(self, job: VirtualJob) -> None:
        """Integrate power and occupation of a running job up to now."""
        if not job.running or job.pool_id is None or self.now_s <= job.since_s:
            return
        idle_w = self.pools[job.pool_id].power.gpu_idle_w
        begin_s, end_s = job.since_s, self.now_s
        self.draw_kw[job.pool_id].add(begin_s, end_s, kw_from_w(job.draw_w - idle_w) * job.gpus)
        self.gpus_busy[job.pool_id].add(begin_s, end_s, float(job.gpus))
        if job.insulated:
            self.insulated_busy.add(begin_s, end_s, float(job.gpus))
        job.progress_to(end_s)

    def _finish(self, job: VirtualJob) -> None:
        """The job has done its work."""
        self._meter(job)
        job.done_s = job.work_s
        job.phase, job.end_s = JobPhase.DONE, self.now_s
        job.version += 1
        self.busy[job.pool_id or ""] -= job.gpus
        del self.running[job.job_id]
        self.finished.append(job)

    def _take_off(self, job: VirtualJob, lost_s: float, preempted: bool) -> None:
        """Take a running job off its GPUs and back into the queue; it begins anew from its last saved progress."""
        self._meter(job)
        job.done_s -= lost_s
        job.redone_s += lost_s
        job.phase, job.pause_start_s, job.start_s = JobPhase.PAUSED, self.now_s, None
        job.preemptions += int(preempted)
        job.version += 1
        job.released = not preempted
        self.busy[job.pool_id or ""] -= job.gpus
        del self.running[job.job_id]
        (self.insulated_queue if job.insulated else self.flexible_queue).append(job)

    def _change_capacity(self, pool_id: str, change: int) -> None:
        """GPUs fail or return; the youngest jobs that no longer fit are killed and lose what they had not saved."""
        self.capacity[pool_id] += change
        while self.free(pool_id) < 0:
            here = [job for job in self.running.values() if job.pool_id == pool_id]
            victim = max(here, key=lambda job: (job.start_s or 0.0, job.job_id))
            saved_s = victim.job_class.checkpoint_s
            self._take_off(victim, lost_s=min(saved_s, victim.done_s) if saved_s > 0.0 else victim.done_s, preempted=False)
