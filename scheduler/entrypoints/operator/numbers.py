"""What the decisions in force say of the present hour, for Prometheus: heat offered and wanted, tanks, the price of power.

A decision is made once a cycle and speaks of many hours; what is told moves on with the clock in between.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from scheduler.adapters.metrics.registry import Metrics
from scheduler.core.accounting.residual import hand_off_residual_kw
from scheduler.domain.plan import Offer
from scheduler.domain.problem import PlanProblem
from scheduler.domain.snapshot import PlantState
from scheduler.units import S_PER_H, eur_per_j_from_eur_per_kwh, j_from_kwh, w_from_kw

Values = dict[tuple[str, ...], float]
OFFERS, DEMANDS, TANKS, PRICE, METERED, RESIDUAL = (
    "heat_offer_watts", "heat_demand_watts", "tank_joules", "electricity_price_euros_per_joule", "heat_metered_watts",
    "heat_residual_watts",
)  # fmt: skip
# A policy that is edited again and again has a decision each time.
MOST_TOLD = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InForce:
    """What one policy's last decision told and rested on. problem: None while no plan could be made of what is known."""

    offers: tuple[Offer, ...]
    plants: tuple[PlantState, ...]
    problem: PlanProblem | None


class Numbers:
    """The decisions in force, by policy."""

    def __init__(self, metrics: Metrics) -> None:
        """Nothing is decided yet."""
        self._metrics = metrics
        self._known: dict[str, InForce] = {}
        # By policy the offers that the present hour began with and all since, the newest first.
        self._told: dict[str, tuple[tuple[Offer, ...], ...]] = {}
        self._lock = threading.Lock()

    def keep(self, policy: str, known: InForce) -> None:
        """Remember a decision; one without a problem leaves what was known of price and demand before."""
        with self._lock:
            before = self._known.get(policy)
            problem = known.problem or (None if before is None else before.problem)
            self._known[policy] = InForce(offers=known.offers, plants=known.plants, problem=problem)
            self._told[policy] = _since_the_hour(known.offers, self._told.get(policy, ()))

    def keep_only(self, policies: Collection[str]) -> None:
        """Forget policies that are gone."""
        with self._lock:
            self._known = {policy: known for policy, known in self._known.items() if policy in policies}
            self._told = {policy: told for policy, told in self._told.items() if policy in policies}

    def show(self, now_utc: datetime) -> None:
        """Set every gauge to what holds now; what nothing is known of vanishes."""
        with self._lock:
            known = [self._known[policy] for policy in sorted(self._known)]
            told = [self._told[policy] for policy in sorted(self._told)]
            found = {policy: one.problem for policy, one in self._known.items() if one.problem is not None}
        problems = [found[policy] for policy in sorted(found)]
        self._metrics.replace(OFFERS, offered_w(told, now_utc))
        self._metrics.replace(DEMANDS, wanted_w(problems, now_utc))
        levels = [(one.plug_id, one.tank_level_kwh) for each in known for one in each.plants]
        self._metrics.replace(TANKS, {(plug,): j_from_kwh(level_kwh) for plug, level_kwh in levels if level_kwh is not None})
        metered = [(one.plug_id, one.metered_kw) for each in known for one in each.plants]
        self._metrics.replace(METERED, {(plug,): w_from_kw(kw) for plug, kw in metered if kw is not None})
        self._metrics.replace(RESIDUAL, residual_w(known))
        prices = {(policy,): price_eur_per_j(problem, now_utc) for policy, problem in found.items()}
        self._metrics.replace(PRICE, {key: value for key, value in prices.items() if value is not None})


def offered_w(told: Iterable[Sequence[Sequence[Offer]]], now_utc: datetime) -> Values:
    """Mean heat of this clock hour by plug and quantile, W.

    Each slot counts as the newest offer that speaks of it has it: what is over as it was planned last, what is to come as it
    is planned now. A heat pump that runs for half of an hour would else seem to fall short in the other half.

    Args:
        told: by policy, the offers of several decisions, the newest first.
        now_utc: in the hour that is asked for.
    """
    found: Values = {}
    for decisions in told:
        for name in sorted({offer.offtake_id for offers in decisions[:1] for offer in offers}):
            versions = [offer for offers in decisions for offer in offers if offer.offtake_id == name]
            for quantile, values_kw in _of_hour(versions, now_utc).items():
                key = versions[0].plug_id, quantile
                found[key] = found.get(key, 0.0) + w_from_kw(float(np.mean(values_kw)))
    return found


def residual_w(known: Iterable[InForce]) -> Values:
    """Heat that should have been handed over as the last plan began and did not arrive, by plug, W."""
    found: Values = {}
    for each in known:
        for plant in each.plants:
            offers = [one for one in each.offers if one.plug_id == plant.plug_id]
            residual_kw = hand_off_residual_kw(offers, plant.metered_kw)
            if residual_kw is not None:
                found[(plant.plug_id,)] = w_from_kw(residual_kw)
    return found


def wanted_w(problems: Iterable[PlanProblem], now_utc: datetime) -> Values:
    """Demand forecast for this slot by customer, W."""
    found: Values = {}
    for problem in problems:
        slot = problem.grid.slot_of(now_utc)
        if 0 <= slot < problem.grid.slots:
            found |= {(one.offtake_id,): w_from_kw(float(one.demand_kw[slot])) for one in problem.offtakes}
    return found


def price_eur_per_j(problem: PlanProblem, now_utc: datetime) -> float | None:
    """All-in price of this slot: energy, network, taxes; None beyond the problem's hours. Carbon is no cash and left out."""
    slot = problem.grid.slot_of(now_utc)
    if not 0 <= slot < problem.grid.slots:
        return None
    return eur_per_j_from_eur_per_kwh(float(problem.spot_eur_per_kwh[slot] + problem.adder_eur_per_kwh[slot]))


def _of_hour(versions: Sequence[Offer], now_utc: datetime) -> dict[str, list[float]]:
    """By quantile the values in kW of the hour's slots that any of one customer's offers speaks of, newest first asked."""
    slot_s, hour_utc = versions[0].grid.slot_s, _hour_of(now_utc)
    found: dict[str, list[float]] = {}
    for start_utc in (hour_utc + timedelta(seconds=step_s) for step_s in range(0, int(S_PER_H), slot_s)):
        for offer in versions:
            slot = offer.grid.slot_of(start_utc)
            if 0 <= slot < offer.grid.slots:
                kinds = {"p10": offer.p10_kw, "p50": offer.p50_kw, "p90": offer.p90_kw, "firm": offer.firm_kw}
                for quantile, values_kw in kinds.items():
                    found.setdefault(quantile, []).append(float(np.nan_to_num(values_kw[slot])))
                break
    return found


def _since_the_hour(offers: tuple[Offer, ...], before: Sequence[tuple[Offer, ...]]) -> tuple[tuple[Offer, ...], ...]:
    """These offers and those before them that still say something of the hour in which they begin."""
    if not offers:
        return ()
    hour_utc = _hour_of(offers[0].grid.start_utc)
    if offers[0].grid.start_utc <= hour_utc:
        return (offers,)
    kept: list[tuple[Offer, ...]] = [offers]
    for older in before:
        kept.append(older)
        if older and older[0].grid.start_utc <= hour_utc:
            break
    return tuple(kept[:MOST_TOLD])


def _hour_of(at_utc: datetime) -> datetime:
    """The clock hour of an instant."""
    return at_utc.replace(minute=0, second=0, microsecond=0)
