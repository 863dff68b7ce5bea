"""The ledger as a download: CSV for spreadsheets, JSON for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import fields
from enum import Enum
from typing import Any

from scheduler.domain.ledger import LedgerEntry

# Where a cell begins so, a spreadsheet may take it for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
EUR = "eur"


def ledger_csv(entries: Sequence[LedgerEntry]) -> str:
    """One line per slot; each term of its cost is a column, what is not known is empty."""
    terms = sorted({name for one in entries for name in one.eur})
    names = [one.name for one in fields(LedgerEntry) if one.name != EUR]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([*names, *(f"{EUR}_{name}" for name in terms)])
    for one in entries:
        row = _row(one)
        writer.writerow([*(_cell(row[name]) for name in names), *(one.eur.get(name, "") for name in terms)])
    return out.getvalue()


def ledger_json(month: str, entries: Sequence[LedgerEntry]) -> str:
    """All slots of a month; what is not known is null."""
    return json.dumps({"month": month, "entries": [_row(one) for one in entries]}, allow_nan=False)


def _row(entry: LedgerEntry) -> dict[str, Any]:
    row = {one.name: getattr(entry, one.name) for one in fields(LedgerEntry)}
    row["start_utc"] = f"{entry.start_utc:%Y-%m-%dT%H:%M:%SZ}"
    return {name: value.value if isinstance(value, Enum) else value for name, value in row.items()}


def _cell(value: Any) -> Any:
    """A text that no spreadsheet calculates with."""
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return "" if value is None else value
