"""What a cycle decided and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from scheduler.domain.action import Action, Outcome
from scheduler.domain.ledger import CycleEntry
from scheduler.domain.plan import Offer, Plan
from scheduler.domain.snapshot import Commitment, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantSetpoint:
    """What we ask of our own side of a plug (heat pump, tank, dry cooler) for one slot; the customer's valves are theirs."""

    plug_id: str
    at_utc: datetime
    duration_s: int
    pump_heat_kw: float
    charge_kw: float
    discharge_kw: float
    sell_kw: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decision:
    """A whole decision: plan, actions that passed the guard, those it refused, offers, plant wishes, new promises."""

    at_utc: datetime
    plan: Plan
    actions: tuple[Action, ...]
    refused: tuple[tuple[Action, str], ...]
    offers: tuple[Offer, ...]
    setpoints: tuple[PlantSetpoint, ...]
    commitments: tuple[Commitment, ...]
    violations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CycleRecord:
    """One cycle as it is recorded: snapshot -> decision -> outcomes; replays from disk."""

    snapshot: Snapshot
    decision: Decision
    outcomes: tuple[Outcome, ...]
    receipts: tuple[str, ...]
    entry: CycleEntry
