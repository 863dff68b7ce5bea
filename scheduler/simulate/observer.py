"""What a planner sees of the virtual world: a snapshot made by the information model, never by the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from scheduler.domain.job import JobPhase, JobState
from scheduler.domain.site import DemandSource
from scheduler.domain.snapshot import FinishedJob, Freshness, History, PlantState, Snapshot
from scheduler.domain.time import FloatArray, Series, TimeGrid
from scheduler.domain.world import Scenario
from scheduler.simulate.knowledge import Knowledge, coming_part, known_part, price_part
from scheduler.simulate.metering import SlotMeter
from scheduler.simulate.record import Readings, Record, column
from scheduler.simulate.virtual_cluster import VirtualCluster
from scheduler.simulate.virtual_job import VirtualJob
from scheduler.units import h_from_s

# With durations told in advance the learned ratio must be one: so many finished jobs say so.
CERTAIN_JOBS = 2000


class ArrivalBook:
    """Declared GPU-hours submitted per slot and class, counted as jobs come."""

    def __init__(self, scenario: Scenario, slot_s: int) -> None:
        """Count every job at its submit time; readers see only the past of the arrays."""
        self.slot_s = slot_s
        self.meters = {one.name: SlotMeter(slot_s) for one in scenario.site.classes}
        for truth in scenario.jobs:
            job = truth.job
            at_s = (job.submit_utc - scenario.start_utc).total_seconds()
            gpu_h = job.gpus * h_from_s(job.declared_duration_s)
            slot = max(0.0, at_s // slot_s)
            # A rate over the whole slot whose mean is the sum of what came in it.
            self.meters[job.class_name].add(slot * slot_s, (slot + 1) * slot_s, gpu_h)

    def past(self, grid: TimeGrid) -> dict[str, Series]:
        """GPU-hours per slot on a grid that ends now."""
        return {
            name: Series(grid=grid, values=meter.means(grid.slots).copy(), unit="GPU-h", source="jobs")
            for name, meter in self.meters.items()
        }


class VirtualObserver:
    """Builds snapshots of a virtual cluster and plant."""

    def __init__(self, scenario: Scenario, slot_s: int, knowledge: Knowledge) -> None:
        """Keep what does not change."""
        self.scenario, self.slot_s, self.knowledge = scenario, slot_s, knowledge
        self.arrivals = ArrivalBook(scenario, slot_s)
        self.sequence = 0
        self.ended: list[FinishedJob] = []

    def observe(self, now_utc: datetime, cluster: VirtualCluster, record: Record, plants: Sequence[PlantState]) -> Snapshot:
        """See everything that is known now; commitments are added by whoever keeps them."""
        cluster.meter_running()
        self.sequence += 1
        scenario = self.scenario
        history = self.history(now_utc, cluster, record)
        return Snapshot(
            observed_utc=now_utc,
            sequence=self.sequence,
            jobs=self.states(cluster),
            history=history,
            plants=tuple(plants),
            available_gpus=dict(cluster.capacity),
            plant_forecast_kw=self.told_demand(now_utc),
            freshness=(
                Freshness(source="jobs", age_s=0.0, max_age_s=900.0),
                Freshness(source="price", age_s=0.0, max_age_s=86400.0),
                Freshness(source="heat_demand", age_s=0.0, max_age_s=86400.0),
            ),
            intake_ends_utc=scenario.start_utc + timedelta(days=scenario.days),
            peak_kw=max(record.it_kw, default=0.0) * (1.0 + scenario.site.overhead_fraction_of_it),
        )

    def history(self, now_utc: datetime, cluster: VirtualCluster, record: Record) -> History:
        """The past up to now: the scenario's series and what this run has done."""
        series, site = self.scenario.series, self.scenario.site
        demand = known_part(series.heat_demand_kw, now_utc, now_utc)
        own = TimeGrid(start_utc=self.scenario.start_utc, slot_s=self.slot_s, slots=record.slots)
        told_utc = now_utc + self.knowledge.ahead if self.knowledge.true_heat_and_weather else now_utc
        return History(
            price=price_part(series.price_eur_per_kwh, now_utc, site.time_zone, self.knowledge),
            carbon=known_part(series.carbon_g_per_kwh, now_utc, now_utc),
            outdoor=known_part(series.outdoor_c, now_utc, told_utc),
            heat_demand_kw={one.offtake_id: demand for one in site.offtakes if one.demand_source is not DemandSource.CONSTANT},
            captured_kw={name: on_grid(one.captured_kw, own, "kW") for name, one in record.plugs.items()},
            delivered_kw={name: on_grid(one.handed_over_kw, own, "kW") for name, one in record.plugs.items()},
            insulated_gpus=Series(
                grid=own, values=cluster.insulated_busy.means(own.slots).copy(), unit="GPU", source="cluster"
            ),
            arrived_gpu_h=self.arrivals.past(own),
            finished=self.finished(cluster),
        )

    def told_demand(self, now_utc: datetime) -> dict[str, Series]:
        """The truth about demand, as if the plant had forecast it, when the switch says so."""
        if not self.knowledge.true_heat_and_weather:
            return {}
        coming = coming_part(self.scenario.series.heat_demand_kw, now_utc, self.knowledge)
        offtakes = self.scenario.site.offtakes
        return {one.offtake_id: coming for one in offtakes if one.demand_source is not DemandSource.CONSTANT}

    def finished(self, cluster: VirtualCluster) -> tuple[FinishedJob, ...]:
        """Finished jobs in order of ending; with durations told in advance, enough of them to leave no doubt."""
        if not self.knowledge.true_durations:
            # Jobs end once: over a year, writing them all down again every hour would take longer than planning.
            self.ended += [finished_job(job, job.declared_s) for job in cluster.finished[len(self.ended) :]]
            return tuple(self.ended)
        ended = [job for job in cluster.finished] or list(cluster.jobs.values())
        certain = [finished_job(job, job.work_s) for job in ended]
        return tuple(certain * (1 + CERTAIN_JOBS // max(1, len(certain))))

    def states(self, cluster: VirtualCluster) -> tuple[JobState, ...]:
        """Jobs that have been submitted and have not ended, in order of submission; announced ones after them."""
        horizon_s = self.knowledge.horizon.total_seconds() if self.knowledge.known_arrivals else 0.0
        seen = [
            job for job in cluster.jobs.values() if job.phase is not JobPhase.DONE and job.submit_s <= cluster.now_s + horizon_s
        ]
        return tuple(self.state(job, cluster) for job in seen)

    def state(self, job: VirtualJob, cluster: VirtualCluster) -> JobState:
        """One job as it is seen: progress is known, what is left of it is not."""
        clock = cluster.clock
        told = replace(job.truth.job, declared_duration_s=job.work_s) if self.knowledge.true_durations else job.truth.job
        return JobState(
            job=told,
            phase=job.phase,
            pool_id=job.pool_id if job.running or job.phase is JobPhase.PAUSED else None,
            started_utc=None if job.start_s is None else clock.at(job.start_s),
            first_started_utc=None if job.first_start_s is None else clock.at(job.first_start_s),
            work_done_s=job.done_s,
            run_s=0.0 if job.start_s is None else cluster.now_s - job.start_s,
            paused_s=job.paused_s + (0.0 if job.pause_start_s is None else cluster.now_s - job.pause_start_s),
            preemptions=job.preemptions,
            cap_w=job.cap_w,
            pause_start_utc=None if job.pause_start_s is None else clock.at(job.pause_start_s),
        )


def on_grid(values: Readings, grid: TimeGrid, unit: str) -> Series:
    """A recorded column as a series."""
    return Series(grid=grid, values=column(values), unit=unit, source="meter")


def finished_job(job: VirtualJob, declared_s: float) -> FinishedJob:
    """What is learned from a job that has ended."""
    return FinishedJob(
        class_name=job.job_class.name,
        declared_duration_s=declared_s,
        real_duration_s=job.work_s,
        gpus=job.gpus,
        natural_power_w_per_gpu=job.natural_w,
    )


def last_known(series: Series, now_utc: datetime, back: timedelta = timedelta(hours=6)) -> float:
    """Latest known value of a series of the past, NaN when there is none within `back`."""
    part = known_part(series, now_utc, now_utc)
    slots = max(1, int(back.total_seconds() // part.grid.slot_s))
    recent: FloatArray = part.values[-slots:]
    known = recent[np.isfinite(recent)]
    return float(known[-1]) if len(known) else float("nan")
