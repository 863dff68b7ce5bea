"""Jobs as arrays, and every (job, start) pair that the plan may choose.

Time is counted in slots, money in EUR. A job's run is (start, pool, cap profile); whatever does not depend on pool and
profile is priced here once: waiting, the price of a stop, a hold that outlasts its end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scheduler.core.planning.frame import Frame
from scheduler.domain.problem import PlanJob, PlanProblem, PowerPoint
from scheduler.domain.time import BoolArray, FloatArray, IntArray
from scheduler.units import kw_from_w

# Share of the price of lateness that is charged on the learned q95 of the run time: lateness is dear and runs are uncertain.
TAIL_WEIGHT = 0.1
# After the end of a hold every hour costs as if late, and at least this many times the waiting price.
OVERDUE_WAITING = 10.0
OVERDUE_EUR_PER_GPU_H = 1.0
# Starts after the end of a hold are offered on every second, then fourth slot: they are a last resort.
OVERDUE_EVERY = 4
# Beyond this slot (two days of quarter hours) only every FAR_EVERY-th start is offered.
FAR_SLOTS, FAR_EVERY = 192, 4
# Slots from which on every second and every fourth start is enough to look for prices.
THIN_FROM = (16, 64)


# Stands in when there is no job, so that tables are never empty.
NOTHING = (PowerPoint(level=1.0, cap_w=0.0, draw_w=0.0, speed=1.0),)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JobTable:
    """Columns over jobs j. Prices are EUR per slot of the whole job; `due` and `work` in slots, inf without a deadline.

    kind: index of the job's set of power points. resumed_work: work after a stop. tail: extra slots at the q95 of the work.
    eligible: shape (jobs, pools).
    """

    ids: tuple[str, ...]
    gpus: FloatArray
    kind: IntArray
    eligible: BoolArray
    running: BoolArray
    stoppable: BoolArray
    work: FloatArray
    resumed_work: FloatArray
    tail: FloatArray
    release: IntArray
    latest: IntArray
    due: FloatArray
    waiting: FloatArray
    lateness: FloatArray
    slowdown: FloatArray
    overdue: FloatArray
    preemption: FloatArray
    unplaced: FloatArray
    kinds: tuple[tuple[PowerPoint, ...], ...]

    @property
    def count(self) -> int:
        """Number of jobs."""
        return len(self.ids)

    def lateness_eur(self, job: IntArray, end: FloatArray) -> FloatArray:
        """Cost of an end time in slots: lateness * [(e - due)+ + TAIL_WEIGHT ((e + tail - due)+ - (e - due)+)]."""
        return late_eur(self.lateness[job], self.due[job], self.tail[job], end)


def late_eur(price: FloatArray, due: FloatArray, tail: FloatArray, end: FloatArray) -> FloatArray:
    """Cost of ends in slots by price, due slot and tail of their jobs: see `JobTable.lateness_eur`."""
    late = end - due
    mean = np.maximum(late, 0.0)
    mean *= 1.0 - TAIL_WEIGHT
    late += tail
    np.maximum(late, 0.0, out=late)
    late *= TAIL_WEIGHT
    late += mean
    late *= price
    return late


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs:
    """Allowed (job, start) pairs, sorted by job then start; `first[j]` is the first pair of job j (one entry more than jobs).

    fixed_eur: waiting + stop + overdue hold - slowdown price of the ideal run time, so that slowdown may be charged per slot.
    """

    job: IntArray
    start: IntArray
    work: FloatArray
    fixed_eur: FloatArray
    first: IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Runs:
    """Runs (job, start, work) with what pricing asks of their jobs, looked up once: they are priced at many profiles."""

    job: IntArray
    start: IntArray
    work: FloatArray
    kind: IntArray
    gpus: FloatArray
    slowdown: FloatArray
    lateness: FloatArray
    due: FloatArray
    tail: FloatArray

    def take(self, index: IntArray | BoolArray | slice) -> Runs:
        """Some of them."""
        return Runs(**{name: getattr(self, name)[index] for name in self.__slots__})

    def late_eur(self, end: FloatArray) -> FloatArray:
        """Cost of their ends in slots."""
        return late_eur(self.lateness, self.due, self.tail, end)


def runs_of(table: JobTable, job: IntArray, start: IntArray, work: FloatArray) -> Runs:
    """Look up the jobs of runs."""
    return Runs(
        job=job,
        start=start,
        work=work,
        kind=table.kind[job],
        gpus=table.gpus[job],
        slowdown=table.slowdown[job],
        lateness=table.lateness[job],
        due=table.due[job],
        tail=table.tail[job],
    )


def job_table(problem: PlanProblem, frame: Frame) -> JobTable:
    """Write the jobs of a problem as columns."""
    jobs = problem.jobs
    kinds: dict[tuple[PowerPoint, ...], int] = {}
    kind = np.array([kinds.setdefault(job.points, len(kinds)) for job in jobs], dtype=np.int64)
    eligible = np.zeros((len(jobs), len(problem.pools)), dtype=np.bool_)
    for index, job in enumerate(jobs):
        eligible[index, list(job.pools if job.running_pool is None else (job.running_pool,))] = True
    slot_s, slot_h = frame.slot_s, frame.slot_h
    work = _column(jobs, "work_s") / slot_s
    gpus = _column(jobs, "gpus")
    running = np.array([job.running_pool is not None for job in jobs], dtype=np.bool_)
    waiting, lateness = _column(jobs, "waiting_eur_per_h") * slot_h, _column(jobs, "lateness_eur_per_h") * slot_h
    latest = [frame.slots if job.latest_start_slot is None else job.latest_start_slot for job in jobs]
    return JobTable(
        ids=tuple(job.job_id for job in jobs),
        gpus=gpus,
        kind=kind,
        eligible=eligible,
        running=running,
        stoppable=np.array([job.stoppable and job.stop_slot <= 0 for job in jobs], dtype=np.bool_) & running,
        work=np.maximum(work, 1e-6),
        resumed_work=np.maximum(work + _column(jobs, "resume_work_s") / slot_s, 1e-6),
        tail=np.maximum(0.0, _column(jobs, "tail_work_s") / slot_s - work),
        release=np.where(running, 0, np.array([max(0, job.release_slot) for job in jobs], dtype=np.int64)),
        latest=np.array(latest, dtype=np.int64),
        due=np.array([np.inf if job.due_s is None else job.due_s / slot_s for job in jobs]),
        waiting=waiting,
        lateness=lateness,
        slowdown=_column(jobs, "slowdown_eur_per_h") * slot_h,
        overdue=np.maximum(np.maximum(lateness, OVERDUE_WAITING * waiting), gpus * OVERDUE_EUR_PER_GPU_H * slot_h),
        preemption=_column(jobs, "preemption_eur"),
        unplaced=_column(jobs, "unplaced_eur"),
        kinds=tuple(kinds) or (NOTHING,),
    )


def _column(jobs: tuple[PlanJob, ...], name: str) -> FloatArray:
    """One attribute of all jobs."""
    return np.array([getattr(job, name) for job in jobs], dtype=np.float64)


def pairs_of(table: JobTable, frame: Frame) -> Pairs:
    """All allowed starts of all jobs.

    Queued: every slot from release to the end of the hold, then every OVERDUE_EVERY-th slot at the overdue price. Running:
    slot 0 (go on) and, when it may be stopped now, every later slot as a resume.
    """
    slot = np.arange(frame.slots)
    end = np.maximum(table.latest, table.release)
    queued = (slot >= table.release[:, None]) & ((slot <= end[:, None]) | ((slot - end[:, None] - 1) % OVERDUE_EVERY == 0))
    sparse = (slot < FAR_SLOTS) | (slot % FAR_EVERY == 0) | (slot == end[:, None]) | (slot == table.release[:, None])
    allowed = np.where(table.running[:, None], (slot == 0) | table.stoppable[:, None], queued) & sparse
    job, start = np.nonzero(allowed)
    resumed = table.running[job] & (start > 0)
    over = np.where(table.running[job], 0, np.maximum(0, start - end[job]))
    fixed = table.waiting[job] * np.maximum(0, start - table.release[job]) + table.overdue[job] * over
    fixed = fixed + np.where(resumed, table.preemption[job], 0.0) - table.slowdown[job] * table.work[job]
    return Pairs(
        job=job,
        start=start,
        work=np.where(resumed, table.resumed_work[job], table.work[job]),
        fixed_eur=fixed,
        first=np.searchsorted(job, np.arange(table.count + 1)),
    )


def thinned(pairs: Pairs) -> tuple[Pairs, IntArray]:
    """Fewer starts where a slot matters less, to look for prices: all, every second, every fourth; a job keeps its first.

    Returns the pairs and where they are among the given ones.
    """
    start = pairs.start
    keep = (start < THIN_FROM[0]) | ((start < THIN_FROM[1]) & (start % 2 == 0)) | (start % 4 == 0)
    keep[pairs.first[:-1][pairs.first[1:] > pairs.first[:-1]]] = True
    index = np.nonzero(keep)[0]
    return taken(pairs, index), index


def taken(pairs: Pairs, index: IntArray) -> Pairs:
    """Some of the pairs, in rising order."""
    job = pairs.job[index]
    return Pairs(
        job=job,
        start=pairs.start[index],
        work=pairs.work[index],
        fixed_eur=pairs.fixed_eur[index],
        first=np.searchsorted(job, np.arange(len(pairs.first))),
    )


def draw_table_kw(problem: PlanProblem, table: JobTable) -> tuple[FloatArray, FloatArray]:
    """Extra draw per GPU in kW, shape (kinds, pools, levels), and speed, shape (kinds, levels); the slowest level pads."""
    levels = max((len(points) for points in table.kinds), default=1)
    draw = np.zeros((len(table.kinds), len(problem.pools), levels))
    speed = np.ones((len(table.kinds), levels))
    idle_w = np.array([pool.idle_w for pool in problem.pools])
    for index, points in enumerate(table.kinds):
        padded = [*points, *[points[-1]] * (levels - len(points))]
        draw_w = np.array([point.draw_w for point in padded])
        draw[index] = np.array([[kw_from_w(float(one - idle)) for one in draw_w] for idle in idle_w])
        speed[index] = [point.speed for point in padded]
    return draw, speed
