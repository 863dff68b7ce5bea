"""What the decisions in force say of the present hour, for Prometheus: heat offered and wanted, tanks, the price of power.

A decision is made once a cycle and speaks of many hours; what is told moves on with the clock in between.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from scheduler.adapters.metrics.registry import Metrics
from scheduler.domain.plan import Offer
from scheduler.domain.problem import PlanProblem
from scheduler.domain.snapshot import PlantState
from scheduler.domain.time import TimeGrid
from scheduler.units import eur_per_j_from_eur_per_kwh, j_from_kwh, w_from_kw

Values = dict[tuple[str, ...], float]
OFFERS, DEMANDS, TANKS, PRICE = (
    "heat_offer_watts", "heat_demand_watts", "tank_joules", "electricity_price_euros_per_joule",
)  # fmt: skip


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
        self._lock = threading.Lock()

    def keep(self, policy: str, known: InForce) -> None:
        """Remember a decision; one without a problem leaves what was known of price and demand before."""
        with self._lock:
            before = self._known.get(policy)
            problem = known.problem or (None if before is None else before.problem)
            self._known[policy] = InForce(offers=known.offers, plants=known.plants, problem=problem)

    def keep_only(self, policies: Collection[str]) -> None:
        """Forget policies that are gone."""
        with self._lock:
            self._known = {policy: known for policy, known in self._known.items() if policy in policies}

    def show(self, now_utc: datetime) -> None:
        """Set every gauge to what holds now; what nothing is known of vanishes."""
        with self._lock:
            known = [self._known[policy] for policy in sorted(self._known)]
            found = {policy: one.problem for policy, one in self._known.items() if one.problem is not None}
        problems = [found[policy] for policy in sorted(found)]
        self._metrics.replace(OFFERS, offered_w([offer for one in known for offer in one.offers], now_utc))
        self._metrics.replace(DEMANDS, wanted_w(problems, now_utc))
        levels = [(one.plug_id, one.tank_level_kwh) for each in known for one in each.plants]
        self._metrics.replace(TANKS, {(plug,): j_from_kwh(level_kwh) for plug, level_kwh in levels if level_kwh is not None})
        prices = {(policy,): price_eur_per_j(problem, now_utc) for policy, problem in found.items()}
        self._metrics.replace(PRICE, {key: value for key, value in prices.items() if value is not None})


def offered_w(offers: Iterable[Offer], now_utc: datetime) -> Values:
    """Mean heat of this clock hour by plug and quantile, W, of the part of the hour that the offers speak of."""
    found: Values = {}
    for offer in offers:
        slots = _of_hour(offer.grid, now_utc)
        if slots.stop <= slots.start:
            continue
        for quantile, values_kw in (
            ("p10", offer.p10_kw),
            ("p50", offer.p50_kw),
            ("p90", offer.p90_kw),
            ("firm", offer.firm_kw),
        ):
            key = offer.plug_id, quantile
            found[key] = found.get(key, 0.0) + w_from_kw(float(np.mean(np.nan_to_num(values_kw[slots]))))
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


def _of_hour(grid: TimeGrid, now_utc: datetime) -> slice:
    """Slots that begin in the clock hour of an instant; empty outside the grid."""
    hour_utc = now_utc.replace(minute=0, second=0, microsecond=0)
    first, end = grid.slot_of(hour_utc), grid.slot_of(hour_utc + timedelta(hours=1))
    return slice(min(max(0, first), grid.slots), min(max(0, end), grid.slots))
