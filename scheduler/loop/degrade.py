"""What to do when something is not known: degraded steps with a name, a condition and an age limit.

FRESH -> LAST_GOOD (the last good plan, while it is young enough) -> RULE_BASED (no forecast, no optimiser) -> LET_GO
(nothing is held, caps go, offers are withdrawn). Whatever breaks, compute continues.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from scheduler.core.acting.guard import VITAL_SOURCES, stale_sources
from scheduler.domain.contract import EnergyPriceKind, TariffKind
from scheduler.domain.outlook import Outlook
from scheduler.domain.plan import Duals, Plan, PlanStatus, SolveReport
from scheduler.domain.settings import Settings
from scheduler.domain.site import DemandSource, Offtake, Site
from scheduler.domain.snapshot import Snapshot
from scheduler.domain.time import TimeGrid

# What makes a forecast unfit to plan on; gaps and outliers of the past are named, filled or left out, and planned around.
UNFIT = ("missing", "stale", "frozen")
PRICE, HEAT_DEMAND, CARBON, OUTDOOR = "price", "heat_demand", "carbon", "outdoor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What is wrong with the inputs, by the step it forces. `notes` force none, but are told."""

    vital: tuple[str, ...] = ()
    market: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All of it in one line."""
        return "; ".join((*self.vital, *self.market, *self.notes))


def faults_of(site: Site, snapshot: Snapshot, outlook: Outlook, settings: Settings) -> Faults:
    """Sort stale sources and unfit forecasts: without jobs nothing is known, without price or demand nothing is optimised."""
    stale = stale_sources(snapshot)
    vital = [f"{source}: stale" for source in stale if source in VITAL_SOURCES]
    matters = _market_words(site)
    market = [f"{source}: stale" for source in stale if source in matters]
    market += [reason for reason in outlook.degraded if _unfit(reason, matters)]
    if PRICE in matters and outlook.known_price_slots < min(settings.commit_slots, outlook.grid.slots):
        market.append("price: not published for the next hour")
    notes = [f"{source}: stale" for source in stale if source not in VITAL_SOURCES and source not in matters]
    notes += [reason for reason in outlook.degraded if reason not in market]
    idle = _unread_words(site)
    notes = [note for note in notes if _source_of(note) not in idle]
    return Faults(vital=tuple(vital), market=tuple(dict.fromkeys(market)), notes=tuple(notes))


def _market_words(site: Site) -> frozenset[str]:
    """Sources whose loss makes an optimised plan worthless: the price when it is spot, demand when it is measured."""
    words = {PRICE} if site.electricity.kind is EnergyPriceKind.SPOT else set()
    measured = [offtake for offtake in site.offtakes if offtake.demand_source is not DemandSource.CONSTANT]
    return frozenset(words | ({HEAT_DEMAND} if measured else set()))


def _unread_words(site: Site) -> frozenset[str]:
    """Sources that nothing of this site rests on: that they say nothing is how it should be, and not worth a word."""
    idle = {PRICE} if site.electricity.kind is not EnergyPriceKind.SPOT else set()
    if site.electricity.carbon_price_eur_per_tonne <= 0.0:
        idle.add(CARBON)
    if not any(_follows_weather(offtake) for offtake in site.offtakes):
        idle.add(OUTDOOR)
    return frozenset(idle)


def _follows_weather(offtake: Offtake) -> bool:
    """Whether demand, temperature or price of an offtake hang on the outdoor temperature."""
    by_weather = offtake.demand_source not in (DemandSource.CONSTANT, DemandSource.PROFILE, DemandSource.PLANT)
    warmer_when_colder = len({supply_c for _, supply_c in offtake.supply_curve}) > 1
    return by_weather or warmer_when_colder or offtake.tariff.kind is TariffKind.TEMPERATURE_INDEXED


def _source_of(reason: str) -> str:
    """`price` of "price: missing", `heat_demand` of "heat_demand town: stale (5 h)"."""
    return reason.partition(":")[0].split(" ")[0]


def _unfit(reason: str, matters: frozenset[str]) -> bool:
    """True for "price: missing", "heat_demand town: stale (5 h)" and the like."""
    return _source_of(reason) in matters and reason.partition(":")[2].strip().startswith(UNFIT)


def good_until(last: Plan | None, now_utc: datetime, settings: Settings) -> bool:
    """True while a plan made from good input is younger than its age limit and still reaches over the next cycle."""
    if last is None or last.status not in (PlanStatus.FRESH, PlanStatus.LAST_GOOD):
        return False
    age_s = (now_utc - last.grid.start_utc).total_seconds()
    left_s = (last.grid.end_utc - now_utc).total_seconds()
    return 0.0 <= age_s <= settings.plan_max_age_s and left_s >= settings.cycle_s


def last_good(last: Plan, reason: str) -> Plan:
    """The last good plan under its own id and grid, marked as such."""
    return replace(last, status=PlanStatus.LAST_GOOD, degraded_reason=reason)


def empty_plan(site: Site, grid: TimeGrid, reason: str) -> Plan:
    """The plan of letting go: it decides nothing, promises nothing and prices nothing."""
    shape = (len(site.pools), grid.slots)
    digest = f"let-go-{grid.start_utc:%Y%m%dT%H%M%S}"
    return Plan(
        plan_id=digest,
        input_digest=digest,
        grid=grid,
        step_slots=np.ones(grid.slots, dtype=np.int64),
        commit_slots=min(1, grid.slots),
        status=PlanStatus.LET_GO,
        jobs=(),
        flows=(),
        sold_kw={},
        it_kw=np.zeros(grid.slots),
        cost_eur={},
        report=SolveReport(method="let go", objective_eur=0.0, bound_eur=0.0, rolling_gap=0.0),
        duals=Duals(
            start_utc=grid.start_utc,
            slot_s=grid.slot_s,
            gpu_eur_per_gpu_h=np.zeros(shape),
            draw_eur_per_kwh=np.zeros(shape),
        ),
        degraded_reason=reason,
    )
