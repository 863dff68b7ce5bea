"""Ledger values to rows and back; a row reads back to an equal value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from scheduler.domain.ledger import CycleEntry, LedgerEntry, Quality


def entry_row(entry: LedgerEntry) -> dict[str, Any]:
    """Columns of an entry that was found well-formed."""
    row = asdict(entry)
    row["start_utc"] = in_utc(entry.start_utc)
    row["quality"] = entry.quality.value
    row["eur_json"] = json.dumps(row.pop("eur"), sort_keys=True, allow_nan=False)
    return row


def entry_of(row: Mapping[Any, Any]) -> LedgerEntry:
    """The entry of a row."""
    values: dict[str, Any] = {str(name): value for name, value in row.items()}
    values["eur"] = json.loads(values.pop("eur_json"))
    values["quality"] = Quality(values["quality"])
    values["start_utc"] = aware(values["start_utc"])
    return LedgerEntry(**values)


def cycle_row(entry: CycleEntry) -> dict[str, Any]:
    """Columns of a cycle."""
    return {**asdict(entry), "at_utc": in_utc(entry.at_utc)}


def cycle_of(row: Mapping[Any, Any]) -> CycleEntry:
    """The cycle of a row."""
    values: dict[str, Any] = {str(name): value for name, value in row.items()}
    values["at_utc"] = aware(values["at_utc"])
    return CycleEntry(**values)


def in_utc(at: datetime) -> datetime:
    """The same instant in UTC: SQLite writes an instant down as it reads and forgets the zone."""
    return at.astimezone(UTC)


def aware(at: datetime) -> datetime:
    """An instant as it was read, with its zone again: everything in the ledger is UTC."""
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
