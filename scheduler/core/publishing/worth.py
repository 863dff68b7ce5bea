"""What a promise is worth, and how far its price lowers it below what the contract allows.

With capacity payment c and shortfall penalty s in EUR/kWh, tolerance d, promise F_t and delivered heat D_t in scenario w of W,

    gain(F) = c sum_t F_t h - s / W sum_w sum_t max(0, (1 - d) F_t - D_wt) h

D_wt is what could be delivered and what the customer did not take: nothing is owed of that. The heat itself is paid for alike
with and without a promise, so it does not stand in the gain. Candidates are promises at falling quantiles, each no higher than
the contract's; the one that gains most is made, out of those that are kept in the share of the time that the contract asks for.
So prices only lower a promise (design invariant 5).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scheduler.core.publishing.scenarios import Draws, HeatAhead, missed, not_taken_kw, promisable_kw, walk
from scheduler.domain.contract import FirmRule
from scheduler.domain.time import FloatArray

# Each candidate is missed half as often as the one before; then shares of the most cautious one.
HALVINGS = 6
SHARES = (0.9, 0.75, 0.5, 0.25)
# Of the misses that the contract allows, this share is left to what no scenario holds: they are made of some weeks.
UNSEEN_FRACTION = 0.82


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FirmChoice:
    """A promise, (steps,) in kW, with what it is expected to gain in EUR and the share of promised time in which it is kept.

    contract_kw: the contract's quantile of deliverable heat, which it never exceeds but for what was held already.
    """

    firm_kw: FloatArray
    contract_kw: FloatArray
    gain_eur: float
    kept_fraction: float


def gain_eur(rule: FirmRule, firm_kw: FloatArray, delivered_kw: FloatArray, step_h: float) -> float:
    """Expected gain of a promise, as above; firm_kw (steps,), delivered_kw (scenarios, steps)."""
    paid = rule.capacity_eur_per_kwh * float(firm_kw.sum()) * step_h
    short_kw = np.maximum(0.0, (1.0 - rule.tolerance_fraction) * firm_kw[None, :] - delivered_kw)
    return paid - rule.shortfall_eur_per_kwh * float(short_kw.sum(axis=1).mean()) * step_h


def kept_fraction(rule: FirmRule, firm_kw: FloatArray, delivered_kw: FloatArray) -> float:
    """Share of the steps with a promise, over all scenarios, in which it is kept within the tolerance; 1 without a promise."""
    promised = firm_kw > 0.0
    if not np.any(promised):
        return 1.0
    return 1.0 - float(missed(firm_kw, delivered_kw, rule.tolerance_fraction)[promised].mean())


def candidates_kw(rule: FirmRule, ahead: HeatAhead, draws: Draws) -> Iterator[FloatArray]:
    """Promises from the contract's quantile downwards, (steps,) each, none above the one before; the last is what is held."""
    count = len(draws.load_kw)
    quantile = rule.quantile
    firm = promisable_kw(ahead, draws, quantile)
    yield firm
    for _ in range(HALVINGS):
        if quantile * count < 1.0:
            break
        quantile /= 2.0
        firm = np.minimum(firm, promisable_kw(ahead, draws, quantile))
        yield firm
    for share in SHARES:
        yield np.maximum(ahead.held_kw, share * firm)
    yield ahead.held_kw


def choose(rule: FirmRule, ahead: HeatAhead, draws: Draws) -> FirmChoice:
    """The promise that gains most, out of those kept in the share of the time that the contract asks for.

    When none is kept so well, nothing new is promised.
    """
    needed = 0.0 if rule.kept_fraction <= 0.0 else 1.0 - (1.0 - UNSEEN_FRACTION) * (1.0 - rule.kept_fraction)
    best: FirmChoice | None = None
    contract: FloatArray | None = None
    for firm in candidates_kw(rule, ahead, draws):
        contract = firm if contract is None else contract
        delivered = walk(ahead, draws, firm, replanned=True) + not_taken_kw(draws, firm)
        kept = kept_fraction(rule, firm, delivered)
        last = not np.any(firm > ahead.held_kw)
        if kept < needed and not last:
            continue
        gain = gain_eur(rule, firm, delivered, ahead.step_h)
        if best is None or gain > best.gain_eur + 1e-12:
            best = FirmChoice(firm_kw=firm, contract_kw=contract, gain_eur=gain, kept_fraction=kept)
    assert best is not None
    return best
