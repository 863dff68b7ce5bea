"""What `report settlement` reads: ledger, promises, archived messages and letters of one database, and files beside it."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self
from zoneinfo import ZoneInfo

from scheduler.adapters.history.sql import SqlHistory
from scheduler.adapters.ledger.sql import SqlLedger, ledger_url
from scheduler.adapters.plantlink.store.database import LinkStore, Marks
from scheduler.adapters.plantlink.store.reading import KeptLetter
from scheduler.config.contracts import Contract
from scheduler.config.series import read_series
from scheduler.core.accounting.booking import account_of, booked_prices_micro, heat_entry, promises_of, slots_of
from scheduler.core.accounting.meter_series import MeterSlots, metered_slots
from scheduler.core.publishing.relieving import reliefs_by_answers
from scheduler.core.reports.archived import (
    Bound,
    Ended,
    bound_quarters,
    promises_of_bound,
    promises_of_commitments,
    readings_of,
    reliefs_of,
)
from scheduler.core.reports.firm_heat import firm_slots
from scheduler.core.reports.months import Span, midnight, month_span, whole_slots, year_start
from scheduler.core.reports.settlement import completed
from scheduler.core.reports.terms import day_prices, days_of
from scheduler.core.tariffs.heat_sale import daily_means_c
from scheduler.domain.errors import Misconfigured
from scheduler.domain.ledger import LedgerEntry
from scheduler.domain.observed import OUTDOOR
from scheduler.domain.plantlink import Letter, MeterReading
from scheduler.domain.settlement import (
    ComputeRecord,
    HeatSlot,
    MeterPlate,
    Promise,
    Relief,
    SettlementCase,
)
from scheduler.domain.time import Series, TimeGrid, utc
from scheduler.units import h_from_s

SLOT_S = 900
PATIENCE = timedelta(hours=2)
# Readings from before a time still say something of its first slots, a message of its first hours.
BEFORE = timedelta(days=14)
# What a gateway kept to itself may come so much later.
AFTER = timedelta(days=60)
# So long ahead may a customer speak of his maintenance; an override may stand as long.
LONG_BEFORE = timedelta(days=400)
MOST = 2**62
WORDS = ("request", "maintenance", "override", "acknowledgement")
COMPUTE_COLUMNS = ("job_id", "class", "insulated", "ended_utc")


class Way(StrEnum):
    """Where the numbers come from; all ways must come to the same cent."""

    LEDGER = "ledger"
    METER = "meter"
    ARCHIVE = "archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a statement is asked for: the month, and what the database does not hold.

    meter_point, check_point: whose readings bill and check; empty: the plug's own, and none. outdoor: temperatures of a file
    instead of the observed past; compute: jobs of the period.
    """

    month: str
    meter_point: str = ""
    check_point: str = ""
    outdoor: Series | None = None
    compute: tuple[ComputeRecord, ...] | None = None


class Books:
    """The database of a site, opened for a report."""

    def __init__(self, url: str) -> None:
        """Open ledger, archive and observed past; errors as of `SqlLedger`.

        Raises:
            Misconfigured: also when there is no such file: a report makes no database.
        """
        place = ledger_url(url)
        if place.get_backend_name() == "sqlite" and not Path(place.database or "").is_file():
            raise Misconfigured("there is no such ledger", where=f"ledger {place.database}", expected="the operator's --ledger")
        self.ledger, self.store, self.history = SqlLedger(url, inline=True), LinkStore(url), SqlHistory(url, inline=True)
        self._letters: dict[tuple[str, Span], list[Letter]] = {}
        self._slots: dict[tuple[str, MeterPlate, Span, bool], MeterSlots] = {}

    def __enter__(self) -> Self:
        """The books themselves."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Give connections back."""
        for one in (self.ledger, self.store, self.history):
            one.close()

    def entries(self, contract: Contract, span: Span) -> tuple[LedgerEntry, ...]:
        """The customer's account; where he is alone on his plug and has none, the plug's."""
        name = contract.offtake.offtake_id
        found = self.ledger.entries_now(account_of(name), *span)
        return found if found or not contract.alone else self.ledger.entries_now(contract.offtake.plug_id, *span)

    def words(self, name: str, span: Span) -> list[KeptLetter]:
        """What the customer said that may lower what is owed in a time; nothing that he said later does."""
        kept = [one for kind in WORDS for one in self.store.letters_between(name, kind, span[0] - LONG_BEFORE, span[1])]
        return sorted(kept, key=lambda one: one.row)

    def readings(self, name: str, meter_point_id: str, span: Span, *, ours: bool = False) -> tuple[MeterReading, ...]:
        """Readings of a meter point that may be about a time, in the order in which they came; looked up once."""
        if (name, span) not in self._letters:
            kept = self.store.letters_between(name, "meter", span[0] - BEFORE, span[1] + AFTER)
            self._letters[name, span] = [one.letter for one in kept]
        return readings_of(self._letters[name, span], meter_point_id, ours=ours)

    def bound(self, name: str, span: Span) -> tuple[Bound, ...]:
        """What archived messages made firm."""
        kept = self.store.messages_between(name, span[0] - BEFORE, span[1])
        return tuple(one for one in bound_quarters(one.payload for one in kept) if span[0] <= one.start_utc < span[1])

    def reliefs(self, contract: Contract, span: Span) -> tuple[Relief, ...]:
        """What the customer relieved us of."""
        name = contract.offtake.offtake_id
        kept = self.words(name, span)
        words = [one.letter for one in kept]
        clears = self.store.news("", Marks(message=MOST, letter=MOST)).clears
        return reliefs_of(
            words,
            [
                Ended(at_utc=one.at_utc, letters_count=sum(each.row <= one.letter_row for each in kept))
                for one in clears
                if one.offtake_id == name
            ],
            reliefs_by_answers(self.store.told(name, *span), words, contract.offtake.firm),
            end_utc=span[1],
        )

    def metered(self, contract: Contract, plate: MeterPlate, span: Span, *, ours: bool = False) -> MeterSlots:
        """Slots by the readings of one meter point; ours: as of `readings_of`, and always for the plug's billing meter."""
        name = contract.offtake.offtake_id
        grid = TimeGrid(start_utc=span[0], slot_s=SLOT_S, slots=whole_slots(*span, SLOT_S))
        ours = ours or plate.meter_point_id == contract.plate.meter_point_id
        key = (name, plate, span, ours)
        if key not in self._slots:
            readings = self.readings(name, plate.meter_point_id, span, ours=ours)
            self._slots[key] = metered_slots(readings, grid, plate, contract.terms.time_zone)
        return self._slots[key]

    def outdoor_means_c(self, since_utc: datetime, time_zone: str) -> Mapping[date, float]:
        """Mean of each local day that was observed."""
        series = self.history.past_now(since_utc, max_ended=1).series.get(OUTDOOR)
        return {} if series is None else daily_means_c(series, time_zone)

    def case(self, contract: Contract, asked: Asked, way: Way, *, whole_year: bool = True) -> SettlementCase:
        """Everything that a statement is made of, one of three ways; without the year where only its month is asked for."""
        zone, offtake = contract.terms.time_zone, contract.offtake
        month = month_span(asked.month, zone)
        yearly = whole_year and contract.terms.take_or_pay_wh_per_year > 0
        span = (year_start(asked.month, zone), month[1]) if yearly else month
        bound = self.bound(offtake.offtake_id, span)
        plate = self.plate(contract, asked)
        meter = self.metered(contract, plate, span, ours=True)
        entries = self.entries(contract, span) if way is Way.LEDGER else ()
        slots = _warmed(completed(slots_of(entries), span, SLOT_S), meter.slots) if way is Way.LEDGER else meter.slots
        check = replace(plate, meter_point_id=asked.check_point, calibration_due=None)
        means_c = daily_means_c(asked.outdoor, zone) if asked.outdoor is not None else None
        observed_c = self.outdoor_means_c(span[0] - BEFORE, zone) if means_c is None else means_c
        prices = day_prices(offtake.tariff, _days(span, zone), observed_c)
        return SettlementCase(
            offtake_id=offtake.offtake_id,
            plug_id=offtake.plug_id,
            terms=contract.terms,
            slots=slots,
            price_micro={**prices, **booked_prices_micro(entries, zone)},
            promises=self._promises(contract, entries, bound, span, way),
            reliefs=self.reliefs(contract, span),
            check=self.metered(contract, check, span).slots if asked.check_point else (),
            check_fraction=contract.check_fraction,
            notes=meter.notes if any(one.heat_wh is not None for one in meter.slots) else (),
            compute=asked.compute,
        )

    def price_of(self, contract: Contract, day: date) -> int:
        """Price of one local day, millionths per kWh, by what was observed."""
        zone = contract.terms.time_zone
        means_c = self.outdoor_means_c(midnight(day, zone) - BEFORE, zone)
        return day_prices(contract.offtake.tariff, [day], means_c)[day]

    def plate(self, contract: Contract, asked: Asked) -> MeterPlate:
        """The billing meter.

        Raises:
            Misconfigured: several customers share the plug, and nobody says which meter counts for this one.
        """
        if asked.meter_point:
            return plate_at(contract, asked.meter_point)
        if not contract.alone:
            text = f"{contract.offtake.offtake_id} shares its plug, and the plug's meter counts for all"
            raise Misconfigured(text, where="--meter-point", expected="the customer's own metering point, with --offtake")
        return contract.plate

    def fresh(self, contract: Contract, asked: Asked, now_utc: datetime) -> tuple[LedgerEntry, ...]:
        """Entries of the customer's account as readings, promises and messages make them, for the slots of a month.

        A slot that no reading covers is left out for `PATIENCE`, as one may still come, then booked as not known. A message's
        median counts as planned when it was the newest one as the slot began.
        """
        name, zone = contract.offtake.offtake_id, contract.terms.time_zone
        span = month_span(asked.month, zone)
        case = self.case(contract, asked, Way.METER, whole_year=False)
        slots = [one for one in case.slots if span[0] <= one.start_utc < span[1]]
        slots = [one for one in slots if one.heat_wh is not None or _end(one) <= now_utc - PATIENCE]
        planned_kw = self._planned_kw(name, span)
        firm_w = {one.slot.start_utc: one.promised_w for one in firm_slots(slots, case.promises, ())}
        local = ZoneInfo(zone)
        return tuple(
            heat_entry(
                name,
                one,
                planned_kwh=None if one.start_utc not in planned_kw else planned_kw[one.start_utc] * h_from_s(one.duration_s),
                firm_w=firm_w.get(one.start_utc, 0),
                price_micro=case.price_micro[one.start_utc.astimezone(local).date()],
            )
            for one in slots
        )

    def _planned_kw(self, name: str, span: Span) -> dict[datetime, float]:
        """Median kW by quarter hour, of the newest message that was sent before it began."""
        found: dict[datetime, float] = {}
        for kept in self.store.messages_between(name, span[0] - BEFORE, span[1]):
            rows = kept.payload.get("intervals")
            for row in rows if isinstance(rows, list) else ():
                start_utc = utc(row["start"])
                if kept.kept_utc <= start_utc:
                    found[start_utc] = float(row["heatKw"])
        return found

    def _promises(
        self, contract: Contract, entries: Sequence[LedgerEntry], bound: Sequence[Bound], span: Span, way: Way
    ) -> tuple[Promise, ...]:
        if way is Way.LEDGER:
            return promises_of(entries)
        if way is Way.ARCHIVE:
            return promises_of_bound(bound)
        name = contract.offtake.offtake_id
        return promises_of_commitments(self.store.commitments([name], *span), name)


def _warmed(slots: Sequence[HeatSlot], metered: Sequence[HeatSlot]) -> tuple[HeatSlot, ...]:
    """Booked slots with the temperatures that were read: the ledger has no column for them."""
    supply_c = {one.start_utc: one.supply_c for one in metered}
    return tuple(
        HeatSlot(
            start_utc=one.start_utc,
            duration_s=one.duration_s,
            heat_wh=one.heat_wh,
            quality=one.quality,
            supply_c=supply_c.get(one.start_utc),
            revision=one.revision,
        )
        for one in slots
    )


def plate_at(contract: Contract, meter_point_id: str) -> MeterPlate:
    """The plug's billing meter; of another one of the same plug, nobody knows until when it is calibrated."""
    own = contract.plate
    return own if meter_point_id == own.meter_point_id else replace(own, meter_point_id=meter_point_id, calibration_due=None)


def _end(slot: HeatSlot) -> datetime:
    return slot.start_utc + timedelta(seconds=slot.duration_s)


def _days(span: Span, zone: str) -> tuple[date, ...]:
    local = ZoneInfo(zone)
    return days_of(span[0].astimezone(local).date(), (span[1] - timedelta(seconds=1)).astimezone(local).date())


def outdoor_of(path: Path) -> Series:
    """Outdoor temperatures of a series file."""
    return read_series(path, needed=())[0].outdoor_c


def compute_records(path: Path) -> tuple[ComputeRecord, ...]:
    """Jobs of a period from a table; see docs/settlement.md for its columns.

    Raises:
        Misconfigured: with line and column of what cannot be.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = [name for name in COMPUTE_COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise Misconfigured(f"no column {missing[0]}", where=f"{path.name}:1", expected=", ".join(COMPUTE_COLUMNS))
        return tuple(_record(row, f"{path.name}:{reader.line_num}") for row in reader)


def _record(row: Mapping[str, str], where: str) -> ComputeRecord:
    try:
        deadline = row.get("deadline_utc") or ""
        return ComputeRecord(
            job_id=row["job_id"],
            class_name=row["class"],
            insulated=row["insulated"].strip().lower() in {"1", "true", "yes"},
            ended_utc=utc(row["ended_utc"]).astimezone(UTC),
            deadline_utc=utc(deadline) if deadline else None,
            held_s=float(row.get("held_s") or 0.0),
            capped_s=float(row.get("capped_s") or 0.0),
            slowdown_fraction=float(row.get("slowdown_fraction") or 0.0),
            allowed_slowdown_fraction=float(row.get("allowed_slowdown_fraction") or 0.0),
            stops=int(row.get("stops") or 0),
            allowed_stops=int(row.get("allowed_stops") or 0),
        )
    except ValueError as error:
        raise Misconfigured(str(error), where=where, expected="numbers, and instants with an offset") from None
