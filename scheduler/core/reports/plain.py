"""A statement as plain values, as it is issued, and what has changed since one was issued."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime
from enum import Enum
from typing import Any

from scheduler.domain.settlement import LineKind, Statement
from scheduler.units import CENTS_PER_UNIT, MICRO_PER_UNIT, WH_PER_KWH

SCHEMA_VERSION = "1.0"


def plain_statement(statement: Statement) -> dict[str, Any]:
    """What is issued: JSON values only, with the sums a reader looks for first."""
    found: dict[str, Any] = _plain(asdict(statement))
    shortfall_wh = sum(one.shortfall_wh for one in statement.periods)
    return {
        "schema_version": SCHEMA_VERSION,
        "total_cents": statement.cents,
        "total": money(statement.cents),
        "heat_kwh": kwh(statement.heat_wh),
        "promised_kwh": kwh(sum(one.promised_wh for one in statement.periods)),
        "owed_kwh": kwh(sum(one.owed_wh for one in statement.periods)),
        "shortfall_kwh": kwh(shortfall_wh),
        "availability_fraction": statement.availability.availability_fraction,
        "sums_cents": {str(kind): sum(one.cents for one in statement.lines if one.kind is kind) for kind in LineKind},
        **found,
    }


def money(cents: int) -> str:
    """Money as a decimal with two places."""
    sign, whole = "-" if cents < 0 else "", abs(cents)
    return f"{sign}{whole // int(CENTS_PER_UNIT)}.{whole % int(CENTS_PER_UNIT):02d}"


def kwh(energy_wh: int) -> str:
    """Energy in kWh as a decimal with three places."""
    sign, whole = "-" if energy_wh < 0 else "", abs(energy_wh)
    return f"{sign}{whole // WH_PER_KWH}.{whole % WH_PER_KWH:03d}"


def price(micro: int) -> str:
    """A price per kWh as a decimal with six places."""
    sign, whole = "-" if micro < 0 else "", abs(micro)
    return f"{sign}{whole // MICRO_PER_UNIT}.{whole % MICRO_PER_UNIT:06d}"


def differences(issued: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Lines that differ between two plain statements of one month, and how the sum changes; empty when nothing does."""
    before, after = _by_line(issued), _by_line(now)
    found = []
    for key in sorted({*before, *after}):
        old, new = before.get(key, NOTHING), after.get(key, NOTHING)
        same = all(old[name] == new[name] for name in ("quantity_wh", "price_micro_count", "cents"))
        if not same:
            found.append(
                {
                    "kind": key[0],
                    "day": key[1] or None,
                    "issued_wh": old["quantity_wh"],
                    "now_wh": new["quantity_wh"],
                    "issued_cents": old["cents"],
                    "now_cents": new["cents"],
                    "difference_cents": new["cents"] - old["cents"],
                }
            )
    return found


NOTHING = {"quantity_wh": 0, "price_micro_count": 0, "cents": 0}


def _by_line(statement: Mapping[str, Any]) -> dict[tuple[str, str], Mapping[str, Any]]:
    return {(one["kind"], one["day"] or ""): one for one in statement["lines"]}


def _plain(value: Any) -> Any:
    """JSON values: instants as ISO 8601 in UTC, days as ISO days."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value
