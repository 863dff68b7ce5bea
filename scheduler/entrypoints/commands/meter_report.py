"""`heat-dispatch report meters`: what befell the meters of a month, and whether they agree with each other."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from scheduler.config.contracts import HEADROOM, Contract
from scheduler.core.accounting.meter_series import MeterSlots
from scheduler.core.accounting.residual import BalanceAlarm, BalanceRule
from scheduler.core.accounting.whole import kwh_from_wh
from scheduler.core.reports.meters import PlugMeters, disagreements
from scheduler.core.reports.months import Span, month_span
from scheduler.domain.ledger import Quality
from scheduler.domain.plantlink import MeterReading
from scheduler.entrypoints.commands.settlement_inputs import Books, plate_at
from scheduler.views.tables import rich_table

HELP = """Say what befell the meters of a month: exchanges, restarts, gaps, calibration, and whether they agree with each other.

Two balances are watched: heat of the loop = handed off + rejected, and captured share of the IT's power = heat of the loop. An
alarm names causes, likeliest first. It ends with 1 when there is one.

**Example**

    heat-dispatch report meters -f site/ --month 2026-01 --loop loop-a --rejected cooler-a --it it-a
"""
HEADER = ("meter", "kWh", "metered", "estimated", "missing", "what befell it")
LoopPoint = Annotated[str, typer.Option("--loop", metavar="ID", help="Heat meter of the cooling loop.")]
HandOffPoint = Annotated[
    str, typer.Option("--hand-off", metavar="ID", help="Heat meter of what leaves the loop [default: the billing meter].")
]
RejectedPoint = Annotated[str, typer.Option("--rejected", metavar="ID", help="Heat meter of the dry cooler.")]
ItPoint = Annotated[str, typer.Option("--it", metavar="ID", help="Electricity meter of the IT on this loop.")]
Captured = Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the IT's power that the loop takes up.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """Metering points around a plug; empty: not there."""

    loop: str = ""
    hand_off: str = ""
    rejected: str = ""
    it: str = ""


def meter_report(books: Books, contract: Contract, month: str, points: Points, capture_fraction: float) -> dict[str, Any]:
    """Meters and alarms of one customer's plug, as plain values."""
    span = month_span(month, contract.terms.time_zone)
    plates = {name: plate_at(contract, name) for name in _named(points, contract)}
    slots = {name: books.metered(contract, plate, span) for name, plate in plates.items()}

    def of(name: str) -> MeterSlots:
        return slots.get(name, MeterSlots(slots=()))

    meters = PlugMeters(
        captured=of(points.loop).slots,
        recovered=of(points.hand_off or contract.plate.meter_point_id).slots,
        rejected=of(points.rejected).slots,
        it=of(points.it).slots,
        loop_readings=_readings(books, contract, points.loop, span),
    )
    rule = BalanceRule(max_kw=contract.plate.max_kw / HEADROOM, capture_fraction=capture_fraction)
    return {
        "offtake": contract.offtake.offtake_id,
        "month": month,
        "meters": [_meter(name, found) for name, found in slots.items()],
        "alarms": [_alarm(one) for one in disagreements(meters, rule)],
    }


def told_rows(report: dict[str, Any]) -> list[list[str]]:
    """One row per meter."""
    return [
        [
            one["meter_point"],
            f"{one['kwh']:,.1f}",
            str(one["metered"]),
            str(one["estimated"]),
            str(one["missing"]),
            "; ".join(f"{note['at_utc'][5:16]} {note['text']}" for note in one["notes"][:5]),
        ]
        for one in report["meters"]
    ]


def table_of(report: dict[str, Any]) -> Any:
    """For a terminal."""
    title = f"{report['offtake']}, {report['month']}"
    return rich_table(HEADER, told_rows(report), title=title, sentences=("what befell it",))


def _named(points: Points, contract: Contract) -> list[str]:
    names = [points.hand_off or contract.plate.meter_point_id, points.loop, points.rejected, points.it]
    return list(dict.fromkeys(name for name in names if name))


def _readings(books: Books, contract: Contract, name: str, span: Span) -> tuple[MeterReading, ...]:
    if not name:
        return ()
    found = books.readings(contract.offtake.offtake_id, name, span)
    return tuple(one for one in found if span[0] <= one.at_utc < span[1])


def _meter(name: str, found: MeterSlots) -> dict[str, Any]:
    counts = {str(quality): sum(one.quality is quality for one in found.slots) for quality in Quality}
    notes = [{**asdict(one), "event": one.event.value, "at_utc": one.at_utc.isoformat()} for one in found.notes]
    return {"meter_point": name, "kwh": kwh_from_wh(sum(one.heat_wh or 0 for one in found.slots)), **counts, "notes": notes}


def _alarm(one: BalanceAlarm) -> dict[str, Any]:
    return {
        "balance": one.balance.value,
        "at_utc": one.at_utc.isoformat(),
        "residual_kw": round(one.residual_kw, 3),
        "causes": [cause.value for cause in one.causes],
    }
