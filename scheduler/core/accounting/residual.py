"""Whether the meters of a plug agree with each other, and who is to be asked when they do not.

Two balances per slot, as a share of the plug's largest heat Q:

    loop  = (captured - recovered - rejected) / Q          heat that the loop took up and nobody got
    rooms = (capture * IT - captured) / Q                  heat of the IT that did not arrive in the loop

A slow drift counts as much as a jump: each balance runs into a two-sided cumulative sum (Page 1954),

    S+ = max(0, S+ + r - allowance),   S- = max(0, S- - r - allowance)

which alarms above `limit`, with allowance what meters of their classes may differ by. A pump that fails looks like servers that
cool badly: the flow of the loop falls while its spread rises, so flow and spread are read before anybody opens a rack.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from scheduler.domain.plan import Offer

# A spread or flow this far from what its load asks for says something.
TELLING_FRACTION = 0.15


class Balance(StrEnum):
    """What is compared."""

    LOOP = "loop"
    ROOMS = "rooms"


class Cause(StrEnum):
    """Who is to be asked, likeliest first."""

    PUMP = "pump or filter: the loop's flow falls while its spread rises; looks like servers that cool badly"
    EXCHANGER = "heat exchanger fouled: flow as ever, spread on the loop smaller"
    CAPTURE = "heat goes to the room: doors, fans or a rack that was moved off the loop"
    IT_METER = "IT meter reads high, or counts load that is not on this loop"
    IT_METER_LOW = "IT meter reads low, or something else warms the loop"
    LEAK = "heat is lost between loop and customer: pipe, bypass or a leak"
    SINK_METER = "the customer's heat meter or the cooler's reads low"
    LOOP_METER = "the loop's heat meter reads wrong: flow sensor, temperature pair or its position"


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceSlot:
    """One slot by all meters, mean kW; None: not measured. flow, spread: of the loop, over what its load needs (1: as ever)."""

    start_utc: datetime
    it_kw: float | None = None
    captured_kw: float | None = None
    recovered_kw: float | None = None
    rejected_kw: float | None = None
    flow_fraction: float | None = None
    spread_fraction: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceRule:
    """How far meters may differ, and how long: a sum of shares above `limit` alarms, one within the allowance never does."""

    max_kw: float
    capture_fraction: float
    allowance_fraction: float = 0.05
    limit_fraction: float = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Cumulative sums so far: over and under, for each balance. Kept between calls."""

    loop_over: float = 0.0
    loop_under: float = 0.0
    rooms_over: float = 0.0
    rooms_under: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceAlarm:
    """Meters that do not agree: since when it was too much, by how much in this slot, and what it may be."""

    balance: Balance
    at_utc: datetime
    residual_kw: float
    causes: tuple[Cause, ...]


def loop_residual_kw(slot: BalanceSlot) -> float | None:
    """Heat of the loop that nobody got; None unless all three meters told."""
    if slot.captured_kw is None or slot.recovered_kw is None or slot.rejected_kw is None:
        return None
    return slot.captured_kw - slot.recovered_kw - slot.rejected_kw


def rooms_residual_kw(slot: BalanceSlot, capture_fraction: float) -> float | None:
    """Heat of the IT that did not arrive in the loop; None unless both meters told."""
    if slot.it_kw is None or slot.captured_kw is None:
        return None
    return capture_fraction * slot.it_kw - slot.captured_kw


def hand_off_residual_kw(offers: Iterable[Offer], metered_kw: float | None) -> float | None:
    """Heat that should be handed over as a plan begins and does not arrive, kW; negative: more arrives than was reckoned.

    Args:
        offers: to the customers of one plug, of the decision that the measurement came with.
        metered_kw: what its customers measure at the hand-off together; None: one of them does not.

    None also where nobody counts on the heat: there is no offer, or one is advice or withdrawn.
    """
    reckoned = tuple(offers)
    if metered_kw is None or not reckoned or any(one.advisory or one.withdrawn for one in reckoned):
        return None
    return sum(float(one.p50_kw[0]) for one in reckoned) - metered_kw


def watched(sums: Sums, slots: Iterable[BalanceSlot], rule: BalanceRule) -> tuple[Sums, tuple[BalanceAlarm, ...]]:
    """Take new slots; returns the sums to keep, and an alarm for each balance and side that crossed its limit now.

    A slot that a meter did not tell of leaves its sums as they are: silence is no agreement.
    """
    alarms: list[BalanceAlarm] = []
    for slot in slots:
        loop_kw, rooms_kw = loop_residual_kw(slot), rooms_residual_kw(slot, rule.capture_fraction)
        new = Sums(
            loop_over=_summed(sums.loop_over, loop_kw, rule),
            loop_under=_summed(sums.loop_under, None if loop_kw is None else -loop_kw, rule),
            rooms_over=_summed(sums.rooms_over, rooms_kw, rule),
            rooms_under=_summed(sums.rooms_under, None if rooms_kw is None else -rooms_kw, rule),
        )
        crossed = (
            (Balance.LOOP, loop_kw, sums.loop_over, new.loop_over),
            (Balance.LOOP, loop_kw, sums.loop_under, new.loop_under),
            (Balance.ROOMS, rooms_kw, sums.rooms_over, new.rooms_over),
            (Balance.ROOMS, rooms_kw, sums.rooms_under, new.rooms_under),
        )
        alarms += [
            BalanceAlarm(balance=balance, at_utc=slot.start_utc, residual_kw=kw, causes=causes(balance, kw, slot))
            for balance, kw, before, after in crossed
            if kw is not None and before <= rule.limit_fraction < after
        ]
        sums = new
    return sums, tuple(alarms)


def _summed(before: float, residual_kw: float | None, rule: BalanceRule) -> float:
    """One step of a cumulative sum; it stops at twice the limit, so that it comes back within a day once all is well."""
    if residual_kw is None:
        return before
    return min(2.0 * rule.limit_fraction, max(0.0, before + residual_kw / rule.max_kw - rule.allowance_fraction))


def causes(balance: Balance, residual_kw: float, slot: BalanceSlot) -> tuple[Cause, ...]:
    """What a residual may come from, likeliest first, by its sign and by the loop's flow and spread."""
    if balance is Balance.LOOP:
        return (Cause.LEAK, Cause.SINK_METER, Cause.LOOP_METER) if residual_kw > 0.0 else (Cause.LOOP_METER, Cause.SINK_METER)
    if residual_kw < 0.0:
        return (Cause.IT_METER_LOW, Cause.LOOP_METER)
    low_flow = slot.flow_fraction is not None and slot.flow_fraction < 1.0 - TELLING_FRACTION
    wide = slot.spread_fraction is not None and slot.spread_fraction > 1.0 + TELLING_FRACTION
    narrow = slot.spread_fraction is not None and slot.spread_fraction < 1.0 - TELLING_FRACTION
    if low_flow and (wide or slot.spread_fraction is None):
        return (Cause.PUMP, Cause.LOOP_METER, Cause.CAPTURE)
    if narrow and not low_flow:
        return (Cause.EXCHANGER, Cause.CAPTURE, Cause.LOOP_METER)
    return (Cause.CAPTURE, Cause.LOOP_METER, Cause.IT_METER)
