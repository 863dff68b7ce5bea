"""`heat-dispatch report`: what is owed, from what is on record."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from scheduler.adapters.clock import SystemClock
from scheduler.config.contracts import Contract, contract_named, contracts_from
from scheduler.core.accounting.booking import account_of, corrected_by_hand, to_book
from scheduler.core.accounting.whole import wh_from_kwh
from scheduler.core.reports.months import first_day, month_span
from scheduler.core.reports.plain import differences, plain_statement
from scheduler.core.reports.settlement import settled
from scheduler.domain.errors import Misconfigured
from scheduler.domain.ledger import Quality
from scheduler.entrypoints.commands.inputs import instant
from scheduler.entrypoints.commands.meter_report import (
    HELP as METERS_HELP,
)
from scheduler.entrypoints.commands.meter_report import (
    Captured,
    HandOffPoint,
    ItPoint,
    LoopPoint,
    Points,
    RejectedPoint,
    meter_report,
    table_of,
)
from scheduler.entrypoints.commands.settlement_inputs import Asked, Books, Way, compute_records, outdoor_of
from scheduler.entrypoints.commands.validate import checked
from scheduler.entrypoints.console import EXIT_FAILED, err, friendly, report_findings, talk, write_json, write_text
from scheduler.entrypoints.options import HtmlFile, JsonFile
from scheduler.views.settlement import (
    DIFFERENCE_HEADER,
    LINE_HEADER,
    amount,
    compute_sentences,
    csv_of,
    difference_rows,
    line_rows,
    sentences,
    title,
)
from scheduler.views.settlement_page import settlement_page
from scheduler.views.tables import rich_table

SETTLEMENT_HELP = """Settle a month with the heat customers, to the cent, from what is on record.

Three ways lead to the same statement: the ledger, the meter's readings with the promises of the gates, and the archive of
messages with the meter. `--ways` goes all three and ends with 1 when they differ. What has to be corrected becomes a new
revision in the ledger; `--against` a statement that was issued earlier shows what changes.

**Examples**

    heat-dispatch report settlement -f site/ --ledger heat-dispatch.db --month 2026-01 --html january.html

    heat-dispatch report settlement -f site/ --ledger heat-dispatch.db --month 2026-01 --against january.json
"""
BOOK_HELP = """Book a month of a heat customer's meter readings in the ledger, slot by slot.

What is booked already stays; where readings have come since, the slot gets a new revision. To be run as often as wanted.

**Example**

    heat-dispatch report book -f site/ --ledger heat-dispatch.db --month 2026-01
"""
CORRECT_HELP = """Correct the heat of one quarter hour by hand, as both sides have agreed.

The earlier entry stays in the ledger; the new revision says why. Later bookings leave it alone.

**Example**

    heat-dispatch report correct -f site/ --slot 2026-01-14T10:00Z --kwh 12.5 --reason "meter exchanged, read from the old one"
"""
app = typer.Typer(no_args_is_help=True, help="Report what is on record.", rich_markup_mode="markdown")
Site = Annotated[Path, typer.Option("--site", "-f", metavar="DIR", help="Manifests of the site: contracts and meters.")]
Month = Annotated[str, typer.Option("--month", metavar="YYYY-MM", help="Local month.")]
Ledger = Annotated[str, typer.Option("--ledger", metavar="URL", help="The operator's database: a file, or postgresql://...")]
Offtake = Annotated[str | None, typer.Option("--offtake", metavar="NAME", help="One customer only [default: all].")]
MeterPoint = Annotated[
    str, typer.Option("--meter-point", metavar="ID", help="Metering point to bill by [default: the plug's].")
]
Outdoor = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="series.csv whose outdoor_c a tariff asks for [default: what the operator observed]."),
]
LEDGER = "heat-dispatch.db"


@app.callback()
def report() -> None:
    """Report what is on record."""


@app.command(name="settlement", help=SETTLEMENT_HELP)
@friendly
def settlement(  # noqa: PLR0913 - one parameter per option of the command
    site: Site,
    month: Month,
    ledger: Ledger = LEDGER,
    offtake: Offtake = None,
    way: Annotated[Way, typer.Option("--from", help="Where heat and promises are read from.")] = Way.LEDGER,
    ways: Annotated[bool, typer.Option("--ways", help="Go all three ways; they must agree.")] = False,
    against: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A statement issued earlier (its JSON): show changes.")
    ] = None,
    meter_point: MeterPoint = "",
    check_point: Annotated[str, typer.Option(metavar="ID", help="The customer's own metering point, to compare with.")] = "",
    outdoor: Outdoor = None,
    compute: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Table of jobs, for the agreement with their owners.")
    ] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write the lines as CSV.")] = None,
    json_file: JsonFile = None,
    html: HtmlFile = None,
) -> None:
    """Settle a month."""
    asked = Asked(
        month=month,
        meter_point=meter_point,
        check_point=check_point,
        outdoor=None if outdoor is None else outdoor_of(outdoor),
        compute=None if compute is None else compute_records(compute),
    )
    contracts = contracts_of(site, month, offtake)
    issued = {} if against is None else issued_by_name(against)
    console = talk(json_file)
    with Books(ledger) as books:
        statements = [plain_statement(settled(books.case(one, asked, way), month)) for one in contracts]
        others = all_ways(books, contracts, asked) if ways else {}
    changed: dict[str, Sequence[Mapping[str, Any]]] = {}
    for one in statements:
        console.print(rich_table(LINE_HEADER, line_rows(one), title=title(one), strong="Total"))
        for text in (*sentences(one), *compute_sentences(one)):
            console.print(text, markup=False, soft_wrap=True)
        name = one["offtake_id"]
        if name in issued:
            changed[name] = differences(issued[name], one)
            console.print(
                rich_table(DIFFERENCE_HEADER, difference_rows(changed[name]), title="since it was issued", strong="Total")
            )
    write_json(json_file, {"statements": statements, "differences": changed, "ways": others})
    if csv_file is not None:
        write_text(csv_file, csv_of(statements))
    if html is not None:
        write_text(html, settlement_page(statements, changed))
    told_ways(others)


@app.command(name="book", help=BOOK_HELP)
@friendly
def book(
    site: Site,
    month: Month,
    ledger: Ledger = LEDGER,
    offtake: Offtake = None,
    meter_point: MeterPoint = "",
    outdoor: Outdoor = None,
    json_file: JsonFile = None,
) -> None:
    """Book a month."""
    asked = Asked(month=month, meter_point=meter_point, outdoor=None if outdoor is None else outdoor_of(outdoor))
    done = []
    with Books(ledger) as books:
        for contract in contracts_of(site, month, offtake):
            name = contract.offtake.offtake_id
            booked = books.ledger.entries_now(account_of(name), *month_span(month, contract.terms.time_zone))
            entries = to_book(booked, books.fresh(contract, asked, SystemClock().now_utc()))
            new = books.ledger.append_now(entries)
            missing = sum(one.quality is Quality.MISSING for one in entries)
            done.append(
                {"offtake": name, "booked": new, "corrections": sum(one.revision > 0 for one in entries), "missing": missing}
            )
    for one in done:
        counts = f"{one['booked']} slots booked, {one['corrections']} of them corrections, {one['missing']} not known"
        talk(json_file).print(f"{one['offtake']}: {counts}", markup=False)
    write_json(json_file, {"month": month, "accounts": done})


@app.command(name="correct", help=CORRECT_HELP)
@friendly
def correct(
    site: Site,
    slot: Annotated[str, typer.Option("--slot", metavar="UTC", help="Start of the quarter hour, ISO 8601 with offset.")],
    kwh: Annotated[float, typer.Option("--kwh", min=0.0, help="Heat that was agreed on.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, in a sentence that both sides will understand in a year.")],
    ledger: Ledger = LEDGER,
    offtake: Offtake = None,
    json_file: JsonFile = None,
) -> None:
    """Correct a slot by hand."""
    start_utc = instant(slot, "--slot")
    if not math.isfinite(kwh):
        raise Misconfigured(f"{kwh} kWh", where="--kwh", expected="a number")
    contracts = contracts_of(site, f"{start_utc:%Y-%m}", offtake)
    if len(contracts) != 1:
        raise Misconfigured(f"{len(contracts)} customers", where="options", expected="--offtake NAME")
    with Books(ledger) as books:
        # Never the plug's account, from which a statement may be read: its entries are the operator's own.
        name = contracts[0].offtake.offtake_id
        found = books.ledger.entries_now(account_of(name), start_utc, start_utc + timedelta(seconds=1))
        if not found:
            text = f"no slot of {name} was booked that begins at {start_utc:%Y-%m-%dT%H:%MZ}"
            raise Misconfigured(text, where="--slot", expected="a slot that was booked, so run `report book` first")
        day = start_utc.astimezone(ZoneInfo(contracts[0].terms.time_zone)).date()
        price = books.price_of(contracts[0], day)
        entry = corrected_by_hand(found[0], wh_from_kwh(kwh), reason, price)
        books.ledger.append_now([entry])
    text = f"{entry.plug_id} {start_utc:%Y-%m-%dT%H:%MZ}: {entry.heat_sold_kwh} kWh as revision {entry.revision}"
    talk(json_file).print(text, markup=False)
    write_json(json_file, {"entry_id": entry.entry_id, "revision": entry.revision, "heat_sold_kwh": entry.heat_sold_kwh})


@app.command(name="meters", help=METERS_HELP)
@friendly
def meters(  # noqa: PLR0913 - one parameter per option of the command
    site: Site,
    month: Month,
    ledger: Ledger = LEDGER,
    offtake: Offtake = None,
    loop: LoopPoint = "",
    hand_off: HandOffPoint = "",
    rejected: RejectedPoint = "",
    it: ItPoint = "",
    captured: Captured = 0.8,
    json_file: JsonFile = None,
) -> None:
    """Say what befell the meters."""
    points = Points(loop=loop, hand_off=hand_off, rejected=rejected, it=it)
    with Books(ledger) as books:
        found = [meter_report(books, one, month, points, captured) for one in contracts_of(site, month, offtake)]
    console = talk(json_file)
    for one in found:
        console.print(table_of(one))
        for alarm in one["alarms"]:
            since = f"{alarm['balance']}, {alarm['at_utc'][:16]}Z, {alarm['residual_kw']:+.1f} kW"
            console.print(f"ALARM {since}: {'; or '.join(alarm['causes'])}", markup=False, soft_wrap=True)
    write_json(json_file, {"meters": found})
    if any(one["alarms"] for one in found):
        raise typer.Exit(EXIT_FAILED)


def contracts_of(site: Path, month: str, offtake: str | None) -> tuple[Contract, ...]:
    """Contracts to be settled; warnings of the manifests go to standard error.

    Raises:
        Misconfigured: the manifests, the month or the name cannot be.
    """
    first_day(month)
    manifests, findings = checked(site, SystemClock().now_utc())
    report_findings(findings)
    return contract_named(contracts_from(manifests), offtake)


def issued_by_name(path: Path) -> dict[str, Mapping[str, Any]]:
    """Statements of an earlier report, by customer.

    Raises:
        Misconfigured: when the file holds none.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(one["offtake_id"]): one for one in found["statements"] if {"lines", "month"} <= set(one)}
    except (ValueError, KeyError, TypeError):
        expected = "what `report settlement --json` wrote"
        raise Misconfigured("holds no statement", where=str(path), expected=expected) from None


def all_ways(books: Books, contracts: Sequence[Contract], asked: Asked) -> dict[str, dict[str, int]]:
    """Total in cents by customer and way."""
    return {
        one.offtake.offtake_id: {way.value: settled(books.case(one, asked, way), asked.month).cents for way in Way}
        for one in contracts
    }


def told_ways(others: Mapping[str, Mapping[str, int]]) -> None:
    """Say to standard error whether the ways agree.

    Raises:
        typer.Exit: when they do not.
    """
    for name, totals in others.items():
        text = ", ".join(f"{way} {amount(cents)}" for way, cents in totals.items())
        err.print(f"{name}: {text}", markup=False)
    if any(len(set(totals.values())) > 1 for totals in others.values()):
        err.print("the three ways do not agree", markup=False)
        raise typer.Exit(EXIT_FAILED)
