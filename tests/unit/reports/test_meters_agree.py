"""Meters of a plug over a stretch: who is suspected of what."""

from __future__ import annotations

from datetime import datetime, timedelta

from scheduler.core.accounting.residual import Balance, BalanceRule, Cause
from scheduler.core.reports.meters import PlugMeters, balance_slots, disagreements
from scheduler.domain.ledger import Quality
from scheduler.domain.plantlink import MeterReading
from scheduler.domain.settlement import HeatSlot
from scheduler.domain.time import utc

START = utc("2026-01-14T10:00:00+00:00")
RULE = BalanceRule(max_kw=100.0, capture_fraction=0.8)


def at(index: int) -> datetime:
    return START + timedelta(minutes=15 * index)


def slots(kw: list[float], quality: Quality = Quality.METERED) -> list[HeatSlot]:
    return [HeatSlot(start_utc=at(i), duration_s=900, heat_wh=round(one * 250), quality=quality) for i, one in enumerate(kw)]


def loop(flow: list[float], spread: list[float]) -> list[MeterReading]:
    return [
        MeterReading(meter_point_id="loop", at_utc=at(i), flow_m3_per_h=one, supply_c=40.0 + dt, return_c=40.0)
        for i, (one, dt) in enumerate(zip(flow, spread, strict=True))
    ]


def test_meters_that_agree() -> None:
    meters = PlugMeters(
        captured=slots([80.0] * 90), recovered=slots([78.0] * 90), rejected=slots([0.0] * 90), it=slots([100.0] * 90)
    )
    assert disagreements(meters, RULE) == ()
    first = balance_slots(meters)[0]
    assert (first.start_utc, first.captured_kw, first.it_kw, first.flow_fraction) == (START, 80.0, 100.0, None)


def test_a_pump_that_fails_is_told_from_servers_that_do() -> None:
    # For a day all is well; then the flow halves, and a third of the heat goes to the room.
    captured = [80.0] * 60 + [50.0] * 20
    well, ill = ([10.0] * 60, [8.0] * 60), ([4.0] * 20, [12.5] * 20)
    failing = PlugMeters(
        captured=slots(captured), it=slots([100.0] * 80), loop_readings=loop(well[0] + ill[0], well[1] + ill[1])
    )
    (alarm,) = disagreements(failing, RULE)
    # 30 kW of 100: 0.25 a slot, above 0.8 in the fourth.
    assert (alarm.balance, alarm.at_utc, alarm.causes[0]) == (Balance.ROOMS, at(63), Cause.PUMP)
    servers = PlugMeters(
        captured=slots(captured), it=slots([100.0] * 80), loop_readings=loop([10.0] * 80, [8.0] * 60 + [5.0] * 20)
    )
    assert disagreements(servers, RULE)[0].causes[0] is Cause.CAPTURE


def test_estimates_say_nothing_of_a_single_slot() -> None:
    meters = PlugMeters(captured=slots([80.0] * 50, Quality.ESTIMATED), it=slots([10.0] * 50))
    assert disagreements(meters, RULE) == ()
