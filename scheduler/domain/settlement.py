"""What is settled with a heat customer: whole numbers only, so that whoever computes it again gets the same cent.

Heat in Wh, power in W, prices in millionths of the currency per kWh, money in hundredths of the currency. Positive
money is owed by the customer, negative by us.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from scheduler.domain.ledger import Quality
from scheduler.units import S_PER_WHOLE_H


class MeterPosition(StrEnum):
    """Pipe in which a heat meter's flow sensor sits."""

    FLOW = "flow"
    RETURN = "return"


class MeterEvent(StrEnum):
    """What happened to a meter, or what it could not tell."""

    EXCHANGED = "exchanged"
    RESET = "reset"
    ROLLED_OVER = "rolledOver"
    CLOCK_BACK = "clockBack"
    JUMP = "jump"
    GAP = "gap"
    ERROR = "error"
    CALIBRATION = "calibrationExpired"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterNote:
    """Something a reader of a settlement should know of a meter."""

    event: MeterEvent
    at_utc: datetime
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterPlate:
    """What is written on a heat meter, and what can be behind it.

    max_kw: largest power that can be believed. register_kwh: at which the register starts again at zero, None: never.
    calibration_due: last day on which its readings are good for billing.
    """

    meter_point_id: str
    max_kw: float
    position: MeterPosition = MeterPosition.RETURN
    meter_class: int = 2
    calibration_due: date | None = None
    register_kwh: float | None = None
    max_gap_s: float = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatSlot:
    """Heat that a meter counted in one slot; None exactly when nothing is known of it."""

    start_utc: datetime
    duration_s: int
    heat_wh: int | None
    quality: Quality
    supply_c: float | None = None
    revision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """Firm heat of one delivery period, in whole W as it was sent."""

    start_utc: datetime
    end_utc: datetime
    firm_w: int


class ReliefKind(StrEnum):
    """What the customer did that ends or lowers what we owe."""

    REJECTED = "rejected"
    PARTIAL = "partial"
    OVERRIDE = "override"
    REQUEST = "request"
    MAINTENANCE = "maintenance"
    SILENT = "silent"
    AGREED = "agreed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Relief:
    """From `start_utc` until `end_utc` at most `limit_w` was owed, because of the customer.

    unsold: he did not accept the promise in time, so it earns no capacity payment either.
    """

    kind: ReliefKind
    start_utc: datetime
    end_utc: datetime
    limit_w: int
    unsold: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementTerms:
    """The contract as it is settled; prices in millionths per kWh, shares in millionths.

    firm_period_s: delivery period that shortfall is settled by. supply_min_c: below it a minute of promised heat counts as not
    delivered; None: any temperature will do.
    """

    time_zone: str
    currency: str = "EUR"
    firm_period_s: int = S_PER_WHOLE_H
    tolerance_ppm_count: int = 0
    capacity_micro_count: int = 0
    shortfall_micro_count: int = 0
    grade_micro_per_k_count: int = 0
    grade_reference_c: float = 0.0
    take_or_pay_wh_per_year: int = 0
    availability_ppm_count: int | None = None
    penalty_cents_per_h: int = 0
    supply_min_c: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeRecord:
    """What a job went through, for the other half of the house: its owner's agreement with us.

    allowed_slowdown_fraction, allowed_stops: of its class. slowdown_fraction: of the time it ran.
    """

    job_id: str
    class_name: str
    insulated: bool
    ended_utc: datetime
    deadline_utc: datetime | None = None
    held_s: float = 0.0
    capped_s: float = 0.0
    slowdown_fraction: float = 0.0
    allowed_slowdown_fraction: float = 0.0
    stops: int = 0
    allowed_stops: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementCase:
    """Everything a statement is made of, from the start of the local year on.

    slots: by our meter, in time order. check: by the customer's own meter. price_micro: of each local day, millionths per kWh.
    """

    offtake_id: str
    plug_id: str
    terms: SettlementTerms
    slots: tuple[HeatSlot, ...]
    price_micro: Mapping[date, int]
    promises: tuple[Promise, ...] = ()
    reliefs: tuple[Relief, ...] = ()
    check: tuple[HeatSlot, ...] = ()
    check_fraction: float = 0.0
    notes: tuple[MeterNote, ...] = ()
    compute: tuple[ComputeRecord, ...] | None = None


class LineKind(StrEnum):
    """What a line of a statement is about."""

    ENERGY = "energy"
    GRADE = "grade"
    CAPACITY = "capacity"
    SHORTFALL = "shortfall"
    TAKE_OR_PAY = "takeOrPay"
    AVAILABILITY = "availability"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a statement: cents = quantity times price, rounded half away from zero, once.

    day: of energy; None of a whole month. quantity_wh of availability lines is 0: they count minutes.
    """

    kind: LineKind
    day: date | None
    quantity_wh: int
    price_micro_count: int
    cents: int
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmPeriod:
    """One delivery period: what was promised, what of it was owed after reliefs, what came; None: not known yet."""

    start_utc: datetime
    end_utc: datetime
    promised_wh: int
    paid_wh: int
    owed_wh: int
    delivered_wh: int | None
    shortfall_wh: int
    relieved_by: tuple[ReliefKind, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ThermalAvailability:
    """availability = 1 - bad / contracted; relieved and unknown minutes are in neither."""

    contracted_min: int
    bad_min: int
    relieved_min: int
    unknown_min: int
    cold_min: int
    allowed_min: int | None

    @property
    def availability_fraction(self) -> float | None:
        """Share of the contracted minutes; None without any."""
        return 1.0 - self.bad_min / self.contracted_min if self.contracted_min else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeAgreement:
    """How jobs fared: `breaches` says which job, and what was broken."""

    jobs: int
    insulated: int
    insulated_touched: int
    with_deadline: int
    missed: int
    missed_after_hold: int
    slowed_too_much: int
    stopped_too_often: int
    breaches: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOrPay:
    """Where the year stands: taken, what we failed to deliver (which lowers his duty), still to take."""

    minimum_wh: int
    taken_wh: int
    not_delivered_wh: int
    open_wh: int
    year_ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckDay:
    """One local day by both meters; `apart_too_far`: by more than both may err together."""

    day: date
    ours_wh: int
    theirs_wh: int
    apart_too_far: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a month came to. `digest` names the inputs that it was made of."""

    offtake_id: str
    plug_id: str
    month: str
    currency: str
    start_utc: datetime
    end_utc: datetime
    lines: tuple[Line, ...]
    slots: int
    metered: int
    estimated: int
    missing: int
    corrected: int
    digest: str
    availability: ThermalAvailability
    take_or_pay: TakeOrPay | None = None
    periods: tuple[FirmPeriod, ...] = ()
    check: tuple[CheckDay, ...] = ()
    notes: tuple[MeterNote, ...] = ()
    compute: ComputeAgreement | None = None
    reliefs: tuple[Relief, ...] = ()
    final: bool = True

    @property
    def cents(self) -> int:
        """What the customer owes for the month."""
        return sum(line.cents for line in self.lines)

    @property
    def heat_wh(self) -> int:
        """Heat that was billed."""
        return sum(line.quantity_wh for line in self.lines if line.kind is LineKind.ENERGY)
