"""Why a job waits, in one sentence with numbers that its owner can check.

Starting now is compared with the planned start at the prices of the plan (`quotes`). The difference splits into what it is
made of: cheaper power, heat that somebody takes, GPUs that others want more. The largest part names the reason, the next one
is mentioned beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from scheduler.core.planning.expected import is_expected
from scheduler.core.planning.quotes import Quote, RunPrices, quote, quotes_at, run_loads, run_prices, tail_slots_of
from scheduler.core.planning.recount import Room, kw_el_per_draw_kw, loads_of, shortfalls_kwh
from scheduler.domain.plan import Explanation, Plan, PlannedJob, RunOption, WaitReason
from scheduler.domain.problem import PlanJob, PlanProblem
from scheduler.domain.time import FloatArray
from scheduler.units import eur_per_mwh_from_eur_per_kwh

# Below this a difference is noise and is not mentioned.
LEAST_EUR = 0.005
LEAST_EUR_PER_MWH = 0.5
# A second cause is named when it is at least this share of the first.
WORTH_NAMING = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cause:
    """One part of the gain of waiting."""

    reason: WaitReason
    gain_eur: float
    words: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _View:
    """What all explanations of one plan share.

    prices: of the plan, as far as any of its runs could reach. power_eur_per_kwh: of a pool's extra draw without its heat, and
    factor: kW of electricity per kW of it. room: beside the planned runs. missing_kwh: of each commitment.
    """

    problem: PlanProblem
    plan: Plan
    prices: RunPrices
    power_eur_per_kwh: FloatArray
    factor: FloatArray
    room: Room
    missing_kwh: tuple[float, ...]


def explain(problem: PlanProblem, plan: Plan) -> tuple[Explanation, ...]:
    """Explain every job that is here and does not run yet, or is stopped; expected arrivals are nobody's job."""
    view, jobs = _view(problem, plan), {job.job_id: job for job in problem.jobs}
    return tuple(
        _explain(view, jobs[planned.job_id], planned)
        for planned in plan.jobs
        if _waits(jobs[planned.job_id], planned) and not is_expected(planned.job_id)
    )


def _view(problem: PlanProblem, plan: Plan) -> _View:
    """Prepare once what every explanation needs."""
    slots, pools = problem.grid.slots, len(problem.pools)
    reach = [tail_slots_of(job, problem.grid.slot_s) for job in problem.jobs]
    reach += [planned.main.end_slot - slots for planned in plan.jobs if planned.main is not None]
    prices = run_prices(problem, plan.duals, max(reach, default=0))
    factor = np.array([kw_el_per_draw_kw(problem, pool) for pool in range(pools)])
    price = problem.spot_eur_per_kwh + problem.adder_eur_per_kwh + problem.carbon_eur_per_kwh
    free = np.array([pool.gpus_free for pool in problem.pools]).reshape(pools, slots)
    return _View(
        problem=problem,
        plan=plan,
        prices=prices,
        power_eur_per_kwh=np.concatenate([factor[:, None] * price, prices.draw[:, slots:]], axis=1),
        factor=factor,
        room=Room(free - loads_of(problem, plan.jobs).gpus),
        missing_kwh=tuple(float(kwh) for kwh in shortfalls_kwh(problem, plan)),
    )


def _waits(job: PlanJob, planned: PlannedJob) -> bool:
    """True when the plan gives a job a later start than it could have, or none."""
    main = planned.main
    return main is None or main.start_slot > job.release_slot


def _explain(view: _View, job: PlanJob, planned: PlannedJob) -> Explanation:
    """One job."""
    main = planned.main
    if main is None:
        return _without_start(view, job)
    planned_at = quote(view.problem, view.prices, job, main)
    causes = sorted(_causes(view, job, main, planned_at), key=lambda cause: -cause.gain_eur)
    saves = max(0.0, _cheapest_now_eur(view, job) - planned_at.total_eur)
    may_move = main.start_slot >= view.plan.commit_slots or not planned.decided
    reason, words = _reason(view, job, main, causes)
    latest = job.latest_start_slot
    bounded = latest is not None and latest >= main.start_slot
    until = f"{'Paused' if planned.stopped else 'Held'} until {clock(view.problem, main.start_slot)} UTC"
    last = (
        f", at the latest {clock(view.problem, latest)}" if bounded and latest is not None and latest > main.start_slot else ""
    )
    worth = f" (saves {saves:.2f} EUR)" if saves >= LEAST_EUR else ""
    return Explanation(
        job_id=job.job_id,
        reason=reason,
        text=f"{until}{' (may move)' if may_move else ''}{last}: {words}{worth}",
        start_utc=view.problem.grid.time_of(main.start_slot),
        latest_start_utc=view.problem.grid.time_of(latest) if latest is not None and bounded else None,
        saves_eur=saves,
        may_move=may_move,
    )


def _reason(view: _View, job: PlanJob, main: RunOption, causes: list[_Cause]) -> tuple[WaitReason, str]:
    """The binding reason and its words: the hard latest start, a full pool, or the largest gain."""
    full_until = _full_until(view, job, len(main.points))
    gains = [cause for cause in causes if cause.gain_eur >= LEAST_EUR]
    named = [cause.words for cause in gains if cause.gain_eur >= WORTH_NAMING * gains[0].gain_eur][:2]
    if job.latest_start_slot is not None and main.start_slot == job.latest_start_slot:
        because = f"; until then {' and '.join(named)}" if named else ""
        return WaitReason.DEADLINE_START, f"its deadline forces the start then{because}"
    if full_until >= main.start_slot:
        return WaitReason.POOL_FULL, f"{_pool_names(view, job)} full until {clock(view.problem, main.start_slot)}"
    if not gains:
        return WaitReason.POOL_FULL, "GPUs go to other jobs first"
    return gains[0].reason, " and ".join(named)


def _without_start(view: _View, job: PlanJob) -> Explanation:
    """A job that the plan cannot place."""
    most = max((float(np.max(view.problem.pools[pool].gpus_free, initial=0.0)) for pool in job.pools), default=0.0)
    if most < job.gpus:
        reason = WaitReason.UNPLACEABLE
        text = f"Cannot be placed: it needs {job.gpus} GPUs at once, its pools have at most {most:.0f} for flexible jobs"
    else:
        reason = WaitReason.NO_FIT
        text = (
            f"No start inside the plan: {_pool_names(view, job)} full until {clock(view.problem, view.problem.grid.slots)} UTC"
        )
    latest = job.latest_start_slot
    return Explanation(
        job_id=job.job_id,
        reason=reason,
        text=text,
        start_utc=None,
        latest_start_utc=None if latest is None else view.problem.grid.time_of(latest),
        saves_eur=0.0,
        may_move=False,
    )


def clock(problem: PlanProblem, slot: int) -> str:
    """Time of a slot, with the weekday when it is a day or more away."""
    at: datetime = problem.grid.time_of(slot)
    return f"{at:%H:%M}" if slot * problem.grid.slot_h < 24.0 else f"{at:%a %H:%M}"


def _pool_names(view: _View, job: PlanJob) -> str:
    """Pools of a job as the subject of a sentence."""
    names = [view.problem.pools[pool].pool_id for pool in job.pools]
    return f"{names[0]} is" if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]} are"


def _full_until(view: _View, job: PlanJob, slots: int) -> int:
    """First slot from the release on in which the gang fits beside the others for its whole run, on any of its pools."""
    found = view.room.earliest_fit(job, slots)
    return view.problem.grid.slots if found is None else found[0]


def _cheapest_now_eur(view: _View, job: PlanJob) -> float:
    """Cheapest run that starts at the release, at the plan's prices."""
    slot = min(job.release_slot, view.problem.grid.slots - 1)
    return float(quotes_at(view.problem, view.prices, job, np.array([slot])).min())


def _causes(view: _View, job: PlanJob, main: RunOption, then: Quote) -> list[_Cause]:
    """Where the gain of the planned start, which costs `then`, over the same run now comes from."""
    problem, pool = view.problem, main.pool
    now = replace(main, start_slot=job.release_slot)
    before, after = slice(now.start_slot, now.end_slot), slice(main.start_slot, main.end_slot)
    gpu_h, kwh = run_loads(problem, job, main)
    power = view.power_eur_per_kwh[pool]
    power_now, power_then = float((kwh * power[before]).sum()), float((kwh * power[after]).sum())
    # What the heat is worth: the electricity of a draw less all that the draw costs.
    heat_now = power_now - float((kwh * view.prices.draw[pool, before]).sum())
    heat_then = power_then - then.draw_eur
    gpu_now, gpu_then = float((gpu_h * view.prices.gpu[pool, before]).sum()), then.gpu_eur
    factor = view.factor[pool]
    cheaper = eur_per_mwh_from_eur_per_kwh((power_now - power_then) / max(1e-9, factor * float(kwh.sum())))
    site = heat_now < -LEAST_EUR
    return [
        _power_cause(view, main, power_now - power_then, cheaper),
        _site_cause(view, now, heat_then - heat_now) if site else _heat_cause(view, job, main, heat_then - heat_now),
        _Cause(reason=WaitReason.POOL_FULL, gain_eur=gpu_now - gpu_then, words="other jobs pay more for the GPUs until then"),
    ]


def _power_cause(view: _View, main: RunOption, gain_eur: float, cheaper_eur_per_mwh: float) -> _Cause:
    """Cheaper electricity later."""
    words = f"power is {cheaper_eur_per_mwh:.0f} EUR/MWh cheaper from {clock(view.problem, main.start_slot)}"
    if cheaper_eur_per_mwh < LEAST_EUR_PER_MWH:
        words = "power is cheaper then"
    return _Cause(reason=WaitReason.CHEAPER_POWER, gain_eur=gain_eur, words=words)


def _site_cause(view: _View, now: RunOption, gain_eur: float) -> _Cause:
    """The site's import limit makes power dear now."""
    limit_kw = float(view.problem.site_limit_kw[now.start_slot])
    return _Cause(reason=WaitReason.SITE_LIMIT, gain_eur=gain_eur, words=f"the site is at its limit of {limit_kw:.0f} kW now")


def _heat_cause(view: _View, job: PlanJob, main: RunOption, gain_eur: float) -> _Cause:
    """Its heat is worth more later: promised, wanted, or there is room for it."""
    problem = view.problem
    plug = problem.pools[main.pool].plug
    for promise, missing in zip(problem.commitments, view.missing_kwh, strict=True):
        overlaps = promise.start_slot < main.end_slot and promise.end_slot > main.start_slot
        if overlaps and problem.offtakes[promise.offtake].plug == plug and _binding(view, promise.offtake, promise.start_slot):
            words = (
                f"its heat is promised from {clock(problem, promise.start_slot)} to {clock(problem, promise.end_slot)}"
                f" ({promise.required_kwh:.0f} kWh{', not all of it covered' if missing > 1e-3 else ''})"
            )
            return _Cause(reason=WaitReason.FIRM_DELIVERY, gain_eur=gain_eur, words=words)
    demand = sum((one.demand_kw for one in problem.offtakes if one.plug == plug), np.zeros(problem.grid.slots))
    ahead = demand[job.release_slot :]
    if len(ahead) and ahead[0] <= 0.0 and (ahead > 0.0).any():
        at = job.release_slot + int(np.argmax(ahead > 0.0))
        return _Cause(
            reason=WaitReason.HEAT_LATER, gain_eur=gain_eur, words=f"there is no heat demand until {clock(problem, at)}"
        )
    return _Cause(
        reason=WaitReason.HEAT_LATER,
        gain_eur=gain_eur,
        words=f"the loop is full until {clock(problem, _loop_full_until(view, job, plug))}",
    )


def _binding(view: _View, offtake: int, start_slot: int) -> bool:
    """True when no more than the promise is sold while the customer would take more."""
    problem, plan = view.problem, view.plan
    step = int(np.searchsorted(plan.step_start, start_slot, side="right")) - 1
    sold = plan.sold_kw[problem.offtakes[offtake].offtake_id][step]
    return bool(sold < float(problem.offtakes[offtake].demand_kw[start_slot]) - 1e-3)


def _loop_full_until(view: _View, job: PlanJob, plug: int) -> int:
    """First slot from the release on in which the plug rejects (almost) nothing: more heat would be used."""
    rejected = np.repeat(view.plan.flows[plug].rejected_kw, view.plan.step_slots)[job.release_slot :]
    used = np.flatnonzero(rejected <= 1e-3)
    return job.release_slot + int(used[0]) if len(used) else view.problem.grid.slots
