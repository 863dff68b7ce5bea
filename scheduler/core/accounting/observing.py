"""One look after the other at a live cluster: what was seen becomes slots, ended jobs, and job states with what was learned.

The memory between looks is a value of plain parts: written down with every append of what it told (one transaction), it makes a
restart go on in the middle of a slot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from scheduler.core.accounting.arrived import Arrivals, arrival_of, arrived, unsettled
from scheduler.core.accounting.counted import Counter, counted
from scheduler.core.accounting.draws import (
    DrawHistogram,
    DrawRule,
    DrawSample,
    NaturalDraws,
    learned,
    natural_draw_w,
    natural_draws_w,
    shows_natural_draw,
)
from scheduler.core.accounting.ended import JobWork, ended_job, found_running, speed_under, stopped, worked
from scheduler.core.accounting.metering import MeterRule, Reading
from scheduler.core.accounting.observed import Meter, Sample, SampleRule, metered
from scheduler.domain.job import Flexibility, JobPhase, JobState
from scheduler.domain.observed import INSULATED_GPUS, EndedJob, Past
from scheduler.domain.site import Site
from scheduler.domain.time import Series


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLook:
    """One job as it is seen now.

    workload: what its owner calls jobs of this kind, the same from run to run. started_utc: when it began to run first.
    succeeded_utc: when it had done its work; a job that failed has none. draw_w: mean draw per GPU now, None without a meter.
    """

    job_uid: str
    workload: str
    state: JobState
    started_utc: datetime | None = None
    succeeded_utc: datetime | None = None
    draw_w: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was seen at one instant; `jobs` is the whole list, or None when it is not known to be whole."""

    now_utc: datetime
    jobs: tuple[JobLook, ...] | None
    samples: tuple[Sample, ...] = ()
    counters: Mapping[str, tuple[Reading, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LookRules:
    """How looks are read; `counters` by key, what can be believed of each energy counter."""

    sample: SampleRule = field(default_factory=SampleRule)
    draw: DrawRule = field(default_factory=DrawRule)
    counters: Mapping[str, MeterRule] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What goes on from look to look: open slots, progress of the jobs that are there, learned draws.

    ended: jobs that are still listed and were told to have ended.
    """

    meters: dict[str, Meter] = field(default_factory=dict)
    counters: dict[str, Counter] = field(default_factory=dict)
    arrivals: Arrivals = field(default_factory=Arrivals)
    works: dict[str, JobWork] = field(default_factory=dict)
    draws: dict[str, dict[str, DrawHistogram]] = field(default_factory=dict)
    ended: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Told:
    """What a look has told: `past` to keep, `fresh` to look at until it is settled, and the jobs that have not ended.

    The states carry the progress and the natural draw that were learned here; there are none when the list was not whole.
    """

    past: Past
    fresh: Past
    jobs: tuple[JobState, ...]


def observe(site: Site, memory: Memory, look: Look, rules: LookRules) -> tuple[Memory, Told]:
    """Take one look; the same looks tell the same, whatever restarts lie between them."""
    now_utc, names = look.now_utc, tuple(one.name for one in site.classes)
    samples = (*look.samples, *_busy(site, look))
    meters, slots = metered(memory.meters, samples, now_utc, rules.sample)
    counters, energies = _count(memory.counters, look, rules)
    after = replace(memory, meters=meters, counters=counters)
    if look.jobs is None:
        return after, Told(past=Past(series=slots | energies), fresh=Past(), jobs=())
    arrivals, came = arrived(
        memory.arrivals, (arrival_of(one.job_uid, one.state.job) for one in look.jobs), now_utc, names, rules.sample
    )
    draws = learned(memory.draws, _drawn(look.jobs), now_utc, rules.draw)
    after = replace(after, arrivals=arrivals, draws=draws)
    natural = natural_draws_w(draws, rules.draw)
    after, ended = _follow(site, after, look, natural, rules)
    states = tuple(_known(one, after, natural) for one in look.jobs if one.state.phase is not JobPhase.DONE)
    fresh = unsettled(arrivals, now_utc, names, rules.sample)
    return after, Told(past=Past(series=slots | energies | came, ended=ended), fresh=Past(series=fresh), jobs=states)


def _busy(site: Site, look: Look) -> tuple[Sample, ...]:
    """GPUs that run insulated work now."""
    if look.jobs is None:
        return ()
    insulated = {one.name for one in site.classes if one.flexibility is Flexibility.INSULATED}
    busy = sum(
        one.state.job.gpus for one in look.jobs if one.state.phase is JobPhase.RUNNING and one.state.job.class_name in insulated
    )
    return (Sample(key=INSULATED_GPUS, at_utc=look.now_utc, value=float(busy)),)


def _count(counters: Mapping[str, Counter], look: Look, rules: LookRules) -> tuple[dict[str, Counter], dict[str, Series]]:
    """Take new readings of every counter there is a rule for."""
    after: dict[str, Counter] = {}
    found: dict[str, Series] = {}
    for key, rule in rules.counters.items():
        after[key], series = counted(counters.get(key, Counter()), look.counters.get(key, ()), look.now_utc, rule)
        if series is not None:
            found[key] = series
    return after, found


def _drawn(jobs: Iterable[JobLook]) -> list[DrawSample]:
    """Draws of the jobs that draw what they would."""
    return [
        DrawSample(class_name=one.state.job.class_name, workload=one.workload, draw_w=one.draw_w)
        for one in jobs
        if one.draw_w is not None and shows_natural_draw(one.state)
    ]


def natural_w(one: JobLook, natural: NaturalDraws) -> float | None:
    """Natural draw per GPU of a job: as its owner states, else as learned."""
    stated = one.state.job.natural_power_w_per_gpu
    return natural_draw_w(natural, one.state.job.class_name, one.workload) if stated is None else stated


def _follow(
    site: Site, memory: Memory, look: Look, natural: NaturalDraws, rules: LookRules
) -> tuple[Memory, tuple[EndedJob, ...]]:
    """Bring the progress of every job up to now, and tell those that have done their work since the last look."""
    before = set(memory.ended)
    works: dict[str, JobWork] = {}
    listed: list[str] = []
    ended: list[EndedJob] = []
    for one in look.jobs or ():
        if one.succeeded_utc is not None:
            listed.append(one.job_uid)
            work = None if one.job_uid in before else _last_work(one, memory)
            if work is not None:
                draw_w = natural_draw_w(natural, one.state.job.class_name, one.workload)
                ended.append(ended_job(one.state.job, one.job_uid, one.workload, work, one.succeeded_utc, draw_w))
        elif one.state.phase is not JobPhase.DONE:
            speed = speed_under(site.caps, one.state.cap_w, natural_w(one, natural))
            work = _work(site, one, memory.works.get(one.job_uid), look.now_utc, speed, rules)
            if work is not None:
                works[one.job_uid] = work
    return replace(memory, works=works, ended=tuple(listed)), tuple(ended)


def _work(site: Site, one: JobLook, known: JobWork | None, now_utc: datetime, speed: float, rules: LookRules) -> JobWork | None:
    """Progress of a job that goes on at `speed` if it runs; None before it has run."""
    state = one.state
    running = state.phase is JobPhase.RUNNING and state.started_utc is not None
    if known is None:
        if not running and state.work_done_s <= 0.0:
            return None
        # What was saved before we looked is as its marks say.
        known = JobWork(at_utc=now_utc, work_s=state.work_done_s, speed=0.0, stops=state.preemptions)
    elif state.preemptions > known.stops:
        lost_s = next((job.checkpoint_s for job in site.classes if job.name == state.job.class_name), 0.0)
        known = replace(stopped(known, state.pause_start_utc or now_utc, lost_s), stops=state.preemptions)
    if running and known.speed <= 0.0 and state.started_utc is not None and state.started_utc > known.at_utc:
        known = worked(known, state.started_utc, speed)
    return worked(known, now_utc, speed if running else 0.0, rules.sample.hold_s)


def _last_work(one: JobLook, memory: Memory) -> JobWork | None:
    """Progress up to the last look; of a job that ended unseen its whole run, unless it was stopped: then nobody knows."""
    known = memory.works.get(one.job_uid)
    if known is not None or one.started_utc is None or one.succeeded_utc is None or one.state.preemptions:
        return known
    return found_running(one.started_utc, one.succeeded_utc)


def _known(one: JobLook, memory: Memory, natural: NaturalDraws) -> JobState:
    """The state of a job with its progress and its natural draw, as far as they are known."""
    state, work, draw_w = one.state, memory.works.get(one.job_uid), natural_w(one, natural)
    job = state.job if draw_w == state.job.natural_power_w_per_gpu else replace(state.job, natural_power_w_per_gpu=draw_w)
    work_s = state.work_done_s if work is None else work.work_s
    return state if job is state.job and work_s == state.work_done_s else replace(state, job=job, work_done_s=work_s)
