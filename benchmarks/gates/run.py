"""One year of gates under one way of promising: what was promised, what came, and what it was worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from benchmarks.gates.hall import HOUR, Hall
from benchmarks.gates.year import SLOT_S, SLOTS_PER_H, TARIFF_EUR_PER_KWH, ZONE, Year
from scheduler.core.forecast.calendar import DAY_H, WEEK_H, hour_number
from scheduler.core.forecast.own_heat import PATH_DAYS, PathErrors, day_weight, expected_path_kw, path_ratio, with_prior
from scheduler.core.publishing.firm import answer, firm_capability_kw, in_force
from scheduler.core.publishing.scenarios import Draws, HeatAhead, Risks, draw
from scheduler.core.tariffs.gates import Gate, gates_due
from scheduler.domain.contract import FirmRule
from scheduler.domain.snapshot import Band, Commitment
from scheduler.domain.time import FloatArray, Series, TimeGrid

SCENARIOS = 200
LEARN_DAYS = 14
NETWORK_EUR_PER_KWH = 0.025
OVERHEAD = 0.06
# Load above the pump's minimum that is kept while heat is promised.
PUMP_MARGIN = 1.1
# The tank is kept for the promises of so many quarter hours.
KEPT_SLOTS = 12 * SLOTS_PER_H
Promise = Callable[[FirmRule, HeatAhead, Draws], FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way of promising: by which contract's gates, and how much (None: nothing)."""

    name: str
    rule: FirmRule
    promise: Promise | None


@dataclass(slots=True)
class Books:
    """What was metered, per quarter hour; hourly means of what forecasts are made of."""

    sold_kw: FloatArray
    firm_kw: FloatArray
    cash_eur: float = 0.0
    load_h: list[float] = field(default_factory=list)
    demand_h: list[float] = field(default_factory=list)
    reserve: list[tuple[float, float]] = field(default_factory=list)


class Forecaster:
    """Paths of load and demand from their own past, and how wrong such paths were on earlier days; nothing else is known."""

    def __init__(self, year: Year) -> None:
        self.year, self.first = year, hour_number(year.start_utc)
        self._rows: dict[tuple[str, int, int, int], FloatArray | None] = {}

    def series(self, hours: list[float]) -> Series:
        """Hourly means so far."""
        grid = TimeGrid(start_utc=self.year.start_utc, slot_s=3600, slots=len(hours))
        return Series(grid=grid, values=np.asarray(hours), unit="kW", source="meter")

    def path(self, name: str, hours: list[float], now: int, steps: int) -> tuple[FloatArray, PathErrors]:
        """Expected kW and its errors for so many hours from hour `now` on."""
        known = self.series(hours)
        rows, weights = [], []
        for days in range(1, PATH_DAYS + 1):
            then = now - days * DAY_H
            if then < self.first + WEEK_H:
                break
            if then + steps > now:
                continue
            key = (name, then, steps, 0)
            if key not in self._rows:
                self._rows[key] = path_ratio(known, then, steps, then, ZONE)
            row = self._rows[key]
            if row is not None:
                rows.append(row)
                weights.append(day_weight(days))
        return expected_path_kw(known, now, steps, now, ZONE), with_prior(rows, weights, 0, steps)


def demand_band(path_kw: FloatArray, errors: PathErrors) -> Band:
    """Band of the demand: the errors' quantiles by step."""
    order = np.argsort(errors.ratio, axis=0, kind="stable")
    value = np.take_along_axis(errors.ratio, order, axis=0)
    mass = np.cumsum(errors.weight[order], axis=0) / errors.weight.sum()
    low, high = (value[np.argmax(mass >= p, axis=0), np.arange(value.shape[1])] for p in (0.1, 0.9))
    return Band(p10=path_kw * np.minimum(1.0, low), p50=path_kw, p90=path_kw * np.maximum(1.0, high))


def ahead_of(
    hall: Hall, books: Books, gate: Gate, bound: list[Commitment], forecaster: Forecaster
) -> tuple[HeatAhead, PathErrors]:
    """What is expected at a gate, in hours from now to the end of its delivery."""
    year = hall.year
    now = forecaster.first + len(books.load_h)
    now_utc = year.start_utc + timedelta(hours=len(books.load_h))
    steps = int((gate.hours[-1][1] - now_utc) // timedelta(hours=1))
    load_kw, load_errors = forecaster.path("load", books.load_h, now, steps)
    demand_kw, demand_errors = forecaster.path("demand", books.demand_h, now, steps)
    starts = [now_utc + timedelta(hours=i) for i in range(steps)]
    held = {one.start_utc: one.firm_kw for one in bound}
    due = {start for start, _ in gate.hours}
    recent = np.asarray(books.reserve[-WEEK_H:])
    assert year.plug.heat_pump is not None
    return HeatAhead(
        step_h=1.0,
        load_kw=np.minimum(load_kw, year.plug.heat_pump.rated_heat_kw),
        capability_kw=firm_capability_kw(year.plug, starts, [start + timedelta(hours=1) for start in starts]),
        demand_kw=demand_band(demand_kw, demand_errors),
        held_kw=np.asarray([held.get(start, 0.0) for start in starts]),
        due=np.asarray([start in due for start in starts]),
        tank=year.plug.tank,
        tank_kwh=hall.level_kwh,
        nodes=round(year.site.gpus / year.site.pools[0].gpus_per_node),
        least_kw=hall.least_kw,
        reserve_kw=float(np.quantile(recent[:, 0], 0.25)),
        reserve_kwh=float(np.quantile(recent[:, 1], 0.25)),
    ), load_errors


def run(year: Year, way: Way, seed: int) -> Books:
    """Run the year."""
    hall, forecaster = Hall(year), Forecaster(year)
    books = Books(sold_kw=np.zeros(year.slots), firm_kw=np.zeros(year.slots))
    bound: list[Commitment] = []
    answered_utc = year.start_utc
    loads = np.zeros(SLOTS_PER_H)
    for slot in range(year.slots):
        now_utc = year.start_utc + timedelta(seconds=slot * SLOT_S)
        hall.slot = slot
        if way.promise is not None and slot >= LEARN_DAYS * DAY_H * SLOTS_PER_H:
            for gate in gates_due(way.rule, ZONE, answered_utc, now_utc):
                bound = answered(hall, books, way, gate, bound, forecaster, seed)
        answered_utc = now_utc
        hall.take_in()
        hall.start(short_of(hall, books, slot))
        owed_kwh = float(books.firm_kw[slot : slot + KEPT_SLOTS].sum()) * HOUR
        sold_kw, pump_kw_el = hall.deliver(float(books.firm_kw[slot]), owed_kwh)
        books.sold_kw[slot] = sold_kw
        loads[slot % SLOTS_PER_H] = hall.load_kw()
        books.cash_eur += cost_eur(year, hall, sold_kw, pump_kw_el)
        if slot % SLOTS_PER_H == SLOTS_PER_H - 1:
            books.load_h.append(float(loads.mean()))
            books.demand_h.append(float(year.demand_kw[slot]))
            books.reserve.append(hall.reserve())
    return books


def answered(
    hall: Hall, books: Books, way: Way, gate: Gate, bound: list[Commitment], forecaster: Forecaster, seed: int
) -> list[Commitment]:
    """Answer one gate; returns all that binds then, and enters it in the books."""
    year = hall.year
    end_utc = year.start_utc + timedelta(seconds=year.slots * SLOT_S)
    periods = tuple(hour for hour in gate.hours if hour[1] <= end_utc)
    if not periods or way.promise is None:
        return bound
    ahead, errors = ahead_of(hall, books, Gate(at_utc=gate.at_utc, hours=periods, revise=gate.revise), bound, forecaster)
    draws = draw(ahead, errors, Risks(), SCENARIOS, seed + hour_number(gate.at_utc))
    firm_kw = way.promise(way.rule, ahead, draws)
    first_utc = year.start_utc + timedelta(hours=len(books.load_h))
    offered = [
        Commitment(
            offtake_id="town", start_utc=a, end_utc=b, firm_kw=float(firm_kw[hour_of(first_utc, a)]), gate_utc=gate.at_utc
        )
        for a, b in periods
    ]
    made = answer(gate, offered, bound)
    for one in made:
        first = hour_of(year.start_utc, one.start_utc) * SLOTS_PER_H
        books.firm_kw[first : first + SLOTS_PER_H] = one.firm_kw
    return [one for one in in_force([*bound, *made]) if one.end_utc > gate.at_utc]


def hour_of(first_utc: datetime, at_utc: datetime) -> int:
    """Whole hours between two instants."""
    return int((at_utc - first_utc) // timedelta(hours=1))


def short_of(hall: Hall, books: Books, slot: int) -> float:
    """Load in kW that the promises of the next two hours lack, the tank's help taken off; at least what the pump needs."""
    ahead = books.firm_kw[slot : slot + 2 * SLOTS_PER_H]
    wanted_kwh = float(np.minimum(ahead, hall.year.demand_kw[slot]).sum()) * HOUR
    load_kw = hall.load_kw()
    missing_kwh = wanted_kwh - load_kw * len(ahead) * HOUR - 0.5 * hall.level_kwh
    idle_kw = PUMP_MARGIN * hall.least_kw - load_kw if wanted_kwh > 0.5 * hall.level_kwh else 0.0
    return max(0.0, idle_kw, missing_kwh / (len(ahead) * HOUR))


def cost_eur(year: Year, hall: Hall, sold_kw: float, pump_kw_el: float) -> float:
    """Electricity of nodes and pump, less what the heat earns, over this quarter hour."""
    power = year.site.pools[0].power
    node_kw = power.kw_per_gpu_base * year.site.gpus + power.host_slope * hall.draw_kw
    price = float(year.price_eur_per_kwh[hall.slot]) + NETWORK_EUR_PER_KWH
    return ((1.0 + OVERHEAD) * node_kw + pump_kw_el) * HOUR * price - sold_kw * HOUR * TARIFF_EUR_PER_KWH


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A year in numbers, in kWh and EUR. worth_eur: cash gained against promising nothing, all included."""

    name: str
    promised_kwh: float
    of_deliverable: float
    kept_quarters: float
    kept_with_plant: float
    kept_hours: float
    capacity_eur: float
    shortfall_eur: float
    cash_eur: float
    worth_eur: float = 0.0


def score(year: Year, way: Way, books: Books, deliverable_kwh: float) -> Score:
    """Judge a run from the first day after the learning.

    kept_quarters: of the quarter hours with a promise, those in which the tolerance was kept or the customer took less;
    kept_with_plant: the same with his part counted against us. Settled by the hour, as the contract says.
    """
    since = LEARN_DAYS * DAY_H * SLOTS_PER_H
    firm, sold, demand = books.firm_kw[since:], books.sold_kw[since:], year.demand_kw[since:]
    owed = (1.0 - way.rule.tolerance_fraction) * firm
    promised = firm > 0.0
    kept = sold >= np.minimum(owed, demand) - 1e-6
    kept_all = sold >= owed - 1e-6
    hourly = (owed, np.minimum(owed, demand), sold, firm)
    owed_h, due_h, sold_h, firm_h = (values.reshape(-1, SLOTS_PER_H).mean(axis=1) for values in hourly)
    short_kwh = float(np.maximum(0.0, due_h - sold_h).sum())
    count = max(1, int(promised.sum()))
    capacity = way.rule.capacity_eur_per_kwh * float(firm_h.sum())
    shortfall = way.rule.shortfall_eur_per_kwh * short_kwh
    return Score(
        name=way.name,
        promised_kwh=float(firm_h.sum()),
        of_deliverable=float(firm_h.sum()) / deliverable_kwh,
        kept_quarters=float((kept & promised).sum()) / count,
        kept_with_plant=float((kept_all & promised).sum()) / count,
        kept_hours=float(((sold_h >= due_h - 1e-6) & (firm_h > 0.0)).sum()) / max(1, int((firm_h > 0.0).sum())),
        capacity_eur=capacity,
        shortfall_eur=shortfall,
        cash_eur=books.cash_eur - capacity + shortfall,
    )
