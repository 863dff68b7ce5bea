"""Statements by hand: every line with its arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from scheduler.core.reports.months import month_span, period_start, year_start
from scheduler.core.reports.plain import differences, money, plain_statement
from scheduler.core.reports.settlement import completed, settled
from scheduler.core.reports.terms import day_prices, days_of, terms_of
from scheduler.domain.contract import FirmRule, HeatTariff, TariffKind
from scheduler.domain.errors import Misconfigured
from scheduler.domain.ledger import Quality
from scheduler.domain.settlement import (
    HeatSlot,
    LineKind,
    Promise,
    Relief,
    ReliefKind,
    SettlementCase,
    SettlementTerms,
    Statement,
)

ZONE = "Europe/Copenhagen"
SPAN = month_span("2026-01", ZONE)
TERMS = terms_of(HeatTariff(fixed_eur_per_kwh=0.045), FirmRule(), ZONE)
DAYS = days_of(date(2026, 1, 1), date(2026, 12, 31))
PRICES = dict.fromkeys(DAYS, 45_000)


def quarters(heat_wh: Callable[[int], int | None], *, month: str = "2026-01") -> tuple[HeatSlot, ...]:
    """Every quarter hour of a month."""
    start_utc, end_utc = month_span(month, ZONE)
    count = int((end_utc - start_utc).total_seconds()) // 900
    return tuple(
        HeatSlot(
            start_utc=start_utc + timedelta(minutes=15 * i),
            duration_s=900,
            heat_wh=heat_wh(i),
            quality=Quality.MISSING if heat_wh(i) is None else Quality.METERED,
        )
        for i in range(count)
    )


def case(slots: Sequence[HeatSlot], terms: SettlementTerms = TERMS, **more: object) -> SettlementCase:
    made = SettlementCase(offtake_id="network", plug_id="loop", terms=terms, slots=tuple(slots), price_micro=PRICES)
    return replace(made, **more)  # type: ignore[arg-type]  # names of fields


def promise(hour: int, hours: int, kw: int) -> Promise:
    start_utc = SPAN[0] + timedelta(hours=hour)
    return Promise(start_utc=start_utc, end_utc=start_utc + timedelta(hours=hours), firm_w=kw * 1000)


def of(statement: Statement, kind: LineKind) -> list[tuple[int, int]]:
    return [(line.quantity_wh, line.cents) for line in statement.lines if line.kind is kind]


def test_heat_is_billed_by_the_day_and_each_day_is_rounded_once() -> None:
    # 10.001 kWh in every quarter hour: 96 x 10.001 = 960.096 kWh a day at 0.045 = 43.20432 EUR -> 43.20, 31 days.
    found = settled(case(quarters(lambda _: 10_001)), "2026-01")
    assert of(found, LineKind.ENERGY) == [(960_096, 4320)] * 31
    assert found.cents == 31 * 4320
    assert money(found.cents) == "1339.20"
    assert (found.slots, found.metered, found.missing, found.final) == (2976, 2976, 0, True)


def test_half_a_cent_goes_away_from_zero() -> None:
    # 1 Wh x 5 EUR/kWh is half a cent.
    half = case(quarters(lambda i: 1 if i == 0 else 0))
    up = settled(replace(half, price_micro=dict.fromkeys(DAYS, 5_000_000)), "2026-01")
    down = settled(replace(half, price_micro=dict.fromkeys(DAYS, -5_000_000)), "2026-01")
    assert (up.cents, down.cents) == (1, -1)


def test_the_day_on_which_clocks_go_forward_has_23_hours() -> None:
    found = settled(case(quarters(lambda _: 1000, month="2026-03")), "2026-03")
    by_day = {line.day: line.quantity_wh for line in found.lines}
    assert by_day[date(2026, 3, 28)] == 96_000
    assert by_day[date(2026, 3, 29)] == 92_000
    assert settled(case(quarters(lambda _: 1000, month="2026-10")), "2026-10").slots == 31 * 96 + 4
    assert month_span("2026-03", ZONE) == (
        datetime(2026, 2, 28, 23, tzinfo=UTC),
        datetime(2026, 3, 31, 22, tzinfo=UTC),
    )
    assert year_start("2026-03", ZONE) == datetime(2025, 12, 31, 23, tzinfo=UTC)


def test_promises_earn_capacity_and_cost_what_is_short() -> None:
    # 40 kW for two hours; 10 kWh a quarter is 40 kW: the first hour is kept. In the second 7, 7, 7, 7 = 28 of 40 kWh come:
    # short by 0.95 x 40 - 28 = 10 kWh. Capacity 80 kWh x 0.004 = 0.32; shortfall 10 x 0.16 = 1.60.
    found = settled(case(quarters(lambda i: 10_000 if i < 4 else 7000), promises=(promise(0, 2, 40),)), "2026-01")
    assert of(found, LineKind.CAPACITY) == [(80_000, 32)]
    assert of(found, LineKind.SHORTFALL) == [(10_000, -160)]
    assert [(one.promised_wh, one.delivered_wh, one.shortfall_wh) for one in found.periods] == [
        (40_000, 40_000, 0),
        (40_000, 28_000, 10_000),
    ]
    # Both hours are contracted, the second is bad: 9.5 kWh a quarter would have done.
    assert (found.availability.contracted_min, found.availability.bad_min) == (120, 60)
    assert found.availability.availability_fraction == 0.5


def test_an_hour_makes_up_for_its_quarters_but_its_minutes_count() -> None:
    # 5, 15, 10, 10 = 40 kWh: nothing short; the first quarter hour was.
    values = [5000, 15_000, 10_000, 10_000]
    found = settled(case(quarters(lambda i: values[i] if i < 4 else 0), promises=(promise(0, 1, 40),)), "2026-01")
    assert of(found, LineKind.SHORTFALL) == [(0, 0)]
    assert found.availability.bad_min == 15


def test_what_the_customer_took_from_us_is_not_owed() -> None:
    # From 00:20 he overrides to nothing: three quarters are relieved. Owed: 10 kWh; came: 10, 0, 0, 0.
    relief = Relief(
        kind=ReliefKind.OVERRIDE,
        start_utc=SPAN[0] + timedelta(minutes=20),
        end_utc=SPAN[0] + timedelta(hours=1),
        limit_w=0,
    )
    given = case(quarters(lambda i: 10_000 if i == 0 else 0), promises=(promise(0, 1, 40),), reliefs=(relief,))
    found = settled(given, "2026-01")
    assert of(found, LineKind.SHORTFALL) == [(0, 0)]
    # We stood ready: the promise is paid all the same, 40 x 0.004.
    assert of(found, LineKind.CAPACITY) == [(40_000, 16)]
    assert found.periods[0].relieved_by == (ReliefKind.OVERRIDE,)
    assert (found.availability.contracted_min, found.availability.relieved_min) == (15, 45)
    # A promise that he never accepted is not paid.
    unsold = settled(replace(given, reliefs=(replace(relief, kind=ReliefKind.REJECTED, unsold=True),)), "2026-01")
    assert of(unsold, LineKind.CAPACITY) == [(10_000, 4)]


def test_a_relief_above_the_promise_changes_nothing() -> None:
    relief = Relief(kind=ReliefKind.REQUEST, start_utc=SPAN[0], end_utc=SPAN[1], limit_w=40_000)
    given = case(quarters(lambda _: 0), promises=(promise(0, 1, 40),))
    with_it = settled(replace(given, reliefs=(relief,)), "2026-01")
    assert with_it.lines == settled(given, "2026-01").lines
    assert of(with_it, LineKind.SHORTFALL) == [(38_000, -608)]


def test_what_no_meter_knows_stays_open() -> None:
    found = settled(case(quarters(lambda i: None if i == 2 else 10_000), promises=(promise(0, 1, 40),)), "2026-01")
    assert (found.missing, found.final) == (1, False)
    # The hour cannot be judged: nothing is short, its other minutes count, and no heat is billed for the open quarter.
    assert found.periods[0].delivered_wh is None
    assert of(found, LineKind.SHORTFALL) == [(0, 0)]
    assert (found.availability.contracted_min, found.availability.unknown_min) == (45, 15)
    assert of(found, LineKind.ENERGY)[0] == (950_000, 4275)


def test_slots_that_were_never_booked_are_open_too() -> None:
    slots = quarters(lambda _: 10_000)
    found = settled(case(completed((*slots[:10], *slots[14:]), SPAN, 900)), "2026-01")
    assert (found.slots, found.missing, found.final) == (2976, 4, False)


def test_minutes_beyond_the_allowed_ones_cost() -> None:
    # 10 hours promised, 99 %: 6 min allowed. 2 hours bad: 114 min over at 50 EUR/h = 95 EUR.
    terms = terms_of(HeatTariff(fixed_eur_per_kwh=0.045), FirmRule(), ZONE, availability_fraction=0.99, penalty_eur_per_h=50.0)
    given = case(quarters(lambda i: 0 if i < 8 else 10_000), terms, promises=(promise(0, 10, 40),))
    found = settled(given, "2026-01")
    assert (found.availability.contracted_min, found.availability.bad_min, found.availability.allowed_min) == (600, 120, 6)
    assert of(found, LineKind.AVAILABILITY) == [(0, -9500)]


def test_water_that_is_too_cold_is_no_delivery_and_hotter_water_earns() -> None:
    tariff = HeatTariff(fixed_eur_per_kwh=0.045, grade_reference_c=60.0, grade_eur_per_kwh_per_k=0.0005)
    slots = [replace(one, supply_c=65.0 if i else 54.9) for i, one in enumerate(quarters(lambda _: 10_000))]
    given = case(slots, terms_of(tariff, FirmRule(), ZONE, supply_min_c=55.0), promises=(promise(0, 1, 40),))
    found = settled(given, "2026-01")
    assert (found.availability.bad_min, found.availability.cold_min) == (15, 15)
    # 2975 x 10 kWh x 5 K x 0.0005 = 74.375 -> 74.38.
    assert of(found, LineKind.GRADE) == [(29_750_000, 7438)]


def test_take_or_pay_is_a_position_until_the_year_ends() -> None:
    terms = replace(TERMS, take_or_pay_wh_per_year=100_000_000)
    january = quarters(lambda _: 10_000)  # 29.76 MWh
    found = settled(case(january, terms), "2026-01")
    assert found.take_or_pay is not None
    assert (found.take_or_pay.taken_wh, found.take_or_pay.open_wh) == (29_760_000, 70_240_000)
    assert of(found, LineKind.TAKE_OR_PAY) == []
    december = quarters(lambda _: 20_000, month="2026-12")  # 59.52 MWh
    promised = Promise(start_utc=december[0].start_utc, end_utc=december[4].start_utc, firm_w=200_000)
    # One hour of 200 kW, 80 kWh came: short 190 - 80 = 110 kWh, which he could not take.
    # Open: 100,000 - 29,760 - 59,520 - 110 = 10,610 kWh at the year's mean of 0.045 (Jan) and 0.060 (Dec):
    # (29.76 x 0.045 + 59.52 x 0.060) / 89.28 = 0.055 -> 583.55 EUR.
    prices = {day: 60_000 if day.month == 12 else 45_000 for day in DAYS}
    year = case((*january, *december), terms, promises=(promised,), price_micro=prices)
    closed = settled(year, "2026-12")
    assert of(closed, LineKind.TAKE_OR_PAY) == [(10_610_000, 58_355)]


def test_both_meters_are_compared_by_day() -> None:
    slots = quarters(lambda _: 10_000)
    theirs = quarters(lambda i: 9700 if i < 96 else 9000)
    found = settled(case(slots, check=theirs, check_fraction=0.05), "2026-01")
    assert [(one.ours_wh, one.theirs_wh, one.apart_too_far) for one in found.check[:2]] == [
        (960_000, 931_200, False),
        (960_000, 864_000, True),
    ]


def test_a_correction_changes_the_statement_and_says_by_how_much() -> None:
    slots = quarters(lambda i: None if i == 0 else 10_000)
    issued = plain_statement(settled(case(slots), "2026-01"))
    corrected = (replace(slots[0], heat_wh=8000, quality=Quality.METERED, revision=1), *slots[1:])
    now = settled(case(corrected), "2026-01")
    assert (now.corrected, now.final) == (1, True)
    # 950 -> 958 kWh: 42.75 -> 43.11.
    assert differences(issued, plain_statement(now)) == [
        {
            "kind": "energy",
            "day": "2026-01-01",
            "issued_wh": 950_000,
            "now_wh": 958_000,
            "issued_cents": 4275,
            "now_cents": 4311,
            "difference_cents": 36,
        }
    ]
    assert issued["digest"] != now.digest
    assert differences(plain_statement(now), plain_statement(now)) == []


def test_the_digest_names_temperatures_and_with_take_or_pay_the_year() -> None:
    january, february = quarters(lambda _: 1000), quarters(lambda _: 1000, month="2026-02")
    first = settled(case((*january, *february)), "2026-02")
    assert settled(case((*january, *(replace(one, supply_c=70.0) for one in february))), "2026-02").digest != first.digest
    less = (replace(january[0], heat_wh=999), *january[1:])
    assert settled(case((*less, *february)), "2026-02").digest == first.digest
    yearly = replace(TERMS, take_or_pay_wh_per_year=100_000_000)
    digests = {settled(case((*one, *february), yearly), "2026-02").digest for one in (january, less)}
    promised = settled(case((*january, *february), yearly, promises=(promise(10, 1, 20),)), "2026-02").digest
    assert len(digests | {promised}) == 3


def test_the_digest_names_the_inputs_of_the_month_alone() -> None:
    slots = quarters(lambda _: 10_000)
    february = quarters(lambda _: 10_000, month="2026-02")
    first = settled(case(slots), "2026-01")
    assert settled(case((*slots, *february)), "2026-01").digest == first.digest
    assert settled(case(slots, replace(TERMS, shortfall_micro_count=1)), "2026-01").digest != first.digest


def test_prices_follow_the_tariff() -> None:
    days = days_of(date(2026, 1, 1), date(2026, 1, 2))
    cold = HeatTariff(
        kind=TariffKind.TEMPERATURE_INDEXED,
        scale_eur_per_kwh=0.045,
        temperature_base=0.94,
        floor_eur_per_kwh=0.01,
        ceiling_eur_per_kwh=0.11,
        without_outdoor_eur_per_kwh=0.04,
    )
    # 0.045 x 0.94^-5 = 0.0613158...; nobody knows the last of December.
    assert day_prices(cold, days, {date(2026, 1, 1): -5.0}) == {days[0]: 40_000, days[1]: 61_316}


def test_delivery_periods_lie_on_local_time() -> None:
    kathmandu = ZoneInfo("Asia/Kathmandu")  # + 05:45
    at = datetime(2026, 1, 1, 10, 20, tzinfo=UTC)  # 16:05
    assert period_start(at, kathmandu, 3600) == datetime(2026, 1, 1, 10, 15, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2026", "2026-13", "January", "2026-1-1"])
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured, match="expected a year and a month"):
        month_span(text, ZONE)
