from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from forecast_world import NOW, site

from scheduler.core.publishing.firm import (
    Gate,
    firm_capability_kw,
    firm_promise,
    gates_between,
    gates_of_day,
    next_gate,
)
from scheduler.domain.contract import FirmRule
from scheduler.domain.site import Maintenance, RedundancyClass

RULE = FirmRule()
ZONE = "Europe/Copenhagen"


@pytest.mark.parametrize(
    ("day", "gate_utc", "hours"),
    [
        (date(2021, 2, 1), datetime(2021, 2, 1, 9, 30, tzinfo=UTC), 24),
        # Delivery on 28 March, when clocks go forward, and on 31 October, when they go back.
        (date(2021, 3, 27), datetime(2021, 3, 27, 9, 30, tzinfo=UTC), 23),
        (date(2021, 10, 30), datetime(2021, 10, 30, 8, 30, tzinfo=UTC), 25),
    ],
)
def test_a_gate_binds_every_hour_of_the_next_local_day(day: date, gate_utc: datetime, hours: int) -> None:
    gate = gates_of_day(RULE, ZONE, day)[0]
    assert gate.at_utc == gate_utc
    assert len(gate.hours) == hours
    assert all(a[1] == b[0] for a, b in zip(gate.hours, gate.hours[1:], strict=False))
    assert gate.hours[0][0] > gate.at_utc


def test_next_gate_is_today_s_until_it_has_passed() -> None:
    at = gates_of_day(RULE, ZONE, date(2021, 2, 1))[0].at_utc
    assert next_gate(RULE, ZONE, at).at_utc == at
    assert next_gate(RULE, ZONE, at + timedelta(seconds=1)).at_utc == at + timedelta(days=1)


def test_every_gate_is_answered_once_by_consecutive_cycles() -> None:
    start = datetime(2021, 3, 20, tzinfo=UTC)
    ticks = [start + timedelta(minutes=15 * i) for i in range(14 * 96 + 1)]
    found = [gate.at_utc for a, b in zip(ticks, ticks[1:], strict=False) for gate in gates_between(RULE, ZONE, a, b)]
    assert len(found) == len(set(found)) == 14


def test_a_short_delivery_takes_the_first_hours() -> None:
    assert len(gates_of_day(replace(RULE, delivery_hours=6), ZONE, date(2021, 2, 1))[0].hours) == 6


def interval(hours: int = 2) -> tuple[list[datetime], list[datetime]]:
    starts = [NOW + timedelta(hours=i) for i in range(hours)]
    return starts, [start + timedelta(hours=1) for start in starts]


def test_capability_takes_block_redundancy_and_maintenance_off() -> None:
    plug = site().plugs[0]
    assert firm_capability_kw(plug, *interval()).tolist() == [150.0, 150.0]
    assert firm_capability_kw(replace(plug, firm_heat_kw=80.0), *interval()).tolist() == [80.0, 80.0]
    assert firm_capability_kw(replace(plug, redundancy=RedundancyClass.N_PLUS_1), *interval()).tolist() == [75.0, 75.0]
    assert firm_capability_kw(replace(plug, redundancy=RedundancyClass.TWO_N), *interval()).tolist() == [150.0, 150.0]
    work = Maintenance(
        start_utc=NOW + timedelta(minutes=90), end_utc=NOW + timedelta(hours=5), available_kw=20.0, reason="pump"
    )
    assert firm_capability_kw(replace(plug, maintenance=(work,)), *interval()).tolist() == [150.0, 20.0]


def test_promise_becomes_commitments_with_their_gate() -> None:
    where = site(firm=RULE)
    gate = gates_of_day(RULE, ZONE, date(2021, 2, 1))[0]
    found = firm_promise(where.offtakes[0], where.plugs[0], gate, np.full(24, 200.0))
    # The plug's 150 kW bind below the customer's 500.
    assert {one.firm_kw for one in found} == {150.0}
    assert [(one.start_utc, one.end_utc) for one in found] == list(gate.hours)
    assert {one.gate_utc for one in found} == {gate.at_utc}


def test_unknown_hours_promise_nothing() -> None:
    where = site(firm=RULE)
    gate = gates_of_day(RULE, ZONE, date(2021, 2, 1))[0]
    wanted = np.where(np.arange(24) < 2, np.nan, np.arange(24) - 3.0)
    found = firm_promise(where.offtakes[0], where.plugs[0], gate, wanted)
    assert [one.firm_kw for one in found[:5]] == [0.0, 0.0, 0.0, 0.0, 1.0]


def test_promise_needs_one_value_per_hour_and_a_rule() -> None:
    where = site(firm=RULE)
    gate = Gate(at_utc=NOW, hours=((NOW, NOW + timedelta(hours=1)),))
    assert firm_promise(site().offtakes[0], where.plugs[0], gate, np.ones(1)) == ()
    with pytest.raises(ValueError, match="delivery hours"):
        firm_promise(where.offtakes[0], where.plugs[0], gate, np.ones(2))
