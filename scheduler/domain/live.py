"""What a live page shows of one policy: plain facts of its last cycle, kept so that who serves the page needs no cluster."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from scheduler.domain.settings import Mode
from scheduler.domain.site import Offtake
from scheduler.domain.snapshot import Freshness
from scheduler.domain.time import FloatArray, TimeGrid


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LiveSeries:
    """What was and what is planned, (slots,) each; NaN where it is not known, and where it is of the other side of now.

    now_slot: first slot that is planned. delivered, demand: measured, so before it; demand_p10 to p90: forecast; planned, with
    its band and what is firm: offered to all customers together, whose bands are added up. tank_kwh: all tanks, at the end of a
    slot, before now as last measured or planned. GPUs: busy with insulated work, with flexible jobs that are here, with work
    that is expected to come, and all.
    """

    grid: TimeGrid
    now_slot: int
    delivered_kw: FloatArray
    demand_kw: FloatArray
    demand_p10_kw: FloatArray
    demand_p50_kw: FloatArray
    demand_p90_kw: FloatArray
    planned_kw: FloatArray
    planned_p10_kw: FloatArray
    planned_p90_kw: FloatArray
    firm_kw: FloatArray
    price_eur_per_kwh: FloatArray
    price_p10_eur_per_kwh: FloatArray
    price_p90_eur_per_kwh: FloatArray
    tank_kwh: FloatArray
    gpus_insulated: FloatArray
    gpus_flexible: FloatArray
    gpus_expected: FloatArray
    gpus_there: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveJob:
    """One flexible job that waits: why, from when it is planned, until when it waits at the latest, when it should be done.

    reason: a `WaitReason`, empty where the plan says nothing of it. text: the plan's sentence, times in UTC. saves_eur: what
    waiting is worth. may_move: the start is not decided yet. paused: it ran before.
    """

    job_id: str
    class_name: str
    gpus: int
    reason: str
    text: str
    start_utc: datetime | None
    latest_start_utc: datetime | None
    deadline_utc: datetime | None
    saves_eur: float
    may_move: bool
    paused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveCounts:
    """Jobs by what they do now, and GPUs: waiting counts all that do, the list of a state may end before."""

    waiting: int
    paused: int
    running: int
    capped: int
    insulated: int
    gpus_busy: int
    gpus_there: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveCustomer:
    """One customer in the slot that has begun; None is "not known". boiler_request_kw: heat that he should make himself."""

    offtake: Offtake
    demand_kw: float | None
    planned_kw: float | None
    firm_kw: float | None
    boiler_request_kw: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LiveState:
    """One policy after a cycle.

    status: a `PlanStatus`. plan_max_age_s: after so long without a new plan the operator lets go. rolling_gap: None where
    nothing was proven. notes: what inputs lacked, and what the checker found. sources: their age at `at_utc`.
    tank_level_kwh: measured now. simulated: a made-up site, whose clock is not the world's.
    """

    policy: str
    site_name: str
    time_zone: str
    currency: str
    at_utc: datetime
    cycle_s: int
    plan_max_age_s: float
    mode: Mode
    status: str
    degraded_reason: str
    plan_id: str
    rolling_gap: float | None
    notes: tuple[str, ...]
    sources: tuple[Freshness, ...]
    series: LiveSeries
    jobs: tuple[LiveJob, ...]
    counts: LiveCounts
    customers: tuple[LiveCustomer, ...]
    plug_ids: tuple[str, ...]
    tank_level_kwh: float | None
    tank_capacity_kwh: float
    simulated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveAccount:
    """Where a customer's account stands in a local month, by the ledger, in Wh and hundredths of the currency.

    booked: whether anything is booked at all. promised, shortfall: of delivery periods that are over. owed_cents: positive: he
    owes us, without what is settled by the year. unknown_slots: slots that are over and that no meter knows.
    """

    offtake_id: str
    month: str
    booked: bool
    promised_wh: int
    delivered_wh: int
    shortfall_wh: int
    owed_cents: int
    unknown_slots: int
