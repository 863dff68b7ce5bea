"""The operator's watcher over hours of a cluster in its stores: what it saw is in the next snapshot, whatever happens."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kube_world import CLASSES, POOLS
from small_world import ACTING, small_site
from watched_cluster import Cluster, Told, at, job_of

from scheduler.adapters.clock import SystemClock
from scheduler.adapters.history.memory import MemoryHistory
from scheduler.adapters.history.sql import SqlHistory
from scheduler.adapters.kubernetes.operator.book import Book
from scheduler.adapters.kubernetes.operator.looks import Departed
from scheduler.adapters.kubernetes.operator.reconcile import Desk
from scheduler.adapters.kubernetes.operator.view import Governance, Reader
from scheduler.adapters.kubernetes.runtime.fence import Term
from scheduler.adapters.metrics.registry import Metrics
from scheduler.core.accounting.modelled import METER, MODEL
from scheduler.domain.errors import Retryable
from scheduler.domain.observed import Past
from scheduler.domain.snapshot import Snapshot
from scheduler.domain.telemetry import GpuDraw, NodeDraw
from scheduler.domain.time import Series
from scheduler.entrypoints.operator.observing import ClusterObserver
from scheduler.entrypoints.operator.watching import Sight, Watcher
from scheduler.ports import HistoryStore

LAST_MIN = 200


@dataclass(slots=True)
class Watch:
    """A watcher of a cluster, and an observer for the cycle."""

    cluster: Cluster
    store: HistoryStore
    notes: list[str] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)
    blind_s: float | None = 0.0
    draws: dict[str, NodeDraw] = field(default_factory=dict)
    watcher: Watcher = field(init=False)

    def __post_init__(self) -> None:
        self.watcher = Watcher(
            Sight(
                desks=lambda: (self.desk(),),
                departed=Departed(self.cluster.stores.jobs).take,
                blind_s=lambda: self.blind_s,
                readings=lambda _now_utc: (),
                store=self.store,
                metrics=self.metrics,
                clock=self.cluster,
                note=self.notes.append,
                draws=lambda: self.draws,
            )
        )
        self.watcher.begin()

    def desk(self) -> Desk:
        small = replace(small_site(pools=2), classes=tuple(CLASSES.values()))
        sizes = (("north", 16), ("south", 8))
        pools = tuple(replace(one, pool_id=name, gpus=gpus) for one, (name, gpus) in zip(small.pools, sizes, strict=True))
        rules = Governance(policy="p", site=replace(small, pools=pools), settings=ACTING, pools=POOLS)
        return Desk(governance=rules, reader=Reader(self.cluster.stores, rules), book=Book(), rooms=tuple)

    def over(self, first: int, last: int) -> None:
        """One look a minute."""
        for minute in range(first, last + 1):
            self.cluster.show(minute)
            self.watcher.look()

    def snapshot(self) -> Snapshot:
        observer = ClusterObserver(self.desk, self.watcher.past, lambda _now_utc: (), blind_s=lambda: self.blind_s)
        return asyncio.run(observer.snapshot(self.cluster.now_utc()))

    def gauge(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"heatdispatch_{name}", labels)


def node_draw(name: str, draw_w: float, *, pod_uid: str = "", wall_w: float | None = None) -> NodeDraw:
    """A node whose eight GPUs draw alike, all held by one pod."""
    gpus = tuple(GpuDraw(uuid=f"GPU-{name}-{number}", pod_uid=pod_uid, draw_w=draw_w) for number in range(8))
    return NodeDraw(node=name, measured_utc=at(0), gpus=gpus, wall_w=wall_w)


@pytest.fixture(scope="module")
def whole() -> Watch:
    """All of it, watched without a break."""
    watch = Watch(Cluster(), MemoryHistory())
    watch.over(0, LAST_MIN)
    return watch


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HistoryStore]:
    if request.param == "memory":
        yield MemoryHistory()
        return
    opened = SqlHistory(str(tmp_path / "past.db"), inline=True)
    yield opened
    opened.close()


def value(series: Series | None, minute: float) -> float:
    """The slot that begins at a minute."""
    assert series is not None
    return float(series.values[series.grid.slot_of(at(minute))])


def same(one: Past, other: Past) -> None:
    assert one.series.keys() == other.series.keys()
    for key, series in one.series.items():
        assert series.grid == other.series[key].grid, key
        np.testing.assert_allclose(series.values, other.series[key].values, rtol=1e-9, err_msg=key)
    assert one.ended == other.ended


def test_what_was_seen_over_hours_is_in_the_next_snapshot(whole: Watch) -> None:
    past = whole.snapshot().history
    # Eight GPUs of web, in every slot.
    assert past.insulated_gpus is not None
    assert past.insulated_gpus.values.tolist() == [8.0] * 13
    # 8 GPUs times the class's four hours, in the slots of 10:15, 10:30 and 11:45; web was there before anybody watched.
    assert value(past.arrived_gpu_h["deferrable"], 15) == 32.0
    assert value(past.arrived_gpu_h["preemptible"], 30) == 32.0
    assert value(past.arrived_gpu_h["deferrable"], 105) == 32.0
    assert float(np.nansum(past.arrived_gpu_h["deferrable"].values)) == 64.0
    # 90 minutes, and the 40 s that nobody saw running.
    assert [(one.class_name, one.gpus) for one in past.finished] == [("deferrable", 8), ("deferrable", 8)]
    assert [one.real_duration_s for one in past.finished] == pytest.approx([5400.0, 40.0])
    assert all(np.isnan(one.natural_power_w_per_gpu) for one in past.finished)  # modelled draws teach nothing


def test_power_and_heat_follow_the_jobs_and_say_that_they_are_modelled(whole: Watch) -> None:
    past = whole.watcher.past().series
    # North idle: 16 * 0.07 = 1.12 kW, wall 16 * 0.125 + 1.32 * 1.12 = 3.4784. With train: 8 * 0.455 + 0.56 = 4.2, wall 7.544.
    assert value(past["it_kw north"], 0) == pytest.approx(3.4784)
    assert value(past["it_kw north"], 15) == pytest.approx((5 * 3.4784 + 10 * 7.544) / 15)
    # From 12:00 to 13:00 tune alone runs on north, capped to 400 W: 8 * 0.38 + 0.56 = 3.6 kW, wall 2 + 1.32 * 3.6.
    assert value(past["it_kw north"], 135) == pytest.approx(6.752)
    # Idle north catches 0.9 * 1.12 + 0.3 * 2.3584; busy south draws 3.64, takes 5.8048: 0.9 * 3.64 + 0.3 * 2.1648.
    assert value(past["captured_kw plug"], 0) == pytest.approx(1.71552 + 3.92544)
    assert {key: past[key].source for key in ("it_kw north", "captured_kw plug")} == dict.fromkeys(
        ("it_kw north", "captured_kw plug"), MODEL
    )
    assert past["insulated_gpus"].source != MODEL
    assert whole.snapshot().peak_kw > 0.0


def test_a_metered_pool_is_measured_and_the_other_one_still_modelled() -> None:
    watch = Watch(Cluster(), MemoryHistory())
    # 16 GPUs at 312.5 W are 5 kW; the nodes measure 4.5 kW each at the wall.
    watch.draws = {name: node_draw(name, 312.5, wall_w=4500.0) for name in ("n0", "n1")}
    watch.over(0, 20)
    past = watch.watcher.past().series
    assert value(past["it_kw north"], 0) == pytest.approx(9.0)
    assert past["it_kw north"].source == METER
    assert past["it_kw south"].source == past["captured_kw plug"].source == MODEL


def test_a_pool_of_which_a_node_is_silent_is_modelled() -> None:
    watch = Watch(Cluster(), MemoryHistory())
    watch.draws = {"n0": node_draw("n0", 312.5)}
    watch.over(0, 20)
    assert watch.watcher.past().series["it_kw north"].source == MODEL


def test_what_a_job_draws_uncapped_is_learned_from_its_pods() -> None:
    watch = Watch(Cluster(), MemoryHistory())
    # train runs from minute 20 on; its first five minutes teach nothing, and from 30 samples on something is known.
    watch.draws = {"n0": node_draw("n0", 400.0, pod_uid="pod-train-1"), "n1": node_draw("n1", 70.0)}
    watch.over(0, 70)
    (train,) = [one for one in watch.snapshot().jobs if one.job.class_name == "deferrable"]
    assert train.job.natural_power_w_per_gpu == pytest.approx(405.0)  # the middle of the bin from 400 to 410 W


@pytest.mark.parametrize("orderly", [True, False])
def test_restarts_lose_nothing_and_count_nothing_twice(store: HistoryStore, orderly: bool, whole: Watch) -> None:
    first = 0
    for last in (22, 67, 111, 152, LAST_MIN):
        watch = Watch(Cluster(), store)
        watch.over(first, last)
        if orderly and last < LAST_MIN:
            assert watch.watcher.flush()
        first = last + 1
    same(watch.watcher.past(), whole.watcher.past())
    ours, theirs = watch.snapshot(), whole.snapshot()
    assert [one.job for one in ours.jobs] == [one.job for one in theirs.jobs]
    assert [one.work_done_s for one in ours.jobs] == pytest.approx([one.work_done_s for one in theirs.jobs])


def test_another_term_begins_from_what_the_store_has(whole: Watch) -> None:
    shared = MemoryHistory()
    one, other = Watch(Cluster(), shared), Watch(Cluster(), shared)
    one.over(0, 50)
    one.watcher.flush()
    one.watcher.end()
    assert one.watcher.past().series == {}
    other.over(51, 130)
    other.watcher.flush()
    one.watcher.begin()
    one.over(131, LAST_MIN)
    same(one.watcher.past(), whole.watcher.past())


class Away(MemoryHistory):
    """A database that goes away and comes back."""

    away = False

    async def append(self, past: Past, memos: Mapping[str, str] | None = None) -> int:
        if self.away:
            raise Retryable("history: connection refused")
        return await super().append(past, memos)

    async def past(self, since_utc: datetime, **more: Any) -> Past:
        if self.away:
            raise Retryable("history: connection refused")
        return await super().past(since_utc, **more)


def test_a_database_that_is_away_is_told_once_by_name_and_costs_nothing(whole: Watch) -> None:
    away = Away()
    watch = Watch(Cluster(), away)
    away.away = True
    watch.over(0, 60)
    assert watch.notes == ["history: connection refused"]
    assert watch.gauge("source_usable", source="history") == 0.0
    assert watch.snapshot().history.insulated_gpus is not None
    away.away = False
    watch.over(61, LAST_MIN)
    assert watch.notes == ["history: connection refused", ""]
    assert watch.gauge("source_usable", source="history") == 1.0
    same(asyncio.run(away.past(at(-60))), asyncio.run(whole.store.past(at(-60))))


class Hanging(MemoryHistory):
    """A database that accepts connections and says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = threading.Event()

    async def past(self, since_utc: datetime, **more: Any) -> Past:
        self.answers.wait()
        return await super().past(since_utc, **more)


def test_no_cycle_waits_for_a_database_that_hangs() -> None:
    hanging = Hanging()
    watch = Watch(Cluster(), hanging)
    watch.cluster.show(0)
    assert not watch.watcher.look_within(0.05)
    watch.watcher.look(patience_s=0.01)
    assert watch.notes[0].startswith("the history does not answer")
    assert [one.job.class_name for one in watch.snapshot().jobs] == ["insulated"]
    assert not watch.watcher.flush(0.05)
    hanging.answers.set()
    watch.cluster.show(1)
    assert watch.watcher.look_within(30.0)
    assert watch.notes[-1] == ""


def test_a_job_that_is_deleted_as_it_completes_has_been() -> None:
    watch = Watch(Cluster(), MemoryHistory())
    watch.over(0, 21)
    flash = Told(name="flash", class_name="deferrable", node="n1", created=21.2, started=21.2, ended=21.7)
    jobs = watch.cluster.stores.jobs
    for gone in (job_of(flash, 22), job_of(replace(flash, name="broken", ended=1e4), 22)):
        jobs.put(jobs.frozen(gone))
        jobs.remove(jobs.frozen(gone))
    watch.over(22, 40)
    past = watch.snapshot().history
    assert [one.real_duration_s for one in past.finished] == pytest.approx([30.0])
    # train-1 and flash.
    assert value(past.arrived_gpu_h["deferrable"], 15) == 64.0


def test_the_timer_leaves_out_a_look_that_a_cycle_has_just_taken() -> None:
    clock = SystemClock()
    term = Term(1, clock, clock.monotonic_s() + 60.0)
    kept = MemoryHistory()
    watch = Watch(Cluster(), kept)

    def written_utc(minute: float) -> str | None:
        watch.cluster.show(minute)
        watch.watcher.tick(term)
        watch.watcher.flush()
        return asyncio.run(kept.memo("observing"))

    first = written_utc(0)
    assert first is not None
    assert written_utc(0.2) == first
    assert written_utc(-30) != first  # a clock that was set back


def test_a_look_that_fails_is_told_by_name_and_the_next_one_goes_on() -> None:
    watch = Watch(Cluster(), MemoryHistory())
    watch.cluster.show(0)
    odd = node_draw("n0", 312.5)
    watch.draws = {"n0": replace(odd, gpus=None)}  # type: ignore[arg-type]  # an agent's bug
    assert not watch.watcher.look_within(5.0)
    assert watch.notes == ["the cluster could not be looked at; the log says why"]
    watch.draws = {"n0": odd}
    assert watch.watcher.look_within(5.0)
    assert watch.notes[-1] == ""


def test_a_list_that_nobody_confirmed_for_minutes_teaches_nothing() -> None:
    watch = Watch(Cluster(), MemoryHistory())
    watch.blind_s = 600.0
    watch.over(0, 40)
    assert watch.watcher.past().series == {}
    watch.blind_s = None
    watch.over(41, 60)
    assert watch.watcher.past().series == {}


def test_progress_in_the_snapshot_is_that_of_the_looks_and_ends_with_a_stop() -> None:
    watch = Watch(Cluster(), MemoryHistory())
    watch.over(0, 100)
    watch.cluster.show(100.5)
    done_s = {one.job.job_id: one.work_done_s for one in watch.snapshot().jobs}
    # Started at 10:20 and 10:40; the last look was half a minute ago.
    assert done_s["lab/train-1@uid-trai"] == pytest.approx(80.5 * 60)
    assert done_s["lab/tune-1@uid-tune"] == pytest.approx(60.5 * 60)


def test_the_gauges_show_the_pools_and_vanish_with_the_term() -> None:
    watch = Watch(Cluster(), MemoryHistory())
    watch.over(0, 45)
    uses = {use: watch.gauge("gpus", pool="north", use=use) for use in ("insulated", "flexible", "free", "gone")}
    assert uses == {"insulated": 0.0, "flexible": 16.0, "free": 0.0, "gone": 0.0}
    assert watch.gauge("gpus", pool="south", use="insulated") == 8.0
    # 16 busy GPUs at 0.65 * 700 W.
    assert watch.gauge("gpu_power_watts", pool="north") == pytest.approx(7280.0)
    heat_kw = watch.watcher.past().series["captured_kw plug"]
    assert heat_kw.unit == "kW"
    assert watch.gauge("heat_captured_watts", plug="plug") is not None
    watch.watcher.end()
    assert watch.gauge("gpus", pool="south", use="insulated") is None
