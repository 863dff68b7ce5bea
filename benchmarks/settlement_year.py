"""A year of settlements, three ways: `python -m benchmarks.settlement_year --series copenhagen_2020_hourly.csv`.

A year of promises, deliveries, meter readings with faults and a customer with a will of his own is written into a database as
the operator and the plant link would write it, booked in the ledger twice a month, and settled month by month from the ledger,
from the meter with the promises of the gates, and from the archive of messages with the meter. All lines must be equal, to the
cent.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from scheduler.adapters.history.sql import SqlHistory
from scheduler.adapters.plantlink.store.database import Draft, Drafting, LinkStore
from scheduler.adapters.plantlink.store.messages import KeptMessage
from scheduler.config.contracts import Contract, contracts_from
from scheduler.config.load import load_manifests
from scheduler.core.accounting.booking import account_of, to_book
from scheduler.core.reports.months import month_span
from scheduler.core.reports.settlement import settled
from scheduler.domain.ledger import Quality
from scheduler.domain.link_life import OperatorLife
from scheduler.domain.observed import OUTDOOR, Past
from scheduler.domain.settlement import Statement
from scheduler.domain.time import FloatArray, Series, TimeGrid, utc
from scheduler.entrypoints.commands.settlement_inputs import Asked, Books, Way
from scheduler.simulate.metered_heat import NO_FAULTS, Customer, Happened, MeteredHeat, metered_heat

REFERENCE = Path(__file__).parents[1] / "examples" / "reference"
ZONE = "Europe/Copenhagen"
SLOTS_PER_DAY = 96
AGREED = """  sla:
    availability: 0.97
    penaltyEurPerHour: 15
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Year:
    """Demand and weather on quarter hours from a local midnight on."""

    start_utc: datetime
    demand_kw: FloatArray
    outdoor_c: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A moment at which a month is booked, and whether the month is over then."""

    month: str
    over: bool
    now_utc: datetime


def main() -> int:
    given = arguments()
    began_s = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(given.keep or folder)
        place.mkdir(parents=True, exist_ok=True)
        site = site_folder(place / "site", take_or_pay_kwh=given.take_or_pay_kwh)
        contract = contracts_from(load_manifests(site)[0])[0]
        year = read_year(given.series, given.days, contract) if given.series else made_year(given.days, given.seed, contract)
        heat = metered_heat(
            customer_of(contract), year.demand_kw, year.start_utc, given.seed, NO_FAULTS if given.calm else None
        )
        url = str(place / "heat-dispatch.db")
        keep_outdoor(url, year)
        rows = [row for month in written(url, heat, contract) for row in booked_and_settled(url, contract, month, heat)]
    out = {"months": rows, "cpu_s": round(time.process_time() - began_s, 1), **sums(rows)}
    told(out)
    if given.json:
        given.json.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")
    return 0 if out["agree"] else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=Path, help="hourly table with timestamp_utc, air_temp_c, heat_demand_norm")
    parser.add_argument("--days", type=int, default=366)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--calm", action="store_true", help="no faults: heat must also equal the truth")
    parser.add_argument("--take-or-pay-kwh", type=float, default=900_000.0)
    parser.add_argument("--keep", type=Path, help="folder to keep site and database in")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def site_folder(folder: Path, *, take_or_pay_kwh: float) -> Path:
    """The reference site with an agreed availability and a minimum of the year."""
    shutil.copytree(REFERENCE, folder, dirs_exist_ok=True)
    path = folder / "offtake.yaml"
    text = path.read_text(encoding="utf-8").replace("  firm:\n", f"{AGREED}  firm:\n")
    text = text.replace("  tariff:\n", f"  tariff:\n    takeOrPayKwhPerYear: {take_or_pay_kwh}\n")
    path.write_text(text, encoding="utf-8")
    return folder


def customer_of(contract: Contract) -> Customer:
    offtake = contract.offtake
    return Customer(
        offtake_id=offtake.offtake_id,
        plug_id=offtake.plug_id,
        meter_point_id=contract.plate.meter_point_id,
        time_zone=contract.terms.time_zone,
        max_heat_kw=offtake.max_heat_kw,
    )


def read_year(path: Path, days: int, contract: Contract) -> Year:
    """Hours of a table from its first local midnight on, each as four quarter hours."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    first_utc = utc(rows[0]["timestamp_utc"])
    start_utc = month_span(f"{first_utc:%Y-%m}", ZONE)[0]
    skipped = int((start_utc - first_utc) / timedelta(hours=1))
    chosen = rows[max(0, skipped) : skipped + days * 24] or rows
    missing = max(0, -skipped)
    hours = chosen[:1] * missing + chosen
    demand, outdoor = (np.repeat(list(filled(row[name] for row in hours)), 4) for name in ("heat_demand_norm", "air_temp_c"))
    return Year(start_utc=start_utc, demand_kw=demand * contract.offtake.max_heat_kw, outdoor_c=outdoor)


def filled(cells: Iterable[str]) -> Iterator[float]:
    """Numbers; an empty cell is as the one before."""
    last = 0.0
    for cell in cells:
        last = float(cell) if cell else last
        yield last


def made_year(days: int, seed: int, contract: Contract) -> Year:
    """A winter that was made up."""
    rng, slots = np.random.default_rng(seed), days * SLOTS_PER_DAY
    day = np.sin(np.arange(slots) / SLOTS_PER_DAY * 2.0 * np.pi)
    outdoor = 3.0 + 4.0 * day + np.repeat(rng.normal(0.0, 3.0, days), SLOTS_PER_DAY)
    demand = np.clip(0.6 - 0.03 * outdoor + 0.1 * day, 0.05, 1.0) * contract.offtake.max_heat_kw
    return Year(start_utc=month_span("2026-01", ZONE)[0], demand_kw=demand, outdoor_c=outdoor)


def keep_outdoor(url: str, year: Year) -> None:
    """What the operator would have observed."""
    grid = TimeGrid(start_utc=year.start_utc, slot_s=900, slots=len(year.outdoor_c))
    history = SqlHistory(url, inline=True)
    history.append_now(Past(series={OUTDOOR: Series(grid=grid, values=year.outdoor_c, unit="degC", source="made")}))
    history.close()


def written(url: str, heat: MeteredHeat, contract: Contract) -> Iterator[Turn]:
    """Write what happened, half a month at a time."""
    months = sorted({f"{local(heat.grid.time_of(slot)):%Y-%m}" for slot in range(0, heat.grid.slots, SLOTS_PER_DAY)})
    store, place = LinkStore(url), 0
    try:
        for month in months:
            span = month_span(month, ZONE)
            for over, end_utc in ((False, span[0] + timedelta(days=14)), (True, span[1] + timedelta(hours=3))):
                last = place
                while last < len(heat.happened) and heat.happened[last].at_utc < end_utc:
                    last += 1
                write(store, heat.happened[place:last], contract.offtake.offtake_id)
                place = last
                yield Turn(month=month, over=over, now_utc=end_utc)
    finally:
        store.close()


def local(at_utc: datetime) -> datetime:
    return at_utc.astimezone(ZoneInfo(ZONE))


def write(store: LinkStore, happened: Sequence[Happened], name: str) -> None:
    """Letters in batches, as the link keeps them; messages and clears at their place between them."""
    batch = []
    for one in happened:
        if one.letter is not None:
            batch.append(one.letter)
            continue
        store.keep_letters(batch)
        batch = []
        if one.schedule is not None:
            sign = OperatorLife(site_id="simulated", identity="operator", host="here", term=1, at_utc=one.at_utc)
            store.issue(sign, {name: drafting(one)}, one.promises)
        elif one.override_cleared:
            store.clear_override(name, "operator", one.at_utc)
    store.keep_letters(batch)


def drafting(one: Happened) -> Drafting:
    """The message as it was made."""

    def draft(_last: KeptMessage | None) -> Draft:
        return Draft(payload=one.schedule or {}, plan_id="", promises=())

    return draft


def booked_and_settled(url: str, contract: Contract, turn: Turn, heat: MeteredHeat) -> Iterator[dict[str, Any]]:
    """Book what is known; once the month is over, settle it three ways."""
    asked, name, month = Asked(month=turn.month), contract.offtake.offtake_id, turn.month
    with Books(url) as books:
        there = books.ledger.entries_now(account_of(name), *month_span(month, contract.terms.time_zone))
        entries = to_book(there, books.fresh(contract, asked, turn.now_utc))
        books.ledger.append_now(entries)
        if turn.over:
            found = {way: settled(books.case(contract, asked, way), month) for way in Way}
            yield row_of(found, heat, sum(one.revision > 0 for one in entries))


def row_of(found: dict[Way, Statement], heat: MeteredHeat, corrections: int) -> dict[str, Any]:
    """A month in figures."""
    ledger = found[Way.LEDGER]
    plain = [(one.lines, one.availability, one.take_or_pay, one.missing) for one in found.values()]
    first, last = heat.grid.slot_of(ledger.start_utc), min(heat.grid.slots, heat.grid.slot_of(ledger.end_utc))
    return {
        "month": ledger.month,
        "agree": all(one == plain[0] for one in plain[1:]),
        "cents": {way.value: one.cents for way, one in found.items()},
        "heat_wh": ledger.heat_wh,
        "true_wh": sum(heat.delivered_wh[first:last]),
        "promised_wh": sum(one.promised_wh for one in ledger.periods),
        "owed_wh": sum(one.owed_wh for one in ledger.periods),
        "shortfall_wh": sum(one.shortfall_wh for one in ledger.periods),
        "slots": {str(quality): getattr(ledger, str(quality)) for quality in Quality},
        "corrections": corrections,
        "reliefs": len(ledger.reliefs),
        "bad_min": ledger.availability.bad_min,
        "contracted_min": ledger.availability.contracted_min,
        "notes": len(ledger.notes),
    }


def sums(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    totals = {way.value: sum(row["cents"][way.value] for row in rows) for way in Way}
    return {"agree": all(row["agree"] for row in rows), "total_cents": totals, "heat_wh": sum(row["heat_wh"] for row in rows)}


def told(out: dict[str, Any]) -> None:
    print("month    ledger EUR   meter EUR archive EUR   MWh billed  MWh true  short kWh  est. miss. corr. reliefs agree")
    for row in out["months"]:
        euros = "".join(f"{row['cents'][way.value] / 100:12,.2f}" for way in Way)
        mwh = f"{row['heat_wh'] / 1e6:13,.3f} {row['true_wh'] / 1e6:9,.3f} {row['shortfall_wh'] / 1e3:10,.1f}"
        counts = f"{row['slots']['estimated']:6d} {row['slots']['missing']:5d} {row['corrections']:5d} {row['reliefs']:7d}"
        print(f"{row['month']} {euros}{mwh}{counts} {'yes' if row['agree'] else 'NO'}")
    totals = ", ".join(f"{way} {cents / 100:,.2f}" for way, cents in out["total_cents"].items())
    print(f"total EUR: {totals}; {out['cpu_s']} s of CPU")


if __name__ == "__main__":
    sys.exit(main())
