"""Meters that do not agree: the sums by hand, and that a failing pump is named before the servers are."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scheduler.core.accounting.residual import (
    Balance,
    BalanceAlarm,
    BalanceRule,
    BalanceSlot,
    Cause,
    Sums,
    loop_residual_kw,
    rooms_residual_kw,
    watched,
)
from scheduler.domain.time import utc

START = utc("2026-01-14T10:00:00+00:00")
RULE = BalanceRule(max_kw=100.0, capture_fraction=0.8)


def slots(count: int, **values: float | None) -> list[BalanceSlot]:
    return [BalanceSlot(start_utc=START + timedelta(minutes=15 * i), **values) for i in range(count)]


def alarms(found: tuple[Sums, tuple[BalanceAlarm, ...]]) -> list[tuple[int, Balance, Cause]]:
    return [(int((one.at_utc - START).total_seconds() // 900), one.balance, one.causes[0]) for one in found[1]]


def test_residuals_by_hand() -> None:
    one = slots(1, it_kw=100.0, captured_kw=76.0, recovered_kw=60.0, rejected_kw=10.0)[0]
    assert loop_residual_kw(one) == pytest.approx(6.0)
    assert rooms_residual_kw(one, 0.8) == pytest.approx(4.0)
    assert loop_residual_kw(slots(1, captured_kw=76.0)[0]) is None
    assert rooms_residual_kw(slots(1, captured_kw=76.0)[0], 0.8) is None


def test_meters_that_agree_within_their_classes_never_alarm() -> None:
    # 4 kW of 100 is below the allowance of 5 %, for a month.
    found = watched(Sums(), slots(2976, it_kw=100.0, captured_kw=76.0, recovered_kw=72.0, rejected_kw=0.0), RULE)
    assert found == (Sums(), ())


def test_a_small_constant_loss_is_found_after_a_while_and_told_once() -> None:
    # 15 kW of 100: 0.15 - 0.05 = 0.10 a slot; above 0.8 in the ninth.
    found = watched(Sums(), slots(40, captured_kw=80.0, recovered_kw=65.0, rejected_kw=0.0), RULE)
    assert alarms(found) == [(8, Balance.LOOP, Cause.LEAK)]
    # Capped at 1.6: well again, 0.05 a slot goes off; below the limit after sixteen, and an alarm is one anew.
    sums, none = watched(found[0], slots(20, captured_kw=80.0, recovered_kw=80.0, rejected_kw=0.0), RULE)
    assert none == ()
    assert sums.loop_over == pytest.approx(0.6)


def test_a_failing_pump_is_named_before_the_servers_are() -> None:
    found = watched(Sums(), slots(6, it_kw=100.0, captured_kw=50.0, flow_fraction=0.5, spread_fraction=1.3), RULE)
    # 30 kW: 0.25 a slot, above 0.8 in the fourth.
    assert alarms(found) == [(3, Balance.ROOMS, Cause.PUMP)]
    same = watched(Sums(), slots(6, it_kw=100.0, captured_kw=50.0, flow_fraction=1.0, spread_fraction=1.0), RULE)
    assert alarms(same) == [(3, Balance.ROOMS, Cause.CAPTURE)]
    narrow = watched(Sums(), slots(6, it_kw=100.0, captured_kw=50.0, flow_fraction=1.0, spread_fraction=0.6), RULE)
    assert alarms(narrow) == [(3, Balance.ROOMS, Cause.EXCHANGER)]


def test_the_other_side_has_other_causes() -> None:
    found = watched(Sums(), slots(6, it_kw=50.0, captured_kw=70.0, recovered_kw=95.0, rejected_kw=5.0), RULE)
    assert alarms(found) == [(3, Balance.LOOP, Cause.LOOP_METER), (3, Balance.ROOMS, Cause.IT_METER_LOW)]


def test_silence_is_no_agreement() -> None:
    sums = watched(Sums(), slots(5, captured_kw=80.0, recovered_kw=65.0, rejected_kw=0.0), RULE)[0]
    assert sums.loop_over == pytest.approx(0.5)
    assert watched(sums, slots(100, captured_kw=80.0), RULE)[0] == sums
