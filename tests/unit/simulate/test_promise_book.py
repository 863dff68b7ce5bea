"""The virtual world's promises: the operator's calendar, raised where a gate may, never lowered, each period once."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
from small_world import NOW, history, hourly_series, small_site, snapshot

from scheduler.core.publishing.firm import answered_utc
from scheduler.core.tariffs.gates import gates_due
from scheduler.domain.contract import FirmProduct, FirmRule, Revise
from scheduler.domain.snapshot import Commitment
from scheduler.simulate.promises import PromiseBook

SLOT = timedelta(minutes=15)
RULE = FirmRule(
    products=(
        FirmProduct(gate_local="12:00", resolution_s=900),
        FirmProduct(gate_local="19:45", start_local="20:00", start_day=0, hours=28, resolution_s=900, revise=Revise.UP),
    )
)


def test_quarter_hours_are_promised_at_two_gates_and_only_raised() -> None:
    where = small_site()
    where = replace(where, offtakes=(replace(where.offtakes[0], firm=RULE),))
    book = PromiseBook(where, (NOW, NOW + timedelta(days=3)), 900)
    bound: dict[tuple[datetime, datetime], float] = {}
    for step in range(48):
        now = NOW + step * SLOT
        for offtake, gate in book.gates_until(now):
            # What was sold grows from gate to gate, and so does what may be promised.
            sold = hourly_series(np.full(14 * 24, 10.0 + step), "kW", now.replace(minute=0) - timedelta(days=14))
            book.answer(offtake, gate, replace(snapshot(past=history(now)), observed_utc=now), sold, None)
        held = {(one.start_utc, one.end_utc): one.firm_kw for one in book.commitments}
        assert len(held) == len(book.commitments)
        assert all(held[period] >= kw for period, kw in bound.items())
        bound = held
    # 12:00 for the next day, 96 quarters; 19:45 for these and for 16 more of this evening.
    assert len(bound) == 96 + 16
    assert {one.gate_utc for one in book.commitments} == {NOW.replace(hour=18, minute=45)}


def test_simulator_and_operator_see_the_same_gates() -> None:
    where = small_site()
    where = replace(where, offtakes=(replace(where.offtakes[0], firm=RULE),))
    book = PromiseBook(where, (NOW, NOW + timedelta(days=3)), 900)
    kept: list[Commitment] = []
    for step in range(96):
        now = NOW + step * SLOT
        due = gates_due(RULE, where.time_zone, max(answered_utc(kept, "town"), NOW), now)
        assert [(gate.at_utc, gate.hours) for _, gate in book.gates_until(now)] == [(gate.at_utc, gate.hours) for gate in due]
        for gate in due:
            start_utc, end_utc = gate.hours[0]
            kept.append(Commitment(offtake_id="town", start_utc=start_utc, end_utc=end_utc, firm_kw=1.0, gate_utc=gate.at_utc))
