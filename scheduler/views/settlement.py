"""A statement for a terminal and as CSV, from the plain values that are issued."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from scheduler.units import CENTS_PER_UNIT, KWH_PER_MWH, MICRO_PER_UNIT, WH_PER_KWH
from scheduler.views.tables import percent

NAMES = {
    "energy": "Heat delivered",
    "grade": "Hotter water",
    "capacity": "Capacity payment",
    "shortfall": "Shortfall",
    "takeOrPay": "Take or pay",
    "availability": "Availability penalty",
}
LINE_HEADER = ("line", "kWh", "per kWh", "amount")
DIFFERENCE_HEADER = ("line", "day", "issued", "now", "difference")
FIRM_HEADER = ("firm heat", "kWh")
CSV_HEADER = ("offtake", "month", "line", "day", "kwh", "price_per_kwh", "amount", "currency")


def amount(cents: int) -> str:
    """Money with thousands separators and two places."""
    sign, whole = "-" if cents < 0 else "", abs(cents)
    return f"{sign}{whole // int(CENTS_PER_UNIT):,}.{whole % int(CENTS_PER_UNIT):02d}"


def energy(wh: int) -> str:
    """Energy in kWh with thousands separators and one place."""
    return f"{wh / WH_PER_KWH:,.1f}"


def line_rows(statement: Mapping[str, Any]) -> list[list[str]]:
    """One row per kind of line and their sum; days are summed, their mean price shown."""
    rows = []
    for kind, name in NAMES.items():
        lines = [one for one in statement["lines"] if one["kind"] == kind]
        if lines:
            wh, cents = sum(one["quantity_wh"] for one in lines), sum(one["cents"] for one in lines)
            rows.append([name, energy(wh) if wh else "", mean_price(lines, wh), amount(cents)])
    return [*rows, ["Total", "", "", f"{amount(statement['total_cents'])} {statement['currency']}"]]


def mean_price(lines: Sequence[Mapping[str, Any]], wh: int) -> str:
    """Price of one line, mean price of several, weighted by their heat."""
    if len(lines) == 1:
        micro = lines[0]["price_micro_count"]
        return f"{micro / MICRO_PER_UNIT:.6f}" if micro else ""
    return f"{sum(one['quantity_wh'] * one['price_micro_count'] for one in lines) / wh / MICRO_PER_UNIT:.6f}" if wh else ""


def title(statement: Mapping[str, Any]) -> str:
    """Whose statement of what."""
    return f"{statement['offtake_id']}, {statement['month']}"


def sentences(statement: Mapping[str, Any]) -> list[str]:
    """What a reader has to know beside the lines, worst first."""
    found = []
    if not statement["final"]:
        found.append(
            f"OPEN: {statement['missing']} of {statement['slots']} slots are not known; they are billed nothing until then."
        )
    found += firm_sentences(statement)
    position = statement["take_or_pay"]
    if position is not None:
        found.append(position_sentence(position))
    apart = [one["day"] for one in statement["check"] if one["apart_too_far"]]
    if statement["check"]:
        text = (
            f"days on which both meters differ by more than they may: {', '.join(apart)}"
            if apart
            else "both meters agree every day"
        )
        found.append(f"Check meter: {text}.")
    found += [f"Meter, {one['at_utc'][:16]}Z: {one['text']}." for one in statement["notes"]]
    counts = f"{statement['metered']} slots metered, {statement['estimated']} estimated, {statement['missing']} missing"
    return [*found, f"{counts}, {statement['corrected']} corrected. Inputs {statement['digest'][:16]}."]


def firm_sentences(statement: Mapping[str, Any]) -> list[str]:
    """Promises and the heat agreement in words; nothing where nothing was promised."""
    if not statement["periods"]:
        return []
    found = statement["availability"]
    relieved = sum(1 for one in statement["periods"] if one["relieved_by"])
    allowed = "" if found["allowed_min"] is None else f" ({found['allowed_min']} allowed)"
    return [
        f"Firm: {float(statement['promised_kwh']):,.1f} kWh promised in {len(statement['periods'])} periods, "
        f"{float(statement['owed_kwh']):,.1f} owed, {float(statement['shortfall_kwh']):,.1f} short "
        f"beyond the tolerance; the customer relieved {relieved} periods.",
        f"Heat agreement: {percent(statement['availability_fraction'])} of {found['contracted_min']} contracted minutes, "
        f"{found['bad_min']} bad{allowed}, {found['relieved_min']} relieved, {found['unknown_min']} not known.",
    ]


def position_sentence(position: Mapping[str, Any]) -> str:
    """Take-or-pay in words."""
    least, taken, left = (position[name] / WH_PER_KWH / KWH_PER_MWH for name in ("minimum_wh", "taken_wh", "open_wh"))
    kind = "to pay" if position["year_ended"] else "still to take this year"
    return f"Take or pay: {taken:,.1f} of {least:,.1f} MWh taken, {left:,.1f} MWh {kind}."


def compute_sentences(statement: Mapping[str, Any]) -> list[str]:
    """The agreement with the owners of jobs, in words; it is a book of its own."""
    found = statement["compute"]
    if found is None:
        return ["Compute agreement: no jobs were given (--compute)."]
    return [
        f"Compute agreement: {found['jobs']} jobs; {found['insulated_touched']} of {found['insulated']} insulated ones "
        f"touched; {found['missed']} of {found['with_deadline']} deadlines missed, {found['missed_after_hold']} of them after "
        f"a hold, stop or cap of ours; {found['slowed_too_much']} slowed and {found['stopped_too_often']} stopped more than "
        "their class allows.",
        *(f"  {text}" for text in found["breaches"][:20]),
    ]


def difference_rows(differences: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """One row per line that changed, and the sum."""
    rows = [
        [
            NAMES[one["kind"]],
            one["day"] or "",
            amount(one["issued_cents"]),
            amount(one["now_cents"]),
            amount(one["difference_cents"]),
        ]
        for one in differences
    ]
    return [*rows, ["Total", "", "", "", amount(sum(one["difference_cents"] for one in differences))]]


def csv_of(statements: Sequence[Mapping[str, Any]]) -> str:
    """One row per line of each statement, decimals with a point, no thousands separators."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    for one in statements:
        for line in one["lines"]:
            writer.writerow(
                [
                    one["offtake_id"],
                    one["month"],
                    line["kind"],
                    line["day"] or "",
                    f"{line['quantity_wh'] / WH_PER_KWH:.3f}",
                    f"{line['price_micro_count'] / MICRO_PER_UNIT:.6f}",
                    amount(line["cents"]).replace(",", ""),
                    one["currency"],
                ]
            )
    return out.getvalue()
