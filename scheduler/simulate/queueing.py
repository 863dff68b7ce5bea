"""Which released job starts next: strict order, EASY backfill or first fit, behind a gate that releases jobs."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Protocol

from scheduler.domain.job import JobPhase
from scheduler.simulate.virtual_cluster import VirtualCluster
from scheduler.simulate.virtual_job import VirtualJob


class Discipline(StrEnum):
    """How released jobs that wait for room are ordered."""

    STRICT = "strict"
    EASY = "easy"
    FIRST_FIT = "firstFit"


class Gate(Protocol):
    """Lets flexible jobs through to the queue."""

    def submitted(self, cluster: VirtualCluster, job: VirtualJob) -> None:
        """Answer a new job: release or hold it."""
        ...

    def opens(self, cluster: VirtualCluster, job: VirtualJob) -> bool:
        """True when a waiting job that is not released yet may be released now."""
        ...


class OpenGate:
    """Every job is released when it comes."""

    def submitted(self, cluster: VirtualCluster, job: VirtualJob) -> None:
        """Release."""
        cluster.release(job)

    def opens(self, cluster: VirtualCluster, job: VirtualJob) -> bool:
        """Always."""
        return True


class Queue:
    """A gate and a discipline."""

    def __init__(self, gate: Gate, discipline: Discipline) -> None:
        """Join the two."""
        self.gate, self.discipline = gate, discipline

    def submitted(self, cluster: VirtualCluster, job: VirtualJob) -> None:
        """Pass a new job to the gate."""
        self.gate.submitted(cluster, job)

    def start_ready(self, cluster: VirtualCluster) -> None:
        """Release what the gate opens for, one by one in order of submission, and start what the discipline allows."""
        for job in list(cluster.flexible_queue):
            if not job.released and self.gate.opens(cluster, job):
                cluster.release(job)
                self._start(cluster)
        self._start(cluster)

    def _start(self, cluster: VirtualCluster) -> None:
        """Start released jobs by the discipline."""
        ready = sorted(
            (job for job in cluster.flexible_queue if job.released), key=lambda job: (job.released_s, job.submit_s, job.job_id)
        )
        if not ready:
            return
        if self.discipline is Discipline.FIRST_FIT:
            start_fitting(cluster, ready)
            return
        head = start_in_order(cluster, ready)
        if head is not None and self.discipline is Discipline.EASY:
            backfill(cluster, head, [job for job in ready if job is not head and job.waiting])


def start_fitting(cluster: VirtualCluster, ready: Iterable[VirtualJob]) -> None:
    """Start every job that fits, in order."""
    for job in ready:
        pool_id = cluster.fitting_pool(job)
        if pool_id is not None:
            cluster.start(job, pool_id)


def start_in_order(cluster: VirtualCluster, ready: Iterable[VirtualJob]) -> VirtualJob | None:
    """Start jobs in order until one does not fit; return that one (the head), None when all started."""
    for job in ready:
        pool_id = cluster.fitting_pool(job)
        if pool_id is None:
            return job
        cluster.start(job, pool_id)
    return None


def reservation(cluster: VirtualCluster, head: VirtualJob) -> tuple[str, float, int]:
    """Where and when the head can start if declarations hold, and how many GPUs it leaves over there: (pool, at_s, spare).

    A job that has outrun its declaration is expected to end now. A pool closed for insulated jobs counts like any other.
    """
    pools = (head.pool_id,) if head.pool_id is not None and head.phase is JobPhase.PAUSED else head.pools
    best: tuple[str, float, int] | None = None
    for pool_id in pools:
        free, at_s = cluster.free(pool_id), cluster.now_s
        ends = sorted(
            (cluster.now_s + job.declared_left_s(), job.gpus) for job in cluster.running.values() if job.pool_id == pool_id
        )
        for end_s, gpus in ends:
            if free >= head.gpus:
                break
            free, at_s = free + gpus, end_s
        if free >= head.gpus and (best is None or at_s < best[1]):
            best = pool_id, at_s, free - head.gpus
    return best or (pools[0], float("inf"), 0)


def backfill(cluster: VirtualCluster, head: VirtualJob, others: Iterable[VirtualJob]) -> None:
    """Start jobs behind the head that fit now and, by their declarations, do not delay it (EASY, Lifka 1995)."""
    cluster.meter_running()
    pool, at_s, spare = reservation(cluster, head)
    for job in others:
        target = cluster.fitting_pool(job)
        if target is None:
            continue
        ends_in_time = cluster.now_s + max(0.0, job.declared_s - job.done_s) / cluster.speed_of(job, target) <= at_s
        if target != pool or ends_in_time:
            cluster.start(job, target)
        elif job.gpus <= spare:
            spare -= job.gpus
            cluster.start(job, target)
