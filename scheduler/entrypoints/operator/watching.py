"""Looks at the cluster every minute while this replica leads, and remembers: the past that forecasts are made of.

One look is the stores as they are, read by every policy, with power and heat by meter or model; what it tells is kept in the
database of the ledger. One that is away or hangs costs the past some minutes and is told by name; no cycle waits for it longer
than `LOOK_LIMIT_S`.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from scheduler.adapters.clock import WallClock
from scheduler.adapters.kubernetes.objects import Obj
from scheduler.adapters.kubernetes.operator.looks import PoolUse, job_looks, metered_pools, part_of, pool_uses, whole_site
from scheduler.adapters.kubernetes.operator.reconcile import Desk
from scheduler.adapters.kubernetes.runtime.fence import Term
from scheduler.adapters.logs import Teller
from scheduler.adapters.metrics.registry import Metrics
from scheduler.adapters.record.codec import decode, encode
from scheduler.core.accounting.attributed import pod_draws
from scheduler.core.accounting.going import caught_up, going_of
from scheduler.core.accounting.modelled import (
    METER,
    MODEL,
    Busy,
    LoopHeat,
    PoolPower,
    expected_draws_w,
    loop_heat,
    modelled_keys,
    pool_powers,
    power_samples,
)
from scheduler.core.accounting.observing import JobLook, Look, LookRules, Memory
from scheduler.domain.observed import Going, Past, SourceReading
from scheduler.domain.site import Site
from scheduler.domain.telemetry import NodeDraw
from scheduler.loop.remember import NOTHING, Remembering
from scheduler.ports import HistoryStore
from scheduler.units import w_from_kw

LOOK_S = 60.0
# How long a cycle waits for its look, and a look for the one before it.
LOOK_LIMIT_S = 10.0
# A list of jobs that nobody has confirmed for so long says nothing about now.
BLIND_S = 180.0
# So soon after a look another one would see the same.
JUST = timedelta(seconds=LOOK_S / 4)
HISTORY = "history"

Draws = Callable[[], Mapping[str, NodeDraw]]
"""By node what its agent measures now."""


def no_agent() -> Mapping[str, NodeDraw]:
    """Nobody measures anything: all power is modelled."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sight:
    """What a look is taken of, and where it goes.

    desks: policies at work. departed: completed Jobs that were deleted since this was last asked. blind_s: how long the API
    server has not spoken; None before the first whole list. note: says why the past has gaps; called once for every other
    reason, with "" when all is well again. draws: nodes that need no model.
    """

    desks: Callable[[], Sequence[Desk]]
    departed: Callable[[], Sequence[Obj]]
    blind_s: Callable[[], float | None]
    readings: Callable[[datetime], Sequence[SourceReading]]
    store: HistoryStore
    metrics: Metrics
    clock: WallClock
    note: Callable[[str], None]
    draws: Draws = no_agent


@dataclass(slots=True, eq=False)
class _Watch:
    """What one term of leadership remembers; the next one begins from the store."""

    keeper: Remembering
    busy: threading.Lock = field(default_factory=threading.Lock)
    going: dict[str, Going] = field(default_factory=dict)
    heats: dict[str, LoopHeat] = field(default_factory=dict)
    modelled: frozenset[str] = frozenset()
    looked_utc: datetime | None = None


class Watcher:
    """Takes looks; `begin` and `end` bracket one term. Any thread may ask for the past, at any time."""

    def __init__(self, sight: Sight) -> None:
        """Look at nothing yet."""
        self.sight = sight
        self._watch: _Watch | None = None
        self._trouble = ""
        self._tell = Teller("operator.watcher")

    # A term.

    def begin(self) -> None:
        """Begin anew from what the store has: another replica may have led since."""
        self._watch = _Watch(keeper=remembering(self.sight.store))

    def end(self) -> None:
        """Remember nothing; what was not written yet is the next leader's gap."""
        self._watch = None
        for name in ("gpu_power_watts", "heat_captured_watts", "gpus"):
            self.sight.metrics.replace(name, {})

    def past(self) -> Past:
        """What is known now; modelled series say so, however much of them was measured before."""
        watch = self._watch
        if watch is None:
            return NOTHING
        past = watch.keeper.past()
        marked = {key: replace(one, source=MODEL) if key in watch.modelled else one for key, one in past.series.items()}
        return replace(past, series=marked, going=watch.going)

    # Looking.

    def tick(self, _term: Term) -> None:
        """The timer's look, unless a cycle has just taken one."""
        watch = self._watch
        last_utc = None if watch is None else watch.looked_utc
        if last_utc is None or not timedelta(0) <= self.sight.clock.now_utc() - last_utc < JUST:
            self.look()

    def look(self, patience_s: float = LOOK_LIMIT_S) -> bool:
        """Take one look; False when another one does not come to an end, or when we do not lead."""
        watch = self._watch
        if watch is None:
            return False
        if not watch.busy.acquire(timeout=patience_s):
            self._troubled(f"the {HISTORY} does not answer")
            return False
        try:
            self._take(watch)
            return True
        except Exception:  # told here by name, and in full by whoever runs us
            self._troubled("the cluster could not be looked at; the log says why")
            raise
        finally:
            watch.busy.release()

    def look_within(self, limit_s: float = LOOK_LIMIT_S) -> bool:
        """Take a look, the first of a term with all of the past; False when it fails, or takes too long and goes on alone."""
        return self._within(lambda: self.look(limit_s), limit_s)

    def flush(self, limit_s: float = LOOK_LIMIT_S) -> bool:
        """Write what waits; to be called while we still lead, since the next leader reads it at once."""
        watch = self._watch
        return watch is None or self._within(lambda: self._flushed(watch, limit_s), limit_s)

    def _within(self, work: Callable[[], bool], limit_s: float) -> bool:
        """Do something on a thread of its own, and wait so long for it: a database that hangs cannot be interrupted."""
        done: list[bool] = []

        def guarded() -> None:
            try:
                done.append(work())
            except Exception as error:  # the next look is another chance
                self._tell.error("look failed", fault=error)

        thread = threading.Thread(target=guarded, name="look", daemon=True)
        thread.start()
        thread.join(limit_s)
        if thread.is_alive():
            self._troubled(f"the {HISTORY} does not answer within {limit_s:g} s")
        return done == [True]

    def _flushed(self, watch: _Watch, patience_s: float) -> bool:
        """Write what waits; False when a look does not come to an end."""
        if not watch.busy.acquire(timeout=patience_s):
            return False
        try:
            asyncio.run(watch.keeper.flush(self.sight.clock.now_utc()))
            return True
        finally:
            watch.busy.release()

    def _take(self, watch: _Watch) -> None:
        """Read the cluster, model what nobody meters, remember."""
        sight, now_utc = self.sight, self.sight.clock.now_utc()
        desks, blind_s = sight.desks(), sight.blind_s()
        if not desks:
            return
        whole = blind_s is not None and blind_s <= BLIND_S
        departed = sight.departed() if whole else ()
        parts = [part_of(desk.governance.site, desk.reader, now_utc, departed) for desk in desks]
        draws = sight.draws()
        site, jobs = whole_site(parts), job_looks(parts, pod_draws(draws.values())) if whole else None
        uses = [use for part in parts for use in pool_uses(part)]
        powers = self._powers(watch, site, self._busy(watch, jobs, uses, now_utc), metered_pools(parts, draws), now_utc)
        look = Look(now_utc=now_utc, jobs=jobs, samples=power_samples(powers, watch.heats.values(), now_utc))
        states = asyncio.run(watch.keeper.look(site, look, sight.readings(now_utc)))
        if jobs is not None:
            watch.going = going_of(site.caps, states, now_utc)
        watch.looked_utc = now_utc
        if watch is self._watch:
            self._gauges(powers, watch.heats.values(), uses)
            self._troubled(watch.keeper.trouble)

    def _busy(self, watch: _Watch, jobs: Sequence[JobLook] | None, uses: Sequence[PoolUse], now_utc: datetime) -> Busy | None:
        """What a model needs to know of the work on the pools; None when the list of jobs is not whole."""
        if jobs is None:
            return None
        return Busy(
            states=caught_up((one.state for one in jobs), watch.going, now_utc),
            expected_w=expected_draws_w(job.finished for job in watch.keeper.past().ended),
            others_gpus={use.pool_id: use.others for use in uses},
        )

    def _powers(
        self, watch: _Watch, site: Site, busy: Busy | None, metered: Mapping[str, PoolPower], now_utc: datetime
    ) -> tuple[PoolPower, ...]:
        """Power of every pool and heat of every loop, and which of it is modelled."""
        powers = pool_powers(site, busy, metered)
        by_pool = {one.pool_id: one for one in powers}
        heats = (loop_heat(site, plug, by_pool, watch.heats.get(plug.plug_id), now_utc) for plug in site.plugs)
        watch.heats = {one.plug_id: one for one in heats if one is not None}
        unmetered = modelled_keys(powers, watch.heats.values())
        if unmetered - watch.modelled:
            pools = [one.pool_id for one in powers if one.source != METER]
            self._tell.info("power is modelled, nobody meters it", pools=pools)
        watch.modelled |= unmetered
        return powers

    # Telling.

    def _gauges(self, powers: Sequence[PoolPower], heats: Iterable[LoopHeat], uses: Sequence[PoolUse]) -> None:
        """Power, heat and GPUs for Prometheus."""
        metrics = self.sight.metrics
        metrics.replace("gpu_power_watts", {(one.pool_id,): w_from_kw(one.draw_kw) for one in powers})
        metrics.replace("heat_captured_watts", {(one.plug_id,): w_from_kw(one.captured_kw) for one in heats})
        counts: dict[tuple[str, ...], float] = {
            (use.pool_id, name): float(gpus)
            for use in uses
            for name, gpus in (
                ("insulated", use.insulated + use.others),
                ("flexible", use.flexible),
                ("free", use.free),
                ("gone", use.gone),
            )
        }
        metrics.replace("gpus", counts)

    def _troubled(self, why: str) -> None:
        """Say what is wrong with the past when that changes."""
        self.sight.metrics.set("source_usable", float(not why), source=HISTORY)
        if why == self._trouble:
            return
        self._trouble = why
        if why:
            self._tell.warning("the past is not kept", why=why)
        else:
            self._tell.info("the past is kept again")
        self.sight.note(why)


def remembering(store: HistoryStore) -> Remembering:
    """What keeps the past in `store`; the memory between two looks is JSON."""
    return Remembering(
        store,
        LookRules(),
        write=lambda memory: json.dumps(encode(Memory, memory)),
        read=lambda text: decode(Memory, json.loads(text)),
    )
