"""What is kept forever: one entry per plug and slot, corrections as new entries."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Quality(StrEnum):
    """Where a number comes from."""

    METERED = "metered"
    ESTIMATED = "estimated"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """Energy, heat and money of one plug in one slot; `revision` > 0 corrects an earlier entry of the same slot.

    `eur` holds every cash and shadow term by name; revenue is negative. None is "not known".
    """

    entry_id: str
    plug_id: str
    start_utc: datetime
    duration_s: int
    revision: int
    plan_id: str
    quality: Quality
    it_energy_kwh: float | None
    facility_energy_kwh: float | None
    heat_captured_kwh: float | None
    heat_recovered_kwh: float | None
    heat_sold_kwh: float | None
    heat_rejected_kwh: float | None
    heat_planned_kwh: float | None
    heat_firm_kwh: float | None
    tank_level_kwh: float | None
    emissions_g: float | None
    eur: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleEntry:
    """One cycle as it is kept: digest, status, counts, cost of the plan, degraded reason."""

    cycle_id: str
    at_utc: datetime
    plan_id: str
    input_digest: str
    status: str
    objective_eur: float
    bound_eur: float
    rolling_gap: float
    solve_s: float
    started: int
    held: int
    stopped: int
    capped: int
    degraded_reason: str = ""
