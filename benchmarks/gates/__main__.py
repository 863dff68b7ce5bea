"""A year of gates: `python -m benchmarks.gates --series copenhagen_2020_hourly.csv`.

Firm heat is promised at every gate of a year, from what was known then, and a reduced model of hall and plant shows what came.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.gates.run import LEARN_DAYS, Score, Way, run, score
from benchmarks.gates.year import SLOTS_PER_H, make_year
from scheduler.core.forecast.calendar import DAY_H
from scheduler.core.publishing.scenarios import Draws, HeatAhead, lower_quantile
from scheduler.core.publishing.worth import choose
from scheduler.domain.contract import FirmProduct, FirmRule, Revise
from scheduler.domain.time import FloatArray
from scheduler.views.tables import rich_table

DAY_AHEAD = (FirmProduct(gate_local="10:30"),)
INTRADAY = tuple(
    FirmProduct(gate_local=gate, start_local=start, start_day=day, hours=hours, revise=Revise.UP)
    for gate, start, day, hours in (
        ("03:45", "04:00", 0, 20),
        ("07:45", "08:00", 0, 16),
        ("10:30", "11:00", 0, 13),
        ("15:45", "16:00", 0, 32),
        ("19:45", "20:00", 0, 28),
        ("23:45", "00:00", 1, 24),
    )
)
AFTERNOON = (FirmProduct(gate_local="16:00"),)
HEADER = (
    "way",
    "promised MWh",
    "of deliverable",
    "kept, quarters",
    "with the plant's part",
    "kept, hours",
    "capacity EUR",
    "shortfall EUR",
    "worth EUR",
)


def the_median(_rule: FirmRule, ahead: HeatAhead, _draws: Draws) -> FloatArray:
    """What is expected, with no caution."""
    return np.minimum(np.minimum(ahead.load_kw, ahead.demand_kw.p50), ahead.capability_kw)


def the_quantile(rule: FirmRule, ahead: HeatAhead, draws: Draws) -> FloatArray:
    """The contract's quantile of what can be handed over, without tank and prices."""
    return lower_quantile(draws.reach_kw(ahead.least_kw), rule.quantile)


def the_choice(rule: FirmRule, ahead: HeatAhead, draws: Draws) -> FloatArray:
    """What the operator promises."""
    return choose(rule, ahead, draws).firm_kw


def ways(kept_fraction: float) -> list[Way]:
    """What is compared."""
    rule = FirmRule(products=DAY_AHEAD)
    ours = replace(rule, kept_fraction=kept_fraction)
    return [
        Way(name="nothing", rule=rule, promise=None),
        Way(name="the median, 10:30", rule=rule, promise=the_median),
        Way(name="p10 without tank, 10:30", rule=rule, promise=the_quantile),
        Way(name="ours, 10:30", rule=ours, promise=the_choice),
        Way(name="ours, 16:00", rule=replace(ours, products=AFTERNOON), promise=the_choice),
        Way(name="ours, 10:30 and intraday", rule=replace(ours, products=DAY_AHEAD + INTRADAY), promise=the_choice),
    ]


def main() -> int:
    given = arguments()
    size = {"heat_peak_kw": given.heat_peak_kw, "busy_fraction": given.busy}
    year = make_year(given.series, days=given.days, seed=given.seed, **size)
    found: list[Score] = []
    deliverable_kwh, nothing_eur = 0.0, 0.0
    for way in ways(given.kept):
        if given.only and given.only not in way.name and way.promise is not None:
            continue
        began = time.process_time()
        books = run(year, way, given.seed)
        if way.promise is None:
            deliverable_kwh = float(books.sold_kw[LEARN_DAYS * DAY_H * SLOTS_PER_H :].sum()) / SLOTS_PER_H
            nothing_eur = books.cash_eur
        row = score(year, way, books, deliverable_kwh)
        found.append(replace(row, worth_eur=nothing_eur - row.cash_eur))
        print(f"{way.name}: {time.process_time() - began:.0f} s of the processor", file=sys.stderr)
    Console(stderr=True, soft_wrap=True).print(
        rich_table(HEADER, [cells(row) for row in found], f"A year of gates, {given.days} days")
    )
    if given.json:
        report = {
            "days": given.days,
            "seed": given.seed,
            "deliverable_kwh": deliverable_kwh,
            "rows": [asdict(row) for row in found],
        }
        Path(given.json).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def cells(row: Score) -> list[str]:
    """A row as it is shown."""
    shares = (row.of_deliverable, row.kept_quarters, row.kept_with_plant, row.kept_hours)
    money = (row.capacity_eur, row.shortfall_eur, row.worth_eur)
    return [
        row.name,
        f"{row.promised_kwh / 1e3:.1f}",
        *(f"{value:.2%}" for value in shares),
        *(f"{value:.0f}" for value in money),
    ]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gates", description=__doc__)
    parser.add_argument("--series", type=Path, required=True, help="hourly CSV: timestamp_utc, price_eur_mwh, heat_demand_norm")
    parser.add_argument("--days", type=int, default=365, help="days of the series that are run, the first two weeks only learn")
    parser.add_argument("--seed", type=int, default=0, help="of jobs, failures and scenarios")
    parser.add_argument("--heat-peak-kw", type=float, default=84.0, help="largest heat demand of the year")
    parser.add_argument("--busy", type=float, default=0.5, help="share of the GPUs that the jobs keep busy on the mean")
    parser.add_argument("--kept", type=float, default=0.995, help="share of the time in which promises must be kept")
    parser.add_argument("--only", default="", help="only ways whose name holds this, beside nothing")
    parser.add_argument("--json", help="write the table as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
