"""The operator's daily booking, on a database into which a meter's readings were written as the plant link writes them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from scheduler.adapters.kubernetes.runtime.fence import Term
from scheduler.adapters.ledger.sql import SqlLedger
from scheduler.adapters.plantlink.store.database import LinkStore
from scheduler.config.reference import reference_site
from scheduler.core.accounting.booking import account_of, to_book
from scheduler.domain.ledger import LedgerEntry, Quality
from scheduler.domain.plantlink import Letter, LinkProtocol, MeterReading, Sender
from scheduler.domain.settlement import MeterPlate
from scheduler.entrypoints.commands.settlement_inputs import Asked, Books
from scheduler.entrypoints.operator.booking import Accounts, Booker, metered_contracts

START = datetime(2026, 1, 31, 20, tzinfo=UTC)
SITE = reference_site(gpus=16, gpus_per_node=8, heat_peak_kw=7.0, time_zone="Europe/Copenhagen")
OFFTAKE = SITE.offtakes[0]
PLATE = MeterPlate(meter_point_id="hall", max_kw=1.5 * SITE.plugs[0].max_heat_kw, calibration_due=date(2027, 1, 1))
ACCOUNTS = Accounts(site=SITE, plates={OFFTAKE.plug_id: PLATE})


@dataclass
class SetClock:
    at_utc: datetime

    def now_utc(self) -> datetime:
        return self.at_utc

    def monotonic_s(self) -> float:
        return self.at_utc.timestamp()


def term(clock: SetClock, *, holds: bool = True) -> Term:
    """A time of leadership that is sure for a minute yet, or over."""
    return Term(1, clock, clock.monotonic_s() + (60.0 if holds else -60.0))


def readings(url: str, first: int, last: int, protocol: LinkProtocol = LinkProtocol.METER) -> None:
    """One reading a quarter hour, 1 kWh more each."""
    store = LinkStore(url)
    sender = Sender(name="plant", protocol=protocol, authenticated=True)
    letters = []
    for quarter in range(first, last + 1):
        at_utc = START + timedelta(minutes=15 * quarter)
        body = MeterReading(meter_point_id="hall", at_utc=at_utc, energy_kwh=100.0 + quarter)
        letters.append(Letter(offtake_id=OFFTAKE.offtake_id, sender=sender, received_utc=at_utc, body=body))
    store.keep_letters(letters)
    store.close()


def booked(url: str) -> list[LedgerEntry]:
    ledger = SqlLedger(url, inline=True)
    try:
        span = (START - timedelta(days=40), START + timedelta(days=40))
        return list(ledger.entries_now(account_of(OFFTAKE.offtake_id), *span))
    finally:
        ledger.close()


def test_both_months_are_booked_and_late_readings_become_revisions(tmp_path: Path) -> None:
    url = str(tmp_path / "ledger.db")
    readings(url, 0, 8)
    readings(url, 16, 24)
    clock = SetClock(START + timedelta(hours=7))
    booker = Booker(url, clock, lambda: [ACCOUNTS])
    (contract,) = metered_contracts(ACCOUNTS)
    assert booker.book(contract, clock.at_utc) > 0
    known = [one for one in booked(url) if one.quality is not Quality.MISSING]
    # 20:00 to 02:00: with a silence of two hours in the middle, over the local end of the month at 23:00.
    assert [one.quality for one in known] == [Quality.METERED] * 8 + [Quality.ESTIMATED] * 8 + [Quality.METERED] * 8
    assert sum(one.heat_sold_kwh or 0.0 for one in known) == pytest.approx(24.0)
    assert booker.book(contract, clock.at_utc) == 0
    readings(url, 9, 15)
    assert booker.book(contract, clock.at_utc) == 8
    corrected = [one for one in booked(url) if one.revision == 1]
    assert {one.quality for one in corrected} == {Quality.METERED}


def test_after_its_calibration_a_meter_is_booked_as_an_estimate(tmp_path: Path) -> None:
    url = str(tmp_path / "ledger.db")
    readings(url, 0, 8)
    clock = SetClock(START + timedelta(hours=3))
    ended = replace(ACCOUNTS, plates={OFFTAKE.plug_id: replace(PLATE, calibration_due=date(2026, 1, 30))})
    booker = Booker(url, clock, lambda: [ended])
    booker.tick(term(clock))
    assert {one.quality for one in booked(url) if one.heat_sold_kwh is not None} == {Quality.ESTIMATED}
    # What a booking by hand finds with the whole plate is there already.
    with Books(url) as books:
        (contract,) = metered_contracts(ended)
        fresh = books.fresh(contract, Asked(month="2026-01"), clock.at_utc)
    assert to_book(booked(url), fresh) == ()


def test_nothing_is_booked_before_the_first_reading_or_without_leading(tmp_path: Path) -> None:
    url = str(tmp_path / "ledger.db")
    LinkStore(url).close()
    clock = SetClock(START + timedelta(hours=7))
    booker = Booker(url, clock, lambda: [ACCOUNTS])
    booker.tick(term(clock))
    assert booked(url) == []
    # What the customer himself says of the meter by which he is billed is no reading of it.
    readings(url, 0, 8, LinkProtocol.REST)
    booker.tick(term(clock))
    assert booked(url) == []
    readings(url, 0, 8)
    booker.tick(term(clock, holds=False))
    assert booked(url) == []
    booker.tick(term(clock))
    assert len([one for one in booked(url) if one.heat_sold_kwh is not None]) == 8


def test_who_shares_a_plug_or_has_no_meter_is_left_to_people() -> None:
    other = replace(OFFTAKE, offtake_id="pool")
    shared = replace(ACCOUNTS, site=replace(SITE, offtakes=(OFFTAKE, other)))
    assert metered_contracts(shared) == ()
    assert metered_contracts(replace(ACCOUNTS, plates={})) == ()
    assert metered_contracts(ACCOUNTS)[0].plate == PLATE


def test_a_ledger_that_is_away_is_told_and_tried_again(tmp_path: Path) -> None:
    clock = SetClock(START)
    booker = Booker(str(tmp_path / "nowhere.db"), clock, lambda: [ACCOUNTS])
    booker.tick(term(clock))
    assert booker._booking.failures == 1
