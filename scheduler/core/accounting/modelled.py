"""Power and heat of pools that nobody meters: from the jobs that run on them, by the model that plans with them.

    draw of a pool = sum over its busy GPUs of the draw under the cap in force + idle GPUs * idle draw
    wall power     = base per GPU * GPUs + host_slope * draw
    captured heat  = gpu fraction * draw + other fraction * (wall power - draw), behind the lag of the loop

A busy GPU draws what its job would uncapped: as stated or learned, else as ended jobs of its class drew, else the share of the
GPU's maximum that the plan counts with. Whoever meters a pool is believed in the model's place; `source` says which it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from scheduler.core.accounting.observed import Sample
from scheduler.core.forecast.arrivals import DEFAULT_DRAW_FRACTION
from scheduler.core.thermal.capture import captured_kw, lag_end_kw
from scheduler.core.thermal.host import capped_draw_w, gpu_draw_kw, node_kw
from scheduler.domain.job import JobPhase, JobState
from scheduler.domain.observed import CAPTURED_KW, IT_KW, key_of
from scheduler.domain.site import Caps, Plug, Pool, Site
from scheduler.domain.snapshot import FinishedJob

MODEL, METER = "model", "meter"
NONE_EXPECTED: Mapping[str, float] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPower:
    """Power of a pool now: what its GPUs draw, what its nodes take from the wall, and who says so (`MODEL` or `METER`)."""

    pool_id: str
    draw_kw: float
    it_kw: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopHeat:
    """Heat that reached a plug's loop at an instant; `source` is `MODEL` when the power of any of its pools is modelled."""

    plug_id: str
    at_utc: datetime
    captured_kw: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """What the model knows of the work on the pools.

    states: jobs. expected_w: draw per GPU by class, where anything was learned. others_gpus: by pool, held by pods that are
    nobody's job.
    """

    states: tuple[JobState, ...] = ()
    expected_w: Mapping[str, float] = field(default_factory=dict)
    others_gpus: Mapping[str, int] = field(default_factory=dict)


def expected_draws_w(finished: Iterable[FinishedJob]) -> dict[str, float]:
    """Natural draw per GPU by class: the mean over ended jobs whose draw was measured, weighted by GPU-hours."""
    sums: dict[str, tuple[float, float]] = {}
    for job in finished:
        weight = job.gpus * job.real_duration_s
        if math.isfinite(job.natural_power_w_per_gpu) and weight > 0.0:
            total, whole = sums.get(job.class_name, (0.0, 0.0))
            sums[job.class_name] = (total + weight * job.natural_power_w_per_gpu, whole + weight)
    return {name: total / whole for name, (total, whole) in sums.items()}


def draw_now_w(caps: Caps, pool: Pool, state: JobState, expected_w: Mapping[str, float] = NONE_EXPECTED) -> float:
    """Draw per GPU of a running job under the cap in force, never below idle."""
    stated = state.job.natural_power_w_per_gpu
    known_w = stated if stated is not None and 0.0 < stated < math.inf else expected_w.get(state.job.class_name)
    natural_w = DEFAULT_DRAW_FRACTION * pool.power.gpu_max_w if known_w is None else known_w
    draw_w = natural_w if state.cap_w is None else capped_draw_w(caps, state.cap_w, natural_w)
    return max(draw_w, pool.power.gpu_idle_w)


def modelled_power(caps: Caps, pool: Pool, busy: Busy) -> PoolPower:
    """Power of one pool by the model; a job whose pods have not started draws nothing yet."""
    running = [
        state
        for state in busy.states
        if state.phase is JobPhase.RUNNING and state.started_utc is not None and state.pool_id == pool.pool_id
    ]
    others = busy.others_gpus.get(pool.pool_id, 0)
    idle = max(0, pool.gpus - others - sum(state.job.gpus for state in running))
    draw_kw = (
        sum(gpu_draw_kw(state.job.gpus, draw_now_w(caps, pool, state, busy.expected_w)) for state in running)
        + gpu_draw_kw(others, DEFAULT_DRAW_FRACTION * pool.power.gpu_max_w)
        + gpu_draw_kw(idle, pool.power.gpu_idle_w)
    )
    return PoolPower(pool_id=pool.pool_id, draw_kw=draw_kw, it_kw=node_kw(pool.power, pool.gpus, draw_kw), source=MODEL)


def pool_powers(site: Site, busy: Busy | None, metered: Mapping[str, PoolPower]) -> tuple[PoolPower, ...]:
    """Power of every pool: as metered, else by the model; none for a pool without a meter when the jobs are not known."""
    found = []
    for pool in site.pools:
        own = metered.get(pool.pool_id)
        if own is not None:
            found.append(own)
        elif busy is not None:
            found.append(modelled_power(site.caps, pool, busy))
    return tuple(found)


def loop_heat(
    site: Site, plug: Plug, powers: Mapping[str, PoolPower], before: LoopHeat | None, now_utc: datetime
) -> LoopHeat | None:
    """Heat that reaches the loop of a plug now, from the powers of its pools; None while one of them is not known.

    before: what was caught at the last look; without it the loop is taken to be in balance.
    """
    pools = [powers.get(pool.pool_id) for pool in site.pools if pool.plug_id == plug.plug_id]
    known = [one for one in pools if one is not None]
    if not known or len(known) < len(pools):
        return None
    heat_kw = sum(captured_kw(plug, one.draw_kw, one.it_kw) for one in known)
    passed_s = 0.0 if before is None else (now_utc - before.at_utc).total_seconds()
    if before is not None and passed_s >= 0.0:
        heat_kw = lag_end_kw(before.captured_kw, heat_kw, plug.capture_lag_s, passed_s)
    source = METER if all(one.source == METER for one in known) else MODEL
    return LoopHeat(plug_id=plug.plug_id, at_utc=now_utc, captured_kw=heat_kw, source=source)


def power_samples(powers: Iterable[PoolPower], heats: Iterable[LoopHeat], now_utc: datetime) -> tuple[Sample, ...]:
    """What a look tells of power and heat."""
    return (
        *(Sample(key=key_of(IT_KW, one.pool_id), at_utc=now_utc, value=one.it_kw) for one in powers),
        *(Sample(key=key_of(CAPTURED_KW, one.plug_id), at_utc=now_utc, value=one.captured_kw) for one in heats),
    )


def modelled_keys(powers: Iterable[PoolPower], heats: Iterable[LoopHeat]) -> frozenset[str]:
    """Series that are not measured."""
    pools = {key_of(IT_KW, one.pool_id) for one in powers if one.source != METER}
    return frozenset(pools | {key_of(CAPTURED_KW, one.plug_id) for one in heats if one.source != METER})
