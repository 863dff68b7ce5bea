"""Equal jobs keep their places from plan to plan.

Many jobs of a cluster are alike: same size, same work, same prices. Which of them starts at which of the planned times costs
the same, so a solver picks anew each time, and their owners would read of another start in every cycle. Here whole runs change
hands among jobs that are alike until as many as possible have the start and the pool they had; money, heat and loads stay.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from scheduler.domain.plan import Plan, PlannedJob, RunOption
from scheduler.domain.problem import PlanJob, PlanProblem

Place = tuple[int, int]
"""Start slot and pool of the largest part of a job."""


def settled(problem: PlanProblem, jobs: Sequence[PlannedJob], last: Plan | None) -> tuple[PlannedJob, ...]:
    """The same runs, given to the jobs that had them in the last plan, as far as that costs nothing.

    Args:
        problem: what was planned.
        jobs: as planned, in the order of `problem.jobs`.
        last: an earlier plan; None changes nothing.
    """
    if last is None or last.grid.slot_s != problem.grid.slot_s:
        return tuple(jobs)
    wanted = _places(last, last.grid.slot_of(problem.grid.start_utc))
    alike: dict[object, list[int]] = defaultdict(list)
    for number, (job, planned) in enumerate(zip(problem.jobs, jobs, strict=True)):
        if _free(problem, job, planned.options) and planned.unplaced_fraction == 0.0 and not planned.stopped:
            alike[_kind(job)].append(number)
    found = list(jobs)
    for group in alike.values():
        if len(group) > 1:
            _exchange(problem, found, group, wanted)
    return tuple(found)


def _places(last: Plan, elapsed: int) -> dict[str, Place]:
    """Where the last plan had each job, in slots of now."""
    mains = ((planned.job_id, planned.main) for planned in last.jobs)
    return {name: (main.start_slot - elapsed, main.pool) for name, main in mains if main is not None}


def _kind(job: PlanJob) -> object:
    """All by which a run costs one job other than another; submission and ends are looked at run by run."""
    return (job.gpus, job.pools, job.work_s, job.points, job.waiting_eur_per_h, job.slowdown_eur_per_h)


def _free(problem: PlanProblem, job: PlanJob, options: tuple[RunOption, ...]) -> bool:
    """Whether a job that waits may have these runs, and none costs it more than its waiting: within its hold, never late.

    Waiting is paid by the slot, so that an exchange costs one what it saves the other.
    """
    if job.running_pool is not None or not options:
        return False
    first, last = min(one.start_slot for one in options), max(one.start_slot for one in options)
    if first < job.release_slot or (job.latest_start_slot is not None and last > job.latest_start_slot):
        return False
    longer_s = max(0.0, job.tail_work_s - job.work_s)
    end_s = max(one.end_slot for one in options) * problem.grid.slot_s
    return job.due_s is None or end_s + longer_s <= job.due_s


def _exchange(problem: PlanProblem, found: list[PlannedJob], group: list[int], wanted: dict[str, Place]) -> None:
    """Give jobs of one kind what they had, in the order of their numbers."""
    has: dict[Place, list[int]] = defaultdict(list)
    for number in group:
        place = _at(found[number])
        if place != wanted.get(found[number].job_id):
            has[place].append(number)
    for number in group:
        mine, had = _at(found[number]), wanted.get(found[number].job_id)
        if had is None or mine == had:
            continue
        other = next((one for one in has[had] if one != number and _may(problem, found, number, one)), None)
        if other is None:
            continue
        one, two = found[number].options, found[other].options
        found[number], found[other] = _with(found[number], two), _with(found[other], one)
        has[had].remove(other)
        has[mine].remove(number)
        if mine != wanted.get(found[other].job_id):
            has[mine].append(other)


def _may(problem: PlanProblem, found: list[PlannedJob], one: int, two: int) -> bool:
    """Whether two jobs may have each other's runs."""
    jobs = problem.jobs
    return _free(problem, jobs[one], found[two].options) and _free(problem, jobs[two], found[one].options)


def _at(planned: PlannedJob) -> Place:
    main = planned.main
    assert main is not None
    return main.start_slot, main.pool


def _with(planned: PlannedJob, options: tuple[RunOption, ...]) -> PlannedJob:
    return PlannedJob(job_id=planned.job_id, options=options)
