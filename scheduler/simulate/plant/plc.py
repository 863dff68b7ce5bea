"""What the plant's controller decides: whom it believes, whether the boiler runs, how much heat it takes.

Everything that is not known leads to the same place: the boiler runs. The wire is normally energised, so nothing has to arrive
for that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from scheduler.domain.plantlink import Heartbeat, LinkMode
from scheduler.simulate.plant.flows import Orders
from scheduler.simulate.plant.receiver import Held, interval_at, kw_of, why_not


@dataclass(frozen=True, slots=True, kw_only=True)
class Senses:
    """What the controller knows at one moment.

    alive: whether our counter moves. at_utc: by the plant's own clock. manual: its button is pressed. limit_kw: most it takes
    of us. pump_fraction: of the flow that its pump should carry.
    """

    alive: bool
    heartbeat: Heartbeat | None
    held: Held
    at_utc: datetime
    manual: bool = False
    limit_kw: float = math.inf
    pump_fraction: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The orders, the mode they were given in, why the boiler runs (empty: it does not), and the heat of the schedule now."""

    orders: Orders
    mode: LinkMode
    why: str
    planned_kw: float


def decided(senses: Senses) -> Decided:
    """The orders of one step."""
    why = _fallback(senses)
    asked = senses.heartbeat is None or senses.heartbeat.boiler_on
    mode = LinkMode.MANUAL if senses.manual else LinkMode.FALLBACK if why else LinkMode.AUTO
    if senses.manual:
        why = "a person has taken over"
    elif not why and asked:
        why = "the boiler is asked for"
    return Decided(
        orders=Orders(take_at_most_kw=_most_kw(senses), boiler_on=bool(why)),
        mode=mode,
        why=why,
        planned_kw=_planned_kw(senses),
    )


def _fallback(senses: Senses) -> str:
    """Why the plant goes by its own contract profile now; empty when it goes by ours."""
    if not senses.alive:
        return "the link's heartbeat is missing"
    return why_not(senses.held, senses.at_utc)


def _planned_kw(senses: Senses) -> float:
    """Heat of the schedule now. Hot water does not know that a network is cut: while it lasts, it flows as was planned."""
    if why_not(senses.held, senses.at_utc) or (senses.heartbeat is not None and senses.heartbeat.bypass):
        return 0.0
    row = interval_at(senses.held.schedule, senses.at_utc)
    return 0.0 if row is None else kw_of(row, "heatKw")


def _most_kw(senses: Senses) -> float:
    """The most heat of ours that goes through the plant's heat exchanger."""
    if senses.manual:
        return 0.0
    row = interval_at(senses.held.schedule, senses.at_utc)
    through_kw = math.inf if row is None else max(kw_of(row, "maxKw"), kw_of(row, "heatKw"))
    pump_kw = math.inf if senses.pump_fraction >= 1.0 else through_kw * senses.pump_fraction
    return min(senses.limit_kw, pump_kw)
